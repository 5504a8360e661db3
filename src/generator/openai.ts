import { onAbort } from '../abort.ts'
import { invalidArgument, type SurefootError } from '../errors.ts'
import { type Call, CONCURRENCY, Places, sampleByCalls, seedOf } from './calls.ts'
import { Choices, Heard, stopsOf } from './choices.ts'
import {
  bodyOf,
  checkSettings,
  type Dialect,
  detect,
  type Endpoint,
  refusesN,
  type Server,
  serverAt,
  serverOf,
  without,
} from './dialects.ts'
import {
  type Capabilities,
  type CheckedRequest,
  checkRequest,
  type Generator,
  lacking,
  requireCapabilities,
  type Sample,
  type SampleOptions,
  type SampleRequest,
} from './generator.ts'
import { type Answer, type Ask, Connection, Failure } from './http.ts'

export interface OpenAIOptions {
  /** Where `/chat/completions` lies below. A query is kept. @default https://api.openai.com/v1 */
  readonly baseURL?: string
  /** The model's name at the server. */
  readonly model: string
  /** @default the environment's OPENAI_API_KEY for api.openai.com; none for other servers */
  readonly apiKey?: string
  /** How the server continues an answer that is begun. @default 'auto': the server is asked, once */
  readonly dialect?: 'auto' | Dialect
  /** `completions` takes the prompt as a text, and every server that has it continues one. @default 'chat' */
  readonly endpoint?: Endpoint
  /** Writes the prompt for the endpoint `completions`. @default system and problem, a line break, and the prefix */
  readonly template?: (prompt: Prompt) => string
  /** Requests under way at most, over all calls. @default 8 */
  readonly concurrency?: number
  /** Has to follow no redirects where it is told so, as every fetch. @default the global one */
  readonly fetch?: typeof globalThis.fetch
  /** Sent with each request; their values are treated as secrets. */
  readonly headers?: Readonly<Record<string, string>>
  /** Milliseconds without a byte from the server. An answer that is not streamed is silent to its end. @default 300 000 */
  readonly timeout?: number
  /** Milliseconds for a whole call of `sample`, with all that it has to wait for. @default no limit */
  readonly totalTimeout?: number
  /** Further attempts after a failure that may pass. @default 4 */
  readonly retries?: number
  /** The text that ends a step. @default a blank line */
  readonly separator?: string
  /** Streams every answer, so that a slow server is not silent. @default only where that is needed */
  readonly stream?: boolean
  /** Further parameters of the server, such as `chat_template_kwargs`. */
  readonly extraBody?: Readonly<Record<string, unknown>>
}

/** What a template turns into one text. */
export interface Prompt {
  readonly problem: string
  readonly system: string | undefined
  /** What the text has to end with. */
  readonly prefix: string
}

export interface OpenAIGenerator extends Generator {
  /** `auto` until the server was asked. */
  readonly dialect: 'auto' | Dialect
  ready(options?: { readonly signal?: AbortSignal }): Promise<void>
}

/**
 * A policy behind a server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, DeepSeek, Mistral, OpenAI and others.
 *
 * @throws `ERR_INVALID_ARGUMENT`
 */
export function openai(options: OpenAIOptions): OpenAIGenerator {
  const remote = new Remote(checkOptions(options))
  return {
    get id() {
      return remote.id
    },
    separator: options.separator ?? '\n\n',
    get dialect() {
      return remote.server?.dialect ?? 'auto'
    },
    get capabilities() {
      return remote.capabilities
    },
    ready: ({ signal } = {}) => remote.ready(signal),
    sample: (request, options) => remote.sample(request, options),
  }
}

const OPENAI = 'https://api.openai.com/v1'

/** How often a request is changed to what the server says that it knows. */
const MOST_CHANGES = 3

/** What `extraBody` may not say, for the answer would not be understood. */
const OURS = ['model', 'messages', 'prompt', 'n', 'stream', 'stream_options', 'stop', 'logprobs', 'echo', 'best_of']

type Options = ReturnType<typeof checkOptions>

/** One call of `sample`. */
interface Job {
  readonly request: CheckedRequest
  readonly prompt: string
  readonly signal: AbortSignal
  readonly onText: SampleOptions['onText']
}

/** The question what a server is, under way for some callers. */
interface Detection {
  readonly done: Promise<void>
  readonly stop: AbortController
  waiting: number
}

class Remote {
  server: Server | null
  readonly #options: Options
  readonly #connection: Connection
  readonly #places: Places
  /** What the server does otherwise than its kind: learned from its answers. */
  #ignoresN = false
  #givesLogprobs: boolean | null = null
  readonly #repeats = { whole: null as boolean | null, streamed: null as boolean | null }
  #detection: Detection | null = null

