/**
 * The field's numbers, as pure functions. Values lie in [0, 1] unless said otherwise.
 *
 * Wherever `weights` may be passed, item i counts `weights[i]` times; {@link bootstrap} makes them.
 */
import { invalidArgument } from '../errors.ts'

/** A sampled solution as the selection rules see it. One without an answer is never chosen and casts no vote. */
export interface Candidate {
  /** Candidates agree when their answers are the same string but for blanks at the ends. */
  readonly answer: string | null
  readonly correct: boolean
}

/** An estimate with its 95 % percentile interval. */
export interface Interval {
  readonly value: number
  readonly low: number
  readonly high: number
}

type Weights = ArrayLike<number>

/**
 * The chance that at least one of `k` samples, drawn from `n` of which `correct` are right, is right: the unbiased
 * 1 − C(n−c, k) / C(n, k) of Chen et al. (arXiv 2107.03374).
 *
 * @throws `ERR_INVALID_ARGUMENT` unless 0 ≤ correct ≤ n and 1 ≤ k ≤ n, all whole numbers
 */
export function passAtK(n: number, correct: number, k: number): number {
  wholeNumber('n', n, 1, Number.MAX_SAFE_INTEGER)
  wholeNumber('correct', correct, 0, n)
  wholeNumber('k', k, 1, n)
  let allWrong = 1
  for (let i = n - correct + 1; i <= n && allWrong > 0; i++) allWrong *= Math.max(0, 1 - k / i)
  return 1 - allWrong
}

/**
 * The chance that the candidate of highest score is right among `k` drawn from all: Σᵢ C(n−i, k−1) / C(n, k) · correctᵢ
 * over the ranks i, which has no sampling noise. Candidates that tie share their ranks.
 *
 * @param scores one a candidate
 * @param k how many are drawn; all by default
 */
export function bestOf(
  candidates: readonly Candidate[],
  scores: readonly number[],
  k: number = candidates.length,
): number {
  sameLength('scores', scores, candidates)
  wholeNumber('k', k, 1, candidates.length)
  const ranked = candidates
    .map(({ answer, correct }, i) => ({
      score: answer === null ? -Infinity : scores[i]!,
      right: +(correct && answer !== null),
    }))
    .sort((a, b) => (a.score === b.score ? 0 : b.score - a.score))
  let remaining = 1
  let expected = 0
  for (let start = 0; start < ranked.length && remaining > 0; ) {
    let end = start
    let right = 0
    let chance = 0
    while (end < ranked.length && ranked[end]!.score === ranked[start]!.score) {
      // Given that none above was drawn, this one is with k of the n − end that are left.
      const wins = remaining * Math.min(1, k / (ranked.length - end))
      chance += wins
      remaining -= wins
      right += ranked[end++]!.right
    }
    expected += (chance * right) / (end - start)
    start = end
  }
  return expected
}

/**
 * The chance that the answer with the largest sum of weights is right, among `k` candidates; answers that tie share it.
 * For k below n: the mean over the ⌊n/k⌋ blocks of k candidates in order, which is unbiased.
 *
 * @param votes one weight a candidate, none negative (shift rewards that can be: algorithm and pitfall in
 *   arXiv 2408.03314, "Best-of-N weighted")
 */
export function weightedVote(
  candidates: readonly Candidate[],
  votes: readonly number[],
  k: number = candidates.length,
): number {
  sameLength('votes', votes, candidates)
  wholeNumber('k', k, 1, candidates.length)
  if (votes.some(vote => !(vote >= 0))) invalidArgument('votes', 'must be numbers that are not negative', votes)
  const blocks = Math.floor(candidates.length / k)
  let sum = 0
  for (let block = 0; block < blocks; block++) sum += voteIn(candidates, votes, block * k, (block + 1) * k)
  return sum / blocks
}

function voteIn(candidates: readonly Candidate[], votes: readonly number[], from: number, to: number): number {
  const groups = new Map<string, { votes: number; count: number; right: number }>()
  for (let i = from; i < to; i++) {
    const { answer, correct } = candidates[i]!
    if (answer === null) continue
    const group = groups.get(answer.trim()) ?? { votes: 0, count: 0, right: 0 }
    groups.set(answer.trim(), group)
    group.votes += votes[i]!
    group.count++
    group.right += +correct
  }
  // Sums of the same votes in another order may differ in their last bits; they still tie.
  const most = Math.max(...[...groups.values()].map(group => group.votes))
  const winners = [...groups.values()].filter(group => group.votes >= most * (1 - 1e-12))
  return winners.length === 0 ? 0 : winners.reduce((sum, { right, count }) => sum + right / count, 0) / winners.length
}

