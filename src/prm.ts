import { setMaxListeners } from 'node:events'
import { type Aggregate, aggregate, aggregates } from './aggregate.ts'
import { type Job, submit } from './engine.ts'
import { invalidArgument, SurefootError } from './errors.ts'
import { type Model, native, nativeError } from './native.ts'
import { inOrder } from './ordered.ts'
import { type CheckedTrace, checkTrace, type Trace } from './problem.ts'
import { type Candidate, type Ranked, rank, toTraces } from './rerank.ts'
import { resolveModel } from './resolve.ts'
import type { ScoredTrace, Semantics } from './scorer.ts'

/** Where a model computes; `auto` takes the fastest that is there. */
export type Device = 'auto' | 'cpu' | 'cuda' | 'metal'

/** Changes to the profile that is detected for a checkpoint. */
export interface ProfileChoice {
  /** The profile to use instead of the detected one: `qwen-prm`, `trl`, `skywork`. */
  readonly name?: string
  /** The text that follows every step, where the profile's separator is a text; also where solutions are split. */
  readonly separator?: string
  /** Where solutions are split into steps. */
  readonly split?: string
  /** The system text of the prompt. */
  readonly system?: string
  /** How step scores become one number, unless a call says otherwise. */
  readonly aggregate?: Aggregate
}

export interface LoadOptions {
  /** @default 'auto' */
  readonly device?: Device
  readonly profile?: ProfileChoice
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: LoadProgress) => void
}

export interface LoadProgress {
  readonly phase: 'resolve' | 'load' | 'ready'
  readonly folder?: string
}

/** What was recognised in a checkpoint, and from which evidence. */
export interface ModelFacts {
  readonly family: string
  readonly architectures: readonly string[]
  /** The kind of head: `mlp2`, `linear2`, `vhead`. */
  readonly head: string
  /** The profile's name. */
  readonly profile: string
  /** The tensor that gave the head away, and its shape. */
  readonly evidence: string
  /** Of the backbone and the head. */
  readonly parameters: number
  /** Of the stored weights; several are joined by `+`. */
  readonly dtype: string
  readonly device: string
  /** The longest trace, in tokens. */
  readonly context: number
  readonly semantics: Semantics
  /** A score below it marks a weak step; null where the profile has none. */
  readonly threshold: number | null
  /** Where solutions are split into steps. */
  readonly split: string
  /** How step scores become one number by default. */
  readonly aggregate: Aggregate
}

export interface ScoreOptions {
  /** @default the profile's */
  readonly aggregate?: Aggregate
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ScoreProgress) => void
}

export interface ScoreProgress {
  /** Traces scored so far. */
  readonly done: number
  /** Traces in all, where that is known. */
  readonly total?: number
  /** Tokens read so far. */
  readonly tokens: number
}

export interface ScoreManyOptions extends ScoreOptions {
  /** Traces under way at a time: bounds the memory. @default 64 */
  readonly width?: number
}

export interface RerankOptions extends ScoreOptions {
  /** How many of the best to return. @default all */
  readonly topN?: number
  /** Replaces the profile's system text. */
  readonly system?: string
}

/**
 * A process reward model: scores every step of a solution and ranks candidates.
 *
 * Calls may overlap: all traces of a thread are batched together, and a trace's scores do not depend on its company.
 */
export class PRM implements AsyncDisposable {
  /** What was recognised in the checkpoint. */
  readonly facts: ModelFacts
  readonly #model: Model
  readonly #underWay = new Set<Job>()
  #disposed = false

  private constructor(model: Model) {
    const { profile, ...facts } = JSON.parse(model.facts)
    const { name, head, semantics, threshold, split, aggregate } = profile
    this.facts = Object.freeze({ ...facts, head, profile: name, semantics, threshold, split, aggregate })
    this.#model = model
  }

  /**
   * Loads a PRM. Threads that load the same one share its weights.
   *
   * @param ref a folder with config.json, tokenizer.json and safetensors; a hub id whose files are in the shared
   *   Hugging Face cache; or nothing: the small model that comes with the package
   * @throws `ERR_MODEL_NOT_FOUND`, `ERR_MODEL_INVALID`, `ERR_MODEL_UNSUPPORTED`, `ERR_UNSAFE_FORMAT`, `ERR_TOKENIZER`,
   *   `ERR_DEVICE_UNAVAILABLE`, `ERR_NATIVE_BINDING`, `ERR_INVALID_ARGUMENT`; the signal's reason when aborted
   */
  static async load(ref?: string, options: LoadOptions = {}): Promise<PRM> {
    const { device = 'auto', profile = {}, signal, onProgress } = options
    signal?.throwIfAborted()
    onProgress?.({ phase: 'resolve' })
    const folder = resolveModel(ref)
    onProgress?.({ phase: 'load', folder })
    const loading = native().loadModel(folder, String(device), JSON.stringify(profile))
    const { model, failure } = await unlessAborted(loading, signal, late => late.model?.dispose())
    if (failure) throw nativeError(failure)
    onProgress?.({ phase: 'ready', folder })
    return new PRM(model!)
  }

