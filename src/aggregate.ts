import { invalidArgument } from './errors.ts'

/** The ways to turn the scores of the steps into one number for the solution. */
export const aggregates = ['last', 'min', 'product', 'mean', 'max', 'sum', 'softmin'] as const

/** One of {@link aggregates}. */
export type Aggregate = (typeof aggregates)[number]

/** Temperature of `softmin`, as PURE uses it (arXiv 2504.15275). */
const SOFTMIN_TEMPERATURE = 0.1

/**
 * Step scores → one number.
 *
 * `softmin` is PURE's min-form credit, Σ softmax(−r/T)ᵢ·rᵢ with T = 0.1 (arXiv 2504.15275). The others are what their
 * names say; `product` and `min` suit probabilities, `sum` suits rewards.
 *
 * @param scores one per step, at least one
 * @throws `ERR_INVALID_ARGUMENT` when there is no score, or `by` is not one of {@link aggregates}
 */
export function aggregate(scores: readonly number[], by: Aggregate): number {
  if (scores.length === 0) invalidArgument('scores', 'needs at least one step score')
  switch (by) {
    case 'last':
      return scores.at(-1)!
    case 'min':
      return scores.reduce((a, b) => Math.min(a, b))
    case 'max':
      return scores.reduce((a, b) => Math.max(a, b))
    case 'product':
      return scores.reduce((a, b) => a * b)
    case 'sum':
      return scores.reduce((a, b) => a + b)
    case 'mean':
      return scores.reduce((a, b) => a + b) / scores.length
    case 'softmin':
      return softmin(scores)
    default:
      return invalidArgument('aggregate', `must be one of ${aggregates.join(', ')}, got ${String(by)}`, by)
  }
}

function softmin(scores: readonly number[]): number {
  const least = aggregate(scores, 'min')
  const weights = scores.map(score => Math.exp((least - score) / SOFTMIN_TEMPERATURE))
  const total = aggregate(weights, 'sum')
  return scores.reduce((sum, score, i) => sum + (weights[i]! / total) * score, 0)
}
