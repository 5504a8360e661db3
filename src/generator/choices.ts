/** The choices of an answer, put together from events or read from one object: where each ends, and what it cost. */
import { Draft, estimateTokens } from './calls.ts'
import type { CheckedRequest, Sample } from './generator.ts'
import type { Answer, Failure } from './http.ts'

/** What the reader has to know of the request. */
export interface Asked {
  /** How many choices; more are dropped. */
  readonly n: number
  readonly request: CheckedRequest
  /** The field that says which of the stop texts came, where the server was told of them. */
  readonly told: 'stop_reason' | 'matched_stop' | null
  /** Whether this server repeats the prefix. null: nobody knows. */
  readonly repeats: boolean | null
  /** What the prompt's tokens are guessed from, where the server does not count them. */
  readonly prompt: string
  /** Hears the text of a choice as it is read. */
  readonly hear: (text: string, index: number) => void
}

/** A prefix this long that comes again is no coincidence. */
const LONG_PREFIX = 8

class Choice {
  readonly draft: Draft
  /** The text as it came, until it is known whether it repeats the prefix. */
  begin = ''
  begun = false
  finish: string | null = null
  /** undefined: the server does not say what stopped it. */
  reason: unknown
  readonly logprobs: number[] = []
  /** Events with text: mostly one for each token. */
  events = 0

  constructor(request: CheckedRequest, hear: (text: string) => void) {
    this.draft = new Draft(request, hear)
  }

  get done(): boolean {
    return this.finish !== null || this.draft.stop !== null
  }
}

export class Choices {
  /** Whether the answer repeats the prefix; null where it does not show. */
  repeats: boolean | null = null
  /** Some choice was stopped, and the server does not say by what. */
  untold = false
  readonly #asked: Asked
  readonly #answer: Answer
  readonly #choices = new Map<number, Choice>()
  #usage: { prompt: number; written: number } | null = null
  /** The server counts as it writes, and only where it writes one choice. */
  #counted: { prompt: number; written: number } | null = null

  constructor(asked: Asked, answer: Answer) {
    this.#asked = asked
    this.#answer = answer
  }

