import { setImmediate } from 'node:timers/promises'
import { type Draws, measureRules, type ProblemTally, sizesOf, tallyProblem } from './choices.ts'
import { type Interval, votesAreExact } from './metrics.ts'
import type { Plan } from './plan.ts'
import { type FirstErrorNumbers, measureFirstError, measureScores, type Solution, solutionsOf } from './quality.ts'
import { MAJORITY, type Rule } from './rules.ts'
import type { Comparison, ProblemResult, Summary } from './summary.ts'
import { measureSurface, type SurfaceComparison } from './surface-baselines.ts'

/** What a summary says of its run beside the numbers. */
export interface Setting
  extends Draws,
    Pick<Summary, 'name' | 'made' | 'versions' | 'configuration' | 'hash' | 'warnings'> {
  readonly plan: Plan
  readonly rows: Omit<Summary['rows'], 'used'>
  readonly signal?: AbortSignal
}

/** Fewer problems than this leave intervals wider than most differences between rules. */
const FEW = 100

/** The lines of a run → its summary. The same lines and seed give the same numbers. */
export async function summarise(lines: AsyncIterable<ProblemResult>, setting: Setting): Promise<Summary> {
  const { plan, seed, resamples } = setting
  const draws = { seed, resamples }
  // The numbers of a large run take seconds each: an abort is heard between them.
  const pause = async (): Promise<void> => {
    await setImmediate()
    setting.signal?.throwIfAborted()
  }
  const { used, problems, tallies, solutions, failures } = await readAll(lines, setting)
  const rules = plan.kind === 'candidates' ? measureRules(tallies, plan.rules, draws) : NO_RULES
  const { recorded, ...numbers } = rules
  await pause()
  const surface = solutions.length === 0 ? NO_SURFACE : await measureSurface(problems, solutions, plan, draws, pause)
  await pause()
  const firstError = plan.kind === 'labels' ? measureFirstError(solutions, plan, draws) : null
  await pause()
  const scores = measureScores(problems, solutions, plan, draws)
  return {
    schema: 1,
    kind: plan.kind,
    name: setting.name,
    made: setting.made,
    versions: setting.versions,
    configuration: setting.configuration,
    hash: setting.hash,
    rows: { used, ...setting.rows },
    warnings: [
      ...setting.warnings,
      ...failureWarnings(failures, plan.kind),
      ...(problems < FEW
        ? [`Only ${problems} problems: most differences between rules lie within the intervals.`]
        : []),
      ...(plan.kind === 'candidates' ? candidateWarnings(tallies) : []),
      ...comparisonWarnings(numbers.comparisons, plan.rules),
      ...surfaceWarnings(surface, plan),
      ...(firstError ? firstErrorWarnings(firstError) : []),
    ],
    ...numbers,
    scores,
    surface: surface.rows,
    firstError: firstError?.result ?? null,
    ...(recorded.length > 0 && { recorded }),
  }
}

const NO_RULES: ReturnType<typeof measureRules> = {
  rules: [],
  curves: [],
  comparisons: [],
  agreement: null,
  recorded: [],
}
const NO_SURFACE: SurfaceComparison = { rows: [], unbeaten: [] }

interface Lines {
  readonly used: number
  /** Labelled solutions of one problem belong together. */
  readonly problems: number
  readonly tallies: readonly ProblemTally[]
  readonly solutions: readonly Solution[]
  readonly failures: readonly string[]
}

/** Reads the lines and keeps what the numbers need: no text. */
async function readAll(lines: AsyncIterable<ProblemResult>, { plan, signal }: Setting): Promise<Lines> {
  const numbers = new Map<string, number>()
  const tallies: ProblemTally[] = []
  const solutions: Solution[] = []
  const failures: string[] = []
  let used = 0
  for await (const line of lines) {
    signal?.throwIfAborted()
    const key = plan.kind === 'labels' ? line.problem : String(used)
    const problem = numbers.get(key) ?? numbers.size
    numbers.set(key, problem)
    used++
    if (plan.kind === 'candidates') tallies.push(tallyProblem(line))
    for (const solution of solutionsOf(line, problem, plan)) solutions.push(solution)
    for (const { failure } of line.candidates) if (failure !== undefined) failures.push(`${line.id}: ${failure}`)
  }
  return { used, problems: numbers.size, tallies, solutions, failures }
}

