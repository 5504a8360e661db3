/** Requests to the hub: redirects without the token leaking, timeouts, second attempts, refusals by name. */
import { setTimeout as sleep } from 'node:timers/promises'
import { SurefootError, type SurefootErrorCode } from '../errors.ts'
import { named, type Repository } from './reference.ts'
import type { HubSettings } from './settings.ts'

export interface HubRequest {
  readonly method: 'GET' | 'HEAD'
  readonly url: string
  /** Sent to the hub and to where it redirects. */
  readonly headers?: Readonly<Record<string, string>>
  /** Sent to the hub only. */
  readonly hubHeaders?: Readonly<Record<string, string>>
  /** Milliseconds without a byte. */
  readonly timeout: number
  readonly signal: AbortSignal | undefined
  readonly repository: Repository
  /** The file that is asked for. */
  readonly file?: string
  /** Takes the hub's own last answer, be it a redirect to elsewhere, and goes no further. */
  readonly stayAtHub?: boolean
  /** Sees the hub's own last answer before anything else happens. */
  readonly onHubAnswer?: (headers: Headers) => void
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly chunks: () => AsyncGenerator<Uint8Array, void, undefined>
}

/** A failure that may be over in a moment. `error` is what the caller is told if it is not. */
export class PassingFailure extends Error {
  readonly error: SurefootError
  /** Milliseconds, as the hub asks for. */
  readonly wait: number | undefined

  constructor(error: SurefootError, wait?: number) {
    super(error.message)
    this.error = error
    this.wait = wait
  }
}

const REDIRECTS = 8

/**
 * One attempt at a request. The connection is closed when `use` is done.
 *
 * @throws {PassingFailure}, `ERR_HTTP`, `ERR_GATED`, `ERR_MODEL_NOT_FOUND`, `ERR_DATASET_NOT_FOUND`; the signal's reason
 */
export async function exchange<T>(
  settings: HubSettings,
  request: HubRequest,
  use: (answer: Answer) => Promise<T>,
): Promise<T> {
  request.signal?.throwIfAborted()
  const watch = new Watch(request.timeout, request.signal)
  const broken = (error: unknown, url: URL): unknown => {
    request.signal?.throwIfAborted()
    const reason = watch.expired ? 'no answer' : reasonOf(error)
    const failure = unreachable(settings, request, url, reason)
    // A name that does not exist, or no network at all: asking again would only let the user wait.
    return reason === 'ENOTFOUND' ? failure : new PassingFailure(failure)
  }
  try {
    const { response, url } = await follow(settings, request, watch, broken)
    if (response.status >= 400) throw refusal(settings, request, response, url)
    return await use({
      status: response.status,
      headers: response.headers,
      chunks: async function* () {
        const reader = response.body?.getReader()
        while (reader) {
          const { done, value } = await reader.read().catch(error => {
            request.signal?.throwIfAborted()
            const why = watch.expired ? 'fell silent' : `broke off: ${reasonOf(error)}`
            throw new PassingFailure(httpError(request, url, response.status, `a body that ${why}`))
          })
          if (done) return
          yield value
          watch.restart()
        }
      },
    })
  } finally {
    watch.end()
  }
}

/** Follows redirects; only requests to the hub itself carry the token. */
async function follow(
  settings: HubSettings,
  request: HubRequest,
  watch: Watch,
  broken: (error: unknown, url: URL) => unknown,
): Promise<{ response: Response; url: URL }> {
  const hub = new URL(settings.endpoint).origin
  const authorization = settings.token === undefined ? {} : { authorization: `Bearer ${settings.token}` }
  let url = new URL(request.url)
  for (let hop = 0; hop <= REDIRECTS; hop++) {
    const atHub = url.origin === hub
    const response = await fetch(url, {
      method: request.method,
      headers: {
        'user-agent': 'surefoot',
        'accept-encoding': 'identity',
        ...request.headers,
        ...(atHub && { ...request.hubHeaders, ...authorization }),
      },
      redirect: 'manual',
      signal: watch.signal,
    }).catch(error => {
      throw broken(error, url)
    })
    watch.restart()
    const next = redirectOf(request, response, url)
    if (atHub && next?.origin !== hub) {
      if (response.status < 400) request.onHubAnswer?.(response.headers)
      if (next === undefined || request.stayAtHub) return { response, url }
    }
    if (next === undefined) return { response, url }
    await response.body?.cancel()
    url = next
  }
  throw httpError(request, url, undefined, `more than ${REDIRECTS} redirects`)
}

