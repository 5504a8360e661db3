/** Step labels from any format into another one, and an account of what that one cannot hold. */
import { isDeepStrictEqual } from 'node:util'
import { invalidArgument } from '../errors.ts'
import { writeWhole } from '../journal/run-folder.ts'
import { type RowContext, recordsOf } from './format.ts'
import { labelFormats } from './labels.ts'
import { type ReadOptions, readDataset } from './read.ts'
import type { LabelRecord, RejectedRow } from './records.ts'
import { Tally } from './tally.ts'
import {
  apsQuestionId,
  ROW_CHARACTERS,
  type RowWriter,
  rowWriters,
  type WrittenFormat,
  writtenFormats,
} from './write-rows.ts'

export interface RowOptions {
  readonly to: WrittenFormat
  /**
   * Labels above it are right, others wrong, in formats without soft labels: 0 makes a step right that any rollout went on
   * from to the answer (Math-Shepherd, arXiv 2312.08935). Without it a solution with soft labels is left out of them.
   */
  readonly threshold?: number
}

/** What became of the solutions. */
export interface Account {
  readonly written: number
  readonly rows: number
  /** Solutions that were not written, by why. */
  readonly leftOut: Readonly<Record<string, number>>
  /** The first of them. */
  readonly examples: readonly { readonly id: string; readonly reason: string }[]
  /** Of those written: labels that the threshold made hard. */
  readonly hardened: number
  /** Steps that were cut off at the end, and how many of them were judged. */
  readonly cut: { readonly steps: number; readonly labels: number }
  /** Problems and steps whose text is not quite the same: blanks around it, or `Step 1:` before it. */
  readonly texts: number
  /** Solutions that lose what stood in a field, and those of which the format says what the record did not, by field. */
  readonly lost: Readonly<Record<string, number>>
  readonly added: Readonly<Record<string, number>>
}

/** Solutions of which the account shows why they were left out. */
const EXAMPLES = 10

/** Characters that one row of several solutions may have. */
const TOGETHER = 2 ** 22

/** Fields other than the texts and labels. */
const FIELDS = [
  'id',
  'firstError',
  'answer',
  'answerCorrect',
  'group',
  'generator',
  'subject',
  'level',
  'passRate',
  'provenance',
  'rollouts',
  'failure',
] as const

/** A solution, and what of it is to be written. */
interface Ready {
  readonly record: LabelRecord
  readonly now: LabelRecord
}

/**
 * Makes rows of solutions. Each row is read again by the format's own reader before it is given out: a solution of which
 * not every step and label comes back is left out, and what else does not come back is counted.
 */
export class RowMaker {
  readonly #writer: RowWriter
  readonly #threshold: number | undefined
  readonly #leftOut = new Map<string, number>()
  readonly #examples: { id: string; reason: string }[] = []
  readonly #lost = new Map<string, number>()
  readonly #added = new Map<string, number>()
  #group: Ready[] = []
  #size = 0
  #written = 0
  #rows = 0
  #hardened = 0
  #texts = 0
  #cut = { steps: 0, labels: 0 }

  /** @throws `ERR_INVALID_ARGUMENT` */
  constructor({ to, threshold }: RowOptions) {
    if (!writtenFormats.includes(to))
      invalidArgument('to', `must be one of ${writtenFormats.join(', ')}, got ${to}`, to)
    if (threshold !== undefined && !(threshold >= 0 && threshold < 1)) {
      invalidArgument('threshold', `must be from 0 to below 1, got ${threshold}`, threshold)
    }
    this.#writer = rowWriters[to]
    this.#threshold = threshold
  }

