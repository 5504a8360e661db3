/** What datasets hold, whatever their format: every reader yields one of these records. */

/** A question with its reference answer. */
export interface ProblemRecord {
  readonly kind: 'problem'
  readonly id: string
  readonly problem: string
  /** The reference answer; null where the set has none. */
  readonly answer: string | null
  /** A worked solution, where the set has one. */
  readonly solution?: string
  readonly subject?: string
  readonly level?: string
}

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

/** A solution whose steps were judged. */
export interface LabelRecord {
  readonly kind: 'labels'
  readonly id: string
  readonly problem: string
  readonly steps: readonly string[]
  /** One a step: 1 right, 0 wrong, in between for soft labels, null where the step was not judged. */
  readonly labels: readonly (number | null)[]
  /** Index of the first wrong step, −1 where there is none, null where the set does not say. */
  readonly firstError: number | null
  /** The reference answer; null where the set has none. */
  readonly answer: string | null
  /** Whether the final answer is right, where the set says so. */
  readonly answerCorrect?: boolean
  /** The part of the set that its own tables are made by: a subset, a task, a category of errors. */
  readonly group?: string
  /** The model that wrote the solution. */
  readonly generator?: string
  /** Of the problem, where the set says so. */
  readonly subject?: string
  readonly level?: string
  /** Share of a policy's answers to the problem that are right, 0 to 1. */
  readonly passRate?: number
  readonly provenance?: Provenance
  /** One a step, where rollouts were made: null for a step from which none were. */
  readonly rollouts?: readonly (Rollouts | null)[]
  /** Why there are no labels. */
  readonly failure?: { readonly code: string; readonly message: string }
}

/** One sampled solution as it was recorded. */
export interface RecordedCandidate {
  readonly text: string
  /** Given where the record splits the text itself. */
  readonly steps?: readonly string[]
  /** A recorded score for each step. */
  readonly scores?: readonly number[]
  /** A recorded score for the whole solution: an outcome reward. */
  readonly score?: number
  /** The recorded final answer; null where none was found. Absent: it is extracted from the text. */
  readonly answer?: string | null
  /** The recorded verdict. Absent: the answer is graded against the reference answer. */
  readonly correct?: boolean
  /** Tokens that the policy wrote. */
  readonly tokens?: number
  /** Wall time of the sampling. */
  readonly ms?: number
  readonly generator?: string
}

/** A problem with its sampled solutions. */
export interface CandidateRecord {
  readonly kind: 'candidates'
  readonly id: string
  readonly problem: string
  /** The reference answer; null where the set has none: then every candidate must carry its verdict. */
  readonly answer: string | null
  readonly candidates: readonly RecordedCandidate[]
  /** Verdicts of selection rules that were recorded with the candidates, by rule, 1 right and 0 wrong. */
  readonly recorded?: Readonly<Record<string, number>>
}

/** A programming problem. Grading comes with the sandbox. */
export interface CodeRecord {
  readonly kind: 'code'
  readonly id: string
  readonly problem: string
  /** What the model completes, where the set is of that kind. */
  readonly prompt?: string
  readonly entryPoint?: string
  /** Right ones, in `language`. With a `prompt` they go on from it. */
  readonly solutions: readonly string[]
  /** Code that asserts when it is run after a solution. */
  readonly tests?: string
  /** Standard input and output; with an entry point, JSON of the list of its arguments and of its result. */
  readonly cases?: readonly { readonly input: string; readonly output: string }[]
  /** In lower case: `python`, `javascript`, `cpp`. */
  readonly language: string
  readonly level?: string
}

/** The records by kind. */
export interface RecordOf {
  readonly problem: ProblemRecord
  readonly labels: LabelRecord
  readonly candidates: CandidateRecord
  readonly code: CodeRecord
}

export type Kind = keyof RecordOf

export type DataRecord = RecordOf[Kind]

/** A row that does not fit its format. */
export interface RejectedRow {
  readonly file: string
  /** From 1; of a JSON array or a parquet file, the row. */
  readonly line: number
  /** Path inside the row: `output[2].value`; `(row)` for the row itself; `a | b` where either would do. */
  readonly field: string
  readonly expected: string
  /** What stood there, shortened. */
  readonly got: string
}

/** A sound row that a format leaves out on purpose. */
export interface LeftOutRow {
  readonly file: string
  /** As in {@link RejectedRow}. */
  readonly line: number
  readonly reason: string
}
