import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { fixture, largestDifference, referenceCases, repository, withFolder } from './helpers/fixtures.ts'

const cli = join(repository, 'dist', 'cli.mjs')
const prm = fixture('qwen2-mlp2')

function surefoot(parameters: string[], input = '', env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...parameters], {
    input,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  return { status, stderr, stdout, lines: stdout.split('\n').filter(Boolean) }
}

const jsonLines = (values: unknown[]): string => values.map(value => `${JSON.stringify(value)}\n`).join('')

test('score reads JSON lines and writes scores in the order of the lines', t => {
  const cases = referenceCases('qwen2-mlp2')
  const input = jsonLines(cases.map(({ name, problem, steps }) => ({ id: name, problem, steps })))
  const { status, lines, stderr } = surefoot(['score', '--prm', prm, '--json'], input)
  t.is(status, 0, stderr)
  t.is(lines.length, cases.length)
  for (const [index, line] of lines.entries()) {
    const { id, steps, aggregate, semantics, tokens } = JSON.parse(line)
    const expected = cases[index]!
    t.is(id, expected.name)
    t.true(largestDifference(steps, expected.scores) <= 1e-4)
    t.is(semantics, 'probability')
    t.is(tokens, expected.ids.length)
    t.true(Math.abs(aggregate - steps.reduce((a: number, b: number) => a * b)) < 1e-12)
  }
})

test('a bad line becomes an error in its place, the others are done, and the exit code is 1', async t => {
  const input = [
    '{"id":"a","problem":"p","steps":["s"]}',
    'oops',
    '',
    '{"id":7,"problem":"p","steps":[]}',
    '[1]',
    '{"problem":"p","solution":"x"}',
  ]
  await withFolder(folder => {
    const file = join(folder, 'in.jsonl')
    writeFileSync(file, input.join('\r\n'))
    const { status, lines } = surefoot(['score', '--prm', prm, '--json', '--input', file])
    t.is(status, 1)
    const [first, second, fourth, fifth, sixth] = lines.map(line => JSON.parse(line))
    t.is(first.id, 'a')
    t.is(first.steps.length, 1)
    t.like(second, { id: null, line: 2, error: { code: 'ERR_INVALID_ARGUMENT' } })
    t.like(fourth, { id: 7, line: 4, error: { code: 'ERR_INVALID_ARGUMENT' } })
    t.like(fifth, { id: null, line: 5 })
    t.is(sixth.steps.length, 1)
    t.is(lines.length, 5)
  })
})

test('rerank writes the ranking of each line', t => {
  const input = jsonLines([{ problem: 'p', candidates: ['a\n\nb', ['c'], ''] }])
  const { status, lines } = surefoot(['rerank', '--prm', prm, '--json'], input)
  t.is(status, 0)
  const { ranking } = JSON.parse(lines[0]!)
  t.deepEqual(ranking.map(({ index }: { index: number }) => index).toSorted(), [0, 1, 2])
  t.deepEqual(ranking[2], { index: 2, score: null, steps: [] })
  t.true(ranking[0].score >= ranking[1].score)
  t.is(JSON.parse(surefoot(['rerank', '--prm', prm, '--json', '--top', '1'], input).lines[0]!).ranking.length, 1)
})

test('inspect shows what was recognised', t => {
  const { status, stdout } = surefoot(['inspect', '--prm', prm, '--json'])
  t.is(status, 0)
  t.like(JSON.parse(stdout), { family: 'qwen2', head: 'mlp2', profile: 'qwen-prm', dtype: 'f32', parameters: 33154 })
  t.regex(surefoot(['inspect', prm]).stdout, /head +mlp2, by score\.2\.weight \[2, 32\]/)
})

test('a model that does not load is one line on standard error and exit code 1', t => {
  const { status, stdout, stderr } = surefoot(
    ['score', '--prm', '/no/such/folder', '--json'],
    '{"problem":"p","steps":["s"]}',
  )
  t.is(status, 1)
  t.is(stdout, '')
  t.regex(stderr, /^surefoot: ERR_MODEL_NOT_FOUND: .+\n$/)
})

test('a file that cannot be read is an error', t => {
  const { status, stderr } = surefoot(['score', '--prm', prm, '--input', '/no/such/file'])
  t.is(status, 1)
  t.regex(stderr, /^surefoot: ERR_IO: /)
})

test('wrong usage exits with 2, help and version with 0', t => {
  for (const parameters of [
    ['bogus'],
    ['score', '--bogus'],
    ['score', '--aggregate', 'median'],
    ['score', '--device', 'tpu'],
    [],
  ]) {
    t.is(surefoot(parameters).status, 2, parameters.join(' '))
  }
  t.is(surefoot(['--help']).status, 0)
  t.regex(surefoot(['--version']).stdout, /^\d+\.\d+\.\d+\n$/)
})

test('people see a table with a bar per step; colours only where they are wanted', t => {
  const input = jsonLines([{ problem: 'What is\u001b[31m 2 + 2?', steps: ['2 + 2 = 4', 'The answer is 4.'] }, 'oops'])
  const plain = surefoot(['score', '--prm', prm], input)
  t.false(plain.stdout.includes('\u001b'))
  t.regex(plain.stdout, /[█·]{10} 0\.\d{3} {2}2 \+ 2 = 4\n/)
  t.regex(plain.stdout, /line 2: ERR_INVALID_ARGUMENT/)
  t.true(surefoot(['score', '--prm', prm], input, { FORCE_COLOR: '1' }).stdout.includes('\u001b['))
  t.false(surefoot(['score', '--prm', prm], input, { FORCE_COLOR: '1', NO_COLOR: '1' }).stdout.includes('\u001b'))
})