  constructor(options: Options) {
    this.#options = options
    this.#connection = new Connection(options)
    this.#places = new Places(options.concurrency)
    this.server = options.dialect === 'auto' ? serverAt(options.base) : serverOf(options.dialect, options.base)
  }

  get id(): string {
    const { model, endpoint } = this.#options
    return `${model} at ${this.#connection.where} (${this.server?.dialect ?? 'auto'}, ${endpoint})`
  }

  get capabilities(): Capabilities {
    const { server } = this
    return {
      prefill: this.#options.endpoint === 'completions' || (server !== null && server.prefill !== null),
      n: server !== null && server.n !== false && !this.#ignoresN,
      // Where the server does not say what stopped it, the text is read as it comes, and stopped here.
      stopReason: true,
      logprobs: this.#givesLogprobs ?? server?.logprobs ?? false,
      seed: server?.reproducible ?? false,
    }
  }

  /** Asks the server what it is. Callers that come meanwhile wait for the same answer; it is given up with the last of them. */
  async ready(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.server !== null) return
    this.#detection ??= this.#detect()
    const detection = this.#detection
    detection.waiting++
    let release = (): void => {}
    try {
      await Promise.race([detection.done, new Promise<never>((_, reject) => (release = onAbort(signal, reject)))])
    } catch (error) {
      throw error instanceof Failure ? error.toError() : error
    } finally {
      release()
      if (--detection.waiting === 0) {
        detection.stop.abort()
        if (this.#detection === detection) this.#detection = null
      }
    }
  }

  #detect(): Detection {
    const stop = new AbortController()
    const ask: Ask = { path: 'models', signal: stop.signal, jitter: Math.random }
    const read = async (answer: Answer): Promise<Server> => {
      const program = answer.headers.get('server')
      return detect(answer.streamed ? null : await answer.json(), program, this.#options.model)
    }
    const done = this.#connection.request(ask, read).then(
      server => {
        this.server = server
      },
      error => {
        // No list of models is an answer too, but no access and no server are none.
        const unlisted = error instanceof Failure && !error.passing && ![401, 403, undefined].includes(error.status)
        if (!unlisted) throw error
        this.server = detect(null, error.server, this.#options.model)
      },
    )
    done.catch(() => {})
    return { done, stop, waiting: 0 }
  }

