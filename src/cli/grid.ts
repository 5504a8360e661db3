import { existsSync } from 'node:fs'
import { invalidArgument } from '../errors.ts'
import { type GridBudget, type GridOptions, type GridProgress, grid, type Unit } from '../grid/index.ts'
import { resolveDataset } from '../hub/index.ts'
import { writePage } from '../journal/run-folder.ts'
import { gridBrief, gridParts } from '../report/grid.ts'
import type { Sampling } from '../search/driver.ts'
import type { Strategy } from '../search/strategies.ts'
import { print } from './lines.ts'
import { loadModel, type ModelOptions } from './model.ts'
import { loadPolicy, type PolicyCommand, requestOf } from './policy.ts'
import { defined, duration, ProgressLine, resumeCommand, runFolder } from './run.ts'

export interface GridCommand extends PolicyCommand, Pick<ModelOptions, 'head' | 'profile'> {
  readonly problems: string
  /** true: the embedded model. */
  readonly prm?: string | true
  readonly strategies: GridOptions['strategies']
  readonly budgets: GridOptions['budgets']
  readonly seeds?: readonly number[]
  readonly against?: readonly string[]
  readonly searches?: number
  readonly block?: number
  readonly name?: string
  readonly run?: string
  readonly resume?: boolean
  readonly limit?: number
  readonly dataFormat?: string
  readonly strict?: boolean
  readonly resamples?: number
  readonly json?: boolean
  readonly quiet?: boolean
}

/** `surefoot eval --problems`: the exit code, 1 when a search failed. */
export async function evaluateGrid(options: GridCommand, signal: AbortSignal): Promise<number> {
  const run = runFolder(options.problems, options)
  const { maxTokens, seed, system, separator, ...sampling } = requestOf(options)
  if (maxTokens !== undefined) invalidArgument('max-tokens', 'is a part of a strategy here: answerTokens, stepTokens')
  if (seed !== undefined) invalidArgument('seed', 'is named in the plural here: --seeds', seed)
  const { problems, strategies, budgets, seeds, against, searches, block, name, resume, limit, strict } = options
  const { concurrency, resamples, dataFormat: format, endpoint, template, prm, json } = options
  const progress = options.quiet ? null : new ProgressLine(gridText)
  try {
    const summary = await grid({
      problems,
      strategies,
      budgets,
      run,
      ...models(options, signal),
      ...(prm !== undefined && { prm: () => loadPrm(options, signal) }),
      sampling: sampling as Sampling,
      setup: defined({ endpoint, template }),
      download: resolveDataset,
      signal,
      ...(progress && { onProgress: event => progress.show(event) }),
      ...defined({ seeds, against, searches, block, name, resume, limit, strict, format, concurrency, resamples }),
      ...defined({ system, separator }),
    })
    progress?.clear()
    const page = await writePage(run, gridParts(summary))
    await print(json ? JSON.stringify(summary) : `${gridBrief(summary)}\nrun: ${run}\npage: ${page}`)
    return summary.failed > 0 ? 1 : 0
  } catch (error) {
    progress?.clear()
    if (signal.aborted && existsSync(run)) {
      process.stderr.write(`surefoot: what was done is in ${run}; go on with: ${resumeCommand()}\n`)
    }
    throw error
  }
}

/** Loaded again and again: nothing that one cell computed is there for the next. */
function models(options: GridCommand, signal: AbortSignal): Pick<GridOptions, 'policy'> {
  return { policy: () => loadPolicy(options, signal) }
}

function loadPrm({ prm, separator: _, ...options }: GridCommand, signal: AbortSignal): ReturnType<typeof loadModel> {
  return loadModel({ ...options, ...(typeof prm === 'string' && { prm }) }, signal)
}

/** How far the work is, at what rate, and how long it will go on. */
export function gridText(progress: GridProgress, seconds: number): string {
  const { phase, done, total, resumed, failed, problems } = progress
  if (phase === 'read') return `reading: ${problems} problems`
  if (phase === 'pilot') return `sampling answers to size the strategies by`
  if (phase === 'summarise') return `summarising`
  const rate = (done - resumed) / Math.max(seconds, 1e-3)
  const left = rate > 0 ? `, ${duration((total - done) / rate)} left` : ''
  const taken = resumed > 0 ? `, ${resumed} of them from before` : ''
  const lost = failed > 0 ? `, ${failed} failed` : ''
  return `${done} of ${total} searches${taken}${lost}: ${rate.toFixed(1)} searches/s${left}`
}

/** `majority,bestOfN`, a JSON object, or a JSON list of both. An option that is given again adds to it. */
export function strategiesOf(text: string, before: GridOptions['strategies'] = []): GridOptions['strategies'] {
  return [
    ...before,
    ...listOf<Strategy | Strategy['strategy']>('strategies', text, name => name as Strategy['strategy']),
  ]
}

/** `1,2,4` generations, `policyTokens=100,200`, a JSON object, or a JSON list. An option that is given again adds to it. */
export function budgetsOf(text: string, before: GridOptions['budgets'] = []): GridOptions['budgets'] {
  const [, unit = 'generations', numbers = text] = /^\s*(\w+)\s*=(.*)$/s.exec(text) ?? []
  const budget = (value: string): GridBudget => ({ [unit as Unit]: numberOf('budgets', value) })
  return [...before, ...listOf<GridBudget | number>('budgets', numbers, budget)]
}

/** `1,2,3`. */
export function seedsOf(text: string, before: readonly number[] = []): readonly number[] {
  return [...before, ...text.split(',').map(value => numberOf('seeds', value))]
}

function listOf<T>(what: string, text: string, parse: (word: string) => T): T[] {
  if (!/^\s*[[{]/.test(text)) {
    return text.split(',').map(word => {
      if (word.trim() === '') invalidArgument(what, `holds nothing between two commas in ${JSON.stringify(text)}`, text)
      return parse(word.trim())
    })
  }
  try {
    const value = JSON.parse(text)
    return Array.isArray(value) ? value : [value]
  } catch (error) {
    return invalidArgument(what, `is no JSON: ${(error as Error).message}`, text)
  }
}

function numberOf(what: string, text: string): number {
  const number = Number(text)
  if (text.trim() === '' || !Number.isFinite(number))
    invalidArgument(what, `holds ${JSON.stringify(text)}, which is no number`, text)
  return number
}
