import { setTimeout as sleep } from 'node:timers/promises'
import { onAbort } from '../abort.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import { CONCURRENCY, Draft, named, Places, refuse, type Said, sampleByCalls, sampleOf, seedOf } from './calls.ts'
import {
  type Capabilities,
  type CheckedRequest,
  checkRequest,
  type Ended,
  type Generator,
  lacking,
  requireCapabilities,
  type Sample,
  type SampleOptions,
  type SampleRequest,
} from './generator.ts'

/** A language model of the AI SDK, of specification V2, V3 or V4: as much of it as is used. */
export interface LanguageModel {
  readonly specificationVersion: string
  readonly provider: string
  readonly modelId: string
  doGenerate(options: LanguageModelCall): PromiseLike<{
    readonly content: readonly unknown[]
    readonly finishReason: unknown
    readonly usage: unknown
    readonly warnings?: readonly unknown[]
  }>
  doStream(options: LanguageModelCall): PromiseLike<{
    readonly stream: {
      getReader(): {
        read(): Promise<{ readonly done: boolean; readonly value?: unknown }>
        cancel(reason?: unknown): Promise<void>
      }
    }
  }>
}

/** Options of the provider, under its name: `{ vllm: { … } }`. */
export type ProviderOptions = { [provider: string]: { [option: string]: JsonValue } }

type JsonValue = null | string | number | boolean | JsonValue[] | { [key: string]: JsonValue }

/** The options of one call. */
export interface LanguageModelCall {
  prompt: (
    | { role: 'system'; content: string }
    | { role: 'user'; content: { type: 'text'; text: string }[] }
    | { role: 'assistant'; content: { type: 'text'; text: string }[] }
  )[]
  maxOutputTokens?: number
  temperature?: number
  stopSequences?: string[]
  topP?: number
  topK?: number
  seed?: number
  abortSignal?: AbortSignal
  providerOptions?: ProviderOptions
}

export interface LanguageModelOptions {
  /** What ends a step unless a request says otherwise. @default a blank line */
  readonly separator?: string
  /** Calls under way at the same time. @default 8 */
  readonly concurrency?: number
  /** How often a call is tried again that failed in passing, as the provider says (`isRetryable`). @default 2 */
  readonly maxRetries?: number
  /**
   * Set it where you know that the provider continues an assistant message at the end of the prompt: most begin a new
   * answer, and there is no asking them. Where they do it on request, give the options that ask for it:
   * `{ vllm: { continue_final_message: true, add_generation_prompt: false } }`.
   *
   * @default false
   */
  readonly prefill?: boolean | ProviderOptions
}

/** What no call of the AI SDK can carry. */
const BEYOND = ['minP', 'repetitionPenalty', 'bans', 'logprobs'] as const

/** Settings by the names that they have in a call, and in a provider's warning that it leaves them out. */
const SETTINGS = [
  ['temperature', 'temperature'],
  ['topK', 'topK'],
  ['topP', 'topP'],
  ['maxTokens', 'maxOutputTokens'],
  ['seed', 'seed'],
] as const

/** Milliseconds before the second attempt, where the provider names none; doubled before each further one. */
const FIRST_WAIT = 2000

/** Milliseconds. A provider that asks for more is an error. */
const LONGEST_WAIT = 60_000

const INSTEAD = 'a native policy or an OpenAI-compatible server, or leave it out'

/**
 * A policy of any model of the AI SDK: `fromLanguageModel(openai('gpt-5'))`.
 *
 * The AI SDK knows no `n`, so n samples are n calls. It does not say which text ended an answer: steps and stop texts are
 * looked for here, in the stream, which is closed when one came; the tokens of such a sample are estimated.
 *
 * @throws `ERR_INVALID_ARGUMENT` for what is no model of specification V2, V3 or V4
 */
export function fromLanguageModel(model: LanguageModel, options: LanguageModelOptions = {}): Generator {
  checkModel(model)
  const { separator = '\n\n', concurrency = CONCURRENCY, maxRetries = 2, prefill = false } = options
  if (!Number.isSafeInteger(maxRetries) || maxRetries < 0) {
    invalidArgument('maxRetries', `must be a whole number, got ${maxRetries}`, maxRetries)
  }
  const places = new Places(concurrency)
  const policy = new LanguageModelPolicy(model, prefill, maxRetries)
  return {
    id: policy.id,
    separator,
    get capabilities(): Capabilities {
      return policy.capabilities
    },
    async sample(request: SampleRequest, sampling: SampleOptions = {}): Promise<Sample[]> {
      const checked = checkRequest(request, separator)
      policy.check(request)
      return sampleByCalls(checked, sampling, places, (index, signal, hear) =>
        policy.write({ checked, request, index, signal, hear, streams: sampling.onText !== undefined }),
      )
    },
  }
}

/** One sample that is to be written. */
interface Order {
  readonly checked: CheckedRequest
  /** As it was given: what it names is more than a default. */
  readonly request: SampleRequest
  readonly index: number
  readonly signal: AbortSignal
  readonly hear: (text: string) => void
  /** Whether anybody listens. */
  readonly streams: boolean
}

