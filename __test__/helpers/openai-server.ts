/**
 * A server on this machine that speaks OpenAI's protocol as one of the known servers does: what each accepts, refuses and
 * adds, from its documentation and source. Beside that it can do what servers do when something is wrong.
 */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { ExecutionContext } from 'ava'
import { SurefootError } from '../../src/errors.ts'
import { type OpenAIGenerator, type OpenAIOptions, openai } from '../../src/generator/openai.ts'

export type Kind = 'vllm' | 'sglang' | 'llama.cpp' | 'deepseek' | 'mistral' | 'openai' | 'plain'

export type Body = Record<string, unknown> & {
  readonly n?: number
  readonly seed?: number
  readonly stop?: readonly string[]
  readonly stream?: boolean
  readonly messages?: readonly { role: string; content: string; prefix?: boolean }[]
}

export interface Seen {
  readonly method: string
  /** With the query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Body
}

/** What goes wrong. */
export interface Faults {
  ignores: ('n' | 'stop' | 'stream' | 'stream_options' | 'n > 2')[]
  /** Repeats the prefix at the beginning of the answer. */
  repeats: boolean
  /** Leaves out what says which text stopped it. */
  silent: boolean
  logprobs: boolean
  usage: boolean
}

/** Takes over an answer: true where it did. */
export type Hook = (seen: Seen, response: ServerResponse) => boolean | Promise<boolean>

const OWNER: Readonly<Record<Kind, string>> = {
  vllm: 'vllm',
  sglang: 'sglang',
  'llama.cpp': 'llamacpp',
  deepseek: 'deepseek',
  mistral: 'mistralai',
  openai: 'system',
  plain: 'library',
}

interface Written {
  readonly tokens: string[]
  readonly finish: string
  readonly stopped: string | number | null
}

export class OpenAIServer {
  readonly seen: Seen[] = []
  /** Connections that the other side closed before the answer was complete. */
  closed = 0
  /** What the model writes to its end, in tokens; by the seed and the place in the answer. */
  write: (seed: number | undefined, index: number, body: Body) => readonly string[] = () => ['One.', '\n\n', 'Two.']
  hook: Hook = () => false
  /** Waits before each event. */
  pause: () => Promise<void> = async () => {}
  readonly faults: Faults = { ignores: [], repeats: false, silent: false, logprobs: true, usage: true }
  readonly kind: Kind
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(kind: Kind) {
    this.kind = kind
    this.faults.repeats = kind === 'mistral'
    this.#server = createServer(async (request, response) => {
      const parts: Buffer[] = []
      for await (const part of request) parts.push(part as Buffer)
      const text = Buffer.concat(parts).toString('utf8')
      const seen: Seen = {
        method: request.method!,
        path: request.url!,
        headers: request.headers,
        body: text === '' ? {} : JSON.parse(text),
      }
      this.seen.push(seen)
      response.on('error', () => {})
      response.on('close', () => {
        if (!response.writableEnded) this.closed++
      })
      if (kind === 'llama.cpp') response.setHeader('server', 'llama.cpp')
      if (!(await this.hook(seen, response))) await this.#serve(seen, response)
    })
    this.#server.on('connection', socket => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  static async start(kind: Kind): Promise<OpenAIServer> {
    const server = new OpenAIServer(kind)
    await new Promise<void>(resolve => server.#server.listen(0, '127.0.0.1', resolve))
    return server
  }

  /** What a client takes for its base. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** The bodies of the requests for text. */
  get asked(): Body[] {
    return this.seen.filter(({ method }) => method === 'POST').map(({ body }) => body)
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #serve({ method, path, body }: Seen, response: ServerResponse): Promise<void> {
    const at = path.split('?')[0]
    if (method === 'GET' && at === '/v1/models') {
      return json(response, 200, { object: 'list', data: [{ id: 'm', object: 'model', owned_by: OWNER[this.kind] }] })
    }
    if (method !== 'POST' || !/^\/v1\/(chat\/)?completions$/.test(at!)) {
      return json(response, 404, { detail: 'Not Found' })
    }
    const refusal = this.#refusal(body)
    if (refusal !== null) return json(response, ...refusal)
    await this.#answer(at!.startsWith('/v1/chat'), body, response)
  }