  async sample(request: SampleRequest, { signal, onText }: SampleOptions = {}): Promise<Sample[]> {
    const checked = checkRequest(request, this.#options.separator)
    signal?.throwIfAborted()
    const stop = new AbortController()
    const release = onAbort(signal, reason => stop.abort(reason))
    const { totalTimeout } = this.#options
    const late = (): void =>
      stop.abort(new Failure(`${this.#connection.where} took ${totalTimeout} ms`, this.#connection.where))
    const timer = totalTimeout === undefined ? undefined : setTimeout(late, totalTimeout)
    try {
      await this.ready(stop.signal)
      this.#check(checked)
      return await this.#all({ request: checked, prompt: this.#promptOf(checked), signal: stop.signal, onText })
    } catch (error) {
      stop.abort(error)
      throw error instanceof Failure ? error.toError() : error
    } finally {
      release()
      clearTimeout(timer)
    }
  }

  #check(request: CheckedRequest): void {
    if (request.prefix !== '') requireCapabilities(this, ['prefill'], 'a request with a prefix')
    checkSettings(this.id, this.server!, request)
    if (request.logprobs && this.#givesLogprobs === false) throw this.#lacksLogprobs()
  }

  #lacksLogprobs(): SurefootError {
    return lacking(this.id, 'logprobs', 'the request asks for logprobs', 'a request without them, or a native policy')
  }

  #promptOf({ problem, system, prefix }: CheckedRequest): string {
    const prompt = this.#options.template({ problem, system, prefix })
    if (typeof prompt !== 'string') invalidArgument('template', 'must return a string', prompt)
    if (!prompt.isWellFormed()) invalidArgument('template', 'returned a lone surrogate')
    return prompt
  }

  async #all(job: Job): Promise<Sample[]> {
    const { n, seed, temperature } = job.request
    const server = this.server!
    const samples = new Map<number, Sample>()
    const alike = (server.n === 'unseeded' && seed !== undefined) || (temperature === 0 && !server.greedyN)
    let empty = 0
    if (n > 1 && this.capabilities.n && !alike && !stopsHere(server, job.request)) {
      const hears = Array.from({ length: n }, (_, index) => (text: string) => job.onText?.(text, index))
      const found = await this.#places.run(job.signal, () => this.#ask(job, 0, hears))
      if (found === 'one by one') this.#ignoresN = true
      else if (found !== 'again') {
        for (const [index, sample] of found) samples.set(index, sample)
        if (found.size === 0) empty = 1
        else if (found.size < n) this.#ignoresN = true
      }
    }
    const one = async (index: number, signal: AbortSignal, hear: (text: string) => void): Promise<Sample> => {
      for (let tries = empty; tries < 2; tries++) {
        const found = await this.#ask({ ...job, signal }, index, [hear])
        if (typeof found === 'object' && found.size > 0) return found.get(0)!
        if (found === 'again') tries--
      }
      const { where } = this.#connection
      throw new Failure(`${where} gave an answer without choices, twice`, where)
    }
    const call: Call = async (index, signal, hear) => samples.get(index) ?? one(index, signal, hear)
    const { request, signal, onText } = job
    return sampleByCalls(request, { signal, ...(onText && { onText }) }, this.#places, call)
  }

  /**
   * Asks for the samples from `first` on; they come by their place in the answer, which may hold fewer. `one by one`: the
   * server does not write several. `again`: it was taken for one that says what stopped it, and now is not.
   */
  async #ask(
    job: Job,
    first: number,
    hears: readonly ((text: string) => void)[],
  ): Promise<Map<number, Sample> | 'one by one' | 'again'> {
    const heard = hears.map(hear => new Heard(hear))
    for (let changes = 0; ; changes++) {
      const server = this.server!
      const body = this.#bodyOf(server, job, first, heard.length)
      try {
        const { samples, untold } = await this.#send(server, job, first, body, heard)
        if (untold) this.server = { ...this.server!, tells: null }
        return untold && heard.every(({ text }) => text === '') ? 'again' : samples
      } catch (error) {
        if (!(error instanceof Failure) || ![400, 422, 501].includes(error.status ?? 0)) throw error
        const other = without(server, error.body, body)
        if (other !== null && changes < MOST_CHANGES) this.server = other
        else if (heard.length > 1 && refusesN(error.body)) return 'one by one'
        else throw error
      }
    }
  }

  #bodyOf(server: Server, { request, prompt, onText }: Job, first: number, n: number): Record<string, unknown> {
    const here = stopsHere(server, request)
    const { model, endpoint, extraBody, stream } = this.#options
    return bodyOf(server, {
      request,
      model,
      endpoint,
      prompt,
      n,
      seed: seedOf(request, first),
      stops: here ? [] : stopsOf(request),
      stream: here || stream || onText !== undefined,
      extra: extraBody,
    })
  }

  async #send(
    server: Server,
    { request, prompt, signal, onText }: Job,
    first: number,
    body: Record<string, unknown>,
    heard: readonly Heard[],
  ): Promise<{ samples: Map<number, Sample>; untold: boolean }> {
    const path = this.#options.endpoint === 'chat' ? 'chat/completions' : 'completions'
    const jitter = (attempt: number): number => {
      const seed = seedOf({ ...request, path: `${request.path ?? ''} attempt ${attempt}` }, first)
      return seed === undefined ? Math.random() : seed / 2 ** 31
    }
    return this.#connection.request({ path, body, signal, jitter }, async answer => {
      for (const each of heard) each.rewind()
      const way = answer.streamed ? 'streamed' : 'whole'
      const choices = new Choices(
        {
          n: heard.length,
          request,
          told: body.stop === undefined ? null : server.tells,
          repeats: server.repeats ?? this.#repeats[way],
          prompt,
          hear: onText === undefined ? () => {} : (text, index) => heard[index]!.say(text, answer),
        },
        answer,
      )
      await choices.read()
      const samples = choices.samples()
      for (const index of samples.keys()) heard[index]!.end(answer)
      if (choices.repeats === true || this.#repeats[way] === null) this.#repeats[way] = choices.repeats
      if (request.logprobs) {
        this.#givesLogprobs = !choices.lacksLogprobs
        if (choices.lacksLogprobs) throw this.#lacksLogprobs()
      }
      return { samples, untold: choices.untold }
    })
  }
}

/** Whether the text is stopped here, for the server would not say what stopped it. */
function stopsHere({ tells }: Server, request: CheckedRequest): boolean {
  return tells === null && stopsOf(request).length > 0
}

/** System and problem apart by a blank line, a line break, and what the answer begins with. */
function plain({ problem, system, prefix }: Prompt): string {
  return `${system === undefined ? '' : `${system}\n\n`}${problem}\n${prefix}`
}

