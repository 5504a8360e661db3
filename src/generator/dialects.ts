/** What the servers that speak OpenAI's protocol do differently: the one place that knows their parameters. */
import type { CheckedRequest } from './generator.ts'
import { lacking } from './generator.ts'

/**
 * How a server is asked to go on with an answer that is begun. `vllm`, `sglang`: `continue_final_message`. `llama.cpp`:
 * a last message of the assistant is continued. `prefix`: the last message says `prefix: true` (DeepSeek, Mistral).
 * `none`: it cannot.
 */
export type Dialect = 'vllm' | 'sglang' | 'llama.cpp' | 'prefix' | 'none'

export type Endpoint = 'chat' | 'completions'

/** What is known of a kind of server. */
export interface Server {
  readonly dialect: Dialect
  /** What the last message carries beside its text, and the request, so that it is continued. null: it cannot be. */
  readonly prefill: { readonly message?: object; readonly request?: object } | null
  /** Writes the samples of one request. `unseeded`: with a seed they would be alike. */
  readonly n: boolean | 'unseeded'
  /** Writes them at temperature 0, where they are alike. */
  readonly greedyN: boolean
  /** The field of a choice that says which text stopped it. null: there is none. */
  readonly tells: 'stop_reason' | 'matched_stop' | null
  /** The parameter's name. null: there is none. */
  readonly seed: 'seed' | 'random_seed' | null
  /** Whether the same seed gives the same text. */
  readonly reproducible: boolean
  /** null: nobody knows before it was asked. */
  readonly logprobs: boolean | null
  /** Whether it has min_p and top_k, and what the penalty of repetition is called. Where it has them, its own defaults are not ours. */
  readonly sampler: 'repetition_penalty' | 'repeat_penalty' | null
  /** How token ids are banned. */
  readonly banIds: 'object' | 'pairs' | null
  readonly banTexts: boolean
  readonly limit: 'max_tokens' | 'max_completion_tokens'
  /** Knows `stream_options`. */
  readonly streamOptions: boolean
  /** Repeats the prefix in the answer. null: nobody knows. */
  readonly repeats: boolean | null
}

const continued = { request: { continue_final_message: true, add_generation_prompt: false } }

const none: Server = {
  dialect: 'none',
  prefill: null,
  n: true,
  greedyN: true,
  tells: null,
  seed: 'seed',
  reproducible: false,
  logprobs: null,
  sampler: null,
  banIds: 'object',
  banTexts: false,
  limit: 'max_tokens',
  streamOptions: true,
  repeats: null,
}

const vllm: Server = {
  ...none,
  dialect: 'vllm',
  prefill: continued,
  greedyN: false,
  tells: 'stop_reason',
  reproducible: true,
  logprobs: true,
  sampler: 'repetition_penalty',
  banTexts: true,
}

const prefix: Server = { ...none, dialect: 'prefix', prefill: { message: { prefix: true } }, streamOptions: false }

const SERVERS: Readonly<Record<Dialect, Server>> = {
  none,
  vllm,
  // Its seed counts only where the server runs in deterministic mode.
  sglang: {
    ...vllm,
    dialect: 'sglang',
    n: 'unseeded',
    greedyN: true,
    tells: 'matched_stop',
    reproducible: false,
    banTexts: false,
  },
  'llama.cpp': {
    ...none,
    dialect: 'llama.cpp',
    prefill: {},
    reproducible: true,
    logprobs: true,
    sampler: 'repeat_penalty',
    banIds: 'pairs',
  },
  prefix,
}

const openai: Server = { ...none, logprobs: true, limit: 'max_completion_tokens', repeats: false }
const deepseek: Server = {
  ...prefix,
  n: false,
  seed: null,
  logprobs: true,
  banIds: null,
  streamOptions: true,
  repeats: false,
}
const mistral: Server = {
  ...prefix,
  n: 'unseeded',
  seed: 'random_seed',
  reproducible: true,
  logprobs: false,
  banIds: null,
  repeats: true,
}

/** By what GET /models gives as `owned_by`. */
const OWNERS: Readonly<Record<string, Server>> = {
  vllm,
  sglang: SERVERS.sglang,
  llamacpp: SERVERS['llama.cpp'],
  mistralai: mistral,
  deepseek,
}

/** What a host runs, where everybody knows it. */
export function serverAt(base: URL): Server | null {
  const { hostname, pathname } = base
  if (hostname === 'api.openai.com' || hostname.endsWith('.openai.azure.com')) return openai
  if (hostname === 'api.mistral.ai') return mistral
  // Prefixes are for its beta address only.
  if (hostname === 'api.deepseek.com') return /^\/beta(\/|$)/.test(pathname) ? deepseek : { ...deepseek, prefill: null }
  return null
}

/** The server of a dialect that the caller names, with what is known of its host. */
export function serverOf(dialect: Dialect, base: URL): Server {
  const known = serverAt(base)
  return known?.dialect === dialect ? known : SERVERS[dialect]
}

/**
 * What a server is, by its list of models and the program that it says it is.
 *
 * @param models the answer of GET /models; null where there is none
 */
export function detect(models: unknown, program: string | null, model: string): Server {
  const listed = (models as { data?: unknown } | null)?.data
  const entries = (Array.isArray(listed) ? listed : []) as ({ id?: unknown; owned_by?: unknown } | null)[]
  const ours = entries.filter(entry => entry?.id === model)
  const owners = new Set((ours.length > 0 ? ours : entries).map(entry => entry?.owned_by))
  const [owner] = owners
  if (owners.size === 1 && typeof owner === 'string' && Object.hasOwn(OWNERS, owner)) return OWNERS[owner]!
  return program !== null && /^llama\.cpp\b/.test(program) ? SERVERS['llama.cpp'] : none
}

