//#region src/aggregate.d.ts
/** The ways to turn the scores of the steps into one number for the solution. */
declare const aggregates: readonly ["last", "min", "product", "mean", "max", "sum", "softmin"];
/** One of {@link aggregates}. */
type Aggregate = (typeof aggregates)[number];
/**
* Step scores → one number.
*
* `softmin` is PURE's min-form credit, Σ softmax(−r/T)ᵢ·rᵢ with T = 0.1 (arXiv 2504.15275). The others are what their
* names say; `product` and `min` suit probabilities, `sum` suits rewards.
*
* @param scores one per step, at least one
* @throws `ERR_INVALID_ARGUMENT` when there is no score, or `by` is not one of {@link aggregates}
*/
declare function aggregate(scores: readonly number[], by: Aggregate): number;
//#endregion
//#region src/errors.d.ts
/**
* What can go wrong. A code is part of the public API and never changes its meaning; a message may.
*
* | code | meaning |
* | --- | --- |
* | `ERR_INVALID_ARGUMENT` | a value passed by the caller has the wrong type, shape or content |
* | `ERR_MODEL_NOT_FOUND` | the reference names no folder here |
* | `ERR_MODEL_INVALID` | a checkpoint file is missing, truncated, contradictory or holds NaN |
* | `ERR_MODEL_UNSUPPORTED` | a sound checkpoint of a kind that surefoot does not score |
* | `ERR_UNSAFE_FORMAT` | the weights are pickled; only safetensors are read |
* | `ERR_TOKENIZER` | the tokenizer does not fit the model or its profile |
* | `ERR_CONTEXT_OVERFLOW` | more tokens than the model's context |
* | `ERR_DEVICE_UNAVAILABLE` | the device does not exist here |
* | `ERR_NOT_FINITE` | the model gave NaN or infinity for a step |
* | `ERR_DISPOSED` | the object was used after `dispose()` |
* | `ERR_NATIVE_BINDING` | the native binary for this platform is not installed |
* | `ERR_IO` | a file could not be read or written |
* | `ERR_INTERNAL` | a bug in surefoot; the process goes on |
*/
type SurefootErrorCode = "ERR_INVALID_ARGUMENT" | "ERR_MODEL_NOT_FOUND" | "ERR_MODEL_INVALID" | "ERR_MODEL_UNSUPPORTED" | "ERR_UNSAFE_FORMAT" | "ERR_TOKENIZER" | "ERR_CONTEXT_OVERFLOW" | "ERR_DEVICE_UNAVAILABLE" | "ERR_NOT_FINITE" | "ERR_DISPOSED" | "ERR_NATIVE_BINDING" | "ERR_IO" | "ERR_INTERNAL";
/**
* The one error class of surefoot. Aborts are not of this class: they reject with the signal's reason.
* Test with {@link SurefootError.isInstance}, which also knows errors from another copy of the package.
*/
declare class SurefootError extends Error {
  override readonly name = "SurefootError";
  readonly code: SurefootErrorCode;
  /** The offending values, by name: `{ path: '…' }`, `{ step: 3 }`, `{ tokens: 5000, limit: 4096 }`. */
  readonly data: Readonly<Record<string, unknown>>;
  constructor(code: SurefootErrorCode, message: string, options?: {
    data?: Readonly<Record<string, unknown>>;
    cause?: unknown;
  });
  static isInstance(value: unknown): value is SurefootError;
}
//#endregion
//#region src/problem.d.ts
/** A problem and the steps of one solution. */
interface StepsTrace {
  readonly problem: string;
  /** At least one; none of them blank. They reach the model as they are. */
  readonly steps: readonly string[];
  /** Replaces the profile's system text, where its prompt has one. */
  readonly system?: string;
}
/** A problem and one solution as running text; the model's profile says where a step ends. */
interface SolutionTrace {
  readonly problem: string;
  readonly solution: string;
  readonly system?: string;
}
/** What a PRM scores. */
type Trace = StepsTrace | SolutionTrace;
/**
* Splits a solution at `separator`. Steps are trimmed and blank ones dropped, so a trailing separator adds no step.
*
* @param separator the profile's `split`: `"\n\n"` or `"\n"`
*/
declare function splitSteps(solution: string, separator: string): string[];
//#endregion
//#region src/scorer.d.ts
/** What a score says: the probability that the step is correct, the expected success from here on, or a bare reward. */
type Semantics = "probability" | "value" | "reward";
interface ScoredStep {
  readonly text: string;
  readonly score: number;
}
interface ScoredTrace {
  /** As many as the trace has steps, in order. */
  readonly steps: readonly ScoredStep[];
  readonly semantics: Semantics;
  /** The step scores as one number. */
  readonly aggregate: number;
  /** Tokens that the model read. */
  readonly tokens: number;
}
//#endregion
//#region src/rerank.d.ts
/** A solution offered for ranking: as text, or as its steps. */
type Candidate = string | readonly string[];
interface Ranked {
  /** Of the candidate in the given list. */
  readonly index: number;
  /** The step scores as one number; `-Infinity` for a candidate without steps. */
  readonly score: number;
  readonly steps: readonly ScoredStep[];
  /** The first step whose score is below the profile's threshold; null when there is none. */
  readonly firstWeakStep: number | null;
}
//#endregion
//#region src/prm.d.ts
/** Where a model computes; `auto` takes the fastest that is there. */
type Device = "auto" | "cpu" | "cuda" | "metal";
/** Changes to the profile that is detected for a checkpoint. */
interface ProfileChoice {
  /** The profile to use instead of the detected one: `qwen-prm`, `trl`, `skywork`. */
  readonly name?: string;
  /** The text that follows every step, where the profile's separator is a text; also where solutions are split. */
  readonly separator?: string;
  /** Where solutions are split into steps. */
  readonly split?: string;
  /** The system text of the prompt. */
  readonly system?: string;
  /** How step scores become one number, unless a call says otherwise. */
  readonly aggregate?: Aggregate;
}
interface LoadOptions {
  /** @default 'auto' */
  readonly device?: Device;
  readonly profile?: ProfileChoice;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}
