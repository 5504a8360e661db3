/** Requests to a server: limits, silence, second attempts, redirects without the key, and errors that tell no secret. */
import { createParser } from 'eventsource-parser'
import { onAbort } from '../abort.ts'
import { SurefootError } from '../errors.ts'
import { pause } from '../hub/http.ts'

export interface ConnectionOptions {
  readonly base: URL
  readonly apiKey: string | undefined
  /** Like the key, they are sent to the server's own origin only, and their values never reach an error. */
  readonly headers: Readonly<Record<string, string>>
  readonly fetch: typeof globalThis.fetch
  /** Milliseconds without a byte. */
  readonly timeout: number
  readonly retries: number
}

export interface Ask {
  /** Below the base. */
  readonly path: string
  /** What is posted; without it, a GET. */
  readonly body?: object
  readonly signal: AbortSignal
  /** From 0 to 1: what part of the longest wait precedes the next attempt. */
  readonly jitter: (attempt: number) => number
}

/** An answer of status 2xx whose body has not been read. */
export interface Answer {
  readonly headers: Headers
  /** Whether the body comes as server-sent events; otherwise it is JSON. */
  readonly streamed: boolean
  /** The events have come to their `[DONE]`. */
  readonly ended: boolean
  /** @throws {Failure} */
  json(): Promise<unknown>
  /**
   * The data of each event up to `[DONE]`, parsed; where there is no `[DONE]`, to the end of the body.
   *
   * @throws {Failure}
   */
  events(): AsyncGenerator<unknown, void, undefined>
  /** What is wrong with the answer, as an error. */
  bad(what: string, passing?: boolean): Failure
  /** The error that the server sent inside of an answer. */
  refused(body: unknown): Failure
}

/** A request that failed. */
export class Failure extends Error {
  readonly url: string
  readonly status: number | undefined
  /** Whether it may be over in a moment. */
  readonly passing: boolean
  /** Milliseconds that the server asks to wait. */
  readonly wait: number | undefined
  /** The body of a refusal. */
  readonly body: unknown
  /** The program that the server says it is. */
  readonly server: string | null
  /** How often the request was made. */
  attempts = 1

  constructor(
    message: string,
    url: string,
    more: {
      status?: number
      passing?: boolean
      wait?: number | undefined
      body?: unknown
      server?: string | null
    } = {},
  ) {
    super(message)
    this.url = url
    this.status = more.status
    this.passing = more.passing ?? false
    this.wait = more.wait
    this.body = more.body
    this.server = more.server ?? null
  }

  toError(): SurefootError {
    const { status, url, attempts } = this
    const tried = attempts > 1 ? ` (tried ${attempts} times)` : ''
    return new SurefootError('ERR_HTTP', `${this.message}${tried}`, {
      data: { ...(status !== undefined && { status }), url, attempts },
    })
  }
}

const REDIRECTS = 5
const MOST_BYTES = 64 * 2 ** 20
const MOST_EVENT = 8 * 2 ** 20
const MOST_REFUSAL = 64 * 2 ** 10
const FIRST_WAIT = 500
const LONGEST_WAIT = 30_000
const LONGEST_ASKED_WAIT = 60_000
/** For what comes after the last event, so that the connection can be used again. */
const DRAIN_MS = 1000

