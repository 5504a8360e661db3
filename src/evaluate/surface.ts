/** What can be told of a solution without understanding it: the least that a PRM must beat. */
import { sameLength, wholeNumber } from './check.ts'
import { logisticRegression } from './logistic.ts'
import { drawToFront, randomNumbers } from './random.ts'

/** What a surface baseline sees of a solution. */
export interface Surface {
  readonly steps: readonly string[]
  /** Tokens that the policy wrote, where they were counted. */
  readonly tokens?: number | null
}

/** The names of {@link surfaceFeatures}, in their order. */
export const surfaceFeatureNames = [
  'log characters',
  'log steps',
  'log tokens',
  'longest step',
  'digits',
  'equations',
  'commands',
  'hedges',
  'repeated steps',
  'marked answer',
] as const

const HEDGES =
  /\b(?:maybe|perhaps|probably|possibly|might|seems?|approximately|roughly|guess|assum(?:e|ing)|wait|hmm|actually|however|mistake|unsure|not sure|let me (?:re)?check)\b/gi
const MARKED = /\\boxed|####|\banswer\b|^A:/im

/**
 * Numbers about the text alone, in the order of {@link surfaceFeatureNames}: natural logarithms of 1 + characters,
 * steps and tokens (0 when not counted); the longest step and the digits as shares of all characters; equals signs,
 * LaTeX commands and hedging words a step; the share of steps that stood before; whether the last step marks an answer.
 */
export function surfaceFeatures({ steps, tokens }: Surface): number[] {
  const text = steps.join('\n')
  const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole)
  const matches = (pattern: RegExp): number => text.match(pattern)?.length ?? 0
  const longest = steps.reduce((most, { length }) => Math.max(most, length), 0)
  return [
    Math.log1p(text.length),
    Math.log1p(steps.length),
    Math.log1p(tokens ?? 0),
    share(longest, text.length),
    share(matches(/\d/g), text.length),
    share(matches(/=/g), steps.length),
    share(matches(/\\[A-Za-z]+/g), steps.length),
    share(matches(HEDGES), steps.length),
    share(steps.length - new Set(steps).size, steps.length),
    +MARKED.test(steps.at(-1) ?? ''),
  ]
}

export interface CrossFitOptions {
  /** @default 5, or as many as there are groups when they are fewer */
  readonly folds?: number
  /** Of the regression, on features of unit variance. @default 1 */
  readonly ridge?: number
  /** Of the folds. @default 1 */
  readonly seed?: number
}

/**
 * For each item the probability that it is positive, by a logistic regression on the items of the other folds:
 * out-of-fold scores, which can be compared with those of a model that has not seen the items either. The items of one
 * group stay in one fold, so that no problem teaches about itself. Features are standardised by the training items.
 *
 * @param rows the features of each item, as many for all
 * @param groups the problem of each item, at least two different ones
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ, there are fewer than two groups, folds is not a whole number
 *   ≥ 2, or ridge is not above 0
 */
export function crossFit(
  rows: readonly (readonly number[])[],
  labels: readonly boolean[],
  groups: readonly (string | number)[],
  { folds = 5, ridge = 1, seed = 1 }: CrossFitOptions = {},
): number[] {
  sameLength('labels', labels, rows)
  sameLength('groups', groups, rows)
  const foldOf = foldsOf(groups, folds, seed)
  const probabilities = new Array<number>(rows.length)
  for (const fold of new Set(foldOf)) {
    const training = rows.filter((_, i) => foldOf[i] !== fold)
    const standardise = standardiser(training)
    const classify = logisticRegression(
      training.map(standardise),
      labels.filter((_, i) => foldOf[i] !== fold),
      ridge,
    )
    for (const [i, row] of rows.entries()) if (foldOf[i] === fold) probabilities[i] = classify(standardise(row))
  }
  return probabilities
}

/** The fold of each item: the groups, shuffled, are dealt out in turn. */
function foldsOf(groups: readonly (string | number)[], folds: number, seed: number): number[] {
  const order = [...new Set(groups)]
  wholeNumber('groups', order.length, 2)
  wholeNumber('folds', folds, 2)
  drawToFront(order, order.length, randomNumbers(seed))
  const foldOf = new Map(order.map((group, place) => [group, place % folds]))
  return groups.map(group => foldOf.get(group)!)
}

/** Zero mean and unit variance over these rows; a feature that is the same in all of them becomes 0. */
function standardiser(rows: readonly (readonly number[])[]): (row: readonly number[]) => number[] {
  const scales = rows[0]!.map((_, feature) => {
    const mean = rows.reduce((sum, row) => sum + row[feature]!, 0) / rows.length
    const variance = rows.reduce((sum, row) => sum + (row[feature]! - mean) ** 2, 0) / rows.length
    const constant = rows.every(row => row[feature] === rows[0]![feature])
    return { mean, deviation: constant ? Infinity : Math.sqrt(variance) }
  })
  return row => row.map((value, feature) => (value - scales[feature]!.mean) / scales[feature]!.deviation)
}
