import { basename, resolve } from 'node:path'
import { onAbort } from '../abort.ts'
import { readDataset } from '../datasets/index.ts'
import { rowText } from '../datasets/read.ts'
import type { ProblemRecord, RejectedRow } from '../datasets/records.ts'
import { type Counted, Tally } from '../datasets/tally.ts'
import { invalidArgument } from '../errors.ts'
import { versions } from '../evaluate/versions.ts'
import { checkRequest } from '../generator/generator.ts'
import { RunFolder } from '../journal/run-folder.ts'
import type { StepScorer } from '../scorer.ts'
import { nativeSearch } from '../search/machine.ts'
import { filled } from '../search/solve.ts'
import { type Cell, type Costs, cellsOf, type GridBudget, searchBudget, sized, type Typical } from './cells.ts'
import { GridJournal } from './journal.ts'
import { LoadedModels } from './models.ts'
import type { GridOptions, GridProgress } from './options.ts'
import { measureTypical } from './pilot.ts'
import { DEFAULTS, Searches } from './searches.ts'
import { summarise } from './summarise.ts'
import type { GridSummary } from './summary.ts'

/**
 * Searches with every strategy under every budget on every problem with every seed, and holds the results side by side.
 *
 * Each search is one `solve()` and one line of the run folder; what was done before an abort or a crash is taken over by
 * `resume`, and what failed is tried again. A search that fails counts as wrong and is named. The same data, options and
 * seeds give the same summary, but for times, with a policy that heeds its seed.
 *
 * Cells lend each other nothing: searches go block by block, a block being one strategy, budget and seed over `block`
 * problems; where `policy` and `prm` are functions, the models are loaded anew for every block, so no search finds texts or
 * scores of another strategy computed already. Blocks of the same problems are in a random order, so that a machine that grows
 * slower is no cell's fault. The draws have the same names in all cells (common random numbers): best-of-8 samples the first
 * eight texts of best-of-16 with the same seed, and majority votes among the same texts.
 *
 * @throws `ERR_INVALID_ARGUMENT` for options that are wrong, data without a problem that has an answer, a folder that holds
 *   another run; `ERR_CAPABILITY` for a policy that cannot do what a strategy needs; `ERR_IO`; the signal's reason
 */
export async function grid(options: GridOptions): Promise<GridSummary> {
  const cells = cellsOf(options.strategies, options.budgets)
  const checked = checkOptions(options, cells)
  const { run, resume = false, signal } = options
  signal?.throwIfAborted()
  const stop = new AbortController()
  const release = onAbort(signal, reason => stop.abort(reason))
  const report = (progress: GridProgress): void => options.onProgress?.(progress)
  try {
    const { records, counted } = await read(options, report)
    const prepared = await prepare(options, checked, cells, counted, stop.signal)
    const { configuration, costs, parameters } = prepared
    await using folder = await RunFolder.open(run, { configuration, versions: versions(), resume })
    const journal = await GridJournal.open(folder)
    const typical = await typicalOf(options, journal, records, stop.signal)
    const settings = cells.map(({ given, limits }) => sized(given, limits, typical, costs))
    const { seeds, searches, against, resamples } = checked
    const work = new Searches({ options, journal, cells, settings, records, seeds, signal: stop.signal, report })
    await work.run()
    report({ phase: 'summarise', done: 0, total: 0, resumed: 0, failed: 0, problems: records.length })
    const { rejected, leftOut, examples } = counted
    const summary = summarise({
      head: {
        name: options.name ?? basename(resolve(run)),
        made: new Date().toISOString(),
        versions: folder.header.versions,
        configuration,
        hash: folder.header.hash,
        rows: { used: records.length, rejected, leftOut, examples },
        seeds,
        typical,
        alone: searches === 1,
      },
      cells,
      settings,
      problems: records.length,
      journal,
      parameters,
      against,
      warnings: warningsOf(work, prepared, checked),
      resamples,
    })
    stop.signal.throwIfAborted()
    await folder.writeSummary(summary)
    return summary
  } finally {
    release()
  }
}

interface Prepared {
  readonly configuration: Record<string, unknown>
  readonly costs: Costs | null
  readonly parameters: Parameters
  /** Whether the policy's texts follow from its seed. */
  readonly seeded: boolean
}

/** Parameters of the models; null where one does not say. */
export interface Parameters {
  readonly policy: number | null
  readonly prm: number | null
}