export class Connection {
  /** For people and journals: without query. */
  readonly where: string
  readonly #options: ConnectionOptions
  readonly #secrets: readonly string[]

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#secrets = secretsIn(options)
    this.where = this.#bare(options.base).replace(/\/+$/, '')
  }

  /**
   * Sends a request, again after passing failures, and hands the answer to `use`, which may run once for each attempt.
   * The connection is closed when `use` is done with it, unless all was read.
   *
   * @throws {Failure} what `use` throws; the signal's reason
   */
  async request<T>(ask: Ask, use: (answer: Answer) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(ask, use)
      } catch (error) {
        if (!(error instanceof Failure)) throw error
        error.attempts = attempt
        if (!error.passing || attempt > this.#options.retries) throw error
        const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
        await pause(Math.min(error.wait ?? longest * ask.jitter(attempt), LONGEST_ASKED_WAIT), ask.signal)
      }
    }
  }

  async #attempt<T>(ask: Ask, use: (answer: Answer) => Promise<T>): Promise<T> {
    ask.signal.throwIfAborted()
    const stop = new AbortController()
    const release = onAbort(ask.signal, reason => stop.abort(reason))
    let silent = false
    const timer = setTimeout(() => {
      silent = true
      stop.abort(new DOMException('no answer', 'TimeoutError'))
    }, this.#options.timeout)
    // A fetch of the caller's own may not heed the signal.
    const stopped = new Promise<never>((_, reject) => onAbort(stop.signal, reject))
    stopped.catch(() => {})
    let open: Open | null = null
    try {
      const { response, url } = await this.#follow(ask, promise => Promise.race([promise, stopped]), stop.signal)
      timer.refresh()
      open = new Open(response.body?.getReader() ?? null, timer, promise => Promise.race([promise, stopped]))
      if (!response.ok) throw await this.#refusal(response, url, open)
      return await use(await this.#answer(response, url, open))
    } catch (error) {
      ask.signal.throwIfAborted()
      if (!silent) throw error
      const sent = open === null ? 'no answer' : 'no further byte'
      const what = `${this.where} gave ${sent} for ${this.#options.timeout} ms; raise timeout if it is only slow`
      throw new Failure(what, this.where, { passing: true })
    } finally {
      release()
      clearTimeout(timer)
      if (open?.drained === false) void drain(open.reader, stop)
      else stop.abort()
    }
  }

  /** Follows redirects; the headers of the caller go to the server's own origin only. */
  async #follow(ask: Ask, race: Race, signal: AbortSignal): Promise<{ response: Response; url: URL }> {
    const { base, apiKey, headers, fetch } = this.#options
    let url = new URL(base)
    url.pathname = `${base.pathname.replace(/\/+$/, '')}/${ask.path}`
    for (let hop = 0; hop <= REDIRECTS; hop++) {
      const response = await race(
        fetch(url, {
          method: ask.body === undefined ? 'GET' : 'POST',
          headers: {
            'user-agent': 'surefoot',
            accept: 'application/json, text/event-stream',
            ...(ask.body !== undefined && { 'content-type': 'application/json' }),
            ...(url.origin === base.origin && {
              ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
              ...headers,
            }),
          },
          ...(ask.body !== undefined && { body: JSON.stringify(ask.body) }),
          redirect: 'manual',
          signal,
        }),
      ).catch(error => {
        if (signal.aborted) throw error
        throw this.#unreachable(url, error)
      })
      if (![301, 302, 303, 307, 308].includes(response.status)) return { response, url }
      const next = this.#redirect(ask, response, url)
      await response.body?.cancel()
      url = next
    }
    throw new Failure(`${this.#bare(url)} redirects more than ${REDIRECTS} times; check baseURL`, this.#bare(url))
  }

  #redirect(ask: Ask, response: Response, url: URL): URL {
    const location = response.headers.get('location') ?? ''
    const next = URL.canParse(location, url) ? new URL(location, url) : null
    const refuse = (why: string): Failure =>
      new Failure(`${this.#bare(url)} redirects ${why}`, this.#bare(url), { status: response.status })
    if (next === null || !/^https?:$/.test(next.protocol) || next.username !== '' || next.password !== '') {
      throw refuse('to nowhere that may be followed; check baseURL')
    }
    if (url.protocol === 'https:' && next.protocol === 'http:') {
      throw refuse(`to ${this.#bare(next)}, which is not encrypted; check baseURL`)
    }
    // Only these two keep what is posted.
    if (ask.body !== undefined && response.status !== 307 && response.status !== 308) {
      throw refuse(`to ${this.#bare(next)}; set baseURL to where the server is`)
    }
    return next
  }

  #unreachable(url: URL, error: unknown): Failure {
    const { cause, message } = (error ?? {}) as Error
    const { code, message: why } = (cause ?? {}) as NodeJS.ErrnoException
    const reason = code ?? why ?? message ?? 'no reason given'
    const what = `${this.#bare(url)} cannot be reached (${this.#sayable(reason)}); check baseURL and that the server runs`
    return new Failure(what, this.#bare(url), { passing: reason !== 'ENOTFOUND' })
  }

  async #answer(response: Response, url: URL, open: Open): Promise<Answer> {
    const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? null
    const { status, headers } = response
    const server = headers.get('server')
    const bad = (what: string, passing = false): Failure =>
      new Failure(`${this.#bare(url)} gave ${what}`, this.#bare(url), { status, passing, server })
    const broken = (error: unknown): never => {
      const { cause, message } = error as Error
      const reason = (cause as NodeJS.ErrnoException | undefined)?.code ?? message
      throw bad(`an answer that broke off (${this.#sayable(reason)}); check the server and what lies before it`, true)
    }
    const chunks = (): AsyncGenerator<Uint8Array, void, undefined> =>
      open.chunks(MOST_BYTES, broken, () => {
        throw bad(`an answer of more than ${MOST_BYTES} bytes; ask for fewer samples or tokens at once`)
      })
    // A server that does not say what it sends is judged by how it begins.
    const streamed =
      type === null ? /^\s*(data|event|id|retry)?:/.test(await open.start(broken)) : type === 'text/event-stream'
    const json = async (): Promise<unknown> => {
      const text = await textOf(chunks())
      if (type !== null && !/^application\/(.*\+)?json$/.test(type)) {
        const start = this.#sayable(text).slice(0, 200)
        throw bad(`${type} where JSON was expected: ${start}; check that baseURL is that of the API, such as …/v1`)
      }
      try {
        return JSON.parse(text)
      } catch {
        throw bad(`an answer that is no JSON: ${this.#sayable(text).slice(0, 200)}`)
      }
    }
    let ended = false
    const sayable = (text: string): string => this.#sayable(text)
    const events = async function* (): AsyncGenerator<unknown, void, undefined> {
      for await (const data of eventsOf(chunks(), () => bad(`an event of more than ${MOST_EVENT} characters`))) {
        if (data.trim() === '[DONE]') {
          open.drained = false
          ended = true
          return
        }
        let event: unknown
        try {
          event = JSON.parse(data)
        } catch {
          throw bad(`an event that is no JSON: ${sayable(data).slice(0, 200)}`)
        }
        yield event
      }
    }
    const refused = (body: unknown): Failure => {
      const { code } = (errorOf(body) ?? {}) as { code?: unknown }
      const kind = typeof code === 'number' && code >= 400 && code < 600 ? code : 500
      const said = this.#sayable(wordsOf(body))
      return new Failure(`${this.#bare(url)} failed while it wrote: ${said}`, this.#bare(url), {
        status: kind,
        passing: isPassing(kind, body),
        body,
        server,
      })
    }
    return {
      headers,
      streamed,
      get ended() {
        return ended
      },
      json,
      events,
      bad,
      refused,
    }
  }

  async #refusal(response: Response, url: URL, open: Open): Promise<Failure> {
    const { status, headers } = response
    const body = parsed(await this.#start(open))
    const words = this.#sayable(wordsOf(body))
    const fix = FIXES[status] ?? (status >= 500 ? 'try again later, or look into the log of the server' : 'see above')
    const advice = fix === 'see above' ? '' : `; ${fix}`
    return new Failure(
      `${this.#bare(url)} answered ${status}${words === '' ? '' : `: ${words}`}${advice}`,
      this.#bare(url),
      {
        status,
        passing: isPassing(status, body),
        wait: retryAfter(headers),
        body,
        server: headers.get('server'),
      },
    )
  }

  /** The text of a refusal, as far as it can be had; a secret at the end of it is not cut through. */
  async #start(open: Open): Promise<string> {
    const parts: Uint8Array[] = []
    let whole = true
    const end = (): never => {
      whole = false
      throw new Failure('', '')
    }
    try {
      for await (const chunk of open.chunks(MOST_REFUSAL, end, end)) parts.push(chunk)
    } catch (error) {
      if (!(error instanceof Failure)) throw error
    }
    const text = Buffer.concat(parts).toString('utf8')
    return whole ? text : text.slice(0, -(this.#secrets[0]?.length ?? 0) || undefined)
  }

  /** Without the query, which may hold a secret. */
  #bare(url: URL): string {
    return this.#masked(`${url.origin}${url.pathname}`)
  }

  /** Words of others that may stand in a message. */
  #sayable(text: string): string {
    const clean = this.#masked(text)
      .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
      .trim()
    return (clean.length > 300 ? `${clean.slice(0, 300)}…` : clean).toWellFormed()
  }

  #masked(text: string): string {
    return this.#secrets.reduce((masked, secret) => masked.replaceAll(secret, '***'), text)
  }
}

