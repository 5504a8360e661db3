/** How good the scores themselves are, of steps and of whole solutions. */
import { aggregate } from '../aggregate.ts'
import type { Draws } from './choices.ts'
import { isRight } from './labels.ts'
import {
  bestThreshold,
  bootstrap,
  brier,
  ece,
  firstBelow,
  firstErrorF1,
  heldOutPredictions,
  type Interval,
  mean,
  overItems,
  pairsInOrder,
  rankedAuc,
  reliability,
  surfaceFeatures,
} from './metrics.ts'
import type { Plan } from './plan.ts'
import type { FirstErrorResult, Mean, ProblemResult, ScoreResult } from './summary.ts'

/** A scored solution, without its text. */
export interface Solution {
  /** Number of its problem. */
  readonly problem: number
  readonly scores: readonly number[]
  /** The one number by which it competes. */
  readonly worth: number
  readonly answered: boolean
  readonly correct: boolean
  readonly labels: readonly (number | null)[] | null
  /** Index of the first wrong step, −1 for none; null where it is not known. */
  readonly firstError: number | null
  readonly group: string | null
  readonly features: readonly number[]
  readonly steps: number
  /** In characters. */
  readonly length: number
}

/** The scored solutions of one line. */
export function solutionsOf(line: ProblemResult, problem: number, plan: Plan): Solution[] {
  return line.candidates.flatMap((candidate): Solution[] => {
    const { steps, scores, score, tokens } = candidate
    const worth = plan.steps === null ? score : scores && scores.length > 0 ? aggregate(scores, plan.aggregate) : null
    if (worth === null) return []
    return [
      {
        problem,
        scores: scores ?? [],
        worth,
        answered: plan.kind === 'labels' || candidate.group !== null,
        correct: candidate.correct,
        labels: candidate.labels ?? null,
        firstError: line.firstError ?? null,
        group: line.group ?? null,
        features: surfaceFeatures({ steps, tokens }),
        steps: steps.length,
        length: steps.reduce((sum, step) => sum + step.length, 0),
      },
    ]
  })
}

/** Null without any score. */
export function measureScores(
  problems: number,
  solutions: readonly Solution[],
  plan: Plan,
  draws: Draws,
): ScoreResult | null {
  const semantics = plan.steps ?? plan.reward
  if (semantics === null || solutions.length === 0) return null
  const over = (items: Items, statistic: (weights: ArrayLike<number>) => number): Interval | null =>
    defined(bootstrap(problems, overItems(items.problemOf, statistic), draws))
  const steps = judgedSteps(solutions)
  const whole: Items = {
    problemOf: solutions.map(({ problem }) => problem),
    scores: solutions.map(({ worth }) => worth),
    right: solutions.map(({ correct }) => correct),
  }
  const probabilities = semantics !== 'probability' ? null : steps.scores.length > 0 ? steps : whole
  return {
    semantics,
    aggregate: plan.steps === null ? 'reward' : plan.aggregate,
    stepAuc: steps.scores.length === 0 ? null : over(steps, rankedAuc(steps.scores, steps.right)),
    solutionAuc: over(whole, rankedAuc(whole.scores, whole.right)),
    pairs: pairsOf(problems, solutions, draws),
    brier: probabilities && over(probabilities, weights => brier(probabilities.scores, probabilities.right, weights)),
    ece: probabilities && over(probabilities, weights => ece(probabilities.scores, probabilities.right, weights)),
    reliability: probabilities ? reliability(probabilities.scores, probabilities.right) : [],
    byPosition: byPosition(solutions, plan),
    firstWeak: plan.threshold === null || plan.steps === null ? [] : firstWeak(solutions, plan.threshold),
    threshold: plan.threshold,
  }
}

/** Numbers that are held against verdicts, and the problem that each belongs to. */
interface Items {
  readonly problemOf: readonly number[]
  readonly scores: readonly number[]
  readonly right: readonly boolean[]
}

function judgedSteps(solutions: readonly Solution[]): Items {
  const items = { problemOf: [] as number[], scores: [] as number[], right: [] as boolean[] }
  for (const { problem, scores, labels } of solutions) {
    for (const [index, label] of (labels ?? []).entries()) {
      if (label === null) continue
      items.problemOf.push(problem)
      items.scores.push(scores[index]!)
      items.right.push(isRight(label))
    }
  }
  return items
}

