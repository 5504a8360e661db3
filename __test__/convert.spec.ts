import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import fc from 'fast-check'
import type { LabelRecord } from '../src/datasets/index.ts'
import { type Account, convert, RowMaker, type RowOptions } from '../src/datasets/write.ts'
import { rowWriters, type WrittenFormat, writtenFormats } from '../src/datasets/write-rows.ts'
import { file, folder, lines, readAll } from './helpers/datasets.ts'
import { failureOf } from './helpers/fixtures.ts'
import { readShared } from './helpers/shared.ts'

const solution = (more: Partial<LabelRecord> = {}): LabelRecord => ({
  kind: 'labels',
  id: 'a',
  problem: 'Q?',
  steps: ['One.', 'Two.'],
  labels: [1, 1],
  firstError: -1,
  answer: null,
  ...more,
})

/** The rows of solutions and the account of them. */
function made(records: readonly LabelRecord[], options: RowOptions): { rows: string[]; account: Account } {
  const maker = new RowMaker(options)
  const rows = [...records.flatMap(record => [...maker.add(record)]), ...maker.end()]
  return { rows, account: maker.account }
}

const row = (record: LabelRecord, to: WrittenFormat): unknown => {
  const { rows } = made([record], { to })
  return rows.length === 1 ? JSON.parse(rows[0]!) : null
}

test('the rows of each format are what its own tools read', t => {
  const record = solution({
    id: 'q/0',
    labels: [1, 0],
    firstError: 1,
    answer: '4',
    group: 'GSM8K',
    passRate: 0.5,
    provenance: { method: 'prm', by: ['m'] },
  })
  t.deepEqual(row(record, 'trl'), { prompt: 'Q?', completions: ['One.', 'Two.'], labels: [true, false] })
  t.deepEqual(row(record, 'math-shepherd'), {
    input: 'Q? Step 1: One. ки\nStep 2: Two. ки',
    label: 'Q? Step 1: One. +\nStep 2: Two. -',
    task: 'GSM8K',
  })
  t.like(row(record, 'prm800k'), {
    labeler: 'm',
    question: { problem: 'Q?', ground_truth_answer: '4', pre_generated_steps: ['One.', 'Two.'] },
    label: {
      steps: [
        { completions: [{ text: 'One.', rating: 1 }], human_completion: null, chosen_completion: 0 },
        { completions: [{ text: 'Two.', rating: -1 }], human_completion: null, chosen_completion: null },
      ],
      finish_reason: 'found_error',
    },
  })
  const question = { question: 'Q?', final_answer: '4', question_id: 'q' }
  t.deepEqual(row(record, 'math-aps'), {
    ...question,
    reasoning_steps: [
      { solution_prefix: 'Q?', mc_value: 0.5 },
      { solution_prefix: 'Q?\n\nOne.', mc_value: 1 },
      { solution_prefix: 'Q?\n\nOne.\n\nTwo.', mc_value: 0 },
    ],
  })
  t.deepEqual(row(record, 'math-aps-tree'), {
    ...question,
    reasoning_steps: {
      text: 'Q?',
      mc_value: 0.5,
      children: [{ text: 'One.', mc_value: 1, children: [{ text: 'Two.', mc_value: 0, children: [] }] }],
    },
  })
  t.deepEqual(row(record, 'labels'), JSON.parse(JSON.stringify(record)))
})

test('soft labels go into hard formats by a threshold, above which is right, and without one not at all', t => {
  const record = solution({ labels: [0.5, 0.25], firstError: null })
  for (const to of ['trl', 'math-shepherd', 'prm800k'] as const) {
    const { rows, account } = made([record], { to })
    t.deepEqual(rows, [])
    t.deepEqual(account.leftOut, { 'it has soft labels, and no threshold is given': 1 })
    t.like(made([record], { to, threshold: 0 }).account, { written: 1, hardened: 2 })
  }
  const labels = (threshold: number): unknown => JSON.parse(made([record], { to: 'trl', threshold }).rows[0]!).labels
  t.deepEqual([0, 0.25, 0.5].map(labels), [
    [true, true],
    [true, false],
    [false, false],
  ])
  for (const to of ['labels', 'math-aps', 'math-aps-tree'] as const) t.is(made([record], { to }).account.hardened, 0)
})

