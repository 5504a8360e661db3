/**
 * Measures the tiny models on the 500 fresh problems and writes their card: card.ts DIR [--machine TEXT] [--date DATE]
 *
 * DIR is the folder that make.sh filled. Writes models/README.md and docs/measurements/tiny.md.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { aggregates } from '../../src/aggregate.ts'
import {
  bootstrap,
  brier,
  ece,
  firstBelow,
  firstErrorF1,
  type Interval,
  overItems,
  rankedAuc,
  type Weights,
} from '../../src/evaluate/metrics.ts'
import {
  advantage,
  baselines,
  type ScoredCandidate,
  type Selection,
  scoredRules,
  selection,
} from '../../src/evaluate/selection.ts'
import { byProblem, type Judged, readLines } from './data.ts'
import { equationChecker, type Scorer, surfaceRegression } from './rivals.ts'
import { splits } from './task.ts'

/** Scores every solution: one list of step scores a row, in the order of the rows. */
export type ScoreAll = (rows: readonly Judged[]) => Promise<readonly (readonly number[])[]>

interface Measured {
  readonly name: string
  readonly rules: readonly Selection[]
  readonly steps: Readonly<Record<'auc' | 'f1' | 'brier' | 'ece', Interval>>
  readonly firstError: { readonly wrong: number; readonly right: number }
}

const samplesPerProblem = 16
const threshold = 0.5
const resamples = 1000

async function measure(name: string, rows: readonly Judged[], scoreAll: ScoreAll): Promise<Measured> {
  const scores = await scoreAll(rows)
  const scored = rows.map((row, i) => ({ ...row, scores: scores[i]! }))
  const problems: (ScoredCandidate & Judged)[][] = byProblem(scored)
  const solutions = problems.flatMap((candidates, p) => candidates.map(candidate => ({ ...candidate, p })))
  const steps = solutions.flatMap(({ scores, labels, p }) =>
    scores.map((score, i) => ({ score, label: labels[i]!, p })),
  )
  const stepScores = steps.map(({ score }) => score)
  const stepLabels = steps.map(({ label }) => label)
  const predicted = solutions.map(({ scores }) => firstBelow(scores, threshold))
  const truth = solutions.map(({ labels }) => labels.indexOf(false))
  const over = (items: readonly { readonly p: number }[], statistic: (weights: Weights) => number): Interval => {
    const problemOf = items.map(({ p }) => p)
    return bootstrap(problems.length, overItems(problemOf, statistic), { resamples })
  }
  return {
    name,
    rules: scoredRules(problems),
    steps: {
      auc: over(steps, rankedAuc(stepScores, stepLabels)),
      f1: over(solutions, weights => firstErrorF1(predicted, truth, weights).f1),
      brier: over(steps, weights => brier(stepScores, stepLabels, weights)),
      ece: over(steps, weights => ece(stepScores, stepLabels, weights)),
    },
    firstError: firstErrorF1(predicted, truth),
  }
}

const each =
  (scorer: Scorer): ScoreAll =>
  async rows =>
    rows.map(({ problem, steps }) => scorer(problem, steps))

const percent = (value: number): string => (100 * value).toFixed(1)
const asPercent = ({ value, low, high }: Interval): string => `${percent(value)} [${percent(low)}, ${percent(high)}]`
const asNumber = ({ value, low, high }: Interval): string =>
  [value, low, high]
    .map(v => v.toFixed(3))
    .join(' ')
    .replace(/ (.*) (.*)/, ' [$1, $2]')

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

function find(rules: readonly Selection[], name: string): Selection {
  return rules.find(({ rule }) => rule === name)!
}

/** The number of parameters in a safetensors file, from its header. */
function parameters(path: string): number {
  const bytes = readFileSync(path)
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE()))) as Record<
    string,
    { shape?: number[] }
  >
  return Object.values(header).reduce((sum, { shape }) => sum + (shape ? shape.reduce((a, b) => a * b, 1) : 0), 0)
}

function folderSize(folder: string): number {
  return ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']
    .map(name => statSync(join(folder, name)).size)
    .reduce((a, b) => a + b)
}

interface Facts {
  readonly plain: readonly Selection[]
  readonly prm: Measured
  readonly rivals: readonly Measured[]
  readonly labelled: { readonly solutions: number; readonly steps: number; readonly wrongSteps: number }
  readonly unanswered: number
  readonly stages: readonly { readonly name: string; readonly seconds: number; readonly threads: number }[]
  readonly machine: string
  readonly date: string
}

