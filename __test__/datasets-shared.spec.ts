import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import type { Kind, LabelRecord } from '../src/datasets/index.ts'
import { type Reading, readAll } from './helpers/datasets.ts'
import { readShared } from './helpers/shared.ts'

/** What is read from ../shared/data/`path`; null without that data. */
async function read<K extends Kind>(t: ExecutionContext, path: string, kind: K): Promise<Reading<K> | null> {
  if (readShared(t, path) === null) return null
  return readAll(fileURLToPath(new URL(`../../shared/data/${path}`, import.meta.url)), { kind })
}

const counts = <T>(values: readonly T[]): [T, number][] => {
  const found = new Map<T, number>()
  for (const value of values) found.set(value, (found.get(value) ?? 0) + 1)
  return [...found].toSorted()
}

test('GSM8K: 7,473 problems with their answers', async t => {
  const reading = await read(t, 'problems/gsm8k/train.jsonl', 'problem')
  if (!reading) return
  const { records, rejected } = reading
  t.deepEqual([records.length, rejected.length], [7473, 0])
  t.deepEqual(
    records.slice(0, 3).map(({ id, answer }) => [id, answer]),
    [
      ['train.jsonl:1', '72'],
      ['train.jsonl:2', '10'],
      ['train.jsonl:3', '5'],
    ],
  )
  t.true(records.every(({ answer, solution }) => /^-?[\d,.]+$/.test(answer!) && solution!.length > 0))
})

test('MATH: 7,498 problems, and the two rows without an answer are rejected', async t => {
  const reading = await read(t, 'problems/math/train_problems_answers.json', 'problem')
  if (!reading) return
  t.is(reading.records.length, 7498)
  t.is(reading.records[0]!.answer, '\\frac{1}{4}')
  t.deepEqual(
    reading.rejected.map(({ line, field, got }) => [line, field, got]),
    [
      [2301, 'final_answer', '""'],
      [2545, 'final_answer', '""'],
    ],
  )
})

test('HumanEval in Python and JavaScript and MBPP: 164, 164 and 974 problems with tests', async t => {
  const python = await read(t, 'problems/humaneval/HumanEval.jsonl.gz', 'code')
  const example = await read(t, 'problems/humaneval/example_problem.jsonl', 'code')
  const javascript = await read(t, 'problems/humaneval-js/humaneval-x-js.jsonl.gz', 'code')
  const mbpp = await read(t, 'problems/mbpp/mbpp.jsonl', 'code')
  if (!python || !example || !javascript || !mbpp) return
  t.deepEqual(
    [python, example, javascript, mbpp].map(({ records, rejected }) => [records.length, rejected.length]),
    [
      [164, 0],
      [1, 0],
      [164, 0],
      [974, 0],
    ],
  )
  t.like(python.records[0], { id: 'HumanEval/0', entryPoint: 'has_close_elements', language: 'python' })
  t.true(python.records.every(({ tests, entryPoint }) => tests!.trimEnd().endsWith(`check(${entryPoint})`)))
  t.like(javascript.records[163], { id: 'JavaScript/163', language: 'javascript' })
  t.true(
    javascript.records.every(({ solutions, tests }) => solutions.length === 1 && tests!.includes('console.assert')),
  )
  t.like(mbpp.records[0], { id: '1', language: 'python' })
  t.true(mbpp.records.every(({ tests }) => tests!.includes('assert ')))
  t.is(mbpp.records[0]!.tests!.match(/^assert /gm)?.length, 3)
})

test('ProcessBench: 400 solutions, half of them right, with the index of the first wrong step', async t => {
  const reading = await read(t, 'steps/processbench/gsm8k.json', 'labels')
  if (!reading) return
  const { records, rejected } = reading
  t.deepEqual([records.length, rejected.length], [400, 0])
  t.is(records.filter(({ firstError }) => firstError === -1).length, 193)
  t.is(records.filter(({ answerCorrect }) => answerCorrect).length, 200)
  t.like(records[0], { id: 'gsm8k-0', firstError: 1, group: 'gsm8k', generator: 'Qwen2-7B-Instruct' })
  t.deepEqual(records[0]!.labels.slice(0, 3), [1, 0, null])
  t.true(records.every(consistent))
})

test('BIG-Bench Mistake: three tasks of 300 chains', async t => {
  const expected = { logical_deduction: 6, multistep_arithmetic: 62, tracking_shuffled_objects: 40 }
  for (const [task, right] of Object.entries(expected)) {
    const reading = await read(t, `steps/bigbench-mistake/${task}.jsonl`, 'labels')
    if (!reading) return
    const { records, rejected } = reading
    t.deepEqual([records.length, rejected.length], [300, 0])
    t.is(records.filter(({ firstError }) => firstError === -1).length, right)
    t.true(records.every(record => record.group === task && consistent(record)))
  }
  const arithmetic = await read(t, 'steps/bigbench-mistake/multistep_arithmetic.jsonl', 'labels')
  t.like(arithmetic!.records[0], { firstError: 3, answer: '-2116', answerCorrect: false })
})