function redirectOf(request: HubRequest, response: Response, url: URL): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(response.status)) return undefined
  const location = response.headers.get('location') ?? ''
  const next = location !== '' && URL.canParse(location, url) ? new URL(location, url) : undefined
  const allowed = url.protocol === 'https:' ? ['https:'] : ['https:', 'http:']
  if (next && allowed.includes(next.protocol) && !next.username && !next.password) return next
  throw httpError(request, url, response.status, 'a redirect to nowhere that may be followed')
}

/** Runs `attempt` until it succeeds, fails for good or has failed too often since `progressed` last said true. */
export async function persist<T>(
  settings: HubSettings,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
  progressed: () => boolean = () => false,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof PassingFailure)) throw error
      if (progressed()) failures = 1
      const wait = error.wait ?? settings.firstWait * 2 ** (failures - 1)
      if (failures >= settings.attempts || wait > settings.longestWait) throw error.error
      await pause(wait, signal)
    }
  }
}

/** @throws the signal's reason */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, signal && { signal }).catch(() => signal?.throwIfAborted())
}

/** A JSON answer of at most `limit` bytes. */
export function getJson(settings: HubSettings, request: HubRequest, limit: number): Promise<unknown> {
  return exchange(settings, request, async ({ chunks, status }) => {
    const parts: Uint8Array[] = []
    let size = 0
    for await (const chunk of chunks()) {
      size += chunk.length
      if (size > limit) throw httpError(request, new URL(request.url), status, `more than ${limit} bytes`)
      parts.push(chunk)
    }
    try {
      return JSON.parse(Buffer.concat(parts).toString('utf8'))
    } catch {
      throw httpError(request, new URL(request.url), status, 'an answer that is no JSON')
    }
  })
}

/** Fires when nothing happened for too long, or when the caller's signal does. */
class Watch {
  readonly signal: AbortSignal
  expired = false
  readonly #stop = new AbortController()
  readonly #timer: NodeJS.Timeout

  constructor(timeout: number, signal: AbortSignal | undefined) {
    this.signal = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal
    this.#timer = setTimeout(() => {
      this.expired = true
      this.#stop.abort()
    }, timeout)
  }

  restart(): void {
    this.#timer.refresh()
  }

  /** Closes the connection, unless all of it was read. */
  end(): void {
    clearTimeout(this.#timer)
    this.#stop.abort()
  }
}