type Race = <T>(promise: Promise<T>) => Promise<T>

/** A body that is being read. */
class Open {
  readonly reader: ReadableStreamDefaultReader<Uint8Array> | null
  /** false: only the end is missing. */
  drained: boolean | null = null
  readonly #timer: NodeJS.Timeout
  readonly #race: Race
  #first: ReadableStreamReadResult<Uint8Array> | null = null

  constructor(reader: ReadableStreamDefaultReader<Uint8Array> | null, timer: NodeJS.Timeout, race: Race) {
    this.reader = reader
    this.#timer = timer
    this.#race = race
  }

  /** The first bytes, which are read again with the rest. */
  async start(broken: (error: unknown) => never): Promise<string> {
    if (this.reader === null) return ''
    this.#first = await this.#race(this.reader.read()).catch(broken)
    return Buffer.from(this.#first.value ?? []).toString('utf8')
  }

  async *chunks(
    most: number,
    broken: (error: unknown) => never,
    tooMuch: () => never,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let size = 0
    while (this.reader !== null) {
      const { done, value } = this.#first ?? (await this.#race(this.reader.read()).catch(broken))
      this.#first = null
      if (done) return
      this.#timer.refresh()
      size += value.length
      if (size > most) tooMuch()
      yield value
    }
  }
}

async function drain(reader: ReadableStreamDefaultReader<Uint8Array> | null, stop: AbortController): Promise<void> {
  const timer = setTimeout(() => stop.abort(), DRAIN_MS).unref()
  try {
    while (reader !== null && !(await reader.read()).done);
  } catch {
    // The sample is complete: how the connection ends is of no interest.
  } finally {
    clearTimeout(timer)
  }
}

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts).toString('utf8')
}

