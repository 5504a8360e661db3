/** A file on disk → raw rows, whatever it is packed in. */
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { SurefootError } from '../errors.ts'
import { type ParquetOptions, parquetRows } from './parquet.ts'
import { type RawRow, TextScanner } from './scan.ts'

const CHUNK = 256 * 2 ** 10

/** Rows that came together, how many bytes of text they took, and how many bytes of the file were read by then. */
export interface Batch {
  readonly rows: readonly RawRow[]
  readonly bytes: number
  readonly read: number
}

/** A file as its first bytes and its name tell it. */
export interface DataFile {
  readonly path: string
  readonly container: 'parquet' | 'gzip' | 'text'
}

/**
 * @throws `ERR_IO` for a file that is not there, may not be read or is no regular file; `ERR_INVALID_ARGUMENT` for one
 *   whose name promises gzip or parquet that its bytes do not keep
 */
export async function openDataFile(path: string): Promise<DataFile> {
  const magic = await firstBytes(path)
  const gzip = magic[0] === 0x1f && magic[1] === 0x8b
  const parquet = magic.toString('latin1') === 'PAR1'
  if (/\.gz$/i.test(path) && !gzip) throw notA('gzip', path)
  if (/\.parquet$/i.test(path) && !parquet) throw notA('parquet', path)
  return { path, container: parquet ? 'parquet' : gzip ? 'gzip' : 'text' }
}

async function firstBytes(path: string): Promise<Buffer> {
  try {
    await using file = await open(path)
    if (!(await file.stat()).isFile()) throw new Error('it is no regular file')
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** In bytes. @throws `ERR_IO` */
export async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    throw unreadable(path, error)
  }
}

function notA(container: string, path: string): SurefootError {
  return new SurefootError('ERR_INVALID_ARGUMENT', `${path}: the name says ${container}, the content is not`, {
    data: { path, expected: container },
  })
}

function unreadable(path: string, cause: unknown): SurefootError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new SurefootError('ERR_IO', `${path} cannot be read: ${reason}`, { data: { path, reason }, cause })
}

/**
 * The rows of a file, a chunk's or a row group's at a time.
 *
 * @throws `ERR_IO` for what breaks off, is corrupt or cannot be read; the signal's reason
 */
export async function* rowsOf(
  { path, container }: DataFile,
  options: ParquetOptions,
  signal?: AbortSignal,
): AsyncGenerator<Batch, void, undefined> {
  try {
    if (container === 'parquet') {
      for await (const rows of parquetRows(path, options)) {
        signal?.throwIfAborted()
        yield { rows, bytes: 0, read: 0 }
      }
      return
    }
    const scanner = new TextScanner()
    const file = createReadStream(path, { highWaterMark: CHUNK, ...(signal && { signal }) })
    for await (const chunk of textOf(file, container === 'gzip')) {
      signal?.throwIfAborted()
      yield { rows: [...scanner.push(chunk)], bytes: chunk.length, read: file.bytesRead }
    }
    yield { rows: [...scanner.end()], bytes: 0, read: file.bytesRead }
  } catch (error) {
    signal?.throwIfAborted()
    throw unreadable(path, error)
  }
}

function textOf(file: Readable, gzip: boolean): Readable {
  // Whoever reads the unpacked stream gets the error; the callback is only there because pipeline wants one.
  return gzip ? pipeline(file, createGunzip({ chunkSize: CHUNK }), () => {}) : file
}
