/** The lines of a grid as numbers. */
import {
  accuracyAt,
  areaUnderCurve,
  type BudgetPoint,
  bootstrapMean,
  equalBudget,
  mcnemar,
  sameBudget,
} from '../evaluate/metrics.ts'
import type { Strategy } from '../search/strategies.ts'
import { type Cell, unitOf } from './cells.ts'
import type { GridJournal, Searched, SearchLine } from './journal.ts'
import { Resampled } from './resampled.ts'
import type { Parameters } from './run.ts'
import {
  type Axis,
  axes,
  type CellResult,
  type GridComparison,
  type GridCost,
  type GridCurve,
  type GridSummary,
  type MatchedComparison,
  type Standing,
} from './summary.ts'

export interface Found {
  readonly head: Pick<
    GridSummary,
    'name' | 'made' | 'versions' | 'configuration' | 'hash' | 'rows' | 'seeds' | 'typical' | 'alone'
  >
  readonly cells: readonly Cell[]
  readonly settings: readonly Strategy[]
  readonly problems: number
  readonly journal: GridJournal
  readonly parameters: Parameters
  readonly against: readonly string[]
  readonly warnings: readonly string[]
  readonly resamples: number
}

/** Failures that the summary shows. */
const EXAMPLES = 10

/** Draws of the bootstrap for what is read off curves. */
const CURVE_DRAWS = 2000

/** Of the bootstrap; the same in all summaries. */
const DRAWS_SEED = 1

export function summarise(found: Found): GridSummary {
  const { head, cells, settings, problems, journal, parameters, against, resamples } = found
  const { seeds, alone } = head
  const measured = cells.map((cell, index) =>
    measure(linesOf(journal, cell, problems, seeds), settings[index]!, parameters, resamples),
  )
  const results = measured.map(({ result }, index): CellResult => {
    const { strategy, budget, limits } = cells[index]!
    return { strategy, budget, limits, settings: settings[index]!, ...result }
  })
  const shown = axes.filter(axis => alone || axis !== 'ms')
  const curves = new Curves(cells, measured, shown, Math.min(resamples, CURVE_DRAWS))
  const failures = measured.flatMap(({ failures }) => failures)
  return {
    schema: 1,
    kind: 'grid',
    ...head,
    warnings: [...failureWarnings(failures.length, cells.length * problems * seeds.length), ...found.warnings],
    unit: unitOf(cells),
    searches: cells.length * problems * seeds.length,
    failed: failures.length,
    failures: failures.slice(0, EXAMPLES),
    cells: results,
    curves: curves.all(measured),
    comparisons: comparisons(cells, measured, against, resamples),
    matched: curves.matched(against),
    standings: curves.standings(),
  }
}

function failureWarnings(failed: number, searches: number): string[] {
  const share = failed === 1 ? '1 search' : `${failed.toLocaleString('en')} searches`
  return failed === 0
    ? []
    : [
        `${share} of ${searches.toLocaleString('en')} failed and count as wrong; their cost is not known and left out of the means.`,
      ]
}

/** A cell's lines, by problem and seed. */
function linesOf(journal: GridJournal, cell: Cell, problems: number, seeds: readonly number[]): SearchLine[][] {
  return Array.from({ length: problems }, (_, problem) =>
    seeds.map(seed => journal.of({ cell: cell.index, problem, seed })!),
  )
}

/** A cell's numbers, and what of each problem they are made from. */
interface Measured {
  readonly result: Omit<CellResult, 'strategy' | 'budget' | 'limits' | 'settings'>
  readonly failures: GridSummary['failures']
  /** Share of the seeds that were right, by problem. */
  readonly right: readonly number[]
  /** On the first seed. */
  readonly verdicts: readonly boolean[]
  /** By problem, in the mean over seeds; where no search has its cost, the cell's mean. Null: none has. */
  readonly costs: Readonly<Record<Axis, readonly number[] | null>>
}

const costOf: Readonly<Record<Axis, (line: Searched) => number>> = {
  generations: ({ spent }) => spent.generations,
  policyTokens: ({ spent }) => spent.policyTokens,
  tokens: ({ spent }) => spent.policyTokens + spent.prefillTokens + spent.prmTokens,
  ms: ({ ms }) => ms,
}

