import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as pathOf } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { annotateConsensus } from '../src/annotate/consensus-live.ts'
import { type ConsensusSummary, type JoinConsensusOptions, joinConsensus } from '../src/annotate/consensus-run.ts'
import { join } from '../src/annotate/join.ts'
import type { Judge } from '../src/annotate/judge.ts'
import { found } from '../src/annotate/judges/judgement.ts'
import { prmJudge } from '../src/annotate/judges/prm.ts'
import { consensusFiles, consensusText } from '../src/cli/annotate-consensus.ts'
import { readDataset } from '../src/datasets/index.ts'
import type { LabelRecord, Provenance } from '../src/datasets/records.ts'
import { labelled, textScorer } from './helpers/evaluation.ts'
import { readShared } from './helpers/shared.ts'

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(pathOf(tmpdir(), 'surefoot-consensus-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const invalid = (message: RegExp) => ({ code: 'ERR_INVALID_ARGUMENT', message })

/** A solution of three steps, judged. */
function judged(id: string, firstError: number | null, more: Partial<LabelRecord> = {}): LabelRecord {
  const labels = [0, 1, 2].map(step =>
    firstError === null ? null : firstError < 0 || step < firstError ? 1 : step === firstError ? 0 : null,
  )
  const steps = ['One', 'Two', 'Three'].map(step => `${step} of ${id}.`)
  return { ...labelled(id, labels), steps, firstError, ...more }
}

function by(method: Provenance['method'], name: string, more: Partial<Provenance> = {}): { provenance: Provenance } {
  return { provenance: { method, by: [name], ...more } }
}

async function* stream(records: Iterable<LabelRecord>): AsyncGenerator<LabelRecord> {
  yield* records
}

async function joined(files: readonly (readonly LabelRecord[])[], window?: number): Promise<string[]> {
  const rows: string[] = []
  for await (const row of join(files.map(stream), window)) rows.push(row.map(record => record?.id ?? '-').join(' '))
  return rows
}

const ids = (...names: readonly string[]): LabelRecord[] => names.map(name => judged(name, -1))

test('Files in one order are joined by their texts, and what one lacks is a gap', async t => {
  t.deepEqual(await joined([ids('a', 'b', 'c'), ids('a', 'b', 'c')]), ['a a', 'b b', 'c c'])
  t.deepEqual(await joined([ids('a', 'c'), ids('a', 'b', 'c'), ids('b', 'c', 'd')]), [
    'a a -',
    'c c c',
    '- b b',
    '- - d',
  ])
  t.deepEqual(await joined([ids('a', 'b', 'c'), ids('c', 'a', 'b')]), ['a a', 'b b', 'c c'])
  t.deepEqual(await joined([[], ids('a')]), ['- a'])
  const renamed = [{ ...judged('a', -1), id: 'x', steps: ['Step 1: one of  A.', 'Two of a.', 'Three of a.'] }]
  t.deepEqual(await joined([ids('a'), renamed]), ['a x'], 'neither ids nor white space decide')
  const twice = [judged('a', -1), { ...judged('a', 0), id: 'again' }]
  t.deepEqual(await joined([twice, twice]), ['a a', 'again again'], 'one text twice is joined in order')
})

test('No file is read farther ahead than the window, and every record comes once', async t => {
  const names = Array.from({ length: 400 }, (_, i) => `n${i}`)
  const other = names.filter((_, i) => i % 7 !== 3).map((name, i, all) => (i % 10 === 0 ? (all[i + 5] ?? name) : name))
  const counts = { lead: 0, far: 0 }
  const counted = async function* (records: LabelRecord[], which: 'lead' | 'far'): AsyncGenerator<LabelRecord> {
    for (const record of records) {
      counts[which]++
      yield record
    }
  }
  const unique = [...new Set(other)]
  let [most, given] = [0, 0]
  const seen: [string | undefined, string | undefined][] = []
  for await (const [a, b] of join([counted(ids(...names), 'lead'), counted(ids(...unique), 'far')], 16)) {
    seen.push([a?.id, b?.id])
    given += Number(a !== null) + Number(b !== null)
    most = Math.max(most, counts.lead + counts.far - given)
  }
  t.deepEqual(seen.flatMap(([a]) => a ?? []).sort(), [...names].sort())
  t.deepEqual(seen.flatMap(([, b]) => b ?? []).sort(), [...unique].sort())
  t.true(seen.every(([a, b]) => a === undefined || b === undefined || a === b))
  t.is(seen.filter(([a, b]) => a !== undefined && b !== undefined).length, unique.length)
  t.true(most > 8 && most <= 2 * 16 + 2, `${most} records wait`)
  const between = names.flatMap(name => [name, `${name} alone`])
  const paired = await joined([ids(...names), ids(...between)], 8)
  t.is(paired.filter(row => !row.includes('-')).length, 400, 'what stands between does not stop the window')
  t.is(paired.length, 800)
  const few = names.filter((_, i) => i % 9 === 4)
  const some = await joined([ids(...few), ids(...names)], 16)
  t.is(some.filter(row => !row.includes('-')).length, few.length, 'the first file may be the smaller one')
  const late = await joined([ids(...names), ids(...names.slice(12))], 16)
  t.is(late.filter(row => !row.includes('-')).length, names.length - 12)
  const far = await joined([ids(...names), ids(...names.slice(100))], 16)
  t.true(far.filter(row => !row.includes('-')).length < 300 && far.length > 400, 'a gap that is too large is seen')
  const strangers = await joined([ids(...names), ids(...names.map(name => `${name}x`))], 8)
  t.is(strangers.length, 800)
})

/** Three judges of seven solutions, with every reason to drop one. */
function sources(): Record<'rollouts' | 'prm' | 'critic', LabelRecord[]> {
  const votes: [string, number | null, number | null, number | null, Partial<LabelRecord>?][] = [
    ['agreed', 1, 1, 1],
    ['right', -1, -1, -1, { answerCorrect: true }],
    ['elsewhere', 1, 2, 1],
    ['odds', -1, 2, -1],
    ['silent', 1, null, 1],
    ['wrong answer', -1, -1, -1, { answerCorrect: false }],
  ]
  const of = (judge: 1 | 2 | 3, provenance: { provenance: Provenance }): LabelRecord[] =>
    votes.map(row => judged(row[0], row[judge], { ...row[4], ...provenance }))
  const recut = judged('recut', 1, by('generative', 'g'))
  return {
    rollouts: [
      ...of(1, by('rollouts', 'policy', { rollouts: 8, tokens: 100 })).map(record => ({
        ...record,
        rollouts: [{ hits: 3, count: 8 }, null, null],
      })),
      judged('recut', 1, by('rollouts', 'policy')),
      judged('mine', 0, by('rollouts', 'policy')),
    ],
    prm: of(2, by('prm', 'p', { tokens: 5 })),
    critic: [...of(3, by('generative', 'g')), { ...recut, steps: [recut.steps.join(' ')], labels: [0], firstError: 0 }],
  }
}

function write(path: string, name: string, records: readonly object[]): string {
  const file = pathOf(path, name)
  writeFileSync(file, records.map(record => `${JSON.stringify(record)}\n`).join(''))
  return file
}

function read<T = Record<string, unknown>>(run: string, name: string): T[] {
  const text = readFileSync(pathOf(run, name), 'utf8').trim()
  return text === '' ? [] : text.split('\n').map(line => JSON.parse(line) as T)
}

function run(
  t: ExecutionContext,
  more: Partial<JoinConsensusOptions> = {},
): Promise<ConsensusSummary> & { path: string } {
  const base = folder(t)
  const path = pathOf(base, 'run')
  const files = Object.entries(sources()).map(([name, records]) => write(base, `${name}.jsonl`, records))
  return Object.assign(joinConsensus({ judges: files, run: path, resamples: 50, ...more }), { path })
}

test('What all agree on is kept with its provenance, the rest dropped with the reason, and all of it counted', async t => {
  const work = run(t)
  const summary = await work
  const kept = read<LabelRecord>(work.path, 'annotations.jsonl')
  t.deepEqual(
    kept.map(({ id, firstError, labels }) => [id, firstError, labels]),
    [
      ['agreed', 1, [1, 0, null]],
      ['right', -1, [1, 1, 1]],
    ],
  )
  t.deepEqual(kept[0]!.provenance, {
    method: 'consensus',
    by: ['rollouts:policy', 'prm:p', 'generative:g'],
    rollouts: 8,
    tokens: 105,
    agreement: { agreed: 3, of: 3 },
  })
  t.deepEqual(kept[0]!.rollouts, [{ hits: 3, count: 8 }, null, null])
  t.true(kept[1]!.answerCorrect)
  const dropped = read<LabelRecord & { reason: string; votes: object }>(work.path, 'dropped.jsonl')
  t.deepEqual(
    dropped.map(({ id, reason }) => [id, reason]),
    [
      ['elsewhere', 'location'],
      ['odds', 'correctness'],
      ['silent', 'abstentions'],
      ['wrong answer', 'answer'],
      ['recut', 'cut'],
      ['mine', 'alone'],
    ],
  )
  t.deepEqual(dropped[0]!.votes, { 'rollouts:policy': 1, 'prm:p': 2, 'generative:g': 1 })
  t.is(dropped[0]!.steps.length, 3, 'what was dropped can be judged again')
  t.like(summary, { kind: 'consensus', solutions: 8, kept: 2 })
  t.deepEqual(summary.dropped.location, { count: 1, examples: ['elsewhere'] })
  t.is(summary.dropped.labels.count, 0)
  t.deepEqual(summary.labels, { right: 4, wrong: 1, masked: 1, withoutError: 1, withError: 1, partly: 0 })
  t.is(summary.retention?.value, 0.25)
  t.deepEqual(
    summary.judges.map(({ id, records, alone }) => [id, records, alone]),
    [
      ['rollouts:policy', 8, 1],
      ['prm:p', 6, 0],
      ['generative:g', 7, 0],
    ],
  )
  t.deepEqual(JSON.parse(readFileSync(pathOf(work.path, 'summary.json'), 'utf8')), JSON.parse(JSON.stringify(summary)))
  const again: LabelRecord[] = []
  for await (const record of readDataset(pathOf(work.path, 'annotations.jsonl'), { kind: 'labels', strict: true })) {
    again.push(record)
  }
  t.deepEqual(again, kept, 'what is kept is a dataset')
  const text = consensusText(summary, 'runs/x', true)
  for (const part of [
    '8 solutions',
    'prm:p',
    "Fleiss' kappa",
    'at odds where the error is: 1 (elsewhere)',
    'the step itself',
    'temperature of the rollouts',
  ]) {
    t.true(text.includes(part), part)
  }
})

test('Two of three keep more, and what two could say is enough where one lacks the solution', async t => {
  const work = run(t, { rule: { agree: 2 } })
  const summary = await work
  t.deepEqual(
    read<LabelRecord>(work.path, 'annotations.jsonl').map(({ id, firstError, provenance }) => [
      id,
      firstError,
      provenance!.agreement!.agreed,
    ]),
    [
      ['agreed', 1, 3],
      ['right', -1, 3],
      ['elsewhere', 1, 2],
      ['odds', -1, 2],
      ['silent', 1, 2],
    ],
  )
  t.is(summary.kept, 5)
})

test('Files that cannot make a consensus are refused, with what to do', async t => {
  const base = folder(t)
  const { rollouts, prm, critic } = sources()
  const file = (name: string, records: readonly object[]) => write(base, name, records)
  const go = (judges: JoinConsensusOptions['judges'], more: Partial<JoinConsensusOptions> = {}) =>
    joinConsensus({ judges, run: pathOf(base, 'run'), resamples: 20, ...more })
  const one = file('one.jsonl', rollouts)
  await t.throwsAsync(go([one]), invalid(/^judges: a consensus needs two or more/))
  await t.throwsAsync(go([one, one]), invalid(/rollouts:policy twice.*one judge/))
  const seed = file(
    'seed.jsonl',
    rollouts.map(record => ({ ...record, ...by('bisection', 'policy') })),
  )
  await t.throwsAsync(go([one, seed]), invalid(/rollouts:policy and bisection:policy.*one judge/))
  const mixed = file('mixed.jsonl', [prm[0]!, { ...prm[1]!, ...by('prm', 'other') }])
  await t.throwsAsync(go([one, mixed]), invalid(/right has prm by other: give each judge a file of its own/))
  const strange = file('strange.jsonl', [judged('never seen', 1, by('prm', 'p'))])
  await t.throwsAsync(
    go([one, strange], { run: pathOf(base, 'other') }),
    invalid(/no solution is in two files: rollouts:policy \(8\), prm:p \(1\)/),
  )
  t.deepEqual(
    readdirSync(pathOf(base, 'other')).filter(name => /annotations|dropped|summary|tmp/.test(name)),
    [],
    'nothing is left of it',
  )
  await t.throwsAsync(go([one, file('empty.jsonl', [])]), invalid(/empty\.jsonl hold no labelled solution/))
  await t.throwsAsync(go([one, pathOf(base, 'absent.jsonl')]), { code: 'ERR_IO' })
  await t.throwsAsync(
    go([{ source: prm }, { source: critic.map(({ provenance: _, ...record }) => record) }]),
    invalid(/pass `by`/),
  )
  await t.throwsAsync(go([{ source: prm }, { source: critic, by: '' }]), invalid(/names/))
  await t.throwsAsync(go([one, file('p.jsonl', prm)], { rule: { agree: 3 } }), invalid(/^agree: /))
  await t.throwsAsync(go([one, file('p.jsonl', prm)], { window: 0 }), invalid(/^window: /))
})

test('A run that stands is not overwritten, one that was interrupted is done again, and an abort leaves no half files', async t => {
  const base = folder(t)
  const judges = Object.entries(sources()).map(([name, records]) => write(base, `${name}.jsonl`, records))
  const path = pathOf(base, 'run')
  const options = { judges, run: path, resamples: 20 }
  const reason = new Error('enough')
  await t.throwsAsync(joinConsensus({ ...options, signal: AbortSignal.abort(reason) }), { is: reason })
  const stop = new AbortController()
  let open = 0
  const slow = async function* (): AsyncGenerator<LabelRecord> {
    open++
    try {
      for (const record of sources().prm) {
        if (record.id === 'odds') stop.abort(reason)
        yield record
      }
    } finally {
      open--
    }
  }
  const withStream = { ...options, judges: [judges[0]!, { source: slow() }, judges[2]!] }
  await t.throwsAsync(joinConsensus({ ...withStream, signal: stop.signal }), { is: reason })
  t.false(existsSync(pathOf(path, 'annotations.jsonl')))
  const twins = [
    { source: slow(), by: 'p' },
    { source: slow(), by: 'p' },
  ]
  await t.throwsAsync(joinConsensus({ ...options, run: pathOf(base, 'twins'), judges: twins }), invalid(/one judge/))
  t.is(open, 0, 'every source is closed')
  t.false(readdirSync(path).some(name => name.endsWith('.tmp')))
  rmSync(path, { recursive: true })
  const first = await joinConsensus(options)
  await t.throwsAsync(joinConsensus(options), invalid(/holds a run already/))
  await t.throwsAsync(joinConsensus({ ...options, resume: true, rule: { agree: 2 } }), invalid(/rule\.agree was "all"/))
  const { made: _, ...again } = await joinConsensus({ ...options, resume: true })
  const { made: _made, ...before } = first
  t.deepEqual(again, before)
})

test('Recorded labels of any format are a judge, by the name that they are given', async t => {
  const text = readShared(t, 'steps/processbench/gsm8k.json')
  if (text === null) return
  const rows = (JSON.parse(text) as { id: string; problem: string; steps: string[]; label: number }[]).slice(0, 40)
  const base = folder(t)
  const trl = rows.map(({ id, problem, steps, label }, i) => ({
    id,
    prompt: problem,
    completions: steps,
    labels: steps.map((_, step) => label < 0 || step < label || i % 4 === 0),
  }))
  const summary = await joinConsensus({
    judges: [
      { source: '../shared/data/steps/processbench/gsm8k.json', by: 'people' },
      { source: write(base, 'trl.jsonl', trl), by: 'others' },
    ],
    limit: 40,
    run: pathOf(base, 'run'),
    rule: { answer: 'ignore' },
    resamples: 50,
  })
  t.deepEqual(
    summary.judges.map(({ id }) => id),
    ['recorded:people', 'recorded:others'],
  )
  const spoiled = rows.filter(({ label }, i) => label >= 0 && i % 4 === 0).length
  t.true(spoiled > 0)
  t.is(summary.kept, 40 - spoiled)
  t.is(summary.agreement.location.raw?.value, (40 - spoiled) / 40)
})

/** A judge that names the same step of every solution, and counts how often it is asked. */
function stubborn(id: string, at: number): Judge & { calls: number } {
  const judge = {
    id: `generative:${id}`,
    method: 'generative' as const,
    by: [id],
    calls: 0,
    async judge({ steps }: { steps: readonly string[] }) {
      judge.calls++
      return found(at, steps.length)
    },
  }
  return judge
}

test('Judges that are asked here have a run each, are taken over on resuming, and stand beside files', async t => {
  const base = folder(t)
  const solutions = ['a', 'b', 'c'].map(id => ({
    ...judged(id, null),
    steps: ['good 0.9', `bad 0.1 of ${id}`, 'good 0.8'],
  }))
  const recorded = solutions.map(record => ({ ...record, labels: [1, 0, null], firstError: record.id === 'b' ? 0 : 1 }))
  const path = pathOf(base, 'run')
  const critic = stubborn('g', 1)
  const options = {
    solutions,
    judges: [prmJudge(textScorer(), { id: 'text' }), critic, { source: recorded, by: 'book' }],
    run: path,
    resamples: 20,
  }
  const phases = new Set<string>()
  const summary = await annotateConsensus({
    ...options,
    onProgress: event => phases.add('judge' in event ? `${event.judge} ${event.phase}` : event.phase),
  })
  t.like(summary, { solutions: 3, kept: 2 })
  t.deepEqual(
    summary.judges.map(({ id }) => id),
    ['prm:text', 'generative:g', 'recorded:book'],
  )
  t.deepEqual(readdirSync(pathOf(path, 'judges')).sort(), ['1-prm-text', '2-generative-g'])
  t.true(phases.has('prm:text judge') && phases.has('generative:g write') && phases.has('measure'))
  t.is(critic.calls, 3)
  await annotateConsensus({ ...options, resume: true })
  t.is(critic.calls, 3, 'what was judged is not asked again')
  await t.throwsAsync(
    annotateConsensus({ ...options, run: pathOf(base, 'twins'), judges: [critic, stubborn('g', 0)] }),
    invalid(/generative:g twice/),
  )
  const file = write(base, 'critic.jsonl', [judged('a', 1, by('generative', 'g'))])
  for (const source of [file, pathOf(base, 'absent.jsonl')]) {
    const late = annotateConsensus({ ...options, run: pathOf(base, 'twins'), judges: [critic, { source }] })
    await t.throwsAsync(late, { message: /generative:g twice|absent\.jsonl/ })
  }
  t.is(critic.calls, 3)
  t.false(existsSync(pathOf(base, 'twins')), 'before anything is asked')
})

test('surefoot annotate consensus joins files and a PRM that it asks, and prints the tables', async t => {
  const base = folder(t)
  const record = (id: string, firstError: number): LabelRecord => ({
    ...judged(id, firstError),
    steps: [`2 + 2 = ${id}`, 'So it goes.', 'A: 4'],
  })
  const one = write(base, 'one.jsonl', [record('4', -1), record('5', 0), record('6', 0)])
  const two = write(base, 'two.jsonl', [record('4', -1), record('5', 0), record('6', 1)])
  const lines: string[] = []
  const original = process.stdout.write
  process.stdout.write = ((text: string) => {
    lines.push(text)
    return true
  }) as typeof process.stdout.write
  const common = { device: 'cpu', precision: 'exact', quiet: true, resamples: 20 } as const
  const signal = new AbortController().signal
  try {
    const path = pathOf(base, 'files')
    t.is(await consensusFiles({ ...common, judgements: [`mine=${one}`, two], run: path, json: true }, signal), 0)
    const summary = JSON.parse(lines.join('')) as ConsensusSummary
    t.like(summary, { solutions: 3, kept: 2 })
    t.is(summary.judges[0]!.id, 'recorded:mine')
    lines.length = 0
    const live = {
      ...common,
      judgements: [`mine=${one}`, two],
      prm: true,
      threshold: 0,
      run: pathOf(base, 'live'),
    } as const
    t.is(await consensusFiles(live, signal), 0)
    t.regex(lines.join(''), /prm:embedded {2}/)
    t.regex(lines.join(''), /3 solutions, kept where all 3 judges agree on location, by instance: 1 \(33\.3 /)
    await t.throwsAsync(
      consensusFiles({ ...common, judgements: [one, two], preset: 'aslaf', run: pathOf(base, 'p') }, signal),
      invalid(/aslaf needs three judges or more, got 2/),
    )
    await t.throwsAsync(
      consensusFiles({ ...common, judgements: [one, two, `x=${one}`], preset: 'aslaf', agree: 2, run: path }, signal),
      invalid(/^agree: is decided by the preset/),
    )
  } finally {
    process.stdout.write = original
  }
})
