/**
 * How wrong labels are on problems whose exact labels are known: of one judge, of unanimous three, of two of three:
 * consensus.ts [--problems 250] [--k 8] [--seed 1]
 *
 * Two solutions of each problem of scripts/tiny's split `test`, sampled by the embedded policy at temperature 1. Judges: the
 * embedded PRM, rollouts of the embedded policy, and two that read less: a checker of equations, and a logistic regression
 * on surface features that learned from exact labels of the split `prm`.
 */
import { parseArgs } from 'node:util'
import { bisectionJudge } from '../../src/annotate/bisection.ts'
import { consensus, type Rule, type Vote } from '../../src/annotate/consensus.ts'
import type { Judge, Judgement, Solution } from '../../src/annotate/judge.ts'
import { prmJudge } from '../../src/annotate/judges/prm.ts'
import { rolloutJudge } from '../../src/annotate/rollouts.ts'
import { bootstrap, firstBelow, firstErrorF1, type Interval, overItems } from '../../src/evaluate/metrics.ts'
import { Policy } from '../../src/generator/policy.ts'
import { inOrder } from '../../src/ordered.ts'
import { PRM } from '../../src/prm.ts'
import { equationChecker, surfaceRegression } from '../tiny/rivals.ts'
import { answerOf, drawProblems, judge as exactly, type Problem } from '../tiny/task.ts'
import { percent, problemsOf, table } from './recorded.ts'

const resamples = 2000

/** A solution and its exact labels. */
interface Known {
  readonly solution: Solution
  readonly labels: readonly boolean[]
  /** Index of the first wrong step, −1 for none. */
  readonly truth: number
}

async function sample(policy: Policy, problems: readonly Problem[], n: number, seed: number): Promise<Known[]> {
  const known: Known[] = []
  const write = ({ text }: Problem) => policy.sample({ problem: text, n, temperature: 1, seed, maxTokens: 200 })
  let at = 0
  for await (const samples of inOrder(problems, 16, write)) {
    const problem = problems[at++]!
    for (const [index, { text }] of samples.entries()) {
      const steps = text.split('\n').filter(step => step.trim() !== '')
      if (steps.length === 0) continue
      const { labels, correct: answerCorrect } = exactly(problem, steps)
      const id = `${problem.id}/${index}`
      const solution = { id, problem: problem.text, steps, answer: problem.answer, answerCorrect }
      known.push({ solution, labels, truth: labels.indexOf(false) })
    }
  }
  return known
}

interface Asked {
  readonly name: string
  readonly votes: readonly Vote[]
  readonly tokens: number
  readonly seconds: number
}

async function ask(name: string, judge: Judge, known: readonly Known[]): Promise<Asked> {
  const started = performance.now()
  const found: Judgement[] = []
  for await (const judgement of inOrder(known, 16, ({ solution }) => judge.judge(solution))) found.push(judgement)
  return {
    name,
    votes: found.map(({ firstError }) => ({ method: judge.method, firstError })),
    tokens: found.reduce((sum, { cost }) => sum + cost.policyTokens + cost.prmTokens, 0),
    seconds: (performance.now() - started) / 1000,
  }
}

/** What was kept of each solution: the first error that its labels name; null for what was dropped. */
type Kept = readonly (number | null)[]

/** Steps that were labelled, and those of them labelled wrongly; right is what and all before it is right. */
function stepErrors({ solution, labels, truth }: Known, kept: number | null): [number, number] {
  if (kept === null) return [0, 0]
  const last = kept === -1 ? solution.steps.length : kept + 1
  const wrong = labels.slice(0, last).filter((label, step) => label !== (kept === -1 || step < kept)).length
  return [truth === kept ? 0 : wrong, last]
}

class Measure {
  readonly #known: readonly Known[]
  readonly #problemOf: readonly number[]
  readonly #problems: number

  constructor(known: readonly Known[]) {
    this.#known = known
    const { problemOf, count } = problemsOf(known.map(({ solution }) => solution))
    this.#problemOf = problemOf
    this.#problems = count
  }

  #over(statistic: (weights: ArrayLike<number>) => number): Interval {
    return bootstrap(this.#problems, overItems(this.#problemOf, statistic), { resamples })
  }

  #share(part: (i: number) => number, whole: (i: number) => number, weights: ArrayLike<number>): number {
    let [top, bottom] = [0, 0]
    for (let i = 0; i < this.#known.length; i++) {
      top += weights[i]! * part(i)
      bottom += weights[i]! * whole(i)
    }
    return top / bottom
  }

  /** Name, share kept, F1, share of the kept with the wrong first error, share of the labelled steps that are wrong. */
  row(name: string, kept: Kept): string[] {
    const there = (i: number): number => Number(kept[i] !== null)
    const f1 = this.#over(weights => {
      const own = Float64Array.from(weights, (weight, i) => weight * there(i))
      const truth = this.#known.map(known => known.truth)
      return firstErrorF1(
        kept.map(at => at ?? -2),
        truth,
        own,
      ).f1
    })
    const steps = this.#known.map((known, i) => stepErrors(known, kept[i]!))
    return [
      name,
      percent(this.#over(weights => this.#share(there, () => 1, weights))),
      percent(f1),
      percent(this.#error(kept)),
      percent(
        this.#over(weights =>
          this.#share(
            i => steps[i]![0],
            i => steps[i]![1],
            weights,
          ),
        ),
      ),
    ]
  }

  #wrong(kept: Kept): (i: number) => number {
    return i => Number(kept[i] !== null && kept[i] !== this.#known[i]!.truth)
  }

  #error(kept: Kept): Interval {
    return this.#over(weights => this.#share(this.#wrong(kept), i => Number(kept[i] !== null), weights))
  }

  /** By which part the wrong first errors get fewer from one set of labels to another. */
  cut(from: Kept, to: Kept): string {
    const rate = (kept: Kept, weights: ArrayLike<number>): number =>
      this.#share(this.#wrong(kept), i => Number(kept[i] !== null), weights)
    return percent(this.#over(weights => 1 - rate(to, weights) / rate(from, weights)))
  }
}

