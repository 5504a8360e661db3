/** A hub on this machine: the API, `resolve`, and a second server on another port as its CDN. */
import { createHash } from 'node:crypto'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { type HubSettings, hubSettings } from '../../src/hub/settings.ts'
import { withFolder } from './fixtures.ts'

export const commits = ['a', 'b', 'c'].map(digit => digit.repeat(40)) as [string, string, string]

/** Files by path; a Buffer lies in LFS, a string in git. */
export type Files = Readonly<Record<string, string | Buffer>>

export interface Seen {
  readonly server: 'hub' | 'cdn'
  readonly method: string
  /** With the query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
}

/** What becomes of a file's bytes on their way. */
export interface Body {
  readonly bytes: Buffer
  /** @default the length of the bytes */
  readonly announced?: number
  /** @default 'end' */
  readonly ending?: 'end' | 'break' | 'hang'
}

interface Repository {
  readonly revisions: Readonly<Record<string, string>>
  readonly files: Readonly<Record<string, Files>>
}

export class HubServer {
  readonly seen: Seen[] = []
  /** Answers instead of the hub where it returns true. */
  answer: (seen: Seen, response: ServerResponse) => boolean = () => false
  /** Changes the bytes of a file. */
  body: (bytes: Buffer, seen: Seen) => Body | Promise<Body> = bytes => ({ bytes })
  /** Whether the servers honour Range. */
  ranges = true
  readonly #repositories = new Map<string, Repository>()
  readonly #hub: Server
  readonly #cdn: Server

  private constructor() {
    this.#hub = createServer((request, response) => this.#serve('hub', request, response))
    this.#cdn = createServer((request, response) => this.#serve('cdn', request, response))
  }

  static async start(): Promise<HubServer> {
    const server = new HubServer()
    for (const each of [server.#hub, server.#cdn]) {
      await new Promise<void>(resolve => each.listen(0, '127.0.0.1', resolve))
    }
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`
  }

  get cdn(): string {
    return `http://127.0.0.1:${(this.#cdn.address() as AddressInfo).port}`
  }

  /** `main` is the last of the commits given. */
  add(id: string, commit: string, files: Files, revisions: Record<string, string> = {}): void {
    const old = this.#repositories.get(id)
    this.#repositories.set(id, {
      revisions: { ...old?.revisions, main: commit, ...revisions },
      files: { ...old?.files, [commit]: files },
    })
  }

  /** Method and path of what was asked, without the query. */
  get asked(): string[] {
    return this.seen.map(({ server, method, path }) => `${server} ${method} ${path.split('?')[0]}`)
  }

  /** How often the bytes of a file were asked for. */
  fetched(file: string): number {
    const lfs = this.seen.filter(({ server, path }) => server === 'cdn' && path.endsWith(`name=${file}`))
    const git = this.seen.filter(
      ({ method, path }) => method === 'GET' && path.includes(`/resolve-cache/`) && path.endsWith(`/${file}`),
    )
    return lfs.length + git.length
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#cdn]) {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }

  async #serve(server: 'hub' | 'cdn', request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!
    const seen: Seen = { server, method: request.method!, path, headers: request.headers }
    this.seen.push(seen)
    response.on('error', () => {})
    if (this.answer(seen, response)) return
    const url = new URL(path, this.url)
    const parts = url.pathname.split('/').slice(1).map(decodeURIComponent)
    if (server === 'cdn')
      return this.#send(seen, response, this.#file(parts[0]!, parts[1]!, url.searchParams.get('name')!)!)
    if (parts[0] === 'api') return this.#api(seen, response, parts.slice(1))
    this.#resolve(response, parts)
  }

