import { setMaxListeners } from 'node:events'
import { basename, join } from 'node:path'
import { onAbort } from '../abort.ts'
import { type Download, readDataset } from '../datasets/index.ts'
import type { ProblemRecord, RejectedRow } from '../datasets/records.ts'
import { type Counted, Tally } from '../datasets/tally.ts'
import { invalidArgument, SurefootError, type SurefootErrorCode } from '../errors.ts'
import { versions } from '../evaluate/versions.ts'
import { checkRequest, type Generator, type Sample, type SampleRequest } from '../generator/generator.ts'
import { RunFolder, writeWhole } from '../journal/run-folder.ts'
import { type Failure, Journal, type SampledCandidate } from './journal.ts'

export interface GenerateOptions {
  /** A file, a folder or a hub id; or records at hand. They are read three times. */
  readonly problems: string | readonly ProblemRecord[]
  readonly policy: Generator
  /** Candidates of each problem. @default 8 */
  readonly n?: number
  /** How they are sampled. */
  readonly request?: Omit<SampleRequest, 'problem' | 'prefix' | 'n' | 'path' | 'logprobs'>
  /** What else made the policy, such as its template: a part of the configuration. */
  readonly setup?: Readonly<Record<string, unknown>>
  /** The run's folder; it is made. */
  readonly run: string
  /** Go on with the run in the folder, if one is there: it must have been begun with the same options and data. */
  readonly resume?: boolean
  /** Requests under way at the same time. @default 8 */
  readonly concurrency?: number
  /** Only the first so many problems. */
  readonly limit?: number
  /** The dataset's format, where it is not to be recognised. */
  readonly format?: string
  /** Fail at the first row that does not fit, instead of counting it. */
  readonly strict?: boolean
  /** Gets the files of a hub id. */
  readonly download?: Download
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: GenerateProgress) => void
}

/** How far the work is. */
export interface GenerateProgress {
  /** `read`: the data is looked through; `write`: candidates.jsonl is written. */
  readonly phase: 'read' | 'sample' | 'write'
  readonly problems: number
  /** Problems that failed so far. */
  readonly failed: number
  /** Candidates so far, those of an earlier run among them, and in all. */
  readonly candidates: number
  readonly total: number
  /** Candidates that are taken over from the run that is resumed. */
  readonly resumed: number
  /** Tokens that the policy wrote in this process. */
  readonly tokens: number
}

/** What summary.json of the run holds. */
export interface GenerateSummary {
  readonly schema: 1
  readonly kind: 'generate'
  readonly made: string
  readonly versions: Readonly<Record<string, string>>
  readonly configuration: Readonly<Record<string, unknown>>
  readonly hash: string
  readonly rows: { readonly rejected: number; readonly leftOut: number; readonly examples: readonly RejectedRow[] }
  readonly problems: number
  /** Problems whose candidates are not complete. */
  readonly failed: number
  /** The first of them. */
  readonly failures: readonly ({ readonly id: string } & Failure)[]
  readonly candidates: number
  /** Candidates by why they ended; `unknown` where the policy cannot tell. */
  readonly ended: Readonly<Record<string, number>>
  /** Tokens that the policy wrote, and that it read before. */
  readonly tokens: number
  readonly promptTokens: number
  /** Candidates whose number of tokens is a guess or a share. */
  readonly estimated: number
}

/** Candidates that one request asks for: a killed process loses at most as many of each request under way. */
const TOGETHER = 8

/** Failures that the summary shows. */
const EXAMPLES = 10

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
 * Samples candidates for every problem. Each request is written to the run folder as soon as it is answered; what was done
 * before an abort or a crash is taken over by `resume`, and a problem that failed is tried again. At the end
 * candidates.jsonl holds one `CandidateRecord` a problem, in the order of the data, and summary.json the counts. A problem
 * that failed is a line without candidates, with its `error`.
 *
 * With a native policy the same data, options and seed give the same candidates, but for times.
 *
 * @throws `ERR_INVALID_ARGUMENT` for options that are wrong, data without a sound row, a folder that holds another run;
 *   `ERR_CAPABILITY` for what the policy cannot do; `ERR_IO`; the signal's reason
 */