  /** What the server refuses, with its status and in its words. */
  #refusal(body: Body): [number, object] | null {
    const has = (name: string): boolean => body[name] !== undefined
    const last = body.messages?.at(-1)
    const vllm = (message: string, param: string): [number, object] => [
      400,
      { error: { message, type: 'BadRequestError', param, code: 400 } },
    ]
    const openai = (param: string, message: string, code: string): [number, object] => [
      400,
      { error: { message, type: 'invalid_request_error', param, code } },
    ]
    switch (this.kind) {
      case 'vllm':
        if (body.continue_final_message && body.add_generation_prompt !== false) {
          return vllm('Cannot set both `continue_final_message` and `add_generation_prompt` to True.', 'messages')
        }
        if (has('stream_options') && !body.stream) {
          return vllm('Stream options can only be defined when `stream=True`.', 'stream_options')
        }
        if ((body.n ?? 1) > 1 && body.temperature === 0) {
          return vllm(`n must be 1 when using greedy sampling, got ${body.n}.`, 'n')
        }
        return null
      case 'sglang':
        if ((body.stop ?? []).includes('')) {
          return [400, { object: 'error', message: 'empty stop', type: 'BadRequestError', code: 400 }]
        }
        return null
      case 'llama.cpp': {
        const error = (message: string): [number, object] => [
          400,
          { error: { code: 400, message, type: 'invalid_request_error' } },
        ]
        if ((body.n ?? 1) > 4) return error(`Invalid value for "n_cmpl": must be between 1 and 4`)
        if (body.logit_bias !== undefined && !Array.isArray(body.logit_bias)) return error('logit_bias: pairs expected')
        return null
      }
      case 'mistral': {
        const known =
          'model messages temperature top_p max_tokens stream stop random_seed n presence_penalty frequency_penalty'
        const extra = Object.keys(body).find(name => !known.split(' ').includes(name))
        if (extra !== undefined) {
          const detail = [{ type: 'extra_forbidden', loc: ['body', extra], msg: 'Extra inputs are not permitted' }]
          return [422, { detail }]
        }
        if (last?.role === 'assistant' && !last.prefix) {
          const message =
            'Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant'
          return [400, { object: 'error', message, type: 'invalid_request_message_order', code: 3230 }]
        }
        return null
      }
      case 'openai':
        if (has('max_tokens')) {
          const message =
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
          return openai('max_tokens', message, 'unsupported_parameter')
        }
        for (const name of ['top_k', 'min_p', 'repetition_penalty', 'continue_final_message']) {
          if (has(name)) return openai(name, `Unrecognized request argument supplied: ${name}`, 'unknown_parameter')
        }
        return null
      default:
        return null
    }
  }

  async #answer(chat: boolean, body: Body, response: ServerResponse): Promise<void> {
    const { ignores } = this.faults
    const n = this.kind === 'deepseek' || ignores.includes('n') ? 1 : (body.n ?? 1)
    const given = ignores.includes('n > 2') ? Math.min(n, 2) : n
    const choices = Array.from({ length: given }, (_, index) => this.#write(index, body))
    const prefix = this.faults.repeats ? this.#prefixOf(body) : ''
    const usage = {
      prompt_tokens: 10,
      completion_tokens: choices.reduce((sum, { tokens }) => sum + tokens.length, 0) + given,
      total_tokens: 0,
    }
    if (!body.stream || ignores.includes('stream')) {
      return json(response, 200, {
        object: chat ? 'chat.completion' : 'text_completion',
        choices: choices.map((written, index) => {
          const text = prefix + written.tokens.join('')
          return {
            index,
            ...(chat ? { message: { role: 'assistant', content: text } } : { text }),
            ...this.#logprobs(chat, body, written.tokens),
            ...this.#end(written),
          }
        }),
        ...(this.faults.usage && { usage }),
      })
    }
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    const say = async (event: object): Promise<void> => {
      await this.pause()
      response.write(`data: ${JSON.stringify(event)}\n\n`)
    }
    const piece = (index: number, text: string, more: object = {}): object => ({
      object: chat ? 'chat.completion.chunk' : 'text_completion',
      choices: [{ index, ...(chat ? { delta: { content: text } } : { text }), finish_reason: null, ...more }],
    })
    if (this.kind === 'llama.cpp') response.write(': ping\n\n')
    if (chat) for (const index of choices.keys()) await say(piece(index, ''))
    if (prefix !== '') for (const index of choices.keys()) await say(piece(index, prefix))
    const longest = Math.max(...choices.map(({ tokens }) => tokens.length))
    for (let at = 0; at < longest && !response.destroyed; at++) {
      for (const [index, { tokens }] of choices.entries()) {
        if (at >= tokens.length || response.destroyed) continue
        const timings = body.timings_per_token ? { timings: { prompt_n: 4, cache_n: 6, predicted_n: at + 1 } } : {}
        await say({ ...piece(index, tokens[at]!, this.#logprobs(chat, body, [tokens[at]!])), ...timings })
      }
    }
    for (const [index, written] of choices.entries()) await say(piece(index, '', this.#end(written)))
    const options = body.stream_options as { include_usage?: boolean } | undefined
    const counts = options?.include_usage || this.kind === 'mistral'
    if (counts && this.faults.usage) await say({ choices: [], usage })
    response.end('data: [DONE]\n\n')
  }

  #prefixOf(body: Body): string {
    const last = body.messages?.at(-1)
    return last?.role === 'assistant' ? last.content : ''
  }

  /** The tokens of a choice up to its end, a stop text or the limit. */
  #write(index: number, body: Body): Written {
    const seed = (body.seed ?? body.random_seed) as number | undefined
    const all = this.write(seed === undefined ? undefined : seed + (this.kind === 'sglang' ? 0 : index), index, body)
    const most = Number(body.max_tokens ?? body.max_completion_tokens ?? 16)
    const stops = this.faults.ignores.includes('stop') ? [] : (body.stop ?? [])
    const end = this.kind === 'sglang' ? 2 : null
    for (let count = 1; count <= Math.min(all.length, most); count++) {
      const text = all.slice(0, count).join('')
      const stop = stops.find(each => text.includes(each))
      if (stop !== undefined)
        return { tokens: cut(all.slice(0, count), text.indexOf(stop)), finish: 'stop', stopped: stop }
    }
    if (all.length >= most) return { tokens: all.slice(0, most), finish: 'length', stopped: null }
    return { tokens: [...all], finish: 'stop', stopped: end }
  }

  #end({ finish, stopped }: Written): object {
    const field = { vllm: 'stop_reason', sglang: 'matched_stop' }[this.kind as string]
    return { finish_reason: finish, ...(field !== undefined && !this.faults.silent && { [field]: stopped }) }
  }

  #logprobs(chat: boolean, body: Body, tokens: readonly string[]): object {
    const asked = chat ? body.logprobs === true : body.logprobs !== undefined
    if (!asked || !this.faults.logprobs) return {}
    const content = tokens.map((token, at) => ({ token, logprob: -0.5 - at }))
    if (chat || this.kind === 'llama.cpp') return { logprobs: { content } }
    return { logprobs: { tokens, token_logprobs: content.map(({ logprob }) => logprob) } }
  }
}

