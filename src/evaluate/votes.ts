/** Votes among k of n samples, in the mean over all ways to draw them. */
import { invalidArgument } from '../errors.ts'
import { groupAnswers } from '../grade/group.ts'
import { type Vote, weightedVote as voteOfAll } from '../grade/vote.ts'
import { sameLength, wholeNumber } from './check.ts'
import { binomial, combinations } from './combinations.ts'
import { drawToFront, randomNumbers } from './random.ts'

/** A sampled solution as the selection rules see it. One without an answer is never chosen and casts no vote. */
export interface Candidate {
  /** Candidates agree when their answers mean the same, as `surefoot/grade` groups them. */
  readonly answer: string | null
  readonly correct: boolean
}

export interface SubsetOptions {
  /** Up to so many k-subsets are counted one by one. @default 20000 */
  readonly subsets?: number
  /** Of the draws where there are more. @default 1 */
  readonly seed?: number
}

/**
 * Votes this close, relative to the highest, are tied: sums of the same weights in another order differ by rounding.
 */
export const TIE = 1e-12

const MOST_SUBSETS = 20_000

/** Subsets that are drawn where there are too many: a standard error of at most 0.016 on one problem. */
const DRAWS = 1000

/**
 * The chance that the answer with most votes is right among `k` candidates drawn from all: self-consistency
 * (arXiv 2203.11171), maj@k. Exact for every n and k: the counts of the answers among k drawn follow the multivariate
 * hypergeometric law. Answers that tie share the chance.
 *
 * @param k how many are drawn; all by default
 * @throws `ERR_INVALID_ARGUMENT` when k is not from 1 to n
 */
export function majority(candidates: readonly Candidate[], k: number = candidates.length): number {
  const { length } = candidates
  wholeNumber('k', k, 1, length)
  if (k === length) return chanceOfVote(candidates, new Array<number>(length).fill(1))
  const classes = groupAnswers(candidates.map(({ answer }) => answer)).map(({ indices }) => ({
    chances: binomial(indices.length, k / length),
    right: shareRight(candidates, indices),
  }))
  const unanswered = candidates.filter(({ answer }) => answer === null).length
  const most = Math.min(
    k,
    classes.reduce((most, { chances }) => Math.max(most, chances.length - 1), 0),
  )
  let expected = 0
  for (let votes = 1; votes <= most; votes++) {
    expected += chanceToWinWith(votes, classes, binomial(unanswered, k / length), k)
  }
  // Independent binomial counts, given that they add up to k, follow the hypergeometric law.
  return Math.min(1, expected / binomial(length, k / length)[k]!)
}

/**
 * The chance, with independent binomial counts, that they add up to k, that the highest is `votes`, and that the answer
 * drawn from those that have it is right.
 */
function chanceToWinWith(
  votes: number,
  classes: readonly { readonly chances: readonly number[]; readonly right: number }[],
  unanswered: readonly number[],
  k: number,
): number {
  const ties = Math.floor(k / votes)
  // By candidates drawn so far and classes with `votes`: the chance, and the chance times the sum of what is right of
  // these.
  let chance = table(k, ties)
  let right = table(k, ties)
  for (let drawn = 0; drawn <= Math.min(k, unanswered.length - 1); drawn++) chance[drawn]![0] = unanswered[drawn]!
  for (const one of classes) {
    const [nextChance, nextRight] = [table(k, ties), table(k, ties)]
    for (let count = 0; count <= Math.min(votes, one.chances.length - 1); count++) {
      const wins = +(count === votes)
      for (let drawn = count; drawn <= k; drawn++) {
        for (let tied = wins; tied <= ties; tied++) {
          const before = chance[drawn - count]![tied - wins]! * one.chances[count]!
          nextChance[drawn]![tied]! += before
          nextRight[drawn]![tied]! +=
            right[drawn - count]![tied - wins]! * one.chances[count]! + before * wins * one.right
        }
      }
    }
    chance = nextChance
    right = nextRight
  }
  return right[k]!.reduce((sum, value, tied) => (tied === 0 ? sum : sum + value / tied), 0)
}

function table(k: number, ties: number): Float64Array[] {
  return Array.from({ length: k + 1 }, () => new Float64Array(ties + 1))
}

/**
 * The chance that the answer with the largest sum of votes is right, among `k` candidates drawn from all; answers that
 * tie share it ("Best-of-N weighted", arXiv 2408.03314). It has no closed form: up to `subsets` ways to draw are
 * counted one by one, beyond them 1,000 seeded draws are ({@link votesAreExact} tells).
 *
 * @param votes one finite number a candidate; a negative one takes votes away. Those of candidates without an answer
 *   are not looked at
 * @param k how many are drawn; all by default
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ, a vote is not finite, or k is not from 1 to n
 */
