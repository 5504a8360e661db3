import { type Aggregate, aggregates } from '../aggregate.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import { type Generator, requireCapabilities } from '../generator/generator.ts'
import { extractAnswer } from '../grade/index.ts'
import { checkPrompt } from '../problem.ts'
import type { ScorerFacts, StepScorer } from '../scorer.ts'
import { Driver, type Sampling, type Setting } from './driver.ts'
import { engineDrive } from './engine.ts'
import { type Configuration, Journal } from './journal.ts'
import { type Limit, type MachineEvent, nativeSearch, type Outcome, type SearchMachine, type Spent } from './machine.ts'
import { Run } from './run.ts'
import { type Budget, type Strategy, strategyNames } from './strategies.ts'

export interface SolveOptions {
  /** What writes. */
  readonly policy: Generator
  /** What scores: a `PRM`, or anything of its shape. A majority vote needs none. */
  readonly prm?: StepScorer
  /** What to write next: one of the strategies, or a search of yours. */
  readonly strategy: Strategy | SearchMachine
  /** @default what the strategy uses by itself */
  readonly budget?: Budget
  readonly system?: string
  /** Of every draw. @default 1 */
  readonly seed?: number
  /** How continuations are sampled. @default temperature 0.7 */
  readonly sampling?: Sampling
  /** What ends a step. @default the policy's */
  readonly separator?: string
  /** Takes the final answer out of a solution; null where it has none. @default `extractAnswer` of surefoot/grade */
  readonly extract?: (solution: string) => string | null
  /** Requests under way at the same time, at most. The result does not depend on it. @default 16 */
  readonly concurrency?: number
  /** A file to write down what happens, line by line: to go on from after a kill, and for `replay`. */
  readonly journal?: string
  /** Go on with the search in the journal, if there is one; it must have been begun with the same options. */
  readonly resume?: boolean
  /**
   * Who has texts written and scored: the native engine, which needs no word with JavaScript until the end, or TypeScript,
   * for any policy and PRM. The tree is the same. @default 'native' where policy and PRM are
   */
  readonly driver?: 'native' | 'typescript'
  /** Ends the search; the run rejects with the signal's reason. `run.stop()` ends it with the best answer so far. */
  readonly signal?: AbortSignal
}

/** A path that has its end. */
export interface Solution {
  readonly node: number
  readonly text: string
  readonly answer: string | null
  readonly steps: readonly { readonly text: string; readonly score: number | null }[]
  /** The step scores as one number; null where the PRM has not seen all of it. */
  readonly score: number | null
}

/** What came of a search. */
export interface Solved {
  /** null where no solution has one. */
  readonly answer: string | null
  /** The chosen solution, or the best beginning of one; null where nothing was written. */
  readonly solution: Solution | null
  /** Whether the chosen solution has its end. */
  readonly finished: boolean
  readonly finish: 'complete' | 'budget' | 'aborted'
  /** The limit that ended it. */
  readonly limit: Limit | null
  readonly spent: Spent
  /** Every solution, in the order in which they were asked. */
  readonly solutions: readonly Solution[]
  /** The tree, in the order in which its nodes were asked. */
  readonly trace: readonly TraceNode[]
}

/** A node of the tree with its text. */
export interface TraceNode {
  readonly node: number
  readonly parent: number | null
  /** What it adds to its parent's text. */
  readonly text: string
  readonly steps: readonly string[]
  /** Of its own steps, as far as the strategy had them scored. */
  readonly scores: readonly number[]
  readonly score: number | null
  readonly value: number | null
  readonly visits: number
  readonly finished: boolean
  readonly pruned: boolean
  readonly answer: string | null
}

/** What happens in a search, with the text of what was written. */
export type SearchEvent = MachineEvent & { readonly text?: string }

/** A search under way: await it for what came of it, or iterate over what happens. It goes on whether or not anybody looks. */
export interface SolveRun extends PromiseLike<Solved>, AsyncIterable<SearchEvent> {
  /** Ends the search with the best answer so far: `finish` is `aborted`. */
  stop(): void
}

/**
 * Solves a problem by search: a policy writes, a PRM scores, a strategy decides, a budget ends it.
 *
 * @throws `ERR_CAPABILITY` for a policy that cannot do what the strategy needs; `ERR_INVALID_ARGUMENT`; what the policy and
 *   the PRM throw that is not about one continuation; the signal's reason
 */
