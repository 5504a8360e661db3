import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readDataset } from '../datasets/read.ts'
import type { LabelRecord, RejectedRow } from '../datasets/records.ts'
import { type Download, filesOf } from '../datasets/source.ts'
import { Tally } from '../datasets/tally.ts'
import { writeLines } from '../datasets/write.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import { versions } from '../evaluate/versions.ts'
import { resolveDataset } from '../hub/index.ts'
import { hashConfiguration } from '../journal/configuration.ts'
import { Lock } from '../journal/lock.ts'
import { writeWhole } from '../journal/run-folder.ts'
import type { Annotation } from './annotation.ts'
import { Column, type Key, KeyTable, keyOf, mixed, normalisedSolution } from './collect-keys.ts'
import {
  Choice,
  checkQuotas,
  type Dimension,
  dimensions,
  type Kinds,
  type Quota,
  type QuotaResult,
} from './collect-quotas.ts'
import { type CollectSource, type NamedSource, namedSources, ProblemFacts, solutionsOf } from './collect-sources.ts'
import { MOST_SETS, TestProblems } from './contamination.ts'

export interface CollectOptions {
  /** Read twice, in this order: of equal solutions the first stays. */
  readonly sources: readonly (string | CollectSource)[]
  /** Data that says what the sources do not say of a problem: answer, subject, level; of candidates, the pass rate. */
  readonly problems?: readonly string[]
  /** Test sets, at most 32: what overlaps with their problems is not kept. */
  readonly tests?: readonly (string | CollectSource)[]
  /** Words in a row that make an overlap. @default 13 (Brown et al., arXiv 2005.14165) */
  readonly ngram?: number
  readonly quotas?: readonly Quota[]
  /** Borders of the pass rate's bins, between 0 and 1, rising. @default [0.2, 0.4, 0.6, 0.8] */
  readonly bins?: readonly number[]
  /** Decides which solutions a quota keeps. @default 0 */
  readonly seed?: number
  /** The folder for annotations.jsonl and summary.json; it is made. */
  readonly run: string
  /** Only the first so many records of each source. */
  readonly limit?: number
  /** Fail at the first row that does not fit, instead of counting it. */
  readonly strict?: boolean
  /** Gets the files of a hub id. */
  readonly download?: Download
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: CollectProgress) => void
}

export interface CollectProgress {
  /** `problems` and `tests` are read, the sources are looked through, and what is kept of them is written. */
  readonly phase: 'problems' | 'tests' | 'read' | 'write'
  /** Records so far in this phase. */
  readonly records: number
  /** How much of the phase is done, 0 to 1; by the size of the sources while they are read. */
  readonly share: number
}

/** What became of the solutions of a source, or of all. */
export interface CollectCounts {
  readonly read: number
  /** Of the solutions read: with a text that had come before, and so many of them with other labels than it had. */
  readonly duplicates: number
  readonly contradictions: number
  /** Overlapping with a test set. */
  readonly contaminated: number
  /** For which a quota had no room. */
  readonly overQuota: number
  readonly kept: number
}

export interface CollectedSource extends CollectCounts {
  readonly name: string
  readonly source: string
  /** Rows that do not fit their format. */
  readonly rejected: number
  readonly examples: readonly RejectedRow[]
  /** Records that make no solution, by why. */
  readonly leftOut: Readonly<Record<string, number>>
  /** Of all solutions read. */
  readonly sha256: string
}

export interface TestSetResult {
  readonly name: string
  readonly source: string
  readonly problems: number
  /** Rows that do not fit their format. */
  readonly rejected: number
  /** Of these: with fewer words than a gram, so that only the same problem overlaps. */
  readonly short: number
  /** Solutions that overlap with it; one may overlap with several sets. */
  readonly contaminated: number
  readonly examples: readonly { readonly id: string; readonly words: string }[]
}

/** What summary.json holds. */
export interface CollectSummary extends CollectCounts {
  readonly schema: 1
  readonly kind: 'collect'
  readonly made: string
  readonly versions: Readonly<Record<string, string>>
  readonly configuration: Readonly<Record<string, unknown>>
  /** Of the configuration. */
  readonly hash: string
  /** Of annotations.jsonl. */
  readonly sha256: string
  /** Kept solutions without any label. */
  readonly unlabelled: number
  readonly sources: readonly CollectedSource[]
  readonly tests: readonly TestSetResult[]
  /** What is known of problems from elsewhere: records read, rows that do not fit, different problems. */
  readonly problems: { readonly records: number; readonly rejected: number; readonly different: number }
  readonly quotas: readonly QuotaResult[]
  /** Kept solutions by the values of each dimension. */
  readonly by: Readonly<Record<Dimension, Readonly<Record<string, number>>>>
}

/** The file of solutions. */
export const ANNOTATIONS = 'annotations.jsonl'

