/** Accuracy at k samples, estimated from n without the noise of drawing them. */
import { invalidArgument } from '../errors.ts'
import { sameLength, wholeNumber } from './check.ts'
import { logCombinations } from './combinations.ts'
import type { Candidate } from './votes.ts'

/**
 * The chance that at least one of `k` samples, drawn from `n` of which `correct` are right, is right: the unbiased
 * 1 − C(n−c, k) / C(n, k) of Chen et al. (arXiv 2107.03374).
 *
 * @throws `ERR_INVALID_ARGUMENT` unless 0 ≤ correct ≤ n and 1 ≤ k ≤ n, all whole numbers
 */
export function passAtK(n: number, correct: number, k: number): number {
  checkCounts(n, correct, k)
  let allWrong = 1
  for (let i = n - correct + 1; i <= n && allWrong > 0; i++) allWrong *= Math.max(0, 1 - k / i)
  return 1 - allWrong
}

/**
 * The chance that at least the share `threshold` of `k` samples, and at least one, is right: G-Pass@k of Liu et al.
 * (arXiv 2412.13147), Σⱼ C(c, j) · C(n−c, k−j) / C(n, k) over j from max(1, ⌈threshold·k⌉).
 *
 * @param threshold in [0, 1]
 * @throws `ERR_INVALID_ARGUMENT` unless 0 ≤ correct ≤ n, 1 ≤ k ≤ n and 0 ≤ threshold ≤ 1
 */
export function gPassAtK(n: number, correct: number, k: number, threshold: number): number {
  checkCounts(n, correct, k)
  if (!(threshold >= 0 && threshold <= 1)) {
    invalidArgument('threshold', `must lie in [0, 1], got ${threshold}`, threshold)
  }
  // The product of a share and k may lie a rounding error above the whole number that is meant.
  return atLeastRight(n, correct, k, Math.max(1, Math.ceil(threshold * k - 1e-9)))
}

/**
 * The mean of G-Pass@k over the thresholds from one half to 1, 2/k · Σᵢ G-Pass@k(i/k) over i from ⌈k/2⌉ + 1 to k:
 * mG-Pass@k (arXiv 2412.13147). 0 for k = 1, as defined there.
 *
 * @throws `ERR_INVALID_ARGUMENT` unless 0 ≤ correct ≤ n and 1 ≤ k ≤ n
 */
export function mgPassAtK(n: number, correct: number, k: number): number {
  checkCounts(n, correct, k)
  let sum = 0
  for (let least = Math.ceil(k / 2) + 1; least <= k; least++) sum += atLeastRight(n, correct, k, least)
  return (2 * sum) / k
}

/** The chance that `least` or more of `k` samples are right: the upper tail of the hypergeometric law. */
function atLeastRight(n: number, correct: number, k: number, least: number): number {
  const all = logCombinations(n, k)
  let sum = 0
  for (let right = Math.max(least, k - (n - correct)); right <= Math.min(correct, k); right++) {
    sum += Math.exp(logCombinations(correct, right) + logCombinations(n - correct, k - right) - all)
  }
  return Math.min(1, sum)
}

function checkCounts(n: number, correct: number, k: number): void {
  wholeNumber('n', n, 1)
  wholeNumber('correct', correct, 0, n)
  wholeNumber('k', k, 1, n)
}

/**
 * The chance that the candidate of highest score is right among `k` drawn from all (best-of-k; with a PRM, prm@k):
 * Σᵢ C(n−i, k−1) / C(n, k) · correctᵢ over the ranks i, which has no sampling noise. Candidates that tie share their
 * ranks.
 *
 * @param scores one a candidate, not NaN
 * @param k how many are drawn; all by default
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ, a score is NaN, or k is not from 1 to n
 */
export function bestOf(
  candidates: readonly Candidate[],
  scores: readonly number[],
  k: number = candidates.length,
): number {
  sameLength('scores', scores, candidates)
  wholeNumber('k', k, 1, candidates.length)
  if (scores.some(Number.isNaN)) invalidArgument('scores', 'must not hold NaN', scores)
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
