// npx tsx benches/solve.ts [--problems 16] [--rounds 5]: searches driven by TypeScript and by the engine, side by side in
// one process, with how long the event loop was held up meanwhile. Ratios of medians; the models are the embedded ones.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { beam, bestOfN, mcts, Policy, PRM, type Strategy, solve } from '../src/index.ts'

const { values } = parseArgs({ options: { problems: { type: 'string' }, rounds: { type: 'string' } } })
const [problems, rounds] = [Number(values.problems ?? 16), Number(values.rounds ?? 5)]
const strategies: Record<string, Strategy> = {
  'best-of-16': bestOfN({ n: 16 }),
  'beam 4 x 4': beam(),
  'mcts, 32 simulations': mcts({ simulations: 32, dedupe: false }),
}

const policy = await Policy.load()
const prm = await PRM.load()

interface Measure {
  readonly ms: number
  readonly expansions: number
  readonly delay: { readonly mean: number; readonly p99: number; readonly max: number }
}

async function measure(
  driver: 'native' | 'typescript',
  strategy: Strategy,
  round: number,
  width: number,
): Promise<Measure> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const started = performance.now()
  let expansions = 0
  const one = async (index: number): Promise<void> => {
    // Numbers of its own for every round and driver: nothing of it was computed before.
    const [a, b] = [3 + index, 7 + round * 2 + (driver === 'native' ? 1 : 0)]
    const problem = `In a pond swim ${a} fish. Then ${b} more come. A heron takes 2. How many fish swim there now?`
    const solved = await solve(problem, {
      policy,
      prm,
      strategy,
      seed: round + 1,
      sampling: { temperature: 1 },
      driver,
    })
    expansions += solved.trace.length - 1
  }
  for (let first = 0; first < problems; first += width) {
    await Promise.all(Array.from({ length: Math.min(width, problems - first) }, (_, at) => one(first + at)))
  }
  const ms = performance.now() - started
  delay.disable()
  return { ms, expansions, delay: { mean: delay.mean / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 } }
}

const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!

for (const [name, strategy] of Object.entries(strategies)) {
  for (const width of [1, 8]) {
    const all: Record<'native' | 'typescript', Measure[]> = { native: [], typescript: [] }
    for (let round = 0; round <= rounds; round++) {
      for (const driver of round % 2 ? (['native', 'typescript'] as const) : (['typescript', 'native'] as const)) {
        const measured = await measure(driver, strategy, round, width)
        // The first round warms up.
        if (round > 0) all[driver].push(measured)
      }
    }
    const of = (driver: 'native' | 'typescript') => ({
      perNode: median(all[driver].map(({ ms, expansions }) => (ms * 1000) / expansions)),
      p99: median(all[driver].map(({ delay }) => delay.p99)),
      max: median(all[driver].map(({ delay }) => delay.max)),
    })
    const [ts, rust] = [of('typescript'), of('native')]
    console.log(
      `${name}, ${width} at once: µs a node ${ts.perNode.toFixed(0)} typescript, ${rust.perNode.toFixed(0)} native ` +
        `(${(ts.perNode / rust.perNode).toFixed(2)}x); event loop p99 ${ts.p99.toFixed(1)} / ${rust.p99.toFixed(1)} ms, ` +
        `longest ${ts.max.toFixed(1)} / ${rust.max.toFixed(1)} ms`,
    )
  }
}
