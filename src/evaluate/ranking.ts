/** How well scores tell right from wrong. */
import { sameLength } from './check.ts'
import type { Weights } from './resampling.ts'

/**
 * The chance that a right item (a step, a solution) scores above a wrong one, ties counting half: the area under the
 * ROC curve (Hanley and McNeil 1982). NaN when there are only right or only wrong items.
 *
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ
 */
export function auc(scores: readonly number[], labels: readonly boolean[], weights?: Weights): number {
  return rankedAuc(scores, labels)(weights)
}

/** {@link auc} of the same items under one weighting after the other: they are sorted once. */
export function rankedAuc(scores: readonly number[], labels: readonly boolean[]): (weights?: Weights) => number {
  sameLength('labels', labels, scores)
  const order = Uint32Array.from(scores.keys()).sort((a, b) => scores[a]! - scores[b]!)
  const endsBlock = Uint8Array.from(order, (item, at) => +(scores[item] !== scores[order[at + 1]!]))
  const isRight = Uint8Array.from(order, item => +labels[item]!)
  return weights => {
    let [wrong, right, wrongHere, rightHere, pairs] = [0, 0, 0, 0, 0]
    for (let at = 0; at < order.length; at++) {
      const weight = weights ? weights[order[at]!]! : 1
      if (isRight[at]) rightHere += weight
      else wrongHere += weight
      if (!endsBlock[at]) continue
      pairs += rightHere * (wrong + wrongHere / 2)
      wrong += wrongHere
      right += rightHere
      rightHere = 0
      wrongHere = 0
    }
    return pairs / (wrong * right)
  }
}

/**
 * The pairs of a right and a wrong solution of one problem, and how many of them the scores put in order, ties counting
 * half. Over several problems add up both and divide: unlike {@link auc} over all solutions, it is blind to how hard a
 * problem is.
 *
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ
 */
export function pairsInOrder(
  scores: readonly number[],
  correct: readonly boolean[],
): { readonly inOrder: number; readonly pairs: number } {
  const right = correct.filter(Boolean).length
  const pairs = right * (correct.length - right)
  return { inOrder: pairs === 0 ? 0 : auc(scores, correct) * pairs, pairs }
}
