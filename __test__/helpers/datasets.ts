import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import {
  type DatasetFormat,
  type Kind,
  type LeftOutRow,
  type ReadOptions,
  type RecordOf,
  type RejectedRow,
  readDataset,
} from '../../src/datasets/index.ts'

export interface Reading<K extends Kind> {
  readonly records: RecordOf[K][]
  readonly rejected: RejectedRow[]
  readonly leftOut: LeftOutRow[]
}

/** All that a source gives. */
export async function readAll<K extends Kind>(source: string, options: ReadOptions<K> = {}): Promise<Reading<K>> {
  const reading: Reading<K> = { records: [], rejected: [], leftOut: [] }
  const hooks = {
    onRejected: (row: RejectedRow) => reading.rejected.push(row),
    onLeftOut: (row: LeftOutRow) => reading.leftOut.push(row),
  }
  for await (const record of readDataset(source, { ...hooks, ...options })) reading.records.push(record)
  return reading
}

/** A folder that goes with the test. */
export function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'surefoot-datasets-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A file with this content in a folder of its own. */
export function file(t: ExecutionContext, name: string, content: string | Buffer): string {
  const path = join(folder(t), name)
  writeFileSync(path, content)
  return path
}

export const lines = (rows: readonly unknown[]): string => rows.map(row => `${JSON.stringify(row)}\n`).join('')

/** What `read` makes of rows that are written to a file of JSON Lines. */
export function readRows<K extends Kind>(
  t: ExecutionContext,
  rows: readonly unknown[],
  options: ReadOptions<K> = {},
): Promise<Reading<K>> {
  return readAll(file(t, 'rows.jsonl', lines(rows)), options)
}

/** The table of formats as the guide shows it. */
export function formatTable(formats: readonly DatasetFormat[]): string {
  const code = (names: readonly string[]) => names.map(name => `\`${name.replaceAll(' | ', '` or `')}\``).join(', ')
  const row = ({ name, kind, source, seen, reads, needs, uses }: DatasetFormat): string =>
    `| \`${name}\` | ${kind} | ${source} | ${seen} | ${code(needs)} | ${code(uses)} | ${reads} |`
  return [
    '| format | kind | set | seen | fields needed | fields used | how it is read |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...formats.map(row),
  ].join('\n')
}