/** {@link weightedVote} where every answered candidate has one vote (self-consistency, arXiv 2203.11171). */
export function majority(candidates: readonly Candidate[], k: number = candidates.length): number {
  return weightedVote(candidates, new Array<number>(candidates.length).fill(1), k)
}

/**
 * The chance that a right step scores above a wrong one, ties counting half: the area under the ROC curve.
 * NaN when there are only right or only wrong steps.
 */
export function stepAuc(scores: readonly number[], labels: readonly boolean[], weights?: Weights): number {
  sameLength('labels', labels, scores)
  const order = scores.map((_, i) => i).sort((a, b) => scores[a]! - scores[b]!)
  let wrong = 0
  let right = 0
  let pairs = 0
  for (let start = 0; start < order.length; ) {
    const score = scores[order[start]!]!
    let wrongHere = 0
    let rightHere = 0
    while (start < order.length && scores[order[start]!] === score) {
      const i = order[start++]!
      if (labels[i]) rightHere += weights?.[i] ?? 1
      else wrongHere += weights?.[i] ?? 1
    }
    pairs += rightHere * (wrong + wrongHere / 2)
    wrong += wrongHere
    right += rightHere
  }
  return pairs / (wrong * right)
}

/** ProcessBench's numbers (arXiv 2412.06559). */
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

/** Mean squared distance of the probabilities from what came true (Brier 1950). */
export function brier(probabilities: readonly number[], outcomes: readonly boolean[], weights?: Weights): number {
  sameLength('outcomes', outcomes, probabilities)
  let sum = 0
  let total = 0
  probabilities.forEach((probability, i) => {
    const weight = weights?.[i] ?? 1
    sum += weight * (probability - +outcomes[i]!) ** 2
    total += weight
  })
  return sum / total
}

/**
 * Expected calibration error: the mean distance between probability and frequency over equally wide bins, each weighted
 * by its items (Guo et al., arXiv 1706.04599).
 */
export function ece(
  probabilities: readonly number[],
  outcomes: readonly boolean[],
  weights?: Weights,
  bins = 10,
): number {
  sameLength('outcomes', outcomes, probabilities)
  wholeNumber('bins', bins, 1, Number.MAX_SAFE_INTEGER)
  const gaps = new Float64Array(bins)
  let total = 0
  probabilities.forEach((probability, i) => {
    const weight = weights?.[i] ?? 1
    gaps[Math.min(bins - 1, Math.floor(probability * bins))]! += weight * (probability - +outcomes[i]!)
    total += weight
  })
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / total
}

/** The mean of `values`, item i counting `weights[i]` times. */
export function mean(values: readonly number[], weights?: Weights): number {
  let sum = 0
  let total = 0
  for (let i = 0; i < values.length; i++) {
    const weight = weights?.[i] ?? 1
    sum += weight * values[i]!
    total += weight
  }
  return sum / total
}

/**
 * A statistic of `count` problems with its 95 % interval by the percentile bootstrap (Efron 1979): problems are drawn
 * with repetition, as often as there are, and the statistic is taken of each draw. For a paired comparison pass the
 * difference on the same problems: `bootstrap(n, w => mean(differences, w))`.
 *
 * @param statistic from how often each problem was drawn, to the number wanted
 * @param options.resamples draws, 10,000 by default
 * @param options.seed of the draws, 1 by default; the same seed gives the same interval
 */
export function bootstrap(
  count: number,
  statistic: (weights: Weights) => number,
  options: { readonly resamples?: number; readonly seed?: number } = {},
): Interval {
  const { resamples = 10_000, seed = 1 } = options
  wholeNumber('count', count, 1, 2 ** 31)
  wholeNumber('resamples', resamples, 1, 2 ** 31)
  const weights = new Uint32Array(count)
  const values = new Float64Array(resamples)
  let state = seed | 0
  for (let resample = 0; resample < resamples; resample++) {
    weights.fill(0)
    for (let draw = 0; draw < count; draw++) {
      // SplitMix32: an additive counter, then a hash of it.
      state = (state + 0x9e3779b9) | 0
      let bits = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
      bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97)
      weights[Math.floor((((bits ^ (bits >>> 15)) >>> 0) / 2 ** 32) * count)]!++
    }
    values[resample] = statistic(weights)
  }
  values.sort()
  const at = (share: number): number => values[Math.round(share * (resamples - 1))]!
  return { value: statistic(weights.fill(1)), low: at(0.025), high: at(0.975) }
}

function sameLength(name: string, values: readonly unknown[], others: readonly unknown[]): void {
  if (values.length !== others.length) invalidArgument(name, `must hold ${others.length} items, got ${values.length}`)
}

function wholeNumber(name: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high) {
    invalidArgument(name, `must be a whole number from ${low} to ${high}, got ${value}`, value)
  }
}
