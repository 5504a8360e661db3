import { setMaxListeners } from 'node:events'
import { basename, join } from 'node:path'
import { onAbort } from '../abort.ts'
import { type Download, readDataset } from '../datasets/index.ts'
import type { CandidateRecord, DataRecord, LabelRecord, ProblemRecord, RejectedRow } from '../datasets/records.ts'
import { type Counted, Tally } from '../datasets/tally.ts'
import { invalidArgument, SurefootError, type SurefootErrorCode } from '../errors.ts'
import { versions } from '../evaluate/versions.ts'
import { checkRequest, type Generator, type SampleRequest } from '../generator/generator.ts'
import { RunFolder, writeWhole } from '../journal/run-folder.ts'
import { inOrder } from '../ordered.ts'
import { Counts, type Found } from './counts.ts'
import { type Failed, type Failure, Journal, type Judged, type SampledText, type Written } from './journal.ts'
import type { Judge, Usage } from './judge.ts'
import { annotationOf, countOf, type Labelled, solutionsOf } from './solutions.ts'

export interface AnnotateOptions {
  /** Solutions that are there: labelled ones or candidates. A file, a folder or a hub id; or records at hand. */
  readonly solutions?: string | readonly (CandidateRecord | LabelRecord)[]
  /** Instead of them: problems with answers, whose solutions are sampled first. They are read three times, as solutions are. */
  readonly problems?: string | readonly ProblemRecord[]
  /** What samples the solutions of problems. */
  readonly sampling?: Sampling
  /** Who labels. */
  readonly judge: Judge
  /** What ends a step of a solution that is one text. @default that of the policy which samples, else a blank line */
  readonly separator?: string
  /** What else made the judge or the policy: a part of the configuration. */
  readonly setup?: Readonly<Record<string, unknown>>
  /** The run's folder; it is made. */
  readonly run: string
  /** Go on with the run in the folder, if one is there: it must have been begun with the same options and data. */
  readonly resume?: boolean
  /** Solutions that are judged at the same time. @default 8 */
  readonly concurrency?: number
  /** Only the first so many records. */
  readonly limit?: number
  /** The dataset's format, where it is not to be recognised. */
  readonly format?: string
  /** Fail at the first row that does not fit, instead of counting it. */
  readonly strict?: boolean
  /** Gets the files of a hub id. */
  readonly download?: Download
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: AnnotateProgress) => void
}

export interface Sampling {
  readonly policy: Generator
  /** Solutions of each problem. @default 8 */
  readonly n?: number
  readonly request?: Omit<SampleRequest, 'problem' | 'prefix' | 'n' | 'until' | 'path' | 'logprobs'>
  /** Takes the final answer out of a solution; null where it has none. @default `extractAnswer` of surefoot/grade */
  readonly extract?: (solution: string) => string | null
}

/** How far the work is. */
export interface AnnotateProgress {
  /** `read`: the data is looked through; `write`: annotations.jsonl is written. */
  readonly phase: 'read' | 'judge' | 'write'
  readonly records: number
  /** Solutions that are judged, those of an earlier run among them, and in all. */
  readonly solutions: number
  readonly total: number
  /** Solutions that are taken over from the run that is resumed. */
  readonly resumed: number
  /** Solutions, and problems without any, that failed in this process. */
  readonly failed: number
  /** Completions that were sampled, and tokens that were sampled or read by PRMs, in this process. */
  readonly rollouts: number
  readonly tokens: number
}

/** What summary.json of the run holds. */
export interface AnnotateSummary extends Found {
  readonly schema: 1
  readonly kind: 'annotate'
  readonly made: string
  readonly versions: Readonly<Record<string, string>>
  readonly configuration: Readonly<Record<string, unknown>>
  readonly hash: string
  readonly rows: { readonly rejected: number; readonly leftOut: number; readonly examples: readonly RejectedRow[] }
  readonly records: number
}

/** The file of the run that holds the labels. */
export const ANNOTATIONS = 'annotations.jsonl'

/** What fails for one problem as for all. */
const FATAL: readonly SurefootErrorCode[] = [
  'ERR_CAPABILITY',
  'ERR_DEVICE_UNAVAILABLE',
  'ERR_DISPOSED',
  'ERR_INTERNAL',
  'ERR_IO',
  'ERR_NATIVE_BINDING',
]

/**
 * Labels the steps of solutions. Each judgement is written to the run folder as soon as it is there; what was done before an
 * abort or a crash is taken over by `resume`, and what failed is tried again. At the end annotations.jsonl holds one
 * `Annotation` a solution, in the order of the data, and summary.json the counts. A solution that failed, or that the judge
 * cannot say anything of, is a line without labels, with its `failure`; one without steps is counted only.
 *
 * With native policies the same data, options and seed give the same annotations.
 *
 * @throws `ERR_INVALID_ARGUMENT` for options that are wrong, data without a sound row, a folder that holds another run;
 *   `ERR_CAPABILITY` for what a policy cannot do; `ERR_IO`; the signal's reason
 */
