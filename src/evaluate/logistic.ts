/** Logistic regression with a ridge. */
import { invalidArgument } from '../errors.ts'
import { sameLength } from './check.ts'

/** The probability that an item with these features is positive. */
export type Classifier = (features: ArrayLike<number>) => number

/**
 * Fits P(positive | x) = 1 / (1 + exp(−b − w·x)) by the least Σ log loss + ridge/2 · |w|²; b has no ridge. Newton's
 * method, its steps halved until the loss falls, to the precision of the numbers. With labels of one kind only it gives
 * their limit: 0 or 1.
 *
 * @param rows the features of each item, as many for all; their scales decide what the ridge weighs
 * @param ridge above 0
 * @throws `ERR_INVALID_ARGUMENT` when there is no item, the lengths differ, or ridge is not above 0
 */
export function logisticRegression(
  rows: readonly ArrayLike<number>[],
  labels: readonly boolean[],
  ridge: number,
): Classifier {
  sameLength('labels', labels, rows)
  if (rows.length === 0) invalidArgument('rows', 'must hold at least one item')
  if (!(ridge > 0)) invalidArgument('ridge', `must be above 0, got ${ridge}`, ridge)
  const size = rows[0]!.length
  const odd = rows.find(({ length }) => length !== size)
  if (odd) invalidArgument('rows', `must hold ${size} features each, got ${odd.length}`)
  if (labels.every(label => label === labels[0])) return () => +labels[0]!
  // The intercept stands behind the weights.
  let weights = new Float64Array(size + 1)
  let loss = lossOf(rows, labels, weights, ridge)
  for (let scale = 1; ; ) {
    const step = newtonStep(rows, labels, weights, ridge)
    let next = weights
    let nextLoss = loss
    for (scale = 1; scale > 2 ** -30; scale /= 2) {
      next = weights.map((weight, i) => weight + scale * step[i]!)
      nextLoss = lossOf(rows, labels, next, ridge)
      if (nextLoss < loss) break
    }
    if (!(nextLoss < loss)) break
    weights = next
    loss = nextLoss
  }
  return features => sigmoid(logit(features, weights))
}

function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit))
}

function logit(features: ArrayLike<number>, weights: Float64Array): number {
  let sum = weights.at(-1)!
  for (let i = 0; i < features.length; i++) sum += features[i]! * weights[i]!
  return sum
}

function lossOf(
  rows: readonly ArrayLike<number>[],
  labels: readonly boolean[],
  weights: Float64Array,
  ridge: number,
): number {
  let loss = 0
  rows.forEach((features, n) => {
    const against = (labels[n] ? -1 : 1) * logit(features, weights)
    loss += Math.max(0, against) + Math.log1p(Math.exp(-Math.abs(against)))
  })
  return weights.subarray(0, -1).reduce((sum, weight) => sum + (ridge / 2) * weight * weight, loss)
}

function newtonStep(
  rows: readonly ArrayLike<number>[],
  labels: readonly boolean[],
  weights: Float64Array,
  ridge: number,
): Float64Array {
  const size = weights.length - 1
  const gradient = weights.map((weight, i) => (i < size ? -ridge * weight : 0))
  const hessian = Array.from(weights, (_, i) => {
    const row = new Float64Array(i + 1)
    if (i < size) row[i] = ridge
    return row
  })
  rows.forEach((features, n) => {
    const probability = sigmoid(logit(features, weights))
    const curvature = probability * (1 - probability)
    for (let i = 0; i <= size; i++) {
      const value = i < size ? features[i]! : 1
      if (value === 0) continue
      gradient[i]! += (+labels[n]! - probability) * value
      const row = hessian[i]!
      for (let j = 0; j < i; j++) row[j]! += curvature * value * features[j]!
      row[i]! += curvature * value * value
    }
  })
  return solveSymmetric(hessian, gradient)
}

/**
 * Solves A x = b by Cholesky; A is symmetric positive definite and given by its lower triangle, which is overwritten.
 */
function solveSymmetric(lower: readonly Float64Array[], b: Float64Array): Float64Array {
  const size = b.length
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = lower[i]![j]!
      for (let k = 0; k < j; k++) sum -= lower[i]![k]! * lower[j]![k]!
      lower[i]![j] = i === j ? Math.sqrt(sum) : sum / lower[j]![j]!
    }
  }
  const x = Float64Array.from(b)
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) x[i]! -= lower[i]![k]! * x[k]!
    x[i]! /= lower[i]![i]!
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) x[i]! -= lower[k]![i]! * x[k]!
    x[i]! /= lower[i]![i]!
  }
  return x
}
