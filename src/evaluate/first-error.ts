/** Finding the first wrong step: ProcessBench's task (arXiv 2412.06559). */
import { sameLength } from './check.ts'
import { drawToFront, randomNumbers } from './random.ts'
import type { Weights } from './resampling.ts'

/** ProcessBench's numbers. NaN where there is no solution of the kind. */
export interface FirstErrorScores {
  /** Share of the wrong solutions whose first error was named exactly. */
  readonly wrong: number
  /** Share of the right solutions in which no error was named. */
  readonly right: number
  /** Harmonic mean of the two; 0 when both are. */
  readonly f1: number
}

/** The index of the first score below `threshold`, or −1: ProcessBench's reading of a PRM. */
export function firstBelow(scores: readonly number[], threshold: number): number {
  return scores.findIndex(score => score < threshold)
}

/**
 * How exactly the first wrong step is found.
 *
 * @param predicted index of the first error named in each solution, −1 for none
 * @param truth index of the first error there is, −1 for none
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ
 */
export function firstErrorF1(
  predicted: readonly number[],
  truth: readonly number[],
  weights?: Weights,
): FirstErrorScores {
  sameLength('truth', truth, predicted)
  const hits = { wrong: 0, right: 0 }
  const all = { wrong: 0, right: 0 }
  truth.forEach((index, i) => {
    const kind = index === -1 ? 'right' : 'wrong'
    const weight = weights?.[i] ?? 1
    all[kind] += weight
    if (predicted[i] === index) hits[kind] += weight
  })
  const wrong = hits.wrong / all.wrong
  const right = hits.right / all.right
  return { wrong, right, f1: harmonicMean(wrong, right) }
}

/** 2ab / (a + b), and 0 when both are 0. */
export function harmonicMean(a: number, b: number): number {
  return a + b === 0 ? 0 : (2 * a * b) / (a + b)
}

/**
 * The threshold whose predictions have the highest F1 on these solutions: ProcessBench's second rule. On the same rows
 * its F1 is optimistic. ProcessBench chooses on the GSM8K subset and reports on all; without another set,
 * {@link heldOutPredictions} is the honest reading.
 *
 * F1 only changes at scores; of the thresholds between two of them this is the middle, of equally good stretches the
 * lowest. NaN when there are only right or only wrong solutions, for F1 is not defined then.
 *
 * @param scores of the steps of each solution
 * @param truth index of the first wrong step of each, −1 for none
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ
 */
export function bestThreshold(
  scores: readonly (readonly number[])[],
  truth: readonly number[],
  weights?: Weights,
): number {
  sameLength('truth', truth, scores)
  const all = { wrong: 0, right: 0 }
  // A solution is read right by the thresholds above `from`, up to `to`.
  const changes: { at: number; kind: 'wrong' | 'right'; by: number }[] = []
  truth.forEach((index, i) => {
    const steps = scores[i]!
    const kind = index === -1 ? 'right' : 'wrong'
    const by = weights?.[i] ?? 1
    all[kind] += by
    const from = index === -1 ? -Infinity : steps[index]!
    const to = lowest(index === -1 ? steps : steps.slice(0, index))
    if (from >= to) return
    changes.push({ at: from, kind, by }, { at: to, kind, by: -by })
  })
  changes.sort((a, b) => (a.at === b.at ? 0 : a.at - b.at))
  const hits = { wrong: 0, right: 0 }
  let best = { f1: -1, threshold: Number.NaN }
  for (let i = 0; i < changes.length; ) {
    const { at } = changes[i]!
    while (i < changes.length && changes[i]!.at === at) {
      const { kind, by } = changes[i++]!
      hits[kind] += by
    }
    const next = changes[i]?.at
    if (next === undefined) break
    const f1 = harmonicMean(hits.wrong / all.wrong, hits.right / all.right)
    if (f1 > best.f1) best = { f1, threshold: between(at, next) }
  }
  return best.threshold
}

function lowest(scores: readonly number[]): number {
  return scores.reduce((a, b) => Math.min(a, b), Infinity)
}

/** A number above `low`, at most `high`: the middle where both are finite. */
function between(low: number, high: number): number {
  if (low === -Infinity) return high === Infinity ? 0 : high
  if (high === Infinity) return low + (Math.abs(low) * 2 ** -52 || Number.MIN_VALUE)
  const middle = low + (high - low) / 2
  return middle > low ? middle : high
}

/**
 * The first errors named when each half of the solutions, drawn at random, is read by the threshold that is best on the
 * other half: {@link firstErrorF1} of them is honest, as no solution has a say in its own threshold. A half whose other
 * half holds only right or only wrong solutions has the threshold NaN, and no error is named in it.
 *
 * @param groups solutions of one group, such as one problem, fall into the same half; by default each is its own
 * @param options.seed of the draw, 1 by default
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ
 */
export function heldOutPredictions(
  scores: readonly (readonly number[])[],
  truth: readonly number[],
  { groups, seed = 1 }: { readonly groups?: readonly unknown[]; readonly seed?: number } = {},
): { readonly predicted: number[]; readonly thresholds: readonly [number, number] } {
  sameLength('truth', truth, scores)
  if (groups) sameLength('groups', groups, scores)
  const groupOf = (i: number): unknown => (groups ? groups[i] : i)
  const order = [...new Set(truth.map((_, i) => groupOf(i)))]
  drawToFront(order, order.length, randomNumbers(seed))
  const firstHalf = new Set(order.slice(0, Math.ceil(order.length / 2)))
  const inFirst = Array.from(truth, (_, i) => firstHalf.has(groupOf(i)))
  const bestOn = (first: boolean): number =>
    bestThreshold(
      scores.filter((_, i) => inFirst[i] === first),
      truth.filter((_, i) => inFirst[i] === first),
    )
  const thresholds = [bestOn(false), bestOn(true)] as const
  const predicted = scores.map((steps, i) => firstBelow(steps, inFirst[i] ? thresholds[0] : thresholds[1]))
  return { predicted, thresholds }
}