function measure(
  lines: readonly SearchLine[][],
  settings: Strategy,
  parameters: Parameters,
  resamples: number,
): Measured {
  const right = lines.map(own => mean(own.map(line => +isRight(line))))
  const all = lines.flat()
  const done = all.filter((line): line is SearchLine & Searched => !('error' in line))
  const ended: Record<string, number> = {}
  for (const line of all) {
    const name = 'error' in line ? 'failed' : (line.limit ?? line.finish)
    ended[name] = (ended[name] ?? 0) + 1
  }
  const costs = Object.fromEntries(axes.map(axis => [axis, byProblem(lines, costOf[axis])])) as Measured['costs']
  return {
    result: {
      searches: all.length,
      failed: all.length - done.length,
      accuracy: bootstrapMean(right, { resamples, seed: DRAWS_SEED }),
      cost: costsOf(done, settings, parameters),
      ended: ended as CellResult['ended'],
      overruns: done.reduce((sum, { spent }) => sum + spent.overruns, 0),
      solutions: done.length === 0 ? 0 : mean(done.map(({ solutions }) => solutions)),
    },
    failures: all.flatMap(line => {
      if (!('error' in line)) return []
      const { id, strategy, budget, error } = line
      return [{ id, strategy, budget, ...error }]
    }),
    right,
    verdicts: lines.map(([first]) => isRight(first!)),
    costs,
  }
}

const isRight = (line: SearchLine): boolean => !('error' in line) && line.correct

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function byProblem(lines: readonly SearchLine[][], cost: (line: Searched) => number): number[] | null {
  const own = lines.map(some => some.flatMap(line => ('error' in line ? [] : [cost(line)])))
  const known = own.filter(({ length }) => length > 0).map(mean)
  if (known.length === 0) return null
  const average = mean(known)
  return own.map(values => (values.length > 0 ? mean(values) : average))
}

function costsOf(done: readonly Searched[], { strategy }: Strategy, { policy, prm }: Parameters): GridCost {
  const over = (cost: (line: Searched) => number): number | null => (done.length === 0 ? null : mean(done.map(cost)))
  const times = done.map(({ ms }) => ms).sort((a, b) => a - b)
  const scorer = strategy === 'majority' ? 0 : prm
  const counted = done.flatMap(({ computed }) => computed ?? [])
  return {
    generations: over(costOf.generations),
    policyTokens: over(costOf.policyTokens),
    prefillTokens: over(({ spent }) => spent.prefillTokens),
    prmTokens: over(({ spent }) => spent.prmTokens),
    tokens: over(costOf.tokens),
    flops:
      policy === null || scorer === null
        ? null
        : over(({ spent }) => 2 * (policy * (spent.policyTokens + spent.prefillTokens) + scorer * spent.prmTokens)),
    ms: over(costOf.ms),
    msP50: quantile(times, 0.5),
    msP95: quantile(times, 0.95),
    computed:
      counted.length === 0
        ? null
        : { policy: mean(counted.map(({ policy }) => policy)), prm: mean(counted.map(({ prm }) => prm)) },
  }
}

/** Of ascending values the smallest that the share of them does not pass: a time that was measured. */
function quantile(values: readonly number[], share: number): number | null {
  return values[Math.max(0, Math.ceil(share * values.length) - 1)] ?? null
}

function comparisons(
  cells: readonly Cell[],
  measured: readonly Measured[],
  against: readonly string[],
  resamples: number,
): GridComparison[] {
  return cells.flatMap((cell, index) =>
    against
      .filter(name => name !== cell.strategy)
      .map((name): GridComparison => {
        const other = cells.findIndex(({ strategy, column }) => strategy === name && column === cell.column)
        const [a, b] = [measured[index]!, measured[other]!]
        const costs = axes.map(axis => {
          const own = a.result.cost[axis]
          const theirs = b.result.cost[axis]
          return [axis, { own, other: theirs, equal: own !== null && theirs !== null && sameBudget(own, theirs) }]
        })
        return {
          strategy: cell.strategy,
          against: name,
          budget: cell.budget,
          difference: bootstrapMean(
            a.right.map((right, problem) => right - b.right[problem]!),
            { resamples, seed: DRAWS_SEED },
          ),
          p: mcnemar(a.verdicts, b.verdicts).p,
          costs: Object.fromEntries(costs),
        }
      }),
  )
}

/** Where the columns of a cell stand among all. */
interface Place {
  readonly strategy: string
  readonly right: number
  readonly costs: Readonly<Partial<Record<Axis, number>>>
}

/** The strategies' curves: accuracy over what was measured, with intervals over the same draws of problems. */
class Curves {
  readonly #cells: readonly Cell[]
  readonly #axes: readonly Axis[]
  readonly #strategies: readonly string[]
  readonly #places: Place[]
  readonly #draws: Resampled

