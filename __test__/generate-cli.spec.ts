import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { repository, withFolder } from './helpers/fixtures.ts'

const main = join(repository, 'src', 'cli', 'main.ts')
const tsx = createRequire(main).resolve('tsx')

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command line; `watch` sees the process start. */
function surefoot(
  folder: string,
  parameters: readonly string[],
  watch?: (kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', tsx, main, ...parameters], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TEST_KEY: 'sk-very-secret' },
  })
  const [stdout, stderr]: [string[], string[]] = [[], []]
  child.stdout.setEncoding('utf8').on('data', text => stdout.push(text))
  child.stderr.setEncoding('utf8').on('data', text => stderr.push(text))
  watch?.(signal => child.kill(signal))
  return new Promise(resolve => {
    child.on('close', status => resolve({ status, stdout: stdout.join(''), stderr: stderr.join('') }))
  })
}

interface Asked {
  readonly headers: IncomingHttpHeaders
  readonly problem: string
  readonly n: number
}

interface TestServer {
  readonly url: string
  readonly asked: Asked[]
  /** Called before each answer; false: the request is refused. */
  before: (asked: Asked) => Promise<boolean> | boolean
}

/** Answers chat completions as vLLM does: what it writes follows from problem, seed and number. */
async function withServer(use: (server: TestServer) => Promise<void>): Promise<void> {
  const asked: Asked[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    if (request.method !== 'POST') return void response.writeHead(404).end()
    const { messages, n = 1, seed } = JSON.parse(body)
    const problem: string = messages.at(-1).content
    const one = { headers: request.headers, problem, n }
    asked.push(one)
    const json = { 'content-type': 'application/json' }
    if (!(await state.before(one))) {
      return void response.writeHead(400, json).end(JSON.stringify({ error: { message: 'this problem is not liked' } }))
    }
    const choices = Array.from({ length: n }, (_, index) => ({
      index,
      message: { role: 'assistant', content: `${problem} (${seed}, ${index})\n\nThe answer is ${(seed + index) % 3}.` },
      finish_reason: 'stop',
      stop_reason: null,
    }))
    const usage = { prompt_tokens: 7, completion_tokens: 9 * n, total_tokens: 7 + 9 * n }
    response.writeHead(200, json).end(JSON.stringify({ choices, usage }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const state: TestServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    asked,
    before: () => true,
  }
  try {
    await use(state)
  } finally {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
}

/** Twelve problems, of which the answer is 0, 1 or 2. */
function writeProblems(folder: string): string {
  const lines = Array.from({ length: 12 }, (_, index) =>
    JSON.stringify({ id: `q${index}`, question: `What is ${index} modulo 3?`, answer: String(index % 3) }),
  )
  writeFileSync(join(folder, 'questions.jsonl'), `${lines.join('\n')}\n`)
  return 'questions.jsonl'
}

const command = (server: TestServer, more: readonly string[] = []): string[] => [
  ...['generate', '--problems', 'questions.jsonl', '--base-url', server.url, '--model', 'm', '--dialect', 'vllm'],
  ...['--n', '3', '--seed', '5', '--concurrency', '2', '--api-key-env', 'TEST_KEY', ...more],
]

const candidatesIn = (folder: string, run: string): string =>
  readFileSync(join(folder, run, 'candidates.jsonl'), 'utf8').replaceAll(/"ms":\d+/g, '')

test.serial('A server: candidates that eval reads, from the file and from the folder; the key is nowhere', async t => {
  await withFolder(folder =>
    withServer(async server => {
      writeProblems(folder)
      const { status, stdout, stderr } = await surefoot(folder, command(server, ['--json', '--system', 'Be brief.']))
      t.is(status, 0, stderr)
      const summary = JSON.parse(stdout)
      t.like(summary, { problems: 12, candidates: 36, failed: 0, tokens: 12 * 27, promptTokens: 12 * 7 })
      t.deepEqual(summary.ended, { answer: 36 })
      t.is(server.asked.length, 12)
      t.true(server.asked.every(({ n, headers }) => n === 3 && headers.authorization === 'Bearer sk-very-secret'))
      t.regex(stderr, /candidates\/s, \d+ tokens\/s/)
      const run = join(folder, 'runs', 'questions')
      const written = readdirSync(run).map(file => readFileSync(join(run, file), 'utf8'))
      t.false([stdout, stderr, ...written].some(text => text.includes('very-secret')))
      for (const [index, source] of [join(run, 'candidates.jsonl'), `${run}#candidates`].entries()) {
        const evaluated = [
          'eval',
          '--candidates',
          source,
          '--name',
          `eval${index}`,
          '--resamples',
          '50',
          '--strict',
          '--json',
        ]
        const result = await surefoot(folder, evaluated)
        t.is(result.status, 0, result.stderr)
        const pass = JSON.parse(result.stdout).rules.find(
          ({ rule, n }: { rule: string; n: number }) => rule === 'pass' && n === 3,
        )
        t.is(pass.accuracy.value, 1, 'three samples hold every answer')
      }
    }),
  )
})

test.serial('kill -9 loses no answer that was written, and resume makes the file of an unbroken run', async t => {
  await withFolder(folder =>
    withServer(async server => {
      writeProblems(folder)
      let kill = (_: NodeJS.Signals): void => {}
      server.before = async () => {
        if (server.asked.length === 7) kill('SIGKILL')
        await sleep(5)
        return true
      }
      const killed = await surefoot(folder, command(server, ['--run', 'r', '--quiet']), send => {
        kill = send
      })
      t.is(killed.status, null)
      const lines = readFileSync(join(folder, 'r', 'problems.jsonl'), 'utf8').split('\n').length - 1
      t.true(lines >= 5 && lines < 12, `${lines}`)
      server.asked.length = 0
      server.before = () => true
      const refused = await surefoot(folder, command(server, ['--run', 'r', '--quiet']))
      t.is(refused.status, 1)
      t.regex(refused.stderr, /holds a run already/)
      const other = await surefoot(folder, command(server, ['--run', 'r', '--quiet', '--resume', '--top-p', '0.5']))
      t.regex(other.stderr, /request\.topP was not set and is 0\.5/)
      const resumed = await surefoot(folder, command(server, ['--run', 'r', '--quiet', '--resume']))
      t.is(resumed.status, 0, resumed.stderr)
      t.is(resumed.stderr, '')
      t.is(server.asked.length, 12 - lines)
      t.is((await surefoot(folder, command(server, ['--run', 'whole', '--quiet']))).status, 0)
      t.is(candidatesIn(folder, 'r'), candidatesIn(folder, 'whole'))
    }),
  )
})

test.serial('Ctrl-C keeps what is done, and says by which command it goes on', async t => {
  await withFolder(folder =>
    withServer(async server => {
      writeProblems(folder)
      let kill = (_: NodeJS.Signals): void => {}
      server.before = async () => {
        if (server.asked.length === 6) kill('SIGINT')
        await sleep(20)
        return true
      }
      const stopped = await surefoot(folder, command(server, ['--run', 'my run']), send => {
        kill = send
      })
      t.is(stopped.status, 130, stopped.stderr)
      t.regex(stopped.stderr, /what was done is in my run; go on with: surefoot generate .* --run 'my run' --resume\n/)
      server.asked.length = 0
      server.before = () => true
      const resumed = await surefoot(folder, command(server, ['--run', 'my run', '--resume']))
      t.is(resumed.status, 0, resumed.stderr)
      t.true(server.asked.length > 0 && server.asked.length < 12)
    }),
  )
})

test.serial(
  'A problem that fails costs only itself: exit code 1, its line says why, and resume tries it again',
  async t => {
    await withFolder(folder =>
      withServer(async server => {
        writeProblems(folder)
        server.before = ({ problem }) => !problem.includes(' 4 ')
        const { status, stdout, stderr } = await surefoot(folder, command(server, ['--run', 'r']))
        t.is(status, 1, stderr)
        t.regex(stdout, /12 problems, 33 candidates/)
        t.regex(stdout, /1 problems failed; the first, q4: ERR_HTTP: .*this problem is not liked/)
        const line = JSON.parse(candidatesIn(folder, 'r').split('\n')[4]!)
        t.like(line, { id: 'q4', candidates: [], error: { code: 'ERR_HTTP' } })
        server.asked.length = 0
        server.before = () => true
        const again = await surefoot(folder, command(server, ['--run', 'r', '--resume']))
        t.is(again.status, 0, again.stderr)
        t.is(server.asked.length, 1)
      }),
    )
  },
)

test.serial(
  'The embedded policy: the same seed gives the same file whatever the concurrency; a PRM ranks it',
  async t => {
    await withFolder(async folder => {
      const problems = [
        ['Ben has 20 coins. He gives 5 to Lea. How many are left?', '15'],
        [
          'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. How many fish swim there now?',
          '22',
        ],
      ]
      const lines = problems.map(([question, answer], index) => JSON.stringify({ id: `t${index}`, question, answer }))
      writeFileSync(join(folder, 'tiny.jsonl'), lines.join('\n'))
      const generate = async (run: string, ...more: string[]) => {
        const parameters = [
          'generate',
          '--problems',
          'tiny.jsonl',
          '--n',
          '20',
          '--run',
          run,
          '--quiet',
          '--json',
          ...more,
        ]
        const { status, stdout, stderr } = await surefoot(folder, parameters)
        t.is(status, 0, stderr)
        return JSON.parse(stdout)
      }
      const summary = await generate('a', '--seed', '9')
      t.like(summary, { candidates: 40, estimated: 0, configuration: { policy: { id: 'native:tiny-policy' } } })
      await generate('b', '--seed', '9', '--concurrency', '1', '--policy')
      t.is(candidatesIn(folder, 'a'), candidatesIn(folder, 'b'))
      await generate('c', '--seed', '10')
      t.not(candidatesIn(folder, 'a'), candidatesIn(folder, 'c'))
      const evaluated = [
        'eval',
        '--candidates',
        'a/candidates.jsonl',
        '--prm',
        '--resamples',
        '50',
        '--strict',
        '--json',
        '--name',
        'e',
      ]
      const { status, stdout, stderr } = await surefoot(folder, evaluated)
      t.is(status, 0, stderr)
      t.true(JSON.parse(stdout).rules.some(({ rule }: { rule: string }) => rule.startsWith('best-of-n')))
    })
  },
)

test.serial('Wrong use is told before anything is made', async t => {
  await withFolder(async folder => {
    const use = async (...parameters: string[]) => {
      const { status, stderr } = await surefoot(folder, ['generate', ...parameters])
      return `${status} ${stderr}`
    }
    t.regex(await use(), /^2 .*--problems/s)
    t.regex(await use('--problems', 'x', '--base-url', 'http://127.0.0.1:9/v1'), /^2 .*give both or neither/s)
    t.regex(
      await use('--problems', 'x', '--policy', 'p', '--base-url', 'y', '--model', 'm'),
      /^2 .*cannot be used with/s,
    )
    const key = ['--base-url', 'http://127.0.0.1:9/v1', '--model', 'm', '--api-key-env', 'NO_SUCH_KEY']
    t.regex(await use('--problems', 'x', ...key), /^1 .*the environment has no NO_SUCH_KEY/s)
    t.regex(await use('--problems', 'missing.jsonl'), /^1 .*missing\.jsonl does not exist/s)
    t.deepEqual(readdirSync(folder), [])
  })
})