export async function generate(options: GenerateOptions): Promise<GenerateSummary> {
  const { policy, run, resume = false, signal, n = 8 } = options
  checkOptions(options)
  signal?.throwIfAborted()
  await policy.ready?.({ ...(signal && { signal }) })
  const survey = await look(options)
  const together = policy.capabilities.n ? Math.min(n, TOGETHER) : 1
  const configuration = configurationOf(options, survey, n, together)
  await using folder = await RunFolder.open(run, { configuration, versions: versions(), resume })
  await using journal = await Journal.open(folder)
  const job = new Job(options, journal, { problems: survey.records, n, together })
  await job.work()
  const found = await job.write(join(run, CANDIDATES))
  const { rejected, leftOut, examples } = survey
  const summary: GenerateSummary = {
    schema: 1,
    kind: 'generate',
    made: new Date().toISOString(),
    versions: folder.header.versions,
    configuration,
    hash: folder.header.hash,
    rows: { rejected, leftOut, examples },
    problems: survey.records,
    ...found,
  }
  await folder.writeSummary(summary)
  return summary
}

/** The file of the run that `surefoot eval --candidates` reads. */
export const CANDIDATES = 'candidates.jsonl'

function checkOptions({ run, request = {}, n = 8, concurrency = 8, limit }: GenerateOptions): void {
  if (typeof run !== 'string' || run === '') invalidArgument('run', 'must be the path of a folder', run)
  checkRequest({ ...request, problem: 'any', n })
  for (const [name, value] of Object.entries({ concurrency, limit: limit ?? 1 })) {
    if (!(Number.isSafeInteger(value) && value >= 1)) {
      invalidArgument(name, `must be a whole number from 1, got ${value}`, value)
    }
  }
}

/** All that decides what is sampled; how many requests are under way is none of it. */
function configurationOf(
  { problems, policy, setup, request = {}, limit, format, strict }: GenerateOptions,
  { records: count, sha256 }: Counted,
  n: number,
  together: number,
): Record<string, unknown> {
  const { problem: _, prefix: _prefix, n: _n, separator, ...checked } = checkRequest({ ...request, problem: 'any' })
  return {
    kind: 'generate',
    data: {
      source: typeof problems === 'string' ? basename(problems) : null,
      problems: count,
      sha256,
      limit: limit ?? null,
      format: format ?? null,
      strict: strict ?? false,
    },
    policy: { id: policy.id, ...(policy as { facts?: object }).facts, ...setup },
    n,
    together,
    request: { ...checked, separator: request.separator === undefined ? null : separator },
  }
}

/** Reads the data once. */
async function look(options: GenerateOptions): Promise<Counted> {
  const tally = new Tally()
  const progress = { failed: 0, candidates: 0, total: 0, resumed: 0, tokens: 0 }
  let problems = 0
  for await (const record of records(options, tally.reject, tally.leaveOut)) {
    problems = tally.add(record)
    if (problems % 1000 === 0) options.onProgress?.({ phase: 'read', problems, ...progress })
  }
  if (problems === 0) invalidArgument('problems', `no row holds a problem: ${tally.why}`)
  return tally.end()
}

async function* records(
  { problems, format, strict, limit, download, signal }: GenerateOptions,
  onRejected: (row: RejectedRow) => void = () => {},
  onLeftOut: () => void = () => {},
): AsyncGenerator<ProblemRecord, void, undefined> {
  if (typeof problems !== 'string') {
    yield* problems.slice(0, limit)
    return
  }
  yield* readDataset(problems, {
    kind: 'problem',
    onRejected,
    onLeftOut,
    ...(format !== undefined && { format }),
    ...(strict !== undefined && { strict }),
    ...(limit !== undefined && { limit }),
    ...(download && { download }),
    ...(signal && { signal }),
  })
}

/** A request that is to be made. */
interface Task {
  readonly record: ProblemRecord
  readonly problem: number
  /** Its candidates are these and those behind. */
  readonly from: number
  readonly count: number
}

class Job {
  readonly #options: GenerateOptions
  readonly #journal: Journal
  readonly #size: { readonly problems: number; readonly n: number; readonly together: number }
  readonly #stop = new AbortController()
  /** Problems that failed in this process. */
  readonly #failed = new Set<number>()
  #done = 0
  #resumed = 0
  #tokens = 0

