import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { onAbort } from '../abort.ts'
import type { ProblemRecord } from '../datasets/records.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import { type Generator, requireCapabilities } from '../generator/generator.ts'
import { equivalent, extractAnswer } from '../grade/index.ts'
import { inOrder } from '../ordered.ts'
import { Driver, type Sampling, type Setting } from '../search/driver.ts'
import { type Configuration, Journal } from '../search/journal.ts'
import { type MachineEvent, nativeSearch, type Outcome, type SearchMachine } from '../search/machine.ts'
import type { Budget, LabelStrategy, OmegaPrm } from '../search/strategies.ts'
import type { Annotation, Rollouts } from './annotation.ts'

export interface OmegaOptions extends LabelOptions {
  /** What writes the rollouts; it has to go on with an answer that is begun. */
  readonly policy: Generator
  readonly strategy?: OmegaPrm
  /** What one problem may use: `generations` are rollouts. @default what the strategy uses by itself */
  readonly budget?: Budget
  readonly system?: string
  /** Of every draw. @default 1 */
  readonly seed?: number
  /** How rollouts are sampled. @default temperature 0.7 */
  readonly sampling?: Sampling
  /** What ends a step. @default the policy's */
  readonly separator?: string
  /** Takes the final answer out of a solution; null where it has none. @default `extractAnswer` of surefoot/grade */
  readonly extract?: (solution: string) => string | null
  /** Whether an answer is right. @default `equivalent` of surefoot/grade; no answer is wrong */
  readonly grade?: (answer: string | null, reference: string) => boolean
  /** A folder with the journal of each problem, by its number: to go on from after a kill. */
  readonly journals?: string
  /** Go on with the journals that are there; they must have been begun with the same options. */
  readonly resume?: boolean
  /** Problems under way at the same time, at most. What comes of them does not depend on it. @default 8 */
  readonly concurrency?: number
  readonly signal?: AbortSignal
}

/** What a tree becomes. */
export interface LabelOptions {
  /**
   * `solutions`: a record for each wrong rollout whose first error was found, and for each right one. `prefixes`: a record
   * for each prefix that was rolled out from, with a label on its last step alone. @default 'solutions'
   */
  readonly emit?: 'solutions' | 'prefixes'
  /**
   * `hard`: 1 before the first error, 0 on it; of a prefix, whether any rollout was right. `soft`: the share of right
   * rollouts, on the steps that were rolled out from. Behind a first error nothing is judged. @default 'hard'
   */
  readonly labels?: 'hard' | 'soft'
}

/** What came of a problem. */
export interface OmegaResult {
  /** Its place in the data, from 0. */
  readonly index: number
  readonly id: string
  readonly annotations: readonly Annotation[]
  /** null: it was not begun. */
  readonly tree: OmegaTree | null
  /** Why it has no labels. */
  readonly failure?: { readonly code: string; readonly message: string }
}

/** The graded rollouts of a problem, as texts. */
export interface OmegaTree {
  readonly problem: Pick<ProblemRecord, 'id' | 'problem' | 'answer'>
  readonly policy: string
  /** The prefixes that were rolled out from, in their order; the first one is empty. */
  readonly prefixes: readonly OmegaPrefix[]
  /** Whole solutions, in the order in which they were asked, each text once. */
  readonly solutions: readonly OmegaSolution[]
  readonly finish: Outcome['finish']
  readonly limit: Outcome['limit']
  readonly spent: Outcome['spent']
}

export interface OmegaPrefix extends Rollouts {
  readonly steps: readonly string[]
}

export interface OmegaSolution {
  readonly steps: readonly string[]
  readonly answer: string | null
  readonly correct: boolean
  /** Index of the first wrong step; −1 of a right solution; null where it was not searched. */
  readonly firstError: number | null
}

const BOTH = { emit: ['solutions', 'prefixes'], labels: ['hard', 'soft'] } as const

/**
 * Labels the steps of what a policy writes, by OmegaPRM: for each problem a tree of rollouts that are graded by its reference
 * answer, in which the first errors of wrong solutions are found by bisection. The solutions are the policy's own, so this is
 * no judge of given ones.
 *
 * A right solution is one whose answer is right; that its steps are is what the labels assume, as all labels by rollouts do.
 *
 * @param problems results come in their order; one without a reference answer has a `failure`
 * @throws `ERR_CAPABILITY` for a policy that cannot go on with an answer; `ERR_INVALID_ARGUMENT`; `ERR_IO`; what the policy throws
 *   that is not about one rollout; the signal's reason
 */
