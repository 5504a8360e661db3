import type { Candidate, Ranked } from '../rerank.ts'
import { isBad, print, workOnLines } from './lines.ts'
import { loadModel, type ModelOptions } from './model.ts'
import { badLineText, rankingText } from './text.ts'

/** `surefoot rerank`: the exit code. */
export async function rerank(options: ModelOptions & { readonly top?: number }, signal: AbortSignal): Promise<number> {
  await using prm = await loadModel(options, signal)
  const { aggregate, top } = options
  const work = ({ problem, candidates, system }: Record<string, unknown>): Promise<Ranked[]> =>
    prm.rerank(problem as string, candidates as Candidate[], {
      signal,
      ...(aggregate && { aggregate }),
      ...(top !== undefined && { topN: top }),
      ...(system !== undefined && { system: system as string }),
    })
  let exitCode = 0
  for await (const line of workOnLines(options.input, signal, work)) {
    if (isBad(line)) {
      exitCode = 1
      await print(options.json ? JSON.stringify(line) : badLineText(line))
    } else if (options.json) {
      const ranking = line.result.map(({ index, score, steps }) => {
        return { index, score, steps: steps.map(step => step.score) }
      })
      await print(JSON.stringify({ ...(line.id !== null && { id: line.id }), ranking }))
    } else {
      await print(rankingText(line.id, String(line.value.problem), line.result, prm.facts))
    }
  }
  return exitCode
}
