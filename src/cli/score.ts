import type { Trace } from '../problem.ts'
import type { ScoredTrace } from '../scorer.ts'
import { isBad, print, workOnLines } from './lines.ts'
import { loadModel, type ModelOptions } from './model.ts'
import { badLineText, traceText } from './text.ts'

/** `surefoot score`: the exit code. */
export async function score(options: ModelOptions, signal: AbortSignal): Promise<number> {
  await using prm = await loadModel(options, signal)
  const { aggregate } = options
  const work = (value: Record<string, unknown>): Promise<ScoredTrace> =>
    prm.score(value as unknown as Trace, { signal, ...(aggregate && { aggregate }) })
  let exitCode = 0
  for await (const line of workOnLines(options.input, signal, work)) {
    if (isBad(line)) {
      exitCode = 1
      await print(options.json ? JSON.stringify(line) : badLineText(line))
    } else if (options.json) {
      const { steps, ...rest } = line.result
      await print(JSON.stringify({ id: line.id, steps: steps.map(step => step.score), ...rest }))
    } else {
      await print(
        traceText(line.id, String(line.value.problem), line.result, aggregate ?? prm.facts.aggregate, prm.facts),
      )
    }
  }
  return exitCode
}
