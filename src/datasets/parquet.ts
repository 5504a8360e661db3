import type { AsyncBuffer, FileMetaData } from 'hyparquet'
import type { Compressors } from 'hyparquet-compressors'
import type { SoundRow } from './scan.ts'

/** What a row group may unpack to, in the columns that are read; a page of it; the rows in it. */
const GROUP_BYTES = 2 ** 30
const PAGE_BYTES = 2 ** 28
const GROUP_ROWS = 2 ** 22

/** About what is unpacked at a time of a group of flat columns, and the rows that are handed on together. */
const PART_BYTES = 2 ** 22
const BATCH_ROWS = 1000

export interface ParquetOptions {
  /** The columns that are read, of those that the file has; all where it has none of them. @default all */
  readonly columns?: ReadonlySet<string>
  /** How many rows are read. @default all */
  readonly rows?: number
}

/**
 * The rows of a parquet file, one row group at a time, and of a large group of flat columns a part at a time. Lists and
 * structs are kept in pieces all over a group, so that such a group is unpacked as a whole.
 */
export async function* parquetRows(
  path: string,
  { columns, rows = Number.POSITIVE_INFINITY }: ParquetOptions,
): AsyncGenerator<SoundRow[], void, undefined> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import('hyparquet')
  const { compressors } = await import('hyparquet-compressors')
  const file: AsyncBuffer = await asyncBufferFromFile(path)
  const metadata: FileMetaData = await parquetMetadataAsync(file, { geoparquet: false })
  const all = parquetSchema(metadata).children
  const wanted = all.filter(({ element }) => columns?.has(element.name))
  const read = wanted.length > 0 ? wanted : all
  const names = read.map(({ element }) => element.name)
  const flat = read.every(({ children, element }) => children.length === 0 && element.repetition_type !== 'REPEATED')
  let start = 0
  for (const group of metadata.row_groups) {
    const size = Number(group.num_rows)
    const bytes = group.columns
      .filter(column => names.includes(column.meta_data?.path_in_schema[0] ?? ''))
      .reduce((sum, column) => sum + Number(column.meta_data!.total_uncompressed_size), 0)
    checkGroup(size, bytes)
    const parts = flat ? Math.ceil(bytes / PART_BYTES) || 1 : 1
    const end = Math.min(start + size, rows)
    for (let from = start; from < end; ) {
      const to = Math.min(from + Math.ceil(size / parts), end)
      const options = { file, metadata, columns: names, rowStart: from, rowEnd: to, compressors: limited(compressors) }
      yield* batchesOf(await parquetReadObjects(options), from)
      from = to
    }
    start += size
    if (start >= rows) return
  }
}

function checkGroup(rows: number, bytes: number): void {
  if (rows >= 0 && rows <= GROUP_ROWS && bytes <= GROUP_BYTES) return
  throw new RangeError(
    `a row group of ${rows} rows and ${bytes} bytes is more than ${GROUP_ROWS} rows or ${GROUP_BYTES} bytes; write the file with smaller row groups`,
  )
}

function* batchesOf(rows: readonly object[], start: number): Generator<SoundRow[], void, undefined> {
  for (let from = 0; from < rows.length; from += BATCH_ROWS) {
    const batch = rows.slice(from, from + BATCH_ROWS)
    yield batch.map((row, index) => ({ line: start + from + index + 1, value: plain(row) as SoundRow['value'] }))
  }
}

/** The same codecs, for one row group and within its limits, whatever the pages say of themselves. */
function limited(compressors: Compressors): Compressors {
  let total = 0
  const entries = Object.entries(compressors).map(([codec, unpack]) => [
    codec,
    (input: Uint8Array, length: number): Uint8Array => {
      total += length
      if (!(length >= 0 && length <= PAGE_BYTES && total <= GROUP_BYTES)) {
        throw new RangeError(
          `a page of ${length} bytes is more than ${PAGE_BYTES}, or its row group than ${GROUP_BYTES}`,
        )
      }
      return unpack(input, length)
    },
  ])
  return Object.fromEntries(entries) as Compressors
}

/** A value as JSON would hold it. Integers that a double cannot hold become strings. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  if (value === undefined) return null
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Date) return value.toJSON()
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return Array.from(value as unknown[], plain)
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]))
}
