import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { datasetFormats } from '../src/datasets/index.ts'
import { file, formatTable, readAll, readRows, samples } from './helpers/datasets.ts'
import { repository } from './helpers/fixtures.ts'

const sample = (name: string): Record<string, unknown> => structuredClone(samples[name]!)

test('the guide holds the table of formats that the code gives', t => {
  const guide = readFileSync(join(repository, 'docs/guide/datasets.md'), 'utf8')
  t.is(/^\| format \|[\s\S]*?(?=\n\n|\n$)/m.exec(guide)?.[0], formatTable(datasetFormats))
})

test('every format has a sample here, and each sample is recognised among all formats and among those of its kind', async t => {
  t.deepEqual(Object.keys(samples).toSorted(), datasetFormats.map(({ name }) => name).toSorted())
  for (const { name, kind } of datasetFormats) {
    const named = await readRows(t, [sample(name)], { format: name })
    t.true(named.records.length > 0, name)
    t.deepEqual(named.rejected, [], name)
    for (const options of [{}, { kind }]) {
      t.deepEqual((await readRows(t, [sample(name)], options)).records, named.records, name)
    }
  }
})

/** Fields that tell a format apart but that a row may lack. */
const dispensable = new Set([
  'unique_id',
  'level',
  'type',
  'subfield | answer_type | is_multiple_answer',
  '6b_finetuning | 6b_verification | 175b_finetuning | 175b_verification',
  'declaration',
  'problem_id',
  'solutions',
  'input_output',
  'difficulty',
  'name',
  'public_tests',
])

test('each field that a format needs is missed when it is gone', async t => {
  for (const { name, needs } of datasetFormats) {
    for (const names of needs.filter(names => !dispensable.has(names) && `${name}.${names}` !== 'humaneval.task_id')) {
      const row = Object.fromEntries(
        Object.entries(sample(name)).filter(([field]) => !names.split(' | ').includes(field)),
      )
      const { records, rejected } = await readRows(t, [sample(name), row], { format: name })
      t.true(records.length > 0)
      t.is(rejected.length, 1, `${name} without ${names}`)
      t.is(rejected[0]!.got, 'nothing')
      t.true(
        names.split(' | ').some(field => rejected[0]!.field.includes(field)),
        `${name}: ${rejected[0]!.field}`,
      )
    }
  }
})

test('problems: every set gives its question and its answer', async t => {
  const names = datasetFormats.filter(({ kind }) => kind === 'problem').map(({ name }) => name)
  const read = async (name: string) =>
    (await readRows(t, [sample(name)], { kind: 'problem', format: name })).records[0]!
  const got = Object.fromEntries(await Promise.all(names.map(async name => [name, await read(name)])))
  t.deepEqual(got, {
    gsm8k: {
      kind: 'problem',
      id: 'rows.jsonl:1',
      problem: 'Two and two?',
      answer: '4',
      solution: '2 + 2 = <<2+2=4>>4',
    },
    'math-500': {
      kind: 'problem',
      id: 'test/algebra/1.json',
      problem: 'Solve $x = 4$.',
      answer: '4',
      solution: 'It is \\boxed{4}.',
      subject: 'Algebra',
      level: '1',
    },
    math: {
      kind: 'problem',
      id: 'rows.jsonl:1',
      problem: 'Solve $x + 1 = \\frac{3}{2}$.',
      answer: '\\frac{1}{2}',
      solution: 'First \\boxed{1}, no: \\boxed{\\frac{1}{2}}.',
      subject: 'Algebra',
      level: 'Level 2',
    },
    'math-answers': { kind: 'problem', id: 'rows.jsonl:1', problem: 'Solve $x = 4$.', answer: '4' },
    olympiadbench: {
      kind: 'problem',
      id: '1606',
      problem: 'Let $x^2 = 4$.\n\nFind all $x$.',
      answer: '2, -2',
      solution: 'We solve.\n\nDone.',
      subject: 'Algebra',
      level: 'Competition',
    },
    aime: {
      kind: 'problem',
      id: '60',
      problem: 'Find the remainder.',
      answer: '073',
      solution: 'It is \\boxed{073}.',
    },
    amc: { kind: 'problem', id: '0', problem: 'Find the ratio.', answer: '142' },
    generic: { kind: 'problem', id: 'rows.jsonl:1', problem: 'Two and two?', answer: '4' },
  })
})

