/** Which rule chooses right how often, at what cost: rules, curves, comparisons, agreement, recorded verdicts. */
import { accuracyAt, areaUnderCurve, type BudgetPoint, bootstrapMean, mcnemar, mean, sameBudget } from './metrics.ts'
import { MAJORITY, MEAN_OF_SAMPLES, type Rule, type Voter } from './rules.ts'
import type { CandidateResult, Comparison, Cost, Curve, ProblemResult, RuleResult, Summary } from './summary.ts'

/** What is kept of a problem once its line is read. */
export interface ProblemTally {
  readonly voters: readonly Voter[]
  /** Of all its candidates together. */
  readonly cost: Cost
  readonly choices: ProblemResult['choices']
  readonly recorded: Readonly<Record<string, number>>
  /** The verdicts of each generator's candidates, where several wrote them. */
  readonly generators: ReadonlyMap<string, readonly boolean[]>
}

export function tallyProblem({ candidates, choices, recorded = {} }: ProblemResult): ProblemTally {
  const generators = new Map<string, boolean[]>()
  for (const { generator, correct } of candidates) {
    if (generator === undefined) continue
    const own = generators.get(generator)
    if (own) own.push(correct)
    else generators.set(generator, [correct])
  }
  const voters = candidates.map(({ group, correct, scores, score }) => ({ group, correct, scores, score }))
  const cost = {
    policyTokens: total(candidates, ({ tokens }) => tokens),
    prefillTokens: null,
    prmTokens: total(candidates, ({ prmTokens, failure }) => (failure === undefined ? prmTokens : 0)),
    ms: total(candidates, ({ ms }) => ms),
    prmMs: total(candidates, ({ prmMs = null, failure }) => (failure === undefined ? prmMs : 0)),
  }
  return { voters, cost, choices, recorded, generators }
}

/** The sum over all candidates; null when one of them does not say. */
function total(
  candidates: readonly CandidateResult[],
  of: (candidate: CandidateResult) => number | null,
): number | null {
  let sum = 0
  for (const candidate of candidates) {
    const value = of(candidate)
    if (value === null) return null
    sum += value
  }
  return sum
}

export interface Draws {
  readonly seed: number
  readonly resamples: number
}

/** 1, 2, 4, … and the largest number of candidates that a problem has. */
export function sizesOf(problems: readonly ProblemTally[]): number[] {
  const most = problems.reduce((most, { voters }) => Math.max(most, voters.length), 1)
  const sizes: number[] = []
  for (let n = 1; n < most; n *= 2) sizes.push(n)
  return [...sizes, most]
}

type Numbers = Pick<Summary, 'rules' | 'curves' | 'comparisons' | 'agreement'> & {
  readonly recorded: NonNullable<Summary['recorded']>
}

/** One rule at one number of candidates. */
interface Point extends RuleResult {
  /** The chance of a right choice. */
  readonly perProblem: readonly number[]
  /** Whether it chooses right among the first `n` candidates, ties going to the first. */
  readonly verdicts: readonly boolean[]
}

/** A rule at every number of candidates. */
interface Line {
  readonly rule: Rule
  readonly points: readonly Point[]
}

/** The numbers of every rule at every number of candidates. */
export function measureRules(problems: readonly ProblemTally[], rules: readonly Rule[], draws: Draws): Numbers {
  const sizes = sizesOf(problems)
  const lines = rules.map((rule): Line => ({ rule, points: pointsOf(problems, rule, sizes, draws) }))
  const majority = lines.find(({ rule }) => rule.name === MAJORITY)!
  const sampled = lines.find(({ rule }) => rule.name === MEAN_OF_SAMPLES)!
  const scored = lines.filter(({ rule }) => rule.scoredBy !== 'nothing')
  const generators = generatorsOf(problems, draws)
  // One candidate leaves nothing to choose.
  const larger = majority.points.filter(({ n }) => n > 1)
  const at = ({ points }: Line, n: number): Point => points.find(point => point.n === n)!
  return {
    rules: [...lines.flatMap(({ points }) => points), ...generators].map(({ rule, n, accuracy, cost }) => {
      return { rule, n, accuracy, cost }
    }),
    curves: lines.filter(({ points }) => points.length > 1).map(({ rule, points }) => curveOf(rule, points)),
    comparisons: [
      ...scored.flatMap(line =>
        larger.map(point => comparisonOf(at(line, point.n), point, [line.points, majority.points], draws)),
      ),
      ...larger.map(point => comparisonOf(point, sampled.points[0]!, [majority.points, sampled.points], draws)),
      ...generators
        .filter(({ perProblem }) => perProblem.length === problems.length)
        .flatMap(own =>
          larger.slice(-1).map(point => comparisonOf({ ...own, n: point.n }, point, [[own], majority.points], draws)),
        ),
    ],
    agreement: agreementOf(
      problems,
      rules.filter(({ choose }) => choose !== null),
    ),
    recorded: recordedOf(problems, rules),
  }
}