class LanguageModelPolicy {
  readonly id: string
  readonly #model: LanguageModel
  readonly #prefill: boolean | ProviderOptions
  readonly #maxRetries: number
  /** Whether the provider takes seeds, as far as is known. */
  #seed = true

  constructor(model: LanguageModel, prefill: boolean | ProviderOptions, maxRetries: number) {
    this.#model = model
    this.#prefill = prefill
    this.#maxRetries = maxRetries
    this.id = `${model.provider}/${model.modelId}`
  }

  get capabilities(): Capabilities {
    return {
      prefill: this.#prefill !== false,
      n: false,
      stopReason: this.#canStream,
      logprobs: false,
      seed: this.#seed,
    }
  }

  get #canStream(): boolean {
    return typeof this.#model.doStream === 'function'
  }

  /** @throws `ERR_CAPABILITY` for what the model is known not to do */
  check(request: SampleRequest): void {
    if (request.prefix) requireCapabilities(this, ['prefill'], 'a prefix')
    refuse(this.id, request, BEYOND, INSTEAD)
  }

  async write(order: Order): Promise<Sample> {
    for (let failures = 1; ; failures++) {
      let heard = false
      const draft = new Draft(order.checked, text => {
        heard = order.streams
        order.hear(text)
      })
      try {
        const said = await this.#attempt(order, draft)
        return sampleOf(draft, order.checked, said)
      } catch (error) {
        order.signal.throwIfAborted()
        if (!(error instanceof ModelFailure)) throw error
        const wait = error.wait ?? FIRST_WAIT * 2 ** (failures - 1)
        // What was heard cannot be taken back.
        if (!error.passing || heard || failures > this.#maxRetries || wait > LONGEST_WAIT) throw error.error
        await sleep(wait, undefined, { signal: order.signal }).catch(() => order.signal.throwIfAborted())
      }
    }
  }

  async #attempt(order: Order, draft: Draft): Promise<Said> {
    const { stop, until } = order.checked
    const cuts = until === 'step' || stop.length > 0
    if (this.#canStream && (cuts || order.streams || typeof this.#model.doGenerate !== 'function')) {
      return this.#stream(order, draft)
    }
    const texts = until === 'step' ? [...stop, order.checked.separator] : [...stop]
    const call = this.#call(order, order.signal)
    const result = await this.#ask(() =>
      this.#model.doGenerate(texts.length > 0 ? { ...call, stopSequences: texts } : call),
    )
    this.#hearWarnings(order.request, result.warnings)
    draft.push(textOf(this.id, result.content))
    draft.close()
    const ended = this.#endedBy(result.finishReason)
    return { ended: cuts && ended === 'answer' ? null : ended, ...tokensOf(result.usage) }
  }

  async #stream(order: Order, draft: Draft): Promise<Said> {
    const stop = new AbortController()
    const signal = AbortSignal.any([order.signal, stop.signal])
    const { stream } = await this.#ask(() => this.#model.doStream(this.#call(order, signal)))
    const reader = stream.getReader()
    const close = (): void => void reader.cancel().catch(() => {})
    const release = onAbort(order.signal, close)
    try {
      for (;;) {
        const { done, value } = await this.#ask(() => reader.read())
        order.signal.throwIfAborted()
        if (done) throw this.#failed('its stream broke off', { passing: true })
        const part = (value ?? {}) as Readonly<Record<string, unknown>>
        if (part.type === 'stream-start') this.#hearWarnings(order.request, part.warnings)
        if (part.type === 'error') throw this.#failure(part.error)
        if (part.type === 'text-delta' && draft.push(textOf(this.id, [{ type: 'text', text: part.delta }]))) {
          return { ended: null }
        }
        if (part.type === 'finish') {
          const ended = this.#endedBy(part.finishReason)
          draft.close()
          return { ended, ...tokensOf(part.usage) }
        }
      }
    } finally {
      release()
      close()
      stop.abort(new DOMException('the sample is complete', 'AbortError'))
    }
  }

  #call({ checked, index }: Order, abortSignal: AbortSignal): LanguageModelCall {
    const { problem, system, prefix, maxTokens, temperature, topK, topP } = checked
    const seed = seedOf(checked, index)
    return {
      prompt: [
        ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
        { role: 'user', content: [{ type: 'text', text: problem }] },
        ...(prefix === '' ? [] : [{ role: 'assistant' as const, content: [{ type: 'text' as const, text: prefix }] }]),
      ],
      maxOutputTokens: maxTokens,
      temperature,
      ...(topK !== undefined && { topK }),
      ...(topP !== undefined && { topP }),
      ...(seed !== undefined && { seed }),
      abortSignal,
      ...(prefix !== '' && typeof this.#prefill === 'object' && { providerOptions: this.#prefill }),
    }
  }

  /** Asks the model; what it throws becomes a {@link ModelFailure}. */
  async #ask<T>(question: () => PromiseLike<T>): Promise<T> {
    try {
      return await question()
    } catch (error) {
      throw SurefootError.isInstance(error) ? error : this.#failure(error)
    }
  }

  #failure(error: unknown): ModelFailure {
    const { message, isRetryable, responseHeaders, statusCode } = (error ?? {}) as Readonly<Record<string, unknown>>
    const wait = waitOf(responseHeaders)
    return this.#failed(String(message ?? error).slice(0, 500), {
      passing: isRetryable === true,
      cause: error,
      ...(wait !== undefined && { wait }),
      ...(typeof statusCode === 'number' && { status: statusCode }),
    })
  }

  #failed(
    why: string,
    more: { passing: boolean; cause?: unknown; wait?: number; status?: number; finishReason?: string },
  ): ModelFailure {
    const { passing, cause, wait, ...data } = more
    const error = new SurefootError('ERR_HTTP', `${this.id} failed: ${why}`, {
      data: { generator: this.id, ...data },
      ...(cause !== undefined && { cause }),
    })
    return new ModelFailure(error, passing, wait)
  }

  /** Null: the provider does not say why. */
  #endedBy(finishReason: unknown): Ended | null {
    const reason =
      typeof finishReason === 'object' && finishReason !== null
        ? (finishReason as { unified?: unknown }).unified
        : finishReason
    if (reason === 'stop') return 'answer'
    if (reason === 'length') return 'length'
    if (reason === undefined || reason === 'other' || reason === 'unknown') return null
    throw this.#failed(`the answer is not whole, it ended by ${reason}`, {
      passing: reason === 'error' || reason === 'interrupted',
      finishReason: String(reason),
    })
  }

  /**
   * A seed that is left out changes no distribution, only a capability. What is warned of may depend on the value, so
   * nothing else is remembered.
   *
   * @throws `ERR_CAPABILITY` for a setting that the request asks for and the provider leaves out or changes
   */
  #hearWarnings(request: SampleRequest, warnings: unknown): void {
    for (const warning of Array.isArray(warnings) ? warnings : []) {
      const { type, setting, feature, details } = (warning ?? {}) as Readonly<Record<string, unknown>>
      if (type !== 'unsupported' && type !== 'unsupported-setting') continue
      const found = SETTINGS.find(([, name]) => name === (feature ?? setting))?.[0]
      if (found === 'seed') this.#seed = false
      else if (found !== undefined && named(request, [found]).length > 0) {
        const why = typeof details === 'string' ? ` (${details.slice(0, 300)})` : ''
        throw lacking(this.id, found, `the request sets ${found}${why}`, INSTEAD)
      }
    }
  }
}

