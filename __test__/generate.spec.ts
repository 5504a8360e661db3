import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { generateText } from '../src/cli/generate.ts'
import { resumeCommand } from '../src/cli/run.ts'
import { readDataset } from '../src/datasets/index.ts'
import type { ProblemRecord } from '../src/datasets/records.ts'
import { SurefootError } from '../src/errors.ts'
import { type GenerateOptions, type GenerateProgress, generate } from '../src/generate/run.ts'
import { fromFunction } from '../src/generator/function.ts'
import type { Generator, SampleRequest } from '../src/generator/generator.ts'
import { failureOf, withFolder } from './helpers/fixtures.ts'

const problems: ProblemRecord[] = Array.from({ length: 6 }, (_, index) => ({
  kind: 'problem',
  id: `p${index}`,
  problem: `What is ${index} + 1?`,
  answer: String(index + 1),
}))

interface Fake extends Generator {
  readonly requests: SampleRequest[]
}

/** Writes texts that say what they were asked for; `before` may fail or wait. */
function fake(options: { n?: boolean; before?: (request: SampleRequest) => Promise<void> | void } = {}): Fake {
  const requests: SampleRequest[] = []
  return {
    id: 'fake',
    capabilities: { prefill: true, n: options.n ?? true, stopReason: true, logprobs: false, seed: true },
    requests,
    async sample(request, { signal } = {}) {
      requests.push(request)
      await options.before?.(request)
      signal?.throwIfAborted()
      return Array.from({ length: request.n ?? 1 }, (_, index) => ({
        text: `${request.problem} ${request.seed}/${request.path}/${index}\n\nThe answer is 3.`,
        ended: index === 1 ? ('length' as const) : ('answer' as const),
        promptTokens: 10,
        tokens: 5 + index,
      }))
    },
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

const linesIn = (folder: string, file: string): Record<string, unknown>[] =>
  readFileSync(join(folder, file), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))

const withoutTimes = (folder: string): string =>
  readFileSync(join(folder, 'candidates.jsonl'), 'utf8').replaceAll(/"ms":\d+/g, '')

/** Generates, with what is usual in these tests. */
function run(folder: string, policy: Generator, more: Partial<GenerateOptions> = {}): ReturnType<typeof generate> {
  return generate({ problems, policy, run: folder, n: 20, request: { seed: 3 }, ...more })
}

test('Candidates come in the order of the problems, in the format that eval reads, whatever the concurrency', async t => {
  await withFolder(async folder => {
    const slow = fake({ before: ({ problem }) => sleep(problem.includes('0') ? 20 : 1) })
    const summary = await run(join(folder, 'a'), slow, { concurrency: 5 })
    await run(join(folder, 'b'), fake(), { concurrency: 1 })
    t.is(withoutTimes(join(folder, 'a')), withoutTimes(join(folder, 'b')))
    const records = await all(readDataset(join(folder, 'a', 'candidates.jsonl'), { kind: 'candidates', strict: true }))
    t.deepEqual(
      records.map(({ id, problem, answer, candidates }) => [id, problem, answer, candidates.length]),
      problems.map(({ id, problem, answer }) => [id, problem, answer, 20]),
    )
    t.like(records[2]!.candidates[9], {
      text: 'What is 2 + 1? 3/8/1\n\nThe answer is 3.',
      tokens: 6,
      generator: 'fake',
    })
    t.is(typeof records[0]!.candidates[0]!.ms, 'number')
    t.like(summary, { problems: 6, failed: 0, candidates: 120, promptTokens: 6 * 3 * 10, estimated: 0 })
    t.deepEqual(summary.ended, { answer: 102, length: 18 })
    t.is(summary.tokens, 6 * (2 * (8 * 5 + 28) + 4 * 5 + 6))
    t.deepEqual(JSON.parse(readFileSync(join(folder, 'a', 'summary.json'), 'utf8')), summary)
  })
})

test('A policy that writes many samples at once is asked for eight, another for one', async t => {
  await withFolder(async folder => {
    const many = fake()
    await run(join(folder, 'many'), many, { limit: 1, concurrency: 1 })
    t.deepEqual(
      many.requests.map(({ n, path }) => [n, path]),
      [
        [8, ''],
        [8, '8'],
        [4, '16'],
      ],
    )
    const single = fake({ n: false })
    const summary = await run(join(folder, 'single'), single, { limit: 1, concurrency: 1, n: 3 })
    t.deepEqual(
      single.requests.map(({ n, path }) => [n, path]),
      [
        [1, ''],
        [1, '1'],
        [1, '2'],
      ],
    )
    t.is(summary.promptTokens, 30)
  })
})

test('A problem that fails is a line with its error, and is tried again by resume, alone', async t => {
  await withFolder(async folder => {
    let broken = true
    const before = ({ problem, path }: SampleRequest): void => {
      const fails = broken && problem.includes('2 +') && path === '8'
      if (fails) throw new SurefootError('ERR_CONTEXT_OVERFLOW', '9000 tokens, the model reads 4096')
    }
    const first = await run(folder, fake({ before }), { concurrency: 1 })
    t.like(first, { problems: 6, failed: 1, candidates: 5 * 20 + 8 })
    t.deepEqual(first.failures, [
      { id: 'p2', code: 'ERR_CONTEXT_OVERFLOW', message: '9000 tokens, the model reads 4096' },
    ])
    const line = linesIn(folder, 'candidates.jsonl')[2]
    t.like(line, { id: 'p2', answer: '3', candidates: [], error: { code: 'ERR_CONTEXT_OVERFLOW' } })
    const rejected: string[] = []
    const read = readDataset(join(folder, 'candidates.jsonl'), {
      kind: 'candidates',
      onRejected: row => rejected.push(row.field),
    })
    t.is((await all(read)).length, 5)
    t.deepEqual(rejected, ['candidates'], 'what lacks is seen, not passed over')
    broken = false
    const again = fake()
    const second = await run(folder, again, { resume: true })
    t.like(second, { failed: 0, candidates: 120 })
    t.deepEqual(
      again.requests.map(({ problem, path }) => [problem, path]),
      [
        ['What is 2 + 1?', '8'],
        ['What is 2 + 1?', '16'],
      ],
    )
    await run(join(folder, 'whole'), fake())
    t.is(withoutTimes(folder), withoutTimes(join(folder, 'whole')))
  })
})

test('An abort keeps what was answered, resume does the rest, and a torn last line is done again', async t => {
  await withFolder(async folder => {
    const stop = new AbortController()
    const reason = new Error('enough')
    let calls = 0
    const before = (): void => {
      if (++calls === 8) stop.abort(reason)
    }
    const progress: GenerateProgress[] = []
    t.is(await t.throwsAsync(run(folder, fake({ before }), { concurrency: 2, signal: stop.signal })), reason)
    const journal = join(folder, 'problems.jsonl')
    const kept = linesIn(folder, 'problems.jsonl').length
    t.true(kept >= 6 && kept <= 7)
    appendFileSync(journal, '{"problem":5,"id":"p5","from":0,"cand')
    const rest = fake()
    await run(folder, rest, { resume: true, onProgress: event => progress.push(event) })
    t.is(rest.requests.length, 18 - kept)
    t.true(progress.at(-1)!.resumed > 0)
    t.is(progress.at(-1)!.candidates, 120)
    await run(join(folder, 'whole'), fake())
    t.is(withoutTimes(folder), withoutTimes(join(folder, 'whole')))
    const done = fake()
    await run(folder, done, { resume: true })
    t.is(done.requests.length, 0)
  })
})

test('Resume refuses another configuration by its name, and a folder is not overwritten', async t => {
  await withFolder(async folder => {
    await run(folder, fake(), { n: 2 })
    const other = (more: Partial<GenerateOptions>) => failureOf(run(folder, fake(), { n: 2, resume: true, ...more }))
    t.regex(await other({ n: 3 }), /another configuration: n was 2 and is 3/)
    t.regex(await other({ request: { seed: 4 } }), /request\.seed was 3 and is 4/)
    t.regex(await other({ request: { seed: 3, temperature: 1 } }), /request\.temperature was 0\.7 and is 1/)
    t.regex(await other({ policy: fromFunction(() => 'x', { id: 'other' }) }), /policy\.id was "fake" and is "other"/)
    t.regex(await other({ problems: problems.toReversed() }), /data\.sha256 was/)
    t.is(await other({ concurrency: 3 }), 'no error')
    t.regex(await failureOf(run(folder, fake(), { n: 2 })), /holds a run already/)
  })
})

test('What fails for all problems alike ends the run; what is wrong with the options, before it begins', async t => {
  await withFolder(async folder => {
    const before = (): void => {
      throw new SurefootError('ERR_CAPABILITY', 'no min-p')
    }
    t.regex(await failureOf(run(join(folder, 'a'), fake({ before }))), /^ERR_CAPABILITY: no min-p/)
    const bug = fake({ before: () => Promise.reject(new TypeError('a bug')) })
    t.regex(await failureOf(run(join(folder, 'b'), bug)), /TypeError: a bug/)
    const wrong = async (more: Partial<GenerateOptions>) => failureOf(run(join(folder, 'c'), fake(), more))
    t.regex(await wrong({ n: 0 }), /^ERR_INVALID_ARGUMENT: n/)
    t.regex(await wrong({ concurrency: 1.5 }), /^ERR_INVALID_ARGUMENT: concurrency/)
    t.regex(await wrong({ request: { topP: 2 } }), /^ERR_INVALID_ARGUMENT: topP/)
    t.regex(await wrong({ problems: [] }), /^ERR_INVALID_ARGUMENT: problems: no row holds a problem/)
    writeFileSync(join(folder, 'bad.jsonl'), '{"question": "", "answer": 3}\n')
    t.regex(await wrong({ problems: join(folder, 'bad.jsonl') }), /1 rows do not fit; the first: .*question/)
  })
})

test('The answer to every request is written before the next one is made', async t => {
  await withFolder(async folder => {
    const seen: number[] = []
    const before = (): void => {
      seen.push(readFileSync(join(folder, 'problems.jsonl'), 'utf8').split('\n').length - 1)
    }
    await run(folder, fake({ before, n: false }), { concurrency: 1, limit: 2, n: 3 })
    t.deepEqual(seen, [0, 1, 2, 3, 4, 5])
  })
})

test('Progress says how far, how fast and how long', t => {
  const progress = {
    phase: 'sample',
    problems: 10,
    failed: 2,
    candidates: 60,
    total: 80,
    resumed: 20,
    tokens: 5000,
  } as const
  t.is(
    generateText(progress, 20),
    '60 of 80 candidates, 20 of them from before, 2 problems failed: 2.0 candidates/s, 250 tokens/s, 10 s left',
  )
})

test('The command that goes on can be pasted', t => {
  t.is(
    resumeCommand(['generate', '--problems', "it's.jsonl", '--stop', '\n\n', '--n', '8']),
    `surefoot generate --problems 'it'\\''s.jsonl' --stop '\n\n' --n 8 --resume`,
  )
  t.is(resumeCommand(['generate', '--resume']), 'surefoot generate --resume')
})