export function weightedVote(
  candidates: readonly Candidate[],
  votes: readonly number[],
  k: number = candidates.length,
  { subsets = MOST_SUBSETS, seed = 1 }: SubsetOptions = {},
): number {
  const { length } = candidates
  sameLength('votes', votes, candidates)
  wholeNumber('k', k, 1, length)
  const bad = candidates.findIndex(({ answer }, i) => answer !== null && !Number.isFinite(votes[i]))
  if (bad >= 0) invalidArgument('votes', `must be finite, got ${votes[bad]} at ${bad}`, votes[bad])
  if (k === length) return chanceOfVote(candidates, votes)
  const ballots = new Ballots(candidates, votes)
  if (votesAreExact(length, k, subsets)) return ballots.overAll(k) / combinations(length, k)
  const random = randomNumbers(seed)
  const order = candidates.map((_, i) => i)
  let sum = 0
  for (let draw = 0; draw < DRAWS; draw++) {
    drawToFront(order, k, random)
    sum += ballots.of(order, k)
  }
  return sum / DRAWS
}

/** Whether {@link weightedVote} counts all ways to draw k of n, or a sample of them. */
export function votesAreExact(n: number, k: number, subsets: number = MOST_SUBSETS): boolean {
  return combinations(n, k) <= subsets
}

function chanceOfVote(candidates: readonly Candidate[], votes: readonly number[]): number {
  const answers = candidates.map(({ answer }) => answer)
  const vote = voteOfAll(
    answers,
    votes.map((value, i) => (answers[i] === null ? 0 : value)),
  )
  return chanceOverTies(candidates, vote)
}

/**
 * The chance that a member of a class drawn from those that share the highest vote is right; 0 when nobody answered.
 */
function chanceOverTies(candidates: readonly Candidate[], { tied }: Vote): number {
  return tied.length === 0
    ? 0
    : tied.reduce((sum, { indices }) => sum + shareRight(candidates, indices), 0) / tied.length
}

function shareRight(candidates: readonly Candidate[], indices: readonly number[]): number {
  return indices.filter(i => candidates[i]!.correct).length / indices.length
}

/** The votes of some of the candidates at a time. */
class Ballots {
  readonly #classes: Int32Array
  readonly #votes: readonly number[]
  readonly #right: Uint8Array
  readonly #sums: Float64Array
  readonly #counts: Uint32Array
  readonly #rights: Uint32Array

  constructor(candidates: readonly Candidate[], votes: readonly number[]) {
    const classes = groupAnswers(candidates.map(({ answer }) => answer))
    this.#classes = new Int32Array(candidates.length).fill(-1)
    classes.forEach(({ indices }, number) => {
      for (const index of indices) this.#classes[index] = number
    })
    this.#votes = votes
    this.#right = Uint8Array.from(candidates, ({ correct }) => +correct)
    this.#sums = new Float64Array(classes.length)
    this.#counts = new Uint32Array(classes.length)
    this.#rights = new Uint32Array(classes.length)
  }

  /** The chance to choose right among the first k of `order`. */
  of(order: readonly number[], k: number): number {
    this.#sums.fill(0)
    this.#counts.fill(0)
    this.#rights.fill(0)
    for (let i = 0; i < k; i++) this.#cast(order[i]!)
    return this.#chance()
  }

  /** The sum of the chances over all ways to draw k from the candidates from `first` on, beside those drawn already. */
  overAll(k: number, first = 0): number {
    if (k === 0) return this.#chance()
    let sum = 0
    for (let i = first; i <= this.#classes.length - k; i++) {
      const before = this.#sums[this.#classes[i]!]
      this.#cast(i)
      sum += this.overAll(k - 1, i + 1)
      if (before !== undefined) this.#takeBack(i, before)
    }
    return sum
  }

  #cast(i: number): void {
    const one = this.#classes[i]!
    if (one < 0) return
    this.#sums[one]! += this.#votes[i]!
    this.#counts[one]!++
    this.#rights[one]! += this.#right[i]!
  }

  /** Sets the sum to what it was: subtracting the vote would leave a rounding error. */
  #takeBack(i: number, before: number): void {
    const one = this.#classes[i]!
    this.#sums[one] = before
    this.#counts[one]!--
    this.#rights[one]! -= this.#right[i]!
  }

  #chance(): number {
    let highest = -Infinity
    for (let one = 0; one < this.#sums.length; one++) {
      if (this.#counts[one]! > 0 && this.#sums[one]! > highest) highest = this.#sums[one]!
    }
    const least = highest - TIE * Math.abs(highest)
    let tied = 0
    let right = 0
    for (let one = 0; one < this.#sums.length; one++) {
      if (this.#counts[one]! === 0 || this.#sums[one]! < least) continue
      tied++
      right += this.#rights[one]! / this.#counts[one]!
    }
    return tied === 0 ? 0 : right / tied
  }
}