/** The labels of a PRM on the share of solutions of whose scores it is surest. */
function surest(scores: readonly (readonly number[])[], share: number): Kept {
  const margins = scores.map(steps => Math.min(...steps.map(score => Math.abs(score - 0.5))))
  const least = margins.toSorted((a, b) => b - a)[Math.max(0, Math.round(share * scores.length) - 1)]!
  return scores.map((steps, i) => (margins[i]! >= least ? firstBelow(steps, 0.5) : null))
}

const rules: readonly (readonly [string, Rule])[] = [
  ['unanimous', { answer: 'ignore' }],
  ['unanimous, answer checked', { answer: 'check' }],
  ['unanimous, aslaf', { answer: 'right' }],
  ['unanimous, rollouts blind at a right answer', { answer: 'blind' }],
  ['two of three', { agree: 2, answer: 'ignore' }],
  ['two of three, answer checked', { agree: 2, answer: 'check' }],
]

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      problems: { type: 'string', default: '250' },
      k: { type: 'string', default: '8' },
      seed: { type: 'string', default: '1' },
    },
  })
  const [count, k, seed] = [Number(values.problems), Number(values.k), Number(values.seed)]
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const seen = new Set<string>()
  drawProblems('worked', seen)
  const learning = drawProblems('prm', seen).slice(0, 500)
  const problems = drawProblems('test', seen).slice(0, count)
  const known = await sample(policy, problems, 2, seed)
  const learned = await sample(policy, learning, 4, seed)
  const surface = surfaceRegression(learned.map(({ solution, labels }) => ({ ...solution, labels })))

  const request = { temperature: 1, seed, maxTokens: 200, separator: '\n' }
  const extract = (text: string): string | null => answerOf(text.trimEnd().split('\n').at(-1))
  const rollouts = { policy, request, extract, k }
  const scored: number[][] = []
  for await (const { steps } of prm.scoreMany(known.map(({ solution }) => solution))) {
    scored.push(steps.map(({ score }) => score))
  }
  const reading = (name: string, scorer: typeof equationChecker): Asked => ({
    name,
    votes: known.map(({ solution: { problem, steps } }) => ({
      method: 'prm',
      firstError: firstBelow(scorer(problem, steps), 0.5),
    })),
    tokens: 0,
    seconds: 0,
  })
  const byPrm = await ask('embedded PRM', prmJudge(prm, { id: 'embedded' }), known)
  const bySearch = await ask(`rollouts, binary search, K = ${k}`, bisectionJudge(rollouts), known)
  const byRollouts = await ask(`rollouts, K = ${k}`, rolloutJudge(rollouts), known)
  const bySurface = reading('surface regression', surface)
  const byEquations = reading('equation checker', equationChecker)

  const measure = new Measure(known)
  const alone = (asked: Asked): Kept => asked.votes.map(({ firstError }) => firstError)
  const wrong = known.filter(({ truth }) => truth >= 0).length
  const blind = known.filter(({ solution, truth }) => solution.answerCorrect && truth >= 0).length
  console.log(
    `${known.length} solutions of ${count} problems, ${wrong} with an error; ${blind} come to the right answer with one\n`,
  )
  const head = ['labels of', 'kept, %', 'F1 of the kept', 'wrong first error, %', 'wrong step labels, %']
  const single = [byPrm, bySearch, byRollouts, bySurface, byEquations]
  console.log(
    table(
      head,
      single.map(asked => measure.row(asked.name, alone(asked))),
    ),
  )
  console.log(
    `\n${table(
      ['judge', 'tokens a solution', 'seconds'],
      single.map(({ name, tokens, seconds }) => [name, (tokens / known.length).toFixed(0), seconds.toFixed(0)]),
    )}`,
  )
  const panels = [
    [byPrm, bySearch],
    [byPrm, bySearch, bySurface],
    [byPrm, bySearch, byEquations],
  ]
  for (const judges of panels) {
    console.log(`\n### ${judges.map(({ name }) => name).join('; ')}\n`)
    const usable = rules.filter(([, { agree }]) => typeof agree !== 'number' || judges.length > agree)
    const found = usable.map(([name, rule]): readonly [string, Kept] => {
      const kept = known.map(({ solution }, i) => {
        const votes = judges.map(({ votes }) => votes[i]!)
        const decision = consensus(
          { votes, steps: solution.steps.length, answerCorrect: solution.answerCorrect! },
          rule,
        )
        return decision.kept ? decision.firstError : null
      })
      return [name, kept]
    })
    const retained = found[0]![1].filter(at => at !== null).length / known.length
    const sure: readonly [string, Kept] = [
      'embedded PRM where it is surest, as many as unanimous',
      surest(scored, retained),
    ]
    const all = [...found, sure]
    console.log(
      table(
        head,
        all.map(([name, kept]) => measure.row(name, kept)),
      ),
    )
    const cuts = all.map(([name, kept]) => [name, ...judges.map(one => measure.cut(alone(one), kept))])
    console.log(
      `\n${table(['wrong first errors cut by, % [95 %]', ...judges.map(({ name }) => `from ${name}`)], cuts)}`,
    )
  }
}

if (import.meta.filename === process.argv[1]) await main()
