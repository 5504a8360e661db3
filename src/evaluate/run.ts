import { setMaxListeners } from 'node:events'
import { basename, resolve } from 'node:path'
import type { Aggregate } from '../aggregate.ts'
import { type Download, readDataset } from '../datasets/index.ts'
import { rowText } from '../datasets/read.ts'
import type { CandidateRecord, LabelRecord, RejectedRow } from '../datasets/records.ts'
import { type Counted, Tally } from '../datasets/tally.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import { RunFolder, type RunHeader, readLines } from '../journal/run-folder.ts'
import { inOrder } from '../ordered.ts'
import type { StepScorer } from '../scorer.ts'
import {
  type CandidateSurvey,
  type EvaluatedProblem,
  evaluateCandidates,
  type Flaw,
  flawOf,
  Surveyor,
} from './candidates.ts'
import { evaluateLabels, flawOfLabels } from './labels.ts'
import { Run, type RunProgress } from './live.ts'
import { type Plan, planFor, splitOf } from './plan.ts'
import { summarise } from './summarise.ts'
import type { ProblemResult, Summary } from './summary.ts'
import { versions } from './versions.ts'

/** Records to evaluate: a file, a folder or a hub id; or records at hand. They are read twice. */
export type Source<T> = string | readonly T[] | (() => AsyncIterable<T>)

export interface EvaluateOptions {
  /** Problems with sampled solutions: how often does each rule choose a right one? Either this or `labels`. */
  readonly candidates?: Source<CandidateRecord>
  /** Solutions with judged steps: how well does the PRM find the wrong ones? Needs `prm`. */
  readonly labels?: Source<LabelRecord>
  /** Scores the steps. Without it candidates are ranked by the scores recorded with them; with it those are not used. */
  readonly prm?: StepScorer
  /** What the report calls the PRM. */
  readonly prmName?: string
  /** The run's folder; it is made. */
  readonly run: string
  /** @default the last part of the folder's path */
  readonly name?: string
  /** Go on with the run in the folder, if one is there: it must have been begun with the same options and data. */
  readonly resume?: boolean
  /** The dataset's format, where it is not to be recognised. */
  readonly format?: string
  /** Gets the files of a hub id. */
  readonly download?: Download
  /** Fail at the first row that does not fit, instead of counting it. */
  readonly strict?: boolean
  /** Evaluate only the first so many records. */
  readonly limit?: number
  /** Where texts without steps are split. @default the PRM's; without one a blank line */
  readonly split?: string
  /** How step scores become one number: a pair of rules for each. @default all that suit the scores */
  readonly aggregates?: readonly Aggregate[]
  /** A score below it marks a weak step. @default the PRM's; 0.5 for recorded probabilities; none for rewards */
  readonly threshold?: number
  /** Of every random draw. @default 1 */
  readonly seed?: number
  /** Draws of the bootstrap. @default 10000 */
  readonly resamples?: number
  readonly signal?: AbortSignal
}

type AnyRecord = CandidateRecord | LabelRecord
type Report = (progress: RunProgress) => void

/** Labelled solutions that are scored at the same time. */
const WIDTH = 64

/** How many records are read between two reports of progress. */
const STRIDE = 1000

/**
 * Evaluates recorded candidates or labelled steps. Every problem is written to the run folder as soon as it is done, and
 * at the end summary.json; what was done before an abort or a crash is taken over by `resume`.
 *
 * The data is read twice: once to see what is in it, once to work on it. The same data, options and seed give the same
 * summary, but for times.
 *
 * @throws `ERR_INVALID_ARGUMENT` for options that contradict each other, data without a sound row, a folder that holds
 *   another run; `ERR_IO`; what the PRM throws; the signal's reason
 */
