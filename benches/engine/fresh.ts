import { execFileSync } from 'node:child_process'
import type { StepsTrace } from '../../src/index.ts'
import { median, progress, spread, table } from './report.ts'
import { checkpoint, inRepository, type Setting } from './setting.ts'
import { Texts } from './texts.ts'

/** What benches/engine/fresh.mjs says of its process; times in milliseconds, memory in MiB. */
export interface Fresh {
  readonly import: number
  readonly load: number
  readonly firstScore: number
  readonly tokensPerSecond: number
  readonly peak: number
  readonly anonymous: number
  readonly files: number
  readonly parameters: number
}

function inFreshProcess(folder?: string, traces?: readonly StepsTrace[]): Fresh {
  const args = folder === undefined ? [] : [folder, JSON.stringify(traces)]
  const output = execFileSync(process.execPath, [inRepository('benches', 'engine', 'fresh.mjs'), ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return JSON.parse(output)
}

export interface Start {
  readonly imports: readonly number[]
  readonly loads: Readonly<Record<string, readonly Fresh[]>>
}

/** The import of the package, and from a checkpoint on a warm disk to its first score, each in new processes. */
export async function start(setting: Setting): Promise<Start> {
  const imports = Array.from({ length: 10 }, () => inFreshProcess().import).slice(1)
  const loads: Record<string, Fresh[]> = {}
  for (const shape of setting.shapes) {
    const folder = checkpoint(setting, shape)
    const runs = (setting.rounds ?? 5) + 1
    loads[shape] = Array.from({ length: runs }, () => inFreshProcess(folder, [new Texts(1).trace(64)])).slice(1)
    progress(`${shape}: ${median(loads[shape].map(({ firstScore }) => firstScore)).toFixed(0)} ms to the first score`)
  }
  const of = (runs: readonly Fresh[], key: 'load' | 'firstScore'): string =>
    `${spread(
      runs.map(run => run[key] / 1000),
      2,
    )} s`
  table(
    ['a new process', 'measured'],
    [
      ['import of the package', `${spread(imports, 1)} ms`],
      ...Object.entries(loads).flatMap(([shape, runs]) => [
        [`${shape}: load, files in the page cache`, of(runs, 'load')],
        [`${shape}: load and first score of 64 tokens`, of(runs, 'firstScore')],
      ]),
    ],
  )
  return { imports, loads }
}

/** The memory of a process that loads a shape and scores eight texts. */
export async function memory(setting: Setting): Promise<Record<string, Fresh>> {
  const results: Record<string, Fresh> = {}
  for (const shape of setting.shapes) {
    results[shape] = inFreshProcess(checkpoint(setting, shape), new Texts(1).ragged(8))
    progress(`${shape}: ${JSON.stringify(results[shape])}`)
  }
  table(
    ['shape', 'parameters', 'peak of resident memory', 'most that is no file', 'files at the end', 'load', 'tokens/s'],
    Object.entries(results).map(([shape, run]) => [
      shape,
      `${(run.parameters / 1e6).toFixed(0)} million`,
      `${run.peak} MiB`,
      `${run.anonymous} MiB`,
      `${run.files} MiB`,
      `${(run.load / 1000).toFixed(1)} s`,
      run.tokensPerSecond.toFixed(1),
    ]),
  )
  return results
}
