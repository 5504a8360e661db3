import type { Candidate, Ranked } from '../rerank.ts'
import { writeLines } from './lines.ts'
import { loadModel, type ModelOptions } from './model.ts'
import { badLineText, rankingText } from './text.ts'

/** `surefoot rerank`: the exit code. */
export async function rerank(options: ModelOptions & { readonly top?: number }, signal: AbortSignal): Promise<number> {
  await using prm = await loadModel(options, signal)
  const { aggregate = prm.facts.aggregate, onOverflow = 'error', top } = options
  const work = ({ problem, candidates, system }: Record<string, unknown>): Promise<Ranked[]> =>
    prm.rerank(problem as string, candidates as Candidate[], {
      signal,
      aggregate,
      onOverflow,
      ...(top !== undefined && { topN: top }),
      ...(system !== undefined && { system: system as string }),
    })
  return await writeLines(options, signal, work, {
    json: ({ id, result }) => ({
      ...(id !== null && { id }),
      ranking: result.map(({ index, score, steps, truncated }) => ({
        index,
        score,
        steps: steps.map(step => step.score),
        ...(truncated !== undefined && { truncated }),
      })),
    }),
    text: ({ id, value, result }) => rankingText(id, String(value.problem), result, prm.facts),
    bad: badLineText,
  })
}