/** Looks at the models and checks the cells against them. */
async function prepare(
  options: GridOptions,
  checked: Checked,
  cells: readonly Cell[],
  counted: Counted,
  signal: AbortSignal,
): Promise<Prepared> {
  await using models = await LoadedModels.load(options.policy, options.prm)
  const { policy, prm } = models
  await policy.ready?.({ signal })
  const parameters = { policy: parametersOf(policy), prm: parametersOf(prm) }
  const costs = costsOf(parameters, prm !== null)
  checkCells(cells, prm, costs)
  const configuration = configurationOf(options, checked, cells, models, counted)
  return { configuration, costs, parameters, seeded: policy.capabilities.seed }
}

function warningsOf(work: Searches, { seeded }: Prepared, { searches }: Checked): string[] {
  const warnings: string[] = []
  if (searches > 1) {
    warnings.push(
      `${searches} searches were under way at the same time: what one took is not known, and there is no view of time.`,
    )
  } else if (!work.fresh) {
    warnings.push(
      'The models were not loaded anew between cells, or do not tell what they keep: a search may have found texts of another ' +
        'cell computed already, and then its time flatters it.',
    )
  }
  if (!seeded)
    warnings.push('The policy does not promise the same text for the same seed: another run gives other results.')
  return warnings
}

interface Checked {
  readonly seeds: readonly number[]
  readonly searches: number
  readonly against: readonly string[]
  readonly resamples: number
  readonly sampling: Readonly<Record<string, unknown>>
}

/** Baselines where nothing else is said, as far as they are in the grid. */
const BASELINES = ['majority', 'bestOfN']

function checkOptions(options: GridOptions, cells: readonly Cell[]): Checked {
  const { run, seeds = [1], searches = 1, block, concurrency, limit, resamples = 10_000 } = options
  if (typeof run !== 'string' || run === '') invalidArgument('run', 'must be the path of a folder', run)
  for (const [name, value] of Object.entries({ searches, block, concurrency, limit, resamples })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1)) {
      invalidArgument(name, `must be a whole number from 1, got ${value}`, value)
    }
  }
  if (!Array.isArray(seeds) || seeds.length === 0) invalidArgument('seeds', 'must be a list of at least one', seeds)
  for (const [index, seed] of seeds.entries()) {
    if (!Number.isSafeInteger(seed) || seed < 0) invalidArgument('seeds', 'must be whole numbers from 0', seed)
    if (seeds.indexOf(seed) !== index) invalidArgument('seeds', `${seed} stands twice`, seed)
  }
  if (searches > 1 && cells.some(({ limits }) => limits.ms !== undefined)) {
    invalidArgument(
      'searches',
      'must be 1 under a budget of milliseconds: searches would take time from each other',
      searches,
    )
  }
  checkModel('policy', 'sample', options.policy)
  for (const [name, value] of Object.entries(options.typical ?? {})) {
    if (!(Number.isFinite(value) && value > 0)) {
      invalidArgument('typical', `${name} must be a number above 0, got ${value}`, value)
    }
  }
  if (options.prm !== undefined) checkModel('prm', 'score', options.prm)
  const names = [...new Set(cells.map(({ strategy }) => strategy))]
  const against = options.against ?? BASELINES.filter(name => names.includes(name))
  const unknown = against.find(name => !names.includes(name))
  if (unknown !== undefined) invalidArgument('against', `must be of ${names.join(', ')}, got ${unknown}`, unknown)
  const { sampling = {}, system, separator } = options
  const request = {
    ...sampling,
    ...(system !== undefined && { system }),
    ...(separator !== undefined && { separator }),
  }
  const {
    problem: _,
    prefix: _prefix,
    n: _n,
    until: _until,
    maxTokens: _most,
    separator: _own,
    ...rest
  } = checkRequest({
    ...request,
    problem: 'any',
  })
  return { seeds, searches, against, resamples, sampling: rest }
}

function checkModel(name: string, method: string, source: unknown): void {
  const sound =
    typeof source === 'function' ||
    (typeof source === 'object' && source !== null && typeof (source as Record<string, unknown>)[method] === 'function')
  if (!sound) invalidArgument(name, `must have ${method}(), or be a function that loads what has it`, source)
}