/** The tokens of the first characters. */
function cut(tokens: readonly string[], characters: number): string[] {
  const kept: string[] = []
  let left = characters
  for (const token of tokens) {
    if (left > 0) kept.push(token.slice(0, left))
    left -= token.length
  }
  return kept
}

export function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

export async function withServer<T>(kind: Kind, use: (server: OpenAIServer) => Promise<T>): Promise<T> {
  const server = await OpenAIServer.start(kind)
  try {
    return await use(server)
  } finally {
    await server.stop()
  }
}

/** A generator at a server, of the dialect `vllm` unless the options name another. */
export const policy = (server: OpenAIServer, options: Partial<OpenAIOptions> = {}): OpenAIGenerator =>
  openai({ baseURL: server.url, model: 'm', dialect: 'vllm', ...options })

/** Runs `hook` on the first requests for text, the next ones get an answer. */
export function first(server: OpenAIServer, count: number, hook: Hook): void {
  let left = count
  server.hook = (seen, response) => seen.method === 'POST' && left-- > 0 && hook(seen, response)
}

export const refuse =
  (status: number, headers: Record<string, string> = {}, body: object = { error: { message: 'no' } }): Hook =>
  (_, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    json(response, status, body)
    return true
  }

/** An event with the text of a choice. */
export const event = (text: string, more: object = {}): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text }, finish_reason: null, ...more }] })}\n\n`

export const streamed: Readonly<Record<string, string>> = { 'content-type': 'text/event-stream' }

/** The error that a promise is rejected with, which has to be ERR_HTTP. */
export async function httpError(t: ExecutionContext, promise: Promise<unknown>): Promise<SurefootError> {
  const error = (await t.throwsAsync(promise)) as SurefootError
  t.true(SurefootError.isInstance(error))
  t.is(error.code, 'ERR_HTTP', error.stack)
  return error
}

/** For a hook that has answered. */
export const done = (_: ServerResponse): boolean => true

export const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 5))
}