export function evaluate(options: EvaluateOptions): Run<Summary> {
  return new Run(async report => {
    checkOptions(options)
    const { run, resume = false, name = basename(resolve(run)), signal, seed = 1, resamples = 10_000 } = options
    signal?.throwIfAborted()
    const survey = await look(options, report)
    const plan = planFor(options.labels === undefined ? 'candidates' : 'labels', options, survey.candidates)
    const configuration = configurationOf(options, survey, plan, { seed, resamples })
    await using folder = await RunFolder.open(run, { configuration, versions: versions(), resume })
    const worked = await work(options, plan, folder, survey.records, report)
    report({ ...worked, phase: 'summarise' })
    const summary = await summarise(readLines<ProblemResult>(run), {
      name,
      made: new Date().toISOString(),
      versions: folder.header.versions,
      configuration,
      hash: folder.header.hash,
      rows: { rejected: survey.rejected, leftOut: survey.leftOut, examples: survey.examples },
      plan,
      seed,
      resamples,
      warnings: [...plan.warnings, ...versionWarnings(folder.header)],
      ...(signal && { signal }),
    })
    signal?.throwIfAborted()
    await folder.writeSummary(summary)
    return summary
  })
}

function checkOptions({ candidates, labels, prm, run, threshold, split, ...options }: EvaluateOptions): void {
  if ((candidates === undefined) === (labels === undefined)) {
    invalidArgument('candidates', 'needs either candidates or labels, and not both')
  }
  if (labels !== undefined && prm === undefined) {
    invalidArgument('prm', 'is missing: labelled steps need a PRM to be held against')
  }
  if (typeof run !== 'string' || run === '') invalidArgument('run', 'must be the path of a folder', run)
  if (threshold !== undefined && !Number.isFinite(threshold)) {
    invalidArgument('threshold', `must be a number, got ${threshold}`, threshold)
  }
  if (split === '') invalidArgument('split', 'must not be empty', split)
  for (const [name, least] of [
    ['limit', 1],
    ['resamples', 1],
    ['seed', 0],
  ] as const) {
    const value = options[name]
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= least)) {
      invalidArgument(name, `must be a whole number from ${least}, got ${value}`, value)
    }
  }
}

/** All that decides what the run finds. */
function configurationOf(
  { candidates, labels, prm, prmName, limit, format, strict }: EvaluateOptions,
  { records, sha256 }: Survey,
  plan: Plan,
  { seed, resamples }: { seed: number; resamples: number },
): Record<string, unknown> {
  const source = candidates ?? labels
  return {
    kind: plan.kind,
    data: {
      source: typeof source === 'string' ? basename(source) : null,
      records,
      sha256,
      limit: limit ?? null,
      format: format ?? null,
      strict: strict ?? false,
    },
    prm: prm ? { name: prmName ?? null, ...prm.facts } : null,
    scores: plan.steps,
    rewards: plan.reward,
    split: plan.split,
    aggregates: plan.steps === null ? null : plan.aggregates,
    threshold: plan.threshold,
    seed,
    resamples,
  }
}

/** What the first reading found. */
interface Survey extends Counted {
  readonly candidates: CandidateSurvey
}

/** Reads the data once. */
async function look(options: EvaluateOptions, report: Report): Promise<Survey> {
  const surveyor = new Surveyor()
  const tally = new Tally()
  let records = 0
  for await (const record of soundRecords(options, tally.reject, tally.leaveOut)) {
    records = tally.add(record)
    if (record.kind === 'candidates') surveyor.add(record)
    if (records % STRIDE === 0) report({ phase: 'read', done: records, total: null, resumed: 0, tokens: 0 })
  }
  if (records === 0) {
    invalidArgument(options.labels === undefined ? 'candidates' : 'labels', `no row can be evaluated: ${tally.why}`)
  }
  return { ...tally.end(), candidates: surveyor.survey }
}

/** The records of the source that can be evaluated, in order. */
async function* soundRecords(
  options: EvaluateOptions,
  reject: (row: RejectedRow) => void,
  leaveOut: () => void = () => {},
): AsyncGenerator<AnyRecord, void, undefined> {
  const { signal, strict = false, limit = Number.POSITIVE_INFINITY } = options
  const plan = { scorer: options.prm ?? null, split: splitOf(options) }
  let row = 0
  for await (const record of records(options, reject, leaveOut)) {
    signal?.throwIfAborted()
    if (++row > limit) return
    const flaw = record.kind === 'candidates' ? flawOf(record, plan) : flawOfLabels(record)
    if (flaw === null) {
      yield record
      continue
    }
    const rejected = asRow(options, record, row, flaw)
    if (strict) invalidArgument(flaw.field, rowText(rejected))
    reject(rejected)
  }
}

