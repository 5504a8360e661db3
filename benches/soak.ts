/**
 * Mixed load for a long time: `npx tsx benches/soak.ts MINUTES [SEED]`.
 *
 * Callers of this thread and of a worker score, rerank, grow sessions, watch streams, abort and dispose at random, over two
 * models whose caches are too small for what is asked. Every score is compared, to the last bit, with that of a quiet run.
 * About once a minute the worker is ended in the middle of its work, all calls here are settled, and a line is printed:
 * what was done, what the caches hold, the memory. Ends with code 1 at the first wrong score, when a cache holds more than
 * its budget or no longer has room for a long trace, when calls do not settle, or when memory grew.
 */

import { setTimeout as wait } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { median, progress } from './engine/report.ts'
import { type Cases, type Kind, kinds, load, quietCases } from './soak/cases.ts'
import { check, Load, type Target } from './soak/load.ts'

/** A call that takes longer has lost its way. */
const PATIENCE_MS = 120_000
/** Memory that is no leak: of what stood in the second quarter of the run, and MiB on top. */
const [GROWTH, SLACK] = [1.05, 32]

interface Work {
  readonly seed: number
  readonly cases: readonly Cases[]
}

function targetsOf(cases: readonly Cases[]): Promise<Target[]> {
  return Promise.all(kinds.map(async (kind, at) => ({ kind, prm: await load(kind), cases: cases[at]! })))
}

async function work({ seed, cases }: Work): Promise<void> {
  const here = new Load(seed)
  here.start(await targetsOf(cases))
  await here.running
}

/** A worker that reads TypeScript: on Node 20 the loader of this thread is not inherited. */
function startWorker(work: Work): Worker {
  const [loader, here] = [import.meta.resolve('tsx/esm/api'), import.meta.url]
  const code = `import('${loader}').then(({ register }) => register()).then(() => import('${here}'))`
  return new Worker(code, { eval: true, workerData: work })
}

async function soak(minutes: number, seed: number): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  progress('the quiet run')
  const cases: Cases[] = []
  for (const kind of kinds) cases.push(await quietCases(kind, seed))
  let targets = await targetsOf(cases)
  const here = new Load(seed)
  const start = performance.now()
  const end = start + minutes * 60_000
  const turn = Math.min(60_000, (minutes * 60_000) / 16)
  const memory: number[] = []
  for (let number = 1; performance.now() < end; number++) {
    const worker = startWorker({ seed: seed + number, cases })
    const failed = new Promise<never>((_, reject) => worker.once('error', reject))
    here.start(targets)
    await Promise.race([wait(turn), failed, here.running])
    await worker.terminate()
    await Promise.race([failed, Promise.resolve()])
    await settled(here.stop())
    const room = targets.map(({ prm, cases }) => prm.score(cases.long.trace))
    for (const [at, { steps }] of (await settled(Promise.all(room))).entries()) {
      const { trace, scores } = cases[at]!.long
      check(trace, scores, steps)
    }
    const caches = targets.map(cacheOf)
    if (number % 4 === 0) {
      for (const { prm } of targets) await prm.dispose()
      for (const kind of kinds) await leavesNothing(kind)
      targets = await targetsOf(cases)
    }
    collect()
    const { rss, heapUsed } = process.memoryUsage()
    memory.push(rss / 2 ** 20)
    const { calls, scores, aborted } = here.tally
    const passed = Math.round((performance.now() - start) / 1000)
    const did = `${passed} s: ${calls} calls, ${scores} scores right, ${aborted} aborted`
    console.log(
      `${did}; ${caches.join('; ')}; ${memory.at(-1)!.toFixed(0)} MiB, ${(heapUsed / 2 ** 20).toFixed(0)} of them JavaScript's`,
    )
  }
  for (const { prm } of targets) await prm.dispose()
  const quarter = Math.floor(memory.length / 4)
  const [before, after] = [memory.slice(quarter, 2 * quarter), memory.slice(-quarter)].map(median)
  if (after! > before! * GROWTH + SLACK) throw new Error(`memory grew from ${before} to ${after} MiB`)
  console.log(`passed: memory ${before!.toFixed(0)} MiB in the second quarter, ${after!.toFixed(0)} in the last`)
}

function cacheOf({ kind, prm }: Target): string {
  const { hits, computed, recomputed, bytes, peakBytes, budget } = prm.counters
  if (peakBytes > budget || bytes > budget) throw new Error(`${kind.name}: ${JSON.stringify(prm.counters)}`)
  const share = Math.round((100 * bytes) / budget)
  return `${kind.name} ${hits} hits, ${computed} computed, ${recomputed} again, ${share} % full`
}

/** Once every handle is disposed and every job of the ended worker is dropped, the model begins anew. */
async function leavesNothing(kind: Kind): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    await using prm = await load(kind)
    if (prm.counters.bytes === 0 && prm.counters.computed === 0) return
    await prm.dispose()
    await wait(100)
  }
  throw new Error(`${kind.name} was disposed and is still there`)
}

async function settled<T>(work: Promise<T>): Promise<T> {
  const timer = new AbortController()
  const late = wait(PATIENCE_MS, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`calls did not settle within ${PATIENCE_MS / 1000} s`)
  })
  late.catch(() => {})
  try {
    return await Promise.race([work, late])
  } finally {
    timer.abort()
  }
}

if (isMainThread) {
  const [minutes, seed = '1'] = process.argv.slice(2)
  if (!(Number(minutes) > 0)) throw new Error('npx tsx benches/soak.ts MINUTES [SEED]')
  await soak(Number(minutes), Number(seed))
} else {
  await work(workerData)
}