export function solve(problem: string, options: SolveOptions): SolveRun {
  const { signal } = options
  let driver: Driver | undefined
  let stopped = false
  const run = new Run<Solved, SearchEvent>(async report => {
    const { machine, setting, configuration } = await prepare(problem, options)
    using journal = options.journal === undefined ? null : Journal.open(options.journal, configuration, options.resume)
    const made = new Driver(machine, setting, {
      did: entry => journal?.append(entry),
      happened: event => report('node' in event && made.texts.has(event.node) ? withText(event, made) : event),
    })
    const known = journal === null ? null : made.retrace(journal.entries)
    if (known === null) {
      driver = made
      if (stopped) made.stop()
    }
    const outcome = known ?? (await made.run(signal))
    const solved = solvedOf(outcome, machine, made)
    journal?.end(outcome, solved.answer)
    return solved
  })
  return Object.assign(run, {
    stop: () => {
      stopped = true
      driver?.stop()
    },
  })
}

function withText(event: MachineEvent & { readonly node: number }, driver: Driver): SearchEvent {
  return event.type === 'sampled' || event.type === 'scored'
    ? { ...event, text: driver.texts.of(event.node).raw }
    : event
}

/** Checks the options and makes the search of them. */
async function prepare(
  problem: string,
  options: SolveOptions,
): Promise<{ machine: SearchMachine; setting: Setting; configuration: Configuration }> {
  if (typeof options !== 'object' || options === null) invalidArgument('options', 'must be an object', options)
  checkPrompt(problem, options.system)
  const { policy, prm = null, strategy, budget = {}, system, seed = 1, sampling = {}, concurrency = 16 } = options
  if (typeof policy?.sample !== 'function')
    invalidArgument('policy', 'must be a policy: Policy.load(), openai(…)', policy)
  if (prm !== null && typeof prm.score !== 'function') invalidArgument('prm', 'must be a PRM: PRM.load()', prm)
  if (typeof strategy !== 'object' || strategy === null) invalidArgument('strategy', 'must be a strategy', strategy)
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    invalidArgument('concurrency', 'must be a positive integer', concurrency)
  }
  if (!Number.isSafeInteger(seed) || seed < 0) invalidArgument('seed', 'must be an integer of at least 0', seed)
  const { journal, resume, driver } = options
  if (driver !== undefined && driver !== 'native' && driver !== 'typescript') {
    invalidArgument('driver', "must be 'native' or 'typescript'", driver)
  }
  if (journal !== undefined && (typeof journal !== 'string' || journal === '')) {
    invalidArgument('journal', 'must be the name of a file', journal)
  }
  if (resume !== undefined && typeof resume !== 'boolean') invalidArgument('resume', 'must be true or false', resume)
  if (resume && journal === undefined) invalidArgument('resume', 'needs the journal to go on with', resume)
  options.signal?.throwIfAborted()
  await policy.ready?.(options.signal ? { signal: options.signal } : {})
  const ownMachine = 'ask' in strategy
  if (!ownMachine) checkFit(strategy, policy, prm)
  const plan = ownMachine ? null : filled(strategy, prm?.facts ?? null)
  const limited = limits(budget, policy, prm)
  const machine = ownMachine ? strategy : nativeSearch(plan!, limited)
  const setting: Setting = {
    problem,
    system,
    policy,
    prm,
    seed,
    sampling,
    separator: options.separator ?? policy.separator ?? '\n\n',
    extract: options.extract ?? (text => extractAnswer(text)?.text ?? null),
    concurrency,
    ms: budget.ms,
    costs: limited.costs,
  }
  const engine = driver === 'typescript' ? undefined : engineDrive(machine, setting)
  if (driver === 'native' && engine === undefined) {
    invalidArgument(
      'driver',
      'native needs a native policy, a native PRM or none, and a strategy of the library',
      driver,
    )
  }
  const { separator } = setting
  const facts = (policy as { facts?: object }).facts ?? null
  const configuration: Configuration = {
    strategy: plan,
    budget: limited,
    problem,
    system: system ?? null,
    seed,
    sampling: samplingOf(sampling),
    separator,
    policy: { id: policy.id, facts },
    prm: prm?.facts ?? null,
  }
  return { machine, setting: { ...setting, engine }, configuration }
}