/** Settings out of their range fail before anything is sampled. */
function checkCells(cells: readonly Cell[], prm: StepScorer | null, costs: Costs | null): void {
  for (const { given, limits } of cells) {
    if (prm === null && given.strategy !== 'majority') {
      invalidArgument('prm', `${given.strategy} chooses by scores: give a PRM, or use majority`)
    }
    const trial: Typical = { steps: 1, tokens: 1, ms: 1 }
    const budget = searchBudget(limits)
    const priced = budget.flops === undefined || budget.costs || costs === null ? budget : { ...budget, costs }
    nativeSearch(filled(sized(given, limits, trial, costs), prm?.facts ?? null), priced)
  }
}

function parametersOf(model: object | null): number | null {
  return (model as { facts?: { parameters?: number } } | null)?.facts?.parameters ?? null
}

/** What a token costs by the sizes of native models, as `solve` has it. */
function costsOf({ policy, prm }: Parameters, scores: boolean): Costs | null {
  if (policy === null || (scores && prm === null)) return null
  return { policy: 2 * policy, prm: 2 * (prm ?? policy) }
}

/** All that decides what the searches find. */
function configurationOf(
  options: GridOptions,
  { seeds, against, resamples, sampling }: Checked,
  cells: readonly Cell[],
  { policy, prm }: LoadedModels,
  { records, sha256 }: Counted,
): Record<string, unknown> {
  const { problems, limit, format, strict, system, separator, setup, typical } = options
  const column = cells.filter(({ row }) => row === 0)
  const row = cells.filter(({ column }) => column === 0)
  return {
    kind: 'grid',
    data: {
      source: typeof problems === 'string' ? basename(problems) : null,
      problems: records,
      sha256,
      limit: limit ?? null,
      format: format ?? null,
      strict: strict ?? false,
    },
    policy: { id: policy.id, ...(policy as { facts?: object }).facts, ...setup },
    prm: prm?.facts ?? null,
    strategies: row.map(({ given }) => given),
    budgets: column.map(({ limits }): GridBudget => limits),
    sizes: typical ?? 'by a pilot',
    seeds,
    sampling,
    system: system ?? null,
    separator: separator ?? null,
    block: options.block ?? DEFAULTS.block,
    searches: options.searches ?? 1,
    concurrency: options.concurrency ?? DEFAULTS.concurrency,
    against,
    resamples,
  }
}

async function typicalOf(
  options: GridOptions,
  journal: GridJournal,
  records: readonly ProblemRecord[],
  signal: AbortSignal,
): Promise<Typical> {
  if (options.typical !== undefined) return options.typical
  if (journal.typical !== null) return journal.typical
  options.onProgress?.({ phase: 'pilot', done: 0, total: 0, resumed: 0, failed: 0, problems: records.length })
  await using models = await LoadedModels.load(options.policy, undefined)
  await models.warmUp(1, signal)
  const typical = await measureTypical(models.policy, records, options, signal)
  await journal.append({ typical })
  return typical
}

/** The problems that have a reference answer, in memory. */
async function read(
  { problems, format, strict = false, limit, download, signal, onProgress }: GridOptions,
  report: (progress: GridProgress) => void,
): Promise<{ records: ProblemRecord[]; counted: Counted }> {
  const tally = new Tally()
  const records: ProblemRecord[] = []
  const source: AsyncIterable<ProblemRecord> | readonly ProblemRecord[] =
    typeof problems !== 'string'
      ? problems
      : readDataset(problems, {
          kind: 'problem',
          strict,
          onRejected: tally.reject,
          onLeftOut: tally.leaveOut,
          ...(format !== undefined && { format }),
          ...(download && { download }),
          ...(signal && { signal }),
        })
  let row = 0
  for await (const record of source) {
    row++
    if (typeof record?.problem !== 'string') invalidArgument('problems', `row ${row} holds no problem`, record)
    if (typeof record.answer === 'string') {
      records.push(record)
      tally.add(record)
    } else {
      const rejected = withoutAnswer(problems, record, row)
      if (strict) invalidArgument('problems', rowText(rejected))
      tally.reject(rejected)
    }
    if (records.length === limit) break
    if (row % 1000 === 0 && onProgress) {
      report({ phase: 'read', done: row, total: 0, resumed: 0, failed: 0, problems: records.length })
    }
  }
  if (records.length === 0) invalidArgument('problems', `no row holds a problem with its answer: ${tally.why}`)
  return { records, counted: tally.end() }
}

function withoutAnswer(problems: GridOptions['problems'], { id }: ProblemRecord, line: number): RejectedRow {
  const file = `${typeof problems === 'string' ? problems : 'records'} (${id})`
  return { file, line, field: 'answer', expected: 'a reference answer to grade by', got: 'null' }
}
