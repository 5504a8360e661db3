/**
 * Writes what the training script reads, and judges what it sampled. All files are JSON lines in the folder given.
 *
 *   data.ts worked DIR   worked.jsonl {problem, solution} and, per split, problems.SPLIT.jsonl {id, problem}
 *   data.ts judge DIR    samples.SPLIT.jsonl {id, solution} → judged.SPLIT.jsonl {@link Judged}; so too greedy.test.jsonl;
 *                        judged.prm.jsonl also holds one faultless solution a problem
 *   data.ts demo DIR OUT judged.demo.jsonl → OUT/tiny.jsonl.gz
 *   data.ts gsm8k FILE OUT  the first ten problems of gsm8k-four-models on which the four models disagree → OUT/gsm8k.jsonl
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { drawProblems, judge, problem, type Split, splits, type Verdict, worked, write } from './task.ts'

export interface Judged extends Verdict {
  readonly id: number
  readonly problem: string
  readonly steps: readonly string[]
}

const stepBreak = '\n'

export function readLines<T>(path: string): T[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as T)
}

export function writeLines(path: string, lines: readonly unknown[]): void {
  writeFileSync(path, lines.map(line => `${JSON.stringify(line)}\n`).join(''))
}

function writeWorked(folder: string): void {
  const seen = new Set<string>()
  for (const split of Object.keys(splits) as Split[]) {
    const problems = drawProblems(split, seen)
    const lines = problems.map(({ id, text }) => ({ id, problem: text }))
    writeLines(join(folder, `problems.${split}.jsonl`), lines)
    if (split === 'worked') {
      const solved = problems.map(p => ({ problem: p.text, solution: write(p, 0).steps.join(stepBreak) }))
      writeLines(join(folder, 'worked.jsonl'), solved)
    }
  }
}

function judgeSamples(folder: string, split: Split, kind: 'samples' | 'greedy'): void {
  const { seed } = splits[split]
  const judged = (id: number, steps: readonly string[]): Judged => {
    const story = problem(seed, id)
    return { id, problem: story.text, steps, ...judge(story, steps) }
  }
  const sampled = readLines<{ id: number; solution: string }>(join(folder, `${kind}.${split}.jsonl`))
  const lines = sampled.map(({ id, solution }) => judged(id, solution === '' ? [] : solution.split(stepBreak)))
  if (split === 'prm') {
    for (const id of new Set(sampled.map(({ id }) => id))) lines.push(judged(id, worked(problem(seed, id), 0)))
  }
  writeLines(join(folder, `${kind === 'greedy' ? 'greedy-judged' : 'judged'}.${split}.jsonl`), lines)
}

/** Groups the lines of one problem, which follow one another. */
export function byProblem<T extends { readonly id: number }>(lines: readonly T[]): T[][] {
  const groups = new Map<number, T[]>()
  for (const line of lines) {
    const group = groups.get(line.id)
    if (group) group.push(line)
    else groups.set(line.id, [line])
  }
  return [...groups.values()]
}

function writeDemo(folder: string, out: string): void {
  const problems = byProblem(readLines<Judged>(join(folder, 'judged.demo.jsonl')))
  const lines = problems.map(candidates => {
    const { problem: text, id } = candidates[0]!
    return JSON.stringify({
      problem: text,
      answer: problem(splits.demo.seed, id).answer,
      candidates: candidates.map(({ steps, answer, correct }) => ({
        solution: steps.join(stepBreak),
        answer,
        correct,
      })),
    })
  })
  writeFileSync(join(out, 'tiny.jsonl.gz'), gzipSync(`${lines.join('\n')}\n`, { level: 9 }))
}

interface FourModels {
  readonly question: string
  readonly ground_truth: string
}

function writeGsm8k(file: string, out: string): void {
  const models = ['6b_finetuning', '6b_verification', '175b_finetuning', '175b_verification'] as const
  type Row = FourModels & Record<(typeof models)[number], { solution: string; is_correct: boolean }>
  const rows = readLines<Row>(file).filter(row => new Set(models.map(model => row[model].is_correct)).size === 2)
  const lines = rows.slice(0, 10).map(row => ({
    problem: row.question,
    groundTruth: row.ground_truth,
    candidates: models.map(model => ({ model, solution: row[model].solution, correct: row[model].is_correct })),
  }))
  writeLines(join(out, 'gsm8k.jsonl'), lines)
}

if (import.meta.filename === process.argv[1]) {
  const [command, from = '', out = ''] = process.argv.slice(2)
  if (command === 'worked') writeWorked(from)
  if (command === 'judge') {
    for (const split of ['prm', 'test', 'demo'] as const) judgeSamples(from, split, 'samples')
    judgeSamples(from, 'test', 'greedy')
  }
  if (command === 'demo') writeDemo(from, out)
  if (command === 'gsm8k') writeGsm8k(from, out)
}
