import { existsSync } from 'node:fs'
import type { Aggregate } from '../aggregate.ts'
import type { RunProgress } from '../evaluate/live.ts'
import { type EvaluateOptions, evaluate } from '../evaluate/run.ts'
import type { ProblemResult } from '../evaluate/summary.ts'
import { resolveDataset } from '../hub/index.ts'
import { readLines, writePage } from '../journal/run-folder.ts'
import type { Device } from '../model.ts'
import type { PRM } from '../prm.ts'
import { reportParts } from '../report/page.ts'
import { brief } from '../report/tables.ts'
import { print } from './lines.ts'
import { loadModel } from './model.ts'
import { defined, duration, ProgressLine, runFolder } from './run.ts'

export interface EvalOptions {
  readonly candidates?: string
  readonly labels?: string
  /** true: the embedded model. */
  readonly prm?: string | true
  readonly device: Device
  readonly precision?: 'exact' | 'fast'
  readonly cacheBytes?: number
  readonly head?: string
  readonly profile?: string
  readonly separator?: string
  readonly name?: string
  readonly run?: string
  readonly resume?: boolean
  readonly strict?: boolean
  readonly limit?: number
  readonly dataFormat?: string
  readonly aggregate?: Aggregate[]
  readonly threshold?: number
  readonly seed?: number
  readonly resamples?: number
  readonly json?: boolean
  readonly quiet?: boolean
}

/** `surefoot eval`: the exit code. */
export async function evaluateFile(options: EvalOptions, signal: AbortSignal): Promise<number> {
  const folder = runFolder((options.candidates ?? options.labels)!, options)
  const prm = await loadPrm(options, signal)
  const progress = options.quiet ? null : new ProgressLine(progressText)
  try {
    const run = evaluate({ ...settings(options, prm), run: folder, download: resolveDataset, signal })
    for await (const event of run) progress?.show(event)
    const summary = await run
    progress?.clear()
    const page = await writePage(folder, reportParts(summary, readLines<ProblemResult>(folder)))
    await print(options.json ? JSON.stringify(summary) : `${brief(summary)}\nrun: ${folder}\npage: ${page}`)
    return 0
  } catch (error) {
    progress?.clear()
    if (signal.aborted && existsSync(folder)) {
      process.stderr.write(`surefoot: what was done is in ${folder}; go on with the same command and --resume\n`)
    }
    throw error
  } finally {
    await prm?.dispose()
  }
}

async function loadPrm({ prm, ...options }: EvalOptions, signal: AbortSignal): Promise<PRM | null> {
  if (prm === undefined) return null
  const { device, precision, cacheBytes, head, profile, separator } = options
  return loadModel(
    {
      device,
      ...(precision !== undefined && { precision }),
      ...(cacheBytes !== undefined && { cacheBytes }),
      ...(prm !== true && { prm }),
      ...(head !== undefined && { head }),
      ...(profile !== undefined && { profile }),
      ...(separator !== undefined && { separator }),
    },
    signal,
  )
}

/** As the report and the configuration name it: with another head or precision it is another model. */
function nameOfPrm({ prm, head, precision }: EvalOptions): string {
  const name = typeof prm === 'string' ? prm : 'the embedded model'
  const whole = head === undefined ? name : `${name} with ${head}`
  return precision === 'fast' ? `${whole}, fast` : whole
}

function settings(options: EvalOptions, prm: PRM | null): Omit<EvaluateOptions, 'run'> {
  const {
    candidates,
    labels,
    name,
    resume,
    strict,
    limit,
    dataFormat,
    aggregate,
    threshold,
    seed,
    resamples,
    separator,
  } = options
  return defined({
    candidates,
    labels,
    name,
    resume,
    strict,
    limit,
    format: dataFormat,
    aggregates: aggregate,
    threshold,
    seed,
    resamples,
    ...(prm ? { prm, prmName: nameOfPrm(options) } : { split: separator }),
  })
}

/** How far the work is, at what rate, and how long it will go on. */
export function progressText({ phase, done, total, resumed, tokens }: RunProgress, seconds: number): string {
  if (phase === 'read') return `reading: ${done} records`
  if (phase === 'summarise') return `summarising ${done} records`
  const rate = (done - resumed) / Math.max(seconds, 1e-3)
  const left = rate > 0 && total !== null ? `, ${duration((total - done) / rate)} left` : ''
  const taken = resumed > 0 ? `, ${resumed} of them from before` : ''
  const read = tokens > 0 ? `, ${Math.round(tokens / seconds)} tokens/s` : ''
  return `${done} of ${total} records${taken}: ${rate.toFixed(1)} records/s${read}${left}`
}
