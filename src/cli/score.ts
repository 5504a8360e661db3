import type { Trace } from '../problem.ts'
import type { ScoredTrace } from '../scorer.ts'
import { writeLines } from './lines.ts'
import { loadModel, type ModelOptions } from './model.ts'
import { badLineText, traceText } from './text.ts'

/** `surefoot score`: the exit code. */
export async function score(options: ModelOptions, signal: AbortSignal): Promise<number> {
  await using prm = await loadModel(options, signal)
  const { aggregate = prm.facts.aggregate, onOverflow = 'error' } = options
  const work = (value: Record<string, unknown>): Promise<ScoredTrace> =>
    prm.score(value as unknown as Trace, { signal, aggregate, onOverflow })
  return await writeLines(options, signal, work, {
    json: ({ id, result: { steps, ...rest } }) => ({ id, steps: steps.map(step => step.score), ...rest }),
    text: ({ id, value, result }) => traceText(id, String(value.problem), result, aggregate, prm.facts),
    bad: badLineText,
  })
}
