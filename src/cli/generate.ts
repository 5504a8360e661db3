import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { invalidArgument } from '../errors.ts'
import { CANDIDATES, type GenerateProgress, type GenerateSummary, generate } from '../generate/run.ts'
import type { Generator, SampleRequest } from '../generator/generator.ts'
import { resolveDataset } from '../hub/index.ts'
import type { Device, LoadProgress } from '../model.ts'
import { print } from './lines.ts'
import { DownloadLine } from './model.ts'
import { defined, duration, ProgressLine, resumeCommand, runFolder } from './run.ts'

export interface GenerateCommand {
  readonly problems: string
  readonly n?: number
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
  readonly until?: 'answer' | 'step'
  readonly separator?: string
  readonly stop?: string[]
  readonly name?: string
  readonly run?: string
  readonly resume?: boolean
  readonly limit?: number
  readonly dataFormat?: string
  readonly strict?: boolean
  readonly json?: boolean
  readonly quiet?: boolean
}

/** `surefoot generate`: the exit code, 1 when a problem failed. */
export async function generateFile(options: GenerateCommand, signal: AbortSignal): Promise<number> {
  const run = runFolder(options.problems, options)
  const policy = await policyOf(options, signal)
  const progress = options.quiet ? null : new ProgressLine(generateText)
  const { problems, n, resume, concurrency, limit, dataFormat: format, strict } = options
  try {
    const summary = await generate({
      problems,
      policy,
      run,
      request: requestOf(options),
      download: resolveDataset,
      signal,
      ...(progress && { onProgress: event => progress.show(event) }),
      setup: defined({ endpoint: options.endpoint, template: options.template }),
      ...defined({ n, resume, concurrency, limit, format, strict }),
    })
    progress?.clear()
    await print(options.json ? JSON.stringify(summary) : summaryText(summary, run))
    return summary.failed > 0 ? 1 : 0
  } catch (error) {
    progress?.clear()
    if (signal.aborted && existsSync(run)) {
      process.stderr.write(`surefoot: what was done is in ${run}; go on with: ${resumeCommand()}\n`)
    }
    throw error
  } finally {
    await policy[Symbol.asyncDispose]?.()
  }
}

function requestOf(options: GenerateCommand): Omit<SampleRequest, 'problem'> {
  const { system, temperature, topK, topP, minP, maxTokens, seed, until, separator, stop } = options
  return defined({ system, temperature, topK, topP, minP, maxTokens, seed, until, separator, stop })
}

/** The model at `--base-url`, or the native one. */
async function policyOf(options: GenerateCommand, signal: AbortSignal): Promise<Generator & Partial<AsyncDisposable>> {
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

/** How far the work is, at what rate, and how long it will go on. */
export function generateText(progress: GenerateProgress, seconds: number): string {
  const { phase, problems, failed, candidates, total, resumed, tokens } = progress
  if (phase === 'read') return `reading: ${problems} problems`
  if (phase === 'write') return `writing ${candidates} candidates`
  const rate = (candidates - resumed) / Math.max(seconds, 1e-3)
  const left = rate > 0 ? `, ${duration((total - candidates) / rate)} left` : ''
  const taken = resumed > 0 ? `, ${resumed} of them from before` : ''
  const lost = failed > 0 ? `, ${failed} problems failed` : ''
  const written = Math.round(tokens / Math.max(seconds, 1e-3))
  return `${candidates} of ${total} candidates${taken}${lost}: ${rate.toFixed(1)} candidates/s, ${written} tokens/s${left}`
}

function summaryText(summary: GenerateSummary, run: string): string {
  const { problems, candidates, tokens, promptTokens, estimated, ended, failed, failures, rows } = summary
  const count = (value: number): string => value.toLocaleString('en')
  const ends = Object.entries(ended).map(([end, times]) => `${end} ${count(times)}`)
  const about = estimated > 0 ? ` (of ${count(estimated)} candidates estimated)` : ''
  const [first] = failures
  return [
    `${count(problems)} problems, ${count(candidates)} candidates, ended by ${ends.join(', ') || 'nothing'}`,
    `${count(tokens)} tokens written, ${count(promptTokens)} read${about}`,
    ...(rows.rejected > 0 ? [`${count(rows.rejected)} rows of the data do not fit`] : []),
    ...(first ? [`${count(failed)} problems failed; the first, ${first.id}: ${first.code}: ${first.message}`] : []),
    ...(first ? [`try them again with: ${resumeCommand()}`] : []),
    `candidates: ${join(run, CANDIDATES)}`,
  ].join('\n')
}