function records(
  options: EvaluateOptions,
  onRejected: (row: RejectedRow) => void,
  onLeftOut: () => void,
): AsyncIterable<AnyRecord> | Iterable<AnyRecord> {
  const { candidates, labels, format, strict, limit, download, signal } = options
  const source: Source<AnyRecord> = (candidates ?? labels)!
  if (typeof source === 'function') return source()
  if (typeof source !== 'string') return source
  return readDataset(source, {
    kind: candidates === undefined ? 'labels' : 'candidates',
    onRejected,
    onLeftOut,
    ...(format !== undefined && { format }),
    ...(strict !== undefined && { strict }),
    ...(limit !== undefined && { limit }),
    ...(download && { download }),
    ...(signal && { signal }),
  })
}

function asRow({ candidates, labels }: EvaluateOptions, record: AnyRecord, row: number, flaw: Flaw): RejectedRow {
  const source = candidates ?? labels
  return { file: `${typeof source === 'string' ? source : 'records'} (${record.id})`, line: row, ...flaw }
}

/** Works on every record that the run does not hold yet. */
async function work(
  options: EvaluateOptions,
  plan: Plan,
  folder: RunFolder,
  total: number,
  report: Report,
): Promise<RunProgress> {
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  setMaxListeners(0, signal)
  const progress = { phase: 'work' as const, done: 0, total, resumed: 0, tokens: 0 }
  const left = leftOver(options, folder.path, () => {
    progress.done = ++progress.resumed
    if (progress.resumed % STRIDE === 0) report({ ...progress })
  })
  let isCold = plan.kind === 'candidates' && plan.scorer !== null
  const task = async (record: AnyRecord): Promise<EvaluatedProblem> => {
    if (record.kind === 'labels') return evaluateLabels(record, plan.scorer!, signal)
    // Times are those of a warm model: its first candidate is scored once more than needed.
    if (isCold) await evaluateCandidates({ ...record, candidates: record.candidates.slice(0, 1) }, plan, signal)
    isCold = false
    return evaluateCandidates(record, plan, signal)
  }
  // The candidates of one problem are scored together and by themselves, so that their time is their own.
  const width = plan.kind === 'labels' ? WIDTH : 1
  try {
    for await (const { problem, failures } of inOrder(left, width, task, reason => stop.abort(reason))) {
      options.signal?.throwIfAborted()
      if (options.strict && failures[0]) throw failures[0]
      await folder.append(problem)
      progress.done++
      progress.tokens += problem.candidates.reduce((sum, { prmTokens }) => sum + (prmTokens ?? 0), 0)
      report({ ...progress })
    }
    return progress
  } catch (error) {
    options.signal?.throwIfAborted()
    throw error
  }
}

/** The sound records behind those that the run holds already. */
async function* leftOver(
  options: EvaluateOptions,
  run: string,
  onResumed: () => void,
): AsyncGenerator<AnyRecord, void, undefined> {
  const lines = readLines<ProblemResult>(run)
  let line = await lines.next()
  for await (const record of soundRecords(options, () => {})) {
    if (line.done) {
      yield record
      continue
    }
    if (line.value.id !== record.id) {
      throw new SurefootError(
        'ERR_IO',
        `${run} holds ${line.value.id} where the data has ${record.id}; it was edited`,
        {
          data: { path: run, found: line.value.id, expected: record.id },
        },
      )
    }
    onResumed()
    line = await lines.next()
  }
}

function versionWarnings({ versions: begun }: RunHeader): string[] {
  const now = versions()
  const changed = Object.keys(now).filter(key => begun[key] !== now[key])
  return changed.map(key => `The run was begun with ${key} ${begun[key]} and finished with ${now[key]}.`)
}