  /** The rows, as JSON without line breaks, that are full with this solution. */
  *add(record: LabelRecord): Generator<string, void, undefined> {
    const now = this.#ready(record)
    if (typeof now === 'string') {
      this.#leaveOut(record, now)
      return
    }
    const size = this.#writer.together?.(now) ?? 0
    if (size > ROW_CHARACTERS) {
      this.#leaveOut(record, 'its row would be too long to be read')
      return
    }
    const [first] = this.#group
    if (first && !(this.#writer.together && this.#size + size <= TOGETHER && isOfOneRow(first.now, now))) {
      yield* this.end()
    }
    this.#group.push({ record, now })
    this.#size += size
  }

  /** The rows of what is left. */
  *end(): Generator<string, void, undefined> {
    const group = this.#group
    this.#group = []
    this.#size = 0
    if (group.length > 0) yield* this.#rowsOf(group)
  }

  get account(): Account {
    return {
      written: this.#written,
      rows: this.#rows,
      leftOut: Object.fromEntries(this.#leftOut),
      examples: this.#examples,
      hardened: this.#hardened,
      cut: this.#cut,
      texts: this.#texts,
      lost: Object.fromEntries(this.#lost),
      added: Object.fromEntries(this.#added),
    }
  }

  /** What of a solution is to be written, or why it cannot be. */
  #ready(record: LabelRecord): LabelRecord | string {
    const { soft, unjudged, endsAtError } = this.#writer
    const threshold = this.#threshold
    let labels = record.labels
    if (!soft && labels.some(isSoft)) {
      if (threshold === undefined) return 'it has soft labels, and no threshold is given'
      labels = labels.map(label => (label === null ? null : Number(label > threshold)))
    }
    const wrong = labels.indexOf(0)
    let count = endsAtError && wrong >= 0 ? wrong + 1 : labels.length
    if (!unjudged) {
      while (count > 0 && labels[count - 1] === null) count--
      if (count === 0) return 'none of its steps is judged'
      if (labels.indexOf(null) >= 0 && labels.indexOf(null) < count)
        return 'a step that is not judged stands before one that is'
    }
    if (count === labels.length && labels === record.labels) return record
    return { ...record, steps: record.steps.slice(0, count), labels: labels.slice(0, count) }
  }

  /** Rows of a group; of its halves where the whole cannot be read again. */
  *#rowsOf(group: readonly Ready[]): Generator<string, void, undefined> {
    const row = this.#writer.row(group.map(({ now }) => now))
    const found = row.length > ROW_CHARACTERS ? null : readAgain(this.#writer, row, group)
    if (found) {
      this.#rows++
      for (const [index, ready] of group.entries()) this.#count(ready, found[index]!)
      yield row
    } else if (group.length > 1) {
      const half = group.length >> 1
      yield* this.#rowsOf(group.slice(0, half))
      yield* this.#rowsOf(group.slice(half))
    } else {
      const { record } = group[0]!
      this.#leaveOut(record, `its text cannot be told from the marks of ${this.#writer.name}`)
    }
  }

  #leaveOut({ id }: LabelRecord, reason: string): void {
    increment(this.#leftOut, reason)
    if (this.#examples.length < EXAMPLES) this.#examples.push({ id, reason })
  }

  #count({ record, now }: Ready, found: LabelRecord): void {
    this.#written++
    const kept = now.steps.length
    this.#cut.steps += record.steps.length - kept
    this.#cut.labels += record.labels.slice(kept).filter(label => label !== null).length
    this.#hardened += now.labels.filter((label, index) => label !== record.labels[index]).length
    this.#texts += Number(found.problem !== record.problem)
    for (let index = 0; index < kept; index++) this.#texts += Number(found.steps[index] !== record.steps[index])
    for (const field of FIELDS) {
      const [before, after] = [record[field] ?? null, found[field] ?? null]
      if (!isDeepStrictEqual(before, after)) increment(before === null ? this.#added : this.#lost, field)
    }
  }
}

const isSoft = (label: number | null): boolean => label !== null && label > 0 && label < 1

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function isOfOneRow(a: LabelRecord, b: LabelRecord): boolean {
  return (
    a.problem === b.problem &&
    a.answer === b.answer &&
    a.passRate === b.passRate &&
    apsQuestionId(a.id) === apsQuestionId(b.id)
  )
}

/** The records of a row, one for each solution that it was made of; null when they are not those. */
function readAgain(writer: RowWriter, row: string, group: readonly Ready[]): LabelRecord[] | null {
  const format = labelFormats.find(({ name }) => name === writer.name)!
  let sound = true
  const context: RowContext = {
    place: '',
    stem: '',
    neutral: 'right',
    reject: () => {
      sound = false
    },
    leaveOut: () => {
      sound = false
    },
  }
  const byContent = new Map<string, LabelRecord[]>()
  let count = 0
  for (const record of recordsOf(format, JSON.parse(row), context)) {
    const content = contentOf(record.problem, record.steps, record.labels)
    const same = byContent.get(content)
    if (same) same.push(record)
    else byContent.set(content, [record])
    count++
  }
  if (!sound || count !== group.length) return null
  const found: LabelRecord[] = []
  for (const { now } of group) {
    const content = contentOf(writer.problem(now.problem), now.steps.map(writer.step), now.labels)
    const record = byContent.get(content)?.shift()
    if (!record) return null
    found.push(record)
  }
  return found
}

function contentOf(problem: string, steps: readonly string[], labels: readonly (number | null)[]): string {
  return JSON.stringify([problem, steps, labels])
}

export interface ConvertOptions
  extends RowOptions,
    Pick<ReadOptions, 'format' | 'neutral' | 'strict' | 'limit' | 'download'> {
  /** A file, a folder or a hub id with step labels in any format. */
  readonly from: string
  /** The file of JSON Lines to write. It appears whole, in the place of what was there. */
  readonly out: string
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ConvertProgress) => void
}

export interface ConvertProgress {
  readonly phase: 'convert'
  /** Solutions read. */
  readonly records: number
  /** How much of the data is read, 0 to 1. */
  readonly share: number
}

export interface ConvertSummary extends Account {
  readonly schema: 1
  readonly kind: 'convert'
  readonly to: WrittenFormat
  readonly threshold: number | null
  /** Solutions read, and a hash of them. */
  readonly records: number
  readonly sha256: string
  /** Rows that do not fit their format, and sound ones that it leaves out. */
  readonly unread: { readonly rejected: number; readonly leftOut: number; readonly examples: readonly RejectedRow[] }
}

/**
 * Writes the step labels of a dataset in another format, in flat memory.
 *
 * @throws `ERR_INVALID_ARGUMENT` for options that are wrong and data without a sound row; what reading throws; `ERR_IO`;
 *   the signal's reason
 */
export async function convert(options: ConvertOptions): Promise<ConvertSummary> {
  const { from, out, to, threshold, format, neutral, strict, limit, download, signal, onProgress } = options
  if (typeof out !== 'string' || out === '') invalidArgument('out', 'must be the path of a file', out)
  const maker = new RowMaker({ to, ...(threshold !== undefined && { threshold }) })
  const tally = new Tally()
  let share = 0
  const rows = async function* (): AsyncGenerator<string, void, undefined> {
    const records = readDataset(from, {
      kind: 'labels',
      onRejected: tally.reject,
      onLeftOut: tally.leaveOut,
      onRead: read => {
        share = read
      },
      ...(format !== undefined && { format }),
      ...(neutral !== undefined && { neutral }),
      ...(strict !== undefined && { strict }),
      ...(limit !== undefined && { limit }),
      ...(download && { download }),
      ...(signal && { signal }),
    })
    let count = 0
    for await (const record of records) {
      count = tally.add(record)
      yield* maker.add(record)
      if (count % 1000 === 0) onProgress?.({ phase: 'convert', records: count, share })
    }
    if (count === 0) invalidArgument('from', `no row holds step labels: ${tally.why}`, from)
    yield* maker.end()
  }
  await writeLines(out, rows(), signal)
  const { records, sha256, rejected, leftOut, examples } = tally.end()
  return {
    schema: 1,
    kind: 'convert',
    to,
    threshold: threshold ?? null,
    records,
    sha256,
    unread: { rejected, leftOut, examples },
    ...maker.account,
  }
}

/** About what is handed to the system at a time. */
const CHUNK = 2 ** 18

/**
 * Writes a file of JSON Lines, which appears whole or not at all.
 *
 * @param onChunk sees what is written
 * @throws what the rows throw; `ERR_IO`; the signal's reason
 */
export async function writeLines(
  path: string,
  rows: AsyncIterable<string>,
  signal: AbortSignal | undefined,
  onChunk: (text: string) => void = () => {},
): Promise<void> {
  const chunks = async function* (): AsyncGenerator<string, void, undefined> {
    let open: string[] = []
    let size = 0
    for await (const row of rows) {
      open.push(row)
      size += row.length
      if (size < CHUNK) continue
      const text = `${open.join('\n')}\n`
      onChunk(text)
      yield text
      open = []
      size = 0
    }
    if (open.length === 0) return
    const text = `${open.join('\n')}\n`
    onChunk(text)
    yield text
  }
  try {
    await writeWhole(path, chunks())
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}