test('steps that nobody judged are cut off at the end; one before a judged step keeps the solution out', t => {
  const steps = ['One.', 'Two.', 'Three.']
  const tail = solution({ steps, labels: [1, 0, null], firstError: 1 })
  const gap = solution({ steps, labels: [1, null, 0], firstError: 2 })
  const none = solution({ steps, labels: [null, null, null], firstError: null })
  for (const to of ['trl', 'math-shepherd', 'math-aps', 'math-aps-tree'] as const) {
    const { account } = made([tail, gap, none], { to })
    t.like(account, { written: 1, cut: { steps: 1, labels: 0 } }, to)
    t.deepEqual(Object.keys(account.leftOut), [
      'a step that is not judged stands before one that is',
      'none of its steps is judged',
    ])
    t.deepEqual(
      account.examples.map(({ reason }) => reason),
      Object.keys(account.leftOut),
    )
  }
  t.like(made([tail, gap, none], { to: 'prm800k' }).account, { written: 3, cut: { steps: 1, labels: 0 } })
  t.like(made([tail, gap, none], { to: 'labels' }).account, { written: 3, cut: { steps: 0, labels: 0 } })
  const behind = solution({ steps, labels: [0, 1, 1], firstError: 0 })
  t.like(made([behind], { to: 'prm800k' }).account, { written: 1, cut: { steps: 2, labels: 2 } })
})

test('what a format does not hold, and what it says of its own accord, is counted by field', t => {
  const record = solution({
    id: 'x',
    answer: '4',
    answerCorrect: false,
    group: 'g',
    generator: 'm',
    subject: 's',
    level: '1',
    passRate: 0.5,
    provenance: { method: 'rollouts', by: ['p'], rollouts: 8, tokens: 90, agreement: { agreed: 2, of: 3 } },
    rollouts: [{ hits: 1, count: 4 }, null],
  })
  t.deepEqual(made([record], { to: 'labels' }).account.lost, {})
  const lost = { id: 1, answerCorrect: 1, group: 1, generator: 1, subject: 1, level: 1, provenance: 1, rollouts: 1 }
  t.deepEqual(made([record], { to: 'trl' }).account.lost, { ...lost, answer: 1, passRate: 1 })
  t.deepEqual(made([record], { to: 'math-aps' }).account.lost, lost)
  t.deepEqual(made([solution()], { to: 'prm800k' }).account.added, { answerCorrect: 1, group: 1 })
  // PRM800K's "solution" would say that the answer is right.
  t.deepEqual(made([record], { to: 'prm800k' }).account.lost, { ...lost, firstError: 1, passRate: 1, answerCorrect: 1 })
})

test('a text with the marks of a format in it does not reach that format', t => {
  const cases: [WrittenFormat, Partial<LabelRecord>][] = [
    ['math-shepherd', { steps: ['Cyrillic ки inside', 'Two.'] }],
    ['math-shepherd', { problem: 'What is ки?' }],
    ['math-shepherd', { steps: ['As in Step 1: we add', 'Two.'] }],
  ]
  for (const [to, more] of cases) {
    const { rows, account } = made([solution(more), solution({ id: 'b' })], { to })
    t.is(rows.length, 1)
    t.deepEqual(account.leftOut, { 'its text cannot be told from the marks of math-shepherd': 1 })
    t.is(account.examples[0]!.id, 'a')
  }
  t.is(made([solution({ problem: 'Step 1: mix. How long?' })], { to: 'math-shepherd' }).account.written, 1)
})

test('solutions of one problem share a row of MATH-APS, and those that it cannot tell apart get rows of their own', t => {
  const path = (n: number, steps: string[], labels: number[]): LabelRecord => solution({ id: `3/${n}`, steps, labels })
  const records = [
    path(0, ['A', 'B'], [1, 1]),
    path(1, ['A', 'C'], [1, 0]),
    path(2, ['D'], [0.5]),
    path(3, ['D'], [0.25]),
    path(4, ['D', 'E'], [0.5, 1]),
    path(5, ['DE'], [1]),
  ]
  t.is(made(records, { to: 'math-aps-tree' }).account.rows, 1)
  t.deepEqual(made(records, { to: 'math-aps-tree' }).account.lost, { firstError: 1 })
  const flat = made(records, { to: 'math-aps' })
  t.is(flat.account.written, 6)
  t.true(flat.account.rows > 1 && flat.account.rows < 6)
  const [shared] = made(records.slice(0, 2), { to: 'math-aps' }).rows.map(row => JSON.parse(row).reasoning_steps)
  t.deepEqual(
    shared.map(({ solution_prefix }: { solution_prefix: string }) => solution_prefix),
    ['Q?\n\nA', 'Q?\n\nA\n\nB', 'Q?\n\nA\n\nC'],
  )
  t.is(made([...records.slice(0, 2), solution({ problem: 'R?' })], { to: 'math-aps' }).account.rows, 2)
})