export function annotate(options: AnnotateOptions): Promise<AnnotateSummary> {
  return withJob(options, async job => {
    await job.work()
    return job.finish()
  })
}

/** Opens the run and gives its job to `use`. */
export async function withJob<T>(options: AnnotateOptions, use: (job: Job) => Promise<T>): Promise<T> {
  const { run, resume = false, signal } = options
  checkOptions(options)
  signal?.throwIfAborted()
  await options.sampling?.policy.ready?.({ ...(signal && { signal }) })
  const survey = await look(options)
  const configuration = configurationOf(options, survey)
  await using folder = await RunFolder.open(run, { configuration, versions: versions(), resume })
  await using journal = await Journal.open(folder)
  return await use(new Job(options, folder, journal, survey))
}

function checkOptions({
  solutions,
  problems,
  sampling,
  run,
  concurrency = 8,
  limit,
  separator,
}: AnnotateOptions): void {
  if (typeof run !== 'string' || run === '') invalidArgument('run', 'must be the path of a folder', run)
  if ((solutions === undefined) === (problems === undefined)) {
    invalidArgument('solutions', 'or problems must be given, and not both')
  }
  if ((problems === undefined) !== (sampling === undefined)) {
    const need =
      problems === undefined ? 'is for problems: these have solutions' : 'is missing: name what samples solutions'
    invalidArgument('sampling', need)
  }
  if (sampling) checkRequest({ ...sampling.request, problem: 'any', n: sampling.n ?? 1 })
  if (separator === '') invalidArgument('separator', 'is empty', separator)
  for (const [name, value] of Object.entries({ concurrency, limit: limit ?? 1 })) {
    if (!(Number.isSafeInteger(value) && value >= 1)) {
      invalidArgument(name, `must be a whole number from 1, got ${value}`, value)
    }
  }
}

/** All that decides the annotations; how many solutions are under way is none of it. */
function configurationOf(options: AnnotateOptions, { records: count, sha256 }: Counted): Record<string, unknown> {
  const { solutions, problems, sampling, judge, setup, limit, format, strict } = options
  const source = solutions ?? problems
  return {
    kind: 'annotate',
    data: {
      kind: problems === undefined ? 'solutions' : 'problems',
      source: typeof source === 'string' ? basename(source) : null,
      records: count,
      sha256,
      limit: limit ?? null,
      format: format ?? null,
      strict: strict ?? false,
    },
    judge: { id: judge.id, method: judge.method, ...judge.settings },
    sampling: sampling ? samplingSettings(sampling) : null,
    separator: separatorOf(options),
    ...setup,
  }
}

function samplingSettings({ policy, n = 8, request = {}, extract }: Sampling): object {
  const { problem: _, prefix: _prefix, n: _n, until: _until, ...checked } = checkRequest({ ...request, problem: 'any' })
  return {
    policy: { id: policy.id, ...(policy as { facts?: object }).facts },
    n,
    request: { ...checked, separator: request.separator ?? policy.separator ?? null },
    ...(extract && { extract: 'own' }),
  }
}

function separatorOf({ separator, sampling }: AnnotateOptions): string {
  return separator ?? sampling?.request?.separator ?? sampling?.policy.separator ?? '\n\n'
}

interface Survey extends Counted {
  readonly solutions: number
}

/** Reads the data once. */
async function look(options: AnnotateOptions): Promise<Survey> {
  const tally = new Tally()
  const progress = { solutions: 0, resumed: 0, failed: 0, rollouts: 0, tokens: 0 }
  let [records, total] = [0, 0]
  for await (const record of recordsOf(options, tally.reject, tally.leaveOut)) {
    records = tally.add(record)
    total += countOf(record, options.sampling?.n)
    if (records % 1000 === 0) options.onProgress?.({ phase: 'read', records, total, ...progress })
  }
  if (records === 0)
    invalidArgument(
      options.problems === undefined ? 'solutions' : 'problems',
      `no row holds a problem or solution: ${tally.why}`,
    )
  return { ...tally.end(), solutions: total }
}

type Annotatable = ProblemRecord | CandidateRecord | LabelRecord