test('an interrupt ends the run with 130, and what was done stays written', async t => {
  const child = spawn(process.execPath, [cli, 'score', '--prm', prm, '--json'], { stdio: ['pipe', 'pipe', 'ignore'] })
  child.stdin.on('error', () => {})
  child.stdin.write('{"id":1,"problem":"p","steps":["s"]}\n'.repeat(100))
  child.stdout.setEncoding('utf8')
  let output = ''
  child.stdout.once('data', () => child.kill('SIGINT'))
  child.stdout.on('data', text => {
    output += text
  })
  const code = await new Promise(resolve => child.on('close', resolve))
  t.is(code, 130)
  t.is(JSON.parse(output.split('\n')[0]!).id, 1)
})

test('a reader that goes away ends the run quietly', async t => {
  const child = spawn(process.execPath, [cli, 'score', '--prm', prm, '--json'], { stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => {})
  child.stdin.end('{"problem":"p","steps":["s"]}\n'.repeat(500))
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    errors += text
  })
  child.stdout.once('data', () => child.stdout.destroy())
  t.is(await new Promise(resolve => child.on('close', resolve)), 0)
  t.is(errors, '')
})

test('SUREFOOT_ISA names the instruction set, and one that is unknown or not here is an error', t => {
  const facts = (isa: string) => surefoot(['inspect', prm, '--json'], '', { SUREFOOT_ISA: isa })
  t.is(JSON.parse(facts('scalar').stdout).isa, 'scalar')
  const unknown = facts('sse9')
  t.is(unknown.status, 1)
  t.regex(unknown.stderr, /ERR_INVALID_ARGUMENT: SUREFOOT_ISA: "sse9" is none of scalar, avx2, avx512, amx/)
  for (const isa of ['avx2', 'avx512', 'amx']) {
    const { status, stdout, stderr } = facts(isa)
    if (status === 0) t.is(JSON.parse(stdout).isa, isa)
    else t.regex(stderr, new RegExp(`ERR_DEVICE_UNAVAILABLE: device ${isa} is not available here; available: scalar`))
  }
})

test('precision and the memory of the cache are options', t => {
  const inspected = surefoot(['score', '--prm', prm, '--json', '--precision', 'fast', '--cache-bytes', '10'], '')
  t.regex(inspected.stderr, /ERR_INVALID_ARGUMENT: cacheBytes: 10 bytes/)
  const input = jsonLines([{ problem: 'p', steps: ['a step', 'and one more '.repeat(40)] }])
  const { stderr, lines, status } = surefoot(['score', '--prm', prm, '--json', '--cache-bytes', '20000'], input)
  t.is(status, 1, stderr)
  const { error } = JSON.parse(lines[0]!)
  t.is(error.code, 'ERR_CACHE_BUDGET')
})

test('solve answers one problem for people, and lines for machines', t => {
  const problem = 'A bus sets out with 13 people. 8 get off. How many people are on it now?'
  const one = surefoot(['solve', problem, '--strategy', 'beam', '--temperature', '1', '--policy-tokens', '600'])
  t.is(one.status, 0, one.stderr)
  t.regex(one.stdout, /→ \d+\n/)
  t.regex(one.stdout, /█+·* 0\.\d+ {2}\S.*\n/)
  t.regex(one.stdout, /generations, \d+ \+ \d+ tokens/)
  const strategy = JSON.stringify({ strategy: 'weightedVote', n: 4 })
  const parameters = ['solve', '--strategy', strategy, '--seed', '3', '--json']
  const many = surefoot(parameters, jsonLines([{ id: 'a', problem }, { id: 'b' }]))
  t.is(many.status, 1)
  const [first, second] = many.lines.map(line => JSON.parse(line))
  t.like(first, { id: 'a', finished: true, finish: 'complete', limit: null })
  t.is(first.solutions.length, 4)
  t.is(first.spent.generations, 4)
  t.like(second, { id: 'b', error: { code: 'ERR_INVALID_ARGUMENT' } })
  t.deepEqual(JSON.parse(surefoot(parameters, jsonLines([{ id: 'a', problem }])).lines[0]!).steps, first.steps)
  const wrong = surefoot(['solve', problem, '--strategy', 'guess'])
  t.is(wrong.status, 1)
  t.regex(wrong.stderr, /ERR_INVALID_ARGUMENT: strategy: must be one of bestOfN, majority/)
})

test('a journal is replayed without a model, and what it lacks is named', async t => {
  await withFolder(folder => {
    const journal = join(folder, 'run.jsonl')
    const problem = 'A bus sets out with 13 people. 8 get off. How many people are on it now?'
    const settings = ['--strategy', '{"strategy":"bestOfN","n":6}', '--temperature', '1', '--journal', journal]
    const solved = surefoot(['solve', problem, ...settings, '--json'])
    t.is(solved.status, 0, solved.stderr)
    t.is(surefoot(['solve', problem, ...settings]).status, 1)
    t.is(surefoot(['solve', problem, ...settings, '--resume']).status, 0)
    const vote = surefoot(['replay', journal, '--strategy', '{"strategy":"majority","n":6}', '--json'])
    t.is(vote.status, 0, vote.stderr)
    const more = surefoot(['replay', journal, '--strategy', '{"strategy":"majority","n":9}', '--json'])
    t.is(more.status, 1)
    t.regex(more.stdout, /continuations/)
  })
})