  /**
   * Scores every step of one trace, or of several.
   *
   * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_NOT_FINITE`, `ERR_DISPOSED`; the signal's reason
   */
  score(trace: Trace, options?: ScoreOptions): Promise<ScoredTrace>
  score(traces: readonly Trace[], options?: ScoreOptions): Promise<ScoredTrace[]>
  async score(input: Trace | readonly Trace[], options: ScoreOptions = {}): Promise<ScoredTrace | ScoredTrace[]> {
    this.#assertUsable(options.signal)
    const traces = isMany(input) ? input : [input]
    const scored = await this.#score(
      traces.map(trace => checkTrace(trace, this.facts.split)),
      options,
    )
    return isMany(input) ? scored : scored[0]!
  }

  /**
   * Scores a stream of traces: the results come in the order of the traces, and memory stays flat.
   * The stream ends with the first trace that fails.
   */
  async *scoreMany(
    traces: Iterable<Trace> | AsyncIterable<Trace>,
    options: ScoreManyOptions = {},
  ): AsyncGenerator<ScoredTrace, void, undefined> {
    const { width = 64, signal, onProgress, ...rest } = options
    if (!Number.isInteger(width) || width < 1) invalidArgument('width', 'must be a positive integer', width)
    const stop = new AbortController()
    setMaxListeners(0, stop.signal)
    const abort = (): void => stop.abort(signal?.reason)
    signal?.throwIfAborted()
    signal?.addEventListener('abort', abort, { once: true })
    let [done, tokens] = [0, 0]
    try {
      const score = (trace: Trace): Promise<ScoredTrace> => this.score(trace, { ...rest, signal: stop.signal })
      for await (const scored of inOrder(traces, width, score, reason => stop.abort(reason))) {
        done += 1
        tokens += scored.tokens
        onProgress?.({ done, tokens })
        yield scored
      }
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /**
   * Ranks candidate solutions of one problem, best first; equal scores keep their order.
   *
   * A candidate without any step (an empty answer) is never scored: it comes last, with score `-Infinity`.
   *
   * @param candidates solutions as text, or as steps
   */
  async rerank(problem: string, candidates: readonly Candidate[], options: RerankOptions = {}): Promise<Ranked[]> {
    const { topN, system, ...rest } = options
    if (topN !== undefined && (!Number.isInteger(topN) || topN < 1)) {
      invalidArgument('topN', 'must be a positive integer', topN)
    }
    this.#assertUsable(options.signal)
    const traces = toTraces(problem, candidates, system, this.facts.split)
    const scored = await this.#score(
      traces.filter(trace => trace !== null),
      rest,
    )
    return rank(traces, scored, this.facts.threshold).slice(0, topN)
  }

  /** Gives the model's memory back and rejects what is under way with `ERR_DISPOSED`. May be called twice. */
  async dispose(): Promise<void> {
    if (this.#disposed) return
    this.#disposed = true
    for (const job of this.#underWay) job.cancel(disposed())
    this.#model.dispose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  #assertUsable(signal: AbortSignal | undefined): void {
    if (this.#disposed) throw disposed()
    signal?.throwIfAborted()
  }

  async #score(traces: readonly CheckedTrace[], options: ScoreOptions): Promise<ScoredTrace[]> {
    const { aggregate: by = this.facts.aggregate, signal, onProgress } = options
    if (!aggregates.includes(by)) {
      invalidArgument('aggregate', `must be one of ${aggregates.join(', ')}, got ${String(by)}`, by)
    }
    const jobs = traces.map(trace => submit(this.#model, trace))
    const cancel = (reason: unknown): void => {
      for (const job of jobs) job.cancel(reason)
    }
    const abort = (): void => cancel(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    let [done, tokens] = [0, 0]
    const result = async (job: Job, trace: CheckedTrace): Promise<ScoredTrace> => {
      this.#underWay.add(job)
      const outcome = await job.outcome.finally(() => this.#underWay.delete(job))
      tokens += outcome.tokens
      onProgress?.({ done: ++done, total: jobs.length, tokens })
      return this.#scoredTrace(trace, outcome.scores, outcome.tokens, by)
    }
    try {
      return await Promise.all(jobs.map((job, index) => result(job, traces[index]!)))
    } catch (error) {
      cancel(error)
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  #scoredTrace(trace: CheckedTrace, scores: readonly number[], tokens: number, by: Aggregate): ScoredTrace {
    if (scores.length !== trace.steps.length) {
      throw new SurefootError('ERR_INTERNAL', `${scores.length} scores for ${trace.steps.length} steps`)
    }
    return {
      steps: trace.steps.map((text, index) => ({ text, score: scores[index]! })),
      semantics: this.facts.semantics,
      aggregate: aggregate(scores, by),
      tokens,
    }
  }
}

function isMany(input: Trace | readonly Trace[]): input is readonly Trace[] {
  return Array.isArray(input)
}

function disposed(): SurefootError {
  return new SurefootError('ERR_DISPOSED', 'the PRM was disposed; load it again')
}

/** The promise's value, or a rejection with the signal's reason as soon as it aborts; `late` sees a value too late. */
async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  late: (value: T) => void,
): Promise<T> {
  if (!signal) return promise
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason)
      promise.then(late, () => {})
    }
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