/** Right before the first error, wrong there, not judged behind it. */
function consistent({ labels, firstError }: LabelRecord): boolean {
  if (firstError === -1) return labels.every(label => label === 1)
  return labels.every((label, index) => label === (index < firstError! ? 1 : index === firstError ? 0 : null))
}

test('PRM800K, Math-Shepherd and MATH-APS in their own formats', async t => {
  const prm800k = await read(t, 'steps/native-formats/samples_prm800k.jsonl', 'labels')
  const shepherd = await read(t, 'steps/native-formats/samples_math-shepherd.jsonl', 'labels')
  const flat = await read(t, 'steps/native-formats/samples_math-aps.jsonl', 'labels')
  const tree = await read(t, 'steps/native-formats/samples_math-aps-tree.jsonl', 'labels')
  if (!prm800k || !shepherd || !flat || !tree) return
  for (const { rejected } of [prm800k, shepherd, flat, tree]) t.deepEqual(rejected, [])
  t.deepEqual(
    prm800k.records.map(({ group, steps, labels, firstError }) => [group, steps.length, labels.at(-1), firstError]),
    [
      ['phase 1', 6, 1, -1],
      ['phase 2', 7, 0, 6],
      ['phase 1', 5, 1, -1],
      ['phase 1', 7, 1, -1],
      ['phase 1', 8, 1, null],
    ],
  )
  t.is(prm800k.records[0]!.steps[1], 'We have $3p+e=1.24$ and $5p+e=1.82$.')
  t.like(prm800k.leftOut, [{ line: 6, reason: 'is_initial_screening_question' }])
  t.deepEqual(
    shepherd.records.map(({ firstError }) => firstError),
    [4, 0, 0, 0, 1, 0, 0],
  )
  t.true(shepherd.records.every(({ steps, group }) => steps[0]!.startsWith('Step 1:') && group === 'GSM8K'))
  t.deepEqual(
    counts(flat.records.map(({ problem }) => problem.slice(0, 20))).map(([, count]) => count),
    [7, 81, 36],
  )
  t.deepEqual(
    counts(tree.records.map(({ problem }) => problem.slice(0, 20))).map(([, count]) => count),
    [137, 85, 20],
  )
  // Both forms hold the tree of one problem: the paths that are the same in both are most of them.
  const path = ({ steps, labels }: LabelRecord): string => JSON.stringify([steps, labels])
  const inTree = new Set(tree.records.map(path))
  t.is(flat.records.filter(record => inTree.has(path(record))).length, 76)
})

test('recorded candidates of OpenR, Qwen and grade-school-math: 100 x 4, 50 x 8 and 600 x 4', async t => {
  const openr = await read(t, 'candidates/math500-prm-scored/first100.json', 'candidates')
  const qwen = await read(t, 'candidates/math-rm-scored/first50.jsonl', 'candidates')
  const school = await read(t, 'candidates/gsm8k-four-models/first600.jsonl', 'candidates')
  if (!openr || !qwen || !school) return
  t.deepEqual(
    [openr, qwen, school].map(({ records, rejected }) => [records.length, rejected.length]),
    [
      [100, 0],
      [50, 0],
      [600, 0],
    ],
  )
  t.true(openr.records.every(({ candidates }) => candidates.length === 4))
  t.true(openr.records.every(({ candidates }) => candidates.every(c => c.scores!.length === c.steps!.length)))
  t.like(openr.records[0], { answer: '5', candidates: [{ tokens: 236 }] })
  t.deepEqual(Object.keys(openr.records[0]!.recorded!), [
    'majority_vote',
    'prm_min_max',
    'prm_min_vote',
    'prm_last_max',
    'prm_last_vote',
  ])
  t.true(
    qwen.records.every(({ candidates }) => candidates.length === 8 && candidates.every(c => c.score !== undefined)),
  )
  t.like(qwen.records[0], { id: '0', answer: '420', candidates: [{ score: 3.546875, correct: true, answer: '420' }] })
  t.true(school.records.every(({ candidates }) => candidates.length === 4))
  const right = school.records.flatMap(({ candidates }) => candidates.filter(({ correct }) => correct))
  t.deepEqual(
    [counts(school.records.map(({ candidates }) => candidates.filter(c => c.correct).length)), right.length / 2400],
    [
      [
        [0, 204],
        [1, 129],
        [2, 102],
        [3, 87],
        [4, 78],
      ],
      0.3775,
    ],
  )
})

test('a folder of candidates in three formats is read file by file', async t => {
  if (readShared(t, 'candidates/gsm8k-four-models/first600.jsonl') === null) return
  const { records, rejected } = await readAll(fileURLToPath(new URL('../../shared/data/candidates', import.meta.url)), {
    kind: 'candidates',
  })
  t.deepEqual([records.length, rejected.length], [750, 0])
  t.is(new Set(records.map(({ id }) => id)).size, 750)
})
