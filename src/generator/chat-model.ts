import { onAbort } from '../abort.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import { CONCURRENCY, Draft, Places, refuse, type Said, sampleByCalls, sampleOf } from './calls.ts'
import {
  type CheckedRequest,
  checkRequest,
  type Ended,
  type Generator,
  requireCapabilities,
  type Sample,
  type SampleOptions,
  type SampleRequest,
} from './generator.ts'

/** A chat model of LangChain: as much of a `BaseChatModel` as is used. Models with bound options are as good. */
export interface ChatModel {
  invoke(messages: ChatMessage[], options?: { signal?: AbortSignal; stop?: string[] }): Promise<unknown>
  stream?(messages: ChatMessage[], options?: { signal?: AbortSignal }): Promise<AsyncIterable<unknown>>
}

/** A message as LangChain takes one instead of an object of its own. */
export type ChatMessage = { role: 'system' | 'user' | 'assistant'; content: string }

export interface ChatModelOptions {
  /** @default the model's class, and its name where it has one */
  readonly id?: string
  /** What ends a step unless a request says otherwise. @default a blank line */
  readonly separator?: string
  /** Calls under way at the same time. @default 8 */
  readonly concurrency?: number
  /**
   * Set it where you know that the model continues an assistant message at the end of the prompt: most begin a new
   * answer, and there is no asking them.
   *
   * @default false
   */
  readonly prefill?: boolean
}

/** What LangChain takes when a model is made, not with a call. */
const BOUND = [
  'maxTokens',
  'temperature',
  'topK',
  'topP',
  'minP',
  'repetitionPenalty',
  'bans',
  'seed',
  'logprobs',
] as const

/** How providers say why an answer ended, in the order in which they are asked. */
const REASONS = ['normalized_finish_reason', 'finish_reason', 'stop_reason', 'done_reason', 'finishReason']

const ENDED: Readonly<Record<string, Ended>> = {
  stop: 'answer',
  end_turn: 'answer',
  eos: 'answer',
  complete: 'answer',
  completed: 'answer',
  length: 'length',
  max_tokens: 'length',
  model_length: 'length',
  context_exceeded: 'length',
  model_context_window_exceeded: 'length',
}

/** Ends that leave no whole answer. */
const BROKEN =
  /^(content[_-]?filter(ed)?|refusal|safety|recitation|blocklist|prohibited_content|error|tool[_-]?(calls?|use)|function_call)$/

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
export function fromChatModel(model: ChatModel, options: ChatModelOptions = {}): Generator {
  if (typeof model?.invoke !== 'function') {
    invalidArgument('model', 'must be a chat model of LangChain, an object with invoke', model)
  }
  const { id = idOf(model), separator = '\n\n', concurrency = CONCURRENCY, prefill = false } = options
  const places = new Places(concurrency)
  const capabilities = {
    prefill,
    n: false,
    stopReason: typeof model.stream === 'function',
    logprobs: false,
    seed: false,
  }
  return {
    id,
    separator,
    capabilities,
    async sample(request: SampleRequest, sampling: SampleOptions = {}): Promise<Sample[]> {
      const checked = checkRequest(request, separator)
      if (checked.prefix !== '') requireCapabilities({ id, capabilities }, ['prefill'], 'a prefix')
      refuse(id, request, BOUND, 'a model that is made with it, and leave it out of the request')
      return sampleByCalls(checked, sampling, places, async (_index, signal, hear) => {
        const draft = new Draft(checked, hear)
        const said = await write(id, model, checked, draft, signal, sampling.onText !== undefined)
        return sampleOf(draft, checked, said)
      })
    },
  }
}

