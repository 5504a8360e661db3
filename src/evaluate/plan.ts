import type { Aggregate } from '../aggregate.ts'
import { invalidArgument } from '../errors.ts'
import type { Semantics, StepScorer } from '../scorer.ts'
import type { CandidateSurvey } from './candidates.ts'
import { type Rule, rulesFor, suitedAggregates } from './rules.ts'
import type { Summary } from './summary.ts'

/** How the records of a run are worked on. */
export interface Plan {
  readonly kind: Summary['kind']
  readonly scorer: StepScorer | null
  /** Whether the scorer gives one number for a whole solution. */
  readonly outcome: boolean
  /** Where texts without steps are split. */
  readonly split: string
  /** What the step scores say, recorded or the PRM's; null without any. */
  readonly steps: Semantics | null
  /** What the outcome scores say, recorded or the scorer's; null without any. */
  readonly reward: Semantics | null
  readonly aggregates: readonly Aggregate[]
  /** The one by which solutions are compared where one must do. */
  readonly aggregate: Aggregate
  readonly threshold: number | null
  readonly rules: readonly Rule[]
  /** What a reader must know of it. */
  readonly warnings: readonly string[]
}

export interface PlanOptions {
  readonly prm?: StepScorer
  readonly split?: string
  readonly aggregates?: readonly Aggregate[]
  readonly threshold?: number
}

/**
 * @throws `ERR_INVALID_ARGUMENT` for an aggregate that the scores do not suit, and for labelled steps with a scorer that
 *   sees no steps
 */
export function planFor(kind: Summary['kind'], options: PlanOptions, survey: CandidateSurvey): Plan {
  const { prm } = options
  const outcome = prm?.facts.split === null
  if (outcome && kind === 'labels') {
    invalidArgument(
      'prm',
      'is an outcome model: it scores a solution as a whole and cannot be held against labelled steps',
    )
  }
  const steps = prm ? (outcome ? null : prm.facts.semantics) : survey.steps
  const reward = outcome ? prm.facts.semantics : survey.reward
  const aggregates = suitedAggregates(steps ?? 'probability', options.aggregates)
  const preferred = prm?.facts.aggregate ?? 'min'
  const rules = rulesFor({
    steps: steps && { semantics: steps, from: prm ? 'prm' : 'record' },
    reward: reward && { semantics: reward, from: outcome ? 'prm' : 'record' },
    aggregates,
  })
  return {
    kind,
    scorer: prm ?? null,
    outcome,
    split: splitOf(options),
    steps,
    reward,
    aggregates,
    aggregate: aggregates.includes(preferred) ? preferred : aggregates[0]!,
    threshold: options.threshold ?? (prm ? prm.facts.threshold : steps === 'probability' ? 0.5 : null),
    rules: kind === 'candidates' ? rules : [],
    warnings: [
      ...(prm && survey.steps
        ? ['The data holds step scores; they are not used: the PRM scored every step anew.']
        : []),
      ...(outcome && survey.reward ? ['The data holds outcome scores; they are not used: the model scored anew.'] : []),
    ],
  }
}

/** Where texts without steps are split. */
export function splitOf({ split, prm }: PlanOptions): string {
  return split ?? prm?.facts.split ?? '\n\n'
}
