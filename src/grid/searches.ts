import { setMaxListeners } from 'node:events'
import { onAbort } from '../abort.ts'
import type { ProblemRecord } from '../datasets/records.ts'
import { SurefootError, type SurefootErrorCode } from '../errors.ts'
import { drawToFront, randomNumbers } from '../evaluate/random.ts'
import { equivalent } from '../grade/index.ts'
import { inOrder } from '../ordered.ts'
import { solve } from '../search/solve.ts'
import type { Strategy } from '../search/strategies.ts'
import { type Cell, searchBudget } from './cells.ts'
import type { Failure, GridJournal, SearchLine } from './journal.ts'
import { LoadedModels } from './models.ts'
import type { GridOptions, GridProgress } from './options.ts'

export interface Work {
  readonly options: GridOptions
  readonly journal: GridJournal
  readonly cells: readonly Cell[]
  /** Of each cell its strategy, sized. */
  readonly settings: readonly Strategy[]
  readonly records: readonly ProblemRecord[]
  readonly seeds: readonly number[]
  readonly signal: AbortSignal
  readonly report: (progress: GridProgress) => void
}

/** What fails for one search as for all. */
const FATAL: readonly SurefootErrorCode[] = [
  'ERR_CAPABILITY',
  'ERR_DEVICE_UNAVAILABLE',
  'ERR_DISPOSED',
  'ERR_INTERNAL',
  'ERR_IO',
  'ERR_NATIVE_BINDING',
]

/** Problems of a block, and requests of a search that may be under way at once, where nothing else is said. */
export const DEFAULTS = { block: 32, concurrency: 64 } as const

/** Searches that follow each other on the same models. */
interface Block {
  readonly cell: Cell
  readonly seed: number
  /** Numbers of problems. */
  readonly problems: readonly number[]
}

/** Makes every search that the journal has no result of. */
export class Searches {
  readonly #work: Work
  readonly #stop = new AbortController()
  readonly #total: number
  #done = 0
  #resumed = 0
  #failed = 0
  /** Whether each block came with models that had nothing computed. */
  #fresh = true

  constructor(work: Work) {
    this.#work = work
    this.#total = work.cells.length * work.records.length * work.seeds.length
    setMaxListeners(0, this.#stop.signal)
  }

  /** Whether every search in this process found nothing computed by a search of another cell. */
  get fresh(): boolean {
    return this.#fresh
  }

  async run(): Promise<void> {
    const { signal } = this.#work
    const release = onAbort(signal, reason => this.#stop.abort(reason))
    try {
      const blocks = this.#blocks()
      this.#report()
      for (const block of blocks) await this.#runBlock(block)
    } finally {
      release()
    }
  }

  /** What is to be done, in order: the same problems in all cells, these in a random order, before the next problems. */
  #blocks(): Block[] {
    const { options, records, cells, seeds, journal } = this.#work
    const size = options.block ?? DEFAULTS.block
    const random = randomNumbers(seeds[0]!)
    const blocks: Block[] = []
    for (let from = 0; from < records.length; from += size) {
      const numbers = Array.from({ length: Math.min(size, records.length - from) }, (_, index) => from + index)
      const turns = cells.flatMap(cell => seeds.map(seed => ({ cell, seed })))
      drawToFront(turns, turns.length, random)
      for (const { cell, seed } of turns) {
        const problems = numbers.filter(problem => !journal.has({ cell: cell.index, problem, seed }))
        this.#resumed += numbers.length - problems.length
        if (problems.length > 0) blocks.push({ cell, seed, problems })
      }
    }
    this.#done = this.#resumed
    return blocks
  }

  async #runBlock(block: Block): Promise<void> {
    const { options, records } = this.#work
    const { signal } = this.#stop
    signal.throwIfAborted()
    await using models = await LoadedModels.load(options.policy, options.prm)
    this.#fresh &&= models.fresh
    if (models.fresh) await models.warmUp(block.seed, signal)
    const search = async (problem: number): Promise<void> => {
      const line = await this.#search(block, problem, records[problem]!, models)
      await this.#work.journal.append(line)
      this.#done++
      if ('error' in line) this.#failed++
      this.#report()
    }
    const underWay: Promise<void>[] = []
    const kept = (problem: number): Promise<void> => {
      const result = search(problem)
      underWay.push(result)
      return result
    }
    try {
      const results = inOrder(block.problems, options.searches ?? 1, kept, reason => this.#stop.abort(reason))
      while (!(await results.next()).done) signal.throwIfAborted()
    } finally {
      // What is done by now is still written.
      await Promise.allSettled(underWay)
    }
  }

  async #search(
    { cell, seed }: Block,
    problem: number,
    record: ProblemRecord,
    models: LoadedModels,
  ): Promise<SearchLine> {
    const { options, settings } = this.#work
    const { signal } = this.#stop
    const { concurrency = DEFAULTS.concurrency, sampling, system, separator, extract } = options
    const about = { cell: cell.index, problem, seed, id: record.id, strategy: cell.strategy, budget: cell.budget }
    const alone = (options.searches ?? 1) === 1
    const before = alone ? models.computed() : null
    const begun = performance.now()
    try {
      const { answer, finish, limit, solutions, spent } = await solve(record.problem, {
        policy: models.policy,
        ...(models.prm && { prm: models.prm }),
        strategy: settings[cell.index]!,
        budget: searchBudget(cell.limits),
        seed,
        concurrency,
        signal,
        ...(sampling && { sampling }),
        ...(system !== undefined && { system }),
        ...(separator !== undefined && { separator }),
        ...(extract && { extract }),
      })
      const ms = Math.round((performance.now() - begun) * 100) / 100
      const after = before && models.computed()
      const computed = before && after && { policy: after.policy - before.policy, prm: after.prm - before.prm }
      const correct = answer !== null && equivalent(record.answer!, answer).equal
      const result = { answer, correct, finish, limit, solutions: solutions.length, spent, ms }
      return { ...about, ...result, ...(computed && { computed }) }
    } catch (error) {
      signal.throwIfAborted()
      if (SurefootError.isInstance(error) && FATAL.includes(error.code)) throw error
      return { ...about, error: failureOf(error) }
    }
  }

  #report(): void {
    this.#work.report({
      phase: 'search',
      done: this.#done,
      total: this.#total,
      resumed: this.#resumed,
      failed: this.#failed,
      problems: this.#work.records.length,
    })
  }
}

/** A policy of the user's own may throw anything. */
function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { code: 'unknown', message: String(error) }
  const { code } = error as { code?: unknown }
  return { code: typeof code === 'string' ? code : error.name, message: error.message }
}
