/** How far raters, or selection rules, agree. Labels are compared by identity. */
import { invalidArgument } from '../errors.ts'
import { sameLength } from './check.ts'

/** The share of items that two raters label alike; NaN of no items. */
export function rawAgreement(a: readonly unknown[], b: readonly unknown[]): number {
  sameLength('b', b, a)
  return a.filter((label, i) => label === b[i]).length / a.length
}

/**
 * Agreement of two raters beyond chance: (p − e) / (1 − e), where e is the agreement expected of raters with these
 * shares of each label (Cohen 1960). In [−1, 1]; NaN when both give every item one and the same label.
 *
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ
 */
export function cohenKappa(a: readonly unknown[], b: readonly unknown[]): number {
  const [inA, inB] = [countsOf(a), countsOf(b)]
  let expected = 0
  for (const [label, count] of inA) expected += (count / a.length) * ((inB.get(label) ?? 0) / b.length)
  return beyondChance(rawAgreement(a, b), expected)
}

/**
 * Agreement of several raters beyond chance (Fleiss 1971): the mean share of agreeing pairs of ratings of an item,
 * against that expected from the shares of the labels. In [−1, 1]; NaN when every rating is the same.
 *
 * @param ratings the ratings of each item: the same number of them, at least two; who gave which does not matter
 * @throws `ERR_INVALID_ARGUMENT` when items have fewer than two ratings, or not all as many
 */
export function fleissKappa(ratings: readonly (readonly unknown[])[]): number {
  const raters = ratings[0]?.length ?? 2
  const odd = ratings.findIndex(({ length }) => length < 2 || length !== raters)
  if (odd >= 0) {
    invalidArgument(
      'ratings',
      `must be as many for every item, and two or more: item ${odd} has ${ratings[odd]!.length}`,
    )
  }
  const pairs = raters * (raters - 1)
  const agreements = ratings.map(item => {
    const agreeing = [...countsOf(item).values()].reduce((sum, count) => sum + count * (count - 1), 0)
    return agreeing / pairs
  })
  const all = ratings.flat()
  const expected = [...countsOf(all).values()].reduce((sum, count) => sum + (count / all.length) ** 2, 0)
  return beyondChance(agreements.reduce((a, b) => a + b, 0) / ratings.length, expected)
}

function beyondChance(observed: number, expected: number): number {
  return (observed - expected) / (1 - expected)
}

function countsOf(labels: readonly unknown[]): Map<unknown, number> {
  const counts = new Map<unknown, number>()
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1)
  return counts
}
