/** When to stop rolling out: sampling plans over how many rollouts there are and how many of them hit. Numbers only. */
import { invalidArgument } from '../errors.ts'
import type { Rollouts } from './annotation.ts'

/** A Beta law over the chance of a hit: Beta(1, 1) is uniform. */
export interface Beta {
  readonly a: number
  readonly b: number
}

/**
 * - `fixed`: always K.
 * - `exact`: as soon as the hard label of all K can no longer change: it is the same as with `fixed`, always.
 * - `posterior`: as soon as what was seen makes the hard label of all K sure enough (stochastic curtailment; Lan, Simon and
 *   Halperin 1982), where the chances of a hit of different prefixes are spread by the prior: it is labelled 1 when a 0 has a
 *   chance of at most `error` times what it had before the first rollout, and 0 likewise. So of the prefixes that K rollouts
 *   would label 0 at most a share `error` is labelled 1, and of those that they would label 1 at most a share `error` is
 *   labelled 0. Nothing is promised for a single prefix, nor where the prior is wrong. Never needs more than `exact`.
 * - `hits`: as soon as there are so many hits (inverse binomial sampling; Haldane 1945): for soft labels.
 */
export type Stopping =
  | { readonly rule: 'fixed' }
  | { readonly rule: 'exact' }
  | {
      readonly rule: 'posterior'
      /** @default 0.05 */
      readonly error?: number
      /** @default uniform */
      readonly prior?: Beta
    }
  | { readonly rule: 'hits'; readonly hits: number }

export interface PlanOptions {
  /** Rollouts at most: K, up to {@link MOST}. */
  readonly k: number
  /** The hard label is 1 when more than this share of K rollouts hits: 0 asks for one hit. @default 0 */
  readonly threshold?: number
  /** @default exact */
  readonly stopping?: Stopping
}

/** A sampling plan: what to do at any number of rollouts and hits. */
export interface Plan {
  readonly k: number
  /** Hits that make the hard label 1. */
  readonly needed: number
  /** How many more rollouts are made whatever they bring; 0: it is the end. */
  more(seen: Rollouts): number
  /** The hard label, once {@link more} is 0. */
  label(seen: Rollouts): 0 | 1
  /**
   * The chance of a hit, once {@link more} is 0, as a ratio of whole numbers. It is unbiased for `fixed` and `hits`: (r − 1) /
   * (n − 1) where the r-th hit ended it (Girshick, Mosteller and Savage 1946), else the share. With the other rules the
   * share is biased; null for them.
   */
  chance(seen: Rollouts): Ratio | null
}

/** `top / bottom`, whole numbers; bottom is not 0. */
export interface Ratio {
  readonly top: number
  readonly bottom: number
}

/** The largest K: a plan weighs all of K²/2 outcomes. */
export const MOST = 4096

const UNIFORM: Beta = { a: 1, b: 1 }

/** @throws `ERR_INVALID_ARGUMENT` */
export function samplingPlan({ k, threshold = 0, stopping = { rule: 'exact' } }: PlanOptions): Plan {
  if (!(Number.isSafeInteger(k) && k >= 1 && k <= MOST)) {
    invalidArgument('k', `must be a whole number from 1 to ${MOST}`, k)
  }
  if (!(typeof threshold === 'number' && threshold >= 0 && threshold < 1)) {
    invalidArgument('threshold', 'must be a number from 0 to below 1', threshold)
  }
  let needed = 1
  // A quotient of whole numbers is rounded correctly, so a share that equals the threshold compares as equal.
  while (needed / k <= threshold) needed++
  const hard = { k, needed, chance: () => null }
  switch (stopping.rule) {
    case 'fixed':
      return {
        k,
        needed,
        more: ({ count }) => k - count,
        label: ({ hits }) => (hits >= needed ? 1 : 0),
        chance: ({ hits, count }) => ({ top: hits, bottom: count }),
      }
    case 'exact': {
      // Whichever comes first: the hits that are needed, or so many misses that they can no longer come.
      const more = ({ count, hits }: Rollouts): number =>
        Math.max(0, Math.min(needed - hits, k - needed + 1 - (count - hits)))
      return { ...hard, more, label: ({ hits }) => (hits >= needed ? 1 : 0) }
    }
    case 'posterior': {
      const { error = 0.05, prior = UNIFORM } = stopping
      if (!(typeof error === 'number' && error >= 0 && error < 0.5)) {
        invalidArgument('error', 'must be a number from 0 to below 0.5', error)
      }
      checkBeta(prior)
      const sure = predictive(k, needed, prior)
      const before = sure[0]![0]!
      const one = ({ count, hits }: Rollouts): number => sure[count]![hits]!
      const isOne = (seen: Rollouts): boolean => 1 - one(seen) <= error * (1 - before)
      return {
        ...hard,
        more: seen => (seen.count > 0 && (isOne(seen) || one(seen) <= error * before) ? 0 : 1),
        label: seen => (isOne(seen) ? 1 : 0),
      }
    }
    case 'hits': {
      const { hits: target } = stopping
      if (!(Number.isSafeInteger(target) && target >= 2 && target <= k)) {
        invalidArgument('hits', `must be a whole number from 2 to k, which is ${k}`, target)
      }
      return {
        k,
        needed,
        more: ({ count, hits }) => Math.max(0, Math.min(target - hits, k - count)),
        label: seen => (share(seen, target) > threshold ? 1 : 0),
        chance: seen => ratio(seen, target),
      }
    }
    default:
      invalidArgument('stopping', "must have the rule 'fixed', 'exact', 'posterior' or 'hits'", stopping)
  }
}

