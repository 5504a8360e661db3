import { invalidArgument } from '../errors.ts'
import { type Budget, type Strategy, strategyNames } from '../search/strategies.ts'

/** A budget of a search, or one of `tokens`: those that the policy writes and reads and those that the PRM computes. */
export interface GridBudget extends Budget {
  readonly tokens?: number
}

/** What can be limited. */
export const units = ['generations', 'policyTokens', 'prmTokens', 'tokens', 'ms', 'flops'] as const
export type Unit = (typeof units)[number]

/** What a sampled answer takes, in the mean: what strategies are sized by. */
export interface Typical {
  readonly steps: number
  readonly tokens: number
  /** Milliseconds, of the answers of one request together. */
  readonly ms: number
}

/** A strategy at a budget. */
export interface Cell {
  readonly index: number
  /** How reports name the strategy. */
  readonly strategy: string
  /** How reports name the budget. */
  readonly budget: string
  /** Which of the grid's strategies it is. */
  readonly row: number
  /** Which of the grid's budgets. */
  readonly column: number
  /** The strategy as it was given. */
  readonly given: Strategy
  readonly limits: GridBudget
}

/** Every strategy at every budget. @throws `ERR_INVALID_ARGUMENT` for what is none, or stands twice */
export function cellsOf(
  strategies: readonly (Strategy['strategy'] | Strategy)[],
  budgets: readonly (GridBudget | number)[],
): Cell[] {
  const rows = list('strategies', strategies).map(strategyOf)
  const columns = list('budgets', budgets).map(budgetOf)
  const rowNames = named('strategies', rows.map(strategyName))
  const columnNames = named('budgets', columns.map(budgetName))
  const pairs = rows.flatMap((given, row) => columns.map((limits, column) => ({ given, row, limits, column })))
  return pairs.map((pair, index) => {
    return { index, strategy: rowNames[pair.row]!, budget: columnNames[pair.column]!, ...pair }
  })
}

function list<T>(name: string, values: readonly T[]): readonly T[] {
  if (!Array.isArray(values) || values.length === 0) invalidArgument(name, 'must be a list of at least one', values)
  return values
}

function named(what: string, names: string[]): string[] {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) invalidArgument(what, `${twice} stands twice`, twice)
  return names
}

function strategyOf(given: Strategy['strategy'] | Strategy): Strategy {
  const strategy = typeof given === 'string' ? ({ strategy: given } as Strategy) : given
  const name = typeof strategy === 'object' && strategy !== null ? strategy.strategy : strategy
  if (!strategyNames.includes(name)) {
    invalidArgument('strategies', `must be of ${strategyNames.join(', ')}, got ${JSON.stringify(name)}`, given)
  }
  return strategy
}

function budgetOf(given: GridBudget | number): GridBudget {
  const budget = typeof given === 'number' ? { generations: given } : given
  if (typeof budget !== 'object' || budget === null || Array.isArray(budget)) {
    invalidArgument('budgets', `must be objects, or numbers of generations, got ${JSON.stringify(given)}`, given)
  }
  const known: readonly string[] = [...units, 'costs', 'reserve']
  const unknown = Object.keys(budget).find(key => !known.includes(key))
  if (unknown !== undefined) invalidArgument('budgets', `must limit ${units.join(', ')}, got ${unknown}`, given)
  const limited = units.filter(unit => budget[unit] !== undefined)
  if (limited.length === 0) invalidArgument('budgets', `must limit one of ${units.join(', ')}`, given)
  for (const unit of limited) {
    const value = budget[unit]!
    const sound = unit === 'flops' ? Number.isFinite(value) && value > 0 : Number.isSafeInteger(value) && value >= 1
    if (!sound) {
      const wanted = unit === 'flops' ? 'a number above 0' : 'a whole number from 1'
      invalidArgument('budgets', `${unit} must be ${wanted}, got ${String(value)}`, given)
    }
  }
  if (budget.tokens !== undefined && (budget.flops !== undefined || budget.costs !== undefined)) {
    invalidArgument('budgets', 'tokens are counted in the place of FLOPs: give one of the two', given)
  }
  return budget
}

function strategyName({ strategy, ...settings }: Strategy): string {
  const words = Object.entries(settings).map(([key, value]) => {
    return `${key}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`
  })
  return [strategy, ...words].join(' ')
}

const unitNames: Readonly<Record<Unit, string>> = {
  generations: 'generations',
  policyTokens: 'policy tokens',
  prmTokens: 'PRM tokens',
  tokens: 'tokens',
  ms: 'ms',
  flops: 'FLOPs',
}

