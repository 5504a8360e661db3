import { onAbort, unlessAborted } from './abort.ts'
import { type Aggregate, aggregate, aggregates } from './aggregate.ts'
import { type Job, newCaller, type Outcome, submit } from './engine.ts'
import { invalidArgument, SurefootError } from './errors.ts'
import { type ComputeOptions, type Counters, loadNative, standsFor } from './model.ts'
import { type Model, native, nativeError } from './native.ts'
import { inOrder } from './ordered.ts'
import { type CheckedTrace, checkPrompt, checkTrace, type Trace } from './problem.ts'
import type { Profile, ProfileChoice, Separator } from './profile.ts'
import { type Candidate, type Ranked, rank, toTraces } from './rerank.ts'
import { embeddedPrm } from './resolve.ts'
import type { ScoredTrace, Semantics } from './scorer.ts'
import { type Grower, openSession, type Session } from './session.ts'
import { type WatchedStep, watch } from './watch.ts'

export interface LoadOptions extends ComputeOptions {
  /** A safetensors file with the head's tensors, or the folder of a LoRA adapter, to go on top of the model. */
  readonly head?: string
  /** The name of the profile to use, or changes to the one that is recognised. */
  readonly profile?: string | ProfileChoice
}

/** What was recognised in a checkpoint, and from which evidence. */
export interface ModelFacts {
  readonly family: string
  readonly architectures: readonly string[]
  /** `org/name` where the folder's path shows it; null elsewhere. */
  readonly hubId: string | null
  /** The kind of head: `mlp2`, `mlp1`, `linear2`, `linear1`, `vhead`, `linear3`, `lm-candidates`. */
  readonly head: string
  /** The profile's name. */
  readonly profile: string
  /** The tensor that gave the head away, its shape, and by what the profile was recognised. */
  readonly evidence: string
  /** Where the profile's recipe is written down. */
  readonly source: string
  /** How the labels of the training were made. */
  readonly labels: Profile['labels']
  /** Of the backbone and the head. */
  readonly parameters: number
  /** Of the stored weights; several are joined by `+`. */
  readonly dtype: string
  readonly device: string
  /** The instruction set that our own kernels compute with; null where they do not. */
  readonly isa: string | null
  readonly precision: 'exact' | 'fast'
  /** The longest trace, in tokens. */
  readonly context: number
  readonly semantics: Semantics
  /** A score below it marks a weak step; null where the profile has none. */
  readonly threshold: number | null
  /** Where solutions are split into steps; null: an outcome model, which scores a solution as a whole. */
  readonly split: string | null
  /** What follows every step in the prompt, and its token ids. */
  readonly separator: Separator
  readonly separatorIds: readonly number[]
  /** How step scores become one number by default. */
  readonly aggregate: Aggregate
}

export interface ScoreOptions {
  /** @default the profile's */
  readonly aggregate?: Aggregate
  /**
   * What becomes of a trace with more tokens than the context: an error, or the loss of its first tokens, which
   * `truncated` reports. A trace of which a score would be lost is an error either way. @default 'error'
   */
  readonly onOverflow?: 'error' | 'truncate-left'
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

export interface SessionOptions extends Omit<ScoreOptions, 'signal' | 'onProgress'> {
  /** Replaces the profile's system text. */
  readonly system?: string
}

export interface WatchOptions extends SessionOptions {
  readonly signal?: AbortSignal
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
  readonly #underWay = new Set<Pick<Job<unknown>, 'cancel'>>()
  #disposed = false

