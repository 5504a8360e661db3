/** How far judges agree: counted a solution at a time, in memory that grows with what they say, not with the solutions. */
import { type BootstrapOptions, bootstrap, type Interval, type Weights } from '../evaluate/metrics.ts'
import { labelsFrom } from './judges/judgement.ts'

/** How far several judges agree on one question. A number that does not exist is null. */
export interface Agreement {
  /** Mean share of agreeing pairs of votes, over the solutions on which two judges or more could say. */
  readonly raw: Interval | null
  /** Share of all solutions on which every judge could say and all said the same. */
  readonly unanimous: Interval | null
  /** Fleiss' kappa (1971) over the solutions on which every judge could say. */
  readonly fleiss: Interval | null
  /**
   * The same with missing votes (Gwet, Handbook of Inter-Rater Reliability, 2014): pairs are counted where there are two
   * votes, and the shares of the answers are means over the solutions with a vote.
   */
  readonly fleissWithMissing: Interval | null
  readonly pairs: readonly PairAgreement[]
}

/** How far two judges agree, over the solutions on which both could say. */
export interface PairAgreement {
  /** Which judges, by index. */
  readonly judges: readonly [number, number]
  readonly solutions: number
  readonly raw: Interval | null
  /** Cohen's kappa (1960). */
  readonly cohen: Interval | null
}

export interface AgreementStatistics {
  readonly solutions: number
  /** Solutions on which every judge could say. */
  readonly complete: number
  /** Of each judge: on how many solutions it could say, and in how many of them it found no error. */
  readonly judges: readonly { readonly spoke: number; readonly right: number }[]
  /** Where the first error is: at a step, or nowhere. */
  readonly location: Agreement
  /** Whether there is an error. */
  readonly correctness: Agreement
  /**
   * Of the pairs of judges that both have a say on the step at this index (neither named an earlier one), the share that
   * say the same, right or wrong. The last one holds all steps from there on.
   */
  readonly byStep: readonly { readonly step: number; readonly pairs: number; readonly agreement: Interval | null }[]
  /**
   * Around the first error, where more judges name one step than any other, two at least: the share of votes that name
   * the step so far before or behind it. The first and the last hold all beyond; null: no error at all.
   */
  readonly byOffset: readonly {
    readonly offset: number | null
    readonly votes: number
    readonly share: Interval | null
  }[]
}

/** Problems that are resampled one by one; where there are more, they are resampled in so many groups. */
const GROUPS = 4096

/** Steps that {@link AgreementStatistics.byStep} tells apart. */
const STEPS = 32

/** Steps before and behind the first error that {@link AgreementStatistics.byOffset} tells apart. */
const OFFSETS = 5

/** Draws of the bootstrap, unless there shall be others. */
const RESAMPLES = 1000

/** Numbers that the bootstrap may keep: how often it drew each way of voting. */
const MOST_KEPT = 2 ** 24

/**
 * Collects votes and computes their agreement. Solutions of one problem are not independent, so intervals are from a
 * bootstrap over problems; above 4,096 of them over groups of problems, drawn at random, which costs no validity.
 */
export class AgreementTally {
  readonly #judges: number
  readonly #groups = new Map<string, number>()
  /** Each way of voting that occurred, and its number. */
  readonly #ways = new Map<string, number>()
  readonly #votes: (readonly (number | null)[])[] = []
  /** By group and way: `group + GROUPS · way`. */
  readonly #counts = new Map<number, number>()
  readonly #kept: [number, number][] = []
  /** By step: pairs and agreeing pairs of each group. */
  readonly #bySteps: Shares[] = []
  readonly #byOffsets = new Map<number | null, Shares>()
  #solutions = 0

  constructor(judges: number) {
    this.#judges = judges
    for (let offset = -OFFSETS; offset <= OFFSETS; offset++) this.#byOffsets.set(offset, new Shares())
    this.#byOffsets.set(null, new Shares())
  }

  /**
   * @param problem what solutions of one problem share: its text, or a key of it
   * @param votes index of the first wrong step, −1 for none, null where the judge cannot say; one a judge
   * @param kept whether a rule keeps the solution
   */
  add(problem: string, votes: readonly (number | null)[], steps: number, kept: boolean): void {
    this.#solutions++
    const group = this.#groupOf(problem)
    const name = votes.join()
    const way = this.#ways.get(name) ?? this.#ways.size
    if (way === this.#ways.size) {
      this.#ways.set(name, way)
      this.#votes.push([...votes])
    }
    const at = group + GROUPS * way
    this.#counts.set(at, (this.#counts.get(at) ?? 0) + 1)
    const share = this.#kept[group] ?? [0, 0]
    this.#kept[group] = [share[0] + Number(kept), share[1] + 1]
    this.#addSteps(group, votes, steps)
    this.#addOffsets(group, votes)
  }

