import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CANDIDATES, type GenerateProgress, type GenerateSummary, generate } from '../generate/run.ts'
import { resolveDataset } from '../hub/index.ts'
import { print } from './lines.ts'
import { loadPolicy, type PolicyCommand, requestOf } from './policy.ts'
import { defined, duration, ProgressLine, resumeCommand, runFolder } from './run.ts'

export interface GenerateCommand extends PolicyCommand {
  readonly problems: string
  readonly n?: number
  readonly until?: 'answer' | 'step'
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
  const policy = await loadPolicy(options, signal)
  const progress = options.quiet ? null : new ProgressLine(generateText)
  const { problems, n, resume, concurrency, limit, dataFormat: format, strict } = options
  try {
    const summary = await generate({
      problems,
      policy,
      run,
      request: { ...requestOf(options), ...defined({ until: options.until }) },
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
