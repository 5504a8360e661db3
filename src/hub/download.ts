/** One file of the hub → one blob of the cache. */
import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { SurefootError } from '../errors.ts'
import { type Answer, exchange, type HubRequest, httpError, PassingFailure, persist } from './http.ts'
import { named, type Repository } from './reference.ts'
import type { HubSettings } from './settings.ts'

/** What the hub announces of a file. */
export interface FileFacts {
  readonly file: string
  readonly url: string
  /** The sha256 of a file in LFS, the git blob's sha1 of any other: the name of the blob. */
  readonly etag: string
  /** Bytes; undefined where the hub says it only when the file is fetched. */
  readonly size: number | undefined
}

/** The hub now announces another etag than it did before. */
export class Changed extends Error {}

const MIB = 2 ** 20

/** Bytes that a file may have whose size the hub does not announce. */
const UNANNOUNCED = 2 ** 30

/** Asks the hub for the facts of a file. */
export function lookUp(
  settings: HubSettings,
  repository: Repository,
  commit: string,
  file: string,
  signal: AbortSignal | undefined,
): Promise<FileFacts> {
  const { kind, id } = repository
  const path = [...id.split('/'), 'resolve', commit, ...file.split('/')].map(encodeURIComponent).join('/')
  const url = `${settings.endpoint}/${kind === 'dataset' ? 'datasets/' : ''}${path}`
  const timeout = settings.lookupTimeout
  const request: HubRequest = { method: 'HEAD', url, timeout, signal, repository, file, stayAtHub: true }
  return persist(settings, signal, () =>
    exchange(settings, request, async ({ status, headers }) => {
      const etag = etagOf(headers)
      if (etag === undefined) throw httpError(request, new URL(url), status, 'no etag that can name a file')
      const direct = status < 300 ? headers.get('content-length') : null
      return { file, url, etag, size: wholeNumber(headers.get('x-linked-size') ?? direct) }
    }),
  )
}