test('problems: answers may be numbers, null or missing, and say so where they cannot be read', async t => {
  const rows = [
    { answer: 0.5 },
    { answer: -7 },
    { answer: null },
    {},
    { answer: ' ' },
    { answer: 1e300 },
    { answer: ['4'] },
  ]
  const { records, rejected } = await readRows(
    t,
    rows.map(row => ({ problem: 'Q?', ...row })),
    { kind: 'problem' },
  )
  t.deepEqual(
    records.map(({ answer }) => answer),
    ['0.5', '-7', null],
  )
  t.deepEqual(
    rejected.map(({ line, got }) => [line, got]),
    [
      [4, 'nothing'],
      [5, '" "'],
      [6, '1e+300'],
      [7, 'an array of 1'],
    ],
  )
})

test('AIME goes by several names of its fields, and its answers are checked', async t => {
  const rows = [
    { ID: '2024-II-4', Problem: 'Q?', Solution: 'S.', Answer: 33 },
    { ID: '1983-1', Year: 1983, 'Problem Number': 1, Question: 'Q?', Answer: '60', Part: null },
    { id: 60, problem: 'Q?', answer: '$\\boxed{204}$', url: '/2024_AIME_I' },
    { id: 61, problem: 'Q?', answer: '1000', url: '/2024_AIME_I' },
  ]
  const { records, rejected } = await readRows(t, rows, { kind: 'problem' })
  t.deepEqual(
    records.map(({ id, answer }) => [id, answer]),
    [
      ['2024-II-4', '33'],
      ['1983-1', '60'],
      ['60', '204'],
    ],
  )
  t.like(rejected[0], { line: 4, field: 'answer', expected: 'an integer from 0 to 999', got: '"1000"' })
})

test('OlympiadBench: proofs have no answer, and a problem with an image is left out', async t => {
  const proof = { ...sample('olympiadbench'), final_answer: null, context: null }
  const image = { ...sample('olympiadbench'), image_1: { bytes: null, path: '1.jpg' } }
  const { records, leftOut } = await readRows(t, [proof, image], { kind: 'problem' })
  t.deepEqual(
    records.map(({ answer, problem }) => [answer, problem]),
    [[null, 'Find all $x$.']],
  )
  t.like(leftOut, [{ line: 2, reason: 'the problem needs an image' }])
})

test('labels: every set gives its steps, their labels and the first error', async t => {
  const names = datasetFormats.filter(({ kind }) => kind === 'labels').map(({ name }) => name)
  const got: Record<string, unknown> = {}
  for (const name of names) {
    const { records } = await readRows(t, [sample(name)], { kind: 'labels', format: name })
    got[name] = records.map(({ id, problem, steps, labels, firstError }) => [id, problem, steps, labels, firstError])
  }
  const place = 'rows.jsonl:1'
  const aps = [
    ['3/0', 'Q?', ['One.', 'Wrong.'], [0.25, 0], 1],
    ['3/1', 'Q?', ['Two.'], [1], -1],
  ]
  t.deepEqual(got, {
    prm800k: [[place, 'Two and two?', ['Well.', 'It is 4.', '# Answer\n\n4'], [1, 1, 1], -1]],
    'math-shepherd': [[place, 'Two and two?', ['Step 1: 2 + 2 = 5', 'Step 2: So 5. The answer is: 5'], [0, 0], 0]],
    'math-aps': aps,
    'math-aps-tree': aps,
    'bigbench-mistake': [[place, 'Q?', ['One.', 'Two.', 'Three.'], [1, 0, null], 1]],
    prmbench: [
      ['redundency_prm_test_p1_0', 'Modified?', ['One.', 'One again.', 'Two.'], [1, 0, 1], 1],
      ['correct_prm_test_p1_0', 'Original?', ['One.', 'Two.'], [1, 1], -1],
    ],
    trl: [[place, 'Q?', ['One.', 'Two.'], [1, 0], 1]],
    labels: [[place, 'Q?', ['One.', 'Two.'], [1, 0.25], null]],
    processbench: [['math-7', 'Q?', ['One.', 'Two.', 'Three.'], [1, 0, null], 1]],
  })
})

