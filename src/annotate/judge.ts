import type { LabelRecord } from '../datasets/records.ts'
import type { Method, Rollouts } from './annotation.ts'

/** A solution whose first wrong step is looked for. `answer` is the reference answer. */
export type Solution = Pick<LabelRecord, 'id' | 'problem' | 'steps' | 'answer' | 'answerCorrect'>

/** Says where the first error of a solution is. Judges of a consensus differ in weights or in method. */
export interface Judge {
  /** Names weights and method: two judges with the same id are one. */
  readonly id: string
  readonly method: Method
  /** The weights, or who labelled: what provenance names. @default the id */
  readonly by?: readonly string[]
  /** What else decides its judgements: a run is resumed with the same settings only. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Tokens that its models have read so far, where they say. */
  usage?(): Usage
  /** @throws what is not about this one solution; the signal's reason */
  judge(solution: Solution, options?: { readonly signal?: AbortSignal }): Promise<Judgement>
}

/** What a judge found. */
export interface Judgement {
  /** Index of the first wrong step, −1 where there is none, null where the judge cannot say. */
  readonly firstError: number | null
  /** One a step: 1 right, 0 wrong, in between for soft labels, null where the step was not judged. */
  readonly labels: readonly (number | null)[]
  /** One a step, where rollouts were made. */
  readonly rollouts?: readonly (Rollouts | null)[]
  /** Why it cannot say. */
  readonly failure?: { readonly code: string; readonly message: string }
  /** What it took: completions, tokens that were written, tokens that a PRM read. The same in every run. */
  readonly cost: { readonly rollouts: number; readonly policyTokens: number; readonly prmTokens: number }
  /** What of it was sampled for this judgement, where rollouts are shared. */
  readonly sampled?: Sampled
}

/** Rollouts that were sampled for a judgement: those that another had sampled already are not among them. */
export interface Sampled {
  readonly rollouts: number
  readonly policyTokens: number
  /** Rollouts that the same questions take when none stops early. */
  readonly unstopped: number
}

/** Tokens of prompts and texts that models have put through their layers. */
export interface Usage {
  readonly computed: number
  /** Found in the cache of prefixes instead. */
  readonly reused: number
}