/** Undefined for one that is no plain name. */
function etagOf(headers: Headers): string | undefined {
  const etag = (headers.get('x-linked-etag') ?? headers.get('etag'))?.replace(/^W\//, '').replace(/^"|"$/g, '')
  return etag !== undefined && /^\w[\w.-]{0,127}$/.test(etag) ? etag : undefined
}

function wholeNumber(text: string | null | undefined): number | undefined {
  return text && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/**
 * Fetches a file to `blob`, going on from what `blob`.incomplete holds, and checks its size and its hash. What is not
 * finished stays there, what is wrong does not.
 *
 * @param onLoaded the bytes that are here so far
 * @throws `ERR_INTEGRITY`, `ERR_HTTP`, `ERR_OFFLINE`, {@link Changed}; the signal's reason; errors of the file system
 */
export async function download(
  settings: HubSettings,
  repository: Repository,
  facts: FileFacts,
  blob: string,
  signal: AbortSignal | undefined,
  onLoaded: (loaded: number, size: number | undefined) => void,
): Promise<void> {
  const path = `${blob}.incomplete`
  try {
    const part = await Part.open(path, facts, repository, signal)
    try {
      onLoaded(part.loaded, part.size)
      await complete(settings, repository, facts, part, signal, onLoaded)
    } finally {
      await part.close()
    }
  } catch (error) {
    const wrong = SurefootError.isInstance(error) && error.code === 'ERR_INTEGRITY'
    if (wrong || error instanceof Changed) await rm(path, { force: true })
    throw error
  }
  await rename(path, blob)
}

async function complete(
  settings: HubSettings,
  repository: Repository,
  { file, url, etag }: FileFacts,
  part: Part,
  signal: AbortSignal | undefined,
  onLoaded: (loaded: number, size: number | undefined) => void,
): Promise<void> {
  const base: HubRequest = {
    method: 'GET',
    url,
    timeout: settings.downloadTimeout,
    signal,
    repository,
    file,
    onHubAnswer: headers => {
      const now = etagOf(headers)
      if (now !== undefined && now !== etag) throw new Changed(`${file} changed while it was fetched`)
    },
  }
  const receive = async ({ status, headers, chunks }: Answer): Promise<void> => {
    if (status === 206) {
      const [, start, end] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? []
      if (Number(start) !== part.loaded) throw httpError(base, new URL(url), status, 'another range than asked for')
      part.size ??= wholeNumber(end)
    } else {
      await part.empty()
      part.size ??= wholeNumber(headers.get('content-length'))
    }
    for await (const chunk of chunks()) {
      await part.append(chunk)
      onLoaded(part.loaded, part.size)
    }
    part.size ??= part.loaded
    if (part.loaded < part.size) {
      throw new PassingFailure(httpError(base, new URL(url), status, `only ${part.loaded} of ${part.size} bytes`))
    }
  }
  const attempt = async (): Promise<void> => {
    if (part.loaded === part.size) return
    const from = part.loaded
    await part.rehash()
    const resume = from > 0 && {
      headers: { range: `bytes=${from}-` },
      hubHeaders: { 'if-range': `"${etag}"` },
    }
    try {
      await exchange(settings, { ...base, ...resume }, receive)
    } catch (error) {
      if (from === 0 || !SurefootError.isInstance(error) || error.data.status !== 416) throw error
      await part.empty()
      throw new PassingFailure(error)
    }
  }
  let [found, mark] = [part.loaded > 0, part.loaded]
  const progressed = (): boolean => {
    const far = part.loaded - mark >= MIB
    if (far) mark = part.loaded
    return far
  }
  for (;;) {
    await persist(settings, signal, attempt, progressed)
    const fault = await part.fault()
    if (fault === undefined) return part.flush()
    // What an earlier run left may be at fault: once more, from nothing.
    if (!found) throw fault
    await part.empty()
    found = false
  }
}

/** The beginning of a file, and the hash of it. */
class Part {
  loaded = 0
  size: number | undefined
  #hash: Hash | undefined
  readonly #file: FileHandle
  readonly #facts: FileFacts
  readonly #repository: Repository
  readonly #signal: AbortSignal | undefined

  private constructor(file: FileHandle, facts: FileFacts, repository: Repository, signal: AbortSignal | undefined) {
    this.#file = file
    this.#facts = facts
    this.#repository = repository
    this.#signal = signal
    this.size = facts.size
  }

  static async open(
    path: string,
    facts: FileFacts,
    repository: Repository,
    signal: AbortSignal | undefined,
  ): Promise<Part> {
    const file = await open(path, 'a+')
    const part = new Part(file, facts, repository, signal)
    part.loaded = (await file.stat()).size
    if (part.size !== undefined && part.loaded > part.size) await part.empty()
    return part
  }

  async append(chunk: Uint8Array): Promise<void> {
    const most = this.size ?? UNANNOUNCED
    if (this.loaded + chunk.length > most) throw this.wrong(`is longer than ${most} bytes`)
    await this.rehash()
    await this.#file.appendFile(chunk)
    this.#hash?.update(chunk)
    this.loaded += chunk.length
  }

  async empty(): Promise<void> {
    if (this.loaded > 0) await this.#file.truncate(0)
    this.loaded = 0
    this.#hash = undefined
  }

  /** What is wrong with the whole file; undefined when its hash is its etag, or its etag is no hash. */
  async fault(): Promise<SurefootError | undefined> {
    await this.rehash()
    const hash = this.#hash?.digest('hex')
    this.#hash = undefined
    if (hash === undefined || hash === this.#facts.etag) return undefined
    return this.wrong(`has the ${algorithmOf(this.#facts.etag)} ${hash}, expected was ${this.#facts.etag}`)
  }

  /** On the disk before it gets its name, so that a power cut cannot leave a wrong blob. */
  flush(): Promise<void> {
    return this.#file.datasync()
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  wrong(what: string): SurefootError {
    const { file, etag } = this.#facts
    return new SurefootError('ERR_INTEGRITY', `${file} of ${named(this.#repository)} ${what}; load it again`, {
      data: { file, repository: this.#repository.id, etag, loaded: this.loaded, size: this.size },
    })
  }

  /** Hashes what is here already, if that is still to be done. Needs the size, which git hashes first. */
  async rehash(): Promise<void> {
    const algorithm = algorithmOf(this.#facts.etag)
    if (this.#hash !== undefined || this.size === undefined || algorithm === undefined) return
    const hash = createHash(algorithm)
    if (algorithm === 'sha1') hash.update(`blob ${this.size}\0`)
    const buffer = Buffer.allocUnsafe(MIB)
    for (let at = 0; at < this.loaded; ) {
      this.#signal?.throwIfAborted()
      const { bytesRead } = await this.#file.read(buffer, 0, Math.min(MIB, this.loaded - at), at)
      if (bytesRead === 0) throw this.wrong('became shorter while it was read')
      hash.update(buffer.subarray(0, bytesRead))
      at += bytesRead
    }
    this.#hash = hash
  }
}

function algorithmOf(etag: string): 'sha256' | 'sha1' | undefined {
  if (/^[0-9a-f]{64}$/.test(etag)) return 'sha256'
  return /^[0-9a-f]{40}$/.test(etag) ? 'sha1' : undefined
}