test('PRM800K: neutral ratings are what the caller says', async t => {
  const labels = async (options: object) =>
    (await readRows(t, [sample('prm800k')], { kind: 'labels', ...options })).records[0]!.labels
  t.deepEqual(await labels({}), [1, 1, 1])
  t.deepEqual(await labels({ neutral: 'right' }), [1, 1, 1])
  t.deepEqual(await labels({ neutral: 'wrong' }), [0, 1, 1])
  t.deepEqual(await labels({ neutral: 'masked' }), [null, 1, 1])
})

const completion = (text: string, rating: number | null) => ({ text, rating, flagged: null })
const chosen = (text: string, rating: number | null) => ({
  completions: [completion(text, rating)],
  human_completion: null,
  chosen_completion: 0,
})
const unchosen = {
  completions: [completion('Bad.', -1), completion('Good.', 1)],
  human_completion: null,
  chosen_completion: null,
}

function prm800k(phase: 1 | 2, finish_reason: string, steps: readonly unknown[], more: object = {}) {
  const question = { problem: 'Q?', ground_truth_answer: '4', ...(phase === 2 && { pre_generated_steps: ['One.'] }) }
  return {
    ...sample('prm800k'),
    generation: phase === 2 ? 9 : null,
    question,
    label: { steps, finish_reason },
    ...more,
  }
}

test('PRM800K: phase 2 ends at the wrong step, phase 1 before a step that nobody chose', async t => {
  const rows = [
    prm800k(2, 'found_error', [chosen('One.', 1), unchosen]),
    prm800k(1, 'give_up', [chosen('One.', 1), unchosen]),
    prm800k(2, 'solution', [chosen('One.', 1), chosen('4', null)]),
    prm800k(1, 'solution', [chosen('One.', -1), chosen('4', 1)]),
  ]
  const { records } = await readRows(t, rows, { kind: 'labels' })
  t.deepEqual(
    records.map(({ steps, labels, firstError, answerCorrect, group }) => [
      steps,
      labels,
      firstError,
      answerCorrect,
      group,
    ]),
    [
      [['One.', 'Bad.'], [1, 0], 1, undefined, 'phase 2'],
      [['One.'], [1], null, undefined, 'phase 1'],
      [['One.', '4'], [1, null], -1, true, 'phase 2'],
      [['One.', '4'], [0, 1], 0, true, 'phase 1'],
    ],
  )
})

test('PRM800K: screening and control rows and bad problems are left out, and what does not fit is named', async t => {
  const rows = [
    prm800k(2, 'solution', [chosen('One.', 1)], { is_quality_control_question: true }),
    prm800k(1, 'solution', [chosen('One.', 1)], { is_initial_screening_question: true }),
    prm800k(1, 'bad_problem', [chosen('One.', 1)]),
    prm800k(1, 'give_up', [unchosen]),
    prm800k(1, 'solution', [unchosen, chosen('4', 1)]),
    prm800k(1, 'solution', [chosen('4', 2)]),
    prm800k(1, 'lunch', [chosen('4', 1)]),
    prm800k(1, 'solution', [{ ...chosen('4', 1), chosen_completion: 1 }]),
    prm800k(1, 'solution', []),
  ]
  const { records, rejected, leftOut } = await readRows(t, rows, { kind: 'labels', format: 'prm800k' })
  t.deepEqual(records, [])
  t.deepEqual(
    leftOut.map(({ line, reason }) => [line, reason]),
    [
      [1, 'is_quality_control_question'],
      [2, 'is_initial_screening_question'],
      [3, 'finish_reason is bad_problem'],
      [4, 'no step was chosen'],
    ],
  )
  t.deepEqual(
    rejected.map(({ line, field, got }) => [line, field, got]),
    [
      [5, 'label.steps[0].chosen_completion', 'null'],
      [6, 'label.steps[0].completions[0].rating', '2'],
      [7, 'label.finish_reason', '"lunch"'],
      [8, 'label.steps[0].chosen_completion', '1'],
      [9, 'label.steps', 'an array of 0'],
    ],
  )
})