/** The mean of samples is the same at any number of candidates, so it stands at one only. */
function pointsOf(problems: readonly ProblemTally[], rule: Rule, sizes: readonly number[], draws: Draws): Point[] {
  const wanted = rule.name === MEAN_OF_SAMPLES ? sizes.slice(0, 1) : sizes
  return wanted.map(n => {
    const perProblem = problems.map(({ voters }) => rule.chance(voters, n))
    const verdicts = problems.map(({ voters }) => {
      const first = rule.choose ? rule.choose(voters.slice(0, n))[0] : 0
      return first !== undefined && (voters[first]?.correct ?? false)
    })
    const cost = costOf(problems, rule, n)
    return { rule: rule.name, n, accuracy: bootstrapMean(perProblem, draws), cost, perProblem, verdicts }
  })
}

/** More generators than this are not told apart. */
const MOST_GENERATORS = 20

/** What one candidate of each generator is worth, over the problems that it solved; nothing where only one wrote them all. */
function generatorsOf(problems: readonly ProblemTally[], draws: Draws): Point[] {
  const names = [...new Set(problems.flatMap(({ generators }) => [...generators.keys()]))]
  if (names.length < 2 || names.length > MOST_GENERATORS) return []
  const cost: Cost = { policyTokens: null, prefillTokens: null, prmTokens: 0, ms: null, prmMs: 0 }
  return names.map(name => {
    const own = problems.flatMap(({ generators }) => (generators.has(name) ? [generators.get(name)!] : []))
    const perProblem = own.map(verdicts => mean(verdicts.map(Number)))
    const verdicts = own.map(([first]) => first!)
    return { rule: `samples of ${name}`, n: 1, accuracy: bootstrapMean(perProblem, draws), cost, perProblem, verdicts }
  })
}

/** The mean per problem of what `n` of its candidates cost, and what the rule reads of them. */
function costOf(problems: readonly ProblemTally[], { scoredBy }: Rule, n: number): Cost {
  const perProblem = (of: (cost: Cost) => number | null): number | null => {
    let sum = 0
    for (const { voters, cost } of problems) {
      const all = of(cost)
      if (all === null) return null
      if (voters.length > 0) sum += (all * Math.min(n, voters.length)) / voters.length
    }
    return sum / problems.length
  }
  const scoring = (of: (cost: Cost) => number | null): number | null => {
    if (scoredBy === 'nothing') return 0
    return scoredBy === 'prm' ? perProblem(of) : null
  }
  return {
    policyTokens: perProblem(cost => cost.policyTokens),
    prefillTokens: null,
    prmTokens: scoring(cost => cost.prmTokens),
    ms: perProblem(cost => cost.ms),
    prmMs: scoring(cost => cost.prmMs ?? null),
  }
}

/** All tokens; null when some were not recorded. */
function tokensOf({ policyTokens, prefillTokens, prmTokens }: Cost): number | null {
  return policyTokens === null || prmTokens === null ? null : policyTokens + (prefillTokens ?? 0) + prmTokens
}

/** Accuracy over tokens, where those are known. */
function overTokens(points: readonly Point[]): BudgetPoint[] {
  return points.flatMap(({ cost, accuracy }) => {
    const budget = tokensOf(cost)
    return budget === null || budget <= 0 ? [] : [{ budget, accuracy: accuracy.value }]
  })
}

function curveOf(rule: Rule, points: readonly Point[]): Curve {
  const known = overTokens(points)
  return {
    rule: rule.name,
    points: points.map(({ n, accuracy, cost }) => ({ n, accuracy, cost })),
    area: known.length === points.length ? areaUnderCurve(known) : null,
  }
}