/** Examples for each test set. */
const EXAMPLES = 10

/** Values of a dimension that the summary counts one by one. */
const MOST_VALUES = 1000

/** What became of a solution. */
const [KEPT, DUPLICATE, CONTAMINATED, OVER_QUOTA] = [0, 1, 2, 3]

/**
 * Joins sources into one stream of solutions, annotations.jsonl: without those whose text came before, those that overlap
 * with test sets, and those for which the quotas have no room. All that is left away is counted in summary.json.
 *
 * Sources are read twice, a row at a time; of a solution at most about 100 bytes are kept between the readings. Both files appear whole when
 * they are done: a run takes minutes and leaves nothing behind when it is ended, so it is begun again, not resumed.
 *
 * @throws `ERR_INVALID_ARGUMENT` for options that are wrong, data without a sound row, and a folder that holds annotations;
 *   what reading throws; `ERR_IO`, also when a source changes between the readings; the signal's reason
 */
export async function collect(options: CollectOptions): Promise<CollectSummary> {
  const plan = planOf(options)
  const { run } = options
  await mkdir(run, { recursive: true }).catch(error => {
    throw new SurefootError('ERR_IO', `${run}: ${error.message}`, { data: { path: run }, cause: error })
  })
  const lock = await Lock.take(run)
  try {
    const path = join(run, ANNOTATIONS)
    if (existsSync(path)) invalidArgument('run', `${run} holds annotations already; name another folder`, run)
    await removeTorn(run)
    return await new Collection(plan).into(run)
  } finally {
    await lock.release()
  }
}

/** What a killed process left. */
async function removeTorn(run: string): Promise<void> {
  const torn = (await readdir(run)).filter(name => /^(annotations\.jsonl|summary\.json)\.\d+\.tmp$/.test(name))
  for (const name of torn) await rm(join(run, name), { force: true })
}

interface Plan extends CollectOptions {
  readonly sources: readonly NamedSource[]
  readonly tests: readonly NamedSource[]
  readonly problems: readonly string[]
  readonly ngram: number
  readonly quotas: readonly Quota[]
  readonly bins: readonly number[]
  readonly seed: number
  readonly download: Download
}

function planOf(options: CollectOptions): Plan {
  const { run, ngram = 13, bins = [0.2, 0.4, 0.6, 0.8], seed = 0, quotas = [], problems = [], limit } = options
  if (typeof run !== 'string' || run === '') invalidArgument('run', 'must be the path of a folder', run)
  const sources = namedSources(options.sources)
  const tests = options.tests?.length ? namedSources(options.tests) : []
  if (tests.length > MOST_SETS) invalidArgument('tests', `must be at most ${MOST_SETS}`, tests.length)
  for (const [name, value] of Object.entries({ ngram, limit: limit ?? 1 })) {
    if (!(Number.isSafeInteger(value) && value >= 1)) {
      invalidArgument(name, `must be a whole number from 1, got ${value}`, value)
    }
  }
  if (!Number.isSafeInteger(seed)) invalidArgument('seed', `must be a whole number, got ${seed}`, seed)
  if (!bins.every((bin, index) => bin > (bins[index - 1] ?? 0) && bin < 1)) {
    invalidArgument('bins', 'must rise between 0 and 1', bins)
  }
  checkQuotas(
    quotas,
    sources.map(({ name }) => name),
  )
  const asked = new Map<string, Promise<readonly string[]>>()
  const download: Download = (reference, settings) => {
    const files = asked.get(reference) ?? (options.download ?? resolveDataset)(reference, settings)
    asked.set(reference, files)
    return files
  }
  return { ...options, sources, tests, problems, ngram, quotas, bins, seed, download }
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] }

const nothing = (): Mutable<CollectCounts> => ({
  read: 0,
  duplicates: 0,
  contradictions: 0,
  contaminated: 0,
  overQuota: 0,
  kept: 0,
})

class Collection {
  readonly #plan: Plan
  readonly #facts = new ProblemFacts()
  readonly #tests: TestProblems
  readonly #testResults: (Mutable<TestSetResult> & { examples: { id: string; words: string }[] })[] = []
  readonly #keys = new KeyTable()
  /** Of each solution read. */
  readonly #fates = new Column(length => new Uint8Array(length))
  /** A hash of the labels of each different solution, by its number. */
  readonly #labels = new Column(length => new Uint32Array(length))
  readonly #choice: Choice
  readonly #sources: (Mutable<CollectedSource> & { leftOut: Record<string, number> })[] = []
  readonly #seed: Key
  readonly #by = Object.fromEntries(dimensions.map(name => [name, new Map<string, number>()])) as Record<
    Dimension,
    Map<string, number>
  >
  readonly #problems = { records: 0, rejected: 0 }
  #unlabelled = 0