/** No more than what is known to be about sampling: nothing else may get into a journal. */
function samplingOf({ temperature, topK, topP, minP, repetitionPenalty, bans, stop }: Sampling): Sampling {
  return JSON.parse(JSON.stringify({ temperature, topK, topP, minP, repetitionPenalty, bans, stop }))
}

/** Strategies that grow an answer step by step, or go on from a part of one. */
const STEPWISE: readonly string[] = ['beam', 'dvts', 'rebase', 'mcts']

function checkFit(strategy: Strategy, policy: Generator, prm: StepScorer | null): void {
  const name = strategy.strategy
  if (!strategyNames.includes(name)) {
    invalidArgument('strategy', `must be one of ${strategyNames.join(', ')}, got ${String(name)}`, name)
  }
  if (STEPWISE.includes(name)) requireCapabilities(policy, ['prefill', 'stopReason'], name)
  if (name === 'refine') requireCapabilities(policy, ['prefill'], name)
  const { select } = strategy as { select?: { by: string; prior?: { from: string } } }
  if (select?.by === 'puct' && select.prior?.from !== 'uniform') {
    requireCapabilities(policy, ['logprobs'], 'mcts by puct with log-probabilities as prior')
  }
  if (prm === null && name !== 'majority')
    invalidArgument('prm', `${name} chooses by scores: give a PRM, or use majority`)
}

/** The strategy with what the PRM says of its own scores. */
export function filled(strategy: Strategy, facts: ScorerFacts | null): Strategy {
  if (strategy.strategy === 'majority' || facts === null) return strategy
  const by: Aggregate = strategy.aggregate ?? facts.aggregate
  if (!aggregates.includes(by)) invalidArgument('aggregate', `must be one of ${aggregates.join(', ')}, got ${by}`, by)
  const { threshold } = facts
  const weak = strategy.strategy === 'refine' && strategy.threshold === undefined && threshold !== null
  return { ...strategy, aggregate: by, ...(weak && { threshold }) }
}

/** The budget with what a token costs, where both models say how large they are. */
function limits(budget: Budget, policy: Generator, prm: StepScorer | null): Budget {
  if (budget.flops === undefined || budget.costs !== undefined) return budget
  const parameters = (of: unknown): number | undefined =>
    (of as { facts?: { parameters?: number } } | null)?.facts?.parameters
  const [writes, scores] = [parameters(policy), parameters(prm)]
  if (writes === undefined || (prm !== null && scores === undefined)) return budget
  return { ...budget, costs: { policy: 2 * writes, prm: 2 * (scores ?? writes) } }
}

export function solvedOf(outcome: Outcome, machine: SearchMachine, driver: Driver): Solved {
  const { chosen, finish, limit, spent } = outcome
  const nodes = machine.nodes().filter(({ node }) => driver.texts.has(node))
  const scoresOf = new Map(nodes.map(({ node, parent, scores }) => [node, { parent, scores }]))
  const solution = (node: number, score: number | null): Solution => {
    const steps: { text: string; score: number | null }[] = []
    for (let at: number | null = node; at !== null && at !== 0; ) {
      const own = scoresOf.get(at)
      const texts = driver.texts.of(at).steps
      const missing = texts.length - (own?.scores.length ?? 0)
      steps.unshift(...texts.map((text, index) => ({ text, score: own?.scores[index - missing] ?? null })))
      at = own?.parent ?? null
    }
    return { node, text: driver.texts.prefix(node), answer: driver.answerOf(node) ?? null, steps, score }
  }
  const trace = nodes.map(({ node, parent, scores, score, value, visits, finished, pruned }): TraceNode => {
    const { raw: text, steps } = driver.texts.of(node)
    const answer = driver.answerOf(node) ?? null
    return { node, parent, text, steps, scores, score, value, visits, finished, pruned, answer }
  })
  const best = chosen === null || !driver.texts.has(chosen.node) ? null : solution(chosen.node, chosen.score)
  if (chosen !== null && best === null) throw new SurefootError('ERR_INTERNAL', `node ${chosen.node} has no text`)
  return {
    answer: best?.answer ?? null,
    solution: best,
    finished: chosen?.finished ?? false,
    finish,
    limit,
    spent,
    solutions: nodes.filter(({ finished }) => finished).map(({ node, score }) => solution(node, score)),
    trace,
  }
}
