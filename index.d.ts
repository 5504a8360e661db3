import { i as SurefootErrorCode, r as SurefootError, t as DownloadProgress } from "./snapshot-q5lArPQ8.mjs";
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
export { type Aggregate, type Candidate, type Device, type DownloadProgress, type LoadOptions, type LoadProgress, type ModelFacts, PRM, type Profile, type ProfileChoice, type Ranked, type RerankOptions, type ScoreManyOptions, type ScoreOptions, type ScoreProgress, type ScoredStep, type ScoredTrace, type Segment, type Semantics, type Separator, type SolutionTrace, type StepsTrace, SurefootError, type SurefootErrorCode, type Trace, type Turn, aggregate, aggregates, splitSteps };