  constructor(plan: Plan) {
    this.#plan = plan
    this.#tests = new TestProblems(plan.ngram)
    this.#choice = new Choice(plan.quotas)
    this.#seed = keyOf(String(plan.seed))
  }

  async into(run: string): Promise<CollectSummary> {
    await this.#readProblems()
    await this.#readTests()
    await this.#look()
    const quotas = this.#decide()
    const hash = createHash('sha256')
    await writeLines(join(run, ANNOTATIONS), this.#lines(), this.#plan.signal, text => hash.update(text))
    const summary = this.#summary(quotas, hash.digest('hex'))
    await writeWhole(join(run, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`)
    return summary
  }

  async #readProblems(): Promise<void> {
    const { problems } = this.#plan
    const counts = this.#problems
    const onRejected = (): number => counts.rejected++
    for (const [index, source] of problems.entries()) {
      for await (const record of readDataset(source, { ...this.#reading, onRejected })) {
        this.#facts.add(record)
        if (++counts.records % 1000 === 0) this.#report('problems', counts.records, index / problems.length)
      }
    }
  }

  async #readTests(): Promise<void> {
    const { tests } = this.#plan
    let records = 0
    for (const [index, { name, source, format }] of tests.entries()) {
      const result = { name, source, problems: 0, rejected: 0, short: 0, contaminated: 0, examples: [] }
      this.#testResults.push(result)
      const problems = readDataset(source, {
        ...this.#reading,
        onRejected: () => result.rejected++,
        ...(format !== undefined && { format }),
      })
      for await (const { problem } of problems) {
        result.problems++
        if (this.#tests.add(problem, index)) result.short++
        if (++records % 1000 === 0) this.#report('tests', records, index / tests.length)
      }
      if (result.problems === 0) invalidArgument('tests', `${name} holds no problem`, source)
    }
  }

  get #reading(): { strict: boolean; download: Download; signal?: AbortSignal } {
    const { strict = false, download, signal } = this.#plan
    return { strict, download, ...(signal && { signal }) }
  }

  /** Reads all solutions, and notes of each what is needed to choose. */
  async #look(): Promise<void> {
    const { sources, limit } = this.#plan
    const sizes = await Promise.all(sources.map(({ source }) => this.#sizeOf(source)))
    const whole = sizes.reduce((sum, size) => sum + size, 0)
    let [before, share] = [0, 0]
    for (const [index, source] of sources.entries()) {
      const tally = new Tally()
      const leftOut: Record<string, number> = {}
      const counts = nothing()
      const solutions = solutionsOf(source, this.#facts, {
        ...this.#reading,
        onRejected: tally.reject,
        onRead: read => {
          share = (before + read * sizes[index]!) / whole
        },
        onLeftOut: reason => {
          leftOut[reason] = (leftOut[reason] ?? 0) + 1
        },
        ...(limit !== undefined && { limit }),
      })
      for await (const solution of solutions) {
        counts.read = tally.add(solution)
        this.#note(solution, source.name, counts)
        if (this.#fates.length % 1000 === 0) this.#report('read', this.#fates.length, share)
      }
      before += sizes[index]!
      const { sha256, rejected, examples } = tally.end()
      const { name } = source
      this.#sources.push({ name, source: source.source, ...counts, rejected, examples, leftOut, sha256 })
      if (counts.read === 0) invalidArgument('sources', `${name} holds no solution: ${tally.why}`, source.source)
    }
  }

  async #sizeOf(source: string): Promise<number> {
    const { download, signal } = this.#plan
    const files = await filesOf(source, download, signal)
    const sizes = await Promise.all(files.map(async ({ path }) => (await stat(path)).size))
    return sizes.reduce((sum, size) => sum + size, 0)
  }

  #note(solution: LabelRecord, source: string, counts: Mutable<CollectCounts>): void {
    const key = keyOf(normalisedSolution(solution))
    const labels = keyOf(JSON.stringify(solution.labels))[0]!
    const different = this.#keys.size
    const number = this.#keys.add(key[0]!, key[1]!)
    if (number < different) {
      counts.duplicates++
      if (labels !== this.#labels.values[number]) counts.contradictions++
      this.#fates.push(DUPLICATE)
      return
    }
    this.#labels.push(labels)
    const overlap = this.#tests.overlap(solution.problem, solution.steps)
    if (overlap) {
      counts.contaminated++
      this.#fates.push(CONTAMINATED)
      for (const [set, result] of this.#testResults.entries()) {
        if ((overlap.sets & (1 << set)) === 0) continue
        result.contaminated++
        if (result.examples.length < EXAMPLES)
          result.examples.push({ id: `${source}/${solution.id}`, words: overlap.words })
      }
      return
    }
    this.#fates.push(KEPT)
    this.#choice.add(this.#priority(key), this.#kindsOf(solution, source))
  }

  /** A number from 0 to 1 that depends on the text and the seed alone. */
  #priority(key: Key): number {
    const high = mixed(key[2]! ^ this.#seed[0]!)
    const low = mixed(key[3]! ^ this.#seed[1]!)
    return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53
  }

  #kindsOf({ subject, group, level, passRate }: LabelRecord, source: string): Kinds {
    const topic = subject ?? group ?? 'unknown'
    return { source, topic, difficulty: level ?? (passRate === undefined ? 'unknown' : this.#binOf(passRate)) }
  }

  /** `0.2-0.4` holds 0.2 and not 0.4; the last bin holds 1. */
  #binOf(passRate: number): string {
    const borders = [0, ...this.#plan.bins, 1]
    const bin = Math.min(
      borders.findLastIndex(border => border <= passRate),
      borders.length - 2,
    )
    return `${borders[bin]}-${borders[bin + 1]}`
  }

  /** Lets the quotas choose among what is left. */
  #decide(): readonly QuotaResult[] {
    const { kept, quotas } = this.#choice.choose()
    if (kept === null) return quotas
    const fates = this.#fates.values
    let candidate = 0
    for (let index = 0; index < this.#fates.length; index++) {
      if (fates[index] === KEPT && kept[candidate++] === 0) fates[index] = OVER_QUOTA
    }
    return quotas
  }

  /** Reads all solutions again and gives those that are kept. */
  async *#lines(): AsyncGenerator<string, void, undefined> {
    const { sources, limit } = this.#plan
    const [fates, total] = [this.#fates.values, this.#fates.length]
    let [index, different] = [0, 0]
    for (const [number, source] of sources.entries()) {
      const counts = this.#sources[number]!
      const end = index + counts.read
      for await (const solution of solutionsOf(source, this.#facts, {
        ...this.#reading,
        ...(limit !== undefined && { limit }),
      })) {
        if (index === end) throw changed(source)
        const fate = fates[index++]
        const place = fate === DUPLICATE ? -1 : different++
        if (fate === OVER_QUOTA) counts.overQuota++
        if (fate === KEPT) {
          const [high, low] = keyOf(normalisedSolution(solution))
          if (this.#keys.find(high!, low!) !== place) throw changed(source)
          counts.kept++
          yield JSON.stringify(this.#annotation(solution, source.name))
        }
        if (index % 1000 === 0) this.#report('write', index, index / total)
      }
      if (index < end) throw changed(source)
    }
  }

  #annotation(solution: LabelRecord, source: string): Annotation {
    const kinds = this.#kindsOf(solution, source)
    for (const name of dimensions) {
      const counts = this.#by[name]
      const value = counts.size < MOST_VALUES || counts.has(kinds[name]) ? kinds[name] : 'others'
      counts.set(value, (counts.get(value) ?? 0) + 1)
    }
    if (solution.labels.every(label => label === null)) this.#unlabelled++
    const { id, provenance = { method: 'recorded', by: [source] } } = solution
    return { ...solution, id: `${source}/${id}`, provenance }
  }

  #summary(quotas: readonly QuotaResult[], sha256: string): CollectSummary {
    const { sources, tests, problems, ngram, bins, seed, limit, strict } = this.#plan
    const configuration = {
      kind: 'collect',
      sources: sources.map(({ name, source, format, neutral }, index) => ({
        name,
        source,
        format: format ?? null,
        neutral: neutral ?? 'right',
        sha256: this.#sources[index]!.sha256,
      })),
      problems,
      tests: tests.map(({ name, source }) => ({ name, source })),
      ngram,
      quotas: this.#plan.quotas,
      bins,
      seed,
      limit: limit ?? null,
      strict: strict ?? false,
    }
    const sum = nothing()
    for (const counts of this.#sources)
      for (const name of Object.keys(sum) as (keyof CollectCounts)[]) sum[name] += counts[name]
    return {
      schema: 1,
      kind: 'collect',
      made: new Date().toISOString(),
      versions: versions(),
      configuration,
      hash: hashConfiguration(configuration),
      ...sum,
      unlabelled: this.#unlabelled,
      sha256,
      sources: this.#sources,
      tests: this.#testResults,
      problems: { ...this.#problems, different: this.#facts.size },
      quotas,
      by: Object.fromEntries(
        dimensions.map(name => [name, Object.fromEntries(this.#by[name])]),
      ) as CollectSummary['by'],
    }
  }

  #report(phase: CollectProgress['phase'], records: number, share: number): void {
    this.#plan.onProgress?.({ phase, records, share })
  }
}

function changed({ name, source }: NamedSource): SurefootError {
  return new SurefootError('ERR_IO', `${name} changed while it was read: ${source}; collect again when it is at rest`, {
    data: { path: source },
  })
}
