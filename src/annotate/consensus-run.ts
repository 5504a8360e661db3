import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { basename, join as pathOf, resolve } from 'node:path'
import { type Download, type ReadOptions, readDataset } from '../datasets/index.ts'
import type { LabelRecord, Provenance, RejectedRow } from '../datasets/records.ts'
import { Tally } from '../datasets/tally.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import type { Interval } from '../evaluate/metrics.ts'
import { versions } from '../evaluate/versions.ts'
import { RunFolder, writeWhole } from '../journal/run-folder.ts'
import { type AgreementStatistics, AgreementTally } from './agreement.ts'
import type { Annotation, Method } from './annotation.ts'
import {
  checkJudges,
  checkRule,
  consensus,
  type DropReason,
  dropReasons,
  finalAnswerIsRight,
  type JudgeName,
  type Rule,
} from './consensus.ts'
import { type Joined, join, problemKey, solutionKey, WINDOW } from './join.ts'
import { firstErrorOf } from './judges/recorded.ts'
import { ANNOTATIONS } from './run.ts'

/** What one judge said of all solutions. */
export interface JudgementSource {
  /** A file, a folder or a hub id with labels in any format; the folder of an `annotate` run; or records at hand. */
  readonly source: string | Iterable<LabelRecord> | AsyncIterable<LabelRecord>
  /** Who judged. @default as the provenance of the first record says; without one the name of the source */
  readonly by?: string
  /** @default as the provenance says; without one `recorded` */
  readonly method?: Method
  readonly format?: string
}

export interface JoinConsensusOptions extends Pick<ReadOptions, 'strict' | 'neutral' | 'limit'> {
  /** Two or more, in the same order: see `window`. */
  readonly judges: readonly (string | JudgementSource)[]
  readonly rule?: Rule
  /** The run's folder; it is made. */
  readonly run: string
  /** Do the run in the folder again, if one is there: it must have been begun with the same options. */
  readonly resume?: boolean
  /** How many records a solution may stand away from its place in another file. @default 4096 */
  readonly window?: number
  /** What else made the run, such as its preset: a part of the configuration. */
  readonly setup?: Readonly<Record<string, unknown>>
  /** Of the bootstrap. @default 1 */
  readonly seed?: number
  /** @default 1000 */
  readonly resamples?: number
  readonly download?: Download
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ConsensusProgress) => void
}

export interface ConsensusProgress {
  readonly phase: 'join' | 'measure'
  readonly solutions: number
  readonly kept: number
}

/** What summary.json of the run holds. */
export interface ConsensusSummary {
  readonly schema: 1
  readonly kind: 'consensus'
  readonly made: string
  readonly versions: Readonly<Record<string, string>>
  readonly configuration: Readonly<Record<string, unknown>>
  readonly hash: string
  /** Each with its rows: how many, how many that no other holds, and those that do not fit their format. */
  readonly judges: readonly (Required<JudgeName> & {
    readonly records: number
    readonly alone: number
    readonly rejected: number
    readonly examples: readonly RejectedRow[]
  })[]
  readonly rule: Required<Rule>
  readonly solutions: number
  readonly kept: number
  /** The share that was kept. */
  readonly retention: Interval | null
  /** By reason; examples by id. */
  readonly dropped: Readonly<Record<DropReason, { readonly count: number; readonly examples: readonly string[] }>>
  /** Of what was kept. */
  readonly labels: {
    readonly right: number
    readonly wrong: number
    readonly masked: number
    /** Solutions without an error, with one, and those of which it is not known where or whether. */
    readonly withoutError: number
    readonly withError: number
    readonly partly: number
  }
  /** Of all solutions that are cut alike, whatever was kept. */
  readonly agreement: AgreementStatistics
}

/** What was not kept. */
export const DROPPED = 'dropped.jsonl'

/** Ids that the summary shows of each reason. */
const EXAMPLES = 5

/** Characters that are written at a time. */
const CHUNK = 1 << 16

/** Solutions between two reports of progress. */
const STRIDE = 500

/**
 * Joins what judges said of the same solutions, keeps what they agree on by a rule, and measures how far they agree.
 * annotations.jsonl holds what was kept, dropped.jsonl the rest with the reason and the votes, summary.json all numbers.
 *
 * Nothing is asked of a model here, so a run that was interrupted is done again from its beginning. The files are read
 * once, side by side; memory does not grow with them but for 16 bytes for each way of voting of each of at most 4,096 groups
 * of problems.
 *
 * @throws `ERR_INVALID_ARGUMENT` for a rule that cannot be, judges that are one, files that have no solution in common, a
 *   folder that holds another run; `ERR_IO`; what `readDataset` throws; the signal's reason
 */
