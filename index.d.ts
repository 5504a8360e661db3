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
* | `ERR_MODEL_NOT_FOUND` | the reference names nothing here, and no repository, revision or file of the hub |
* | `ERR_DATASET_NOT_FOUND` | the hub has no such dataset, revision or file |
* | `ERR_GATED` | the hub's repository asks for terms to be accepted, or for a token that has access |
* | `ERR_OFFLINE` | the hub may not be asked or cannot be reached, and the cache does not hold what is needed |
* | `ERR_HTTP` | the hub, or the server or model behind a policy, refused, failed or gave an answer that cannot be used |
* | `ERR_INTEGRITY` | a downloaded file has not the size or the hash that the hub announced |
* | `ERR_MODEL_INVALID` | a checkpoint file is missing, truncated, contradictory or holds NaN |
* | `ERR_MODEL_UNSUPPORTED` | a sound checkpoint of a kind that surefoot does not score |
* | `ERR_UNSAFE_FORMAT` | the weights are pickled; only safetensors are read |
* | `ERR_TOKENIZER` | the tokenizer does not fit the model or its profile |
* | `ERR_TEMPLATE` | the checkpoint's chat template is broken, costs too much or leaves out parts of the prompt |
* | `ERR_CONTEXT_OVERFLOW` | more tokens than the model's context |
* | `ERR_CACHE_BUDGET` | a trace needs more memory for keys and values than `cacheBytes` allows |
* | `ERR_DEVICE_UNAVAILABLE` | the device, or the instruction set that `SUREFOOT_ISA` names, does not exist here |
* | `ERR_NOT_FINITE` | the model gave NaN or infinity for a step |
* | `ERR_SEARCH` | a search was told what it did not ask, twice, or what is no number; its tree is as before |
* | `ERR_DISPOSED` | the object was used after `dispose()` |
* | `ERR_CAPABILITY` | the policy cannot do what is asked of it; the message says what to use instead |
* | `ERR_NATIVE_BINDING` | the native binary for this platform is not installed |
* | `ERR_IO` | a file could not be read or written |
* | `ERR_INTERNAL` | a bug in surefoot; the process goes on |
*/
type SurefootErrorCode = "ERR_INVALID_ARGUMENT" | "ERR_MODEL_NOT_FOUND" | "ERR_DATASET_NOT_FOUND" | "ERR_GATED" | "ERR_OFFLINE" | "ERR_HTTP" | "ERR_INTEGRITY" | "ERR_MODEL_INVALID" | "ERR_MODEL_UNSUPPORTED" | "ERR_UNSAFE_FORMAT" | "ERR_TOKENIZER" | "ERR_TEMPLATE" | "ERR_CONTEXT_OVERFLOW" | "ERR_CACHE_BUDGET" | "ERR_DEVICE_UNAVAILABLE" | "ERR_NOT_FINITE" | "ERR_SEARCH" | "ERR_DISPOSED" | "ERR_CAPABILITY" | "ERR_NATIVE_BINDING" | "ERR_IO" | "ERR_INTERNAL";
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
//#region src/generator/generator.d.ts
/** A policy: what writes answers, or the next step of one. */
interface Generator {
  /** For reports and journals: the model's name and where it runs, never a key. */
  readonly id: string;
  /** What ends a step, unless a request says otherwise. @default a blank line */
  readonly separator?: string;
  /** What it can do. Of a server whose dialect is to be detected: as of now, and for good after {@link Generator.ready}. */
  readonly capabilities: Capabilities;
  /** Finds out what the capabilities are, where that takes asking. */
  ready?(options?: {
    readonly signal?: AbortSignal;
  }): Promise<void>;
  /**
  * Writes `n` samples, in order.
  *
  * @throws `ERR_CAPABILITY` for what it cannot do; `ERR_INVALID_ARGUMENT`; the signal's reason
  */
  sample(request: SampleRequest, options?: SampleOptions): Promise<Sample[]>;
}
interface Capabilities {
  /** Goes on with an answer that is begun (`prefix`), as beam and tree search need it. */
  readonly prefill: boolean;
  /** Writes the `n` samples of a request in one go, for one reading of the prompt. Without it they are `n` calls. */
  readonly n: boolean;
  /** Tells whether a step or the whole answer ended. */
  readonly stopReason: boolean;
  readonly logprobs: boolean;
  /** The same seed gives the same text. */
  readonly seed: boolean;
}
interface SampleRequest {
  readonly problem: string;
  readonly system?: string;
  /** What the answer begins with; it is not repeated in the samples. Needs the capability `prefill`. @default '' */
  readonly prefix?: string;
  /** @default 1 */
  readonly n?: number;
  /** Write to the end of the answer, or of a step. @default 'answer' */
  readonly until?: "answer" | "step";
  /** The text that ends a step. @default the generator's, mostly a blank line */
  readonly separator?: string;
  /** Texts that end a sample; they are not part of it. */
  readonly stop?: readonly string[];
  /** @default 2048 */
  readonly maxTokens?: number;
  /** 0: always the likeliest token. @default 0.7 */
  readonly temperature?: number;
  /** Only among the so many likeliest tokens. @default all */
  readonly topK?: number;
  /** Only among the likeliest tokens that together have this probability. @default 1 */
  readonly topP?: number;
  /** Only among tokens with at least this part of the likeliest one's probability. @default 0 */
  readonly minP?: number;
  /** Divides the logits of tokens that occurred, in the prompt too (Keskar et al. 2019). @default 1 */
  readonly repetitionPenalty?: number;
  /** Token ids, and texts that shall not be written. */
  readonly bans?: readonly (number | string)[];
  /** Of every draw. @default 1 where the generator is native; elsewhere the server's own */
  readonly seed?: number;
  /** Sets apart requests that are alike but shall give other samples. @default '' */
  readonly path?: string;
  /** Whether the samples carry `logprobs`. @default false */
  readonly logprobs?: boolean;
}
interface SampleOptions {
  readonly signal?: AbortSignal;
  /** Hears the text of sample `index` as it is written, in whole characters; where a generator does not stream, at its end. */
  readonly onText?: (text: string, index: number) => void;
}
/**
* `answer`: the model ended its answer. `step`: the separator came, and the answer goes on. `stop`: a stop text came.
* `length`: no token was left, of `maxTokens` or of the context.
*/
type Ended = "answer" | "step" | "stop" | "length";
interface Sample {
  /** What follows the prefix, without the text that ended it: after a `step` the next prefix is prefix + text + separator. */
  readonly text: string;
  /** null: the answer or a stop text ended it, and the generator cannot tell which. */
  readonly ended: Ended | null;
  /** The stop text that came. */
  readonly stop?: string;
  /** Tokens of all that stands before the text. */
  readonly promptTokens: number;
  /** Tokens that were written, those of the end among them. */
  readonly tokens: number;
  /** The numbers of tokens are guesses by the length of the text, or shares of a sum that is right. */
  readonly estimated?: true;
  /** Natural logarithm of each written token's probability under the model: at temperature 1, before anything is left out. */
  readonly logprobs?: readonly number[];
  /** The written tokens, where the generator is native. */
  readonly ids?: readonly number[];
}
/** A request whose every value is sound; what has a default is filled in. */
type CheckedRequest = Omit<SampleRequest, "prefix" | "n" | "until" | "stop" | "maxTokens" | "temperature"> & Required<Pick<SampleRequest, "prefix" | "n" | "until" | "stop" | "maxTokens" | "temperature">> & {
  readonly separator: string;
};
/**
* @param what who needs them, such as the name of a strategy
* @throws `ERR_CAPABILITY` that says what to use instead
*/
declare function requireCapabilities(generator: Pick<Generator, "id" | "capabilities">, needed: readonly (keyof Capabilities)[], what: string): void;
//#endregion
//#region src/generator/chat-model.d.ts
/** A chat model of LangChain: as much of a `BaseChatModel` as is used. Models with bound options are as good. */
interface ChatModel {
  invoke(messages: ChatMessage[], options?: {
    signal?: AbortSignal;
    stop?: string[];
  }): Promise<unknown>;
  stream?(messages: ChatMessage[], options?: {
    signal?: AbortSignal;
  }): Promise<AsyncIterable<unknown>>;
}
/** A message as LangChain takes one instead of an object of its own. */
type ChatMessage = {
  role: "system" | "user" | "assistant";
  content: string;
};
interface ChatModelOptions {
  /** @default the model's class, and its name where it has one */
  readonly id?: string;
  /** What ends a step unless a request says otherwise. @default a blank line */
  readonly separator?: string;
  /** Calls under way at the same time. @default 8 */
  readonly concurrency?: number;
  /**
  * Set it where you know that the model continues an assistant message at the end of the prompt: most begin a new
  * answer, and there is no asking them.
  *
  * @default false
  */
  readonly prefill?: boolean;
}
/**
* A policy of any chat model of LangChain: `fromChatModel(new ChatOpenAI({ model, temperature: 0.7 }))`.
*
* Temperature, seed and the like belong to the model as it was made: a request that names one is `ERR_CAPABILITY`, and
* the defaults of requests do not apply. n samples are n calls; failed calls are tried again as the model was told to
* (`maxRetries`). Steps and stop texts are looked for here, in the stream, which is closed when one came; the tokens of
* such a sample are estimated.
*
* @throws `ERR_INVALID_ARGUMENT` for what has no `invoke`
*/
declare function fromChatModel(model: ChatModel, options?: ChatModelOptions): Generator;
//#endregion
//#region src/generator/dialects.d.ts
/**
* How a server is asked to go on with an answer that is begun. `vllm`, `sglang`: `continue_final_message`. `llama.cpp`:
* a last message of the assistant is continued. `prefix`: the last message says `prefix: true` (DeepSeek, Mistral).
* `none`: it cannot.
*/
type Dialect = "vllm" | "sglang" | "llama.cpp" | "prefix" | "none";
type Endpoint = "chat" | "completions";
//#endregion
//#region src/generator/openai.d.ts
interface OpenAIOptions {
  /** Where `/chat/completions` lies below. A query is kept. @default https://api.openai.com/v1 */
  readonly baseURL?: string;
  /** The model's name at the server. */
  readonly model: string;
  /** @default the environment's OPENAI_API_KEY for api.openai.com; none for other servers */
  readonly apiKey?: string;
  /** How the server continues an answer that is begun. @default 'auto': the server is asked, once */
  readonly dialect?: "auto" | Dialect;
  /** `completions` takes the prompt as a text, and every server that has it continues one. @default 'chat' */
  readonly endpoint?: Endpoint;
  /** Writes the prompt for the endpoint `completions`. @default system and problem, a line break, and the prefix */
  readonly template?: (prompt: Prompt) => string;
  /** Requests under way at most, over all calls. @default 8 */
  readonly concurrency?: number;
  /** Has to follow no redirects where it is told so, as every fetch. @default the global one */
  readonly fetch?: typeof globalThis.fetch;
  /** Sent with each request; their values are treated as secrets. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Milliseconds without a byte from the server. An answer that is not streamed is silent to its end. @default 300 000 */
  readonly timeout?: number;
  /** Milliseconds for a whole call of `sample`, with all that it has to wait for. @default no limit */
  readonly totalTimeout?: number;
  /** Further attempts after a failure that may pass. @default 4 */
  readonly retries?: number;
  /** The text that ends a step. @default a blank line */
  readonly separator?: string;
  /** Streams every answer, so that a slow server is not silent. @default only where that is needed */
  readonly stream?: boolean;
  /** Further parameters of the server, such as `chat_template_kwargs`. */
  readonly extraBody?: Readonly<Record<string, unknown>>;
}
/** What a template turns into one text. */
interface Prompt {
  readonly problem: string;
  readonly system: string | undefined;
  /** What the text has to end with. */
  readonly prefix: string;
}
interface OpenAIGenerator extends Generator {
  /** `auto` until the server was asked. */
  readonly dialect: "auto" | Dialect;
  ready(options?: {
    readonly signal?: AbortSignal;
  }): Promise<void>;
}
/**
* A policy behind a server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, DeepSeek, Mistral, OpenAI and others.
*
* @throws `ERR_INVALID_ARGUMENT`
*/
declare function openai(options: OpenAIOptions): OpenAIGenerator;
//#endregion
//#region src/generator/chat-template.d.ts
/**
* A checkpoint's own chat template, to send prompts to a server as one text: `openai({ endpoint: 'completions', template })`.
* It renders in a sandbox, here; a text that spells one of the model's special tokens is refused, since the server would
* take it for one.
*
* @param ref a folder with tokenizer.json, a GGUF file, or a hub id, of which only tokenizer and template are fetched
* @throws `ERR_TEMPLATE`, also when the checkpoint has none or the text spells a special token; `ERR_TOKENIZER`,
*   `ERR_MODEL_NOT_FOUND` and what fetching throws; the signal's reason
*/
declare function chatTemplate(ref: string, options?: {
  readonly signal?: AbortSignal;
}): Promise<(prompt: Prompt) => string>;
//#endregion
//#region src/generator/function.d.ts
/** What a function is asked for: one sample, its defaults filled in and its seed its own. */
type FunctionRequest = Omit<CheckedRequest, "n">;
interface FunctionContext {
  /** Fires when the sample is no longer wanted: the caller stopped, or a text came that ends it. */
  readonly signal: AbortSignal;
  /** Takes the text as it is written, piece by piece. A function that writes all at once need not call it. */
  readonly onText: (text: string) => void;
  /** Which of the request's samples it is, from 0. */
  readonly index: number;
}
/** All of a sample but its text may be left out: numbers of tokens are then estimated. */
type FunctionSample = Pick<Sample, "text"> & Partial<Omit<Sample, "stop">>;
/**
* Writes one sample: all of its text, also what came through `onText`. A text that ends without the separator of a step,
* or a stop text, ends the answer; a function that ends earlier returns a sample whose `ended` says so.
*/
type SampleFunction = (request: FunctionRequest, context: FunctionContext) => string | FunctionSample | Promise<string | FunctionSample>;
interface FunctionOptions {
  /** @default the function's name */
  readonly id?: string;
  /**
  * What the function can do: `prefill` where it goes on from `request.prefix`, `logprobs` where its samples carry them
  * when `request.logprobs` asks for it, `seed` where the same seed gives the same text.
  *
  * @default none but stopReason
  */
  readonly capabilities?: Partial<Omit<Capabilities, "n">>;
  /** What ends a step unless a request says otherwise. @default a blank line */
  readonly separator?: string;
  /** Calls under way at the same time. @default 8 */
  readonly concurrency?: number;
}
/**
* A policy of any function that writes a text. It is called once a sample; stop texts and steps are cut here, so it may
* write more than it was asked for. What it throws is not touched.
*/
declare function fromFunction(fn: SampleFunction, options?: FunctionOptions): Generator;
//#endregion
//#region src/generator/language-model.d.ts
/** A language model of the AI SDK, of specification V2, V3 or V4: as much of it as is used. */
interface LanguageModel {
  readonly specificationVersion: string;
  readonly provider: string;
  readonly modelId: string;
  doGenerate(options: LanguageModelCall): PromiseLike<{
    readonly content: readonly unknown[];
    readonly finishReason: unknown;
    readonly usage: unknown;
    readonly warnings?: readonly unknown[];
  }>;
  doStream(options: LanguageModelCall): PromiseLike<{
    readonly stream: {
      getReader(): {
        read(): Promise<{
          readonly done: boolean;
          readonly value?: unknown;
        }>;
        cancel(reason?: unknown): Promise<void>;
      };
    };
  }>;
}
/** Options of the provider, under its name: `{ vllm: { … } }`. */
type ProviderOptions = {
  [provider: string]: {
    [option: string]: JsonValue;
  };
};
type JsonValue = null | string | number | boolean | JsonValue[] | {
  [key: string]: JsonValue;
};
/** The options of one call. */
interface LanguageModelCall {
  prompt: ({
    role: "system";
    content: string;
  } | {
    role: "user";
    content: {
      type: "text";
      text: string;
    }[];
  } | {
    role: "assistant";
    content: {
      type: "text";
      text: string;
    }[];
  })[];
  maxOutputTokens?: number;
  temperature?: number;
  stopSequences?: string[];
  topP?: number;
  topK?: number;
  seed?: number;
  abortSignal?: AbortSignal;
  providerOptions?: ProviderOptions;
}
interface LanguageModelOptions {
  /** What ends a step unless a request says otherwise. @default a blank line */
  readonly separator?: string;
  /** Calls under way at the same time. @default 8 */
  readonly concurrency?: number;
  /** How often a call is tried again that failed in passing, as the provider says (`isRetryable`). @default 2 */
  readonly maxRetries?: number;
  /**
  * Set it where you know that the provider continues an assistant message at the end of the prompt: most begin a new
  * answer, and there is no asking them. Where they do it on request, give the options that ask for it:
  * `{ vllm: { continue_final_message: true, add_generation_prompt: false } }`.
  *
  * @default false
  */
  readonly prefill?: boolean | ProviderOptions;
}
/**
* A policy of any model of the AI SDK: `fromLanguageModel(openai('gpt-5'))`.
*
* The AI SDK knows no `n`, so n samples are n calls. It does not say which text ended an answer: steps and stop texts are
* looked for here, in the stream, which is closed when one came; the tokens of such a sample are estimated.
*
* @throws `ERR_INVALID_ARGUMENT` for what is no model of specification V2, V3 or V4
*/
declare function fromLanguageModel(model: LanguageModel, options?: LanguageModelOptions): Generator;
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
//#region src/hub/snapshot.d.ts
/** How far a download is. Files that are here already are not counted. */
interface DownloadProgress {
  /** The file that grew. */
  readonly file: string;
  /** Bytes of it that are here, those of an earlier run included. */
  readonly loaded: number;
  /** Bytes of it in all; undefined while the hub has not said. */
  readonly total: number | undefined;
  /** The same over all files that are known to be needed. */
  readonly all: {
    readonly files: number;
    readonly loaded: number;
    readonly total: number;
  };
}
//#endregion
//#region src/model.d.ts
/** Where a model computes; `auto` takes the fastest that is there. */
type Device = "auto" | "cpu" | "cuda" | "metal";
/** How a model is loaded and computed. */
interface ComputeOptions {
  /** @default 'auto' */
  readonly device?: Device;
  /**
  * `exact`: in f32, and a result is the same bits alone, in a batch and from the cache. `fast`: in bf16 where the
  * processor has it, with keys and values in bf16. @default 'exact'
  */
  readonly precision?: "exact" | "fast";
  /** The most bytes for keys, values and the prefix index of this model. @default 512 MiB, or what the longest text needs */
  readonly cacheBytes?: number;
  /** Whether what was computed for one text serves others that begin like it. @default true */
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
/** What a model did since it was loaded, for all who loaded it alike in this process, and what it holds. */
interface Counters {
  /** Tokens that were found in the cache instead of being computed. */
  readonly hits: number;
  /** Tokens that were computed for the first time. */
  readonly computed: number;
  /** Tokens that were computed again: they had been evicted, or what is wanted at them had not been read. */
  readonly recomputed: number;
  /** Held now for keys, values and the prefix index. */
  readonly bytes: number;
  /** The most bytes held so far. */
  readonly peakBytes: number;
  /** The most bytes that may be held. */
  readonly budget: number;
}
//#endregion
//#region src/generator/policy.d.ts
interface PolicyOptions extends ComputeOptions {
  /** The folder of a LoRA adapter, to go on top of the model. */
  readonly adapter?: string;
  /**
  * `chat`: problems are put through the checkpoint's chat template. `plain`: as text: system text and a blank line, problem
  * and a line break, prefix; what is empty is left out. @default 'chat' where the checkpoint has a template
  */
  readonly prompt?: "chat" | "plain";
  /** The text that ends a step. @default surefoot.json's in the model's folder, else a blank line */
  readonly separator?: string;
}
/** What was recognised in a checkpoint. */
interface PolicyFacts {
  readonly family: string;
  readonly architectures: readonly string[];
  /** `org/name` where the folder's path shows it; null elsewhere. */
  readonly hubId: string | null;
  readonly parameters: number;
  /** Of the stored weights; several are joined by `+`. */
  readonly dtype: string;
  readonly device: string;
  /** The instruction set that our own kernels compute with; null where they do not. */
  readonly isa: string | null;
  readonly precision: "exact" | "fast";
  /** The most tokens of a problem and its answer together. */
  readonly context: number;
  /** How many tokens there are to choose from. */
  readonly vocabulary: number;
  readonly prompt: "chat" | "plain";
  readonly separator: string;
  /** The tokens that end an answer. */
  readonly stopIds: readonly number[];
}
/**
* A language model that writes answers, or the next step of one, in this process.
*
* Calls may overlap: all texts of a thread are batched together, those that begin alike share what is computed, and a text
* depends on its request and seed alone: not on its company, the number of threads or the order of arrival.
*/
declare class Policy implements Generator, AsyncDisposable {
  #private;
  readonly id: string;
  readonly capabilities: Capabilities;
  /** What was recognised in the checkpoint. */
  readonly facts: PolicyFacts;
  readonly separator: string;
  private constructor();
  /**
  * Loads a policy. Threads that load the same one share its weights.
  *
  * @param ref a folder, a GGUF file or a hub id, as for {@link PRM.load}; or nothing: the small model that comes with the
  *   package
  * @throws as {@link PRM.load}; `ERR_MODEL_UNSUPPORTED` also for a reward model, which has nothing to write with
  */
  static load(ref?: string, options?: PolicyOptions): Promise<Policy>;
  /**
  * What the model has computed and keeps so far.
  *
  * @throws `ERR_DISPOSED`
  */
  get counters(): Counters;
  /**
  * Writes `n` samples. The same request and seed give the same texts.
  *
  * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_CACHE_BUDGET`, `ERR_NOT_FINITE`, `ERR_TEMPLATE`,
  *   `ERR_DISPOSED`; the signal's reason
  */
  sample(request: SampleRequest, {
    signal,
    onText
  }?: SampleOptions): Promise<Sample[]>;
  /** Gives the model's memory back and rejects what is under way with `ERR_DISPOSED`. May be called twice. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
//#endregion
//#region src/generator/stream.d.ts
interface StreamOptions {
  readonly signal?: AbortSignal;
}
/**
* The text of one sample as it is written: a source for `prm.watch(problem, stream(policy, { problem }))`. The work
* begins with the first `next()`; leaving the loop, or `return()`, stops it. The sample is the iterator's return value.
*
* @throws `ERR_INVALID_ARGUMENT` for a request of several samples; while it is read: what the generator throws, and the
*   signal's reason
*/
declare function stream(generator: Generator, request: Omit<SampleRequest, "n">, {
  signal
}?: StreamOptions): TextStream;
/** Pieces of text, and the sample at the end. */
type TextStream = AsyncIterableIterator<string, Sample | undefined, void>;
//#endregion
//#region src/scorer.d.ts
/** What a score says: the probability that the step is correct, the expected success from here on, or a bare reward. */
type Semantics = "probability" | "value" | "reward";
interface ScoredStep {
  readonly text: string;
  readonly score: number;
}
interface ScoredTrace {
  /** As many as the trace has steps, in order; one, the whole solution, from an outcome model. */
  readonly steps: readonly ScoredStep[];
  readonly semantics: Semantics;
  /** The step scores as one number. */
  readonly aggregate: number;
  /** Tokens that the model read. */
  readonly tokens: number;
  /** Tokens that were cut from the beginning of the prompt, where the call asked for it and there were too many. */
  readonly truncated?: number;
}
/** What is read of a scored trace. */
interface StepScores {
  /** As many as the trace has steps, in order. */
  readonly steps: readonly {
    readonly score: number;
  }[];
  /** Tokens that the scorer read. */
  readonly tokens: number;
}
/** What scores steps: a `PRM`, or anything of its shape. */
interface StepScorer {
  /** Scores as many traces as it is given, in their order. On abort it rejects with the signal's reason. */
  score(traces: readonly StepsTrace[], options?: {
    readonly signal?: AbortSignal;
  }): Promise<readonly StepScores[]>;
  readonly facts: ScorerFacts;
  /**
  * The token ids that a trace is scored from, computed without scoring: by them a search knows what a score costs before
  * it asks. Without it the tokens that a result reports are taken.
  */
  encode?(trace: StepsTrace): readonly number[];
}
/** What must be known of a scorer. */
interface ScorerFacts {
  /** `probability` and `value` promise scores in [0, 1]. */
  readonly semantics: Semantics;
  /** A score below it marks a weak step; null where there is no such number. */
  readonly threshold: number | null;
  /** Where solutions are split into steps; null: an outcome model, which gets every solution as one step. */
  readonly split: string | null;
  /** How step scores become one number by default. */
  readonly aggregate: Aggregate;
}
//#endregion
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
interface LoadOptions extends ComputeOptions {
  /** A safetensors file with the head's tensors, or the folder of a LoRA adapter, to go on top of the model. */
  readonly head?: string;
  /** The name of the profile to use, or changes to the one that is recognised. */
  readonly profile?: string | ProfileChoice;
}
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
  * The token ids that a trace is scored from, without scoring it: what a score will cost.
  *
  * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_TOKENIZER`, `ERR_TEMPLATE`, `ERR_DISPOSED`
  */
  encode(trace: Trace): readonly number[];
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
//#region src/search/strategies.d.ts
/** How the answer is picked from the solutions. `visits` and `value` are for mcts. */
type Choose = "best" | "vote" | "majority" | "visits" | "value";
interface Common {
  /** Requests that may be out at once. The tree depends on it, and on nothing else that runs beside it. */
  readonly batch?: number;
  /** Policy tokens that an answer may have. */
  readonly answerTokens?: number;
}
interface Scored extends Common {
  /** Step scores → score of a solution. @default the PRM's own */
  readonly aggregate?: Aggregate;
}
interface Stepwise extends Scored {
  /** Steps deep, at most. */
  readonly depth?: number;
  /** Policy tokens that a step may have. */
  readonly stepTokens?: number;
  /** Step scores → what prefixes are ranked by. @default 'last' */
  readonly rank?: Aggregate;
  /** @default 'vote' */
  readonly choose?: Choose;
}
interface BestOfN extends Scored {
  /** @default 8 */
  readonly n?: number;
}
interface Majority extends Common {
  /** @default 8 */
  readonly n?: number;
}
interface Beam extends Stepwise {
  /** Prefixes that survive a level. @default 4 */
  readonly width?: number;
  /** Continuations of each. @default 4 */
  readonly expansions?: number;
  /** Whether a continuation with the text of an earlier sibling is left out. @default true */
  readonly dedupe?: boolean;
  /** Steps to look ahead before a continuation is scored. @default 0 */
  readonly lookahead?: number;
}
interface Dvts extends Stepwise {
  /** Independent subtrees. @default 4 */
  readonly trees?: number;
  /** Continuations per step of a subtree. @default 4 */
  readonly expansions?: number;
  readonly lookahead?: number;
}
interface Rebase extends Stepwise {
  /** Continuations of the first level; each finished path takes one away. @default 16 */
  readonly width?: number;
  /** Of the softmax that shares them out. @default 0.2 */
  readonly temperature?: number;
}
interface Mcts extends Stepwise {
  /** Expansions at most. @default as many as the budget allows */
  readonly simulations?: number;
  /** Continuations of an expansion. @default 4 */
  readonly children?: number;
  /** @default { by: 'uct', c: 1 } */
  readonly select?: {
    readonly by: "uct";
    readonly c?: number;
  } | {
    readonly by: "puct";
    readonly base?: number;
    readonly init?: number; /** Log-probabilities need a policy with the capability `logprobs`. */
    readonly prior?: {
      readonly from: "logProbability";
      readonly temperature?: number;
    } | {
      readonly from: "uniform";
    };
  };
  /** How a child without a visit is valued. @default 'value' */
  readonly unvisited?: "value" | "first";
  /** A node may have ⌈factor · visits^exponent⌉ children, up to `most`. @default it is expanded once */
  readonly widening?: {
    readonly factor: number;
    readonly exponent: number;
    readonly most: number;
  };
  /** What a selection makes of the simulations that are out. @default { by: 'wuUct' } */
  readonly parallel?: {
    readonly by: "wuUct";
  } | {
    readonly by: "virtualLoss";
    readonly count: number;
    readonly loss: number;
  };
  /** A new node's first value: its PRM scores, or those of a rollout. @default 'prm' */
  readonly value?: "prm" | "rollout";
  /** What a simulation brings up: the values of the new children, or that of the node itself. @default 'children' */
  readonly leaf?: "children" | "own";
  /** @default 'mean' */
  readonly backup?: "mean" | "max";
  readonly dedupe?: boolean;
}
interface Refine extends Scored {
  /** How often a weak step is gone back to. @default 8 */
  readonly rounds?: number;
  /** Continuations per round, and of the first. @default 1 */
  readonly samples?: number;
  /** A step that scores below is weak. @default the PRM's threshold, else 0.5 */
  readonly threshold?: number;
  readonly choose?: Choose;
}
/** A strategy as plain data: what `--strategy` takes as JSON and a journal keeps. */
type Strategy = ({
  readonly strategy: "bestOfN";
} & BestOfN) | ({
  readonly strategy: "majority";
} & Majority) | ({
  readonly strategy: "weightedVote";
} & BestOfN) | ({
  readonly strategy: "beam";
} & Beam) | ({
  readonly strategy: "dvts";
} & Dvts) | ({
  readonly strategy: "rebase";
} & Rebase) | ({
  readonly strategy: "mcts";
} & Mcts) | ({
  readonly strategy: "refine";
} & Refine);
declare const strategyNames: readonly Strategy["strategy"][];
/** `n` whole answers; the one with the highest score. */
declare const bestOfN: (options?: BestOfN) => Strategy;
/** `n` whole answers; the one that most of them give. The PRM is never asked (Wang et al., arXiv 2203.11171). */
declare const majority: (options?: Majority) => Strategy;
/** `n` whole answers; the one whose solutions have the most score together (arXiv 2408.03314). */
declare const weightedVote: (options?: BestOfN) => Strategy;
/** The best `width` prefixes of each level go on (Snell et al., arXiv 2408.03314; search-and-learn). */
declare const beam: (options?: Beam) => Strategy;
/** Diverse verifier tree search: `trees` beams of width 1 that never mix (search-and-learn). */
declare const dvts: (options?: Dvts) => Strategy;
/** Continuations shared out by the softmax of the scores (Wu et al., arXiv 2408.00724). */
declare const rebase: (options?: Rebase) => Strategy;
/** Monte-Carlo tree search by UCT or PUCT. */
declare const mcts: (options?: Mcts) => Strategy;
/** Goes back to the first weak step of the best answer and writes on from there. */
declare const refine: (options?: Refine) => Strategy;
/** What a search may use. What is left out has no limit. */
interface Budget {
  /** Continuations that are asked, those that fail included. */
  readonly generations?: number;
  /** Tokens that the policy samples. */
  readonly policyTokens?: number;
  /** Tokens that the PRM has to compute: a path's own, and the prompt once. */
  readonly prmTokens?: number;
  /** Milliseconds. */
  readonly ms?: number;
  /** costs.policy · tokens of the policy + costs.prm · tokens of the PRM. */
  readonly flops?: number;
  /** FLOPs of a token: about twice the parameters. @default that, where policy and PRM are native */
  readonly costs?: {
    readonly policy: number;
    readonly prm: number;
  };
  /** The part of each limit that is kept to bring one path to its end, as long as none is there. @default 0.2 */
  readonly reserve?: number;
}
//#endregion
//#region src/search/machine.d.ts
/** Decides what to write next: numbers only, the text stays with who drives it. The native strategies, or one of yours. */
interface SearchMachine {
  /** Up to `max` requests that nobody was handed before; `now` in milliseconds on one clock. */
  ask(max: number, now: number): Ask;
  /** What came of a request, in any order among requests. Returns the first of the nodes that its continuations are. */
  tell(request: number, children: readonly Child[]): number;
  /** Nothing came of a request. */
  fail(request: number): void;
  /** Says which finished nodes give equal answers, by a number for each answer; null: none. */
  group(groups: readonly (readonly [node: number, group: number | null])[]): void;
  /** Ends the search with what was told by now. */
  abort(): void;
  /** What would be the answer now. */
  best(): Chosen | null;
  /** What has happened since the last call. */
  events(): MachineEvent[];
  /** Whether a node is there by now: what was told waits for what was asked before it. */
  has(node: number): boolean;
  /** The nodes, in the order in which they were asked; the root comes first. */
  nodes(): TreeNode[];
}
type Ask = {
  readonly type: "requests";
  readonly value: readonly Request[];
} | {
  readonly type: "wait";
} | {
  readonly type: "done";
  readonly value: Outcome;
};
/** Continuations to write and to score. */
interface Request {
  readonly id: number;
  /** The node that is gone on with; 0 is the root. */
  readonly node: number;
  /** Where the node has no text yet: it is the first `steps` new steps of node `of`. */
  readonly stem: {
    readonly of: number;
    readonly steps: number;
  } | null;
  readonly count: number;
  readonly until: "step" | "answer";
  /** Which new steps are scored. */
  readonly score: "none" | "last" | "all";
  /** What is written beyond a continuation, greedily, for its scores alone. */
  readonly lookahead: "none" | "answer" | {
    readonly steps: number;
  };
  /** Whether each continuation is told with its log-probability. */
  readonly priors: boolean;
  readonly caps: {
    readonly policyTokens: number;
    readonly aheadTokens: number;
    readonly prmTokens: number | null;
    readonly flops: number | null;
  };
  /** Names the draws: unlike that of any other request. */
  readonly path: string;
}
/** A continuation as it was written. */
interface Child {
  readonly policyTokens: number;
  readonly aheadTokens?: number;
  /** Tokens of prompt and prefix that the policy had to compute for it. */
  readonly prefillTokens?: number;
  readonly prmTokens?: number;
  /** Steps that it adds. 0 ends its path. */
  readonly steps: number;
  /** Of its new steps: none, the last, or all, as was asked. */
  readonly scores?: readonly number[];
  /** Of the steps that were looked ahead. */
  readonly ahead?: readonly number[];
  readonly rollout?: number;
  readonly logPrior?: number;
  readonly ended: boolean;
  /** Whether a cap cut it. */
  readonly cut: boolean;
  /** Whether its answer is right: for the strategies that make labels. */
  readonly correct?: boolean;
  /** Hashes, below 2^53, of the whole text up to the end of each new step, by which these find a prefix again. */
  readonly prefixes?: readonly number[];
  /** A hash of its text, below 2^53: continuations of a node with equal hashes are the same. */
  readonly text?: number;
}
/** What a search answers. */
interface Chosen {
  readonly node: number;
  readonly group: number | null;
  readonly score: number | null;
  /** What it won with: the sum of its group's scores, or its number of solutions; the score where nobody votes. */
  readonly vote: number;
  /** Whether the path has an end; otherwise it is the best prefix there is. */
  readonly finished: boolean;
}
type Limit = "generations" | "policyTokens" | "prmTokens" | "flops" | "ms";
interface Outcome {
  readonly finish: "complete" | "budget" | "aborted";
  /** The limit that ended it. */
  readonly limit: Limit | null;
  readonly chosen: Chosen | null;
  /** Where nothing is chosen: each continuation failed, or none came in time. */
  readonly nothing: "failed" | "unasked" | null;
  readonly spent: Spent;
}
/** What a search has used. */
interface Spent {
  readonly generations: number;
  /** Of these: failed. */
  readonly failures: number;
  /** Of these: out when the search ended. */
  readonly cancelled: number;
  readonly policyTokens: number;
  readonly prefillTokens: number;
  readonly prmTokens: number;
  readonly flops: number;
  readonly ms: number;
  /** Requests that brought more than their caps. */
  readonly overruns: number;
}
type MachineEvent = {
  readonly type: "expanded";
  readonly request: number;
  readonly node: number;
  readonly count: number;
} | {
  readonly type: "sampled";
  readonly request: number;
  readonly node: number;
  readonly parent: number;
  readonly policyTokens: number;
  readonly ended: boolean;
  readonly cut: boolean;
} | {
  readonly type: "scored";
  readonly node: number;
  readonly value: number;
} | {
  readonly type: "pruned";
  readonly node: number;
} | {
  readonly type: "firstError";
  readonly node: number;
  readonly step: number;
  readonly before: number; /** The prefix that the wrong step ends; null where it is the last one. */
  readonly behind: number | null;
} | {
  readonly type: "failed";
  readonly request: number;
  readonly node: number;
  readonly count: number;
} | {
  readonly type: "overrun";
  readonly request: number;
  readonly limit: Limit;
} | {
  readonly type: "budget";
  readonly spent: Spent;
} | {
  readonly type: "chosen";
  readonly chosen: Chosen | null;
};
/** A node of the tree. */
interface TreeNode {
  readonly node: number;
  /** null: the root. */
  readonly parent: number | null;
  /** Expansions between the root and the node. */
  readonly depth: number;
  /** Policy tokens from the root to its end. */
  readonly tokens: number;
  /** Of its own steps, as far as they were asked. */
  readonly scores: readonly number[];
  /** Of the whole path as one number; null where the PRM has not seen all of it. */
  readonly score: number | null;
  /** What came up through it in mcts, else what it is ranked by; null without scores. */
  readonly value: number | null;
  readonly visits: number;
  readonly group: number | null;
  readonly finished: boolean;
  readonly pruned: boolean;
}
//#endregion
//#region src/search/driver.d.ts
type Sampling = Pick<SampleRequest, "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty" | "bans" | "stop">;
//#endregion
//#region src/search/solve.d.ts
interface SolveOptions {
  /** What writes. */
  readonly policy: Generator;
  /** What scores: a `PRM`, or anything of its shape. A majority vote needs none. */
  readonly prm?: StepScorer;
  /** What to write next: one of the strategies, or a search of yours. */
  readonly strategy: Strategy | SearchMachine;
  /** @default what the strategy uses by itself */
  readonly budget?: Budget;
  readonly system?: string;
  /** Of every draw. @default 1 */
  readonly seed?: number;
  /** How continuations are sampled. @default temperature 0.7 */
  readonly sampling?: Sampling;
  /** What ends a step. @default the policy's */
  readonly separator?: string;
  /** Takes the final answer out of a solution; null where it has none. @default `extractAnswer` of surefoot/grade */
  readonly extract?: (solution: string) => string | null;
  /** Requests under way at the same time, at most. The result does not depend on it. @default 16 */
  readonly concurrency?: number;
  /** A file to write down what happens, line by line: to go on from after a kill, and for `replay`. */
  readonly journal?: string;
  /** Go on with the search in the journal, if there is one; it must have been begun with the same options. */
  readonly resume?: boolean;
  /**
  * Who has texts written and scored: the native engine, which needs no word with JavaScript until the end, or TypeScript,
  * for any policy and PRM. The tree is the same. @default 'native' where policy and PRM are
  */
  readonly driver?: "native" | "typescript";
  /** Ends the search; the run rejects with the signal's reason. `run.stop()` ends it with the best answer so far. */
  readonly signal?: AbortSignal;
}
/** A path that has its end. */
interface Solution {
  readonly node: number;
  readonly text: string;
  readonly answer: string | null;
  readonly steps: readonly {
    readonly text: string;
    readonly score: number | null;
  }[];
  /** The step scores as one number; null where the PRM has not seen all of it. */
  readonly score: number | null;
}
/** What came of a search. */
interface Solved {
  /** null where no solution has one. */
  readonly answer: string | null;
  /** The chosen solution, or the best beginning of one; null where nothing was written. */
  readonly solution: Solution | null;
  /** Whether the chosen solution has its end. */
  readonly finished: boolean;
  readonly finish: "complete" | "budget" | "aborted";
  /** The limit that ended it. */
  readonly limit: Limit | null;
  readonly spent: Spent;
  /** Every solution, in the order in which they were asked. */
  readonly solutions: readonly Solution[];
  /** The tree, in the order in which its nodes were asked. */
  readonly trace: readonly TraceNode[];
}
/** A node of the tree with its text. */
interface TraceNode {
  readonly node: number;
  readonly parent: number | null;
  /** What it adds to its parent's text. */
  readonly text: string;
  readonly steps: readonly string[];
  /** Of its own steps, as far as the strategy had them scored. */
  readonly scores: readonly number[];
  readonly score: number | null;
  readonly value: number | null;
  readonly visits: number;
  readonly finished: boolean;
  readonly pruned: boolean;
  readonly answer: string | null;
}
/** What happens in a search, with the text of what was written. */
type SearchEvent = MachineEvent & {
  readonly text?: string;
};
/** A search under way: await it for what came of it, or iterate over what happens. It goes on whether or not anybody looks. */
interface SolveRun extends PromiseLike<Solved>, AsyncIterable<SearchEvent> {
  /** Ends the search with the best answer so far: `finish` is `aborted`. */
  stop(): void;
}
/**
* Solves a problem by search: a policy writes, a PRM scores, a strategy decides, a budget ends it.
*
* @throws `ERR_CAPABILITY` for a policy that cannot do what the strategy needs; `ERR_INVALID_ARGUMENT`; what the policy and
*   the PRM throw that is not about one continuation; the signal's reason
*/
declare function solve(problem: string, options: SolveOptions): SolveRun;
//#endregion
//#region src/search/replay.d.ts
/** What is asked of a journal. Without any of it the search is replayed as it was. */
interface ReplayOptions {
  /** Another strategy. */
  readonly strategy?: Strategy;
  /** Another way to make one score of the step scores. */
  readonly aggregate?: Aggregate;
  /** Another way to pick the answer from the solutions. */
  readonly choose?: Choose;
}
/** What came of a replay: the result, or what the journal would have to hold for it. */
type Replayed = {
  readonly complete: true;
  readonly solved: Solved;
} | {
  readonly complete: false;
  readonly missing: readonly Missing[];
};
/** `node` is the one that is gone on with, in the tree of the replay, and `prefix` its text; the root is 0 and ''. */
type Missing = {
  readonly what: "continuations";
  readonly node: number;
  readonly prefix: string;
  readonly until: Request["until"];
  readonly count: number;
} | {
  readonly what: "scores";
  readonly node: number;
  readonly prefix: string;
  readonly steps: readonly string[];
} | {
  readonly what: "logPrior";
  readonly node: number;
  readonly prefix: string;
  readonly text: string;
} | {
  readonly what: "time";
  readonly ms: number;
};
/**
* Answers "what if" from the journal of a search, without policy or PRM, where it holds what is needed.
*
* Another `aggregate` or `choose` looks anew at the tree that was grown. Another strategy is answered with the recorded
* continuations of the same text, in the order in which they were asked, and has the recorded budget; nothing is waited for, so
* its `spent.ms` is 0.
*
* @throws `ERR_INVALID_ARGUMENT` for a file that is no journal, and for a strategy that is none; `ERR_IO`
*/
declare function replay(file: string, options?: ReplayOptions): Promise<Replayed>;
//#endregion
export { type Aggregate, type AppendOptions, type Ask, type Beam, type BestOfN, type Budget, type Candidate, type Capabilities, type ChatMessage, type ChatModel, type ChatModelOptions, type Child, type Choose, type Chosen, type ComputeOptions, type Counters, type Device, type Dialect, type DownloadProgress, type Dvts, type Ended, type Endpoint, type FunctionContext, type FunctionOptions, type FunctionRequest, type FunctionSample, type Generator, type LanguageModel, type LanguageModelCall, type LanguageModelOptions, type Limit, type LoadOptions, type LoadProgress, type MachineEvent, type Majority, type Mcts, type Missing, type ModelFacts, type OpenAIGenerator, type OpenAIOptions, type Outcome, PRM, Policy, type PolicyFacts, type PolicyOptions, type Profile, type ProfileChoice, type Prompt, type ProviderOptions, type Ranked, type Rebase, type Refine, type ReplayOptions, type Replayed, type Request, type RerankOptions, type Sample, type SampleFunction, type SampleOptions, type SampleRequest, type ScoreManyOptions, type ScoreOptions, type ScoreProgress, type ScoredStep, type ScoredTrace, type ScorerFacts, type SearchEvent, type SearchMachine, type Segment, type Semantics, type Separator, type Session, type SessionOptions, type Solution, type SolutionTrace, type SolveOptions, type SolveRun, type Solved, type Spent, type StepScorer, type StepScores, type StepsTrace, type Strategy, type StreamOptions, SurefootError, type SurefootErrorCode, type TextStream, type Trace, type TraceNode, type TreeNode, type Turn, type WatchOptions, type WatchedStep, aggregate, aggregates, beam, bestOfN, chatTemplate, dvts, fromChatModel, fromFunction, fromLanguageModel, majority, mcts, openai, rebase, refine, replay, requireCapabilities, solve, splitSteps, strategyNames, stream, weightedVote };