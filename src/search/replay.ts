import { isDeepStrictEqual } from 'node:util'
import { type Aggregate, aggregates } from '../aggregate.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import { Driver, type Entry, type Setting, type Written } from './driver.ts'
import { type Configuration, readJournal } from './journal.ts'
import { nativeSearch, type Outcome, type Request, type SearchMachine } from './machine.ts'
import { filled, type Solved, solvedOf } from './solve.ts'
import { type Choose, type Strategy, strategyNames } from './strategies.ts'

/** The ways to pick the answer from the solutions. */
export const choices: readonly Choose[] = ['best', 'vote', 'majority', 'visits', 'value']

/** What is asked of a journal. Without any of it the search is replayed as it was. */
export interface ReplayOptions {
  /** Another strategy. */
  readonly strategy?: Strategy
  /** Another way to make one score of the step scores. */
  readonly aggregate?: Aggregate
  /** Another way to pick the answer from the solutions. */
  readonly choose?: Choose
}

/** What came of a replay: the result, or what the journal would have to hold for it. */
export type Replayed =
  | { readonly complete: true; readonly solved: Solved }
  | { readonly complete: false; readonly missing: readonly Missing[] }

/** `node` is the one that is gone on with, in the tree of the replay, and `prefix` its text; the root is 0 and ''. */
export type Missing =
  /** So many further continuations of a node. */
  | {
      readonly what: 'continuations'
      readonly node: number
      readonly prefix: string
      readonly until: Request['until']
      readonly count: number
    }
  /** Scores of steps that a continuation of the node adds, or of those looked ahead from it. */
  | { readonly what: 'scores'; readonly node: number; readonly prefix: string; readonly steps: readonly string[] }
  /** The log-probability of a continuation. */
  | { readonly what: 'logPrior'; readonly node: number; readonly prefix: string; readonly text: string }
  /** What another search would have come to in the milliseconds of the budget. */
  | { readonly what: 'time'; readonly ms: number }

/**
 * Answers "what if" from the journal of a search, without policy or PRM, where it holds what is needed.
 *
 * Another `aggregate` or `choose` looks anew at the tree that was grown. Another strategy is answered with the recorded
 * continuations of the same text, in the order in which they were asked, and has the recorded budget; nothing is waited for, so
 * its `spent.ms` is 0.
 *
 * @throws `ERR_INVALID_ARGUMENT` for a file that is no journal, and for a strategy that is none; `ERR_IO`
 */
export async function replay(file: string, options: ReplayOptions = {}): Promise<Replayed> {
  if (typeof options !== 'object' || options === null) invalidArgument('options', 'must be an object', options)
  const { configuration, entries } = readJournal(file)
  const { strategy: recorded, budget, prm } = configuration
  if (recorded === null) {
    invalidArgument('journal', `${file} is that of a search of your own: which nodes it made is not known here`, file)
  }
  const strategy = filled(changed(options.strategy ?? recorded, options), prm)
  const old = retraced(configuration, recorded, entries)
  const alike = options.strategy === undefined && growsAlike(recorded, strategy, configuration)
  if (alike || isDeepStrictEqual(strategy, recorded)) {
    return chosenAnew(configuration, strategy, entries, old)
  }
  if (budget.ms !== undefined) return { complete: false, missing: [{ what: 'time', ms: budget.ms }] }
  return searchedAnew(configuration, strategy, old.answers)
}

/** The strategies that sample whole answers, by how they choose. */
const SAMPLING = { best: 'bestOfN', vote: 'weightedVote', majority: 'majority' } as const

function isSampling({ strategy }: Strategy): boolean {
  return Object.values(SAMPLING).some(name => name === strategy)
}

function changed(strategy: Strategy, { aggregate: by, choose }: ReplayOptions): Strategy {
  const name = strategy?.strategy
  if (!strategyNames.includes(name)) {
    invalidArgument('strategy', `must be one of ${strategyNames.join(', ')}, got ${String(name)}`, name)
  }
  if (by !== undefined && !aggregates.includes(by)) {
    invalidArgument('aggregate', `must be one of ${aggregates.join(', ')}, got ${String(by)}`, by)
  }
  const picked = choose === undefined ? strategy : choosing(strategy, choose)
  if (by === undefined) return picked
  if (picked.strategy === 'majority') invalidArgument('aggregate', 'a majority vote looks at no scores', by)
  return { ...picked, aggregate: by }
}

function choosing(strategy: Strategy, choose: Choose): Strategy {
  if (!isSampling(strategy)) return { ...strategy, choose } as Strategy
  if (!Object.hasOwn(SAMPLING, choose)) {
    invalidArgument('choose', `must be one of ${Object.keys(SAMPLING).join(', ')} for whole answers`, choose)
  }
  const { aggregate: by, ...rest } = strategy as Strategy & { readonly aggregate?: Aggregate }
  const name = SAMPLING[choose as keyof typeof SAMPLING]
  return { ...rest, strategy: name, ...(name !== 'majority' && by !== undefined && { aggregate: by }) } as Strategy
}