async function* recordsOf(
  { solutions, problems, format, strict, limit, download, signal }: AnnotateOptions,
  onRejected: (row: RejectedRow) => void = () => {},
  onLeftOut: () => void = () => {},
): AsyncGenerator<Annotatable, void, undefined> {
  const source = solutions ?? problems!
  if (typeof source !== 'string') {
    yield* source.slice(0, limit)
    return
  }
  const records: AsyncIterable<DataRecord> = readDataset(source, {
    onRejected,
    onLeftOut,
    ...(problems !== undefined && { kind: 'problem' as const }),
    ...(format !== undefined && { format }),
    ...(strict !== undefined && { strict }),
    ...(limit !== undefined && { limit }),
    ...(download && { download }),
    ...(signal && { signal }),
  })
  for await (const record of records) {
    if (record.kind === 'code' || (record.kind === 'problem') !== (problems !== undefined)) {
      const instead = record.kind === 'problem' ? 'pass them as problems' : 'those are of kind labels or candidates'
      invalidArgument('solutions', `${source} holds records of kind ${record.kind}, not solutions; ${instead}`, source)
    }
    yield record
  }
}

/** A record whose solutions are to be judged. */
interface Task {
  readonly record: Annotatable
  readonly number: number
  /** The number of its first solution among all. */
  readonly from: number
}

/** A solution that is to be judged, by its number among all. */
interface Open {
  readonly number: number
  readonly solution: Labelled
}

/** The work of one run. */
export class Job {
  /** Records of the data, and their solutions. */
  readonly records: number
  readonly solutions: number
  readonly #options: AnnotateOptions
  readonly #folder: RunFolder
  readonly #journal: Journal
  readonly #survey: Survey
  readonly #stop = new AbortController()
  #usage: Usage | undefined
  #done = 0
  #resumed = 0
  #failed = 0
  #rollouts = 0
  #tokens = 0

