/** Some files of a repository at one commit, from the hub or from the cache. */
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { SurefootError } from '../errors.ts'
import { RepositoryCache } from './cache.ts'
import { Changed, download, type FileFacts, lookUp } from './download.ts'
import { fetchCommand, getJson, type HubRequest, httpError, notFound, persist } from './http.ts'
import { withLock } from './lock.ts'
import { isSafePath, named, type Repository } from './reference.ts'
import type { HubSettings } from './settings.ts'

/** How far a download is. Files that are here already are not counted. */
export interface DownloadProgress {
  /** The file that grew. */
  readonly file: string
  /** Bytes of it that are here, those of an earlier run included. */
  readonly loaded: number
  /** Bytes of it in all; undefined while the hub has not said. */
  readonly total: number | undefined
  /** The same over all files that are known to be needed. */
  readonly all: { readonly files: number; readonly loaded: number; readonly total: number }
}

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined
}

/** A commit of a repository, as the hub lists it or as the cache holds it. */
export interface Commit {
  /** The paths of its files; those of them that are here when the hub is not asked. */
  readonly names: ReadonlySet<string>
  /** Whether `names` are all that there are. */
  readonly listed: boolean
  /** Where its files are once they were got. */
  readonly folder: string
  /** Brings files here. */
  readonly get: (files: readonly string[]) => Promise<void>
  /** The error for something that `names` do not show. */
  readonly lacking: (what: string) => SurefootError
}

/** What to get of a commit. */
export interface Plan<T> {
  readonly run: (commit: Commit) => Promise<T>
  /** Files that `run` takes if they exist: without them, what is here may be less than what the hub holds. */
  readonly optional: readonly string[]
}

/** Bytes of the hub's list of files. */
const LISTING = 16 * 2 ** 20

/** Bytes between two reports on a file. */
const REPORT = 2 ** 20

const LOOKUPS = 8
const DOWNLOADS = 4

/**
 * Runs a plan over a commit. As huggingface_hub does: a commit that is here needs no request, a branch or tag asks which
 * commit it is now; offline, or when the hub gives no answer, the commit that it last was will do if it is whole.
 *
 * @throws `ERR_OFFLINE`, `ERR_HTTP`, `ERR_GATED`, `ERR_MODEL_NOT_FOUND`, `ERR_DATASET_NOT_FOUND`, `ERR_INTEGRITY`,
 *   `ERR_IO`, what the plan throws; the signal's reason
 */
export async function fetchSnapshot<T>(
  settings: HubSettings,
  repository: Repository,
  plan: Plan<T>,
  options: FetchOptions,
): Promise<T> {
  options.signal?.throwIfAborted()
  const cache = new RepositoryCache(settings, repository)
  try {
    const here = await cache.commit(repository.revision)
    const fromCache = async (): Promise<T> => plan.run(await cachedCommit(settings, repository, cache, here))
    if (settings.offline) return await fromCache()
    if (here === repository.revision && plan.optional.every(file => cache.has(here, file) || cache.lacks(here, file))) {
      const found = await fromCache().catch(ignoreIncomplete)
      if (found !== undefined) return found
    }
    const patient = here === undefined ? settings : { ...settings, attempts: 1 }
    const listing = await list(patient, repository, options.signal).catch(async (error: unknown) => {
      options.signal?.throwIfAborted()
      if (here === undefined || !isRefusalOrSilence(error)) throw error
      return { error, found: await fromCache().catch(ignoreIncomplete) }
    })
    if ('error' in listing) {
      if (listing.found === undefined) throw listing.error
      const said = (listing.error as Error).message
      process.emitWarning(
        `${said}. Taken instead: commit ${here} of ${repository.id}, from the cache`,
        'SurefootWarning',
      )
      return listing.found
    }
    const { commit, names } = listing
    const got = await plan.run(hubCommit(settings, repository, cache, commit, names, options))
    await remember(cache, repository.revision, commit, plan.optional, names)
    return got
  } catch (error) {
    options.signal?.throwIfAborted()
    throw asStorageError(error, settings.cache)
  }
}

