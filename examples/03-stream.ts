// Scores a stream of traces in flat memory, with progress and a way to stop.
import { PRM, type Trace } from 'surefoot'

async function* traces(): AsyncGenerator<Trace> {
  for (let left = 1; left <= 100; left++) {
    yield {
      problem: `Eva has ${left + 1} books. She sells 1.`,
      steps: [`Eva has ${left + 1} - 1 = ${left} left.`, `A: ${left}`],
    }
  }
}

const prm = await PRM.load()
let sum = 0
for await (const { aggregate } of prm.scoreMany(traces(), { signal: AbortSignal.timeout(60_000) })) sum += aggregate
console.log('mean score', (sum / 100).toFixed(3))
await prm.dispose()
