import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import type { Annotation } from '../src/annotate/annotation.ts'
import { bisectionJudge } from '../src/annotate/bisection.ts'
import { estimate } from '../src/annotate/estimate.ts'
import type { Judge } from '../src/annotate/judge.ts'
import { rolloutJudge } from '../src/annotate/rollouts.ts'
import { type AnnotateOptions, type AnnotateProgress, annotate } from '../src/annotate/run.ts'
import { annotateText, estimateText } from '../src/cli/annotate.ts'
import { readDataset } from '../src/datasets/index.ts'
import type { CandidateRecord, LabelRecord, ProblemRecord } from '../src/datasets/records.ts'
import { SurefootError } from '../src/errors.ts'
import { Policy } from '../src/generator/policy.ts'
import { failureOf, withFolder } from './helpers/fixtures.ts'
import { type TablePolicy, tablePolicy } from './helpers/table-policy.ts'

const chance = (steps: number): number => 0.8 / (1 + steps)

const labels: LabelRecord[] = Array.from({ length: 7 }, (_, index) => ({
  kind: 'labels',
  id: `s${index}`,
  problem: `problem ${index}`,
  steps: Array.from({ length: 2 + (index % 4) }, (_, step) => `step ${step}`),
  labels: Array.from({ length: 2 + (index % 4) }, () => null),
  firstError: null,
  answer: index === 5 ? null : '42',
  answerCorrect: index % 2 === 0,
  group: 'g',
}))

const candidates: CandidateRecord[] = [0, 1].map(index => ({
  kind: 'candidates',
  id: `c${index}`,
  problem: `problem ${index}`,
  answer: '42',
  candidates: [
    { text: 'first\n\nthen\n\nThe answer is 42', generator: 'm' },
    { text: '', correct: false },
    { text: 'one\n\ntwo\n\nthree', answer: '7' },
  ],
}))

const problems: ProblemRecord[] = Array.from({ length: 4 }, (_, index) => ({
  kind: 'problem',
  id: `p${index}`,
  problem: `problem ${index}`,
  answer: '42',
}))

const text = (folder: string, file = 'annotations.jsonl'): string => readFileSync(join(folder, file), 'utf8')

const linesOf = (folder: string, file?: string): Record<string, unknown>[] =>
  text(folder, file)
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))

type Options = Partial<AnnotateOptions> & { policy?: TablePolicy }

/** Annotates, with what is usual in these tests. */
function run(folder: string, { policy = tablePolicy(chance), ...more }: Options = {}): ReturnType<typeof annotate> {
  const data = more.problems || more.solutions ? {} : { solutions: labels }
  return annotate({ judge: rolloutJudge({ policy, k: 6 }), run: folder, separator: '\n\n', ...data, ...more })
}

test('Annotations come in the order of the data, as records that read back, whatever the concurrency', async t => {
  await withFolder(async folder => {
    const [a, b] = [join(folder, 'a'), join(folder, 'b')]
    const slow = tablePolicy(chance, ({ problem }) => sleep(problem.endsWith('0') ? 5 : 0))
    const summary = await run(a, { policy: slow, concurrency: 5 })
    await run(b, { concurrency: 1 })
    t.is(text(a), text(b))
    const records: LabelRecord[] = []
    for await (const record of readDataset(join(a, 'annotations.jsonl'), { kind: 'labels', strict: true })) {
      records.push(record)
    }
    t.deepEqual(
      records.map(({ id, steps, answer, group }) => [id, steps.length, answer, group]),
      labels.map(({ id, steps, answer, group }) => [id, steps.length, answer, group]),
    )
    const lines = linesOf(a)
    t.like(lines[1]!.provenance, { method: 'rollouts', by: ['table'] })
    const sum = (of: (line: Annotation) => number): number =>
      (lines as unknown as Annotation[]).reduce((all, line) => all + of(line), 0)
    t.is(
      summary.rollouts.used,
      sum(({ provenance }) => provenance.rollouts ?? 0),
    )
    t.is(
      summary.tokens.used,
      sum(({ provenance }) => provenance.tokens!),
    )
    t.is(summary.rollouts.sampled, slow.requests.length)
    t.is(
      summary.labels.masked + summary.labels.wrong + summary.labels.right,
      sum(({ steps }) => steps.length),
    )
    t.is(summary.firstErrors.none + summary.firstErrors.at.reduce((x, y) => x + y, 0), 6)
    t.deepEqual(summary.unjudged, { NO_ANSWER: 1 })
    t.like(lines[5], { firstError: null, failure: { code: 'NO_ANSWER' } })
    t.true(summary.rollouts.saving! > 1)
    t.is(summary.rollouts.saving, summary.rollouts.unstopped! / summary.rollouts.used)
    t.deepEqual(JSON.parse(text(a, 'summary.json')), summary)
  })
})

