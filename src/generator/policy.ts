import { onAbort } from '../abort.ts'
import { type Job, newCaller, submitTexts } from '../engine.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import { type ComputeOptions, type Counters, loadNative, standsFor } from '../model.ts'
import { type Model, native, type Text } from '../native.ts'
import { embeddedPolicy } from '../resolve.ts'
import {
  type Capabilities,
  type CheckedRequest,
  checkRequest,
  type Ended,
  type Generator,
  type Sample,
  type SampleOptions,
  type SampleRequest,
} from './generator.ts'

export interface PolicyOptions extends ComputeOptions {
  /** The folder of a LoRA adapter, to go on top of the model. */
  readonly adapter?: string
  /**
   * `chat`: problems are put through the checkpoint's chat template. `plain`: as text: system text and a blank line, problem
   * and a line break, prefix; what is empty is left out. @default 'chat' where the checkpoint has a template
   */
  readonly prompt?: 'chat' | 'plain'
  /** The text that ends a step. @default surefoot.json's in the model's folder, else a blank line */
  readonly separator?: string
}

/** What was recognised in a checkpoint. */
export interface PolicyFacts {
  readonly family: string
  readonly architectures: readonly string[]
  /** `org/name` where the folder's path shows it; null elsewhere. */
  readonly hubId: string | null
  readonly parameters: number
  /** Of the stored weights; several are joined by `+`. */
  readonly dtype: string
  readonly device: string
  /** The instruction set that our own kernels compute with; null where they do not. */
  readonly isa: string | null
  readonly precision: 'exact' | 'fast'
  /** The most tokens of a problem and its answer together. */
  readonly context: number
  /** How many tokens there are to choose from. */
  readonly vocabulary: number
  readonly prompt: 'chat' | 'plain'
  readonly separator: string
  /** The tokens that end an answer. */
  readonly stopIds: readonly number[]
}

/**
 * A language model that writes answers, or the next step of one, in this process.
 *
 * Calls may overlap: all texts of a thread are batched together, those that begin alike share what is computed, and a text
 * depends on its request and seed alone: not on its company, the number of threads or the order of arrival.
 */
export class Policy implements Generator, AsyncDisposable {
  readonly id: string
  readonly capabilities: Capabilities = Object.freeze({
    prefill: true,
    n: true,
    stopReason: true,
    logprobs: true,
    seed: true,
  })
  /** What was recognised in the checkpoint. */
  readonly facts: PolicyFacts
  readonly separator: string
  readonly #model: Model
  readonly #underWay = new Set<Pick<Job<unknown>, 'cancel'>>()
  #disposed = false

  private constructor(model: Model, ref: string) {
    this.facts = Object.freeze(JSON.parse(model.facts))
    this.separator = this.facts.separator
    this.id = `native:${this.facts.hubId ?? ref}`
    this.#model = model
    standsFor(this, { model, underWay: this.#underWay })
  }

  /**
   * Loads a policy. Threads that load the same one share its weights.
   *
   * @param ref a folder, a GGUF file or a hub id, as for {@link PRM.load}; or nothing: the small model that comes with the
   *   package
   * @throws as {@link PRM.load}; `ERR_MODEL_UNSUPPORTED` also for a reward model, which has nothing to write with
   */
  static async load(ref?: string, options: PolicyOptions = {}): Promise<Policy> {
    const { adapter, prompt, separator } = options
    if (adapter !== undefined && (typeof adapter !== 'string' || adapter === '')) {
      invalidArgument('adapter', 'must be a path', adapter)
    }
    if (prompt !== undefined && prompt !== 'chat' && prompt !== 'plain') {
      invalidArgument('prompt', "must be 'chat' or 'plain'", prompt)
    }
    if (separator !== undefined && (typeof separator !== 'string' || separator === '' || !separator.isWellFormed())) {
      invalidArgument('separator', 'must be a well-formed text of at least one character', separator)
    }
    const choice = JSON.stringify({ prompt, separator })
    const model = await loadNative(ref === undefined ? embeddedPolicy : ref, options, (folder, device, compute) =>
      native().loadPolicy(folder, device, choice, adapter, compute),
    )
    return new Policy(model, ref ?? 'tiny-policy')
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
   * Writes `n` samples. The same request and seed give the same texts.
   *
   * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_CACHE_BUDGET`, `ERR_NOT_FINITE`, `ERR_TEMPLATE`,
   *   `ERR_DISPOSED`; the signal's reason
   */
  async sample(request: SampleRequest, { signal, onText }: SampleOptions = {}): Promise<Sample[]> {
    this.#assertUsable(signal)
    const checked = checkRequest(request, this.facts.separator)
    const job = submitTexts(this.#model, newCaller(), toNative(checked), onText)
    const release = onAbort(signal, reason => job.cancel(reason))
    this.#underWay.add(job)
    try {
      return (await job.outcome).map(text => sampleOf(text, checked))
    } finally {
      this.#underWay.delete(job)
      release()
    }
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
}

/**
 * A request as the engine takes it.
 *
 * @throws `ERR_INVALID_ARGUMENT`
 */
export function nativeRequest(request: SampleRequest, separator: string): object {
  return toNative(checkRequest(request, separator))
}

function toNative({ until, bans = [], ...request }: CheckedRequest): object {
  const { temperature, topK, topP, minP, repetitionPenalty, seed = 1, ...rest } = request
  return {
    ...rest,
    seed,
    step: until === 'step',
    settings: { temperature, topK, topP, minP, repetitionPenalty, banned: bans.filter(ban => typeof ban === 'number') },
    bannedTexts: bans.filter(ban => typeof ban === 'string'),
  }
}

function sampleOf({ text, ended, stop, promptTokens, ids, logprobs }: Text, request: CheckedRequest): Sample {
  return {
    text,
    ended: ended as Ended,
    ...(stop === undefined ? {} : { stop }),
    promptTokens,
    tokens: ids.length,
    ...(request.logprobs ? { logprobs } : {}),
    ids,
  }
}

function disposed(): SurefootError {
  return new SurefootError('ERR_DISPOSED', 'the policy was disposed; load it again')
}
