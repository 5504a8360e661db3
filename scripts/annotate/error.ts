/**
 * How wrong step labels are, and what they cost: error.ts [--problems N] [--n N] [--temperature T] [--seed N]
 *
 * The embedded policy solves fresh problems of the tiny models' task, whose every step can be judged exactly
 * (scripts/tiny/task.ts). Each judge then says where the first error of each solution is. Intervals are of 95 %, by the
 * bootstrap over problems. Prints a table; a judge is added to `judges`.
 */
import { parseArgs } from 'node:util'
import { bisectionJudge } from '../../src/annotate/bisection.ts'
import type { Judge, Judgement, Solution } from '../../src/annotate/judge.ts'
import { prmJudge } from '../../src/annotate/judges/prm.ts'
import { RolloutSource } from '../../src/annotate/rollout-source.ts'
import { byDifficulty, rolloutJudge } from '../../src/annotate/rollouts.ts'
import { bootstrap, mean, overItems } from '../../src/evaluate/metrics.ts'
import { Policy } from '../../src/generator/policy.ts'
import { inOrder } from '../../src/ordered.ts'
import { PRM } from '../../src/prm.ts'
import { drawProblems, judge as exact } from '../tiny/task.ts'

const { values } = parseArgs({
  options: {
    problems: { type: 'string', default: '200' },
    n: { type: 'string', default: '8' },
    temperature: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
  },
})
const temperature = Number(values.temperature)
const seed = Number(values.seed)

/** A solution and what is true of it. */
interface Known extends Solution {
  /** Number of its problem. */
  readonly of: number
  readonly firstError: number
  readonly labels: readonly boolean[]
  readonly isRight: boolean
}

await using policy = await Policy.load()
await using prm = await PRM.load()

async function solve(): Promise<Known[]> {
  const seen = new Set<string>()
  for (const split of ['worked', 'prm'] as const) drawProblems(split, seen)
  const problems = drawProblems('test', seen).slice(0, Number(values.problems))
  const solved = inOrder(problems, 16, async (problem, of) => {
    const samples = await policy.sample({ problem: problem.text, n: Number(values.n), temperature, seed })
    return samples.flatMap(({ text, ended }, index): Known[] => {
      const steps = text.split('\n').filter(step => step.trim() !== '')
      if (ended !== 'answer' || steps.length === 0) return []
      const { labels, correct } = exact(problem, steps)
      const known = { of, labels, firstError: labels.indexOf(false), isRight: correct }
      return [
        {
          id: `${of}/${index}`,
          problem: problem.text,
          steps,
          answer: problem.answer,
          answerCorrect: correct,
          ...known,
        },
      ]
    })
  })
  const all: Known[] = []
  for await (const solutions of solved) all.push(...solutions)
  return all
}

const rollouts = { policy, request: { temperature, seed: seed + 1000 } }
const source = new RolloutSource(rollouts)
const fixed = { rule: 'fixed' } as const
// How the chances of hits of this task's prefixes are spread, as a prior that is closer to them than the uniform one.
const prior = { a: 0.3, b: 0.3 }

/** Who is measured, by the name in the table. */
const judges: Readonly<Record<string, Judge>> = {
  ...Object.fromEntries(
    [1, 2, 4, 8, 16, 32, 64].flatMap(k => [
      [`rollouts, K = ${k}, fixed`, rolloutJudge({ source, k, stopping: fixed })],
      [`rollouts, K = ${k}, exact stop`, rolloutJudge({ source, k })],
    ]),
  ),
  'rollouts, K = 32, posterior 5 %, uniform': rolloutJudge({ source, k: 32, stopping: { rule: 'posterior' } }),
  'rollouts, K = 32, posterior 5 %, Beta(0.3, 0.3)': rolloutJudge({
    source,
    k: 32,
    stopping: { rule: 'posterior', prior },
  }),
  'rollouts, K = 16, more than half, fixed': rolloutJudge({ source, k: 16, threshold: 0.5, stopping: fixed }),
  'rollouts, K = 16, more than half, exact stop': rolloutJudge({ source, k: 16, threshold: 0.5 }),
  'rollouts, K = 16, more than half, posterior 5 %': rolloutJudge({
    source,
    k: 16,
    threshold: 0.5,
    stopping: { rule: 'posterior', prior },
  }),
  'rollouts, ratio 0.8, K = 32': rolloutJudge({ source, k: 32, label: 'ratio' }),
  'rollouts, ratio 0.8, K by difficulty': rolloutJudge({ source, k: byDifficulty, label: 'ratio' }),
  ...Object.fromEntries(
    [4, 8, 16, 32].flatMap(k => [
      [`bisection, K = ${k}, no re-test`, bisectionJudge({ source, k, retest: false })],
      [`bisection, K = ${k}, fixed`, bisectionJudge({ source, k, stopping: fixed })],
      [`bisection, K = ${k}, exact stop`, bisectionJudge({ source, k })],
    ]),
  ),
  'PRM, min of the card': prmJudge(prm, { id: 'tiny-prm' }),
}

