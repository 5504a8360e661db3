/** The environment variables that huggingface_hub reads, read as it reads them. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { invalidArgument, SurefootError } from '../errors.ts'

export interface HubSettings {
  /** The hub's address, without a trailing slash. */
  readonly endpoint: string
  /** The folder of the shared cache. */
  readonly cache: string
  readonly token: string | undefined
  /** No request is made. */
  readonly offline: boolean
  /** Snapshots hold links to blobs; otherwise the files themselves. */
  readonly symlinks: boolean
  /** Milliseconds without an answer before a question to the hub has failed. */
  readonly lookupTimeout: number
  /** Milliseconds without a byte before a download has failed. */
  readonly downloadTimeout: number
  /** How often a request is tried that fails in passing: 408, 429, 5xx, a broken or silent connection. */
  readonly attempts: number
  /** Milliseconds before the second attempt, where the hub names none; doubled before each further one. */
  readonly firstWait: number
  /** Milliseconds. A hub that asks for a longer wait is an error. */
  readonly longestWait: number
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * `HF_HOME`, `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `XDG_CACHE_HOME`, `HF_ENDPOINT`, `HF_TOKEN`,
 * `HUGGING_FACE_HUB_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`, `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE`,
 * `HF_HUB_DISABLE_SYMLINKS`, `HF_HUB_ETAG_TIMEOUT` and `HF_HUB_DOWNLOAD_TIMEOUT` (seconds). An empty one counts as unset.
 *
 * @throws `ERR_INVALID_ARGUMENT` for a value that cannot be used, `ERR_IO` for a token file that cannot be read
 */
export function hubSettings(environment: Environment = process.env): HubSettings {
  const read = (name: string): string | undefined => environment[name] || undefined
  const folder = (name: string): string | undefined => {
    const value = read(name)
    return value === undefined ? undefined : expand(value, environment)
  }
  const cacheHome = folder('XDG_CACHE_HOME') ?? join(homedir(), '.cache')
  const home = folder('HF_HOME') ?? join(cacheHome, 'huggingface')
  return {
    endpoint: endpoint(read('HF_ENDPOINT') ?? 'https://huggingface.co'),
    cache: resolve(folder('HF_HUB_CACHE') ?? folder('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub')),
    token: isOn(read('HF_HUB_DISABLE_IMPLICIT_TOKEN'))
      ? undefined
      : token(read('HF_TOKEN') ?? read('HUGGING_FACE_HUB_TOKEN'), folder('HF_TOKEN_PATH') ?? join(home, 'token')),
    offline: isOn(read('HF_HUB_OFFLINE') ?? read('TRANSFORMERS_OFFLINE')),
    symlinks: !isOn(read('HF_HUB_DISABLE_SYMLINKS')),
    lookupTimeout: seconds('HF_HUB_ETAG_TIMEOUT', read('HF_HUB_ETAG_TIMEOUT')),
    downloadTimeout: seconds('HF_HUB_DOWNLOAD_TIMEOUT', read('HF_HUB_DOWNLOAD_TIMEOUT')),
    attempts: 5,
    firstWait: 500,
    longestWait: 60_000,
  }
}

/** `~` and `$NAME` as a shell would. An unknown name stays as it is. */
function expand(path: string, environment: Environment): string {
  const named = path.replace(/^~(?=$|[\\/])/, () => homedir())
  return named.replace(/\$(?:(\w+)|\{(\w+)\})/g, (text, bare, braced) => environment[bare ?? braced] ?? text)
}

function isOn(value: string | undefined): boolean {
  return value !== undefined && ['1', 'ON', 'YES', 'TRUE'].includes(value.toUpperCase())
}

/** Milliseconds; 10 s where none are given. */
function seconds(name: string, value: string | undefined): number {
  if (value === undefined) return 10_000
  if (!/^\s*\d{1,6}\s*$/.test(value)) invalidArgument(name, 'must be a whole number of seconds', value)
  return (Number(value) || 10) * 1000
}

function endpoint(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    invalidArgument('HF_ENDPOINT', 'must be an http or https address without user, password or query')
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

/** No message here shows what it read. */
function token(given: string | undefined, path: string): string | undefined {
  const text = (given ?? fileText(path) ?? '').replace(/[\r\n]/g, '').trim()
  if (/[^\x21-\x7e]/.test(text)) {
    invalidArgument(given === undefined ? path : 'HF_TOKEN', 'holds characters that no token has')
  }
  return text || undefined
}

function fileText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new SurefootError('ERR_IO', `the token file ${path} cannot be read: ${code}`, { data: { path }, cause })
  }
}