/** Whether a strategy that was changed in how it chooses grows the same tree. */
function growsAlike(before: Strategy, now: Strategy, { budget }: Configuration): boolean {
  if (before.strategy === 'refine') {
    return (before as { aggregate?: Aggregate }).aggregate === (now as { aggregate?: Aggregate }).aggregate
  }
  // Scores that are not asked leave more of a budget.
  const limited = budget.prmTokens !== undefined || budget.flops !== undefined
  return !limited || (before.strategy === 'majority') === (now.strategy === 'majority')
}

/** What a journal says of one continuation: null, that it failed. */
interface Answer {
  readonly of: Request
  readonly child: Written | null
}

interface Retraced {
  readonly driver: Driver
  readonly outcome: Outcome | null
  /** By what was gone on with, in the order of asking. */
  readonly answers: ReadonlyMap<string, readonly Answer[]>
}

interface Replaying {
  readonly driver: Driver
  readonly machine: SearchMachine
  solved(outcome: Outcome): Solved
}

function driverOf(configuration: Configuration, strategy: Strategy): Replaying {
  const { budget, problem, system, seed, sampling, separator, policy, prm } = configuration
  const none = (): never => {
    throw new TypeError('a replay asks no model')
  }
  const capabilities = { prefill: true, n: true, stopReason: true, logprobs: true, seed: true }
  const setting: Setting = {
    problem,
    system: system ?? undefined,
    policy: { id: policy.id, capabilities, sample: none },
    prm: prm && { facts: prm, score: none },
    seed,
    sampling,
    separator,
    extract: none,
    concurrency: 1,
    ms: undefined,
  }
  const machine = nativeSearch(strategy, budget)
  const driver = new Driver(machine, setting)
  return { driver, machine, solved: outcome => solvedOf(outcome, machine, driver) }
}

/** The search as it was. */
function retraced(configuration: Configuration, strategy: Strategy, entries: readonly Entry[]): Retraced {
  const { driver } = driverOf(configuration, strategy)
  const told: { of: Request; children: readonly Written[] }[] = []
  const outcome = driver.retrace(entries, (entry, of) => {
    told.push({ of, children: entry.children })
    return entry
  })
  const answers = new Map<string, Answer[]>()
  for (const { of, children } of told.sort((one, other) => one.of.id - other.of.id)) {
    const key = keyOf(driver, of)
    const known = answers.get(key) ?? []
    for (let index = 0; index < of.count; index++) known.push({ of, child: children[index] ?? null })
    answers.set(key, known)
  }
  return { driver, outcome, answers }
}

function keyOf(driver: Driver, request: Request): string {
  return JSON.stringify([driver.prefix(request), request.until, request.lookahead])
}

/** Gone through once more as it was, with other scores of the solutions or another way to choose. */
function chosenAnew(
  configuration: Configuration,
  strategy: Strategy,
  entries: readonly Entry[],
  { driver: before, outcome, answers }: Retraced,
): Replayed {
  if (outcome === null) {
    return { complete: false, missing: before.left.map(request => continuations(before, request, request.count)) }
  }
  const first = nativeSearch(strategy, configuration.budget).ask(1, 0)
  const score = first.type === 'requests' ? first.value[0]!.score : 'none'
  const missing = [...answers.values()].flat().flatMap(({ of, child }) => {
    // What had no scores under the caps of the request has none again.
    const unscored = child === null || (of.score !== 'none' && child.scores === undefined)
    return unscored ? [] : lacking(before, { ...of, score }, of, child)
  })
  if (missing.length > 0) return { complete: false, missing }
  const { driver, solved } = driverOf(configuration, strategy)
  const again = driver.retrace(entries, (told, of) => ({
    ...told,
    children: told.children.map(child => withScores(child, of)),
  }))
  return { complete: true, solved: solved(again!) }
}

/** Another search, whose every request is answered from what is recorded. */
function searchedAnew(configuration: Configuration, strategy: Strategy, answers: Retraced['answers']): Replayed {
  const { driver, machine, solved } = driverOf(configuration, strategy)
  const pool = new Pool(driver, answers)
  for (;;) {
    const ask = machine.ask(MOST_REQUESTS, 0)
    const { missing } = pool
    // What samples whole answers goes on, so that all that is missing is known; what it comes to is not looked at.
    if (missing.length > 0 && (ask.type === 'done' || !isSampling(strategy))) return { complete: false, missing }
    if (ask.type === 'done') return { complete: true, solved: solved(ask.value) }
    if (ask.type === 'wait') throw new SurefootError('ERR_INTERNAL', 'the search waits for nothing')
    for (const request of ask.value) driver.take({ request: request.id, children: pool.take(request), ms: 0 }, request)
  }
}