/** A sound row of each format, in the order of its kind's detection; all of it is ours but the field names. */
export const samples: Readonly<Record<string, Record<string, unknown>>> = {
  gsm8k: { question: 'Two and two?', answer: '2 + 2 = <<2+2=4>>4\n#### 4' },
  'math-500': {
    problem: 'Solve $x = 4$.',
    solution: 'It is \\boxed{4}.',
    answer: '4',
    subject: 'Algebra',
    level: 1,
    unique_id: 'test/algebra/1.json',
  },
  math: {
    problem: 'Solve $x + 1 = \\frac{3}{2}$.',
    level: 'Level 2',
    type: 'Algebra',
    solution: 'First \\boxed{1}, no: \\boxed{\\frac{1}{2}}.',
  },
  'math-answers': { problem: 'Solve $x = 4$.', final_answer: '4' },
  olympiadbench: {
    id: 1606,
    question: 'Find all $x$.',
    context: 'Let $x^2 = 4$.',
    solution: ['We solve.', 'Done.'],
    final_answer: ['$2$', '$-2$'],
    image_1: null,
    difficulty: 'Competition',
    answer_type: 'Numerical',
    is_multiple_answer: true,
    subfield: 'Algebra',
  },
  aime: {
    id: 60,
    problem: 'Find the remainder.',
    solution: 'It is \\boxed{073}.',
    answer: '073',
    url: 'https://artofproblemsolving.com/wiki/index.php/2024_AIME_I_Problems/Problem_1',
  },
  amc: {
    id: 0,
    problem: 'Find the ratio.',
    answer: 142.0,
    url: 'https://artofproblemsolving.com/wiki/index.php/2022_AMC_12A_Problems/Problem_1',
  },
  generic: { prompt: 'Two and two?', gt: 4 },
  prm800k: {
    labeler: 'x',
    generation: null,
    is_quality_control_question: false,
    is_initial_screening_question: false,
    question: { problem: 'Two and two?', ground_truth_answer: '4' },
    label: {
      steps: [
        {
          completions: [
            { text: 'No.', rating: -1, flagged: false },
            { text: 'Well.', rating: 0, flagged: false },
          ],
          human_completion: null,
          chosen_completion: 1,
        },
        {
          completions: [{ text: 'No.', rating: -1, flagged: false }],
          human_completion: { text: 'It is 4.', rating: null, source: 'human', flagged: false },
          chosen_completion: null,
        },
        {
          completions: [{ text: '# Answer\n\n4', rating: 1, flagged: false }],
          human_completion: null,
          chosen_completion: 0,
        },
      ],
      total_time: 1,
      finish_reason: 'solution',
    },
  },
  'math-shepherd': {
    input: 'Two and two? Step 1: 2 + 2 = 5 ки\nStep 2: So 5. The answer is: 5 ки',
    label: 'Two and two? Step 1: 2 + 2 = 5 -\nStep 2: So 5. The answer is: 5 -',
    task: 'GSM8K',
  },
  'math-aps': {
    question: 'Q?',
    final_answer: '4',
    question_id: 3,
    reasoning_steps: [
      { solution_prefix: 'Q?', mc_value: 0.5 },
      { solution_prefix: 'Q?\n\nOne.', mc_value: 0.25 },
      { solution_prefix: 'Q?\n\nTwo.', mc_value: 1 },
      { solution_prefix: 'Q?\n\nOne.\n\nWrong.', mc_value: 0 },
    ],
  },
  'math-aps-tree': {
    question: 'Q?',
    final_answer: '4',
    question_id: 3,
    reasoning_steps: {
      text: 'Q?',
      mc_value: 0.5,
      children: [
        { text: 'One.', mc_value: 0.25, children: [{ text: 'Wrong.', mc_value: 0, children: [] }] },
        { text: 'Two.', mc_value: 1, children: [] },
      ],
    },
  },
  'bigbench-mistake': {
    input: 'Q?',
    steps: ['One.', 'Two.', 'Three.'],
    target: '(A)',
    answer: '(B)',
    mistake_index: 1,
  },
  prmbench: {
    original_question: 'Original?',
    modified_question: 'Modified?',
    original_process: ['One.', 'Two.'],
    modified_process: ['One.', 'One again.', 'Two.'],
    modified_steps: [2],
    error_steps: [2],
    idx: 'prm_test_p1_0',
    classification: 'redundency',
  },
  trl: { prompt: 'Q?', completions: ['One.', 'Two.'], labels: [true, false] },
  labels: { problem: 'Q?', steps: ['One.', 'Two.'], labels: [1, 0.25] },
  processbench: {
    id: 'math-7',
    generator: 'Qwen2-7B-Instruct',
    problem: 'Q?',
    steps: ['One.', 'Two.', 'Three.'],
    final_answer_correct: false,
    label: 1,
  },
  candidates: {
    id: 'a',
    problem: 'Q?',
    answer: 4,
    candidates: [
      { steps: ['One.', '4'], scores: [0.5, 0.25], tokens: 7, ms: 1.5, generator: 'm', correct: true, answer: '4' },
      { text: '5', score: -3.5, answer: null },
    ],
    recorded: { majority: 1 },
  },
  openr: {
    question: 'Q?',
    groundtruth: 'It is \\boxed{4}.',
    result: { majority_vote: 1, prm_min_max: 0, total_completion_tokens: 12 },
    output: [{ path_idx: 0, text: 'One.\n\n4\n\n', value: [0.5, 0.75], completion_tokens: 12 }],
  },
  'qwen-math': {
    idx: 3,
    question: 'Q?',
    gt: '4',
    code: ['It is 4.', 'None.'],
    pred: ['4', ''],
    score: [true, false],
    pred_score: [[1.5], [-2]],
  },
  'grade-school-math': {
    question: 'Q?',
    ground_truth: '2 + 2 = 4\nA: 4',
    '6b_finetuning': { is_correct: true, solution: 'A: 4' },
    '175b_verification': { is_correct: false, solution: 'A: 5' },
  },
  humaneval: {
    task_id: 'HumanEval/0',
    prompt: 'def one():\n',
    entry_point: 'one',
    canonical_solution: '    return 1\n',
    test: 'def check(candidate):\n    assert candidate() == 1\n\n',
  },
  'humaneval-x': {
    task_id: 'JavaScript/0',
    prompt: 'const one = () => {\n',
    declaration: '\nconst one = () => {\n',
    canonical_solution: '  return 1\n}\n',
    test: 'console.assert(one() === 1)\n',
    example_test: '',
  },
  mbpp: {
    text: 'Write one.',
    code: 'def one():\r\n  return 1',
    task_id: 11,
    test_setup_code: 'import math',
    test_list: ['assert one() == 1', 'assert one() < 2'],
    challenge_test_list: [],
  },
  apps: {
    problem_id: 0,
    question: 'Double it.',
    solutions: '["print(2 * int(input()))"]',
    input_output: '{"inputs": ["2\\n", ["3", "4"]], "outputs": ["4\\n", "6"]}',
    difficulty: 'interview',
    url: '',
    starter_code: '',
  },
  taco: {
    question: 'Double it.',
    solutions: '["def double(x):\\n  return 2 * x"]',
    starter_code: 'def double(x):\n\t',
    input_output: '{"fn_name": "double", "inputs": [[2], [[3]]], "outputs": [4, [3, 3]]}',
    difficulty: 'EASY',
    raw_tags: '[]',
    source: 'codewars',
  },
  codecontests: {
    name: '76_B. Mice',
    description: 'Mice.',
    public_tests: { input: ['1\n'], output: ['1\n'] },
    private_tests: { input: ['2\n'], output: ['2\n'] },
    generated_tests: { input: [], output: [] },
    solutions: { language: [2, 3], solution: ['int main() {}', 'print(input())'] },
    difficulty: 8,
  },
}