/** By `min`, the library's default for this kind of checkpoint. */
const headline = ['weighted vote@16 min', 'best-of@16 min']

function advantages({ plain, prm, rivals }: Facts): string {
  const rows = headline.flatMap(rule => [
    [`${rule} over majority@16`, asPercent(advantage(find(prm.rules, rule), find(plain, 'majority@16')))],
    ...rivals.map(rival => [
      `${rule} over the same rule with the ${rival.name}`,
      asPercent(advantage(find(prm.rules, rule), find(rival.rules, rule))),
    ]),
  ])
  return table(["the PRM's", 'points gained [95 %]'], rows)
}

function stepTable(measured: readonly Measured[]): string {
  return table(
    ['scores of', 'step AUC', 'first-error F1', 'error found', 'right passed', 'Brier', 'ECE'],
    measured.map(({ name, steps, firstError }) => [
      name,
      asNumber(steps.auc),
      asPercent(steps.f1),
      percent(firstError.wrong),
      percent(firstError.right),
      asNumber(steps.brier),
      asNumber(steps.ece),
    ]),
  )
}

function minutes({ stages }: Facts): string {
  return (stages.reduce((sum, { seconds }) => sum + seconds, 0) / 60).toFixed(0)
}

function card(facts: Facts): string {
  const { plain, prm, rivals, labelled } = facts
  const counts = ['tiny-policy', 'tiny-prm'].map(name =>
    parameters(`models/${name}/model.safetensors`).toLocaleString('en'),
  )
  const sizes = ['tiny-policy', 'tiny-prm'].map(name => (folderSize(`models/${name}`) / 1e6).toFixed(2))
  return `# The tiny models

Two small models made by this project, so that everything can be tried without a download: \`tiny-policy\` writes worked
solutions to arithmetic problems told in words, \`tiny-prm\` scores their steps. **They are made for such stories only.** The
scores that \`tiny-prm\` gives to any other text mean nothing; for real mathematics name a public PRM, such as
\`Qwen/Qwen2.5-Math-PRM-7B\`.

| | tiny-policy | tiny-prm |
| --- | --- | --- |
| architecture | Qwen2ForCausalLM, 4 layers, width 128 | Qwen2ForTokenClassification (2 labels), the same |
| parameters | ${counts.join(' | ')} |
| folder, MB | ${sizes.join(' | ')} |
| weights | bf16 safetensors | bf16 safetensors |
| text | problem, line break, steps joined by line breaks, \`<|endoftext|>\` | TRL: ids(problem), then ids(step) + ids("\\n") for every step, each encoded alone |
| read | | softmax of the two logits at each "\\n", index 1: the step and all before it are right |
| trained on | ${splits.worked.count.toLocaleString('en')} solutions by authors who err | ${labelled.solutions.toLocaleString('en')} labelled solutions (8 samples and a faultless one for each of ${splits.prm.count.toLocaleString('en')} problems), ${labelled.steps.toLocaleString('en')} steps, ${percent(labelled.wrongSteps / labelled.steps)} % of them wrong |

Context 2,048 tokens by configuration; trained on texts of at most 200 tokens, and untested beyond.

## How good they are

On 500 problems whose texts occur in no training set, 16 samples each at temperature 1. Share of problems answered right,
in percent, with 95 % intervals (bootstrap over problems).

${table(
  ['rule', 'right, %'],
  [...plain, ...headline.map(rule => find(prm.rules, rule))].map(({ rule, accuracy }) => [rule, asPercent(accuracy)]),
)}

${advantages(facts)}

${stepTable([prm, ...rivals])}

\`min\` is the library's default aggregate for this kind of checkpoint. Every aggregate and both sizes: [docs/measurements/tiny.md](../docs/measurements/tiny.md).

## How they were made

\`scripts/tiny/make.sh\` makes both from nothing; its stages took ${minutes(facts)} minutes on two shared cores. Authors of mixed quality write the worked solutions: each
misreads certain wordings ("keeps a third" as losing it), some of which more than half of the authors misread, and slips now
and then. So the policy is often wrong in the same way, a majority vote repeats the error, and only reading the story helps.
The same calculation is right under one wording and wrong under another, so that no step can be judged without its problem.

The PRM starts from the policy's weights. Besides the labels at the line breaks it learns, at half weight each, the same
labels at every token of a step and the language of right steps; only the scores at the line breaks are meant to be read. The
recipe was chosen by training loss, before any PRM was measured on the 500 problems.

A step is labelled right when it and all before it are right: the first error decides. A solution without an answer (a last
line \`A: 7\`) counts as wrong. Its step scores may all be high, so no rule may choose it: it casts no vote and ranks below every
solution with an answer.

## Limits

- Five families of stories, whole numbers up to 80, English templates with fewer than 200 different words. Nothing else was
  learned.
- The wordings of the fresh problems are those of training with other numbers and in other orders: this measures sound
  reading of known sentences, not of new ones.
- The PRM was trained on samples of this policy, and is measured on samples of this policy.
- The answer line is judged like a step, and a wrong step that by chance leads to the right answer counts as a right solution.
`
}