  #groupOf(problem: string): number {
    const known = this.#groups.get(problem)
    if (known !== undefined) return known
    if (this.#groups.size < GROUPS) {
      this.#groups.set(problem, this.#groups.size)
      return this.#groups.size - 1
    }
    let hash = 0x811c9dc5
    for (let i = 0; i < problem.length; i++) hash = Math.imul(hash ^ problem.charCodeAt(i), 0x01000193)
    return (hash >>> 0) % GROUPS
  }

  #addSteps(group: number, votes: readonly (number | null)[], steps: number): void {
    const labels = votes.filter(at => at !== null).map(at => labelsFrom(at, steps))
    for (let step = 0; step < steps; step++) {
      const right = labels.filter(own => own[step] === 1).length
      const wrong = labels.filter(own => own[step] === 0).length
      const said = right + wrong
      if (said < 2) return
      const at = Math.min(step, STEPS - 1)
      if (at === this.#bySteps.length) this.#bySteps.push(new Shares())
      this.#bySteps[at]!.add(group, pairsOf(right) + pairsOf(wrong), pairsOf(said))
    }
  }

  #addOffsets(group: number, votes: readonly (number | null)[]): void {
    const spoke = votes.filter(at => at !== null)
    const named = tallyOf(spoke.filter(at => at >= 0))
    const [first, second] = [...named].sort(([, a], [, b]) => b - a)
    if (first === undefined || first[1] < 2 || first[1] === second?.[1]) return
    for (const [offset, shares] of this.#byOffsets) {
      const there = spoke.filter(at => offsetOf(at, first[0]) === offset).length
      shares.add(group, there, spoke.length)
    }
  }

  /** The share of solutions that were kept. */
  retention(options: BootstrapOptions = {}): Interval | null {
    const draws = { resamples: RESAMPLES, seed: 1, ...options }
    const shares = new Shares()
    for (const [group, [kept, all]] of this.#kept.entries()) shares.add(group, kept, all)
    return shares.estimate(this.#kept.length, draws)
  }

  statistics(options: BootstrapOptions = {}): AgreementStatistics {
    const draws = { resamples: RESAMPLES, seed: 1, ...options }
    const groups = this.#kept.length
    const all = this.#weights()
    const over = this.#bootstrap(groups, draws)
    const spoke = (judge: number, right: boolean): number =>
      this.#votes.reduce((sum, votes, way) => {
        const at = votes[judge]!
        return at === null || (right && at !== -1) ? sum : sum + all[way]!
      }, 0)
    return {
      solutions: this.#solutions,
      complete: this.#votes.reduce((sum, votes, way) => (votes.includes(null) ? sum : sum + all[way]!), 0),
      judges: Array.from({ length: this.#judges }, (_, judge) => ({
        spoke: spoke(judge, false),
        right: spoke(judge, true),
      })),
      location: this.#agreement(at => at, all, over),
      correctness: this.#agreement(at => Math.min(at, 0), all, over),
      byStep: this.#bySteps.map((shares, step) => ({
        step,
        pairs: shares.total,
        agreement: shares.estimate(groups, draws),
      })),
      byOffset: [...this.#byOffsets].map(([offset, shares]) => ({
        offset,
        votes: shares.count,
        share: shares.estimate(groups, draws),
      })),
    }
  }

  #agreement(answerOf: (at: number) => number, all: Weights, over: Over): Agreement {
    const votes = this.#votes.map(way => way.map(at => (at === null ? null : answerOf(at))))
    const ratings = votes.map(way => way.filter(at => at !== null))
    const some = ratings.map((own): Tally | null =>
      own.length > 0 ? { counts: tallyOf(own), votes: own.length } : null,
    )
    const every = some.map(tally => (tally?.votes === this.#judges ? tally : null))
    const unanimous = every.map(tally => Number(tally?.counts.size === 1))
    const fleiss = (tallies: readonly (Tally | null)[]): Statistic => {
      const shares = tallies.map(agreeing)
      return weights => beyondChance(meanOf(weights, shares), chanceOf(weights, tallies))
    }
    const shares = some.map(agreeing)
    const pairs: PairAgreement[] = []
    for (let a = 0; a < this.#judges; a++) {
      for (let b = a + 1; b < this.#judges; b++) {
        const both = votes.map(way => (way[a] === null || way[b] === null ? null : ([way[a]!, way[b]!] as const)))
        const equal = both.map(pair => pair && Number(pair[0] === pair[1]))
        const same: Statistic = weights => meanOf(weights, equal)
        pairs.push({
          judges: [a, b],
          solutions: both.reduce((sum, pair, way) => (pair ? sum + all[way]! : sum), 0),
          raw: over(same),
          cohen: over(weights => beyondChance(same(weights), chanceOfPair(weights, both))),
        })
      }
    }
    return {
      raw: over(weights => meanOf(weights, shares)),
      unanimous: over(weights => meanOf(weights, unanimous)),
      fleiss: over(fleiss(every)),
      fleissWithMissing: over(fleiss(some)),
      pairs,
    }
  }

  /** How often each way of voting occurred, with each group as often as it was drawn. */
  #weights(drawn?: Weights): Uint32Array {
    const weights = new Uint32Array(this.#votes.length)
    for (const [at, count] of this.#counts)
      weights[Math.floor(at / GROUPS)]! += drawn ? count * drawn[at % GROUPS]! : count
    return weights
  }

  /** A bootstrap of statistics of the ways of voting; what one draws is kept for the next. */
  #bootstrap(groups: number, options: Required<BootstrapOptions>): Over {
    const keeps = options.resamples * this.#votes.length <= MOST_KEPT
    const kept: Uint32Array[] = []
    return statistic => {
      if (groups === 0) return null
      let draw = 0
      return defined(
        bootstrap(
          groups,
          drawn => {
            if (!keeps) return statistic(this.#weights(drawn))
            if (draw === kept.length) kept.push(this.#weights(drawn))
            return statistic(kept[draw++]!)
          },
          options,
        ),
      )
    }
  }
}

type Statistic = (weights: Weights) => number

type Over = (statistic: Statistic) => Interval | null

/** Shares of a whole by group. */
class Shares {
  readonly #parts: number[] = []
  readonly #wholes: number[] = []

  add(group: number, part: number, whole: number): void {
    this.#parts[group] = (this.#parts[group] ?? 0) + part
    this.#wholes[group] = (this.#wholes[group] ?? 0) + whole
  }

  get count(): number {
    return this.#parts.reduce((sum, part) => sum + part, 0)
  }

  get total(): number {
    return this.#wholes.reduce((sum, whole) => sum + whole, 0)
  }

  estimate(groups: number, options: BootstrapOptions): Interval | null {
    if (groups === 0) return null
    const share = (drawn: Weights): number => {
      let [part, whole] = [0, 0]
      for (let group = 0; group < this.#wholes.length; group++) {
        part += drawn[group]! * (this.#parts[group] ?? 0)
        whole += drawn[group]! * (this.#wholes[group] ?? 0)
      }
      return part / whole
    }
    return defined(bootstrap(groups, share, options))
  }
}

function defined({ value, low, high }: Interval): Interval | null {
  return Number.isFinite(value) ? { value, low, high } : null
}

function beyondChance(observed: number, expected: number): number {
  return (observed - expected) / (1 - expected)
}

/** What the judges say of a solution: how many give each answer. */
interface Tally {
  readonly counts: ReadonlyMap<number, number>
  readonly votes: number
}

/** The share of agreeing pairs of votes; null where there is no pair. */
function agreeing(tally: Tally | null): number | null {
  if (tally === null || tally.votes < 2) return null
  let same = 0
  for (const count of tally.counts.values()) same += pairsOf(count)
  return same / pairsOf(tally.votes)
}

/** Mean of the values that are not null. */
function meanOf(weights: Weights, values: readonly (number | null)[]): number {
  let [sum, total] = [0, 0]
  for (const [way, value] of values.entries()) {
    if (value === null) continue
    sum += weights[way]! * value
    total += weights[way]!
  }
  return sum / total
}

/** How often two votes agree that are drawn by the mean share of each answer. */
function chanceOf(weights: Weights, tallies: readonly (Tally | null)[]): number {
  const shares = new Map<number, number>()
  let total = 0
  for (const [way, tally] of tallies.entries()) {
    if (tally === null) continue
    total += weights[way]!
    for (const [answer, count] of tally.counts) {
      shares.set(answer, (shares.get(answer) ?? 0) + (weights[way]! * count) / tally.votes)
    }
  }
  let chance = 0
  for (const share of shares.values()) chance += (share / total) ** 2
  return chance
}

function chanceOfPair(weights: Weights, both: readonly (readonly [number, number] | null)[]): number {
  const [first, second] = [new Map<number, number>(), new Map<number, number>()]
  let total = 0
  for (const [way, pair] of both.entries()) {
    if (pair === null) continue
    const weight = weights[way]!
    total += weight
    first.set(pair[0], (first.get(pair[0]) ?? 0) + weight)
    second.set(pair[1], (second.get(pair[1]) ?? 0) + weight)
  }
  let chance = 0
  for (const [answer, share] of first) chance += (share / total) * ((second.get(answer) ?? 0) / total)
  return chance
}

function tallyOf(values: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return counts
}

function pairsOf(count: number): number {
  return (count * (count - 1)) / 2
}

/** How far a vote is from the first error, up to {@link OFFSETS}; null for a vote that there is none. */
function offsetOf(at: number, error: number): number | null {
  return at === -1 ? null : Math.max(-OFFSETS, Math.min(OFFSETS, at - error))
}
