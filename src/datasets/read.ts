import { parse } from 'node:path'
import { invalidArgument, SurefootError } from '../errors.ts'
import { resolveDataset } from '../hub/index.ts'
import { type DataFile, openDataFile, rowsOf, sizeOf } from './files.ts'
import { type Format, fieldsOf, type Neutral, type RowContext, recordsOf } from './format.ts'
import { detect, formats } from './formats.ts'
import { Ids } from './ids.ts'
import type { ParquetOptions } from './parquet.ts'
import type { Kind, LeftOutRow, RecordOf, RejectedRow } from './records.ts'
import type { RawRow, SoundRow } from './scan.ts'
import { type Download, filesOf, type NamedFile } from './source.ts'

export interface ReadOptions<K extends Kind = Kind> {
  /** What the records shall be. @default whatever the format gives */
  readonly kind?: K
  /** Name of the format. @default detected from the fields of each file's first rows */
  readonly format?: string
  /** Throw at the first row that does not fit, instead of reporting it. @default false */
  readonly strict?: boolean
  /** Called with each row that does not fit. */
  readonly onRejected?: (row: RejectedRow) => void
  /** Called with each sound row that its format leaves out on purpose: what it is and why stands in the guide. */
  readonly onLeftOut?: (row: LeftOutRow) => void
  /** Called with how much of the source is read, 0 to 1, by the bytes of its files; of parquet, file by file. */
  readonly onRead?: (share: number) => void
  /** Stop after so many records. */
  readonly limit?: number
  /** What PRM800K's neutral ratings become. @default 'right', as in the paper (Let's Verify Step by Step, arXiv 2305.20050) */
  readonly neutral?: Neutral
  /** Gets the files of a hub id. @default `resolveDataset`, into the cache that Python's tools share */
  readonly download?: Download
  readonly signal?: AbortSignal
}

/** What of a file is looked at to detect its format. */
const HEAD_ROWS = 20
const HEAD_BYTES = 2 ** 20

/**
 * The records of a dataset, in order, in flat memory: a row at a time from JSON Lines and JSON arrays, packed by gzip or
 * not, a row group at a time from parquet.
 *
 * Every record has an id of its own: the row's, with its place behind it where another row had the same, or the place
 * alone, `file:line`, where the row has none.
 *
 * @param source a file; a folder, of which all data files are read in the order of their paths; a folder and a split,
 *   `folder#train`, told by the files' names; or a hub id, `org/name@revision#config/split`
 * @throws `ERR_INVALID_ARGUMENT` for an unknown format, one that cannot be told, a file that holds no JSON at all, and
 *   with `strict` the first row that does not fit, as `data.row`; `ERR_IO`; what the hub throws; the signal's reason
 */
export async function* readDataset<K extends Kind = Kind>(
  source: string,
  options: ReadOptions<K> = {},
): AsyncGenerator<RecordOf[K], void, undefined> {
  const { limit = Number.POSITIVE_INFINITY, download = resolveDataset, signal } = options
  const candidates = formatsFor(options)
  checkOptions(options)
  signal?.throwIfAborted()
  const ids = new Ids()
  let count = 0
  if (limit === 0) return
  const files = await filesOf(source, download, signal)
  const read = await readSoFar(files, options.onRead)
  for (const [index, file] of files.entries()) {
    for await (const records of readFile(file, candidates, ids, options, bytes => read(index, bytes))) {
      for (const record of records) {
        yield record as RecordOf[K]
        signal?.throwIfAborted()
        if (++count >= limit) return
      }
    }
  }
}

/** What turns the bytes read of one of the files into a share of all. */
async function readSoFar(
  files: readonly NamedFile[],
  onRead: ReadOptions['onRead'],
): Promise<(file: number, bytes: number) => void> {
  if (!onRead) return () => {}
  const sizes = await Promise.all(files.map(({ path }) => sizeOf(path)))
  const before = sizes.map((_, index) => sum(sizes.slice(0, index)))
  return (file, bytes) => onRead((before[file]! + bytes) / (sum(sizes) || 1))
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

function checkOptions({ limit, neutral }: ReadOptions): void {
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0)) {
    invalidArgument('limit', `must be a whole number, got ${limit}`, limit)
  }
  if (neutral !== undefined && !['right', 'wrong', 'masked'].includes(neutral)) {
    invalidArgument('neutral', `must be right, wrong or masked, got ${neutral}`, neutral)
  }
}

