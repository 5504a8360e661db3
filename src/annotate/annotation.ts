import type { LabelRecord } from '../datasets/records.ts'

/** How labels can be made. */
export const methods = ['rollouts', 'bisection', 'omega', 'prm', 'generative', 'recorded', 'consensus'] as const

export type Method = (typeof methods)[number]

/** Where labels come from. */
export interface Provenance {
  readonly method: Method
  /** Who labelled: the policies, PRMs, generative judges or datasets, by id. */
  readonly by: readonly string[]
  /** Completions that were sampled for the labels. */
  readonly rollouts?: number
  /** Tokens that policies wrote, and that PRMs read, for them. */
  readonly tokens?: number
  /** How many of the judges said the same. */
  readonly agreement?: { readonly agreed: number; readonly of: number }
}

/** What rollouts from the end of a step came to. */
export interface Rollouts {
  /** Of these: with the reference answer. */
  readonly hits: number
  readonly count: number
}

/** A solution with step labels and where they come from: one line of annotations.jsonl. */
export interface Annotation extends LabelRecord {
  readonly provenance: Provenance
  /** One a step, where rollouts were made: null for a step from which none were. */
  readonly rollouts?: readonly (Rollouts | null)[]
  /** Why there are no labels. */
  readonly failure?: { readonly code: string; readonly message: string }
}