test('Candidates are split and graded; one without steps is counted and has no line', async t => {
  await withFolder(async folder => {
    const summary = await run(folder, { solutions: candidates })
    t.like(summary, { records: 2, solutions: 4, empty: 2, failed: 0 })
    const lines = linesOf(folder)
    t.deepEqual(
      lines.map(({ id, generator }) => [id, generator]),
      [
        ['c0/0', 'm'],
        ['c0/2', undefined],
        ['c1/0', 'm'],
        ['c1/2', undefined],
      ],
    )
    t.is(lines[1]!.answerCorrect, false)
  })
})

test('Solutions of problems are sampled first, and labelled with what the policy says of their end', async t => {
  await withFolder(async folder => {
    const policy = tablePolicy(() => 0.6)
    const sampling = { policy, n: 3, request: { seed: 5 } }
    const options = { problems, sampling, judge: rolloutJudge({ policy, k: 4 }), separator: '\n' }
    const summary = await run(folder, options)
    t.like(summary, { records: 4, solutions: 12, failed: 0 })
    const lines = linesOf(folder)
    t.deepEqual(
      lines.map(({ id }) => id),
      [0, 1, 2, 3].flatMap(problem => [0, 1, 2].map(index => `p${problem}/${index}`)),
    )
    for (const { steps, answerCorrect, labels, firstError, generator } of lines) {
      const right = (steps as string[])[1] === 'The answer is 42'
      t.is(answerCorrect, right)
      if (firstError !== 0) t.deepEqual(labels, [1, Number(right)])
      t.is(generator, 'table')
    }
    t.is(policy.requests.filter(({ n }) => n === 3).length, 4)
    t.true(summary.tokens.solutions >= 12 * 5)
    const again = tablePolicy(() => 0.6)
    await run(folder, { ...options, sampling: { ...sampling, policy: again }, resume: true })
    t.is(again.requests.length, 0, 'what was sampled is taken over')
  })
})

test('A run that was killed at any byte goes on to the same annotations', async t => {
  await withFolder(async folder => {
    const whole = join(folder, 'whole')
    const options = (policy: TablePolicy) => ({
      problems: problems.slice(0, 2),
      sampling: { policy, n: 2 },
      judge: rolloutJudge({ policy, k: 3 }),
      separator: '\n',
      concurrency: 2,
    })
    await run(whole, options(tablePolicy(chance)))
    const journal = readFileSync(join(whole, 'problems.jsonl'))
    for (let size = 0; size <= journal.length; size += size % 50 === 0 ? 1 : 7) {
      const part = join(folder, `part-${size}`)
      mkdirSync(part)
      writeFileSync(join(part, 'config.json'), readFileSync(join(whole, 'config.json')))
      writeFileSync(join(part, 'problems.jsonl'), journal.subarray(0, size))
      const policy = tablePolicy(chance)
      const summary = await run(part, { ...options(policy), resume: true })
      t.is(text(part), text(whole), `${size} bytes`)
      if (size === journal.length) t.is(policy.requests.length, 0)
      t.is(summary.solutions, 4)
    }
  })
})

test('A solution that fails costs that one, and is tried again by resume, alone', async t => {
  await withFolder(async folder => {
    let broken = true
    const before = ({ problem }: { problem: string }): void => {
      if (broken && problem === 'problem 3') throw new SurefootError('ERR_HTTP', 'the server is gone')
    }
    const first = await run(folder, { policy: tablePolicy(chance, before) })
    t.like(first, { failed: 1, solutions: 7 })
    t.deepEqual(first.failures, [{ id: 's3', code: 'ERR_HTTP', message: 'the server is gone' }])
    t.like(linesOf(folder)[3], { id: 's3', firstError: null, failure: { code: 'ERR_HTTP' } })
    broken = false
    const policy = tablePolicy(chance)
    t.like(await run(folder, { policy, resume: true }), { failed: 0 })
    t.deepEqual([...new Set(policy.requests.map(({ problem }) => problem))], ['problem 3'])
    await run(join(folder, 'whole'))
    t.is(text(folder), text(join(folder, 'whole')))
  })
})

