import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Annotation } from '../src/annotate/annotation.ts'
import { type CollectOptions, type CollectSummary, collect } from '../src/annotate/collect.ts'
import type { LabelRecord } from '../src/datasets/index.ts'
import { file, folder, lines, readAll, samples } from './helpers/datasets.ts'
import { failureOf } from './helpers/fixtures.ts'
import { readShared } from './helpers/shared.ts'

interface Collected {
  readonly summary: CollectSummary
  readonly annotations: Annotation[]
}

async function collected(t: ExecutionContext, options: Omit<CollectOptions, 'run'>): Promise<Collected> {
  const run = join(folder(t), 'run')
  const summary = await collect({ ...options, run })
  t.deepEqual(JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8')), JSON.parse(JSON.stringify(summary)))
  t.deepEqual(readdirSync(run).toSorted(), ['annotations.jsonl', 'summary.json'])
  const text = readFileSync(join(run, 'annotations.jsonl'), 'utf8')
  const annotations: Annotation[] =
    text === ''
      ? []
      : text
          .trimEnd()
          .split('\n')
          .map(line => JSON.parse(line))
  t.is(summary.kept, annotations.length)
  const { read, duplicates, contaminated, overQuota, kept } = summary
  t.is(read, duplicates + contaminated + overQuota + kept)
  return { summary, annotations }
}

const chain = (problem: string, steps: string[], more: object = {}): object => ({
  problem,
  steps,
  labels: steps.map(() => 1),
  ...more,
})

test('sources of all step-label formats are joined, with their names in ids and provenance', async t => {
  const names = ['prm800k', 'math-shepherd', 'math-aps-tree', 'bigbench-mistake', 'trl', 'processbench']
  const rows: Record<string, unknown> = { ...samples, processbench: { ...samples.processbench, problem: 'R?' } }
  const sources = names.map(name => ({ name, source: file(t, `${name}.jsonl`, lines([rows[name]])) }))
  const { summary, annotations } = await collected(t, { sources })
  t.deepEqual(
    annotations.map(({ id, provenance }) => [id, provenance]),
    [
      ['prm800k/prm800k.jsonl:1', 'prm800k'],
      ['math-shepherd/math-shepherd.jsonl:1', 'math-shepherd'],
      ['math-aps-tree/3/0', 'math-aps-tree'],
      ['math-aps-tree/3/1', 'math-aps-tree'],
      ['bigbench-mistake/bigbench-mistake.jsonl:1', 'bigbench-mistake'],
      ['trl/trl.jsonl:1', 'trl'],
      ['processbench/math-7', 'processbench'],
    ].map(([id, by]) => [id, { method: 'recorded', by: [by] }]),
  )
  t.deepEqual(annotations[2]!.labels, [0.25, 0])
  t.is(annotations[2]!.passRate, 0.5)
  t.deepEqual(
    summary.sources.map(({ read, kept }) => [read, kept]),
    [1, 1, 2, 1, 1, 1].map(n => [n, n]),
  )
  t.regex(summary.hash, /^[0-9a-f]{64}$/)
})

test('candidates and worked solutions become solutions without labels; what cannot is counted by why', async t => {
  const candidates = file(
    t,
    'c.jsonl',
    lines([
      {
        id: 'p',
        problem: 'Q?',
        answer: '4',
        candidates: [{ text: 'One.\n\n4', correct: true }, { steps: ['5'] }, { text: ' ' }],
      },
    ]),
  )
  const problems = file(
    t,
    'p.jsonl',
    lines([samples['math-500'], { ...samples['math-500'], solution: undefined, unique_id: 'b' }]),
  )
  const code = file(t, 'code.jsonl', lines([samples.mbpp, samples.mbpp]))
  const { summary, annotations } = await collected(t, { sources: [candidates, problems] })
  t.like(annotations, [
    { id: 'c/p/0', steps: ['One.', '4'], labels: [null, null], firstError: null, answer: '4', answerCorrect: true },
    { id: 'c/p/1', steps: ['5'], labels: [null] },
    { id: 'p/test/algebra/1.json', steps: ['It is \\boxed{4}.'], answerCorrect: true, subject: 'Algebra', level: '1' },
  ])
  t.deepEqual(
    summary.sources.map(({ leftOut }) => leftOut),
    [{ 'a candidate without text': 1 }, { 'a problem without a solution': 1 }],
  )
  t.is(summary.unlabelled, 3)
  t.regex(await failureOf(collect({ sources: [code], run: join(folder(t), 'r') })), /code holds no solution/)
})

test('annotations keep who labelled, rollouts and agreement, and are read as a dataset', async t => {
  const annotation = {
    ...chain('Q?', ['One.', 'Two.']),
    id: 'x',
    provenance: { method: 'rollouts', by: ['p'], rollouts: 8, tokens: 9, agreement: { agreed: 2, of: 3 } },
    rollouts: [{ hits: 3, count: 4 }, null],
    level: '3',
    passRate: 0.25,
    failure: { code: 'ERR_HTTP', message: 'no' },
  }
  const { annotations } = await collected(t, { sources: [file(t, 'a.jsonl', lines([annotation]))] })
  t.like(annotations[0], { ...annotation, id: 'a/x' })
  const { records } = await readAll(file(t, 'again.jsonl', lines(annotations)), { kind: 'labels' })
  t.deepEqual(records, annotations as LabelRecord[])
  const bad = [
    { provenance: { method: 'guess', by: [] } },
    { provenance: { method: 'prm', by: ['m'], agreement: { agreed: 4, of: 3 } } },
    { rollouts: [{ hits: 5, count: 4 }, null] },
    { rollouts: [null] },
    { passRate: 2 },
  ].map(more => ({ ...annotation, ...more }))
  const { rejected } = await readAll(file(t, 'bad.jsonl', lines(bad)), { kind: 'labels' })
  t.deepEqual(
    rejected.map(({ field }) => field),
    ['provenance.method', 'provenance.agreement.agreed', 'rollouts[0].hits', 'rollouts', 'passRate'],
  )
})

test('of solutions with the same normalised text the first stays, and other labels are counted as contradictions', async t => {
  const a = file(
    t,
    'a.jsonl',
    lines([
      chain('What is  2+2?', ['Step 1: We ADD.', 'So 4.']),
      chain('What is 2 + 2?', ['We add.', 'So 4.']),
      chain('What is 2+2?', ['We add. So 4.']),
      chain('caf\u00e9', ['x\u00b2']),
      chain('cafe\u0301', ['x\u00b2 ']),
      chain('cafe\u0301', ['x2']),
    ]),
  )
  const b = file(t, 'b.jsonl', lines([chain(' what is\n2+2? ', ['we add.', '\u200bso 4.'], { labels: [1, 0] })]))
  const { summary, annotations } = await collected(t, { sources: [a, b] })
  t.deepEqual([summary.duplicates, summary.contradictions], [2, 1])
  t.deepEqual(
    annotations.map(({ id }) => id),
    ['a/a.jsonl:1', 'a/a.jsonl:2', 'a/a.jsonl:3', 'a/a.jsonl:4', 'a/a.jsonl:6'],
  )
})

test('what overlaps with a test set is removed and counted by set, with the words', async t => {
  const long = 'A farmer has nineteen sheep and all but seven of them run away in the night'
  const tests = [
    { name: 'math', source: file(t, 'm.jsonl', lines([{ problem: `${long}; how many are left?`, answer: 7 }])) },
    {
      name: 'short',
      source: file(
        t,
        's.jsonl',
        lines([
          { problem: 'What is $1 + 1$?', answer: 2 },
          { problem: '???', answer: 0 },
        ]),
      ),
    },
  ]
  const source = file(
    t,
    'train.jsonl',
    lines([
      chain(`Once more: ${long.toUpperCase().replaceAll(' ', ', ')}. Count them.`, ['Seven.']),
      chain('Sheep?', [`We recall: ${long}.`, 'Seven.']),
      chain('what is 1+1', ['Two.']),
      chain('What is 1 - 1?', ['Nil.']),
      chain('Say what is 1 + 1, please', ['Two.']),
      chain('A farmer has nineteen sheep and all but seven of them run off at night', ['Twelve words are not enough.']),
      chain('!!!', ['Nothing is said.']),
    ]),
  )
  const { summary, annotations } = await collected(t, { sources: [source], tests })
  t.deepEqual(
    annotations.map(({ id }) => Number(id.split(':')[1])),
    [4, 5, 6, 7],
  )
  t.like(summary.tests, [
    { name: 'math', problems: 1, short: 0, contaminated: 2 },
    { name: 'short', problems: 2, short: 2, contaminated: 1 },
  ])
  t.deepEqual(summary.tests[0]!.examples[0], {
    id: 'train/train.jsonl:1',
    words: 'a farmer has nineteen sheep and all but seven of them run away',
  })
  t.is((await collected(t, { sources: [source], tests, ngram: 12 })).summary.contaminated, 4)
  t.is((await collected(t, { sources: [source] })).summary.contaminated, 0)
})

const grid = (name: string, rows: number): object[] =>
  Array.from({ length: rows }, (_, n) =>
    chain(`Problem ${n} of ${name}?`, ['One.'], { id: `${n}`, subject: `s${n % 3}`, level: `${n % 4}` }),
  )

test('quotas are exact, drawn by the seed, and the same in whatever order rows and sources come', async t => {
  const [a, b] = [file(t, 'a.jsonl', lines(grid('a', 300))), file(t, 'b.jsonl', lines(grid('b', 60)))]
  const ids = async (options: Omit<CollectOptions, 'run'>): Promise<string[]> =>
    (await collected(t, options)).annotations.map(({ id }) => id).toSorted()
  const quotas = [{ by: ['source'] as const, most: 100 }]
  const { summary, annotations } = await collected(t, { sources: [a, b], quotas })
  t.deepEqual(summary.quotas[0]!.cells, [
    { values: ['a'], available: 300, kept: 100 },
    { values: ['b'], available: 60, kept: 60 },
  ])
  t.is(summary.overQuota, 200)
  t.deepEqual(summary.by.source, { a: 100, b: 60 })
  const first = annotations.map(({ id }) => id).toSorted()
  const shuffled = file(t, 'a.jsonl', lines(grid('a', 300).toReversed()))
  t.deepEqual(await ids({ sources: [b, shuffled], quotas }), first)
  t.notDeepEqual(await ids({ sources: [a, b], quotas, seed: 1 }), first)
  // A smaller quota keeps a part of what a larger one keeps.
  const fewer = await ids({ sources: [a, b], quotas: [{ by: ['source'], most: 50 }] })
  t.true(fewer.every(id => first.includes(id)))
  // Neither the first rows nor the last: about as many of each third.
  const third = first.filter(id => id.startsWith('a/') && Number(id.slice(2)) < 100).length
  t.true(third > 20 && third < 47, `${third}`)
})

test('several quotas hold together, and no solution that is left out would fit in', async t => {
  const quotas = [
    { by: ['topic', 'difficulty'] as const, most: 4 },
    { by: [], where: { topic: 's1' }, most: 7 },
    { by: ['difficulty'] as const, most: 10 },
    { by: [], most: 35 },
  ]
  const source = file(t, 'a.jsonl', lines(grid('a', 240)))
  const { annotations, summary } = await collected(t, { sources: [source], quotas })
  const kept = new Set(annotations.map(({ id }) => id))
  const cellsOf = ({ subject, level }: Annotation): string[] => [
    `0 ${subject} ${level}`,
    ...(subject === 's1' ? ['1'] : []),
    `2 ${level}`,
    '3',
  ]
  const most = quotas.map(quota => quota.most)
  const counts = new Map<string, number>()
  for (const one of annotations) for (const cell of cellsOf(one)) counts.set(cell, (counts.get(cell) ?? 0) + 1)
  const full = (cell: string): boolean => (counts.get(cell) ?? 0) >= most[Number(cell[0])]!
  for (const [cell, count] of counts) t.true(count <= most[Number(cell[0])]!, cell)
  const all = (await collected(t, { sources: [source] })).annotations
  for (const one of all) if (!kept.has(one.id)) t.true(cellsOf(one).some(full), one.id)
  t.is(summary.quotas[1]!.cells[0]!.kept, counts.get('1') ?? 0)
})

test('answers, subjects, levels and pass rates are joined by the problem; pass rates fall into bins', async t => {
  const chains = file(t, 'chains.jsonl', lines([0, 1, 2, 3].map(n => chain(`Problem ${n}?`, [`So ${n}.`]))))
  const math = file(t, 'math.jsonl', lines([{ problem: ' problem  0?', answer: '7', subject: 'Algebra', level: 5 }]))
  const sampled = (n: number, right: number): object => ({
    id: `${n}`,
    problem: `Problem ${n}?`,
    answer: '7',
    candidates: Array.from({ length: 5 }, (_, k) =>
      k % 2 ? { text: 'So', correct: k < right } : { text: `It is \\boxed{${k < right ? 7 : 8}}.` },
    ),
  })
  const rates = file(t, 'rates.jsonl', lines([sampled(0, 5), sampled(1, 1), sampled(2, 5)]))
  const { summary, annotations } = await collected(t, { sources: [chains], problems: [math, rates] })
  t.like(annotations, [
    { answer: '7', subject: 'Algebra', level: '5', passRate: 1 },
    { answer: '7', passRate: 0.2 },
    { passRate: 1 },
    { answer: null },
  ])
  t.deepEqual(summary.by.difficulty, { 5: 1, '0.2-0.4': 1, '0.8-1': 1, unknown: 1 })
  t.deepEqual(summary.problems, { records: 4, rejected: 0, different: 3 })
  const { by } = (await collected(t, { sources: [chains], problems: [rates], bins: [0.5] })).summary
  t.deepEqual(by.difficulty, { '0.5-1': 2, '0-0.5': 1, unknown: 1 })
})

test('an abort rejects with its reason and leaves no file; a folder with annotations is not written again', async t => {
  const source = file(t, 'a.jsonl', lines(grid('a', 3000)))
  for (const phase of ['read', 'write']) {
    const run = join(folder(t), 'run')
    const abort = new AbortController()
    const reason = new Error('enough')
    const onProgress = (event: { phase: string }): void => {
      if (event.phase === phase) abort.abort(reason)
    }
    t.is(await t.throwsAsync(collect({ sources: [source], run, signal: abort.signal, onProgress })), reason)
    t.deepEqual(readdirSync(run), [])
    t.is((await collect({ sources: [source], run })).kept, 3000)
    t.regex(
      await failureOf(collect({ sources: [source], run })),
      /^ERR_INVALID_ARGUMENT: run: .* holds annotations already/,
    )
  }
})

test('a source that changes between the two readings is an error', async t => {
  const source = file(t, 'a.jsonl', lines(grid('a', 1000)))
  const changes: readonly object[][] = [grid('b', 1000), grid('a', 999), grid('a', 1001), grid('a', 1000).toReversed()]
  for (const rows of changes) {
    writeFileSync(source, lines(grid('a', 1000)))
    const run = join(folder(t), 'run')
    const onProgress = ({ phase, records }: { phase: string; records: number }): void => {
      if (phase === 'read' && records === 1000) writeFileSync(source, lines(rows))
    }
    t.regex(await failureOf(collect({ sources: [source], run, onProgress })), /^ERR_IO: a changed while it was read/)
    t.false(existsSync(join(run, 'annotations.jsonl')))
  }
})

test('progress says how much is read and written, within a file and over all', async t => {
  const sources = ['a', 'b'].map(name => file(t, `${name}.jsonl`, lines(grid(name, 6000))))
  const shares: Record<string, number[]> = { read: [], write: [] }
  const onProgress = ({ phase, share }: { phase: string; share: number }): void => void shares[phase]!.push(share)
  await collect({ sources, run: join(folder(t), 'run'), onProgress })
  for (const phase of ['read', 'write']) {
    const [some, all] = [shares[phase]!, new Set(shares[phase])]
    t.is(some.length, 12)
    t.true(all.size > 4, `${[...all]}`)
    t.true(some.every((share, index) => share >= (some[index - 1] ?? 0) && share <= 1))
  }
  // Annotations of a run are data by the name of its folder.
  const run = join(folder(t), 'run')
  await collect({ sources, run, limit: 5 })
  t.is((await readAll(run)).records.length, 10)
})

test('options that are wrong are named', async t => {
  const source = file(t, 'a.jsonl', lines(grid('a', 3)))
  const fails = (more: object): Promise<string> =>
    failureOf(collect({ sources: [source], run: join(folder(t), 'r'), ...more }))
  t.regex(await fails({ sources: [] }), /sources: must name at least one/)
  t.regex(await fails({ sources: [source, source] }), /two of them are called a; give one another name/)
  t.regex(await fails({ ngram: 0 }), /ngram: must be a whole number from 1/)
  t.regex(await fails({ bins: [0.5, 0.2] }), /bins: must rise/)
  t.regex(
    await fails({ quotas: [{ by: ['size'], most: 1 }] }),
    /quotas: must be by source, topic, difficulty, got size/,
  )
  t.regex(await fails({ quotas: [{ by: [], where: { source: 'z' }, most: 1 }] }), /there is no source z; there are a/)
  t.regex(await fails({ quotas: [{ by: [], most: -1 }] }), /most must be a whole number/)
  t.regex(await fails({ tests: [file(t, 'none.jsonl', '')] }), /none holds no problem/)
  t.regex(await fails({ seed: 0.5 }), /seed/)
  t.regex(await fails({ sources: [join(folder(t), 'no.jsonl')] }), /^ERR_IO/)
})

test('PRM800K, Math-Shepherd and MATH-APS as they are, without ProcessBench', async t => {
  const path = (name: string): string => fileURLToPath(new URL(`../../shared/data/steps/${name}`, import.meta.url))
  if (readShared(t, 'steps/processbench/gsm8k.json') === null) return
  const sources = [path('native-formats'), path('processbench/gsm8k.json')]
  const { summary } = await collected(t, { sources, tests: [path('processbench/gsm8k.json')] })
  // Every solution of ProcessBench is its own contamination. Two of the MATH-APS files hold paths of the same tree.
  t.like(summary.sources[1], { read: 400, contaminated: 400 - summary.sources[1]!.duplicates, kept: 0 })
  t.is(summary.sources[0]!.read, 378)
  t.is(summary.sources[0]!.contaminated, 0)
  t.true(summary.sources[0]!.duplicates > 0)
})

const child = fileURLToPath(new URL('./helpers/collect-child.ts', import.meta.url))
const tsx = createRequire(import.meta.url).resolve('tsx')
const MB = 2 ** 20

test.serial('sixty thousand solutions pass in flat memory: more text than the heap may hold', async t => {
  const root = folder(t)
  const step = 'We add two and two and get four, as everyone knows who has ever counted. '.repeat(8)
  for (const name of ['a', 'b']) {
    const rows = function* (): Generator<string> {
      for (let n = 0; n < 30_000; n++) yield lines([chain(`${n} of ${name}?`, [step, `${n % 100}`])])
    }
    await pipeline(Readable.from(rows()), createWriteStream(join(root, `${name}.jsonl`)))
  }
  const sources = ['a', 'b'].map(name => join(root, `${name}.jsonl`))
  const parameters = ['--max-old-space-size=48', '--import', tsx, child, ...sources, join(root, 'run')]
  const { stdout } = await promisify(execFile)(process.execPath, parameters)
  const { read, kept, peak } = JSON.parse(stdout)
  t.deepEqual([read, kept], [60_000, 60_000])
  t.true(peak < 24 * MB, `${peak} bytes`)
})

test.serial('a killed run leaves no annotations, and the same command makes the same ones', async t => {
  const root = folder(t)
  const source = join(root, 'a.jsonl')
  writeFileSync(source, lines(grid('a', 30_000)))
  const [killed, whole] = [join(root, 'killed'), join(root, 'whole')]
  const process_ = spawn(process.execPath, ['--import', tsx, child, source, killed], {
    env: { ...process.env, SHOW: '1' },
  })
  for (let dots = 0; dots < 31; ) dots += ((await once(process_.stderr, 'data'))[0] as Buffer).length
  process_.kill('SIGKILL')
  await once(process_, 'close')
  t.false(existsSync(join(killed, 'annotations.jsonl')))
  const options = { sources: [source], quotas: [{ by: ['source'] as const, most: 50_000 }] }
  await collect({ ...options, run: killed })
  await collect({ ...options, run: whole })
  const text = (run: string): string => readFileSync(join(run, 'annotations.jsonl'), 'utf8')
  t.true(text(killed) === text(whole))
  t.deepEqual(readdirSync(killed).toSorted(), ['annotations.jsonl', 'summary.json'])
})

test.serial('the commands print what was done, and why something was not', async t => {
  const root = folder(t)
  writeFileSync(join(root, 'a.jsonl'), lines([...grid('a', 10), chain('Problem 1 of a?', ['One.'])]))
  const command = async (call: string): Promise<string> => {
    const url = (name: string): string => JSON.stringify(new URL(`../src/cli/${name}.ts`, import.meta.url).href)
    const code = `const { collectFiles } = await import(${url('annotate-collect')}); const { convertFile } = await import(${url('convert')}); process.exitCode = await ${call}`
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', tsx, '--input-type=module', '--eval', code],
      { cwd: root },
    )
    return stdout
  }
  const signal = 'new AbortController().signal'
  const text = await command(
    `collectFiles({ sources: ['own=a.jsonl'], quota: ['total=8', 'topic:none=1'], quiet: true, run: 'run' }, ${signal})`,
  )
  t.regex(text, /^own: 8 of 11 kept; 1 duplicates, 0 contaminated, 2 over quota$/m)
  t.regex(text, /^no solution is of the quota \{"where":\{"topic":"none"\},"by":\[\]\}$/m)
  t.regex(text, /^8 solutions: run\/annotations.jsonl$/m)
  const converted = await command(
    `convertFile({ from: 'run/annotations.jsonl', to: 'trl', out: 'out.jsonl', quiet: true }, ${signal})`,
  )
  t.regex(converted, /^8 of 8 solutions in 8 rows of trl$/m)
  t.regex(converted, /^trl does not hold, by solutions: id \(8\), subject \(8\), level \(8\), provenance \(8\)$/m)
  t.true(existsSync(join(root, 'out.jsonl')))
})
