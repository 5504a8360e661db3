import { invalidArgument, SurefootError } from '../errors.ts'
import { checkPrompt } from '../problem.ts'

/** A policy: what writes answers, or the next step of one. */
export interface Generator {
  /** For reports and journals: the model's name and where it runs, never a key. */
  readonly id: string
  /** What ends a step, unless a request says otherwise. @default a blank line */
  readonly separator?: string
  /** What it can do. Of a server whose dialect is to be detected: as of now, and for good after {@link Generator.ready}. */
  readonly capabilities: Capabilities
  /** Finds out what the capabilities are, where that takes asking. */
  ready?(options?: { readonly signal?: AbortSignal }): Promise<void>
  /**
   * Writes `n` samples, in order.
   *
   * @throws `ERR_CAPABILITY` for what it cannot do; `ERR_INVALID_ARGUMENT`; the signal's reason
   */
  sample(request: SampleRequest, options?: SampleOptions): Promise<Sample[]>
}

export interface Capabilities {
  /** Goes on with an answer that is begun (`prefix`), as beam and tree search need it. */
  readonly prefill: boolean
  /** Writes the `n` samples of a request in one go, for one reading of the prompt. Without it they are `n` calls. */
  readonly n: boolean
  /** Tells whether a step or the whole answer ended. */
  readonly stopReason: boolean
  readonly logprobs: boolean
  /** The same seed gives the same text. */
  readonly seed: boolean
}

export interface SampleRequest {
  readonly problem: string
  readonly system?: string
  /** What the answer begins with; it is not repeated in the samples. Needs the capability `prefill`. @default '' */
  readonly prefix?: string
  /** @default 1 */
  readonly n?: number
  /** Write to the end of the answer, or of a step. @default 'answer' */
  readonly until?: 'answer' | 'step'
  /** The text that ends a step. @default the generator's, mostly a blank line */
  readonly separator?: string
  /** Texts that end a sample; they are not part of it. */
  readonly stop?: readonly string[]
  /** @default 2048 */
  readonly maxTokens?: number
  /** 0: always the likeliest token. @default 0.7 */
  readonly temperature?: number
  /** Only among the so many likeliest tokens. @default all */
  readonly topK?: number
  /** Only among the likeliest tokens that together have this probability. @default 1 */
  readonly topP?: number
  /** Only among tokens with at least this part of the likeliest one's probability. @default 0 */
  readonly minP?: number
  /** Divides the logits of tokens that occurred, in the prompt too (Keskar et al. 2019). @default 1 */
  readonly repetitionPenalty?: number
  /** Token ids, and texts that shall not be written. */
  readonly bans?: readonly (number | string)[]
  /** Of every draw. @default 1 where the generator is native; elsewhere the server's own */
  readonly seed?: number
  /** Sets apart requests that are alike but shall give other samples. @default '' */
  readonly path?: string
  /** Whether the samples carry `logprobs`. @default false */
  readonly logprobs?: boolean
}

export interface SampleOptions {
  readonly signal?: AbortSignal
  /** Hears the text of sample `index` as it is written, in whole characters; where a generator does not stream, at its end. */
  readonly onText?: (text: string, index: number) => void
}

/**
 * `answer`: the model ended its answer. `step`: the separator came, and the answer goes on. `stop`: a stop text came.
 * `length`: no token was left, of `maxTokens` or of the context.
 */
export type Ended = 'answer' | 'step' | 'stop' | 'length'

export interface Sample {
  /** What follows the prefix, without the text that ended it: after a `step` the next prefix is prefix + text + separator. */
  readonly text: string
  /** null: the answer or a stop text ended it, and the generator cannot tell which. */
  readonly ended: Ended | null
  /** The stop text that came. */
  readonly stop?: string
  /** Tokens of all that stands before the text. */
  readonly promptTokens: number
  /** Tokens that were written, those of the end among them. */
  readonly tokens: number
  /** The numbers of tokens are guesses by the length of the text, or shares of a sum that is right. */
  readonly estimated?: true
  /** Natural logarithm of each written token's probability under the model: at temperature 1, before anything is left out. */
  readonly logprobs?: readonly number[]
  /** The written tokens, where the generator is native. */
  readonly ids?: readonly number[]
}

/** A request whose every value is sound; what has a default is filled in. */
export type CheckedRequest = Omit<SampleRequest, 'prefix' | 'n' | 'until' | 'stop' | 'maxTokens' | 'temperature'> &
  Required<Pick<SampleRequest, 'prefix' | 'n' | 'until' | 'stop' | 'maxTokens' | 'temperature'>> & {
    readonly separator: string
  }

/** The largest number that a model can compute with. */
const MOST = 3.4e38

/** Samples of a request at most: more is a slip. */
const MOST_SAMPLES = 100_000