  constructor(
    options: GenerateOptions,
    journal: Journal,
    size: { readonly problems: number; readonly n: number; readonly together: number },
  ) {
    this.#options = options
    this.#journal = journal
    this.#size = size
    setMaxListeners(0, this.#stop.signal)
  }

  /** Makes every request that the journal has no answer to. */
  async work(): Promise<void> {
    const { signal, concurrency = 8 } = this.#options
    const release = onAbort(signal, reason => this.#stop.abort(reason))
    const tasks = this.#tasks()
    const worker = async (): Promise<void> => {
      for (let task = await tasks.next(); !task.done; task = await tasks.next()) {
        await this.#do(task.value)
        this.#report('sample')
      }
    }
    this.#report('sample')
    const workers = Array.from({ length: concurrency }, worker)
    try {
      await Promise.all(workers)
    } catch (error) {
      this.#stop.abort(error)
      // What is answered by now is still written.
      await Promise.allSettled(workers)
      signal?.throwIfAborted()
      throw error
    } finally {
      release()
    }
  }

  async *#tasks(): AsyncGenerator<Task, void, undefined> {
    const { n, together } = this.#size
    let problem = 0
    for await (const record of records(this.#options)) {
      for (let from = 0; from < n; from += together) {
        this.#stop.signal.throwIfAborted()
        const count = Math.min(together, n - from)
        if (this.#journal.has(problem, from)) {
          this.#resumed += count
          this.#done += count
        } else if (!this.#failed.has(problem)) {
          yield { record, problem, from, count }
        }
      }
      problem++
    }
  }

  async #do({ record, problem, from, count }: Task): Promise<void> {
    const { policy, request } = this.#options
    const path = from === 0 ? '' : String(from)
    const begun = performance.now()
    let samples: Sample[]
    try {
      samples = await policy.sample(
        { ...request, problem: record.problem, n: count, path },
        { signal: this.#stop.signal },
      )
    } catch (error) {
      this.#stop.signal.throwIfAborted()
      if (!SurefootError.isInstance(error) || FATAL.includes(error.code)) throw error
      this.#failed.add(problem)
      const { code, message } = error
      await this.#journal.append({ problem, id: record.id, error: { code, message } })
      return
    }
    const ms = Math.round((performance.now() - begun) / count)
    const candidates = samples.map(sample => candidateOf(sample, ms, policy.id))
    // A policy that reads the prompt once for all samples says so by its capability.
    const promptTokens = policy.capabilities.n ? samples[0]!.promptTokens : sum(samples.map(s => s.promptTokens))
    await this.#journal.append({ problem, id: record.id, from, candidates, promptTokens })
    this.#done += count
    this.#tokens += sum(samples.map(({ tokens }) => tokens))
  }

  /** Writes the candidates in the order of the data and counts them. */
  async write(
    path: string,
  ): Promise<
    Omit<GenerateSummary, 'schema' | 'kind' | 'made' | 'versions' | 'configuration' | 'hash' | 'rows' | 'problems'>
  > {
    this.#report('write')
    const ended: Record<string, number> = {}
    const failures: ({ id: string } & Failure)[] = []
    const counts = { failed: 0, candidates: 0, tokens: 0, promptTokens: 0, estimated: 0 }
    const { n } = this.#size
    const lines = async function* (job: Job): AsyncGenerator<string, void, undefined> {
      let problem = 0
      for await (const { id, problem: text, answer } of records(job.#options)) {
        const answers = await job.#journal.answers(problem)
        const candidates = answers.flatMap(answered => answered.candidates)
        counts.promptTokens += sum(answers.map(({ promptTokens }) => promptTokens))
        counts.candidates += candidates.length
        for (const candidate of candidates) {
          const end = candidate.ended ?? 'unknown'
          ended[end] = (ended[end] ?? 0) + 1
          counts.tokens += candidate.tokens ?? 0
          if (candidate.estimated) counts.estimated++
        }
        if (candidates.length === n) {
          yield `${JSON.stringify({ id, problem: text, answer, candidates })}\n`
        } else {
          const error = job.#journal.failureOf(problem)!
          counts.failed++
          if (failures.length < EXAMPLES) failures.push({ id, ...error })
          yield `${JSON.stringify({ id, problem: text, answer, candidates: [], error })}\n`
        }
        problem++
      }
    }
    await writeWhole(path, lines(this))
    return { ...counts, failures, ended }
  }

  #report(phase: GenerateProgress['phase']): void {
    const { problems, n } = this.#size
    this.#options.onProgress?.({
      phase,
      problems,
      failed: this.#failed.size,
      candidates: this.#done,
      total: problems * n,
      resumed: this.#resumed,
      tokens: this.#tokens,
    })
  }
}

function candidateOf({ text, ended, tokens, estimated }: Sample, ms: number, generator: string): SampledCandidate {
  return { text, tokens, ms, generator, ended, ...(estimated && { estimated }) }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
