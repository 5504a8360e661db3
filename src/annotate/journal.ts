/** The journal of a run that annotates: lines in the order in which the work was done, found again by what they are about. */
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { SurefootError } from '../errors.ts'
import type { Ended } from '../generator/generator.ts'
import { LINES, type RunFolder } from '../journal/run-folder.ts'
import type { Judgement, Usage } from './judge.ts'

export interface Failure {
  readonly code: string
  readonly message: string
}

/** A solution as it was sampled. */
export interface SampledText {
  readonly text: string
  /** null: the policy cannot tell. */
  readonly ended: Ended | null
  readonly tokens: number
}

/** The solutions that were sampled of a record. */
export interface Written {
  readonly record: number
  readonly id: string
  readonly solutions: readonly SampledText[]
}

/** What was found of a solution. */
export interface Judged {
  /** Its number among all solutions of the data. */
  readonly solution: number
  readonly id: string
  readonly judgement: Judgement
  readonly ms: number
  /** What the judge's models have read since the line before; absent where they do not say. */
  readonly usage?: Usage
}

/** Why a record has no solutions, or a solution no judgement. */
export type Failed = { readonly id: string; readonly error: Failure } & (
  | { readonly record: number }
  | { readonly solution: number }
)

export type Line = Written | Judged | Failed

/** Which line: that of a record's solutions, or of a solution's judgement. */
export type About = 'record' | 'solution'

export class Journal implements AsyncDisposable {
  readonly #folder: RunFolder
  readonly #file: FileHandle
  readonly #lines: Readonly<Record<About, Table>> = { record: new Table(), solution: new Table() }
  #size = 0
  #appending: Promise<void> = Promise.resolve()

  private constructor(folder: RunFolder, file: FileHandle) {
    this.#folder = folder
    this.#file = file
  }

  /** Reads what the folder holds. @throws `ERR_IO` */
  static async open(folder: RunFolder): Promise<Journal> {
    const path = join(folder.path, LINES)
    const journal = new Journal(folder, await open(path, 'r'))
    try {
      for await (const bytes of linesOf(path)) journal.#note(parse(path, bytes), bytes.length)
      return journal
    } catch (error) {
      await journal[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Writes a line, after those that are being written. */
  append(line: Line): Promise<void> {
    const written = this.#appending.then(async () => {
      await this.#folder.append(line)
      this.#note(line, Buffer.byteLength(JSON.stringify(line)) + 1)
    })
    this.#appending = written.catch(() => {})
    return written
  }

  /** Whether it is done, and did not fail. */
  has(about: About, number: number): boolean {
    return this.#lines[about].stateOf(number) === 'done'
  }

  /** The last line about it. */
  async line(about: 'record', number: number): Promise<Written | Failed | null>
  async line(about: 'solution', number: number): Promise<Judged | Failed | null>
  async line(about: About, number: number): Promise<Line | null> {
    const place = this.#lines[about].placeOf(number)
    if (place === null) return null
    const { buffer } = await this.#file.read(Buffer.alloc(place.size), 0, place.size, place.at)
    return JSON.parse(buffer.toString())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#appending
    await this.#file.close()
  }

  #note(line: Line, size: number): void {
    const [about, number] =
      'record' in line ? (['record', line.record] as const) : (['solution', line.solution] as const)
    this.#lines[about].set(number, this.#size, size, 'error' in line)
    this.#size += size
  }
}

/** Where lines stand in the file, in 13 bytes each: there may be millions. */
class Table {
  #at = new Float64Array(1024)
  #sizes = new Uint32Array(1024)
  /** 1 done, 2 failed. */
  #states = new Uint8Array(1024)

  set(number: number, at: number, size: number, failed: boolean): void {
    if (number >= this.#at.length) {
      const length = Math.max(number + 1, 2 * this.#at.length)
      this.#at = grown(this.#at, new Float64Array(length))
      this.#sizes = grown(this.#sizes, new Uint32Array(length))
      this.#states = grown(this.#states, new Uint8Array(length))
    }
    this.#at[number] = at
    this.#sizes[number] = size
    this.#states[number] = failed ? 2 : 1
  }

  stateOf(number: number): 'done' | 'failed' | 'none' {
    return (['none', 'done', 'failed'] as const)[this.#states[number] ?? 0]!
  }

  placeOf(number: number): { readonly at: number; readonly size: number } | null {
    return this.stateOf(number) === 'none' ? null : { at: this.#at[number]!, size: this.#sizes[number]! }
  }
}

function grown<T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}

/** The lines of a file with their line breaks. */
async function* linesOf(path: string): AsyncGenerator<Buffer, void, undefined> {
  let open: Buffer[] = []
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...open, chunk.subarray(start, end + 1)])
      open = []
      start = end + 1
    }
    if (start < chunk.length) open.push(chunk.subarray(start))
  }
}

function parse(path: string, bytes: Buffer): Line {
  try {
    return JSON.parse(bytes.toString())
  } catch (cause) {
    throw new SurefootError('ERR_IO', `${path} is damaged: ${(cause as Error).message}`, { data: { path }, cause })
  }
}