test('A problem whose solutions cannot be sampled costs that one; what fails for all ends the run', async t => {
  await withFolder(async folder => {
    const failing = (code: 'ERR_HTTP' | 'ERR_DISPOSED'): TablePolicy =>
      tablePolicy(chance, ({ problem, n }) => {
        if (n === 2 && problem === 'problem 1') throw new SurefootError(code, 'no')
      })
    const options = (policy: TablePolicy) => ({
      problems,
      sampling: { policy, n: 2 },
      judge: rolloutJudge({ policy, k: 3 }),
      separator: '\n',
    })
    const summary = await run(join(folder, 'a'), options(failing('ERR_HTTP')))
    t.like(summary, { solutions: 6, failed: 1 })
    t.is(summary.failures[0]!.id, 'p1')
    t.is(await failureOf(run(join(folder, 'b'), options(failing('ERR_DISPOSED')))), 'ERR_DISPOSED: no')
    const other = await run(join(folder, 'a'), { ...options(tablePolicy(chance)), resume: true })
    t.like(other, { solutions: 8, failed: 0 })
    const table = tablePolicy(chance)
    const blind = { ...table, capabilities: { ...table.capabilities, prefill: false } }
    const whole = run(join(folder, 'c'), { judge: rolloutJudge({ policy: blind }) })
    t.regex(await failureOf(whole), /^ERR_CAPABILITY: /)
  })
})

test('An abort rejects with its reason, keeps what was judged, and the run goes on from there', async t => {
  await withFolder(async folder => {
    const stop = new AbortController()
    const policy = tablePolicy(chance, async ({ problem }) => {
      await sleep(1)
      if (problem === 'problem 4') stop.abort(new Error('enough'))
    })
    t.is(await failureOf(run(folder, { policy, signal: stop.signal, concurrency: 2 })), 'Error: enough')
    const kept = linesOf(folder, 'problems.jsonl').length
    t.true(kept > 0 && kept < 7)
    t.false(existsSync(join(folder, 'annotations.jsonl')))
    const events: AnnotateProgress[] = []
    await run(folder, { resume: true, onProgress: event => events.push(event) })
    await run(join(folder, 'whole'))
    t.is(text(folder), text(join(folder, 'whole')))
    t.like(events.at(-1), { phase: 'write', solutions: 7, total: 7, resumed: kept, failed: 0 })
    t.regex(
      annotateText({ ...events.at(-1)!, phase: 'judge', solutions: 6 }, 2),
      /^6 of 7 solutions, \d of them from before: .* tokens\/s, \d+ s left$/,
    )
    const late = new AbortController()
    late.abort(new Error('before'))
    t.is(await failureOf(run(join(folder, 'never'), { signal: late.signal })), 'Error: before')
  })
})

test('A run is resumed with the same judge, settings and data only', async t => {
  await withFolder(async folder => {
    await run(folder)
    const policy = tablePolicy(chance)
    t.regex(await failureOf(run(folder)), /holds a run already/)
    const other = (options: Options): Promise<string> => failureOf(run(folder, { resume: true, ...options }))
    t.regex(await other({ judge: rolloutJudge({ policy, k: 7 }) }), /judge\.k was 6 and is 7/)
    t.regex(await other({ judge: bisectionJudge({ policy, k: 6 }) }), /judge\.id was "rollouts:table"/)
    t.regex(await other({ judge: rolloutJudge({ policy, k: 6, request: { seed: 9 } }) }), /judge\.request\.seed/)
    t.regex(await other({ solutions: labels.slice(1) }), /data\.records was 7 and is 6/)
    t.is(await other({ judge: rolloutJudge({ policy, k: 6, ahead: 4 }), concurrency: 1 }), 'no error')
    appendFileSync(join(folder, 'problems.jsonl'), '{"half":')
    t.is(await other({}), 'no error')
  })
})