export async function* omega(
  problems: Iterable<ProblemRecord> | AsyncIterable<ProblemRecord>,
  options: OmegaOptions,
): AsyncGenerator<OmegaResult, void, undefined> {
  const { policy, journals, signal, concurrency = 8 } = options
  check(options)
  signal?.throwIfAborted()
  await policy.ready?.(signal ? { signal } : {})
  requireCapabilities(policy, ['prefill'], 'omega')
  if (journals !== undefined) makeFolder(journals)
  const stop = new AbortController()
  const release = onAbort(signal, reason => stop.abort(reason))
  const label = async (problem: ProblemRecord, index: number): Promise<OmegaResult> => {
    const { id, answer } = problem
    if (answer === null) {
      const failure = { code: 'ERR_INVALID_ARGUMENT', message: 'has no reference answer to grade rollouts by' }
      return { index, id, annotations: [], tree: null, failure }
    }
    const tree = await grow(problem, answer, index, { ...options, signal: stop.signal })
    return { index, id, annotations: annotationsOf(tree, options), tree }
  }
  try {
    yield* inOrder(problems, concurrency, label, reason => stop.abort(reason))
  } finally {
    release()
  }
}

/** The records of a tree. @throws `ERR_INVALID_ARGUMENT` */
export function annotationsOf(tree: OmegaTree, options: LabelOptions = {}): Annotation[] {
  const { emit = 'solutions', labels = 'hard' } = options
  checkLabels(options)
  const { problem, policy, prefixes, solutions } = tree
  const known = new Map(prefixes.map(({ steps, hits, count }) => [keyOf(steps), { hits, count }]))
  const records = emit === 'prefixes' ? prefixes.slice(1) : solutions.filter(({ firstError }) => firstError !== null)
  return records.map((record, number): Annotation => {
    const { steps } = record
    const rollouts = steps.map((_, index) => known.get(keyOf(steps.slice(0, index + 1))) ?? null)
    const label = labelOf(record, labels)
    return {
      kind: 'labels',
      id: `${problem.id}/${number}`,
      problem: problem.problem,
      steps,
      labels: rollouts.map((seen, index) => label(index, seen)),
      firstError: 'firstError' in record ? record.firstError : null,
      answer: problem.answer,
      ...('correct' in record && { answerCorrect: record.correct }),
      generator: policy,
      provenance: {
        method: 'omega',
        by: [policy],
        rollouts: rollouts.reduce((sum, seen) => sum + (seen?.count ?? 0), 0),
      },
      rollouts,
    }
  })
}

/** The label of a step by its index and the rollouts from its end. */
function labelOf(
  record: OmegaPrefix | OmegaSolution,
  labels: 'hard' | 'soft',
): (index: number, seen: Rollouts | null) => number | null {
  const share = ({ hits, count }: Rollouts): number => (labels === 'soft' ? hits / count : Math.min(hits, 1))
  if (!('firstError' in record)) {
    const last = record.steps.length - 1
    return (index, seen) => (index === last && seen ? share(seen) : null)
  }
  const { firstError, steps } = record
  const wrong = firstError === null || firstError < 0 ? steps.length : firstError
  return (index, seen) => {
    if (index === wrong) return 0
    if (index > wrong) return null
    return labels === 'hard' ? 1 : seen && share(seen)
  }
}

/** The same for the same steps. */
function keyOf(steps: readonly string[]): string {
  return JSON.stringify(steps)
}

interface OmegaConfiguration extends Configuration<LabelStrategy> {
  readonly reference: string
}

