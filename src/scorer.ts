import type { Aggregate } from './aggregate.ts'
import { invalidArgument, SurefootError } from './errors.ts'
import type { StepsTrace } from './problem.ts'

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

/** What is read of a scored trace. */
export interface StepScores {
  /** As many as the trace has steps, in order. */
  readonly steps: readonly { readonly score: number }[]
  /** Tokens that the scorer read. */
  readonly tokens: number
}

/** What scores steps: a `PRM`, or anything of its shape. */
export interface StepScorer {
  /** Scores as many traces as it is given, in their order. On abort it rejects with the signal's reason. */
  score(traces: readonly StepsTrace[], options?: { readonly signal?: AbortSignal }): Promise<readonly StepScores[]>
  readonly facts: ScorerFacts
  /**
   * The token ids that a trace is scored from, computed without scoring: by them a search knows what a score costs before
   * it asks. Without it the tokens that a result reports are taken.
   */
  encode?(trace: StepsTrace): readonly number[]
}

/** What must be known of a scorer. */
export interface ScorerFacts {
  /** `probability` and `value` promise scores in [0, 1]. */
  readonly semantics: Semantics
  /** A score below it marks a weak step; null where there is no such number. */
  readonly threshold: number | null
  /** Where solutions are split into steps; null: an outcome model, which gets every solution as one step. */
  readonly split: string | null
  /** How step scores become one number by default. */
  readonly aggregate: Aggregate
}

/** What came of one trace: its scores, or why there are none. */
export interface Scoring {
  readonly scores: readonly number[] | null
  /** Tokens that the scorer read; null where nothing was scored. */
  readonly tokens: number | null
  /** Wall time: the share of the whole call's that falls to this trace by its tokens. */
  readonly ms: number | null
  readonly failure: SurefootError | null
}

/**
 * Scores traces together. One that cannot be scored (too long, not finite, no sound text) costs the others nothing.
 *
 * @throws what the scorer throws but for a `SurefootError` about one trace; the signal's reason
 */
export async function scoreTraces(
  scorer: StepScorer,
  traces: readonly StepsTrace[],
  signal: AbortSignal | undefined,
): Promise<Scoring[]> {
  if (traces.length === 0) return []
  const options = signal ? { signal } : {}
  const started = performance.now()
  const outcomes = await together(scorer, traces, options).catch(async error => {
    signal?.throwIfAborted()
    if (!isAboutTrace(error)) throw error
    return Promise.all(traces.map(trace => alone(scorer, trace, options)))
  })
  const ms = performance.now() - started
  signal?.throwIfAborted()
  const read = outcomes.reduce((sum, outcome) => sum + ('tokens' in outcome ? outcome.tokens : 0), 0)
  return outcomes.map((outcome): Scoring => {
    if (SurefootError.isInstance(outcome)) return { scores: null, tokens: null, ms: null, failure: outcome }
    const share = read === 0 ? 1 / traces.length : outcome.tokens / read
    return { scores: outcome.steps.map(step => step.score), tokens: outcome.tokens, ms: ms * share, failure: null }
  })
}

type Options = { readonly signal?: AbortSignal }

async function together(
  scorer: StepScorer,
  traces: readonly StepsTrace[],
  options: Options,
): Promise<readonly StepScores[]> {
  const scored = await scorer.score(traces, options)
  if (scored.length !== traces.length) {
    invalidScorer(`gave ${scored.length} results for ${traces.length} traces`)
  }
  for (const [index, { steps }] of scored.entries()) {
    const expected = traces[index]!.steps.length
    if (steps.length !== expected) invalidScorer(`gave ${steps.length} scores for ${expected} steps`)
    const bad = steps.find(step => !isSound(step.score, scorer.facts.semantics))
    if (bad) invalidScorer(`gave ${bad.score}, which is no ${scorer.facts.semantics}`)
  }
  return scored
}

/** Whether a number can be a score of this kind: finite, and in [0, 1] unless it is a reward. */
export function isSound(score: number, semantics: Semantics): boolean {
  return Number.isFinite(score) && (semantics === 'reward' || (score >= 0 && score <= 1))
}

function invalidScorer(what: string): never {
  invalidArgument('prm', what)
}

async function alone(scorer: StepScorer, trace: StepsTrace, options: Options): Promise<StepScores | SurefootError> {
  try {
    return (await together(scorer, [trace], options))[0]!
  } catch (error) {
    options.signal?.throwIfAborted()
    if (isAboutTrace(error)) return error
    throw error
  }
}

/** Whether another trace may fare better. */
export function isAboutTrace(error: unknown): error is SurefootError {
  if (!SurefootError.isInstance(error)) return false
  if (error.code === 'ERR_INVALID_ARGUMENT') return error.data.argument !== 'prm'
  return error.code === 'ERR_CONTEXT_OVERFLOW' || error.code === 'ERR_NOT_FINITE'
}