/** A failure of the model. `error` is what the caller is told if no further attempt is made. */
class ModelFailure extends Error {
  readonly error: SurefootError
  /** Whether it may be over in a moment. */
  readonly passing: boolean
  /** Milliseconds, as the provider asks for. */
  readonly wait: number | undefined

  constructor(error: SurefootError, passing: boolean, wait: number | undefined) {
    super(error.message)
    this.error = error
    this.passing = passing
    this.wait = wait
  }
}

function checkModel(model: LanguageModel): void {
  const { specificationVersion, doGenerate, doStream } = (model ?? {}) as Partial<LanguageModel>
  if (typeof doGenerate !== 'function' && typeof doStream !== 'function') {
    invalidArgument('model', 'must be a language model of the AI SDK, an object with doGenerate and doStream', model)
  }
  if (!['v2', 'v3', 'v4'].includes(specificationVersion!)) {
    const known = 'V2, V3 and V4 are known (ai 5, 6 and 7)'
    invalidArgument('model', `is of specification ${specificationVersion}; ${known}; update its provider`, model)
  }
}

/** The answer itself; reasoning and calls of tools are none of it. */
function textOf(id: string, content: unknown): string {
  const texts = Array.isArray(content) ? content.filter(part => part?.type === 'text').map(part => part.text) : [null]
  if (texts.every(text => typeof text === 'string')) return texts.join('')
  throw new SurefootError('ERR_HTTP', `${id} gave content that is no text`, { data: { generator: id } })
}

/** Numbers in V2, `{ total }` since V3. */
function tokensOf(usage: unknown): Pick<Said, 'promptTokens' | 'tokens'> {
  const { inputTokens, outputTokens } = (usage ?? {}) as Readonly<Record<string, unknown>>
  return { promptTokens: countOf(inputTokens), tokens: countOf(outputTokens) }
}

function countOf(tokens: unknown): number | undefined {
  const count = typeof tokens === 'object' && tokens !== null ? (tokens as { total?: unknown }).total : tokens
  return Number.isSafeInteger(count) && (count as number) >= 0 ? (count as number) : undefined
}

/** Milliseconds, from what providers send: `retry-after-ms`, or `retry-after` in seconds or as a date. */
function waitOf(headers: unknown): number | undefined {
  const { 'retry-after-ms': milliseconds, 'retry-after': after } = (headers ?? {}) as Record<string, string | undefined>
  if (milliseconds && Number(milliseconds) >= 0) return Number(milliseconds)
  if (after === undefined) return undefined
  if (Number(after) >= 0) return Number(after) * 1000
  const date = Date.parse(after)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}
