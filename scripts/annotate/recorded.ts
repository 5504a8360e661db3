/**
 * What judges say of recorded first errors (ProcessBench gsm8k, BIG-Bench-Mistake), how far they agree, and what a consensus
 * of them keeps: recorded.ts [--data ../shared/data/steps] [--votes FILE]
 *
 * The models that come with the package were made for other texts: the numbers show that the measures work and how little
 * these judges know, beside baselines that read nothing. --votes writes the votes that agreement.py recomputes.
 */
import { writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { AgreementTally } from '../../src/annotate/agreement.ts'
import { consensus, type Rule } from '../../src/annotate/consensus.ts'
import type { Judge } from '../../src/annotate/judge.ts'
import { generativeJudge } from '../../src/annotate/judges/generative.ts'
import { prmJudge } from '../../src/annotate/judges/prm.ts'
import { readDataset } from '../../src/datasets/index.ts'
import type { LabelRecord } from '../../src/datasets/records.ts'
import { bootstrap, firstErrorF1, heldOutPredictions, type Interval, overItems } from '../../src/evaluate/metrics.ts'
import { Policy } from '../../src/generator/policy.ts'
import { PRM } from '../../src/prm.ts'
import { scoreTraces } from '../../src/scorer.ts'
import { equationChecker } from '../tiny/rivals.ts'

function bracketed(interval: Interval | null, factor: number, digits: number): string {
  if (interval === null || Number.isNaN(interval.value)) return '-'
  const [value, low, high] = [interval.value, interval.low, interval.high].map(v => (factor * v).toFixed(digits))
  return `${value} [${low}, ${high}]`
}

export const percent = (interval: Interval | null): string => bracketed(interval, 100, 1)

export const number = (interval: Interval | null): string => bracketed(interval, 1, 3)

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

/** Numbers of problems, for the bootstrap. */
export function problemsOf(records: readonly { readonly problem: string }[]): { problemOf: number[]; count: number } {
  const numbers = new Map<string, number>()
  const problemOf = records.map(({ problem }) => {
    if (!numbers.has(problem)) numbers.set(problem, numbers.size)
    return numbers.get(problem)!
  })
  return { problemOf, count: numbers.size }
}

type Votes = readonly (number | null)[]

const resamples = 2000

/** ProcessBench's numbers; a judge that cannot say has named neither the place nor that there is none. */
function f1Row(name: string, votes: Votes, records: readonly LabelRecord[]): string[] {
  const truth = records.map(({ firstError }) => firstError!)
  const named = votes.map(vote => vote ?? -2)
  const { problemOf, count } = problemsOf(records)
  const over = (of: 'f1' | 'wrong' | 'right'): Interval =>
    bootstrap(
      count,
      overItems(problemOf, weights => firstErrorF1(named, truth, weights)[of]),
      { resamples },
    )
  const spoke = votes.filter(vote => vote !== null).length
  return [name, String(spoke), percent(over('wrong')), percent(over('right')), percent(over('f1'))]
}

async function judgeAll(judge: Judge, records: readonly LabelRecord[]): Promise<Votes> {
  const found = await Promise.all(records.map(record => judge.judge(record)))
  return found.map(({ firstError }) => firstError)
}

/** The first errors that a PRM names, each half of the problems read with the threshold that is best on the other half. */
async function heldOut(prm: PRM, records: readonly LabelRecord[]): Promise<Votes> {
  const scorings = await scoreTraces(prm, records, undefined)
  const scored = records.flatMap((record, i) => (scorings[i]!.scores ? { record, scores: scorings[i]!.scores, i } : []))
  const { predicted } = heldOutPredictions(
    scored.map(({ scores }) => scores),
    scored.map(({ record }) => record.firstError!),
    { groups: scored.map(({ record }) => record.problem) },
  )
  const votes: (number | null)[] = records.map(() => null)
  for (const [at, { i }] of scored.entries()) votes[i] = predicted[at]!
  return votes
}

const rules: readonly (readonly [string, Rule])[] = [
  ['unanimous, location', { answer: 'ignore' }],
  ['two of three, location', { agree: 2, answer: 'ignore' }],
  ['unanimous, right or wrong', { on: 'correctness', answer: 'ignore' }],
  ['two of three, right or wrong', { agree: 2, on: 'correctness', answer: 'ignore' }],
]

interface Voted {
  readonly set: string
  readonly problem: string
  readonly steps: number
  readonly votes: Votes
}

async function measure(file: string, models: Models): Promise<Voted[]> {
  const set = basename(file).replace(/\.jsonl?$/, '')
  const records: LabelRecord[] = []
  for await (const record of readDataset(file, { kind: 'labels' })) records.push(record)
  const truth = records.map(({ firstError }) => firstError!)
  const wrong = truth.filter(at => at >= 0).length
  const tinyHeldOut = await heldOut(models.tiny, records)
  const randomHeldOut = await heldOut(models.random, records)
  const equations = records.map(({ problem, steps }) => equationChecker(problem, steps).indexOf(0))
  const critiques = await judgeAll(models.critic, records.slice(0, 8))
  const most = mostCommon(truth.filter(at => at >= 0))
  const judges: [string, Votes][] = [
    ['embedded PRM, its own threshold', await judgeAll(models.tinyJudge, records)],
    ['embedded PRM, threshold from the other half', tinyHeldOut],
    ['PRM with random weights, threshold from the other half', randomHeldOut],
    ['equation checker', equations],
  ]
  const baselines: [string, Votes][] = [
    ['never an error', records.map(() => -1)],
    ['always the first step', records.map(() => 0)],
    ['always the last step', records.map(({ steps }) => steps.length - 1)],
    [`always step ${most}, the most common`, records.map(({ steps }) => (most < steps.length ? most : -1))],
    [
      'wrong by a coin, then the most common step',
      records.map(({ steps }, i) => (i % 2 && most < steps.length ? most : -1)),
    ],
  ]
  console.log(`\n## ${set}: ${records.length} solutions, ${wrong} with an error\n`)
  const rows = [...judges, ...baselines].map(([name, votes]) => f1Row(name, votes, records))
  console.log(table(['judge; in % [95 %]', 'could say', 'error found', 'right passed', 'F1'], rows))
  const silent = critiques.filter(vote => vote === null).length
  console.log(`\nThe embedded policy as a critic gave no verdict on ${silent} of ${critiques.length} solutions.\n`)

  const three = [tinyHeldOut, randomHeldOut, equations]
  const tally = new AgreementTally(4)
  const voted = records.map((record, i): Voted => {
    const votes = [truth[i]!, ...three.map(votes => votes[i]!)]
    tally.add(record.problem, votes, record.steps.length, true)
    return { set, problem: record.problem, steps: record.steps.length, votes }
  })
  const names = ['recorded', 'embedded PRM', 'random PRM', 'equations']
  const { location, correctness } = tally.statistics({ resamples })
  const pair = ({ location: a, correctness: b }: Record<'location' | 'correctness', Interval | null>): string[] => [
    number(a),
    number(b),
  ]
  console.log(
    table(
      ['agreement of the four', 'location', 'right or wrong'],
      [
        ["Fleiss' kappa", ...pair({ location: location.fleiss, correctness: correctness.fleiss })],
        ...location.pairs.map(({ judges: [a, b], cohen }, i) => [
          `Cohen's kappa, ${names[a]} and ${names[b]}`,
          ...pair({ location: cohen, correctness: correctness.pairs[i]!.cohen }),
        ]),
      ],
    ),
  )
  const { problemOf, count } = problemsOf(records)
  console.log('\nWhat a consensus of the three judges would keep, and how much of that is as recorded:\n')
  const kept = rules.map(([name, rule]) => {
    const decisions = records.map((record, i) => {
      const votes = three.map(votes => ({ method: 'prm' as const, firstError: votes[i]! }))
      return consensus({ votes, steps: record.steps.length, answerCorrect: null }, rule)
    })
    const keeps = decisions.map(({ kept }) => Number(kept))
    const sound = decisions.map((decision, i) =>
      Number(
        decision.kept &&
          (rule.on === 'correctness'
            ? (decision.firstError === -1) === (truth[i] === -1)
            : decision.firstError === truth[i]),
      ),
    )
    const share = (parts: readonly number[], wholes: readonly number[]): Interval =>
      bootstrap(
        count,
        overItems(problemOf, weights => {
          const sum = (values: readonly number[]): number =>
            values.reduce((all, value, i) => all + weights[i]! * value, 0)
          return sum(parts) / sum(wholes)
        }),
        { resamples },
      )
    return [
      name,
      percent(
        share(
          keeps,
          records.map(() => 1),
        ),
      ),
      percent(share(sound, keeps)),
    ]
  })
  const alone = names.slice(1).map((name, j) => {
    const hits = bootstrap(
      count,
      overItems(problemOf, weights => {
        let [hit, all] = [0, 0]
        for (const [i, at] of truth.entries()) {
          all += weights[i]!
          if (three[j]![i] === at) hit += weights[i]!
        }
        return hit / all
      }),
      { resamples },
    )
    return [`${name} alone, location`, '100', percent(hits)]
  })
  console.log(table(['rule', 'kept, %', 'of these as recorded, %'], [...alone, ...kept]))
  return voted
}

function mostCommon(values: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].sort(([, a], [, b]) => b - a)[0]![0]
}