/** `curves` are those of the two rules. McNemar's test needs one verdict a problem: those among the first `n`. */
function comparisonOf(
  own: Point,
  other: Point,
  curves: readonly [readonly Point[], readonly Point[]],
  draws: Draws,
): Comparison {
  const differences = own.perProblem.map((chance, i) => chance - other.perProblem[i]!)
  const budgets: [number | null, number | null] = [tokensOf(own.cost), tokensOf(other.cost)]
  return {
    rule: own.rule,
    against: other.rule,
    n: own.n,
    difference: bootstrapMean(differences, draws),
    p: mcnemar(own.verdicts, other.verdicts).p,
    equalBudget: budgets[0] !== null && budgets[1] !== null && sameBudget(budgets[0], budgets[1]),
    budgets,
    atEqualBudget: differenceAt(budgets[0], ...curves) ?? differenceAt(budgets[1], ...curves),
  }
}

/** How much the first curve lies above the second at a budget; null beyond what either was measured at. */
function differenceAt(budget: number | null, own: readonly Point[], other: readonly Point[]): number | null {
  const [here, there] = [own, other].map(points => (budget === null ? null : accuracyOf(points, budget)))
  return here === null || there === null ? null : here! - there!
}

function accuracyOf(points: readonly Point[], budget: number): number | null {
  const curve = overTokens(points)
  const measured = curve.find(point => point.budget === budget)
  if (measured !== undefined) return measured.accuracy
  return budget > 0 && curve.length > 1 ? accuracyAt(curve, budget) : null
}

/** How often two rules choose the same answer among all candidates; tied choices are drawn at random. */
function agreementOf(problems: readonly ProblemTally[], rules: readonly Rule[]): Summary['agreement'] {
  const names = rules.map(({ name }) => name)
  const sums = names.map(() => new Array<number>(names.length).fill(0))
  for (const { voters, choices } of problems) {
    const answers = names.map(name => answersOf(choices.find(({ rule }) => rule === name)!.chosen, voters))
    for (const [row, own] of answers.entries()) {
      for (const [column, other] of answers.entries()) {
        sums[row]![column]! += row === column ? 1 : sameChance(own, other)
      }
    }
  }
  return { names, shares: sums.map(row => row.map(sum => sum / problems.length)) }
}

/** The chance of each answer group to be chosen; null stands for none. */
function answersOf(chosen: readonly number[], voters: readonly Voter[]): Map<number | null, number> {
  if (chosen.length === 0) return new Map([[null, 1]])
  const chances = new Map<number | null, number>()
  for (const index of chosen) {
    const { group } = voters[index]!
    chances.set(group, (chances.get(group) ?? 0) + 1 / chosen.length)
  }
  return chances
}

function sameChance(a: ReadonlyMap<number | null, number>, b: ReadonlyMap<number | null, number>): number {
  let sum = 0
  for (const [answer, chance] of a) sum += chance * (b.get(answer) ?? 0)
  return sum
}

/**
 * How often each recorded verdict is that of the same rule here. Rules that are not known here are left out, and those that
 * go by a PRM's scores instead of the recorded ones: they are other rules.
 */
function recordedOf(problems: readonly ProblemTally[], rules: readonly Rule[]): NonNullable<Summary['recorded']> {
  const same = new Set(rules.filter(({ scoredBy }) => scoredBy !== 'prm').map(({ name }) => name))
  const tallies = new Map<string, { name: string; rule: string; agree: number; count: number }>()
  for (const { recorded, choices, voters } of problems) {
    for (const [name, verdict] of Object.entries(recorded)) {
      const choice = choices.find(({ rule }) => rule === recordedRule(name) && same.has(rule))
      if (!choice) continue
      const tally = tallies.get(name) ?? { name, rule: choice.rule, agree: 0, count: 0 }
      tallies.set(name, tally)
      const [first] = choice.chosen
      tally.count++
      if (verdict === +(first !== undefined && voters[first]!.correct)) tally.agree++
    }
  }
  return [...tallies.values()]
}

/** The rule that a recorded verdict is of: by its name here, or by the names of OpenR (`prm_min_vote`). */
function recordedRule(name: string): string {
  const [, by, how] = /^prm_([a-z]+)_(max|vote)$/.exec(name) ?? []
  if (by !== undefined) return `${how === 'max' ? 'best-of-n' : 'weighted vote'} (${by})`
  return name === 'majority_vote' ? MAJORITY : name
}