export async function joinConsensus(options: JoinConsensusOptions): Promise<ConsensusSummary> {
  const { run, resume = false, window = WINDOW, seed = 1, resamples = 1000, setup, signal, onProgress } = options
  if (typeof run !== 'string' || run === '') invalidArgument('run', 'must be the path of a folder', run)
  for (const [name, value, least] of [
    ['seed', seed, 0],
    ['resamples', resamples, 1],
    ['window', window, 1],
  ] as const) {
    if (!(Number.isSafeInteger(value) && value >= least)) {
      invalidArgument(name, `must be a whole number from ${least}, got ${value}`, value)
    }
  }
  signal?.throwIfAborted()
  const rule = checkRule(options.rule ?? {}, options.judges.length)
  const judges: JudgeFile[] = []
  try {
    for (const judge of options.judges) judges.push(await JudgeFile.open(judge, options))
    checkJudges(judges.map(judge => judge.name))
    const configuration = {
      kind: 'consensus',
      judges: judges.map(({ name, place }) => ({ ...name, source: place })),
      rule,
      window,
      limit: options.limit ?? null,
      strict: options.strict ?? false,
      neutral: options.neutral ?? null,
      seed,
      resamples,
      ...setup,
    }
    await using folder = await RunFolder.open(run, { configuration, versions: versions(), resume })
    const job = new Job(judges, rule, window, signal, onProgress)
    await job.write(folder.path)
    onProgress?.({ phase: 'measure', ...job.counts })
    const summary: ConsensusSummary = {
      schema: 1,
      kind: 'consensus',
      made: new Date().toISOString(),
      versions: folder.header.versions,
      configuration,
      hash: folder.header.hash,
      ...job.summary({ seed, resamples }),
    }
    await folder.writeSummary(summary)
    return summary
  } finally {
    for (const judge of judges) await judge.close()
  }
}

/** Who judged what stands in a file, by its first record. @throws as {@link joinConsensus} */
export async function judgeOf(
  judge: JudgementSource,
  options: Pick<JoinConsensusOptions, 'strict' | 'neutral' | 'download' | 'signal'> = {},
): Promise<Required<JudgeName>> {
  const file = await JudgeFile.open(judge, options)
  await file.close()
  return file.name
}

/** The records of one judge. */
class JudgeFile {
  readonly name: Required<JudgeName>
  /** Where they come from, without the folders of this machine. */
  readonly place: string | null
  readonly tally: Tally = new Tally()
  records = 0
  alone = 0
  readonly #records: AsyncIterator<LabelRecord>
  readonly #first: IteratorResult<LabelRecord>

  private constructor(
    name: Required<JudgeName>,
    place: string | null,
    records: AsyncIterator<LabelRecord>,
    first: IteratorResult<LabelRecord>,
  ) {
    this.name = name
    this.place = place
    this.#records = records
    this.#first = first
  }

  static async open(
    judge: string | JudgementSource,
    options: Omit<JoinConsensusOptions, 'judges' | 'run'>,
  ): Promise<JudgeFile> {
    const { source, by, method, format } = typeof judge === 'string' ? ({ source: judge } as JudgementSource) : judge
    let file: JudgeFile | undefined
    const early: RejectedRow[] = []
    const { strict, neutral, limit, download, signal } = options
    const records =
      typeof source === 'string'
        ? readDataset(annotationsIn(source), {
            kind: 'labels',
            onRejected: row => (file ? file.tally.reject(row) : early.push(row)),
            ...(format !== undefined && { format }),
            ...(strict !== undefined && { strict }),
            ...(neutral !== undefined && { neutral }),
            ...(limit !== undefined && { limit }),
            ...(download && { download }),
            ...(signal && { signal }),
          })
        : limited(source, limit)
    const iterator = records[Symbol.asyncIterator]()
    const first = await iterator.next()
    const place = typeof source === 'string' ? basename(resolve(source)) : null
    if (first.done) {
      const why = early[0] ? `: ${early.length} rows do not fit` : ''
      invalidArgument('judges', `${place ?? 'the records at hand'} hold no labelled solution${why}`, place)
    }
    const name = nameOf(first.value.provenance, { by, method, place })
    file = new JudgeFile(name, place, iterator, first)
    for (const row of early) file.tally.reject(row)
    return file
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LabelRecord, void, undefined> {
    for (let next = this.#first; !next.done; next = await this.#records.next()) {
      this.#check(next.value)
      this.records++
      yield next.value
    }
  }

  async close(): Promise<void> {
    await this.#records.return?.()
  }

  /** One file is one judge. */
  #check({ id, provenance }: LabelRecord): void {
    if (provenance === undefined || this.name.method === 'recorded') return
    const { method, by } = provenance
    if (method === this.name.method && by.join() === this.name.by.join()) return
    const found = `${method} by ${by.join(', ')}`
    throw new SurefootError(
      'ERR_INVALID_ARGUMENT',
      `judges: ${this.place ?? 'the records'} begin with labels of ${this.name.id}, and ${id} has ${found}: give each judge a file of its own`,
      { data: { argument: 'judges', value: id } },
    )
  }
}

