/** What a score says: the probability that the step is correct, the expected success from here on, or a bare reward. */
export type Semantics = 'probability' | 'value' | 'reward'

export interface ScoredStep {
  readonly text: string
  readonly score: number
}

export interface ScoredTrace {
  /** As many as the trace has steps, in order. */
  readonly steps: readonly ScoredStep[]
  readonly semantics: Semantics
  /** The step scores as one number. */
  readonly aggregate: number
  /** Tokens that the model read. */
  readonly tokens: number
}
