import { createReadStream } from 'node:fs'
import { access, type FileHandle, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { SurefootError } from '../errors.ts'
import { type Configuration, differenceText, firstDifference, hashConfiguration } from './configuration.ts'
import { Lock } from './lock.ts'

/** What config.json of a run folder holds. */
export interface RunHeader {
  readonly schema: 1
  /** ISO 8601: when the run was begun. */
  readonly begun: string
  readonly configuration: Configuration
  /** SHA-256 of the configuration. */
  readonly hash: string
  readonly versions: Readonly<Record<string, string>>
}

export interface OpenOptions {
  readonly configuration: Configuration
  readonly versions: Readonly<Record<string, string>>
  /** Go on with the run that is there, if there is one. */
  readonly resume?: boolean
}

const HEADER = 'config.json'
/** The lines of a run. */
export const LINES = 'problems.jsonl'
const SUMMARY = 'summary.json'
const PAGE = 'report.html'

/** How many bytes are read at a time when the end of the last whole line is looked for. */
const CHUNK = 65_536

/**
 * A folder that holds one run: config.json, one JSON line a problem in problems.jsonl, then summary.json.
 *
 * A line is handed to the system whole as soon as it is done, so a killed process loses no line but the one in hand. A
 * torn last line is cut off when the run is resumed. The other files are written beside their place and renamed.
 */
export class RunFolder implements AsyncDisposable {
  readonly path: string
  readonly header: RunHeader
  readonly #lines: FileHandle
  readonly #lock: Lock

  private constructor(path: string, header: RunHeader, lines: FileHandle, lock: Lock) {
    this.path = path
    this.header = header
    this.#lines = lines
    this.#lock = lock
  }

  /**
   * Begins a run in a new or empty folder, or goes on with the one that is there.
   *
   * @throws `ERR_INVALID_ARGUMENT` when the folder holds a run and `resume` is not set, or the run there had another
   *   configuration: the message names the first key that differs and both values;
   *   `ERR_IO` when another process writes it or the disk refuses
   */
  static open(path: string, options: OpenOptions): Promise<RunFolder> {
    return io(path, async () => {
      await mkdir(path, { recursive: true })
      const lock = await Lock.take(path)
      try {
        const header = await begin(path, options)
        const lines = await open(join(path, LINES), 'a+')
        await cutTornLine(lines)
        return new RunFolder(path, header, lines, lock)
      } catch (error) {
        await lock.release()
        throw error
      }
    })
  }

  /** Appends one line. */
  append(line: object): Promise<void> {
    return io(this.path, () => this.#lines.appendFile(`${JSON.stringify(line)}\n`))
  }

  /** Writes summary.json, after all lines have reached the disk. */
  writeSummary(summary: object): Promise<void> {
    return io(this.path, async () => {
      await this.#lines.datasync()
      await replace(join(this.path, SUMMARY), `${JSON.stringify(summary, null, 2)}\n`)
    })
  }

  /** Closes the files and lets go of the folder. May be called twice. */
  async close(): Promise<void> {
    await this.#lines.close()
    await this.#lock.release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** The lines of a run, in order. A torn last line is left out. @throws `ERR_IO` */
export async function* readLines<Line>(run: string): AsyncGenerator<Line, void, undefined> {
  const path = join(run, LINES)
  const input = createReadStream(path)
  const texts = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })
  let number = 0
  let damage: SurefootError | undefined
  try {
    for await (const text of texts) {
      if (damage) throw damage
      number++
      const line = tryParse<Line>(text)
      if (line instanceof SyntaxError) damage = damaged(path, number, line)
      else yield line
    }
  } catch (error) {
    throw SurefootError.isInstance(error) ? error : asIoError(path, error as Error)
  } finally {
    input.destroy()
  }
}

function tryParse<T>(text: string): T | SyntaxError {
  try {
    return JSON.parse(text) as T
  } catch (error) {
    return error as SyntaxError
  }
}

function damaged(path: string, line: number, cause: SyntaxError): SurefootError {
  return new SurefootError('ERR_IO', `${path}: line ${line} is damaged: ${cause.message}`, {
    data: { path, line },
    cause,
  })
}

/** summary.json of a run. @throws `ERR_IO` when there is none, saying whether the run was begun */
export async function readSummary<Summary>(run: string): Promise<Summary> {
  return io(run, async () => {
    const text = await readIfThere(join(run, SUMMARY))
    if (text !== null) return parse<Summary>(join(run, SUMMARY), text)
    const begun = (await readIfThere(join(run, HEADER))) !== null
    const found = begun ? 'the run there is not finished; go on with --resume' : 'no run is there'
    throw new SurefootError('ERR_IO', `${run} has no ${SUMMARY}: ${found}`, { data: { path: run } })
  })
}

/** A text, or its pieces. */
export type Content = string | AsyncIterable<string>

/** Writes report.html of a run and gives its path. */
export async function writePage(run: string, html: Content): Promise<string> {
  const path = join(run, PAGE)
  await writeWhole(path, html)
  return path
}

/** Writes a file beside its place, then renames it: readers see the old one or the new one, whole. @throws `ERR_IO` */
export async function writeWhole(path: string, content: Content): Promise<void> {
  await io(path, () => replace(path, content))
}

async function begin(path: string, { configuration, versions, resume }: OpenOptions): Promise<RunHeader> {
  const text = await readIfThere(join(path, HEADER))
  if (text === null) {
    if (await exists(join(path, LINES))) {
      throw new SurefootError('ERR_IO', `${path} has ${LINES} and no ${HEADER}; give the run another name`, {
        data: { path },
      })
    }
    const hash = hashConfiguration(configuration)
    const header: RunHeader = { schema: 1, begun: new Date().toISOString(), configuration, hash, versions }
    await replace(join(path, HEADER), `${JSON.stringify(header, null, 2)}\n`)
    return header
  }
  if (!resume) {
    throw new SurefootError(
      'ERR_INVALID_ARGUMENT',
      `${path} holds a run already; go on with it by --resume, or give the new one another name by --name`,
      { data: { path } },
    )
  }
  const header = parse<RunHeader>(join(path, HEADER), text)
  const difference = firstDifference(header.configuration, configuration)
  if (difference) {
    throw new SurefootError(
      'ERR_INVALID_ARGUMENT',
      `${path} was begun with another configuration: ${differenceText(difference)}; ` +
        'resume it as it was, or give the new run another name',
      { data: { path, ...difference } },
    )
  }
  return header
}

/** Cuts off what stands behind the last line break. */
async function cutTornLine(file: FileHandle): Promise<void> {
  const { size } = await file.stat()
  const chunk = Buffer.alloc(CHUNK)
  for (let end = size; end > 0; end -= CHUNK) {
    const start = Math.max(0, end - CHUNK)
    const { bytesRead } = await file.read(chunk, 0, end - start, start)
    const at = chunk.subarray(0, bytesRead).lastIndexOf(10)
    if (at < 0) continue
    if (start + at + 1 < size) await file.truncate(start + at + 1)
    return
  }
  await file.truncate(0)
}

async function replace(path: string, content: Content): Promise<void> {
  const beside = `${path}.${process.pid}.tmp`
  try {
    await writeFile(beside, content, { flush: true })
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function parse<T>(path: string, text: string): T {
  const value = tryParse<T>(text)
  if (!(value instanceof SyntaxError)) return value
  throw new SurefootError('ERR_IO', `${path} is not JSON: ${value.message}`, { data: { path }, cause: value })
}

/** Runs `work`; what the system refuses becomes `ERR_IO`. */
async function io<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw SurefootError.isInstance(error) ? error : asIoError(path, error as Error)
  }
}

function asIoError(path: string, error: Error): SurefootError {
  return new SurefootError('ERR_IO', `${path}: ${error.message}`, { data: { path }, cause: error })
}