const KNOWING = 'a server that knows it (vLLM, SGLang, llama.cpp) under its dialect, or a native policy'

/** @throws `ERR_CAPABILITY` for a setting that the server does not know */
export function checkSettings(id: string, server: Server, request: CheckedRequest): void {
  const { topK, minP = 0, repetitionPenalty = 1, bans = [], seed, logprobs = false } = request
  const lack = (name: string, instead = KNOWING): never => {
    throw lacking(id, name, `the request sets ${name}`, instead)
  }
  if (server.sampler === null) {
    if (topK !== undefined) lack('topK', `topP, or ${KNOWING}`)
    if (minP !== 0) lack('minP', `topP, or ${KNOWING}`)
    if (repetitionPenalty !== 1) lack('repetitionPenalty')
  }
  if (server.banIds === null && bans.some(ban => typeof ban === 'number')) lack('bans')
  if (!server.banTexts && bans.some(ban => typeof ban === 'string')) {
    lack('bans', 'token ids where the server takes them, vLLM, which bans texts, or a native policy')
  }
  if (server.seed === null && seed !== undefined) lack('seed', 'no seed, or a server that takes one')
  if (server.logprobs === false && logprobs) lack('logprobs', 'a request without them, or a native policy')
}

/** One request to a server. */
export interface Writing {
  readonly request: CheckedRequest
  readonly model: string
  readonly endpoint: Endpoint
  /** The text of the prompt, for the completions endpoint. */
  readonly prompt: string
  readonly n: number
  readonly seed: number | undefined
  readonly stops: readonly string[]
  readonly stream: boolean
  readonly extra: Readonly<Record<string, unknown>>
}

/** The body of a request. */
export function bodyOf(server: Server, writing: Writing): Record<string, unknown> {
  const { request, model, endpoint, n, seed, stops, stream, extra } = writing
  return {
    model,
    ...(endpoint === 'chat' ? chatOf(server, request) : { prompt: writing.prompt }),
    [endpoint === 'chat' ? server.limit : 'max_tokens']: request.maxTokens,
    temperature: request.temperature,
    ...(n > 1 && { n }),
    ...(seed !== undefined && server.seed !== null && { [server.seed]: seed }),
    ...(stops.length > 0 && { stop: stops }),
    ...(stream && { stream, ...(server.streamOptions && { stream_options: { include_usage: true } }) }),
    ...samplerOf(server, writing),
    ...(request.logprobs && logprobsOf(server, endpoint)),
    ...extra,
  }
}

function chatOf({ prefill }: Server, { system, problem, prefix }: CheckedRequest): object {
  const messages = [
    ...(system === undefined ? [] : [{ role: 'system', content: system }]),
    { role: 'user', content: problem },
    ...(prefix === '' ? [] : [{ role: 'assistant', content: prefix, ...prefill?.message }]),
  ]
  return { messages, ...(prefix !== '' && prefill?.request) }
}

/** A server that has these settings gets all of them: left out, it takes the model's or its own, not ours. */
function samplerOf(server: Server, { request, prompt, stream }: Writing): object {
  const { topP, topK, minP = 0, repetitionPenalty = 1, bans = [], maxTokens } = request
  const ids = bans.filter(ban => typeof ban === 'number')
  const texts = bans.filter(ban => typeof ban === 'string')
  const banned = server.banIds === 'pairs' ? ids.map(id => [id, false]) : Object.fromEntries(ids.map(id => [id, -100]))
  const common = { ...(ids.length > 0 && { logit_bias: banned }), ...(texts.length > 0 && { bad_words: texts }) }
  if (server.sampler === null) return { ...(topP !== undefined && { top_p: topP }), ...common }
  const all = { top_p: topP ?? 1, min_p: minP, [server.sampler]: repetitionPenalty, ...common }
  if (server.dialect !== 'llama.cpp') return { ...all, top_k: topK ?? -1 }
  return {
    ...all,
    top_k: topK ?? 0,
    // Over all of the text: no prompt has more tokens than bytes, beside those of the template.
    ...(repetitionPenalty !== 1 && { repeat_last_n: Buffer.byteLength(prompt) + maxTokens + 4096 }),
    ...(stream && { timings_per_token: true }),
  }
}

function logprobsOf({ dialect }: Server, endpoint: Endpoint): object {
  if (endpoint === 'completions') return { logprobs: 1 }
  return { logprobs: true, ...(dialect === 'llama.cpp' && { top_logprobs: 1 }) }
}

/** The server without the parameter that it refused, if that is why. */
export function without(server: Server, refusal: unknown, sent: Record<string, unknown>): Server | null {
  const said = JSON.stringify(refusal ?? '').toLowerCase()
  if (!/not supported|unsupported|unrecognized|unknown|not permitted|extra|not allowed|unexpected/.test(said))
    return null
  if ('max_tokens' in sent && said.includes('max_completion_tokens') && !('max_completion_tokens' in sent)) {
    return { ...server, limit: 'max_completion_tokens' }
  }
  if ('max_completion_tokens' in sent && said.includes('max_completion_tokens'))
    return { ...server, limit: 'max_tokens' }
  if ('stream_options' in sent && said.includes('stream_options')) return { ...server, streamOptions: false }
  return null
}

/** Whether a refusal is about the number of samples. */
export function refusesN(refusal: unknown): boolean {
  const said = JSON.stringify(refusal ?? '').replaceAll('\\n', ' ')
  return /(?<![\w\\])n(_cmpl)?(?!\w)|n_cmpl|completion choice|multiple (choices|completions)/i.test(said)
}