  /** Reads the answer, and no further than the stop texts. */
  async read(): Promise<void> {
    if (!this.#answer.streamed) {
      this.#takeWhole(await this.#answer.json())
    } else {
      for await (const event of this.#answer.events()) {
        this.#take(event)
        if (this.#choices.size === this.#asked.n && this.#some(({ done }) => done) && this.#cutAll()) break
      }
      const unfinished = this.#choices.size === 0 ? !this.#answer.ended : !this.#every(({ done }) => done)
      if (unfinished) {
        throw this.#answer.bad('a stream that ended before its text; check the server and what lies before it', true)
      }
    }
    for (const choice of this.#choices.values()) {
      this.#begin(choice, true)
      choice.draft.close()
    }
  }

  /** The samples by index; those that the server left out are missing. */
  samples(): Map<number, Sample> {
    const found = [...this.#choices].sort(([a], [b]) => a - b)
    const tokens = this.#tokens(found.map(([, choice]) => choice))
    return new Map(
      found.map(([index, choice], at) => {
        const { written, prompt, estimated } = tokens[at]!
        const sample: Sample = {
          text: choice.draft.text,
          ...this.#endOf(choice),
          promptTokens: prompt,
          tokens: written,
          ...(estimated && { estimated }),
          ...(this.#asked.request.logprobs && { logprobs: choice.logprobs }),
        }
        return [index, sample]
      }),
    )
  }

  /** Whether the server left out the logprobs that were asked for. */
  get lacksLogprobs(): boolean {
    return this.#some(({ draft, logprobs }) => draft.text !== '' && logprobs.length === 0)
  }

  #some(test: (choice: Choice) => boolean): boolean {
    return [...this.#choices.values()].some(test)
  }

  #every(test: (choice: Choice) => boolean): boolean {
    return [...this.#choices.values()].every(test)
  }

  /** Nothing that is still to come is wanted, and waiting for it would cost. */
  #cutAll(): boolean {
    return this.#every(({ done }) => done) && this.#some(({ finish }) => finish === null)
  }

  #takeWhole(body: unknown): void {
    const given = this.#choicesIn(body)
    const indexes = given.map(choice => choice.index)
    const sound = new Set(indexes).size === given.length && indexes.every(index => Number.isSafeInteger(index))
    const sorted = sound ? given.toSorted((a, b) => Number(a.index) - Number(b.index)) : given
    for (const [index, choice] of sorted.slice(0, this.#asked.n).entries()) {
      this.#takeChoice(index, choice, choice.message, true)
    }
  }

  #take(event: unknown): void {
    for (const choice of this.#choicesIn(event)) {
      const index = choice.index ?? 0
      if (!Number.isSafeInteger(index)) throw this.#answer.bad('a choice whose index is no number')
      if ((index as number) >= 0 && (index as number) < this.#asked.n) {
        this.#takeChoice(index as number, choice, choice.delta, false)
      }
    }
  }

  /** The choices of an answer or an event, once its usage is noted. */
  #choicesIn(body: unknown): Record<string, unknown>[] {
    if (typeof body !== 'object' || body === null) throw this.#answer.bad('an answer that is no object')
    const { choices, usage, timings, error, object } = body as Record<string, unknown>
    if ((error !== undefined && error !== null) || object === 'error') throw this.#answer.refused(body)
    this.#usage = countsOf(usage, ['prompt_tokens'], ['completion_tokens']) ?? this.#usage
    this.#counted = countsOf(timings, ['prompt_n', 'cache_n'], ['predicted_n']) ?? this.#counted
    if (choices === undefined && this.#answer.streamed) return []
    if (!Array.isArray(choices) || !choices.every(choice => typeof choice === 'object' && choice !== null)) {
      throw this.#answer.bad('an answer without a list of choices; check baseURL and endpoint')
    }
    return choices
  }

  #takeChoice(index: number, given: Record<string, unknown>, message: unknown, whole: boolean): void {
    const { request, hear } = this.#asked
    const choice = this.#choices.get(index) ?? new Choice(request, text => hear(text, index))
    this.#choices.set(index, choice)
    if (choice.draft.stop !== null) return
    const { finish_reason: finish, logprobs } = given
    const { content, reasoning_content, reasoning } = (message ?? {}) as Record<string, unknown>
    const piece = this.#written(message === undefined ? given.text : content)
    if (piece !== '' || isText(reasoning_content) || isText(reasoning)) choice.events++
    if (choice.begun) choice.draft.push(piece)
    else choice.begin += piece
    if (request.logprobs) choice.logprobs.push(...this.#logprobsIn(logprobs))
    if (typeof finish === 'string' && finish !== '') {
      if (/^(abort|error|cancel)/.test(finish)) throw this.#answer.bad(`an answer that ended as '${finish}'`, true)
      choice.finish = finish
      choice.reason = this.#asked.told === null ? undefined : given[this.#asked.told]
    } else if (whole) {
      choice.finish = 'unknown'
    }
    if (!whole) this.#begin(choice, false)
  }

  /** The text of a message: none where the model refused, or only thought. */
  #written(content: unknown): string {
    if (content === null || content === undefined) return ''
    if (typeof content === 'string') return content
    const parts = Array.isArray(content) ? (content as ({ type?: unknown; text?: unknown } | null)[]) : null
    const texts = parts?.filter(part => part?.type === 'text').map(part => part!.text)
    if (texts?.every(text => typeof text === 'string')) return texts.join('')
    throw this.#answer.bad('a text that is no string')
  }

  #logprobsIn(logprobs: unknown): number[] {
    const { content, token_logprobs } = (logprobs ?? {}) as { content?: unknown; token_logprobs?: unknown }
    const list = Array.isArray(content)
      ? content.map((token: { logprob?: unknown } | null) => token?.logprob)
      : (token_logprobs ?? [])
    if (!Array.isArray(list) || !list.every(value => typeof value === 'number' && !Number.isNaN(value))) {
      throw this.#answer.bad('logprobs that are no numbers')
    }
    return list
  }

  /** Begins the text of a choice as soon as it is known where it begins. */
  #begin(choice: Choice, whole: boolean): void {
    if (choice.begun) return
    const repeated = this.#repeated(choice, whole)
    if (repeated === null) return
    choice.begun = true
    choice.draft.push(choice.begin.slice(repeated))
  }

  /**
   * How many characters at the beginning are the prefix again: only where it is there letter for letter, and the server
   * is known for it, or the prefix is long, or every choice begins with it and the server is not known to do without.
   */
  #repeated(choice: Choice, whole: boolean): number | null {
    const { repeats, request, n } = this.#asked
    const { prefix } = request
    const match = ({ begin, finish }: Choice): boolean | null => {
      if (begin.startsWith(prefix)) return true
      return !whole && finish === null && prefix.startsWith(begin) ? null : false
    }
    if (prefix === '') return 0
    const own = match(choice)
    if (own === null) return null
    if (!own) {
      if (choice.begin !== '') this.repeats ??= false
      return 0
    }
    if (repeats === false) return 0
    if (repeats === true || prefix.length >= LONG_PREFIX) {
      this.repeats = true
      return prefix.length
    }
    const others = whole ? [...this.#choices.values()] : Array.from({ length: n }, (_, at) => this.#choices.get(at))
    const matches = others.map(other => (other === undefined ? null : match(other)))
    if (matches.includes(false)) return 0
    return matches.includes(null) ? null : prefix.length
  }

  #endOf({ finish, reason, draft }: Choice): Pick<Sample, 'ended' | 'stop'> {
    const { request, told } = this.#asked
    const stopped = (stop: string): Pick<Sample, 'ended' | 'stop'> =>
      request.until === 'step' && stop === request.separator ? { ended: 'step' } : { ended: 'stop', stop }
    if (draft.stop !== null) return stopped(draft.stop)
    if (finish === 'length' || finish === 'max_tokens' || finish === 'model_length') return { ended: 'length' }
    if (finish !== 'stop' && finish !== 'eos_token') return { ended: null }
    if (told === null) return { ended: 'answer' }
    if (reason === undefined) {
      this.untold = true
      return { ended: null }
    }
    // Nothing (vLLM) or the id of a token (SGLang, and vLLM where a model has several) is the model's own end.
    return typeof reason === 'string' && stopsOf(request).includes(reason) ? stopped(reason) : { ended: 'answer' }
  }

  #tokens(choices: Choice[]): { written: number; prompt: number; estimated: boolean }[] {
    const exact = choices.map(({ logprobs }) => logprobs.length)
    const texts = choices.map(({ draft }) => draft.text)
    const usage = this.#usage ?? (choices.length === 1 ? this.#counted : null)
    if (usage === null || (usage.written === 0 && texts.some(text => text !== ''))) {
      const prompt = usage?.prompt ?? estimateTokens(this.#asked.prompt)
      return choices.map(({ events }, at) => {
        const written = exact[at] || (this.#answer.streamed ? Math.max(1, events) : estimateTokens(texts[at]!))
        return { written, prompt, estimated: true }
      })
    }
    const { prompt, written } = usage
    if (choices.length === 1) return [{ written, prompt, estimated: false }]
    if (sum(exact) === written) return exact.map(tokens => ({ written: tokens, prompt, estimated: false }))
    const lengths = texts.map(text => text.length)
    return share(written, lengths, this.#asked.request.maxTokens).map(tokens => ({
      written: tokens,
      prompt,
      estimated: true,
    }))
  }
}

