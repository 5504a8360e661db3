/**
 * Writes the pairs on which surefoot and Math-Verify are compared, one JSON object a line:
 * `npx tsx scripts/grade/pairs.ts > pairs.jsonl`. Needs the recorded data beside the repository.
 */
import { readFileSync } from 'node:fs'

interface Pair {
  set: string
  id: string
  gold: string
  answer: string
  /** What the source says; null where it says nothing about this pair. */
  truth: boolean | null
}

const data = new URL('../../../shared/data/', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, data), 'utf8')
const lines = <T>(path: string): T[] =>
  read(path)
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as T)

const pairs: Pair[] = []

for (const row of lines<{ id: number; gold: string; pred: string; expected: boolean }>(
  'grading/answer_equivalence.jsonl',
)) {
  pairs.push({ set: 'rows', id: `${row.id}`, gold: row.gold, answer: row.pred, truth: row.expected })
}
const hand = JSON.parse(read('grading/hand_cases.json')) as [string, string, string, boolean][]
for (const [index, [, gold, answer, truth]] of hand.entries()) {
  pairs.push({ set: 'hand', id: `${index}`, gold: `$${gold}$`, answer: `$${answer}$`, truth })
}
const math500 = JSON.parse(read('candidates/math500-prm-scored/first100.json')) as {
  groundtruth: string
  output: { text: string }[]
}[]
for (const [index, problem] of math500.entries()) {
  for (const [k, { text }] of problem.output.entries()) {
    pairs.push({ set: 'math500', id: `${index}.${k}`, gold: problem.groundtruth, answer: text, truth: null })
    const other = math500[(index + 1) % math500.length]!
    pairs.push({ set: 'crossed', id: `${index}.${k}`, gold: other.groundtruth, answer: text, truth: null })
  }
}
for (const [index, row] of lines<{ gt: string; code: string[]; score: boolean[] }>(
  'candidates/math-rm-scored/first50.jsonl',
).entries()) {
  for (const [k, code] of row.code.entries()) {
    pairs.push({ set: 'math-rm', id: `${index}.${k}`, gold: `$${row.gt}$`, answer: code, truth: Boolean(row.score[k]) })
  }
}
interface Solved {
  solution: string
  is_correct: boolean
}
for (const [index, row] of lines<Record<string, Solved> & { ground_truth: string }>(
  'candidates/gsm8k-four-models/first600.jsonl',
).entries()) {
  const gold = row.ground_truth.split('A: ').at(-1)!
  for (const model of ['6b_finetuning', '6b_verification', '175b_finetuning', '175b_verification']) {
    const { solution, is_correct } = row[model]!
    pairs.push({ set: 'gsm8k', id: `${index}.${model}`, gold, answer: solution, truth: is_correct })
  }
}
const math = JSON.parse(read('problems/math/train_problems_answers.json')) as { final_answer: string }[]
const written = [...new Set(math.map(row => row.final_answer))].filter(text => !/^-?[\d.]*$/.test(text)).sort()
for (let k = 1; k < written.length; k++) {
  pairs.push({ set: 'neighbours', id: `${k}`, gold: `$${written[k - 1]}$`, answer: `$${written[k]}$`, truth: null })
}
for (const line of readFileSync(new URL('../../fixtures/grade/cases.tsv', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .slice(1)) {
  const [kind, verdict, gold, answer] = line.split('\t') as [string, string, string, string]
  pairs.push({ set: 'ours', id: kind, gold: delimited(gold), answer: delimited(answer), truth: verdict === '=' })
}

/** Math-Verify reads LaTeX only between delimiters. */
function delimited(text: string): string {
  return /\\/.test(text) && !/\$|\\\(|\\\[|boxed/.test(text) ? `$${text}$` : text
}

process.stdout.write(`${pairs.map(pair => JSON.stringify(pair)).join('\n')}\n`)