async function* limited(
  source: Iterable<LabelRecord> | AsyncIterable<LabelRecord>,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<LabelRecord, void, undefined> {
  let count = 0
  for await (const record of source) {
    if (count++ >= limit) return
    yield record
  }
}

/** The labels of an `annotate` run, where a folder is one. */
function annotationsIn(source: string): string {
  const path = pathOf(source, ANNOTATIONS)
  return existsSync(path) ? path : source
}

function nameOf(
  provenance: Provenance | undefined,
  given: { by: string | undefined; method: Method | undefined; place: string | null },
): Required<JudgeName> {
  if (given.by === '') invalidArgument('judges', 'must have names that are not empty', given.by)
  const method = given.method ?? provenance?.method ?? 'recorded'
  const by = given.by !== undefined ? [given.by] : provenance ? [...provenance.by] : given.place ? [given.place] : []
  if (by.length === 0) invalidArgument('judges', 'must say by whom the records at hand were labelled: pass `by`')
  return { id: `${method}:${by.join('+')}`, method, by }
}

class Job {
  readonly #judges: readonly JudgeFile[]
  readonly #rule: Required<Rule>
  readonly #window: number
  readonly #signal: AbortSignal | undefined
  readonly #onProgress: JoinConsensusOptions['onProgress']
  readonly #agreement: AgreementTally
  readonly #labels = { right: 0, wrong: 0, masked: 0, withoutError: 0, withError: 0, partly: 0 }
  readonly #dropped = Object.fromEntries(
    dropReasons.map(reason => [reason, { count: 0, examples: [] as string[] }]),
  ) as Record<DropReason, { count: number; examples: string[] }>
  readonly counts = { solutions: 0, kept: 0 }

  constructor(
    judges: readonly JudgeFile[],
    rule: Required<Rule>,
    window: number,
    signal: AbortSignal | undefined,
    onProgress: JoinConsensusOptions['onProgress'],
  ) {
    this.#judges = judges
    this.#rule = rule
    this.#window = window
    this.#signal = signal
    this.#onProgress = onProgress
    this.#agreement = new AgreementTally(judges.length)
  }

  /** Writes both files, each whole or not at all. */
  async write(folder: string): Promise<void> {
    const path = pathOf(folder, DROPPED)
    const beside = `${path}.${process.pid}.tmp`
    const dropped = await open(beside, 'w')
    try {
      await writeWhole(
        pathOf(folder, ANNOTATIONS),
        this.#lines(text => dropped.appendFile(text)),
      )
      await dropped.datasync()
      await dropped.close()
      await rename(beside, path)
    } catch (error) {
      this.#signal?.throwIfAborted()
      throw error
    } finally {
      await dropped.close()
      await rm(beside, { force: true })
    }
  }

  /** The lines that are kept, in pieces; the others go to `drop`. */
  async *#lines(drop: (text: string) => Promise<void>): AsyncGenerator<string, void, undefined> {
    let [kept, dropped] = ['', '']
    for await (const joined of join(this.#judges, this.#window)) {
      this.#signal?.throwIfAborted()
      const { keeps, line } = this.#decide(joined)
      if (keeps) kept += `${JSON.stringify(line)}\n`
      else dropped += `${JSON.stringify(line)}\n`
      if (kept.length >= CHUNK) {
        yield kept
        kept = ''
      }
      if (dropped.length >= CHUNK) {
        await drop(dropped)
        dropped = ''
      }
      if (this.counts.solutions % STRIDE === 0) this.#onProgress?.({ phase: 'join', ...this.counts })
    }
    if (this.#dropped.alone.count === this.counts.solutions) this.#refuse()
    await drop(dropped)
    yield kept
  }

  #refuse(): never {
    const files = this.#judges.map(({ name, records }) => `${name.id} (${records})`).join(', ')
    const what = `no solution is in two files: ${files}; they must hold the same problems and texts, in about the same order`
    invalidArgument('judges', `${what}: at most ${this.#window} records apart (window)`)
  }

  #decide(joined: Joined): { readonly keeps: boolean; readonly line: object } {
    const there = joined.filter(record => record !== null)
    const lead = there[0]!
    const solution = merged(there)
    const { steps } = lead
    const alike = there.length === 1 || new Set(there.map(record => solutionKey(record).cut)).size === 1
    const answerCorrect = this.#rule.answer === 'ignore' ? null : finalAnswerIsRight(solution)
    const votes = joined.map((record, index) => ({
      method: this.#judges[index]!.name.method,
      firstError: record && alike ? firstErrorOf(record) : null,
    }))
    if (there.length === 1) this.#judges[joined.indexOf(lead)]!.alone++
    const decision = !alike
      ? ({ kept: false, reason: 'cut' } as const)
      : there.length === 1
        ? ({ kept: false, reason: 'alone' } as const)
        : consensus({ votes, steps: steps.length, answerCorrect }, this.#rule)
    this.counts.solutions++
    this.#agreement.add(
      problemKey(lead.problem),
      votes.map(vote => vote.firstError),
      steps.length,
      decision.kept,
    )
    if (!decision.kept) {
      const { reason } = decision
      const dropped = this.#dropped[reason]
      dropped.count++
      if (dropped.examples.length < EXAMPLES) dropped.examples.push(lead.id)
      const said = joined.map((record, index) => [this.#judges[index]!.name.id, record ? firstErrorOf(record) : null])
      return { keeps: false, line: { ...solution, reason, votes: Object.fromEntries(said), answerCorrect } }
    }
    const { firstError, labels, agreement } = decision
    this.counts.kept++
    for (const label of labels) this.#labels[label === null ? 'masked' : label === 1 ? 'right' : 'wrong']++
    this.#labels[firstError === null ? 'partly' : firstError === -1 ? 'withoutError' : 'withError']++
    const rollouts = there.filter(record => record.rollouts !== undefined)
    const annotation: Annotation = {
      ...solution,
      labels,
      firstError,
      ...(answerCorrect !== null && { answerCorrect }),
      provenance: {
        method: 'consensus',
        by: this.#judges.map(({ name }) => name.id),
        ...sums(there),
        agreement,
      },
      ...(rollouts.length === 1 && { rollouts: rollouts[0]!.rollouts! }),
    }
    return { keeps: true, line: annotation }
  }

  summary(draws: {
    readonly seed: number
    readonly resamples: number
  }): Omit<ConsensusSummary, 'schema' | 'kind' | 'made' | 'versions' | 'configuration' | 'hash'> {
    return {
      judges: this.#judges.map(({ name, records, alone, tally }) => {
        const { rejected, examples } = tally.end()
        return { ...name, records, alone, rejected, examples }
      }),
      rule: this.#rule,
      ...this.counts,
      retention: this.#agreement.retention(draws),
      dropped: this.#dropped,
      labels: this.#labels,
      agreement: this.#agreement.statistics(draws),
    }
  }
}

/** What the records say of the solution beside labels, the first that knows. */
function merged(
  records: readonly LabelRecord[],
): Omit<LabelRecord, 'labels' | 'firstError' | 'provenance' | 'rollouts'> {
  const all: LabelRecord = Object.assign({}, ...records.toReversed())
  const { labels: _, firstError: _first, provenance: _provenance, rollouts: _rollouts, ...solution } = all
  return { ...solution, answer: records.find(({ answer }) => answer !== null)?.answer ?? null }
}

/** What the labels took, where it is known. */
function sums(records: readonly LabelRecord[]): Pick<Provenance, 'rollouts' | 'tokens'> {
  const sumOf = (name: 'rollouts' | 'tokens'): object => {
    const known = records.map(({ provenance }) => provenance?.[name]).filter(count => count !== undefined)
    return known.length > 0 ? { [name]: known.reduce((sum, count) => sum + count, 0) } : {}
  }
  return { ...sumOf('rollouts'), ...sumOf('tokens') }
}
