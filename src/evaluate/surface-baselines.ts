/** What simple features of the text do at the PRM's task: a PRM must beat them. */
import type { Draws } from './choices.ts'
import { bestOf, bootstrap, bootstrapMean, crossFit, type Interval, overItems, rankedAuc } from './metrics.ts'
import type { Plan } from './plan.ts'
import type { Solution } from './quality.ts'
import type { SurfaceResult } from './summary.ts'

export interface SurfaceComparison {
  readonly rows: readonly SurfaceResult[]
  /** Baselines that the scores do not beat for sure: the 95 % interval of the difference in solution AUC reaches zero. */
  readonly unbeaten: readonly { readonly name: string; readonly difference: Interval }[]
}

/**
 * The PRM's numbers beside those of length and number of steps (less is better) and of a logistic regression on surface
 * features, which is fitted on other problems than those it judges. `pause` lets others run between two numbers.
 */
export async function measureSurface(
  problems: number,
  solutions: readonly Solution[],
  plan: Plan,
  draws: Draws,
  pause: () => Promise<void>,
): Promise<SurfaceComparison> {
  const correct = solutions.map(({ correct }) => correct)
  const problemOf = solutions.map(({ problem }) => problem)
  // One kind of solution only: nothing can be told apart.
  if (new Set(correct).size < 2) return { rows: [], unbeaten: [] }
  const baselines: [string, readonly number[]][] = [
    ['length', solutions.map(({ length }) => -length)],
    ['steps', solutions.map(({ steps }) => -steps)],
  ]
  // A fold needs problems that it was not fitted on.
  if (new Set(problemOf).size > 1) {
    const features = solutions.map(({ features }) => [...features])
    baselines.push(['logistic regression', crossFit(features, correct, problemOf, { seed: draws.seed })])
  }
  const own = solutions.map(({ worth }) => worth)
  const ownAuc = rankedAuc(own, correct)
  const row = (name: string, scores: readonly number[]): SurfaceResult => ({
    name,
    solutionAuc: bootstrap(problems, overItems(problemOf, rankedAuc(scores, correct)), draws),
    bestOfN: plan.kind === 'labels' ? null : bootstrapMean(bestOfEach(problems, solutions, scores), draws),
  })
  const rows = [row(plan.steps === null ? 'reward' : 'PRM', own)]
  const unbeaten: { name: string; difference: Interval }[] = []
  for (const [name, scores] of baselines) {
    await pause()
    rows.push(row(name, scores))
    await pause()
    const auc = rankedAuc(scores, correct)
    const difference = bootstrap(
      problems,
      overItems(problemOf, weights => ownAuc(weights) - auc(weights)),
      draws,
    )
    if (!(difference.low > 0)) unbeaten.push({ name, difference })
  }
  return { rows, unbeaten }
}

/** The chance that the solution of highest score is right, in each problem; 0 where there is none. */
function bestOfEach(problems: number, solutions: readonly Solution[], scores: readonly number[]): number[] {
  const entries = Array.from({ length: problems }, () => ({
    candidates: [] as { answer: string | null; correct: boolean }[],
    scores: [] as number[],
  }))
  for (const [index, { problem, answered, correct }] of solutions.entries()) {
    entries[problem]!.candidates.push({ answer: answered ? '' : null, correct })
    entries[problem]!.scores.push(scores[index]!)
  }
  return entries.map(({ candidates, scores }) => (candidates.length === 0 ? 0 : bestOf(candidates, scores)))
}