/** Refs only name commits that are whole. A cache that cannot be written is no reason to fail by now. */
async function remember(
  cache: RepositoryCache,
  revision: string,
  commit: string,
  optional: readonly string[],
  names: ReadonlySet<string>,
): Promise<void> {
  try {
    await cache.remember(revision, commit)
    await cache.rememberAbsent(
      commit,
      optional.filter(file => !names.has(file)),
    )
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EROFS' && code !== 'EACCES' && code !== 'EPERM') throw error
  }
}

/** An error of what the hub says of the whole repository, other than that the revision is gone. */
function isRefusalOrSilence(error: unknown): boolean {
  if (!SurefootError.isInstance(error)) return false
  if (['ERR_OFFLINE', 'ERR_HTTP', 'ERR_GATED'].includes(error.code)) return true
  return error.data.missing === 'repository'
}

function ignoreIncomplete(error: unknown): undefined {
  if (SurefootError.isInstance(error) && error.code === 'ERR_OFFLINE') return undefined
  throw error
}

async function cachedCommit(
  settings: HubSettings,
  repository: Repository,
  cache: RepositoryCache,
  commit: string | undefined,
): Promise<Commit> {
  const why = settings.offline ? 'and HF_HUB_OFFLINE forbids to ask the hub' : 'and the hub gave no answer'
  const lacking = (what: string): SurefootError =>
    new SurefootError(
      'ERR_OFFLINE',
      `${what} is not in the cache ${settings.cache}, ${why}; with a network, run: ${fetchCommand(repository)}`,
      { data: { repository: repository.id, revision: repository.revision, cache: settings.cache } },
    )
  if (commit === undefined) throw lacking(named(repository))
  return {
    names: new Set(await cache.files(commit)),
    listed: false,
    folder: cache.snapshot(commit),
    get: async files => {
      const missing = files.filter(file => !cache.has(commit, file))
      if (missing.length > 0) throw lacking(`${missing.join(', ')} of ${named(repository)}`)
    },
    lacking: what => lacking(`${what} of ${named(repository)}`),
  }
}

function hubCommit(
  settings: HubSettings,
  repository: Repository,
  cache: RepositoryCache,
  commit: string,
  names: ReadonlySet<string>,
  { signal, onProgress }: FetchOptions,
): Commit {
  const known = new Map<string, { loaded: number; total: number | undefined; reported: number }>()
  const report = (file: string, loaded: number, total: number | undefined): void => {
    const row = known.get(file)
    if (row === undefined) return
    row.loaded = loaded
    row.total = total
    const little = loaded !== total && row.reported >= 0 && loaded - row.reported < REPORT
    if (onProgress === undefined || little || loaded === row.reported) return
    row.reported = loaded
    const rows = [...known.values()]
    const sum = (of: (each: (typeof rows)[number]) => number): number => rows.reduce((all, each) => all + of(each), 0)
    const all = { files: rows.length, loaded: sum(each => each.loaded), total: sum(each => each.total ?? each.loaded) }
    onProgress({ file, loaded, total, all })
  }

  const bring = async (facts: FileFacts, stop: AbortSignal): Promise<void> => {
    const { file, etag } = facts
    const blob = cache.blob(etag)
    await cache.prepare(etag)
    const waiting = async (): Promise<void> => {
      const part = await stat(`${blob}.incomplete`).catch(() => undefined)
      if (part) report(file, part.size, facts.size)
    }
    const store = async (): Promise<void> => {
      if (cache.has(commit, file)) return
      const fresh = !existsSync(blob)
      if (fresh) await download(settings, repository, facts, blob, stop, (loaded, size) => report(file, loaded, size))
      await cache.place(etag, commit, file, fresh)
    }
    await withLock(cache.lock(etag), store, { signal: stop, onWait: waiting })
    const { size } = await stat(cache.pointer(commit, file))
    report(file, size, size)
  }

  /** Once more with the new facts when they change under our hands. */
  const insist = async (facts: FileFacts, stop: AbortSignal): Promise<void> => {
    try {
      await bring(facts, stop)
    } catch (error) {
      if (!(error instanceof Changed)) throw error
      await bring(await lookUp(settings, repository, commit, facts.file, stop), stop)
    }
  }

  return {
    names,
    listed: true,
    folder: cache.snapshot(commit),
    get: async files => {
      const unsafe = files.find(file => !isSafePath(file))
      if (unsafe !== undefined) throw refused(repository, unsafe)
      const missing = files.filter(file => !cache.has(commit, file))
      const facts: FileFacts[] = []
      await each(missing, LOOKUPS, signal, async (file, stop) => {
        const found = await lookUp(settings, repository, commit, file, stop)
        facts.push(found)
        known.set(file, { loaded: 0, total: found.size, reported: -1 })
      })
      await each(facts, DOWNLOADS, signal, insist).catch(error => {
        throw error instanceof Changed ? restless(repository, error) : error
      })
    },
    lacking: what =>
      new SurefootError(notFound(repository), `the ${repository.kind} ${named(repository)} has no ${what}`, {
        data: { repository: repository.id, revision: repository.revision },
      }),
  }
}