test('Any judge can label: one without settings, rollouts or usage', async t => {
  await withFolder(async folder => {
    const judge: Judge = {
      id: 'mine',
      method: 'generative',
      judge: async ({ steps }) => ({
        firstError: 1,
        labels: steps.map((_, step) => (step === 1 ? 0 : 1)),
        cost: { rollouts: 0, policyTokens: 3, prmTokens: 4 },
      }),
    }
    const summary = await run(folder, { judge })
    t.deepEqual(linesOf(folder)[0]!.provenance, { method: 'generative', by: ['mine'], tokens: 7 })
    t.like(summary, {
      firstErrors: { none: 0, at: [0, 7] },
      rollouts: { used: 0, sampled: 0, unstopped: null, saving: null },
      tokens: { sampled: 21, prm: 28, computed: null, reused: null },
    })
  })
})

test('An estimate annotates a sample that is kept, and its interval holds what the run then takes', async t => {
  await withFolder(async folder => {
    const many: LabelRecord[] = Array.from({ length: 120 }, (_, index) => ({
      ...labels[index % 5]!,
      id: `m${index}`,
      problem: `many ${index}`,
    }))
    const policy = tablePolicy(chance)
    const options = { solutions: many, judge: rolloutJudge({ policy, k: 6 }), run: folder, separator: '\n\n' }
    const expected = await estimate({ ...options, sample: 40 })
    t.like(expected, { records: 120, sample: 40 })
    t.is(policy.requests.length, expected.spent.rollouts)
    t.is(linesOf(folder, 'problems.jsonl').length, 40)
    t.deepEqual(await estimate({ ...options, sample: 40, resume: true }), expected, 'it is kept, too')
    const summary = await annotate({ ...options, resume: true })
    t.is(policy.requests.length, summary.rollouts.sampled)
    for (const [found, { value, low, high }] of [
      [summary.rollouts.sampled, expected.rollouts],
      [summary.tokens.sampled, expected.tokens],
    ] as const) {
      t.true(low <= found && found <= high, `${found} in ${low} to ${high}`)
      t.true(low < value && value < high)
    }
    t.true(expected.seconds.low <= expected.seconds.value && expected.seconds.value <= expected.seconds.high)
    t.regex(estimateText(expected), /^120 records will take .* \(95 %: .* to .*\):\n {2}[\d,]+ \(95 %/)
    const all = await estimate({
      ...options,
      judge: rolloutJudge({ policy, k: 6 }),
      run: join(folder, 'all'),
      sample: 500,
    })
    t.is(all.sample, 120)
    t.deepEqual(all.tokens, {
      value: summary.tokens.sampled,
      low: summary.tokens.sampled,
      high: summary.tokens.sampled,
    })
  })
})

test('The embedded policy labels its own solutions, reuses what it has computed, and says so', async t => {
  await withFolder(async folder => {
    await using policy = await Policy.load()
    const problem =
      'Mia has 8 marbles. Mia finds 2 more. Mia loses 4 of them. Mia finds 9 more. How many marbles in the end?'
    const options = (name: string, concurrency: number) => ({
      problems: [{ kind: 'problem', id: 'mia', problem, answer: '15' } as const],
      sampling: { policy, n: 6, request: { temperature: 1.3 } },
      judge: rolloutJudge({ policy, k: 4, request: { temperature: 1 } }),
      run: join(folder, name),
      concurrency,
    })
    const summary = await annotate(options('a', 8))
    await annotate(options('b', 1))
    t.is(text(join(folder, 'a')), text(join(folder, 'b')))
    t.is(summary.solutions, 6)
    t.true(summary.tokens.reused! > 0 && summary.tokens.computed! > 0)
    t.true(summary.rollouts.sampled < summary.rollouts.used, 'solutions begin alike')
  })
})

test('Options and data that cannot be annotated are refused', async t => {
  await withFolder(async folder => {
    const failure = (options: Options): Promise<string> => failureOf(run(folder, options))
    t.regex(await failure({ solutions: labels, problems }), /solutions: or problems must be given, and not both/)
    t.regex(await failure({ problems }), /sampling: is missing/)
    t.regex(await failure({ solutions: [] }), /solutions: no row holds/)
    t.regex(await failure({ concurrency: 0 }), /concurrency: /)
    t.regex(await failure({ run: '' }), /run: /)
    const file = join(folder, 'problems-only.jsonl')
    writeFileSync(file, `${JSON.stringify({ problem: 'a', answer: '1' })}\n`)
    t.regex(await failure({ solutions: file }), /holds records of kind problem, not solutions; pass them as problems/)
  })
})
