import { invalidArgument } from '../errors.ts'
import type { Generator, SampleRequest } from '../generator/generator.ts'
import type { Device, LoadProgress } from '../model.ts'
import { DownloadLine } from './model.ts'
import { defined } from './run.ts'

/** The options that name a policy and say how it samples, shared by the commands. */
export interface PolicyCommand {
  /** true: the embedded model. */
  readonly policy?: string | true
  readonly device: Device
  readonly precision: 'exact' | 'fast'
  readonly cacheBytes?: number
  readonly baseUrl?: string
  readonly model?: string
  readonly dialect?: string
  readonly endpoint?: 'chat' | 'completions'
  /** A model whose chat template writes the prompts. */
  readonly template?: string
  readonly apiKeyEnv?: string
  readonly concurrency?: number
  readonly system?: string
  readonly temperature?: number
  readonly topK?: number
  readonly topP?: number
  readonly minP?: number
  readonly maxTokens?: number
  readonly seed?: number
  readonly separator?: string
  readonly stop?: string[]
}

/** How it samples. */
export function requestOf(options: PolicyCommand): Omit<SampleRequest, 'problem'> {
  const { system, temperature, topK, topP, minP, maxTokens, seed, separator, stop } = options
  return defined({ system, temperature, topK, topP, minP, maxTokens, seed, separator, stop })
}

/** The model at `--base-url`, or the native one. */
export async function loadPolicy(
  options: PolicyCommand,
  signal: AbortSignal,
): Promise<Generator & Partial<AsyncDisposable>> {
  const { baseUrl, model, dialect, endpoint, template: ref, apiKeyEnv, concurrency } = options
  if (baseUrl === undefined) {
    const { policy, device, precision, cacheBytes } = options
    const { Policy } = await import('../generator/policy.ts')
    const ref = policy === true ? undefined : policy
    const download = new DownloadLine()
    const onProgress = (event: LoadProgress): void => download.show(event)
    return Policy.load(ref, { device, precision, signal, onProgress, ...defined({ cacheBytes }) })
  }
  const { openai } = await import('../generator/openai.ts')
  const apiKey = apiKeyEnv === undefined ? undefined : process.env[apiKeyEnv]
  if (apiKeyEnv !== undefined && !apiKey)
    invalidArgument('api-key-env', `the environment has no ${apiKeyEnv}`, apiKeyEnv)
  const { chatTemplate } = await import('../generator/chat-template.ts')
  const template = ref === undefined ? undefined : await chatTemplate(ref, { signal })
  const more = defined({ apiKey, dialect, endpoint, template, concurrency }) as object
  return openai({ baseURL: baseUrl, model: model!, ...more })
}
