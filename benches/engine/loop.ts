import { type ChildProcess, spawn } from 'node:child_process'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { PRM } from '../../src/index.ts'
import { progress, spread, table } from './report.ts'
import { checkpoint, type Setting, threads } from './setting.ts'
import { Texts } from './texts.ts'

/** Milliseconds, the 99th percentile of each round. */
export interface Loop {
  readonly shape: string
  readonly resting: readonly number[]
  readonly scoring: readonly number[]
  readonly loaded: readonly number[]
}

/** How late timers of one millisecond fire: with nothing to do, while scoring, and while other programs want all cores. */
export async function loop(setting: Setting): Promise<Loop[]> {
  const results: Loop[] = []
  for (const shape of setting.shapes) {
    await using prm = await PRM.load(checkpoint(setting, shape))
    const rounds = setting.rounds ?? 5
    const texts = new Texts(1)
    const score = async (): Promise<unknown> => prm.score(texts.ragged(8))
    await score()
    const result: { [key in 'resting' | 'scoring' | 'loaded']: number[] } = { resting: [], scoring: [], loaded: [] }
    for (let round = 1; round <= rounds; round++) {
      result.resting.push(await delayOf(() => wait(3000)))
      result.scoring.push(await delayOf(score))
      const others = Array.from({ length: threads }, busy)
      await wait(200)
      result.loaded.push(await delayOf(score))
      for (const other of others) other.kill()
      progress(`${shape} event loop ${round}/${rounds}`)
    }
    results.push({ shape, ...result })
  }
  table(
    ['shape', 'event loop p99, nothing to do', 'while scoring', `and ${threads} busy programs beside it`],
    results.map(({ shape, resting, scoring, loaded }) => [
      shape,
      ...[resting, scoring, loaded].map(values => `${spread(values, 1)} ms`),
    ]),
  )
  return results
}

async function delayOf(work: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await work()
  delay.disable()
  return delay.percentile(99) / 1e6
}

function busy(): ChildProcess {
  return spawn(process.execPath, ['--eval', 'for (;;);'], { stdio: 'ignore' })
}