function budgetName(budget: GridBudget): string {
  const limits = units.flatMap(unit => {
    const value = budget[unit]
    return value === undefined ? [] : [`${value.toLocaleString('en')} ${unitNames[unit]}`]
  })
  const { costs, reserve } = budget
  const more = { ...(costs && { costs }), ...(reserve !== undefined && { reserve }) }
  const settings = Object.keys(more).length > 0 ? ` ${JSON.stringify(more)}` : ''
  return limits.join(', ') + settings
}

/** The one unit that every budget is of; null where they are mixed. */
export function unitOf(cells: readonly Cell[]): Unit | null {
  const used = new Set(cells.map(({ limits }) => units.filter(unit => limits[unit] !== undefined).join()))
  const [only = ''] = used
  return used.size === 1 && !only.includes(',') ? (only as Unit) : null
}

/** The budget as a search takes it: tokens are FLOPs at a cost of 1 a token. */
export function searchBudget({ tokens, ...budget }: GridBudget): Budget {
  return tokens === undefined ? budget : { ...budget, flops: tokens, costs: { policy: 1, prm: 1 } }
}

/** FLOPs of a token of the policy and of the PRM. */
export type Costs = NonNullable<Budget['costs']>

/** How large a strategy may be at most. */
const MOST = 100_000

/** Requests that are out at once, at most, of strategies whose `batch` is not given. */
const MOST_BATCH = 64

/**
 * A strategy as large as its budget has room for; a setting that is given stays. With N the number of whole answers that the
 * budget pays (a generation of best-of-n is an answer, one of a stepwise strategy a step, so the budget is divided by the
 * steps of a typical answer; other limits by what a typical answer takes, the smallest counts):
 *
 * - `bestOfN`, `majority`, `weightedVote`: `n` = the generations; else as many as the budget allows;
 * - `beam`: `width` = √N and `expansions` = N / width, Snell et al.'s M = √N (arXiv 2408.03314);
 * - `dvts`: `expansions` = 4, at most N, and `trees` = N / expansions, search-and-learn's M = 4;
 * - `rebase`: `width` = N;
 * - `mcts`: as it is: simulations as many as the budget allows;
 * - `refine`: `rounds` = the generations / `samples`, less the first; else as many as the budget allows.
 *
 * `batch` is `n`, `width` or `trees`, at most 64; that of mcts stays 4, for its tree depends on it.
 */
export function sized(given: Strategy, budget: GridBudget, typical: Typical, costs: Costs | null): Strategy {
  const { generations } = budget
  const whole = (value: number): number => Math.min(MOST, Math.max(1, Math.round(value)))
  const batch = (count: number): number => Math.min(MOST_BATCH, Math.max(1, count))
  const answers = answersOf(given, budget, typical, costs)
  const some = whole(answers)
  switch (given.strategy) {
    case 'bestOfN':
    case 'majority':
    case 'weightedVote': {
      const n = given.n ?? whole(generations ?? MOST)
      return { batch: batch(Math.min(n, some)), ...given, n }
    }
    case 'beam': {
      const { expansions } = given
      const width = given.width ?? whole(expansions === undefined ? Math.sqrt(some) : some / expansions)
      return { batch: batch(width), ...given, width, expansions: expansions ?? whole(some / width) }
    }
    case 'dvts': {
      const { trees } = given
      const expansions = given.expansions ?? whole(trees === undefined ? Math.min(4, some) : some / trees)
      const own = trees ?? whole(some / expansions)
      return { batch: batch(own), ...given, trees: own, expansions }
    }
    case 'rebase': {
      const width = given.width ?? some
      return { batch: batch(width), ...given, width }
    }
    case 'mcts':
      return given
    case 'refine': {
      const rounds = given.rounds ?? Math.max(0, whole((generations ?? MOST) / (given.samples ?? 1)) - 1)
      return { ...given, rounds }
    }
  }
}

const WHOLE: readonly Strategy['strategy'][] = ['bestOfN', 'majority', 'weightedVote', 'refine']

/** Whole answers that a budget pays. */
function answersOf(
  { strategy }: Strategy,
  { generations, policyTokens, prmTokens, tokens, ms, flops }: GridBudget,
  typical: Typical,
  costs: Costs | null,
): number {
  const scores = strategy !== 'majority'
  const perAnswer = costs && typical.tokens * (costs.policy + (scores ? costs.prm : 0))
  return Math.min(
    (generations ?? Infinity) / (WHOLE.includes(strategy) ? 1 : typical.steps),
    (policyTokens ?? Infinity) / typical.tokens,
    scores ? (prmTokens ?? Infinity) / typical.tokens : Infinity,
    (tokens ?? Infinity) / (typical.tokens * (scores ? 2 : 1)),
    (ms ?? Infinity) / typical.ms,
    perAnswer === null ? Infinity : (flops ?? Infinity) / perAnswer,
  )
}