interface Row {
  readonly name: string
  readonly judgements: readonly Judgement[]
}

async function measure(name: string, judge: Judge, solutions: readonly Known[]): Promise<Row> {
  const judgements: Judgement[] = []
  for await (const judgement of inOrder(solutions, 64, solution => judge.judge(solution))) judgements.push(judgement)
  return { name, judgements }
}

/** A share over solutions, as percent with its interval; each solution brings `of` cases, `wrong` of them so. */
function share(solutions: readonly Known[], cases: readonly { wrong: number; of: number }[]): string {
  const problems = 1 + solutions.reduce((most, { of }) => Math.max(most, of), 0)
  const problemOf = solutions.map(({ of }) => of)
  const wrong = cases.map(c => c.wrong)
  const all = cases.map(c => c.of)
  const statistic = overItems(problemOf, weights => mean(wrong, weights) / mean(all, weights))
  const { value, low, high } = bootstrap(problems, statistic, { resamples: 1000 })
  const percent = (x: number): string => (100 * x).toFixed(1)
  return `${percent(value)} [${percent(low)}, ${percent(high)}]`
}

function cells(solutions: readonly Known[], { name, judgements }: Row): string[] {
  const misplaced = (only: (solution: Known) => boolean): string =>
    share(
      solutions,
      solutions.map((solution, i) => {
        const counts = Number(only(solution))
        return { wrong: counts * Number(judgements[i]!.firstError !== solution.firstError), of: counts }
      }),
    )
  const steps = share(
    solutions,
    solutions.map(({ labels }, i) => {
      const judged = judgements[i]!.labels.flatMap((label, step) =>
        label === null ? [] : [label >= 0.5 === labels[step]],
      )
      return { wrong: judged.filter(right => !right).length, of: judged.length }
    }),
  )
  const per = (of: (judgement: Judgement) => number): string => mean(judgements.map(of)).toFixed(1)
  const unjudged = judgements.filter(({ firstError }) => firstError === null).length
  return [
    name,
    misplaced(() => true),
    misplaced(({ isRight }) => !isRight),
    misplaced(({ isRight }) => isRight),
    steps,
    ((100 * unjudged) / solutions.length).toFixed(1),
    per(({ cost }) => cost.rollouts),
    per(({ cost }) => cost.policyTokens + cost.prmTokens),
  ]
}

const solutions = await solve()
const wrong = solutions.filter(({ isRight }) => !isRight)
const hidden = solutions.filter(({ isRight, firstError }) => isRight && firstError >= 0)
console.log(
  `${solutions.length} solutions of ${values.problems} problems, temperature ${temperature}: ${wrong.length} with a wrong ` +
    `answer, ${hidden.length} with a right one and a wrong step\n`,
)
const head = [
  'judge',
  'first error missed, %',
  'of wrong answers',
  'of right answers',
  'steps mislabelled, %',
  'not judged, %',
  'rollouts',
  'tokens',
]
const line = (row: readonly string[]): string => `| ${row.join(' | ')} |`
console.log(line(head))
console.log(line(head.map((_, column) => (column === 0 ? '---' : '---:'))))
for (const [name, judge] of Object.entries(judges))
  console.log(line(cells(solutions, await measure(name, judge, solutions))))
