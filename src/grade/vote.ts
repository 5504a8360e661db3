import { invalidArgument } from '../errors.ts'
import { type AnswerClass, type GroupOptions, groupAnswers } from './group.ts'

/** How the weights of a class become its vote. */
export type WeightedVoteBy = 'sum' | 'max' | 'mean' | 'softmax'

/** Sums of equal weights may differ by rounding: votes this close, relative to the highest, are tied. */
const TIE = 1e-14

const RULES: readonly WeightedVoteBy[] = ['sum', 'max', 'mean', 'softmax']

export interface WeightedVoteOptions extends GroupOptions {
  /**
   * `sum` of the weights (PRM-Vote), the `max` (PRM-Max), their `mean`, or `softmax`: the sum of exp(wᵢ/T) / Σ exp(wⱼ/T)
   * over all answered candidates. Default `'sum'`. A negative weight takes votes away under `sum`: use `softmax` there.
   */
  readonly by?: WeightedVoteBy
  /** T of `softmax`, above 0. Default 1. */
  readonly temperature?: number
}

/** A class with its vote. */
export interface VotedClass extends AnswerClass {
  readonly vote: number
}

export interface Vote {
  /** The winner, null when no candidate answered. */
  readonly answer: string | null
  /** The winner's vote: a count, a weight, or a share for `softmax`. 0 when nobody answered. */
  readonly vote: number
  /** All classes, the highest vote first, equal votes in the order of the tie rule. */
  readonly classes: readonly VotedClass[]
  /** The classes that share the highest vote (up to rounding); the first of them won. */
  readonly tied: readonly VotedClass[]
}

/**
 * The answer that most candidates gave. Candidates without an answer (`null`) have no vote.
 *
 * Ties go to the class whose first member came first, which depends on the order of the candidates: for a report, use
 * {@link expectedOverTies}.
 *
 * @throws `ERR_INVALID_ARGUMENT` when an answer is neither a string nor null
 */
export function majority(answers: readonly (string | null)[], options: GroupOptions = {}): Vote {
  return elect(groupAnswers(answers, options), members => ({ vote: members.length, first: members[0]! }))
}

/**
 * The answer with the most weight, where `weights[i]` is the score of candidate i. Same tie rule as {@link majority},
 * but for `max`, where the class of the first candidate with the highest weight wins: best-of-N.
 *
 * @param weights one finite number per answer
 * @throws `ERR_INVALID_ARGUMENT` when the lengths differ, a weight is not finite, or an option is out of range
 */
export function weightedVote(
  answers: readonly (string | null)[],
  weights: readonly number[],
  options: WeightedVoteOptions = {},
): Vote {
  const by = options.by ?? 'sum'
  const temperature = options.temperature ?? 1
  if (!RULES.includes(by)) invalidArgument('by', `must be one of ${RULES.join(', ')}, got ${String(by)}`, by)
  if (!(temperature > 0)) invalidArgument('temperature', `must be above 0, got ${temperature}`, temperature)
  if (weights.length !== answers.length) {
    invalidArgument('weights', `must be one per answer: ${weights.length} weights, ${answers.length} answers`, weights)
  }
  const bad = weights.findIndex(weight => !Number.isFinite(weight))
  if (bad >= 0) invalidArgument('weights', `must be finite, got ${weights[bad]} at ${bad}`, weights[bad])
  const classes = groupAnswers(answers, options)
  const shares = by === 'softmax' ? softmax(classes, weights, temperature) : weights
  return elect(classes, members => {
    if (by === 'max') {
      const first = members.reduce((best, index) => (shares[index]! > shares[best]! ? index : best))
      return { vote: shares[first]!, first }
    }
    const sum = members.reduce((total, index) => total + shares[index]!, 0)
    return { vote: by === 'mean' ? sum / members.length : sum, first: members[0]! }
  })
}

function softmax(classes: readonly AnswerClass[], weights: readonly number[], temperature: number): number[] {
  const answered = classes.flatMap(({ indices }) => indices)
  const highest = answered.reduce((most, index) => Math.max(most, weights[index]!), Number.NEGATIVE_INFINITY)
  const exponentials = weights.map(weight => Math.exp((weight - highest) / temperature))
  const total = answered.reduce((sum, index) => sum + exponentials[index]!, 0)
  return exponentials.map(value => value / total)
}

/** The vote of a class, and the candidate whose place decides a tie. */
type Tally = (indices: readonly number[]) => { vote: number; first: number }

function elect(classes: readonly AnswerClass[], tally: Tally): Vote {
  const counted = classes.map(one => ({ one, ...tally(one.indices) })).sort((a, b) => a.first - b.first)
  const voted = counted.map(({ one, vote }) => ({ ...one, vote }))
  const highest = voted.reduce((most, { vote }) => Math.max(most, vote), Number.NEGATIVE_INFINITY)
  const tied = voted.filter(({ vote }) => highest - vote <= TIE * Math.abs(highest))
  const losers = voted.filter(one => !tied.includes(one)).sort((a, b) => b.vote - a.vote)
  return { answer: tied[0]?.answer ?? null, vote: tied[0]?.vote ?? 0, classes: [...tied, ...losers], tied }
}

/**
 * The expected verdict when ties are broken at random: the share of the tied classes that are right, in [0, 1]; 0 when
 * nobody answered. Unlike the winner, it does not depend on the order of the candidates.
 */
export function expectedOverTies(vote: Vote, isRight: (answer: string) => boolean): number {
  if (vote.tied.length === 0) return 0
  return vote.tied.filter(({ answer }) => isRight(answer)).length / vote.tied.length
}