function failureWarnings(failures: readonly string[], kind: Summary['kind']): string[] {
  if (failures.length === 0) return []
  const consequence = kind === 'labels' ? 'are left out' : 'are never chosen by a score'
  return [`Solutions that could not be scored ${consequence}: ${failures.length}; the first: ${failures[0]}`]
}

function candidateWarnings(problems: readonly ProblemTally[]): string[] {
  const sizes = sizesOf(problems)
  const most = sizes.at(-1)!
  const fewer = problems.filter(({ voters }) => voters.length < most).length
  const counts = new Set(problems.map(({ voters }) => voters.length))
  const sampled = sizes.filter(k => [...counts].some(n => k < n && !votesAreExact(n, k)))
  return [
    ...(fewer > 0
      ? [`${fewer} problems have fewer than ${most} candidates; where n is larger, all of theirs are used.`]
      : []),
    ...(sampled.length > 0
      ? [`Votes among n = ${sampled.join(', ')} of the candidates are means over random subsets, not over all.`]
      : []),
  ]
}

/** Says of the scored rules at the largest n what a reader must not overlook. */
function comparisonWarnings(comparisons: readonly Comparison[], rules: readonly Rule[]): string[] {
  const isScored = (name: string): boolean => rules.some(rule => rule.name === name && rule.scoredBy !== 'nothing')
  const scored = comparisons.filter(({ rule }) => isScored(rule))
  const largest = scored.reduce((most, { n }) => Math.max(most, n), 0)
  const last = scored.filter(({ n }) => n === largest)
  const unknown = last.some(({ budgets }) => budgets.includes(null))
  const spent = last.find(({ equalBudget, budgets }) => !equalBudget && !budgets.includes(null))?.budgets
  const doubtful = last.filter(({ difference: { low, high } }) => low <= 0 && high >= 0).map(({ rule }) => rule)
  const warnings: string[] = []
  if (spent) {
    const [own, other] = spent.map(tokens => Math.round(tokens!).toLocaleString('en'))
    warnings.push(
      `Unequal budgets: at n = ${largest} a scored rule spends ${own} tokens a problem with those of the PRM, ${MAJORITY} ${other}.`,
    )
  }
  if (unknown) {
    warnings.push(
      `Unequal budgets: what the scores cost was not recorded, so scored rules spend more than ${MAJORITY} by an unknown amount.`,
    )
  }
  if (doubtful.length > 0) {
    const which = doubtful.length === last.length ? 'every scored rule' : doubtful.join(', ')
    warnings.push(`At n = ${largest} the interval of the difference from ${MAJORITY} includes zero for ${which}.`)
  }
  return warnings
}

function surfaceWarnings({ unbeaten }: SurfaceComparison, plan: Plan): string[] {
  const [scores, verb] =
    plan.steps === null ? ['The reward', 'does'] : plan.scorer ? ['The PRM', 'does'] : ['The recorded scores', 'do']
  return unbeaten.map(
    ({ name, difference }) =>
      `${scores} ${verb} not beat ${name} for sure: solution AUC differs by ${show(difference)}.`,
  )
}

function firstErrorWarnings({ result, tunedOn, heldOut, without }: FirstErrorNumbers): string[] {
  const best = result.rows.find(({ rule, group }) => rule === 'best' && group === (tunedOn ?? 'all'))
  const warnings: string[] = []
  if (best) {
    const chosen = tunedOn ?? 'the rows it is measured on'
    warnings.push(
      `The best threshold (${best.threshold.toFixed(3)}) was chosen on ${chosen}: its F1 there is too good.`,
    )
  }
  if (heldOut !== null) {
    const f1 = (100 * heldOut).toFixed(1)
    warnings.push(`With the threshold chosen on one half of all problems and measured on the other, F1 is ${f1}.`)
  }
  if (without.length > 0) {
    const names = without.join(', ')
    warnings.push(`No F1 for ${names}: only right or only wrong solutions, or first errors that are not known.`)
  }
  return warnings
}

function show({ value, low, high }: Interval): string {
  return `${value.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`
}