/** Grows the tree of a problem, or goes on with it. */
async function grow(
  problem: ProblemRecord,
  reference: string,
  index: number,
  options: OmegaOptions & { readonly signal: AbortSignal },
): Promise<OmegaTree> {
  const { policy, budget = {}, system, seed = 1, sampling = {}, extract, grade = isRight, journals, resume } = options
  const strategy: LabelStrategy = { ...options.strategy, strategy: 'omega' }
  const verdicts = new Map<string | null, boolean>()
  const isCorrect = (answer: string | null): boolean => {
    const verdict = verdicts.get(answer) ?? grade(answer, reference)
    verdicts.set(answer, verdict)
    return verdict
  }
  const setting: Setting = {
    problem: problem.problem,
    system,
    policy,
    prm: null,
    seed,
    sampling,
    separator: options.separator ?? policy.separator ?? '\n\n',
    extract: extract ?? (text => extractAnswer(text)?.text ?? null),
    grade: isCorrect,
    concurrency: 1,
    ms: budget.ms,
  }
  const configuration: OmegaConfiguration = {
    strategy,
    budget,
    problem: setting.problem,
    system: system ?? null,
    seed,
    sampling: JSON.parse(JSON.stringify(sampling)),
    separator: setting.separator,
    policy: { id: policy.id, facts: (policy as { facts?: object }).facts ?? null },
    prm: null,
    reference,
  }
  const path = journals === undefined ? null : join(journals, `${String(index).padStart(8, '0')}.jsonl`)
  using journal = path === null ? null : Journal.open(path, configuration, resume)
  const machine = nativeSearch(strategy, budget)
  const errors: FirstError[] = []
  const driver = new Driver(machine, setting, {
    did: entry => journal?.append(entry),
    happened: event => event.type === 'firstError' && errors.push(event),
  })
  const known = journal === null ? null : driver.retrace(journal.entries)
  const outcome = known ?? (await driver.run(options.signal))
  journal?.end(outcome, null)
  return treeOf({ problem, outcome, machine, driver, errors, isCorrect, policy: policy.id })
}

type FirstError = Extract<MachineEvent, { type: 'firstError' }>

function treeOf({
  problem: { id, problem, answer: reference },
  outcome: { finish, limit, spent },
  machine,
  driver,
  errors,
  isCorrect,
  policy,
}: {
  readonly problem: ProblemRecord
  readonly outcome: Outcome
  readonly machine: SearchMachine
  readonly driver: Driver
  readonly errors: readonly FirstError[]
  readonly isCorrect: (answer: string | null) => boolean
  readonly policy: string
}): OmegaTree {
  const { texts } = driver
  const firstErrors = new Map(errors.map(error => [error.node, error.step]))
  const prefixes = new Map<string, OmegaPrefix>()
  const solutions = new Map<string, OmegaSolution>()
  for (const { node, parent, value, visits } of machine.nodes()) {
    if (!texts.has(node)) continue
    const steps = texts.steps(node)
    const key = keyOf(steps)
    if (visits > 0) {
      const before = prefixes.get(key) ?? { hits: 0, count: 0 }
      const hits = Math.round((value ?? 0) * visits)
      prefixes.set(key, { steps, hits: before.hits + hits, count: before.count + visits })
    }
    const answer = driver.answerOf(node)
    if (answer === undefined || steps.length === 0) continue
    const correct = isCorrect(answer)
    const step = firstErrors.get(node)
    const found = step === undefined ? null : texts.steps(parent ?? 0).length + step
    // A text is searched once, whichever of its solutions that is.
    const firstError = correct ? -1 : (found ?? solutions.get(key)?.firstError ?? null)
    solutions.set(key, { steps, answer, correct, firstError })
  }
  return {
    problem: { id, problem, answer: reference },
    policy,
    prefixes: [...prefixes.values()],
    solutions: [...solutions.values()],
    finish,
    limit,
    spent,
  }
}

function isRight(answer: string | null, reference: string): boolean {
  return answer !== null && equivalent(reference, answer).equal
}

function check(options: OmegaOptions): void {
  const { policy, seed = 1, concurrency = 8, journals, resume } = options
  if (typeof policy?.sample !== 'function') {
    invalidArgument('policy', 'must be a policy: Policy.load(), openai(…)', policy)
  }
  if (!Number.isSafeInteger(seed) || seed < 0) invalidArgument('seed', 'must be an integer of at least 0', seed)
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    invalidArgument('concurrency', 'must be a positive integer', concurrency)
  }
  if (journals !== undefined && (typeof journals !== 'string' || journals === '')) {
    invalidArgument('journals', 'must be the name of a folder', journals)
  }
  if (resume && journals === undefined) invalidArgument('resume', 'needs the journals to go on with', resume)
  checkLabels(options)
}

function checkLabels(options: LabelOptions): void {
  for (const [name, values] of Object.entries(BOTH) as [keyof typeof BOTH, readonly string[]][]) {
    const value = options[name]
    if (value !== undefined && !values.includes(value)) {
      invalidArgument(name, `must be ${values.join(' or ')}, got ${String(value)}`, value)
    }
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true })
  } catch (error) {
    throw new SurefootError('ERR_IO', `${path}: ${(error as Error).message}`, { data: { path }, cause: error })
  }
}