/** The formats that may be meant. */
function formatsFor({ kind, format: name }: ReadOptions): readonly Format[] {
  const ofKind = formats.filter(format => kind === undefined || format.kind === kind)
  if (ofKind.length === 0) {
    const kinds = [...new Set(formats.map(format => format.kind))]
    invalidArgument('kind', `must be one of ${kinds.join(', ')}, got ${kind}`, kind)
  }
  if (name === undefined) return ofKind
  const named = ofKind.filter(format => format.name === name)
  if (named.length > 0) return named
  const known = ofKind.map(format => format.name).join(', ')
  return invalidArgument('format', `must be one of ${known}, got ${name}`, name)
}

/** The records of a file in batches, each of which is read while it is walked through. */
async function* readFile(
  named: NamedFile,
  candidates: readonly Format[],
  ids: Ids,
  options: ReadOptions,
  onRead: (bytes: number) => void,
): AsyncGenerator<Iterable<RecordOf[Kind]>, void, undefined> {
  const file = await openDataFile(named.path)
  const format = await formatOf(file, candidates, options.signal)
  if (format === null) return
  const columns = new Set(fieldsOf(format))
  for await (const { rows, read } of rowsOf(file, { columns }, options.signal)) {
    onRead(read)
    yield readBatch(rows, named, format, ids, options)
  }
}

function* readBatch(
  rows: readonly RawRow[],
  { path, name }: NamedFile,
  format: Format,
  ids: Ids,
  { strict = false, onRejected, onLeftOut, neutral = 'right', signal }: ReadOptions,
): Generator<RecordOf[Kind], void, undefined> {
  const { name: stem } = parse(path.replace(/\.gz$/i, ''))
  const reject = (row: RejectedRow): void => {
    if (strict) throw new SurefootError('ERR_INVALID_ARGUMENT', rowText(row), { data: { row } })
    onRejected?.(row)
  }
  for (const row of rows) {
    signal?.throwIfAborted()
    const { line } = row
    if (!('value' in row)) {
      reject({ file: path, field: '(row)', ...row })
      continue
    }
    const context: RowContext = {
      place: `${name}:${line}`,
      stem,
      neutral,
      reject: ({ field, expected, got }) => reject({ file: path, line, field, expected, got }),
      leaveOut: reason => onLeftOut?.({ file: path, line, reason }),
    }
    for (const record of recordsOf(format, row.value, context)) yield withOwnId(record, ids, context.place)
  }
}

function withOwnId(record: RecordOf[Kind], ids: Ids, place: string): RecordOf[Kind] {
  if (record.id.startsWith(place)) return record
  const id = ids.unique(record.id, place)
  return id === record.id ? record : { ...record, id }
}

/** The format of a file, by its first rows; null for one without rows. */
async function formatOf(
  file: DataFile,
  candidates: readonly Format[],
  signal: AbortSignal | undefined,
): Promise<Format | null> {
  const head = await headOf(file, { columns: new Set(candidates.flatMap(fieldsOf)) }, signal)
  if (head.length === 0) return null
  const sound = head.filter((row): row is SoundRow => 'value' in row)
  const { path } = file
  if (sound.length === 0) {
    const { line, expected, got } = head[0] as Exclude<RawRow, SoundRow>
    const known = 'a JSON array of objects, JSON Lines, either packed by gzip, or parquet'
    throw new SurefootError(
      'ERR_INVALID_ARGUMENT',
      `${path} holds no rows: expected ${known}; row ${line}: expected ${expected}, got ${got}`,
      { data: { path, line, expected, got } },
    )
  }
  if (candidates.length === 1) return candidates[0]!
  const format = detect(
    candidates,
    sound.map(({ value }) => value),
  )
  if (format) return format
  const whole = await headOf(file, {}, signal)
  const fields = Object.keys(whole.find((row): row is SoundRow => 'value' in row)?.value ?? {})
  const known = candidates.map(({ name, needs }) => `${name} (${needs.join(', ')})`)
  throw new SurefootError(
    'ERR_INVALID_ARGUMENT',
    `${path} is of no known format; its first row has the fields ${fields.join(', ').slice(0, 500) || '(none)'}; the formats and the fields that they need: ${known.join('; ')}`,
    { data: { path, fields, formats: candidates.map(({ name }) => name) } },
  )
}

async function headOf(file: DataFile, options: ParquetOptions, signal: AbortSignal | undefined): Promise<RawRow[]> {
  const head: RawRow[] = []
  let size = 0
  for await (const { rows, bytes } of rowsOf(file, { ...options, rows: HEAD_ROWS }, signal)) {
    head.push(...rows)
    size += bytes
    if (head.length >= HEAD_ROWS || (size >= HEAD_BYTES && head.length > 0)) break
  }
  return head.slice(0, HEAD_ROWS)
}

/** A rejected row in one line. */
export function rowText({ file, line, field, expected, got }: RejectedRow): string {
  return `${file}:${line}: ${field}: expected ${expected}, got ${got}`
}