test('Math-Shepherd: the label must be the input with a sign for each mark', async t => {
  const row = (input: string, label: string) => ({ input, label, task: 'MATH' })
  const rows = [
    row('Step 1: mix. How long? Step 1: A ки\nStep 2: B ки\n', 'Step 1: mix. How long? Step 1: A +\nStep 2: B -\n'),
    row('Q? Step 1: A ки', 'Q? Step 1: B +'),
    row('Q? Step 1: A ки', 'Q? Step 1: A ?'),
    row('Q? Step 1: A ки Step 2: B ки', 'Q? Step 1: A +'),
    row('Q? Step 1: A ки', 'Q? Step 1: A + Step 2: B +'),
    row('Q? A ки', 'Q? A +'),
    row('Step 1: A ки', 'Step 1: A +'),
    row('Q? Step 1: A ки ки', 'Q? Step 1: A + +'),
    row('Q? Step 1: A ки rest', 'Q? Step 1: A + rest'),
  ]
  const { records, rejected } = await readRows(t, rows, { kind: 'labels' })
  t.like(records, [
    { problem: 'Step 1: mix. How long?', steps: ['Step 1: A', 'Step 2: B'], labels: [1, 0], firstError: 1 },
  ])
  t.deepEqual(
    rejected.map(({ line, field }) => [line, field]),
    [
      [2, 'label'],
      [3, 'label'],
      [4, 'label'],
      [5, 'label'],
      [6, 'input'],
      [7, 'input'],
      [8, 'input'],
      [9, 'input'],
    ],
  )
})

test('MATH-APS: a node that does not fit is rejected by itself, and the other paths are read', async t => {
  const tree = sample('math-aps-tree') as { reasoning_steps: { children: object[] } }
  tree.reasoning_steps.children.splice(1, 0, { text: 'Bad.', mc_value: 1.5, children: [{ text: 'x', mc_value: 1 }] })
  const flat = sample('math-aps') as { reasoning_steps: object[] }
  flat.reasoning_steps.splice(1, 0, { solution_prefix: 'R?', mc_value: 1 })
  for (const [row, field] of [
    [tree, 'reasoning_steps.children[1].mc_value'],
    [flat, 'reasoning_steps[1].solution_prefix'],
  ] as const) {
    const { records, rejected } = await readRows(t, [row], { kind: 'labels' })
    t.deepEqual(
      records.map(({ steps }) => steps),
      [['One.', 'Wrong.'], ['Two.']],
    )
    t.deepEqual(
      rejected.map(rejected => rejected.field),
      [field],
    )
  }
})

test('MATH-APS: a tree a hundred thousand steps deep is one path', async t => {
  const depth = 100_000
  const root = '{"question": "Q?", "reasoning_steps": {"text": "Q?", "children": ['
  const steps = '{"text": "Step.", "mc_value": 1, "children": ['.repeat(depth) + ']}'.repeat(depth)
  const { records } = await readAll(file(t, 'deep.jsonl', `${root}${steps}]}}\n`), { kind: 'labels' })
  t.deepEqual(
    records.map(record => record.steps.length),
    [depth],
  )
})

test('problems: the last box is found in a solution with a hundred thousand that never close', async t => {
  const solution = `${'\\boxed{\n'.repeat(100_000)}\\fbox{4}`
  const { records } = await readRows(t, [{ ...sample('math'), solution }], { kind: 'problem' })
  t.is(records[0]!.answer, '4')
  const { rejected } = await readRows(t, [sample('math'), { ...sample('math'), solution: 'It is \\boxed{ }.' }])
  t.like(rejected, [{ line: 2, field: 'solution', expected: 'a solution with its answer in \\boxed{}' }])
})

test('labels and steps must be as many', async t => {
  const rows = [
    { problem: 'Q?', steps: ['One.'], labels: [1, 1] },
    { problem: 'Q?', steps: [], labels: [] },
    { problem: 'Q?', steps: ['One.', ' '], labels: [1, 1] },
    { problem: 'Q?', steps: ['One.'], labels: [-100] },
    { problem: 'Q?', steps: ['One.'], labels: ['+'] },
    { problem: 'Q?', steps: ['One.'], labels: [1], firstError: 1 },
    {
      problem: 'Q?',
      steps: ['One.', 'Two.'],
      labels: [true, null],
      firstError: null,
      answerCorrect: false,
      group: 'g',
    },
  ]
  const { records, rejected } = await readRows(t, rows, { kind: 'labels' })
  t.like(records, [{ labels: [1, null], firstError: null, answerCorrect: false, group: 'g', answer: null }])
  t.deepEqual(
    rejected.map(({ field, expected, got }) => [field, expected, got]),
    [
      ['labels', 'one for each of 1 steps', 'an array of 2'],
      ['steps', 'at least one step', 'an array of 0'],
      ['steps[1]', 'a text that is not blank', '" "'],
      ['labels[0]', 'a number from 0 to 1', '-100'],
      ['labels[0]', 'true, false, a number from 0 to 1, or null', '"+"'],
      ['firstError', 'an integer from -1 to 0', '1'],
    ],
  )
})