const DIALECTS = ['auto', 'vllm', 'sglang', 'llama.cpp', 'prefix', 'none'] as const

/** The options with their defaults, once each is sound. No error repeats what may be a secret. */
function checkOptions(options: OpenAIOptions) {
  if (typeof options !== 'object' || options === null) invalidArgument('options', 'must be an object')
  const { baseURL = OPENAI, model, dialect = 'auto', endpoint = 'chat', template, separator = '\n\n' } = options
  const {
    concurrency = CONCURRENCY,
    timeout = 300_000,
    totalTimeout,
    retries = 4,
    stream = false,
    headers = {},
  } = options
  if (typeof model !== 'string' || model === '')
    invalidArgument('model', "must be the model's name at the server", model)
  if (!DIALECTS.includes(dialect)) invalidArgument('dialect', `must be one of ${DIALECTS.join(', ')}`, dialect)
  if (endpoint !== 'chat' && endpoint !== 'completions') {
    invalidArgument('endpoint', "must be 'chat' or 'completions'", endpoint)
  }
  if (template !== undefined && typeof template !== 'function')
    invalidArgument('template', 'must be a function', template)
  if (template !== undefined && endpoint === 'chat') {
    invalidArgument('template', "is for the endpoint 'completions'; a chat server has its own")
  }
  if (typeof separator !== 'string' || separator === '') invalidArgument('separator', 'must be a text', separator)
  if (typeof stream !== 'boolean') invalidArgument('stream', 'must be true or false', stream)
  if (options.fetch !== undefined && typeof options.fetch !== 'function') invalidArgument('fetch', 'must be a function')
  count('concurrency', concurrency, 1)
  count('retries', retries, 0)
  count('timeout', timeout, 1)
  if (totalTimeout !== undefined) count('totalTimeout', totalTimeout, 1)
  const base = baseOf(baseURL)
  return {
    base,
    model,
    apiKey: keyOf(options.apiKey, base),
    dialect,
    endpoint,
    template: template ?? plain,
    concurrency,
    fetch: options.fetch ?? ((...request: Parameters<typeof fetch>) => globalThis.fetch(...request)),
    headers: headersOf(headers),
    timeout,
    totalTimeout,
    retries,
    separator,
    stream,
    extraBody: extraOf(options.extraBody ?? {}),
  }
}

function count(name: string, value: unknown, least: number): void {
  // setTimeout takes no more.
  const most = 2 ** 31 - 1
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return
  invalidArgument(name, `must be an integer from ${least} to ${most}`, value)
}

function baseOf(baseURL: unknown): URL {
  const url = typeof baseURL === 'string' && URL.canParse(baseURL) ? new URL(baseURL) : null
  if (url === null || !/^https?:$/.test(url.protocol)) invalidArgument('baseURL', 'must be a URL of http or https')
  if (url.username !== '' || url.password !== '') invalidArgument('baseURL', 'holds a password; use apiKey or headers')
  url.hash = ''
  return url
}

function keyOf(apiKey: unknown, { protocol, hostname }: URL): string | undefined {
  if (apiKey === undefined) {
    const own = protocol === 'https:' && hostname === 'api.openai.com'
    return own ? process.env.OPENAI_API_KEY?.trim() || undefined : undefined
  }
  const key = typeof apiKey === 'string' ? apiKey.trim() : ''
  if (!/^[\x21-\x7e]+$/.test(key)) invalidArgument('apiKey', 'must be a key: printable ASCII without blanks')
  return key
}

function headersOf(headers: unknown): Record<string, string> {
  if (typeof headers !== 'object' || headers === null) invalidArgument('headers', 'must be an object of texts')
  const lower: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const sound = typeof value === 'string' && /^[\t\x20-\x7e\x80-\xff]*$/.test(value)
    if (!sound || !/^[\w!#$%&'*+.^`|~-]+$/.test(name)) invalidArgument(`headers[${name}]`, 'is no header of HTTP')
    lower[name.toLowerCase()] = value.trim()
  }
  return lower
}

function extraOf(extra: unknown): Record<string, unknown> {
  if (typeof extra !== 'object' || extra === null) invalidArgument('extraBody', 'must be an object')
  const taken = OURS.find(name => Object.hasOwn(extra, name))
  if (taken !== undefined) invalidArgument('extraBody', `may not set ${taken}, which surefoot sets itself`)
  try {
    return JSON.parse(JSON.stringify(extra))
  } catch {
    invalidArgument('extraBody', 'must be what JSON can say')
  }
}