function refused(repository: Repository, file: string): SurefootError {
  return new SurefootError(
    'ERR_HTTP',
    `${named(repository)} lists ${JSON.stringify(file)}, which is no safe file name`,
    {
      data: { repository: repository.id, revision: repository.revision, file },
    },
  )
}

function restless(repository: Repository, { message }: Changed): SurefootError {
  return new SurefootError('ERR_INTEGRITY', `${named(repository)}: ${message}, twice; load it again`, {
    data: { repository: repository.id, revision: repository.revision },
  })
}

/** Works on all items, some at a time. The first failure stops the others, and is thrown when they have stopped. */
async function each<T>(
  items: readonly T[],
  width: number,
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal
  const left = items.values()
  const failures: unknown[] = []
  const worker = async (): Promise<void> => {
    for (const item of left) {
      if (failures.length > 0) return
      await work(item, both)
    }
  }
  const guarded = (): Promise<void> =>
    worker().catch(error => {
      failures.push(error)
      stop.abort(error)
    })
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, guarded))
  if (failures.length > 0) throw failures[0]
}

/** The commit of a revision, and the names of its files. */
async function list(
  settings: HubSettings,
  repository: Repository,
  signal: AbortSignal | undefined,
): Promise<{ commit: string; names: ReadonlySet<string> }> {
  const { kind, id, revision } = repository
  const url = `${settings.endpoint}/api/${kind}s/${id}/revision/${encodeURIComponent(revision)}`
  const request: HubRequest = { method: 'GET', url, timeout: settings.lookupTimeout, signal, repository }
  const answer = await persist(settings, signal, () => getJson(settings, request, LISTING))
  const { sha, siblings } = (answer ?? {}) as { sha?: unknown; siblings?: unknown }
  const names = Array.isArray(siblings) ? siblings.map(sibling => (sibling as { rfilename?: unknown })?.rfilename) : []
  if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha) || !Array.isArray(siblings)) {
    throw httpError(request, new URL(url), 200, 'no commit and list of files')
  }
  return { commit: sha, names: new Set(names.filter(name => typeof name === 'string')) }
}

function asStorageError(error: unknown, cache: string): unknown {
  const { code, syscall, path } = error as NodeJS.ErrnoException
  if (SurefootError.isInstance(error) || code === undefined || syscall === undefined) return error
  const where = path ?? cache
  const fix =
    code === 'ENOSPC' || code === 'EDQUOT' ? 'make room, or set HF_HUB_CACHE to another disk' : 'set HF_HUB_CACHE'
  return new SurefootError('ERR_IO', `${where} cannot be written or read: ${code} in ${syscall}; ${fix}`, {
    data: { path: where, code },
    cause: error,
  })
}