function report(facts: Facts): string {
  const { plain, prm, rivals, unanswered, machine, date, stages } = facts
  const all = [prm, ...rivals]
  const tableOf = (rule: string, k: number): string =>
    table(
      [`${rule}@${k}, right in %`, ...all.map(({ name }) => name)],
      aggregates.map(by => [by, ...all.map(({ rules }) => asPercent(find(rules, `${rule}@${k} ${by}`).accuracy))]),
    )
  const tables = ['best-of', 'weighted vote'].flatMap(rule => [16, 8].map(k => tableOf(rule, k)))
  return `# The tiny models, measured

Made by the commands of \`scripts/tiny/make.sh WORK_FOLDER\` on ${machine}, ${date}; the
tables alone: \`npx tsx scripts/tiny/card.ts WORK_FOLDER\`. The seeds are in \`scripts/tiny/task.ts\` (\`splits\`) and \`train.py\` (\`SEED\`).

${table(
  ['stage', 'seconds', 'threads'],
  stages.map(({ name, seconds, threads }) => [name, String(seconds), String(threads)]),
)}

The machine also built and tested other things meanwhile, so the seconds are an upper bound.

500 problems (split \`test\`), none of whose texts is in training, 16 samples each at temperature 1; ${unanswered} of the
${(500 * samplesPerProblem).toLocaleString('en')} samples end without an answer. Brackets: 95 % intervals, percentile bootstrap over problems, 10,000 draws (step
measures ${resamples.toLocaleString('en')}). Votes at 8 are the mean over both halves of the 16; best-of-8 and pass@k are the unbiased estimates; ties
count their expected value.

${table(
  ['rule', 'right, %'],
  plain.map(({ rule, accuracy }) => [rule, asPercent(accuracy)]),
)}

## Choosing by scores

The rivals: a checker that recomputes each equation and knows no story, and a logistic regression on surface features
(numbers, operators and words of the step, whether equations hold, which of the problem's numbers are used, lengths, the
answer's place) trained on the labels that the PRM learned from.

${tables.join('\n\n')}

## What the PRM gains

Paired over the same problems, in points.

${advantages(facts)}

## Steps

Labels: a step is right when it and all before it are. First-error F1 is ProcessBench's at threshold ${threshold}: the harmonic mean of
the share of wrong solutions whose first error is named exactly and the share of right ones passed.

${stepTable(all)}
`
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      machine: { type: 'string', default: cpus()[0]!.model },
      date: { type: 'string', default: new Date().toISOString().slice(0, 10) },
    },
  })
  const folder = positionals[0]!
  const rows = readLines<Judged>(join(folder, 'judged.test.jsonl'))
  const greedy = readLines<Judged>(join(folder, 'greedy-judged.test.jsonl'))
  const labelled = readLines<Judged>(join(folder, 'judged.prm.jsonl'))
  const steps = labelled.flatMap(({ labels }) => labels)
  const facts: Facts = {
    plain: [selection('greedy', greedy, ({ correct }) => +correct), ...baselines(byProblem(rows))],
    prm: await measure('PRM', rows, async () => readLines<number[]>(join(folder, 'scores.test.jsonl'))),
    rivals: [
      await measure('equation checker', rows, each(equationChecker)),
      await measure('surface regression', rows, each(surfaceRegression(labelled))),
    ],
    labelled: { solutions: labelled.length, steps: steps.length, wrongSteps: steps.filter(label => !label).length },
    unanswered: rows.filter(({ answer }) => answer === null).length,
    stages: readLines<Facts['stages'][number]>(join(folder, 'times.jsonl')),
    machine: values.machine,
    date: values.date,
  }
  writeFileSync('models/README.md', card(facts))
  writeFileSync('docs/measurements/tiny.md', report(facts))
}

if (import.meta.filename === process.argv[1]) await main()
