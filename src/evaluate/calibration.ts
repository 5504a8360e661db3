/** Whether probabilities mean what they say. All take probabilities in [0, 1] and are NaN of no items. */
import { probabilities, sameLength, wholeNumber } from './check.ts'
import type { Weights } from './resampling.ts'

/** Mean squared distance of the probabilities from what came true (Brier 1950). */
export function brier(predicted: readonly number[], outcomes: readonly boolean[], weights?: Weights): number {
  return meanLoss(predicted, outcomes, (probability, came) => (probability - +came) ** 2, weights)
}

/** Mean of −ln of the probability given to what came true: the binary cross-entropy. Infinite when it was given 0. */
export function logLoss(predicted: readonly number[], outcomes: readonly boolean[], weights?: Weights): number {
  return meanLoss(
    predicted,
    outcomes,
    (probability, came) => -(came ? Math.log(probability) : Math.log1p(-probability)),
    weights,
  )
}

function meanLoss(
  predicted: readonly number[],
  outcomes: readonly boolean[],
  loss: (probability: number, came: boolean) => number,
  weights: Weights | undefined,
): number {
  sameLength('outcomes', outcomes, predicted)
  probabilities('predicted', predicted)
  let sum = 0
  let total = 0
  predicted.forEach((probability, i) => {
    const weight = weights?.[i] ?? 1
    if (weight === 0) return
    sum += weight * loss(probability, outcomes[i]!)
    total += weight
  })
  return sum / total
}

/** Items of like probability. */
export interface ReliabilityBin {
  /** The bin holds low ≤ probability < high, and the last one also 1. */
  readonly low: number
  readonly high: number
  readonly count: number
  /** Mean of the probabilities. */
  readonly score: number
  /** Share that came true. */
  readonly frequency: number
}

/**
 * The reliability diagram: mean probability and frequency in equally wide bins. Bins without items are left out.
 *
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ, a probability is outside [0, 1], or bins is not a whole
 *   number ≥ 1
 */
export function reliability(predicted: readonly number[], outcomes: readonly boolean[], bins = 10): ReliabilityBin[] {
  return binned(predicted, outcomes, bins).flatMap(({ weight, probability, came }, bin) =>
    weight === 0
      ? []
      : [
          {
            low: bin / bins,
            high: (bin + 1) / bins,
            count: weight,
            score: probability / weight,
            frequency: came / weight,
          },
        ],
  )
}

/**
 * Expected calibration error: the mean distance between probability and frequency over equally wide bins, each weighted
 * by its items (Guo et al., arXiv 1706.04599).
 *
 * @throws as {@link reliability}
 */
export function ece(predicted: readonly number[], outcomes: readonly boolean[], weights?: Weights, bins = 10): number {
  const filled = binned(predicted, outcomes, bins, weights)
  const total = filled.reduce((sum, { weight }) => sum + weight, 0)
  return filled.reduce((sum, { probability, came }) => sum + Math.abs(probability - came), 0) / total
}

/** Sums over the items of each bin. */
function binned(
  predicted: readonly number[],
  outcomes: readonly boolean[],
  bins: number,
  weights?: Weights,
): { weight: number; probability: number; came: number }[] {
  sameLength('outcomes', outcomes, predicted)
  wholeNumber('bins', bins, 1)
  probabilities('predicted', predicted)
  const filled = Array.from({ length: bins }, () => ({ weight: 0, probability: 0, came: 0 }))
  predicted.forEach((probability, i) => {
    const weight = weights?.[i] ?? 1
    const bin = filled[Math.min(bins - 1, Math.floor(probability * bins))]!
    bin.weight += weight
    bin.probability += weight * probability
    bin.came += weight * +outcomes[i]!
  })
  return filled
}
