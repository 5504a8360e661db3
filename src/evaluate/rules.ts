import { type Aggregate, aggregate, aggregates } from '../aggregate.ts'
import { invalidArgument } from '../errors.ts'
import type { Semantics } from '../scorer.ts'
import { bestOf, type Candidate, mean, passAtK, weightedVote } from './metrics.ts'
import { TIE } from './votes.ts'

/** A candidate as the rules see it. */
export interface Voter {
  /** Equal answers have equal numbers; null without an answer: never chosen, no vote. */
  readonly group: number | null
  readonly correct: boolean
  /** One a step; null or empty where nothing was scored: a rule that goes by them never chooses it. */
  readonly scores: readonly number[] | null
  /** An outcome reward. */
  readonly score: number | null
}

/** A way to choose one of several candidates, or a bound on what can be chosen. */
export interface Rule {
  readonly name: string
  /** Where its numbers come from: it needs none, the PRM gives them, or they were recorded at a cost that is not known. */
  readonly scoredBy: 'nothing' | 'prm' | 'record'
  /** The chance that it is right with `n` candidates, drawn from those given; with all where there are fewer. */
  readonly chance: (voters: readonly Voter[], n: number) => number
  /** Which candidates it chooses among all given, the first of them where a tie must be broken; null: it chooses none. */
  readonly choose: ((voters: readonly Voter[]) => number[]) | null
}

/** One kind of numbers that a run goes by. */
export interface Scores {
  readonly semantics: Semantics
  readonly from: 'prm' | 'record'
}

/** What there is to go by in a run. */
export interface Evidence {
  /** The step scores; null without any. */
  readonly steps: Scores | null
  /** The outcome scores; null without any. */
  readonly reward: Scores | null
  readonly aggregates: readonly Aggregate[]
}

/** The name of the rule against which all others are held. */
export const MAJORITY = 'majority'

/** What a single sample is worth. */
export const MEAN_OF_SAMPLES = 'mean of samples'

/**
 * The aggregates that make sense of such scores: all for numbers in [0, 1]; for bare rewards all but the product, in which two
 * bad steps make a good one.
 *
 * @throws `ERR_INVALID_ARGUMENT` when `wanted` names one that does not
 */
export function suitedAggregates(semantics: Semantics, wanted: readonly Aggregate[] | undefined): Aggregate[] {
  if (wanted?.length === 0) invalidArgument('aggregates', 'must name at least one', wanted)
  for (const by of wanted ?? []) {
    if (!aggregates.includes(by)) invalidArgument('aggregates', `must be of ${aggregates.join(', ')}, got ${by}`, by)
  }
  const suited = aggregates.filter(by => semantics !== 'reward' || by !== 'product')
  const unsuited = wanted?.find(by => !suited.includes(by))
  if (unsuited) {
    invalidArgument(
      'aggregates',
      `${unsuited} makes no sense of rewards, which may be negative; use ${suited.join(', ')}`,
      unsuited,
    )
  }
  return suited.filter(by => wanted?.includes(by) ?? true)
}

/**
 * Every rule that the evidence allows.
 *
 * Best-of-n takes the highest score; a weighted vote sums the scores of equal answers (algorithms: arXiv 2408.03314,
 * 2305.20050). Rewards can be negative and would take votes away, so their vote sums exp(reward) instead: the softmax over
 * the candidates, whose order does not depend on which others are there. The rule's name says so.
 */
export function rulesFor(evidence: Evidence): Rule[] {
  const rules: Rule[] = [
    {
      name: MEAN_OF_SAMPLES,
      scoredBy: 'nothing',
      chance: voters => (voters.length === 0 ? 0 : mean(voters.map(({ correct }) => +correct))),
      choose: null,
    },
    {
      name: 'pass',
      scoredBy: 'nothing',
      chance: (voters, n) =>
        voters.length === 0
          ? 0
          : passAtK(voters.length, voters.filter(({ correct }) => correct).length, Math.min(n, voters.length)),
      choose: null,
    },
    vote(MAJORITY, 'nothing', () => 1, 'probability'),
  ]
  const { steps, reward } = evidence
  if (steps) {
    for (const by of evidence.aggregates) {
      const weigh = ({ scores }: Voter): number | null =>
        scores === null || scores.length === 0 ? null : aggregate(scores, by)
      rules.push(...scoredPair(by, steps, weigh))
    }
  }
  if (reward) {
    const weigh = ({ score }: Voter): number | null => score
    rules.push(...scoredPair('reward', reward, weigh))
  }
  return rules
}

/** The number by which a candidate competes; null: it does not. */
type Weigh = (voter: Voter) => number | null

function scoredPair(of: string, { semantics, from }: Scores, weigh: Weigh): Rule[] {
  const voted = semantics === 'reward' ? `softmax of ${of}` : of
  return [best(`best-of-n (${of})`, from, weigh), vote(`weighted vote (${voted})`, from, weigh, semantics)]
}

function best(name: string, scoredBy: Rule['scoredBy'], weigh: Weigh): Rule {
  return {
    name,
    scoredBy,
    chance: (voters, n) => {
      const { candidates, weights } = entrants(voters, weigh)
      return candidates.length === 0 ? 0 : bestOf(candidates, weights, Math.min(n, candidates.length))
    },
    choose: voters => {
      const { candidates, weights } = entrants(voters, weigh)
      const highest = weights.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
      return candidates.flatMap(({ answer }, index) => (answer !== null && weights[index] === highest ? [index] : []))
    },
  }
}

function vote(name: string, scoredBy: Rule['scoredBy'], weigh: Weigh, semantics: Semantics): Rule {
  const votes = (weights: readonly number[]): number[] => {
    if (semantics !== 'reward') return weights.map(weight => Math.max(0, weight))
    const highest = weights.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
    return weights.map(weight => (weight === Number.NEGATIVE_INFINITY ? 0 : Math.exp(weight - highest)))
  }
  return {
    name,
    scoredBy,
    chance: (voters, n) => {
      const { candidates, weights } = entrants(voters, weigh)
      return candidates.length === 0 ? 0 : weightedVote(candidates, votes(weights), Math.min(n, candidates.length))
    },
    choose: voters => {
      const { candidates, weights } = entrants(voters, weigh)
      const groups = new Map<string, { first: number; sum: number }>()
      for (const [index, weight] of votes(weights).entries()) {
        const { answer } = candidates[index]!
        if (answer === null) continue
        const group = groups.get(answer)
        if (group) group.sum += weight
        else groups.set(answer, { first: index, sum: weight })
      }
      const most = [...groups.values()].reduce((a, { sum }) => Math.max(a, sum), 0)
      return [...groups.values()].filter(({ sum }) => sum >= most * (1 - TIE)).map(({ first }) => first)
    },
  }
}

/** The voters as `metrics.ts` takes them. What cannot compete has no answer and the lowest weight. */
function entrants(voters: readonly Voter[], weigh: Weigh): { candidates: Candidate[]; weights: number[] } {
  const all = voters.map(voter => ({ voter, weight: voter.group === null ? null : weigh(voter) }))
  return {
    candidates: all.map(({ voter, weight }) => ({
      answer: weight === null ? null : String(voter.group),
      correct: voter.correct,
    })),
    weights: all.map(({ weight }) => weight ?? Number.NEGATIVE_INFINITY),
  }
}