test('a solution of a hundred thousand steps fits in a tree, and is too long for prefixes', t => {
  const steps = Array.from({ length: 100_000 }, (_, index) => `${index}.`)
  const long = solution({ steps, labels: steps.map(() => 1) })
  t.is(made([long], { to: 'math-aps-tree' }).account.written, 1)
  t.deepEqual(made([long], { to: 'math-aps' }).account.leftOut, { 'its row would be too long to be read': 1 })
})

const native: readonly WrittenFormat[] = ['math-shepherd', 'prm800k', 'math-aps', 'math-aps-tree']

/** Fields that come back from a format beside problem, steps and labels. */
const content = ({ problem, steps, labels }: LabelRecord): string =>
  JSON.stringify([problem, steps.map(step => step.replace(/^Step \d+: /, '').trim()), labels])

test('every sample of the native formats goes through every format and back', async t => {
  const root = folder(t)
  for (const from of native) {
    const path = `steps/native-formats/samples_${from}.jsonl`
    if (readShared(t, path) === null) return
    const source = fileURLToPath(new URL(`../../shared/data/${path}`, import.meta.url))
    const { records } = await readAll(source, { kind: 'labels' })
    for (const to of writtenFormats) {
      const there = join(root, `${from}.${to}.jsonl`)
      const soft = rowWriters[to].soft
      const summary = await convert({ from: source, to, out: there, threshold: 0 })
      const lost = Object.values(summary.leftOut).reduce((sum, count) => sum + count, 0)
      t.is(summary.records, records.length)
      t.is(summary.written + lost, records.length)
      // One solution of MATH-APS, in both forms, has "Step 1:" inside its first step.
      t.is(lost, to === 'math-shepherd' && from.startsWith('math-aps') ? 1 : 0, `${from} → ${to}`)
      const read = await readAll(there, { kind: 'labels' })
      t.deepEqual([read.rejected, read.records.length], [[], summary.written])
      // Expected by the rules in the guide, by other code than the converter's.
      const expected = records
        .filter(({ steps }) => to !== 'math-shepherd' || !/\S.*Step 1:/s.test(steps[0]!.replace(/^Step 1:/, '')))
        .map(record => {
          const labels = record.labels.map(label => (soft || label === null ? label : Math.ceil(label)))
          const end = to === 'prm800k' && labels.includes(0) ? labels.indexOf(0) + 1 : labels.length
          return content({ ...record, steps: record.steps.slice(0, end), labels: labels.slice(0, end) })
        })
      t.deepEqual(read.records.map(content).toSorted(), expected.toSorted(), `${from} → ${to}`)
    }
    // Back from our own format, to the same records and, of Math-Shepherd, to the same rows.
    const back = join(root, `${from}.back.jsonl`)
    const { lost, added, cut, texts } = await convert({ from: join(root, `${from}.labels.jsonl`), to: from, out: back })
    t.deepEqual([added, cut, texts], [{}, { steps: 0, labels: 0 }, 0])
    t.deepEqual(
      Object.keys(lost).filter(name => !['id', 'group'].includes(name)),
      [],
      from,
    )
    if (from === 'math-shepherd') {
      const rows = (text: string): unknown[] =>
        text
          .trim()
          .split('\n')
          .map(line => JSON.parse(line))
      t.deepEqual(rows(readFileSync(back, 'utf8')), rows(readFileSync(source, 'utf8')))
    }
  }
})

const hostile = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
  fc.constantFrom(
    'ки',
    'Step 1:',
    'Step 2: x',
    ' +',
    '-',
    '\n\n',
    '\r\n',
    'a ки b',
    '# Answer',
    '\u2028',
    '\u00a0x\u00a0',
    '"',
    '\\',
    ']}',
    '1',
  ),
)
const text = fc
  .array(hostile, { minLength: 1, maxLength: 4 })
  .map(parts => parts.join(''))
  .filter(joined => joined.trim() !== '' && joined.isWellFormed())