/** The data of server-sent events, however the bytes are cut. An event without its end is dropped, as the standard says. */
export async function* eventsOf(
  chunks: AsyncIterable<Uint8Array>,
  tooLong: () => Error,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  let ready: string[] = []
  let failure: Error | null = null
  const parser = createParser({
    onEvent: ({ data }) => ready.push(data),
    onError: ({ type }) => {
      if (type === 'max-buffer-size-exceeded') failure = tooLong()
    },
    maxBufferSize: MOST_EVENT,
  })
  for await (const chunk of chunks) {
    parser.feed(decoder.decode(chunk, { stream: true }))
    const events = ready
    ready = []
    yield* events
    if (failure !== null) throw failure
  }
}

const FIXES: Readonly<Record<number, string>> = {
  401: 'check apiKey',
  403: 'check what apiKey may do',
  404: 'check baseURL, model and endpoint',
  405: 'check baseURL',
  429: 'try again later, or lower concurrency',
}

function isPassing(status: number, body: unknown): boolean {
  if ((errorOf(body) as { code?: unknown } | null)?.code === 'insufficient_quota') return false
  return [408, 409, 429].includes(status) || (status >= 500 && status !== 501 && status !== 505)
}

/** The object that describes an error, wherever servers put it. */
export function errorOf(body: unknown): object | null {
  if (typeof body !== 'object' || body === null) return null
  const { error, object } = body as { error?: unknown; object?: unknown }
  if (typeof error === 'object' && error !== null) return error
  return typeof error === 'string' || object === 'error' ? body : null
}

/** What the body of a refusal says in words, or all of it. */
function wordsOf(body: unknown): string {
  if (typeof body === 'string') return body
  const { message, error, detail } = (errorOf(body) ?? body ?? {}) as Record<string, unknown>
  const words = message ?? error ?? detail
  return typeof words === 'string' ? words : JSON.stringify(words ?? body ?? '')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Milliseconds, from milliseconds, seconds or a date. */
function retryAfter(headers: Headers): number | undefined {
  const milliseconds = Number(headers.get('retry-after-ms')?.trim() || Number.NaN)
  if (milliseconds >= 0) return milliseconds
  const value = headers.get('retry-after')?.trim() ?? ''
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}

/** The key, the values of the headers and their parts, also as URLs and JSON spell them: longest first, so that none leaves a rest. */
function secretsIn({ apiKey = '', headers }: ConnectionOptions): string[] {
  const parts = Object.values(headers).flatMap(value => [value, ...value.split(/[\s,;=]+/)])
  const secrets = [apiKey, ...parts.filter(part => part.length >= 6 && !/^(bearer|application\/json)$/i.test(part))]
  const spellings = secrets.flatMap(secret => [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])
  return [...new Set(spellings)].filter(secret => secret !== '').sort((a, b) => b.length - a.length)
}
