/** What an evaluation found, as plain data: summary.json holds it, and every report is made from it. */
import type { RejectedRow } from '../datasets/records.ts'
import type { Interval } from './metrics.ts'

export interface Summary {
  readonly schema: 1
  /** `candidates`: which solution was chosen. `labels`: which steps were called wrong. */
  readonly kind: 'candidates' | 'labels'
  readonly name: string
  /** ISO 8601. */
  readonly made: string
  readonly versions: Readonly<Record<string, string>>
  readonly configuration: Readonly<Record<string, unknown>>
  /** SHA-256 of the configuration. */
  readonly hash: string
  readonly rows: {
    readonly used: number
    readonly rejected: number
    /** Sound rows that their format leaves out on purpose. */
    readonly leftOut?: number
    readonly examples: readonly RejectedRow[]
  }
  /** Sentences that a reader must see: unequal budgets, a PRM that does not beat surface features, few problems. */
  readonly warnings: readonly string[]
  readonly rules: readonly RuleResult[]
  readonly curves: readonly Curve[]
  /** Comparisons on the same problems, with paired intervals. */
  readonly comparisons: readonly Comparison[]
  /** How often two rules choose the same answer: rows and columns in the order of `names`. */
  readonly agreement: { readonly names: readonly string[]; readonly shares: readonly (readonly number[])[] } | null
  readonly scores: ScoreResult | null
  /** How well simple features of the text do at the same task. */
  readonly surface: readonly SurfaceResult[]
  readonly firstError: FirstErrorResult | null
  /** Verdicts of rules that were recorded with the data, beside what the same rule chooses here (ties: the first). */
  readonly recorded?: readonly {
    readonly name: string
    readonly rule: string
    readonly agree: number
    readonly count: number
  }[]
}

/** A selection rule at one number of candidates. */
export interface RuleResult {
  /** `majority`, `weighted vote (min)`, `best-of-n (product)`, `pass`, `mean of samples`. */
  readonly rule: string
  readonly n: number
  readonly accuracy: Interval
  readonly cost: Cost
}

/** Per problem, in the mean; null where it was not recorded. */
export interface Cost {
  readonly policyTokens: number | null
  /** Prompt tokens that the policy read. */
  readonly prefillTokens: number | null
  /** Tokens that the PRM read and did not find in its cache. 0 for a rule that scores nothing. */
  readonly prmTokens: number | null
  /** Wall time of sampling. */
  readonly ms: number | null
  /** Wall time of scoring, the candidates of one problem together; 0 for a rule that scores nothing. */
  readonly prmMs?: number | null
}

/** A rule over the number of candidates. */
export interface Curve {
  readonly rule: string
  readonly points: readonly { readonly n: number; readonly accuracy: Interval; readonly cost: Cost }[]
  /** Area under accuracy against log budget in tokens, divided by the width; null without costs. */
  readonly area: number | null
}

export interface Comparison {
  readonly rule: string
  readonly against: string
  readonly n: number
  /** Accuracy of `rule` less that of `against`. */
  readonly difference: Interval
  /** Exact McNemar on the problems where one chose right and the other wrong. */
  readonly p: number
  /** Whether both spent the same tokens, and what each spent. */
  readonly equalBudget: boolean
  readonly budgets: readonly [number | null, number | null]
  /** The difference at the same tokens, by interpolation in log budget; null where the ranges do not meet. */
  readonly atEqualBudget: number | null
}

/** How good the scores themselves are. */
export interface ScoreResult {
  readonly semantics: 'probability' | 'value' | 'reward'
  /** How the steps' scores became one number for a solution; `reward`: it was recorded as one. */
  readonly aggregate?: string
  readonly stepAuc: Interval | null
  readonly solutionAuc: Interval | null
  /** Share of pairs of a right and a wrong solution of one problem in which the right one scores higher. */
  readonly pairs: Interval | null
  readonly brier: Interval | null
  readonly ece: Interval | null
  readonly reliability: readonly {
    readonly low: number
    readonly high: number
    readonly count: number
    readonly score: number
    readonly frequency: number
  }[]
  /** By position of the step from 0: mean score in right and in wrong solutions. */
  readonly byPosition: readonly {
    readonly position: number
    readonly right: Mean | null
    readonly wrong: Mean | null
  }[]
  /** Where the first step below the threshold stands; −1 for none. */
  readonly firstWeak: readonly { readonly position: number; readonly right: number; readonly wrong: number }[]
  readonly threshold: number | null
}

export interface Mean {
  readonly mean: number
  readonly low: number
  readonly high: number
  readonly count: number
}

export interface SurfaceResult {
  /** `length`, `steps`, `logistic regression`, and `PRM` beside them. */
  readonly name: string
  readonly solutionAuc: Interval
  /** Best-of-n by this score; null where problems have no candidates to choose from. */
  readonly bestOfN: Interval | null
}

/** ProcessBench's numbers, by group and over all. */
export interface FirstErrorResult {
  readonly rows: readonly {
    readonly group: string
    /** `fixed`: the profile's threshold. `best`: the one that maximises F1 on these rows. */
    readonly rule: 'fixed' | 'best'
    readonly threshold: number
    readonly count: number
    readonly wrong: Interval
    readonly right: Interval
    readonly f1: Interval
  }[]
}

/** One problem as the run folder keeps it and the page shows it. */
export interface ProblemResult {
  readonly id: string
  readonly problem: string
  readonly answer: string | null
  readonly candidates: readonly CandidateResult[]
  /** What each rule chose among all candidates: an index, several where they tie, and the chance of being right. */
  readonly choices: readonly { readonly rule: string; readonly chosen: readonly number[]; readonly right: number }[]
  /** Verdicts of selection rules that were recorded with the candidates, by the name given there. */
  readonly recorded?: Readonly<Record<string, number>>
  /** Of a labelled solution: the model that wrote it, or the set's own category. */
  readonly group?: string
  /** Of a labelled solution: index of the first wrong step, −1 for none, null where the data does not say. */
  readonly firstError?: number | null
}

export interface CandidateResult {
  readonly steps: readonly string[]
  /** One a step; null where nothing was scored. */
  readonly scores: readonly number[] | null
  /** An outcome reward for the whole solution. */
  readonly score: number | null
  readonly answer: string | null
  /** Number of the answer group in this problem: equal answers have equal numbers; null without an answer. */
  readonly group: number | null
  readonly correct: boolean
  /** One a step where the data has them. */
  readonly labels?: readonly (number | null)[]
  readonly tokens: number | null
  readonly prmTokens: number | null
  /** Wall time of sampling. */
  readonly ms: number | null
  /** Wall time of scoring. */
  readonly prmMs?: number | null
  /** Why the PRM gave no scores. */
  readonly failure?: string
  readonly generator?: string
}