const label = fc.constantFrom(0, 1, 1, null, 0.25, 0.75)
const record = fc
  .tuple(
    text,
    fc.array(fc.tuple(text, label), { minLength: 1, maxLength: 5 }),
    fc.constantFrom(null, '4', '\\frac12'),
    fc.nat(3),
  )
  .map(([problem, steps, answer, number]): LabelRecord => {
    const labels = steps.map(([, label]) => label)
    const first = labels.findIndex(label => label !== 1)
    const firstError = first < 0 ? -1 : labels[first] === 0 ? first : null
    return {
      kind: 'labels',
      id: `q/${number}`,
      problem,
      steps: steps.map(([step]) => step),
      labels,
      firstError,
      answer,
    }
  })

test('whatever the texts are, what is read again is what the rules say, and all else is counted', async t => {
  const path = file(t, 'rows.jsonl', '')
  const plain = (step: string): string => step.replace(/^\s*(Step \d+:\s*)+/, '').trim()
  const property = fc.asyncProperty(
    fc.array(record, { minLength: 1, maxLength: 6 }),
    fc.constantFrom(...writtenFormats),
    fc.constantFrom(0, 0.5),
    async (some, to, threshold) => {
      const records = some.map((one, index) => (index % 2 ? { ...one, problem: some[0]!.problem } : one))
      const { rows, account } = made(records, { to, threshold })
      writeFileSync(path, rows.map(row => `${row}\n`).join(''))
      const read = rows.length === 0 ? [] : (await readAll(path, { kind: 'labels', format: to, strict: true })).records
      const missing = Object.values(account.leftOut).reduce((sum, count) => sum + count, 0)
      t.is(read.length, account.written)
      t.is(account.written + missing, records.length)
      if (to === 'labels') t.deepEqual(read.map(content), records.map(content))
      const { soft } = rowWriters[to]
      const possible = new Set(
        records.map(({ problem, steps, labels }) => {
          const ruled = labels.map(label => (label === null || soft ? label : Number(label > threshold)))
          let end = to === 'prm800k' && ruled.includes(0) ? ruled.indexOf(0) + 1 : ruled.length
          while (to !== 'prm800k' && to !== 'labels' && end > 0 && ruled[end - 1] === null) end--
          return JSON.stringify([problem.trim(), steps.slice(0, end).map(plain), ruled.slice(0, end)])
        }),
      )
      for (const { problem, steps, labels } of read) {
        t.true(
          possible.has(JSON.stringify([problem.trim(), steps.map(plain), labels])),
          JSON.stringify({ to, threshold, read: [problem, steps, labels], records }),
        )
      }
      // Formats that only quote texts leave none out because of its text.
      const byText = Object.keys(account.leftOut).filter(reason => reason.includes('marks'))
      if (['labels', 'trl', 'prm800k', 'math-aps-tree'].includes(to)) t.deepEqual(byText, [], JSON.stringify(records))
    },
  )
  await t.notThrowsAsync(fc.assert(property, { numRuns: 1500, seed: 1 }))
})

test('a file is written whole or not at all, and options that are wrong are named', async t => {
  const root = folder(t)
  const from = file(t, 'in.jsonl', lines([{ problem: 'Q?', steps: ['One.'], labels: [1] }]))
  const out = join(root, 'out.jsonl')
  writeFileSync(out, 'before')
  const abort = new AbortController()
  const reason = new Error('enough')
  abort.abort(reason)
  t.is(await t.throwsAsync(convert({ from, to: 'trl', out, signal: abort.signal })), reason)
  t.is(readFileSync(out, 'utf8'), 'before')
  const fails = (more: object): Promise<string> => failureOf(convert({ from, to: 'trl', out, ...more }))
  t.regex(await fails({ to: 'csv' }), /^ERR_INVALID_ARGUMENT: to: must be one of labels, trl/)
  t.regex(await fails({ threshold: 1 }), /^ERR_INVALID_ARGUMENT: threshold: must be from 0 to below 1/)
  t.regex(await fails({ threshold: Number.NaN }), /^ERR_INVALID_ARGUMENT: threshold/)
  t.regex(await fails({ from: join(root, 'none.jsonl') }), /^ERR_IO/)
  t.regex(
    await fails({ from: file(t, 'bad.jsonl', '{"problem": 1, "steps": [], "labels": []}\n') }),
    /no row holds step labels: 1 rows do not fit/,
  )
  t.is(readFileSync(out, 'utf8'), 'before')
  await convert({ from, to: 'trl', out })
  t.is(readFileSync(out, 'utf8'), '{"prompt":"Q?","completions":["One."],"labels":[true]}\n')
})