test('candidates: every set gives its solutions with what was recorded of them', async t => {
  const names = datasetFormats.filter(({ kind }) => kind === 'candidates').map(({ name }) => name)
  const got: Record<string, unknown> = {}
  for (const name of names) {
    const { records } = await readRows(t, [sample(name)], { kind: 'candidates', format: name })
    const { kind, id, problem, ...rest } = records[0]!
    got[name] = [kind, id, problem, rest]
  }
  t.deepEqual(got, {
    candidates: [
      'candidates',
      'a',
      'Q?',
      {
        answer: '4',
        candidates: [
          {
            text: 'One.\n\n4',
            steps: ['One.', '4'],
            scores: [0.5, 0.25],
            answer: '4',
            correct: true,
            tokens: 7,
            ms: 1.5,
            generator: 'm',
          },
          { text: '5', score: -3.5, answer: null },
        ],
        recorded: { majority: 1 },
      },
    ],
    openr: [
      'candidates',
      'rows.jsonl:1',
      'Q?',
      {
        answer: '4',
        candidates: [{ text: 'One.\n\n4\n\n', steps: ['One.', '4'], scores: [0.5, 0.75], tokens: 12 }],
        recorded: { majority_vote: 1, prm_min_max: 0 },
      },
    ],
    'qwen-math': [
      'candidates',
      '3',
      'Q?',
      {
        answer: '4',
        candidates: [
          { text: 'It is 4.', score: 1.5, answer: '4', correct: true },
          { text: 'None.', score: -2, answer: null, correct: false },
        ],
      },
    ],
    'grade-school-math': [
      'candidates',
      'rows.jsonl:1',
      'Q?',
      {
        answer: '4',
        candidates: [
          { text: 'A: 4', correct: true, generator: '6b_finetuning' },
          { text: 'A: 5', correct: false, generator: '175b_verification' },
        ],
      },
    ],
  })
})

test('candidates: what does not fit is named down to the candidate', async t => {
  const row = (candidate: object, more: object = {}) => ({
    problem: 'Q?',
    answer: '4',
    candidates: [{ text: 'x' }, candidate],
    ...more,
  })
  const rows = [
    row({ steps: ['a', 'b'], scores: [1] }),
    row({}),
    row({ text: 'x', score: '1' }),
    row({ text: 'x', tokens: -1 }),
    row({ text: 'x', correct: 1 }),
    row({ text: 'x' }, { answer: null }),
    row({ text: 'x' }, { recorded: { majority: 0.5 } }),
    { problem: 'Q?', answer: '4', candidates: [] },
  ]
  const { records, rejected } = await readRows(t, rows, { kind: 'candidates' })
  t.deepEqual(records, [])
  t.deepEqual(
    rejected.map(({ field, expected }) => [field, expected]),
    [
      ['candidates[1].scores', 'one for each of 2 steps'],
      ['candidates[1].text', 'a string'],
      ['candidates[1].score', 'a number'],
      ['candidates[1].tokens', 'an integer from 0'],
      ['candidates[1].correct', 'true or false'],
      ['candidates[0].correct', 'true or false, as the problem has no answer to grade by'],
      ['recorded.majority', '0 or 1'],
      ['candidates', 'at least one candidate'],
    ],
  )
})