interface Models {
  readonly tiny: PRM
  readonly tinyJudge: Judge
  readonly random: PRM
  readonly critic: Judge
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { data: { type: 'string', default: '../shared/data/steps' }, votes: { type: 'string' } },
  })
  await using tiny = await PRM.load()
  await using random = await PRM.load('fixtures/qwen2-linear2')
  await using policy = await Policy.load()
  const critic = generativeJudge(policy, { request: { maxTokens: 200 } })
  const models = { tiny, tinyJudge: prmJudge(tiny, { id: 'embedded' }), random, critic }
  const files = [
    'processbench/gsm8k.json',
    ...['logical_deduction', 'multistep_arithmetic', 'tracking_shuffled_objects'].map(
      name => `bigbench-mistake/${name}.jsonl`,
    ),
  ]
  const voted: Voted[] = []
  for (const file of files) voted.push(...(await measure(join(values.data, file), models)))
  if (values.votes !== undefined) writeFileSync(values.votes, votesFile(voted))
}

/** Some of each set, without their texts; a third of them lack a vote, so that missing ones are measured too. */
function votesFile(voted: readonly Voted[]): string {
  const problems = problemsOf(voted).problemOf
  const perSet = new Map<string, number>()
  const rows = voted.flatMap(({ set, steps, votes }, i) => {
    const index = perSet.get(set) ?? 0
    perSet.set(set, index + 1)
    if (index >= 60) return []
    const given = votes.map((vote, judge) => (index % 3 === 0 && judge === (index / 3) % 5 ? null : vote))
    return [{ problem: problems[i], steps, votes: given }]
  })
  return `${JSON.stringify({ judges: ['recorded', 'embedded PRM', 'random PRM', 'equations'], rows })}\n`
}

if (import.meta.filename === process.argv[1]) await main()