  private constructor(model: Model) {
    const { profile, ...facts } = JSON.parse(model.facts)
    const { name, head, source, labels, semantics, threshold, split, separator, aggregate } = profile
    const read = { head, profile: name, source, labels, semantics, threshold, split, separator, aggregate }
    this.facts = Object.freeze({ ...facts, ...read })
    this.#model = model
    standsFor(this, { model, underWay: this.#underWay })
  }

  /**
   * What the model has computed and keeps so far.
   *
   * @throws `ERR_DISPOSED`
   */
  get counters(): Counters {
    this.#assertUsable(undefined)
    return Object.freeze({ ...this.#model.counters()! })
  }

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
  static async load(ref?: string, options: LoadOptions = {}): Promise<PRM> {
    const { profile = {}, head } = options
    if (head !== undefined && (typeof head !== 'string' || head === '')) invalidArgument('head', 'must be a path', head)
    const choice = JSON.stringify(profileChoice(profile))
    const model = await loadNative(ref === undefined ? embeddedPrm : ref, options, (folder, device, compute) =>
      native().loadModel(folder, device, choice, head, compute),
    )
    return new PRM(model)
  }

  /**
   * Scores every step of one trace, or of several.
   *
   * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_CACHE_BUDGET`, `ERR_NOT_FINITE`, `ERR_DISPOSED`; the
   *   signal's reason
   */
  score(trace: Trace, options?: ScoreOptions): Promise<ScoredTrace>
  score(traces: readonly Trace[], options?: ScoreOptions): Promise<ScoredTrace[]>
  async score(input: Trace | readonly Trace[], options: ScoreOptions = {}): Promise<ScoredTrace | ScoredTrace[]> {
    this.#assertUsable(options.signal)
    const check = (trace: Trace): CheckedTrace => checkTrace(trace, this.facts.split)
    const caller = newCaller()
    return isMany(input)
      ? this.#score(caller, input.map(check), options)
      : this.#scoreOne(caller, check(input), options)
  }

  /**
   * The token ids that a trace is scored from, without scoring it: what a score will cost.
   *
   * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_TOKENIZER`, `ERR_TEMPLATE`, `ERR_DISPOSED`
   */
  encode(trace: Trace): readonly number[] {
    this.#assertUsable(undefined)
    const { problem, steps, system } = checkTrace(trace, this.facts.split)
    const { ids, failure } = this.#model.encode(problem, steps, system)
    if (failure) throw nativeError(failure)
    return ids!
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
    const caller = newCaller()
    const stop = new AbortController()
    signal?.throwIfAborted()
    const release = onAbort(signal, reason => stop.abort(reason))
    let [done, tokens] = [0, 0]
    try {
      const score = async (trace: Trace): Promise<ScoredTrace> => {
        this.#assertUsable(stop.signal)
        return this.#scoreOne(caller, checkTrace(trace, this.facts.split), { ...rest, signal: stop.signal })
      }
      for await (const scored of inOrder(traces, width, score, reason => stop.abort(reason))) {
        done += 1
        tokens += scored.tokens
        onProgress?.({ done, tokens })
        yield scored
      }
    } finally {
      release()
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
    const scored = await this.#score(newCaller(), traces, rest)
    return rank(traces, scored, this.facts.threshold).slice(0, topN)
  }

  /**
   * A solution that grows: append steps, branch, and read the scores, for a search of your own.
   *
   * @throws `ERR_INVALID_ARGUMENT`, also for an outcome model, which scores no steps; `ERR_DISPOSED`
   */
  session(problem: string, options: SessionOptions = {}): Session {
    return openSession(this.#grower(problem, options))
  }

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
  async *watch(
    problem: string,
    source: AsyncIterable<string>,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchedStep, void, undefined> {
    const { signal, ...rest } = options
    const grower = this.#grower(problem, rest)
    yield* watch(grower, source, { split: this.facts.split!, threshold: this.facts.threshold, signal })
  }

  /** Gives the model's memory back and rejects what is under way with `ERR_DISPOSED`. May be called twice. */
  async dispose(): Promise<void> {
    if (this.#disposed) return
    this.#disposed = true
    standsFor(this, null)
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

  #grower(problem: string, options: SessionOptions): Grower {
    this.#assertUsable(undefined)
    const { split } = this.facts
    if (split === null) {
      invalidArgument('session', 'an outcome model scores whole solutions, not steps; use score or rerank')
    }
    const { system, ...rest } = options
    this.#checkOptions(rest)
    const prompt = { problem, ...(system === undefined ? {} : { system }) }
    checkPrompt(problem, system)
    const caller = newCaller()
    return {
      assertUsable: () => this.#assertUsable(undefined),
      check: added => checkTrace({ ...prompt, ...added }, split).steps,
      score: async (steps, before, signal) => {
        this.#assertUsable(signal)
        await unlessAborted(before, signal)
        this.#assertUsable(signal)
        return this.#scoreOne(caller, { problem, steps: [...steps], system }, { ...rest, ...(signal && { signal }) })
      },
    }
  }

  #checkOptions({ aggregate: by = this.facts.aggregate, onOverflow = 'error' }: ScoreOptions): void {
    if (!aggregates.includes(by)) {
      invalidArgument('aggregate', `must be one of ${aggregates.join(', ')}, got ${String(by)}`, by)
    }
    if (onOverflow !== 'error' && onOverflow !== 'truncate-left') {
      invalidArgument('onOverflow', "must be 'error' or 'truncate-left'", onOverflow)
    }
  }

  async #scoreOne(caller: number, trace: CheckedTrace, options: ScoreOptions): Promise<ScoredTrace> {
    const [scored] = await this.#score(caller, [trace], options)
    return scored!
  }

  /** The results of the traces that are not null, in order. */
  async #score(caller: number, given: readonly (CheckedTrace | null)[], options: ScoreOptions): Promise<ScoredTrace[]> {
    this.#checkOptions(options)
    const { aggregate: by = this.facts.aggregate, onOverflow, signal, onProgress } = options
    const traces = given.flatMap((trace, index) => (trace === null ? [] : [{ trace, index }]))
    const jobs = traces.map(({ trace }) => submit(this.#model, caller, trace, onOverflow === 'truncate-left'))
    const cancel = (reason: unknown): void => {
      for (const job of jobs) job.cancel(reason)
    }
    const release = onAbort(signal, cancel)
    let [done, tokens] = [0, 0]
    const result = async (job: Job<Outcome>, trace: CheckedTrace, index: number): Promise<ScoredTrace> => {
      this.#underWay.add(job)
      const outcome = await job.outcome
        .finally(() => this.#underWay.delete(job))
        .catch(error => {
          throw given.length > 1 ? ofCandidate(error, index) : error
        })
      tokens += outcome.tokens
      onProgress?.({ done: ++done, total: jobs.length, tokens })
      return this.#scoredTrace(trace, outcome, by)
    }
    try {
      return await Promise.all(jobs.map((job, at) => result(job, traces[at]!.trace, traces[at]!.index)))
    } catch (error) {
      cancel(error)
      throw error
    } finally {
      release()
    }
  }

  #scoredTrace(trace: CheckedTrace, { scores, tokens, truncated }: Outcome, by: Aggregate): ScoredTrace {
    if (scores.length !== trace.steps.length) {
      throw new SurefootError('ERR_INTERNAL', `${scores.length} scores for ${trace.steps.length} steps`)
    }
    return {
      steps: trace.steps.map((text, index) => ({ text, score: scores[index]! })),
      semantics: this.facts.semantics,
      aggregate: aggregate(scores, by),
      tokens,
      ...(truncated > 0 ? { truncated } : {}),
    }
  }
}

function isMany(input: Trace | readonly Trace[]): input is readonly Trace[] {
  return Array.isArray(input)
}

function profileChoice(profile: unknown): object {
  if (typeof profile === 'string') return { name: profile }
  if (typeof profile === 'object' && profile !== null && !Array.isArray(profile)) return profile
  return invalidArgument('profile', 'must be a name or an object', profile)
}

/** The error of one trace among several, which names it. */
function ofCandidate(error: unknown, index: number): unknown {
  if (!SurefootError.isInstance(error) || !['ERR_CONTEXT_OVERFLOW', 'ERR_NOT_FINITE'].includes(error.code)) return error
  return new SurefootError(error.code, `candidate ${index}: ${error.message}`, {
    data: { ...error.data, candidate: index },
    cause: error,
  })
}

function disposed(): SurefootError {
  return new SurefootError('ERR_DISPOSED', 'the PRM was disposed; load it again')
}