/** Null where a statistic does not exist, in the data or in too many of the draws. */
function defined(interval: Interval): Interval | null {
  return [interval.value, interval.low, interval.high].every(Number.isFinite) ? interval : null
}

function groupBy<Key>(solutions: readonly Solution[], key: (solution: Solution) => Key): Map<Key, Solution[]> {
  const groups = new Map<Key, Solution[]>()
  for (const solution of solutions) {
    const found = groups.get(key(solution))
    if (found) found.push(solution)
    else groups.set(key(solution), [solution])
  }
  return groups
}

/** Pairs of a right and a wrong solution of one problem, over all problems. */
function pairsOf(problems: number, solutions: readonly Solution[], draws: Draws): Interval | null {
  const inOrder = new Float64Array(problems)
  const pairs = new Float64Array(problems)
  for (const [problem, own] of groupBy(solutions, ({ problem }) => problem)) {
    const counted = pairsInOrder(
      own.map(({ worth }) => worth),
      own.map(({ correct }) => correct),
    )
    inOrder[problem] = counted.inOrder
    pairs[problem] = counted.pairs
  }
  const share = (weights: ArrayLike<number>): number => {
    let [above, all] = [0, 0]
    for (let i = 0; i < problems; i++) {
      above += weights[i]! * inOrder[i]!
      all += weights[i]! * pairs[i]!
    }
    return above / all
  }
  return defined(bootstrap(problems, share, draws))
}

function byPosition(solutions: readonly Solution[], { steps }: Plan): ScoreResult['byPosition'] {
  const longest = solutions.reduce((most, { scores }) => Math.max(most, scores.length), 0)
  const there = (position: number, right: boolean): Mean | null =>
    meanOf(
      solutions.filter(({ correct, scores }) => correct === right && scores.length > position),
      position,
      steps === 'probability' ? 1 : Number.POSITIVE_INFINITY,
    )
  return Array.from({ length: longest }, (_, position) => {
    return { position, right: there(position, true), wrong: there(position, false) }
  })
}

/**
 * The mean score at a position, with its 95 % normal interval; solutions of one problem count as one draw. Scores that lie
 * between 0 and `most` = 1 have no mean beyond.
 */
function meanOf(solutions: readonly Solution[], position: number, most: number): Mean | null {
  const count = solutions.length
  if (count === 0) return null
  const average = solutions.reduce((sum, { scores }) => sum + scores[position]!, 0) / count
  const deviations = new Map<number, number>()
  for (const { problem, scores } of solutions) {
    deviations.set(problem, (deviations.get(problem) ?? 0) + scores[position]! - average)
  }
  const squares = [...deviations.values()].reduce((sum, deviation) => sum + deviation ** 2, 0)
  const half = (1.96 * Math.sqrt(squares)) / count
  const least = most === 1 ? 0 : Number.NEGATIVE_INFINITY
  return { mean: average, low: Math.max(least, average - half), high: Math.min(most, average + half), count }
}

function firstWeak(solutions: readonly Solution[], threshold: number): ScoreResult['firstWeak'] {
  const bars = new Map<number, { position: number; right: number; wrong: number }>()
  for (const { scores, correct } of solutions) {
    const position = firstBelow(scores, threshold)
    const bar = bars.get(position) ?? { position, right: 0, wrong: 0 }
    bars.set(position, bar)
    bar[correct ? 'right' : 'wrong']++
  }
  return [...bars.values()].sort((a, b) => a.position - b.position)
}

/** How exactly the first wrong step is found (ProcessBench, arXiv 2412.06559), and what a reader must know of it. */
export interface FirstErrorNumbers {
  readonly result: FirstErrorResult
  /** The group whose best threshold was used for all; null: all rows. */
  readonly tunedOn: string | null
  /** F1 over all where each half of the solutions is read with the threshold that is best on the other half. */
  readonly heldOut: number | null
  /** Groups without a row: they hold only right or only wrong solutions, so that F1 does not exist. */
  readonly without: readonly string[]
}