async function write(
  id: string,
  model: ChatModel,
  { problem, system, prefix, stop, until, separator }: CheckedRequest,
  draft: Draft,
  signal: AbortSignal,
  streams: boolean,
): Promise<Said> {
  const messages: ChatMessage[] = [
    ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
    { role: 'user', content: problem },
    ...(prefix === '' ? [] : [{ role: 'assistant' as const, content: prefix }]),
  ]
  const ask = async <T>(question: () => Promise<T>): Promise<T> => {
    try {
      return await question()
    } catch (error) {
      signal.throwIfAborted()
      throw failed(id, String((error as Error | null)?.message ?? error).slice(0, 500), error)
    }
  }
  const cuts = until === 'step' || stop.length > 0
  const answer = new Answer(id)
  if (typeof model.stream === 'function' && (cuts || streams)) {
    const enough = new AbortController()
    const options = { signal: AbortSignal.any([signal, enough.signal]) }
    const chunks = (await ask(() => model.stream!(messages, options)))[Symbol.asyncIterator]()
    const close = (): void => void Promise.resolve(chunks.return?.()).catch(() => {})
    const release = onAbort(signal, close)
    try {
      for (;;) {
        const { done, value } = await ask(() => chunks.next())
        signal.throwIfAborted()
        if (done) break
        if (draft.push(answer.take(value))) return { ended: null }
      }
      draft.close()
      return answer.said()
    } finally {
      release()
      enough.abort(new DOMException('the sample is complete', 'AbortError'))
      close()
    }
  }
  const stops = until === 'step' ? [...stop, separator] : [...stop]
  const message = await ask(() => model.invoke(messages, { signal, ...(stops.length > 0 && { stop: stops }) }))
  draft.push(answer.take(message))
  draft.close()
  const said = answer.said()
  return cuts && said.ended === 'answer' ? { ...said, ended: null } : said
}

/** What a message, or the chunks of one, say besides the text. */
class Answer {
  readonly #id: string
  #reason: string | undefined
  #promptTokens: number | undefined
  #tokens: number | undefined

  constructor(id: string) {
    this.#id = id
  }

  /** Takes a message or a chunk of one and returns its text. */
  take(message: unknown): string {
    const { content, usage_metadata, response_metadata, additional_kwargs } = (message ?? {}) as Record<
      string,
      Readonly<Record<string, unknown>> | undefined
    >
    const said = { ...additional_kwargs, ...response_metadata }
    const reason = REASONS.map(name => said[name]).find(value => typeof value === 'string' && value !== '')
    if (reason !== undefined) this.#reason = String(reason).toLowerCase()
    this.#promptTokens = sum(this.#promptTokens, usage_metadata?.input_tokens)
    this.#tokens = sum(this.#tokens, usage_metadata?.output_tokens)
    return textOf(this.#id, content)
  }

  said(): Said {
    const reason = this.#reason
    if (reason !== undefined && BROKEN.test(reason)) {
      throw failed(this.#id, `the answer is not whole, it ended by ${reason}`)
    }
    return { ended: ENDED[reason ?? ''] ?? null, promptTokens: this.#promptTokens, tokens: this.#tokens }
  }
}

/** The chunks of a message carry parts of the usage, as LangChain adds them up. */
function sum(before: number | undefined, tokens: unknown): number | undefined {
  return typeof tokens === 'number' && tokens >= 0 ? (before ?? 0) + tokens : before
}

/** A string, or parts of which the texts are the answer; reasoning is none of it. */
function textOf(id: string, content: unknown): string {
  if (typeof content === 'string') return content
  const texts = Array.isArray(content)
    ? content
        .filter(part => typeof part === 'string' || part?.type === 'text' || part?.type === 'text_delta')
        .map(part => (typeof part === 'string' ? part : part.text))
    : [null]
  if (texts.every(text => typeof text === 'string')) return texts.join('')
  throw failed(id, 'its message holds no text')
}

function failed(id: string, why: string, cause?: unknown): SurefootError {
  return SurefootError.isInstance(cause)
    ? cause
    : new SurefootError('ERR_HTTP', `${id} failed: ${why}`, {
        data: { generator: id },
        ...(cause !== undefined && { cause }),
      })
}

/** `ChatOpenAI/gpt-5`; of a model with bound options, that of the model. */
function idOf(model: ChatModel): string {
  const { bound = model } = model as { bound?: ChatModel }
  const {
    getName,
    model: name,
    modelName = name,
  } = bound as {
    getName?: () => unknown
    model?: unknown
    modelName?: unknown
  }
  const kind = typeof getName === 'function' ? String(getName.call(bound)) : 'chat model'
  return typeof modelName === 'string' ? `${kind}/${modelName}` : kind
}