const MOST_REQUESTS = 100_000

/** Recorded continuations, each to be taken once. */
class Pool {
  readonly missing: Missing[] = []
  readonly #driver: Driver
  readonly #answers: Retraced['answers']
  readonly #taken = new Map<string, number>()
  /** What the problem costs the PRM; 0 where that is not counted by itself. */
  readonly #problemTokens: number
  #problemPaid = false

  constructor(driver: Driver, answers: Retraced['answers']) {
    this.#driver = driver
    this.#answers = answers
    const paid = [...answers.values()].flat().find(({ child }) => child?.problemTokens !== undefined)
    this.#problemTokens = paid?.child?.problemTokens ?? 0
  }

  /** What a request brings; nothing where something is missing for it. */
  take(request: Request): Written[] {
    const key = keyOf(this.#driver, request)
    const from = this.#taken.get(key) ?? 0
    this.#taken.set(key, from + request.count)
    const found = this.#answers.get(key)?.slice(from, from + request.count) ?? []
    const usable = found.filter(answer => fitsCaps(answer, request))
    const missing: Missing[] = usable.flatMap(({ of, child }) => {
      return child === null ? [] : lacking(this.#driver, request, of, child)
    })
    const absent = request.count - usable.length
    if (absent > 0) this.#lacks(continuations(this.#driver, request, absent))
    this.missing.push(...missing)
    if (absent > 0 || missing.length > 0) return []
    let left = request.caps.prmTokens ?? Number.POSITIVE_INFINITY
    return usable.flatMap(({ child }) => {
      if (child === null) return []
      const { scores, ahead, prmTokens, problemTokens: old = 0, ...bare } = withScores(child, request)
      if (scores === undefined || prmTokens === undefined) return [bare]
      // The problem is computed once, with whichever is scored first.
      const problemTokens = this.#problemPaid ? 0 : this.#problemTokens
      const cost = prmTokens - old + problemTokens
      if (cost > left) return [bare]
      left -= cost
      this.#problemPaid = true
      return [{ ...bare, scores, ...(ahead !== undefined && { ahead }), prmTokens: cost }]
    })
  }

  #lacks(more: Extract<Missing, { what: 'continuations' }>): void {
    const at = this.missing.findIndex(one => {
      return one.what === 'continuations' && one.prefix === more.prefix && one.until === more.until
    })
    const before = this.missing[at]
    if (before?.what !== 'continuations') this.missing.push(more)
    else this.missing[at] = { ...before, count: before.count + more.count }
  }
}

/** Whether a continuation is what the request would have brought, by how many tokens it may have. */
function fitsCaps({ of, child }: Answer, { caps }: Request): boolean {
  if (child === null) return true
  const { policyTokens, aheadTokens = 0, cut } = child
  const own = of.caps.policyTokens === caps.policyTokens || (!cut && policyTokens <= caps.policyTokens)
  const most = Math.min(of.caps.aheadTokens, caps.aheadTokens)
  return own && (of.caps.aheadTokens === caps.aheadTokens || aheadTokens < most)
}

/** What must be told with a continuation and was not recorded. `of`: the request that it was written for. */
function lacking(driver: Driver, request: Request, of: Request, child: Written): Missing[] {
  const { node, score, priors } = request
  const prefix = driver.prefix(request)
  const missing: Missing[] = []
  const { steps } = driver.texts.textOf(child.raw, false)
  const known = child.scores?.length ?? 0
  const due = { none: 0, last: Math.min(1, steps.length), all: steps.length }[score]
  // Of what was looked ahead only the last score was asked, and how many steps there are is not recorded.
  const ahead = score === 'all' && of.score === 'last' && (child.ahead?.length ?? 0) > 0
  if (known < due || ahead) {
    missing.push({
      what: 'scores',
      node,
      prefix,
      steps: score === 'last' ? steps.slice(-1) : steps.slice(0, steps.length - known),
    })
  }
  if (priors && child.logPrior === undefined) missing.push({ what: 'logPrior', node, prefix, text: child.raw })
  return missing
}

/** A continuation with the scores that a request asks for, of those that are recorded. */
function withScores(child: Written, { score }: Request): Written {
  const { scores, ahead, prmTokens: _, problemTokens: _problem, ...bare } = child
  if (score === 'none') return bare
  if (score === 'all' || scores === undefined) return child
  return { ...child, scores: scores.slice(-1), ...(ahead !== undefined && { ahead: ahead.slice(-1) }) }
}

function continuations(driver: Driver, request: Request, count: number): Extract<Missing, { what: 'continuations' }> {
  const { node, until } = request
  return { what: 'continuations', node, prefix: driver.prefix(request), until, count }
}
