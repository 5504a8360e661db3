/**
 * OmegaPRM's labels on the tiny models' problems, whose steps can be judged exactly:
 *
 *   npx tsx scripts/search/omega-tiny.ts --problems 150
 *
 * A wrong solution is labelled right where its first error is the exact one, one with the right answer where every step is
 * right. Label error: of all labelled steps the share whose label is not the exact one. Intervals resample problems.
 */
import { parseArgs } from 'node:util'
import { omega } from '../../src/annotate/omega.ts'
import type { ProblemRecord } from '../../src/datasets/records.ts'
import { bootstrap, type Interval, mean, overItems } from '../../src/evaluate/resampling.ts'
import { Policy } from '../../src/index.ts'
import type { OmegaPrm } from '../../src/search/strategies.ts'
import { drawProblems, judge } from '../tiny/task.ts'

const { values } = parseArgs({
  options: {
    problems: { type: 'string', default: '150' },
    temperature: { type: 'string', default: '1' },
    searches: { type: 'string', default: '20' },
  },
})

// The test split is what training has not seen.
const seen = new Set<string>()
for (const split of ['worked', 'prm'] as const) drawProblems(split, seen)
const problems = drawProblems('test', seen).slice(0, Number(values.problems))
const records = problems.map(({ text, answer }, index): ProblemRecord => {
  return { kind: 'problem', id: String(index), problem: text, answer }
})

/** Whether something of a problem was labelled right. */
interface Item {
  readonly problem: number
  readonly right: boolean
}

function share(items: readonly Item[], of: (right: boolean) => boolean): string {
  const hits = items.map(({ right }) => Number(of(right)))
  const of_ = items.map(({ problem }) => problem)
  const { value, low, high }: Interval = bootstrap(
    problems.length,
    overItems(of_, weights => mean(hits, weights)),
  )
  const percent = (part: number): string => (100 * part).toFixed(1)
  return `${percent(value)} % [${percent(low)}, ${percent(high)}] of ${items.length}`
}

await using policy = await Policy.load()
const settings: Readonly<Record<string, OmegaPrm>> = {
  'no second test': { retest: 0 },
  'a second test of 16': {},
  'k = 4, a second test of 8': { rollouts: 4 },
}
for (const [name, setting] of Object.entries(settings)) {
  const [wrong, right, steps]: [Item[], Item[], Item[]] = [[], [], []]
  const spent = { rollouts: 0, tokens: 0, bare: 0 }
  const strategy = { searches: Number(values.searches), ...setting }
  const sampling = { temperature: Number(values.temperature) }
  for await (const { index, annotations, tree } of omega(records, { policy, strategy, sampling })) {
    spent.rollouts += tree!.spent.generations
    spent.tokens += tree!.spent.policyTokens
    if (annotations.length === 0) spent.bare++
    for (const { steps: texts, labels, firstError } of annotations) {
      const exact = judge(problems[index]!, texts).labels
      const found = firstError === exact.indexOf(false)
      ;(firstError === -1 ? right : wrong).push({ problem: index, right: found })
      for (const [at, label] of labels.entries()) {
        if (label !== null) steps.push({ problem: index, right: (label === 1) === exact[at] })
      }
    }
  }
  const labelled = wrong.length + right.length
  console.log(`${name}: ${problems.length} problems, ${spent.bare} of them without a label`)
  console.log(`  first error exact ${share(wrong, one => one)}`)
  console.log(`  right answer, every step right ${share(right, one => one)}`)
  console.log(`  label error ${share(steps, one => !one)} steps`)
  console.log(
    `  ${spent.rollouts} rollouts, ${spent.tokens} tokens: ${(spent.tokens / wrong.length).toFixed(0)} a first error, ` +
      `${(spent.tokens / labelled).toFixed(0)} a solution`,
  )
}