/** @param separator what ends a step unless the request says otherwise */
export function checkRequest(request: SampleRequest, separator = '\n\n'): CheckedRequest {
  if (typeof request !== 'object' || request === null) invalidArgument('request', 'must be an object', request)
  checkPrompt(request.problem, request.system)
  const checked = {
    separator,
    prefix: '',
    n: 1,
    until: 'answer',
    stop: [],
    maxTokens: 2048,
    temperature: 0.7,
    ...defined(request),
  } as CheckedRequest
  text('prefix', checked.prefix)
  text('separator', checked.separator, 1)
  if (checked.path !== undefined) text('path', checked.path)
  if (!Array.isArray(checked.stop)) invalidArgument('stop', 'must be an array of texts', checked.stop)
  for (const [index, stop] of checked.stop.entries()) text(`stop[${index}]`, stop, 1)
  if (checked.until !== 'answer' && checked.until !== 'step') {
    invalidArgument('until', "must be 'answer' or 'step'", checked.until)
  }
  whole('n', checked.n, 1, MOST_SAMPLES)
  whole('maxTokens', checked.maxTokens, 1)
  range('temperature', checked.temperature, 0, MOST)
  if (checked.topK !== undefined) whole('topK', checked.topK, 1)
  if (checked.topP !== undefined) range('topP', checked.topP, Number.MIN_VALUE, 1)
  if (checked.minP !== undefined) range('minP', checked.minP, 0, 1)
  if (checked.repetitionPenalty !== undefined) {
    range('repetitionPenalty', checked.repetitionPenalty, Number.MIN_VALUE, MOST)
  }
  if (checked.seed !== undefined) whole('seed', checked.seed, 0)
  if (checked.logprobs !== undefined && typeof checked.logprobs !== 'boolean') {
    invalidArgument('logprobs', 'must be true or false', checked.logprobs)
  }
  if (checked.bans !== undefined && !Array.isArray(checked.bans)) {
    invalidArgument('bans', 'must be an array of token ids and texts', checked.bans)
  }
  for (const [index, ban] of (checked.bans ?? []).entries()) {
    if (typeof ban === 'number') whole(`bans[${index}]`, ban, 0)
    else text(`bans[${index}]`, ban, 1)
  }
  return checked
}

/** What the strategies need, and which do without. */
const INSTEAD: Readonly<Record<keyof Capabilities, string>> = {
  prefill:
    'best-of-n or majority, which sample whole answers, or a server that continues a message (vLLM, SGLang, llama.cpp)',
  stopReason: 'best-of-n or majority, which sample whole answers, or a native policy',
  n: 'n requests of one sample each',
  logprobs: 'a strategy that needs none, such as best-of-n, or a native policy',
  seed: 'a journal to replay from, or a native policy',
}

/**
 * @param what who needs them, such as the name of a strategy
 * @throws `ERR_CAPABILITY` that says what to use instead
 */
export function requireCapabilities(
  generator: Pick<Generator, 'id' | 'capabilities'>,
  needed: readonly (keyof Capabilities)[],
  what: string,
): void {
  const missing = needed.find(name => !generator.capabilities[name])
  if (missing === undefined) return
  throw lacking(generator.id, missing, `${what} needs the capability ${missing}`, INSTEAD[missing])
}

/** The error of a generator that lacks something. */
export function lacking(id: string, missing: string, need: string, instead: string): SurefootError {
  return new SurefootError('ERR_CAPABILITY', `${need}, and ${id} has it not; use ${instead}`, {
    data: { generator: id, missing, instead },
  })
}

/** The earliest of some texts in a text, the longest of those at one place. */
export function firstOf(text: string, stops: readonly string[]): { at: number; stop: string } | null {
  let first: { at: number; stop: string } | null = null
  for (const stop of stops) {
    const at = text.indexOf(stop)
    if (at < 0) continue
    if (first === null || at < first.at || (at === first.at && stop.length > first.stop.length)) first = { at, stop }
  }
  return first
}

function defined<T extends object>(given: T): Partial<T> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>
}

function text(name: string, value: unknown, shortest = 0): void {
  if (typeof value !== 'string') invalidArgument(name, 'must be a string', value)
  if (!value.isWellFormed()) invalidArgument(name, 'holds a lone surrogate; repair it with toWellFormed()', value)
  if (value.length < shortest) invalidArgument(name, 'is empty', value)
}

function whole(name: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
    invalidArgument(name, `must be an integer ${range}`, value)
  }
}

function range(name: string, value: unknown, least: number, most: number): void {
  if (typeof value !== 'number' || !(value >= least && value <= most)) {
    const range =
      most === MOST ? `${least === 0 ? 'of at least' : 'above'} 0, and at most ${MOST}` : `from ${least} to ${most}`
    invalidArgument(name, `must be a number ${range === 'from 5e-324 to 1' ? 'above 0 and at most 1' : range}`, value)
  }
}