/** ProcessBench's scalar PRMs take the threshold that is best on this subset for all of its subsets. */
const TUNING_GROUP = 'gsm8k'

/** Over all solutions whose first wrong step is known, over each group of them, and the plain mean of the groups. */
export function measureFirstError(
  solutions: readonly Solution[],
  { threshold }: Plan,
  draws: Draws,
): FirstErrorNumbers {
  const known = solutions.filter(({ firstError }) => firstError !== null)
  const grouped = known.filter((solution): solution is Solution & { group: string } => solution.group !== null)
  const groups = groupBy(grouped, ({ group }) => group!)
  const parts: [string, readonly Solution[]][] = [['all', known], ...(groups.size > 1 ? groups : [])]
  const measurable = parts.filter(([, own]) => hasBoth(own))
  const without = parts.filter(([, own]) => !hasBoth(own)).map(([name]) => name)
  if (!hasBoth(known)) return { result: { rows: [] }, tunedOn: null, heldOut: null, without }
  const tuning = groups.size > 1 ? measurable.find(([name]) => name === TUNING_GROUP) : undefined
  const best = bestOn(tuning?.[1] ?? known)
  const rules = [
    ...(threshold === null ? [] : [['fixed', threshold] as const]),
    ...(Number.isNaN(best) ? [] : [['best', best] as const]),
  ]
  const rowsOf = (group: string, parts: readonly (readonly Solution[])[]): FirstErrorResult['rows'] =>
    rules.map(([rule, at]) => ({ group, rule, ...firstErrorRow(parts, at, draws) }))
  const [, ...ofGroups] = measurable
  return {
    result: {
      rows: [
        ...measurable.flatMap(([name, own]) => rowsOf(name, [own])),
        ...(ofGroups.length > 1
          ? rowsOf(
              'mean of groups',
              ofGroups.map(([, own]) => own),
            )
          : []),
      ],
    },
    tunedOn: tuning?.[0] ?? null,
    heldOut: heldOutF1(known, draws),
    without,
  }
}

function bestOn(solutions: readonly Solution[]): number {
  return bestThreshold(
    solutions.map(({ scores }) => scores),
    solutions.map(({ firstError }) => firstError!),
  )
}

function heldOutF1(solutions: readonly Solution[], { seed }: Draws): number {
  const truth = solutions.map(({ firstError }) => firstError!)
  const groups = solutions.map(({ problem }) => problem)
  const { predicted } = heldOutPredictions(
    solutions.map(({ scores }) => scores),
    truth,
    { seed, groups },
  )
  return firstErrorF1(predicted, truth).f1
}

function hasBoth(solutions: readonly Solution[]): boolean {
  return new Set(solutions.map(({ firstError }) => firstError === -1)).size === 2
}

type Row = Omit<FirstErrorResult['rows'][number], 'group' | 'rule'>

/** The mean of the parts' numbers, each part weighing the same. */
function firstErrorRow(parts: readonly (readonly Solution[])[], threshold: number, draws: Draws): Row {
  const solutions = parts.flat()
  const { problems, problemOf } = renumbered(solutions)
  let start = 0
  const read = parts.map(part => {
    const from = start
    start += part.length
    const predicted = part.map(({ scores }) => firstBelow(scores, threshold))
    return { from, to: start, predicted, truth: part.map(({ firstError }) => firstError!) }
  })
  const interval = (of: 'wrong' | 'right' | 'f1'): Interval => {
    const statistic = (weights: ArrayLike<number>): number => {
      const drawn = weights as Float64Array
      return mean(
        read.map(({ from, to, predicted, truth }) => firstErrorF1(predicted, truth, drawn.subarray(from, to))[of]),
      )
    }
    return bootstrap(problems, overItems(problemOf, statistic), draws)
  }
  return { threshold, count: solutions.length, wrong: interval('wrong'), right: interval('right'), f1: interval('f1') }
}

/** The problems of some solutions, numbered from 0. */
function renumbered(solutions: readonly Solution[]): { problems: number; problemOf: number[] } {
  const numbers = new Map<number, number>()
  const problemOf = solutions.map(({ problem }) => {
    const number = numbers.get(problem) ?? numbers.size
    numbers.set(problem, number)
    return number
  })
  return { problems: numbers.size, problemOf }
}