  async #api(
    seen: Seen,
    response: ServerResponse,
    [kind, org, name, verb, revision, ...rest]: string[],
  ): Promise<void> {
    if (kind === 'resolve-cache') {
      response.setHeader('x-repo-commit', verb!)
      return this.#send(seen, response, this.#file(`${org}/${name}`, verb!, [revision, ...rest].join('/'))!)
    }
    const id = `${kind === 'datasets' ? 'datasets/' : ''}${org}/${name}`
    const repository = this.#repositories.get(id)
    if (!repository) return void refuse(response, 401, 'RepoNotFound', 'Repository not found')
    const commit = repository.revisions[revision ?? 'main'] ?? (repository.files[revision!] && revision)
    if (commit === undefined) return void refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`)
    const files = repository.files[commit]!
    response.setHeader('content-type', 'application/json')
    if (verb === 'tree') {
      const rows = Object.entries(files).map(([path, content]) => {
        const lfs = Buffer.isBuffer(content)
          ? { lfs: { oid: etagOf(content), size: content.length, pointerSize: 134 } }
          : {}
        return { type: 'file', path, size: content.length, oid: etagOf(content).slice(0, 40), ...lfs }
      })
      response.end(JSON.stringify(rows))
    } else {
      const siblings = Object.keys(files).map(rfilename => ({ rfilename }))
      response.end(
        JSON.stringify({ id: `${org}/${name}`, sha: commit, siblings, tags: [], private: false, downloads: 0 }),
      )
    }
  }

  #resolve(response: ServerResponse, parts: string[]): void {
    const at = parts.indexOf('resolve')
    const id = parts.slice(0, at).join('/')
    const revision = parts[at + 1]!
    const file = parts.slice(at + 2).join('/')
    const repository = this.#repositories.get(id)
    if (!repository) return void refuse(response, 401, 'RepoNotFound', 'Repository not found')
    const commit = repository.revisions[revision] ?? (repository.files[revision] && revision)
    if (commit === undefined) return void refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`)
    response.setHeader('x-repo-commit', commit)
    const content = repository.files[commit]![file]
    if (content === undefined) return void refuse(response, 404, 'EntryNotFound', 'Entry not found')
    const facts = { 'x-linked-etag': `"${etagOf(content)}"`, 'x-linked-size': content.length }
    const key = `${encodeURIComponent(id)}/${commit}`
    const location = Buffer.isBuffer(content)
      ? `${this.cdn}/${key}?signature=secret-of-the-cdn&name=${encodeURIComponent(file)}`
      : `/api/resolve-cache/${id.split('/').slice(-2).join('/')}/${commit}/${file}`
    response.writeHead(Buffer.isBuffer(content) ? 302 : 307, { ...facts, location }).end()
  }

  #file(id: string, commit: string, file: string): string | Buffer | undefined {
    const found = this.#repositories.get(id) ?? this.#repositories.get(`datasets/${id}`)
    return found?.files[commit]?.[file]
  }

  async #send(seen: Seen, response: ServerResponse, content: string | Buffer): Promise<void> {
    const whole = Buffer.from(content)
    const etag = Buffer.isBuffer(content) ? createHash('md5').update(whole).digest('hex') : etagOf(content)
    const [, from] = (this.ranges && /^bytes=(\d+)-$/.exec(seen.headers.range ?? '')) || []
    const condition = seen.headers['if-range']
    const start = from === undefined || (condition && condition !== `"${etag}"`) ? 0 : Number(from)
    if (start > 0 && start >= whole.length) return void response.writeHead(416).end()
    const { bytes, announced = bytes.length, ending = 'end' } = await this.body(whole.subarray(start), seen)
    response.writeHead(start > 0 ? 206 : 200, {
      etag: `"${etag}"`,
      'accept-ranges': 'bytes',
      'content-length': announced,
      ...(start > 0 && { 'content-range': `bytes ${start}-${start + announced - 1}/${whole.length}` }),
    })
    if (seen.method === 'HEAD') return void response.end()
    response.write(bytes, () => {
      if (ending === 'break') response.destroy()
      else if (ending === 'end') response.end()
    })
  }
}

/** An answer as the hub words its refusals. */
export function refuse(response: ServerResponse, status: number, code: string, message: string): ServerResponse {
  response.writeHead(status, { 'x-error-code': code, 'x-error-message': message })
  return response.end(JSON.stringify({ error: message }))
}

/** The sha256 of a file in LFS, the sha1 of a git blob. */
export function etagOf(content: string | Buffer): string {
  if (Buffer.isBuffer(content)) return createHash('sha256').update(content).digest('hex')
  const bytes = Buffer.from(content)
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
}

export interface Hub {
  readonly server: HubServer
  readonly cache: string
  /** Of the server, an empty cache and no token, with short waits. */
  readonly settings: HubSettings
}

/** Runs `use` with a hub and an empty cache of its own. */
export function withHub<T>(use: (hub: Hub) => Promise<T>): Promise<T> {
  return withFolder(async folder => {
    const server = await HubServer.start()
    const cache = join(folder, 'cache')
    const environment = { HF_HOME: folder, HF_HUB_CACHE: cache, HF_ENDPOINT: server.url }
    try {
      return await use({ server, cache, settings: { ...hubSettings(environment), firstWait: 1 } })
    } finally {
      await server.stop()
    }
  })
}

/** The error that a promise is rejected with. */
export async function failureOf(
  t: ExecutionContext,
  promise: Promise<unknown>,
): Promise<Error & { code: string; data: Record<string, unknown> }> {
  return (await t.throwsAsync(promise)) as Error & { code: string; data: Record<string, unknown> }
}

/** A small model: what it takes, beside what must not be fetched. */
export const model: Files = {
  'config.json': '{"architectures":["X"]}',
  'tokenizer.json': Buffer.from('{"version":"1.0"}'),
  'tokenizer_config.json': '{}',
  'model.safetensors': Buffer.alloc(3_000_000, 'weights'),
  'pytorch_model.bin': Buffer.from('pickle'),
  'modeling_x.py': 'import os',
  'README.md': '# X',
  '.gitattributes': '*',
}
