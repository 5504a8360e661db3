/** What a grid found, as plain data: summary.json holds it, and every report is made from it. */
import type { RejectedRow } from '../datasets/records.ts'
import type { Interval } from '../evaluate/metrics.ts'
import type { Limit } from '../search/machine.ts'
import type { Strategy } from '../search/strategies.ts'
import type { GridBudget, Typical, Unit } from './cells.ts'
import type { Failure } from './journal.ts'

/** What accuracy is held against, as it was measured: means per search. */
export const axes = ['generations', 'policyTokens', 'tokens', 'ms'] as const
export type Axis = (typeof axes)[number]

export interface GridSummary {
  readonly schema: 1
  readonly kind: 'grid'
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
    readonly leftOut: number
    readonly examples: readonly RejectedRow[]
  }
  /** Sentences that a reader must see. */
  readonly warnings: readonly string[]
  /** The unit of all budgets; null where they are mixed. */
  readonly unit: Unit | null
  readonly seeds: readonly number[]
  /** What an answer took in the pilot, by which strategies were sized. */
  readonly typical: Typical
  /** Searches of the grid, and of these the failed: no result, counted wrong. */
  readonly searches: number
  readonly failed: number
  /** The first of them. */
  readonly failures: readonly ({ readonly id: string; readonly strategy: string; readonly budget: string } & Failure)[]
  /** Whether every search was under way alone: otherwise its time is not its own, and there is no view of time. */
  readonly alone: boolean
  readonly cells: readonly CellResult[]
  readonly curves: readonly GridCurve[]
  /** Each cell against the baselines at the same budget. */
  readonly comparisons: readonly GridComparison[]
  /** Each strategy against the baselines at what both were measured to cost. */
  readonly matched: readonly MatchedComparison[]
  /** Every strategy at the same cost, by interpolation. */
  readonly standings: readonly Standing[]
}

/** A strategy at a budget, over all problems and seeds. */
export interface CellResult {
  readonly strategy: string
  readonly budget: string
  readonly limits: GridBudget
  /** As it was sized for the budget. */
  readonly settings: Strategy
  readonly searches: number
  readonly failed: number
  readonly accuracy: Interval
  readonly cost: GridCost
  /** Searches by how they ended; a limit by its name. */
  readonly ended: Readonly<Record<'complete' | Limit | 'aborted' | 'failed', number>>
  /** Requests of all searches that brought more than they were allowed. */
  readonly overruns: number
  /** Solutions of a search, in the mean. */
  readonly solutions: number
}

/** Means per search, of those that did not fail; null where none is left, or it cannot be told. */
export interface GridCost {
  readonly generations: number | null
  readonly policyTokens: number | null
  /** Prompt tokens that the policy read. */
  readonly prefillTokens: number | null
  readonly prmTokens: number | null
  /** The three together. */
  readonly tokens: number | null
  /** 2 · parameters · tokens of each model; null where one does not say how large it is. */
  readonly flops: number | null
  readonly ms: number | null
  readonly msP50: number | null
  readonly msP95: number | null
  /** Tokens that native models computed, first or again; null where they were not counted. */
  readonly computed: { readonly policy: number; readonly prm: number } | null
}

/** A strategy over what it was measured to cost. */
export interface GridCurve {
  readonly strategy: string
  readonly axis: Axis
  /** By cost. */
  readonly points: readonly { readonly budget: string; readonly at: number; readonly accuracy: Interval }[]
  /** Accuracy in the mean over log cost, from the first point to the last: the area under the curve by its width. */
  readonly area: Interval | null
}

export interface GridComparison {
  readonly strategy: string
  readonly against: string
  readonly budget: string
  /** Accuracy of `strategy` less that of `against`, on the same problems. */
  readonly difference: Interval
  /** Exact McNemar, on the first seed. */
  readonly p: number
  /** What each was measured to cost, and whether that is the same within 1 %. */
  readonly costs: Readonly<
    Record<Axis, { readonly own: number | null; readonly other: number | null; readonly equal: boolean }>
  >
}

export interface MatchedComparison {
  readonly strategy: string
  readonly against: string
  readonly axis: Axis
  /** The range of costs that both were measured at. */
  readonly from: number
  readonly to: number
  /** In accuracy, in the mean over log cost: the difference of the areas in that range. */
  readonly difference: Interval
}

export interface Standing {
  readonly axis: Axis
  readonly at: number
  /** By accuracy, the best first; strategies that were not measured at this cost are left out. */
  readonly places: readonly { readonly strategy: string; readonly accuracy: Interval }[]
  /** The best less the second; null with one. */
  readonly lead: Interval | null
}