test("candidates: OpenR's values and Qwen's scores must fit the steps and solutions; several scores are those of steps", async t => {
  const openr = { ...sample('openr'), output: [{ text: 'One.\n\nTwo.', value: [1] }] }
  const unscored = { ...sample('openr'), groundtruth: '4', output: [{ text: 'One.\n\nTwo.', value: [] }] }
  const first = await readRows(t, [openr, unscored], { kind: 'candidates' })
  t.like(first.rejected, [
    { line: 1, field: 'output[0].value', expected: 'one for each of 2 steps', got: 'an array of 1' },
  ])
  t.like(first.records, [{ answer: '4', candidates: [{ steps: ['One.', 'Two.'] }] }])
  t.false('scores' in first.records[0]!.candidates[0]!)
  const steps = { ...sample('qwen-math'), pred_score: [[0.5, 0.25], [1]] }
  const short = { ...sample('qwen-math'), pred: ['4'] }
  const second = await readRows(t, [steps, short], { kind: 'candidates' })
  t.deepEqual(
    second.records[0]!.candidates.map(({ scores, score }) => [scores, score]),
    [
      [[0.5, 0.25], undefined],
      [[1], undefined],
    ],
  )
  t.like(second.rejected, [{ line: 2, field: 'pred', expected: 'one for each of 2 solutions' }])
})

test('code: every set gives its problem, its solutions and its tests or cases', async t => {
  const names = datasetFormats.filter(({ kind }) => kind === 'code').map(({ name }) => name)
  const got: Record<string, unknown> = {}
  for (const name of names) {
    const { records } = await readRows(t, [sample(name)], { kind: 'code', format: name })
    const { kind, ...rest } = records[0]!
    got[name] = rest
  }
  t.deepEqual(got, {
    humaneval: {
      id: 'HumanEval/0',
      problem: 'def one():\n',
      prompt: 'def one():\n',
      entryPoint: 'one',
      solutions: ['    return 1\n'],
      tests: 'def check(candidate):\n    assert candidate() == 1\n\ncheck(one)\n',
      language: 'python',
    },
    'humaneval-x': {
      id: 'JavaScript/0',
      problem: 'const one = () => {\n',
      prompt: 'const one = () => {\n',
      solutions: ['  return 1\n}\n'],
      tests: 'console.assert(one() === 1)\n',
      language: 'javascript',
    },
    mbpp: {
      id: '11',
      problem: 'Write one.',
      solutions: ['def one():\r\n  return 1'],
      tests: 'import math\nassert one() == 1\nassert one() < 2\n',
      language: 'python',
    },
    apps: {
      id: '0',
      problem: 'Double it.',
      solutions: ['print(2 * int(input()))'],
      cases: [
        { input: '2\n', output: '4\n' },
        { input: '3\n4', output: '6' },
      ],
      language: 'python',
      level: 'interview',
    },
    taco: {
      id: 'rows.jsonl:1',
      problem: 'Double it.',
      prompt: 'def double(x):\n\t',
      entryPoint: 'double',
      solutions: ['def double(x):\n  return 2 * x'],
      cases: [
        { input: '[2]', output: '4' },
        { input: '[[3]]', output: '[3,3]' },
      ],
      language: 'python',
      level: 'EASY',
    },
    codecontests: {
      id: '76_B. Mice',
      problem: 'Mice.',
      solutions: ['print(input())'],
      cases: [
        { input: '1\n', output: '1\n' },
        { input: '2\n', output: '2\n' },
      ],
      language: 'python',
      level: 'B',
    },
  })
})

test('code: a case that is nested too deep to be written as JSON is named', async t => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const row = { ...sample('taco'), input_output: `{"fn_name": "f", "inputs": [${deep}], "outputs": [1]}` }
  const { rejected } = await readRows(t, [row], { kind: 'code' })
  t.like(rejected, [{ field: 'input_output.inputs[0]', expected: 'a value that is not nested so deep' }])
})

test('code: an empty list of solutions or cases is none; broken JSON inside a string and lost digits are named', async t => {
  const rows = [
    { ...sample('apps'), solutions: '', input_output: '' },
    { ...sample('apps'), solutions: '[' },
    { ...sample('apps'), input_output: '{"inputs": ["1"], "outputs": []}' },
    {
      ...sample('taco'),
      problem_id: 1,
      input_output: '{"fn_name": "f", "inputs": [[12345678901234567890]], "outputs": [1]}',
    },
  ]
  const { records, rejected } = await readRows(t, rows, { kind: 'code', format: 'apps' })
  t.like(records, [{ solutions: [], id: '0' }])
  t.false('cases' in records[0]!)
  t.deepEqual(
    rejected.map(({ field, expected }) => [field, expected]),
    [
      ['solutions', 'JSON in a string'],
      ['input_output.outputs', 'one for each of 1 inputs'],
      ['input_output.inputs[0]', 'integers below 2^53'],
    ],
  )
})
