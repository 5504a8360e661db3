import { i as SurefootErrorCode, r as SurefootError, t as DownloadProgress } from "./snapshot-CReb5kVT.mjs";
import { a as StepsTrace, c as Aggregate, i as SolutionTrace, l as aggregate, n as ScoredTrace, o as Trace, r as Semantics, s as splitSteps, t as ScoredStep, u as aggregates } from "./scorer-qEFsnAL-.mjs";

//#region src/profile.d.ts
/**
* A piece of a prompt: text with the placeholders `{problem}`, `{system}`, `{step}`, `{index}` and `{opening}`; a token of
* the vocabulary by its name; or a mark. Neighbouring texts are tokenised together unless a `cut` stands between them.
*/
type Segment = string | {
  readonly token: string;
} | {
  readonly mark: "bos" | "optionalBos" | "eos" | "cut" | "separator" | "steps" | "read" | "readPrevious" | "readNext";
};
/** What follows every step: a special token, a text tokenised alone (or the last token of it), or together with its neighbours. */
type Separator = "none" | {
  readonly special: string;
} | {
  readonly text: string;
} | {
  readonly lastTokenOf: string;
} | {
  readonly joint: string;
};
interface Turn {
  readonly role: string;
  readonly content: readonly Segment[];
}
/** How one family of checkpoints is prompted, tokenised and read. docs/guide/checkpoints.md lists those that are built in. */
interface Profile {
  readonly name: string;
  /** Where the recipe is written down. */
  readonly source?: string;
  /** The kind of head: `mlp2`, `mlp1`, `linear2`, `linear1`, `vhead`, `linear3`, `lm-candidates`. */
  readonly head: string;
  /** Of the head `lm-candidates`: two texts of one token each, or the mean over the vocabulary. */
  readonly candidates?: "mean" | {
    readonly pair: {
      readonly positive: string;
      readonly negative: string;
    };
  };
  /** From the head's outputs to a score. */
  readonly activation: "softmax" | "difference" | "validity" | "sigmoid" | "tanh" | "none";
  /** Turns rendered by the checkpoint's chat template, or by `template` where it has none. */
  readonly chat?: {
    readonly turns?: readonly Turn[];
    readonly perStep?: readonly Turn[];
    readonly generationPrompt?: boolean;
    readonly template?: string;
  };
  /** What stands before the first step, without a chat. */
  readonly prompt?: readonly Segment[];
  /** What stands for each step. */
  readonly step?: readonly Segment[];
  /** What stands between two steps. */
  readonly between?: readonly Segment[];
  /** What stands at the end. */
  readonly suffix?: readonly Segment[];
  readonly separator: Separator;
  /** Whether one sequence gives all scores, or each step has a sequence of its own. @default 'one' */
  readonly passes?: "one" | "perPrefix";
  /** What `{opening}` stands for in the first step. */
  readonly opening?: string;
  /** Put before a step that does not begin with "Step" itself. */
  readonly numbering?: string;
  /** Whether blanks at the ends of a step are cut. @default false */
  readonly trim?: boolean;
  /** What becomes of a line break inside a step. @default 'keep' */
  readonly lineBreak?: "keep" | "blank" | "single";
  /** The system text of the prompt. */
  readonly system?: string;
  /** Where solutions are split into steps; null: an outcome model, which scores a solution as a whole. */
  readonly split: string | null;
  readonly semantics: Semantics;
  /** How the labels of the training were made. */
  readonly labels: "humans" | "rollouts" | "consensus" | "preferences" | "unknown";
  /** A score below it marks a weak step. */
  readonly threshold: number | null;
  /** Tokens, where the family was trained on fewer than its backbone allows. */
  readonly maxLength?: number | null;
  /** How step scores become one number, unless a call says otherwise. */
  readonly aggregate: Aggregate;
}
/**
* Changes to the profile that is recognised: `name` takes another one, every other field replaces that of the profile. A
* text as `separator` takes the place of the profile's own text, and also splits solutions. A `name` that is not built in
* needs all the fields of a {@link Profile}.
*/
type ProfileChoice = Partial<Omit<Profile, "separator">> & {
  readonly separator?: Separator | string;
};
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
  /** Tokens that were cut from the beginning of the prompt, where the call asked for it and there were too many. */
  readonly truncated?: number;
}
//#endregion
//#region src/session.d.ts
interface AppendOptions {
  readonly signal?: AbortSignal;
}
/**
* A solution that grows, for a search of your own.
*
* An appended step is scored in the trace that it ends, and costs its own tokens only: what stands before it is found in
* the model's cache, also when another session or call put it there.
*/
interface Session {
  /** Those that are scored, in order. */
  readonly steps: readonly ScoredStep[];
  /**
  * Adds a step, or several at once, and scores them. They reach the model as they are.
  *
  * Appends that overlap are queued in order. One that fails leaves the session as it was, and those queued behind it,
  * which would have stood on it, fail with its error.
  *
  * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_CACHE_BUDGET`, `ERR_NOT_FINITE`, `ERR_DISPOSED`; the
  *   signal's reason
  */
  append(step: string, options?: AppendOptions): Promise<ScoredStep>;
  append(steps: readonly string[], options?: AppendOptions): Promise<ScoredStep[]>;
  /** A session that goes on from here by itself, with appends that are under way here before its own. */
  branch(): Session;
  /**
  * The trace of all steps, as `prm.score` gives it, once no append is under way. Those that fail are not in it.
  *
  * @throws `ERR_INVALID_ARGUMENT` while there is no step; `ERR_DISPOSED`
  */
  score(): Promise<ScoredTrace>;
}
//#endregion
//#region src/watch.d.ts
/** A step of a solution that is still being written. */
interface WatchedStep extends ScoredStep {
  readonly index: number;
  /** Whether the score is below the profile's threshold; false where the profile has none. */
  readonly weak: boolean;
  /** The scores so far as one number. */
  readonly aggregate: number;
  /** Tokens that were cut from the beginning of the prompt, where the call asked for it and there were too many. */
  readonly truncated?: number;
}
//#endregion
//#region src/prm.d.ts
/** Where a model computes; `auto` takes the fastest that is there. */
type Device = "auto" | "cpu" | "cuda" | "metal";
interface LoadOptions {
  /** @default 'auto' */
  readonly device?: Device;
  /** A safetensors file with the head's tensors, or the folder of a LoRA adapter, to go on top of the model. */
  readonly head?: string;
  /** The name of the profile to use, or changes to the one that is recognised. */
  readonly profile?: string | ProfileChoice;
  /**
  * `exact`: in f32, and a score is the same bits alone, in a batch and from the cache. `fast`: in bf16 where the processor
  * has it, with keys and values in bf16. @default 'exact'
  */
  readonly precision?: "exact" | "fast";
  /** The most bytes for keys, values and the prefix index of this model. @default 512 MiB, or what the longest trace needs */
  readonly cacheBytes?: number;
  /** Whether what was computed for one trace serves others that begin like it. @default true */
  readonly reuse?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}
