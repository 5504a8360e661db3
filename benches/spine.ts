/**
 * What docs/measurements/spine.md reports: import time, event-loop delay while scoring, and tokens per second beside
 * transformers on torch, run by turns on the same checkpoint.
 *
 *   python scripts/reference.py --shape 0.5b --out DIR
 *   PYTHON=python npx tsx benches/spine.ts DIR [ROUNDS]
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { PRM, type Trace } from '../src/index.ts'

const [folder, rounds = '3'] = process.argv.slice(2)
const root = fileURLToPath(new URL('..', import.meta.url))

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}

function importMilliseconds(): number {
  const code = `const start = performance.now(); await import('${root}dist/index.mjs'); console.log(performance.now() - start)`
  const once = (): number =>
    Number(execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }))
  return median(Array.from({ length: 9 }, once))
}

async function surefoot(prm: PRM, traces: readonly Trace[]): Promise<{ tokensPerSecond: number; delay: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const start = performance.now()
  const results = await prm.score(traces)
  const seconds = (performance.now() - start) / 1000
  delay.disable()
  const tokens = results.reduce((sum, result) => sum + result.tokens, 0)
  return { tokensPerSecond: tokens / seconds, delay: delay.percentile(99) / 1e6 }
}

function torch(): number {
  const script = join(root, 'benches', 'torch_forward.py')
  const output = execFileSync(process.env.PYTHON ?? 'python3', [script, folder!, '--threads', '2', '--repeats', '1'], {
    encoding: 'utf8',
  })
  return JSON.parse(output.trim().split('\n').at(-1)!).tokens_per_second
}

console.log(JSON.stringify({ importMilliseconds: importMilliseconds() }))
if (folder) {
  const traces = readFileSync(join(folder, 'traces.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Trace)
  const prm = await PRM.load(folder)
  const runs: { ours: number; torch: number; delay: number }[] = []
  for (let round = 0; round < Number(rounds); round++) {
    const { tokensPerSecond, delay } = await surefoot(prm, traces)
    runs.push({ ours: tokensPerSecond, torch: torch(), delay })
    console.log(JSON.stringify(runs.at(-1)))
  }
  const of = (key: 'ours' | 'torch' | 'delay'): number => median(runs.map(run => run[key]))
  console.log(
    JSON.stringify({
      ours: of('ours'),
      torch: of('torch'),
      ratio: of('ours') / of('torch'),
      eventLoopP99: of('delay'),
    }),
  )
  await prm.dispose()
}
