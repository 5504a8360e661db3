/** How sure a number is: bootstrap intervals and McNemar's test. */
import { sameLength, wholeNumber } from './check.ts'
import { logCombinations } from './combinations.ts'
import { randomNumbers } from './random.ts'

/** Item i counts `weights[i]` times. */
export type Weights = ArrayLike<number>

/** An estimate with its 95 % percentile interval. */
export interface Interval {
  readonly value: number
  readonly low: number
  readonly high: number
}

export interface BootstrapOptions {
  /** @default 10000 */
  readonly resamples?: number
  /** Of the draws; the same seed gives the same interval. @default 1 */
  readonly seed?: number
}

/** The mean of `values`; NaN of none. */
export function mean(values: ArrayLike<number>, weights?: Weights): number {
  let sum = 0
  let total = 0
  for (let i = 0; i < values.length; i++) {
    const weight = weights ? weights[i]! : 1
    sum += weight * values[i]!
    total += weight
  }
  return sum / total
}

/**
 * A statistic of `count` problems with its 95 % interval by the percentile bootstrap (Efron 1979): problems are drawn
 * with repetition, as often as there are, and the statistic is taken of each draw. Draws in which it is not defined
 * (NaN) are left out.
 *
 * @param statistic from how often each problem was drawn, to the number wanted
 * @throws `ERR_INVALID_ARGUMENT` when count or resamples is not a whole number ≥ 1
 */
export function bootstrap(
  count: number,
  statistic: (weights: Weights) => number,
  options: BootstrapOptions = {},
): Interval {
  const weights = new Uint32Array(count)
  const { low, high } = resampled(count, options, draw => {
    weights.fill(0)
    for (let i = 0; i < count; i++) weights[draw()]!++
    return statistic(weights)
  })
  return { value: statistic(weights.fill(1)), low, high }
}

/**
 * {@link bootstrap} of a mean, from the same draws and several times as fast. For a paired comparison of two rules pass
 * the differences on the same problems.
 *
 * @throws `ERR_INVALID_ARGUMENT` when there is no value, or resamples is not a whole number ≥ 1
 */
export function bootstrapMean(values: readonly number[], options: BootstrapOptions = {}): Interval {
  const numbers = Float64Array.from(values)
  const { low, high } = resampled(numbers.length, options, draw => {
    let sum = 0
    for (let i = 0; i < numbers.length; i++) sum += numbers[draw()]!
    return sum / numbers.length
  })
  return { value: mean(numbers), low, high }
}

function resampled(
  count: number,
  { resamples = 10_000, seed = 1 }: BootstrapOptions,
  statistic: (draw: () => number) => number,
): Pick<Interval, 'low' | 'high'> {
  wholeNumber('count', count, 1, 2 ** 31)
  wholeNumber('resamples', resamples, 1, 2 ** 31)
  const random = randomNumbers(seed)
  const draw = (): number => Math.floor(random() * count)
  const values = Float64Array.from({ length: resamples }, () => statistic(draw)).filter(value => !Number.isNaN(value))
  values.sort()
  return { low: quantile(values, 0.025), high: quantile(values, 0.975) }
}

/** Between the two nearest of the ascending values (Hyndman and Fan's type 7); NaN of none. */
function quantile(values: Float64Array, share: number): number {
  if (values.length === 0) return Number.NaN
  const at = share * (values.length - 1)
  const below = values[Math.floor(at)]!
  const above = values[Math.ceil(at)]!
  // Also right where both are infinite, or equal.
  return below === above ? below : below + (at - Math.floor(at)) * (above - below)
}

/**
 * A statistic of items as one of problems, for {@link bootstrap}: steps or solutions are drawn with their problems, for
 * those of one problem are not independent.
 *
 * @param problemOf the number of the problem of each item
 * @param statistic from how often each item counts, to the number wanted
 */
export function overItems(
  problemOf: readonly number[],
  statistic: (weights: Weights) => number,
): (drawn: Weights) => number {
  const weights = new Float64Array(problemOf.length)
  return drawn => {
    for (let i = 0; i < weights.length; i++) weights[i] = drawn[problemOf[i]!]!
    return statistic(weights)
  }
}

/** Two rules on the same problems. */
export interface McNemar {
  /** Problems that only the first got right. */
  readonly onlyA: number
  readonly onlyB: number
  /**
   * How likely so uneven a split, or a more uneven one, is of rules that are equally good. 1 when they never differ.
   */
  readonly p: number
}

/**
 * McNemar's exact test (McNemar 1947): of the problems where one rule is right and the other wrong, whether either rule
 * has more than chance gives, by the two-sided binomial law.
 *
 * @param a whether the first rule is right on each problem: one verdict, with ties broken
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ
 */
export function mcnemar(a: readonly boolean[], b: readonly boolean[]): McNemar {
  sameLength('b', b, a)
  const onlyA = a.filter((right, i) => right && !b[i]).length
  const onlyB = b.filter((right, i) => right && !a[i]).length
  const differ = onlyA + onlyB
  let tail = 0
  for (let fewer = 0; fewer <= Math.min(onlyA, onlyB); fewer++) {
    tail += Math.exp(logCombinations(differ, fewer) - differ * Math.LN2)
  }
  return { onlyA, onlyB, p: Math.min(1, 2 * tail) }
}