/** `download` comes as often as files of the hub grow, and not at all when they are here. */
type LoadProgress = {
  readonly phase: "resolve";
} | ({
  readonly phase: "download";
} & DownloadProgress) | {
  readonly phase: "load" | "ready";
  readonly folder: string;
};
/** What was recognised in a checkpoint, and from which evidence. */
interface ModelFacts {
  readonly family: string;
  readonly architectures: readonly string[];
  /** `org/name` where the folder's path shows it; null elsewhere. */
  readonly hubId: string | null;
  /** The kind of head: `mlp2`, `mlp1`, `linear2`, `linear1`, `vhead`, `linear3`, `lm-candidates`. */
  readonly head: string;
  /** The profile's name. */
  readonly profile: string;
  /** The tensor that gave the head away, its shape, and by what the profile was recognised. */
  readonly evidence: string;
  /** Where the profile's recipe is written down. */
  readonly source: string;
  /** How the labels of the training were made. */
  readonly labels: Profile["labels"];
  /** Of the backbone and the head. */
  readonly parameters: number;
  /** Of the stored weights; several are joined by `+`. */
  readonly dtype: string;
  readonly device: string;
  /** The instruction set that our own kernels compute with; null where they do not. */
  readonly isa: string | null;
  readonly precision: "exact" | "fast";
  /** The longest trace, in tokens. */
  readonly context: number;
  readonly semantics: Semantics;
  /** A score below it marks a weak step; null where the profile has none. */
  readonly threshold: number | null;
  /** Where solutions are split into steps; null: an outcome model, which scores a solution as a whole. */
  readonly split: string | null;
  /** What follows every step in the prompt, and its token ids. */
  readonly separator: Separator;
  readonly separatorIds: readonly number[];
  /** How step scores become one number by default. */
  readonly aggregate: Aggregate;
}
/** What a model did since it was loaded, for all who loaded it alike in this process, and what it holds. */
interface Counters {
  /** Tokens that were found in the cache instead of being computed. */
  readonly hits: number;
  /** Tokens that were computed for the first time. */
  readonly computed: number;
  /** Tokens that were computed again: they had been evicted, or a score at them had not been read. */
  readonly recomputed: number;
  /** Held now for keys, values and the prefix index. */
  readonly bytes: number;
  /** The most bytes held so far. */
  readonly peakBytes: number;
  /** The most bytes that may be held. */
  readonly budget: number;
}
interface ScoreOptions {
  /** @default the profile's */
  readonly aggregate?: Aggregate;
  /**
  * What becomes of a trace with more tokens than the context: an error, or the loss of its first tokens, which
  * `truncated` reports. A trace of which a score would be lost is an error either way. @default 'error'
  */
  readonly onOverflow?: "error" | "truncate-left";
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
interface SessionOptions extends Omit<ScoreOptions, "signal" | "onProgress"> {
  /** Replaces the profile's system text. */
  readonly system?: string;
}
interface WatchOptions extends SessionOptions {
  readonly signal?: AbortSignal;
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
  * What the model has computed and keeps so far.
  *
  * @throws `ERR_DISPOSED`
  */
  get counters(): Counters;
  /**
  * Loads a PRM. Threads that load the same one share its weights.
  *
  * @param ref a folder with config.json, tokenizer.json and safetensors; a GGUF file; `[hf:]org/name[@revision]` or
  *   `[hf:]org/name/path/to/file.gguf[@revision]` of the hub, which is fetched into the shared Hugging Face cache unless
  *   it is there; or nothing: the small model that comes with the package
  * @throws `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_INVALID`, `ERR_MODEL_UNSUPPORTED`, `ERR_UNSAFE_FORMAT`, `ERR_TOKENIZER`,
  *   `ERR_DEVICE_UNAVAILABLE`, `ERR_NATIVE_BINDING`, `ERR_INVALID_ARGUMENT`; from the hub `ERR_GATED`, `ERR_OFFLINE`,
  *   `ERR_HTTP`, `ERR_INTEGRITY`, `ERR_IO`; the signal's reason when aborted
  */
  static load(ref?: string, options?: LoadOptions): Promise<PRM>;
  /**
  * Scores every step of one trace, or of several.
  *
  * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_CACHE_BUDGET`, `ERR_NOT_FINITE`, `ERR_DISPOSED`; the
  *   signal's reason
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
  /**
  * A solution that grows: append steps, branch, and read the scores, for a search of your own.
  *
  * @throws `ERR_INVALID_ARGUMENT`, also for an outcome model, which scores no steps; `ERR_DISPOSED`
  */
  session(problem: string, options?: SessionOptions): Session;
  /**
  * Scores a solution while it is being written: yields each step as soon as it is closed, by the separator behind it or
  * by the end of the text. The steps are those of `score({ problem, solution })`, wherever the pieces end.
  *
  * The source is read on while steps are scored, until 64 of them wait to be taken. To stop early closes the source.
  * What goes wrong, in the source too, is thrown after the steps that were closed before.
  *
  * @param source pieces of text: the `textStream` of the AI SDK, a `ReadableStream<string>`, a generator
  * @throws as {@link PRM.session} and {@link Session.append}; what the source throws
  */
  watch(problem: string, source: AsyncIterable<string>, options?: WatchOptions): AsyncGenerator<WatchedStep, void, undefined>;
  /** Gives the model's memory back and rejects what is under way with `ERR_DISPOSED`. May be called twice. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
//#endregion
export { type Aggregate, type AppendOptions, type Candidate, type Counters, type Device, type DownloadProgress, type LoadOptions, type LoadProgress, type ModelFacts, PRM, type Profile, type ProfileChoice, type Ranked, type RerankOptions, type ScoreManyOptions, type ScoreOptions, type ScoreProgress, type ScoredStep, type ScoredTrace, type Segment, type Semantics, type Separator, type Session, type SessionOptions, type SolutionTrace, type StepsTrace, SurefootError, type SurefootErrorCode, type Trace, type Turn, type WatchOptions, type WatchedStep, aggregate, aggregates, splitSteps };