  constructor(options: AnnotateOptions, folder: RunFolder, journal: Journal, survey: Survey) {
    this.records = survey.records
    this.solutions = survey.solutions
    this.#options = options
    this.#folder = folder
    this.#journal = journal
    this.#survey = survey
    this.#usage = options.judge.usage?.()
    setMaxListeners(0, this.#stop.signal)
  }

  /** Where the run is. */
  get path(): string {
    return this.#folder.path
  }

  /** Tokens that were sampled, or read by PRMs, in this process. */
  get tokens(): number {
    return this.#tokens
  }

  /** Judges all that the journal has no judgement of. @param only records, by number */
  async work(only?: ReadonlySet<number>): Promise<void> {
    const { signal, concurrency = 8 } = this.#options
    const release = onAbort(signal, reason => this.#stop.abort(reason))
    const tasks = this.#open(only)
    const worker = async (): Promise<void> => {
      for (let task = await tasks.next(); !task.done; task = await tasks.next()) {
        await this.#judge(task.value)
        this.#report('judge')
      }
    }
    this.#done = this.#resumed = 0
    this.#report('judge')
    const workers = Array.from({ length: concurrency }, worker)
    try {
      await Promise.all(workers)
    } catch (error) {
      this.#stop.abort(error)
      // What is judged by now is still written.
      await Promise.allSettled(workers)
      signal?.throwIfAborted()
      throw error
    } finally {
      release()
    }
  }

  /** What the journal holds of a record: its solutions, and the line about each; null in place of what is not there. */
  async *found(only?: ReadonlySet<number>): AsyncGenerator<Entry, void, undefined> {
    for await (const { record, number, from } of this.#tasks(only)) {
      const written = record.kind === 'problem' ? await this.#journal.line('record', number) : null
      const solutions = this.#solutions(record, written && 'solutions' in written ? written.solutions : [])
      const lines = []
      for (const index of solutions.keys()) lines.push(await this.#journal.line('solution', from + index))
      yield { record, written, solutions, lines }
    }
  }

  /** Writes annotations.jsonl and the summary. */
  async finish(): Promise<AnnotateSummary> {
    this.#report('write')
    const counts = new Counts()
    const { judge } = this.#options
    const lines = async function* (job: Job): AsyncGenerator<string, void, undefined> {
      for await (const { record, written, solutions, lines } of job.found()) {
        counts.addRecord(record.id, written)
        for (const [index, solution] of solutions.entries()) {
          const line = lines[index]!
          if (solution.steps.length === 0) {
            counts.addEmpty()
            continue
          }
          if (line === null) throw new SurefootError('ERR_INTERNAL', `solution ${solution.id} was not judged`)
          counts.add(line)
          yield `${JSON.stringify(annotationOf(solution, judge, line))}\n`
        }
      }
    }
    await writeWhole(join(this.#folder.path, ANNOTATIONS), lines(this))
    const { rejected, leftOut, examples, records } = this.#survey
    const { versions, configuration, hash } = this.#folder.header
    const summary: AnnotateSummary = {
      schema: 1,
      kind: 'annotate',
      made: new Date().toISOString(),
      versions,
      configuration,
      hash,
      rows: { rejected, leftOut, examples },
      records,
      ...counts.found,
    }
    await this.#folder.writeSummary(summary)
    return summary
  }

  async *#tasks(only?: ReadonlySet<number>): AsyncGenerator<Task, void, undefined> {
    let [number, from] = [0, 0]
    for await (const record of recordsOf(this.#options)) {
      this.#stop.signal.throwIfAborted()
      if (only?.has(number) ?? true) yield { record, number, from }
      number++
      from += countOf(record, this.#options.sampling?.n)
    }
  }

  /** The solutions that are not judged yet; those of problems are sampled some records ahead. */
  async *#open(only: ReadonlySet<number> | undefined): AsyncGenerator<Open, void, undefined> {
    const { concurrency = 8 } = this.#options
    for await (const open of inOrder(this.#tasks(only), concurrency, task => this.#openOf(task))) yield* open
  }

  async #openOf({ record, number, from }: Task): Promise<Open[]> {
    const count = countOf(record, this.#options.sampling?.n)
    const numbers = Array.from({ length: count }, (_, index) => from + index)
    const left = numbers.filter(solution => !this.#journal.has('solution', solution))
    this.#done += count - left.length
    this.#resumed += count - left.length
    if (left.length === 0) return []
    const texts = record.kind === 'problem' ? await this.#write(record, number) : []
    if (texts === null) return []
    const solutions = this.#solutions(record, texts)
    return left.flatMap(solution => {
      const found = solutions[solution - from]!
      if (found.steps.length > 0) return { number: solution, solution: found }
      this.#done++
      return []
    })
  }

  #solutions(record: Annotatable, texts: readonly SampledText[]): readonly Labelled[] {
    const { sampling } = this.#options
    return solutionsOf(record, texts, separatorOf(this.#options), sampling)
  }

  /** The sampled solutions of a problem; null when that failed. */
  async #write(record: ProblemRecord, number: number): Promise<readonly SampledText[] | null> {
    const there = await this.#journal.line('record', number)
    if (there && 'solutions' in there) return there.solutions
    const { policy, request, n = 8 } = this.#options.sampling!
    try {
      const samples = await policy.sample({ ...request, problem: record.problem, n }, { signal: this.#stop.signal })
      const solutions = samples.map(({ text, ended, tokens }) => ({ text, ended, tokens }))
      for (const { tokens } of solutions) this.#tokens += tokens
      await this.#journal.append({ record: number, id: record.id, solutions })
      return solutions
    } catch (error) {
      await this.#journal.append({ record: number, id: record.id, error: this.#failure(error) })
      return null
    }
  }

  async #judge({ number, solution }: Open): Promise<void> {
    const { judge } = this.#options
    const begun = performance.now()
    const { id } = solution
    try {
      const judgement = await judge.judge(solution, { signal: this.#stop.signal })
      const ms = Math.round(performance.now() - begun)
      const { cost, sampled = cost } = judgement
      const usage = this.#read()
      await this.#journal.append({ solution: number, id, judgement, ms, ...(usage && { usage }) })
      this.#done++
      this.#rollouts += sampled.rollouts
      this.#tokens += sampled.policyTokens + cost.prmTokens
    } catch (error) {
      await this.#journal.append({ solution: number, id, error: this.#failure(error) })
    }
  }

  /** The failure of one problem or solution. @throws what ends the run */
  #failure(error: unknown): Failure {
    this.#stop.signal.throwIfAborted()
    if (!SurefootError.isInstance(error) || FATAL.includes(error.code)) throw error
    this.#failed++
    return { code: error.code, message: error.message }
  }

  /** What the judge's models have read since the last time. */
  #read(): Usage | undefined {
    const [before, now] = [this.#usage, this.#options.judge.usage?.()]
    this.#usage = now
    if (!before || !now) return undefined
    return { computed: now.computed - before.computed, reused: now.reused - before.reused }
  }

  #report(phase: AnnotateProgress['phase']): void {
    this.#options.onProgress?.({
      phase,
      records: this.records,
      solutions: this.#done,
      total: this.solutions,
      resumed: this.#resumed,
      failed: this.#failed,
      rollouts: this.#rollouts,
      tokens: this.#tokens,
    })
  }
}

/** What a run holds of one record. */
export interface Entry {
  readonly record: Annotatable
  /** Of a problem: its solutions, or why there are none. */
  readonly written: Written | Failed | null
  readonly solutions: readonly Labelled[]
  readonly lines: readonly (Judged | Failed | null)[]
}
