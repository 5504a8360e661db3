/** What each way to choose among sampled solutions is worth: the table of the model card and of the demo. */
import { type Aggregate, aggregate, aggregates } from '../aggregate.ts'
import { majority as majorityVote, type Vote, weightedVote as voteByWeight } from '../grade/vote.ts'
import {
  bestOf,
  bootstrapMean,
  type Candidate,
  type Interval,
  majority,
  mean,
  passAtK,
  weightedVote,
} from './metrics.ts'

/** A candidate with the PRM's score of each step; none for a solution without steps. */
export interface ScoredCandidate extends Candidate {
  readonly scores: readonly number[]
}

/** One rule, its share of right choices over the problems, and its chance of a right choice on each. */
export interface Selection {
  readonly rule: string
  readonly accuracy: Interval
  readonly perProblem: readonly number[]
}

/** The one number by which a candidate competes. Without steps there is no answer either, so the 0 never wins. */
function worth({ scores }: ScoredCandidate, by: Aggregate): number {
  return scores.length === 0 ? 0 : aggregate(scores, by)
}

/**
 * The rules that score nothing: mean of samples, majority vote at each size, and pass@n, the most that a choice can
 * reach.
 */
export function baselines(
  problems: readonly (readonly Candidate[])[],
  sizes: readonly number[] = [8, 16],
): Selection[] {
  const most = Math.max(...sizes)
  return [
    selection('mean of samples', problems, candidates => mean(candidates.map(({ correct }) => +correct))),
    ...sizes.map(k => selection(`majority@${k}`, problems, candidates => majority(candidates, k))),
    selection(`pass@${most}`, problems, candidates =>
      passAtK(candidates.length, candidates.filter(({ correct }) => correct).length, most),
    ),
  ]
}

/** Best-of-k and score-weighted vote, by every aggregate and at each size. Scores are probabilities. */
export function scoredRules(
  problems: readonly (readonly ScoredCandidate[])[],
  sizes: readonly number[] = [8, 16],
  by: readonly Aggregate[] = aggregates,
): Selection[] {
  const rules = { 'best-of': bestOf, 'weighted vote': weightedVote }
  return Object.entries(rules).flatMap(([name, rule]) =>
    sizes.flatMap(k =>
      by.map(how =>
        selection(`${name}@${k} ${how}`, problems, candidates =>
          rule(
            candidates,
            candidates.map(candidate => worth(candidate, how)),
            k,
          ),
        ),
      ),
    ),
  )
}

/** How much more often `a` chooses right than `b`, on the same problems (paired bootstrap). */
export function advantage(a: Selection, b: Selection): Interval {
  return bootstrapMean(a.perProblem.map((value, i) => value - b.perProblem[i]!))
}

/** A rule as its chance of a right choice on each problem, with the interval of their mean. */
export function selection<T>(rule: string, problems: readonly T[], chance: (problem: T) => number): Selection {
  const perProblem = problems.map(chance)
  return { rule, perProblem, accuracy: bootstrapMean(perProblem) }
}

/** Answers and the step scores of each → the vote. */
export type VoteRule = (answers: readonly (string | null)[], scores: readonly (readonly number[])[]) => Vote

/**
 * The five selection rules of OpenR (arXiv 2410.09671): the majority, and by the lowest or the last step score either
 * the highest single score (`max`) or the largest sum a class of answers (`vote`). A solution without steps scores −1,
 * as there. The vote's `answer` breaks ties as OpenR does, for the first; for a report take `expectedOverTies` of the
 * vote.
 */
export const openrRules: Readonly<
  Record<'majority_vote' | 'prm_min_max' | 'prm_min_vote' | 'prm_last_max' | 'prm_last_vote', VoteRule>
> = {
  majority_vote: answers => majorityVote(answers),
  prm_min_max: openrRule('min', 'max'),
  prm_min_vote: openrRule('min', 'sum'),
  prm_last_max: openrRule('last', 'max'),
  prm_last_vote: openrRule('last', 'sum'),
}

function openrRule(of: Aggregate, by: 'max' | 'sum'): VoteRule {
  return (answers, scores) =>
    voteByWeight(
      answers,
      scores.map(steps => (steps.length === 0 ? -1 : aggregate(steps, of))),
      { by },
    )
}