interface LoadProgress {
  readonly phase: "resolve" | "load" | "ready";
  readonly folder?: string;
}
/** What was recognised in a checkpoint, and from which evidence. */
interface ModelFacts {
  readonly family: string;
  readonly architectures: readonly string[];
  /** The kind of head: `mlp2`, `linear2`, `vhead`. */
  readonly head: string;
  /** The profile's name. */
  readonly profile: string;
  /** The tensor that gave the head away, and its shape. */
  readonly evidence: string;
  /** Of the backbone and the head. */
  readonly parameters: number;
  /** Of the stored weights; several are joined by `+`. */
  readonly dtype: string;
  readonly device: string;
  /** The longest trace, in tokens. */
  readonly context: number;
  readonly semantics: Semantics;
  /** A score below it marks a weak step; null where the profile has none. */
  readonly threshold: number | null;
  /** Where solutions are split into steps. */
  readonly split: string;
  /** How step scores become one number by default. */
  readonly aggregate: Aggregate;
}
interface ScoreOptions {
  /** @default the profile's */
  readonly aggregate?: Aggregate;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ScoreProgress) => void;
}
interface ScoreProgress {
  /** Traces scored so far. */
  readonly done: number;
  /** Traces in all, where that is known. */
  readonly total?: number;
  /** Tokens read so far. */
  readonly tokens: number;
}
interface ScoreManyOptions extends ScoreOptions {
  /** Traces under way at a time: bounds the memory. @default 64 */
  readonly width?: number;
}
interface RerankOptions extends ScoreOptions {
  /** How many of the best to return. @default all */
  readonly topN?: number;
  /** Replaces the profile's system text. */
  readonly system?: string;
}
/**
* A process reward model: scores every step of a solution and ranks candidates.
*
* Calls may overlap: all traces of a thread are batched together, and a trace's scores do not depend on its company.
*/
declare class PRM implements AsyncDisposable {
  #private;
  /** What was recognised in the checkpoint. */
  readonly facts: ModelFacts;
  private constructor();
  /**
  * Loads a PRM. Threads that load the same one share its weights.
  *
  * @param ref a folder with config.json, tokenizer.json and safetensors; a hub id whose files are in the shared
  *   Hugging Face cache; or nothing: the small model that comes with the package
  * @throws `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_INVALID`, `ERR_MODEL_UNSUPPORTED`, `ERR_UNSAFE_FORMAT`, `ERR_TOKENIZER`,
  *   `ERR_DEVICE_UNAVAILABLE`, `ERR_NATIVE_BINDING`, `ERR_INVALID_ARGUMENT`; the signal's reason when aborted
  */
  static load(ref?: string, options?: LoadOptions): Promise<PRM>;
  /**
  * Scores every step of one trace, or of several.
  *
  * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_NOT_FINITE`, `ERR_DISPOSED`; the signal's reason
  */
  score(trace: Trace, options?: ScoreOptions): Promise<ScoredTrace>;
  score(traces: readonly Trace[], options?: ScoreOptions): Promise<ScoredTrace[]>;
  /**
  * Scores a stream of traces: the results come in the order of the traces, and memory stays flat.
  * The stream ends with the first trace that fails.
  */
  scoreMany(traces: Iterable<Trace> | AsyncIterable<Trace>, options?: ScoreManyOptions): AsyncGenerator<ScoredTrace, void, undefined>;
  /**
  * Ranks candidate solutions of one problem, best first; equal scores keep their order.
  *
  * A candidate without any step (an empty answer) is never scored: it comes last, with score `-Infinity`.
  *
  * @param candidates solutions as text, or as steps
  */
  rerank(problem: string, candidates: readonly Candidate[], options?: RerankOptions): Promise<Ranked[]>;
  /** Gives the model's memory back and rejects what is under way with `ERR_DISPOSED`. May be called twice. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
//#endregion
export { type Aggregate, type Candidate, type Device, type LoadOptions, type LoadProgress, type ModelFacts, PRM, type ProfileChoice, type Ranked, type RerankOptions, type ScoreManyOptions, type ScoreOptions, type ScoreProgress, type ScoredStep, type ScoredTrace, type Semantics, type SolutionTrace, type StepsTrace, SurefootError, type SurefootErrorCode, type Trace, aggregate, aggregates, splitSteps };