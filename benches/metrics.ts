/** `npx tsx benches/metrics.ts`: intervals and votes at the sizes of a benchmark run, 500 problems. */
import { bench, do_not_optimize, run } from 'mitata'
import {
  bootstrap,
  bootstrapMean,
  type Candidate,
  crossFit,
  majority,
  overItems,
  rankedAuc,
  weightedVote,
} from '../src/evaluate/metrics.ts'
import { randomNumbers } from '../src/evaluate/random.ts'

const random = randomNumbers(1)
const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))

const differences = times(500, () => Math.round(2 * random() - 1) / 2)
const stepProblems = times(20_000, i => i % 500)
const stepScores = stepProblems.map(() => random())
const stepLabels = stepScores.map(score => random() < score)
const candidates = times(16, (): Candidate => {
  const answer = String(Math.floor(random() * 5))
  return { answer, correct: answer === '0' }
})
const votes = candidates.map(() => random())
const rows = times(4000, () => times(10, () => random()))
const labels = rows.map(([first]) => random() < first!)
const groups = rows.map((_, i) => i % 500)

bench('paired bootstrap, 500 problems, 10^4 resamples', () => do_not_optimize(bootstrapMean(differences)))
bench('bootstrap of the AUC, 500 problems with 20,000 steps, 100 resamples', () =>
  do_not_optimize(bootstrap(500, overItems(stepProblems, rankedAuc(stepScores, stepLabels)), { resamples: 100 })),
)
bench('maj@8 of 16', () => do_not_optimize(majority(candidates, 8)))
bench('weighted vote@8 of 16, all 12,870 subsets', () => do_not_optimize(weightedVote(candidates, votes, 8)))
bench('weighted vote@16 of 16', () => do_not_optimize(weightedVote(candidates, votes)))
bench('surface baseline, 4,000 solutions, 5 folds', () => do_not_optimize(crossFit(rows, labels, groups)))

await run()