/** What ends a sample: the separator, where a step is asked for, and the stop texts. */
export function stopsOf({ until, separator, stop }: CheckedRequest): string[] {
  return [...new Set([...(until === 'step' ? [separator] : []), ...stop])]
}

/** Passes the text of a sample on, each part of it once, however often the sample is made. */
export class Heard {
  /** What was passed on. */
  text = ''
  #at = 0
  readonly #hear: (text: string) => void

  constructor(hear: (text: string) => void) {
    this.#hear = hear
  }

  /** The sample is made from its beginning. */
  rewind(): void {
    this.#at = 0
  }

  /** @throws {Failure} for another text than the one that was passed on */
  say(piece: string, answer: Answer): void {
    const known = this.text.slice(this.#at, this.#at + piece.length)
    if (!piece.startsWith(known)) throw this.#otherwise(answer)
    this.#at += piece.length
    const news = piece.slice(known.length)
    if (news === '') return
    this.text += news
    this.#hear(news)
  }

  end(answer: Answer): void {
    if (this.#at < this.text.length) throw this.#otherwise(answer)
  }

  #otherwise(answer: Answer): Failure {
    return answer.bad('another text the second time, when the first had been passed on; give a seed, or no onText')
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

/** Tokens of the prompt and of the answer; null unless the counts are counts. */
function countsOf(value: unknown, prompt: string[], written: string[]): { prompt: number; written: number } | null {
  const count = (names: string[]): number => {
    const counts = names.map(name => (value as Record<string, unknown>)[name])
    return counts.every(each => Number.isSafeInteger(each) && (each as number) >= 0)
      ? sum(counts as number[])
      : Number.NaN
  }
  if (typeof value !== 'object' || value === null) return null
  const counts = { prompt: count(prompt), written: count(written) }
  return Number.isNaN(counts.prompt + counts.written) ? null : counts
}

/** Whole parts of a total in proportion to some weights, none above `most` where that can be; they add up to the total. */
export function share(total: number, weights: readonly number[], most: number = total): number[] {
  const parts = new Array<number>(weights.length)
  let rest = total
  let open = [...weights.keys()]
  const portion = (at: number): number => {
    const all = sum(open.map(each => weights[each]!))
    return all > 0 ? (rest * weights[at]!) / all : rest / open.length
  }
  for (let full = total > most * weights.length ? [] : open; full.length > 0; ) {
    full = open.filter(at => portion(at) > most)
    open = open.filter(at => !full.includes(at))
    for (const at of full) parts[at] = most
    rest -= most * full.length
  }
  const exact = new Map(open.map(at => [at, portion(at)]))
  for (const [at, part] of exact) parts[at] = Math.floor(part)
  const byRest = open.toSorted((a, b) => exact.get(b)! - parts[b]! - (exact.get(a)! - parts[a]!) || a - b)
  for (const at of byRest.slice(0, total - sum(parts))) parts[at]!++
  return parts
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