function ratio({ count, hits }: Rollouts, target: number): Ratio {
  return hits === target ? { top: hits - 1, bottom: count - 1 } : { top: hits, bottom: count }
}

function share(seen: Rollouts, target: number): number {
  const { top, bottom } = ratio(seen, target)
  return top / bottom
}

function checkBeta({ a, b }: Beta): void {
  for (const [name, value] of Object.entries({ a, b })) {
    if (!(typeof value === 'number' && value > 0 && Number.isFinite(value))) {
      invalidArgument(`prior.${name}`, 'must be a number above 0', value)
    }
  }
}

/** By rollouts and hits: the chance that all `k` rollouts bring `needed` hits, under the law. */
function predictive(k: number, needed: number, law: number | Beta): Float64Array[] {
  const table: Float64Array[] = []
  table[k] = Float64Array.from({ length: k + 1 }, (_, hits) => (hits >= needed ? 1 : 0))
  for (let count = k - 1; count >= 0; count--) {
    const next = table[count + 1]!
    table[count] = Float64Array.from({ length: count + 1 }, (_, hits) => {
      // Certain either way, without a rounded sum.
      if (hits >= needed) return 1
      if (hits + k - count < needed) return 0
      const hit = chanceOfHit(law, { count, hits })
      return hit * next[hits + 1]! + (1 - hit) * next[hits]!
    })
  }
  return table
}

/** The chance that the next rollout hits: known, or drawn by a Beta law (Pólya's urn). */
function chanceOfHit(law: number | Beta, { count, hits }: Rollouts): number {
  return typeof law === 'number' ? law : (law.a + hits) / (law.a + law.b + count)
}

/** What a plan does, computed over all its outcomes: exact but for rounding. */
export interface Characteristic {
  /** Mean number of rollouts. */
  readonly rollouts: number
  /** How often the hard label is 1. */
  readonly ones: number
  /** How often it is not the one that all K rollouts would give: where that is 0, and where it is 1. */
  readonly differs: readonly [number, number]
  /** Mean of {@link Plan.chance}; null where the plan has none. */
  readonly chance: number | null
}

/** @param law the chance of a hit, or how it is spread */
export function characteristic(plan: Plan, law: number | Beta): Characteristic {
  if (typeof law === 'number' && !(law >= 0 && law <= 1)) invalidArgument('law', 'must be from 0 to 1', law)
  if (typeof law !== 'number') checkBeta(law)
  const { k, needed } = plan
  const ofAll = predictive(k, needed, law)
  const sums = { rollouts: 0, ones: 0, chance: 0 }
  const differs: [number, number] = [0, 0]
  let biased = false
  let row = Float64Array.of(1)
  for (let count = 0; count <= k; count++) {
    const next = new Float64Array(count + 2)
    for (let hits = 0; hits <= count; hits++) {
      const here = row[hits]!
      if (here === 0) continue
      const seen = { count, hits }
      if (plan.more(seen) > 0) {
        const hit = chanceOfHit(law, seen)
        next[hits + 1]! += here * hit
        next[hits]! += here * (1 - hit)
        continue
      }
      const label = plan.label(seen)
      const chance = plan.chance(seen)
      const one = ofAll[count]![hits]!
      sums.rollouts += here * count
      sums.ones += here * label
      differs[label === 1 ? 0 : 1] += here * (label === 1 ? 1 - one : one)
      if (chance === null) biased = true
      else sums.chance += here * (chance.top / chance.bottom)
    }
    row = next
  }
  const one = ofAll[0]![0]!
  return {
    ...sums,
    differs: [one === 1 ? 0 : differs[0] / (1 - one), one === 0 ? 0 : differs[1] / one],
    chance: biased ? null : sums.chance,
  }
}