  constructor(cells: readonly Cell[], measured: readonly Measured[], shown: readonly Axis[], resamples: number) {
    this.#cells = cells
    this.#axes = shown
    this.#strategies = [...new Set(cells.map(({ strategy }) => strategy))]
    const columns: Float64Array[] = []
    const add = (values: readonly number[]): number => columns.push(Float64Array.from(values)) - 1
    this.#places = measured.map(({ right, costs }, index): Place => {
      const known = shown.flatMap(axis => (costs[axis] === null ? [] : [[axis, add(costs[axis])]]))
      return { strategy: cells[index]!.strategy, right: add(right), costs: Object.fromEntries(known) }
    })
    this.#draws = new Resampled(columns, { resamples, seed: DRAWS_SEED })
  }

  all(measured: readonly Measured[]): GridCurve[] {
    return this.#each((strategy, axis) => {
      const points = this.#cells.flatMap((cell, index) => {
        const { accuracy, cost } = measured[index]!.result
        const at = cost[axis]
        return cell.strategy !== strategy || at === null || at <= 0 ? [] : [{ budget: cell.budget, at, accuracy }]
      })
      const area = this.#draws.interval(means => areaUnderCurve(this.#curve(strategy, axis, means)))
      return { strategy, axis, points: points.sort((a, b) => a.at - b.at), area }
    })
  }

  matched(against: readonly string[]): MatchedComparison[] {
    return against.flatMap(other =>
      this.#each((strategy, axis) => {
        if (strategy === other) return null
        let range: { from: number; to: number } | null = null
        const difference = this.#draws.interval(means => {
          range = equalBudget(this.#curve(strategy, axis, means), this.#curve(other, axis, means))
          return (range as { difference: number } | null)?.difference ?? null
        })
        // The last draw holds every problem once.
        const { from, to } = (range as { from: number; to: number } | null) ?? { from: 0, to: 0 }
        return difference && { strategy, against: other, axis, from, to, difference }
      }),
    )
  }

  standings(): Standing[] {
    return this.#axes.flatMap(axis => {
      const curves = this.#strategies.map(strategy => this.#points(strategy, axis))
      const known = curves.flat().map(({ at }) => at)
      if (known.length === 0) return []
      return roundNumbers(Math.min(...known), Math.max(...known)).flatMap((at): Standing[] => {
        const read = (strategy: string, means: Float64Array): number | null =>
          accuracyAt(this.#curve(strategy, axis, means), at)
        const places = this.#strategies
          .filter((_, index) => within(curves[index]!, at))
          .flatMap(strategy => {
            const accuracy = this.#draws.interval(means => read(strategy, means))
            return accuracy ? [{ strategy, accuracy }] : []
          })
          .sort((a, b) => b.accuracy.value - a.accuracy.value)
        if (places.length === 0) return []
        const [first, second] = places
        const lead = second
          ? this.#draws.interval(means => {
              const [best, next] = [read(first!.strategy, means), read(second.strategy, means)]
              return best === null || next === null ? null : best - next
            })
          : null
        return [{ axis, at, places, lead }]
      })
    })
  }

  #each<T>(make: (strategy: string, axis: Axis) => T | null): T[] {
    return this.#axes.flatMap(axis =>
      this.#strategies.flatMap(strategy => {
        const made = make(strategy, axis)
        return made === null ? [] : [made]
      }),
    )
  }

  /** Costs of a strategy's cells over all problems. */
  #points(strategy: string, axis: Axis): { at: number }[] {
    return this.#curve(strategy, axis, this.#draws.whole).map(({ budget }) => ({ at: budget }))
  }

  /** Cells that cost the same are one point. */
  #curve(strategy: string, axis: Axis, means: Float64Array): BudgetPoint[] {
    const points = new Map<number, number[]>()
    for (const place of this.#places) {
      const column = place.costs[axis]
      if (place.strategy !== strategy || column === undefined) continue
      const budget = means[column]!
      if (!(budget > 0)) continue
      points.set(budget, [...(points.get(budget) ?? []), means[place.right]!])
    }
    return [...points].map(([budget, accuracies]) => ({ budget, accuracy: mean(accuracies) }))
  }
}

function within(points: readonly { at: number }[], at: number): boolean {
  return points.some(point => point.at <= at) && points.some(point => point.at >= at)
}

/** 1, 2 and 5 times the powers of ten in a range. */
function roundNumbers(low: number, high: number): number[] {
  const numbers: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const factor of [1, 2, 5]) numbers.push(factor * 10 ** power)
  }
  return numbers.filter(number => number >= low && number <= high)
}
