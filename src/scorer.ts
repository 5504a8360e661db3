/** What a score says: the probability that the step is correct, the expected success from here on, or a bare reward. */
export type Semantics = 'probability' | 'value' | 'reward'

export interface ScoredStep {
  readonly text: string
  readonly score: number
}

export interface ScoredTrace {
  /** As many as the trace has steps, in order; one, the whole solution, from an outcome model. */
  readonly steps: readonly ScoredStep[]
  readonly semantics: Semantics
  /** The step scores as one number. */
  readonly aggregate: number
  /** Tokens that the model read. */
  readonly tokens: number
  /** Tokens that were cut from the beginning of the prompt, where the call asked for it and there were too many. */
  readonly truncated?: number
}