/** What the hub's status and its headers `X-Error-Code` and `X-Error-Message` say. */
function refusal(settings: HubSettings, request: HubRequest, response: Response, url: URL): unknown {
  const { repository, file } = request
  const { kind, id, revision } = repository
  const { status, headers } = response
  const code = headers.get('x-error-code')
  const said = sayable(headers.get('x-error-message'), settings)
  const loggedIn = settings.token !== undefined
  const fail = (error: SurefootErrorCode, message: string, more: object = {}): SurefootError =>
    new SurefootError(error, message, { data: { status, url: bare(url), repository: id, revision, ...more } })
  const missing = notFound(repository)

  if (url.origin === new URL(settings.endpoint).origin) {
    if (code === 'GatedRepo') {
      const access = loggedIn ? 'the token at hand has no access' : 'no token is at hand'
      const page = `${settings.endpoint}/${kind === 'dataset' ? 'datasets/' : ''}${id}`
      const fix = `accept its terms at ${page}, then run hf auth login or set HF_TOKEN`
      return fail('ERR_GATED', `${id} is a gated repository and ${access}; ${fix}`)
    }
    if (code === 'RevisionNotFound') return fail(missing, `the ${kind} ${id} has no revision ${revision}`)
    if (code === 'EntryNotFound' || (status === 404 && code === null && file !== undefined)) {
      return fail(missing, `the ${kind} ${named(repository)} has no file ${file}`, { missing: 'file', file })
    }
    if (status === 401 && said === 'Invalid credentials in Authorization header') {
      return fail('ERR_HTTP', `${settings.endpoint} refuses the token at hand; run hf auth login or change HF_TOKEN`)
    }
    if (code === 'RepoNotFound' || status === 401 || status === 404) {
      const access = loggedIn ? 'the token at hand has no access to it' : 'needs a token: hf auth login, or HF_TOKEN'
      const here = kind === 'model' ? 'folder' : 'file or folder'
      const hub = `${settings.endpoint} has no ${kind} of that name, or it is private and ${access}`
      return fail(missing, `${id} is no ${here} here, and ${hub}`, { missing: 'repository' })
    }
  }
  const answered = `${bare(url)} answered ${status}${said === '' ? '' : `: ${said}`}`
  const wait = retryAfter(headers)
  if (status === 408 || status === 429 || status >= 500) {
    const ask = wait === undefined ? '' : ` (it asks to wait ${Math.ceil(wait / 1000)} s)`
    return new PassingFailure(fail('ERR_HTTP', `${answered}${ask}; try again later`), wait)
  }
  return fail('ERR_HTTP', status === 403 ? `${answered}; the token at hand may lack the permission` : answered)
}

export function httpError(
  { repository, file }: HubRequest,
  url: URL,
  status: number | undefined,
  what: string,
): SurefootError {
  return new SurefootError('ERR_HTTP', `${bare(url)} gave ${what}`, {
    data: {
      ...(status !== undefined && { status }),
      url: bare(url),
      repository: repository.id,
      revision: repository.revision,
      ...(file !== undefined && { file }),
    },
  })
}

function unreachable(settings: HubSettings, { repository }: HubRequest, url: URL, reason: string): SurefootError {
  return new SurefootError(
    'ERR_OFFLINE',
    `${named(repository)} could not be fetched from ${url.origin}: ${reason}. Check the connection, or fetch it elsewhere with: ${fetchCommand(repository)} and copy ${settings.cache}`,
    { data: { url: bare(url), repository: repository.id, revision: repository.revision, reason } },
  )
}

export function notFound({ kind }: Repository): SurefootErrorCode {
  return kind === 'model' ? 'ERR_MODEL_NOT_FOUND' : 'ERR_DATASET_NOT_FOUND'
}

/** What fills the cache on a machine with a network. */
export function fetchCommand({ kind, id, revision }: Repository): string {
  const type = kind === 'dataset' ? ' --repo-type dataset' : ''
  return `hf download ${id}${type}${revision === 'main' ? '' : ` --revision ${revision}`}`
}

/** Without the query, which may hold a signature. */
function bare(url: URL): string {
  return `${url.origin}${url.pathname}`
}

/** Words of the server that may stand in a message. */
function sayable(text: string | null, { token }: HubSettings): string {
  const clean = (text ?? '').replace(/[^\x20-\x7e]/g, ' ').trim()
  return (token === undefined ? clean : clean.replaceAll(token, '***')).slice(0, 300)
}

/** fetch says `fetch failed`; its cause says why. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error
  const { code, message: why } = (cause ?? {}) as NodeJS.ErrnoException
  return code ?? why ?? message
}

/** Milliseconds, from seconds or a date. */
function retryAfter(headers: Headers): number | undefined {
  const value = headers.get('retry-after')?.trim()
  if (value === undefined) return undefined
  if (/^\d+$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}
