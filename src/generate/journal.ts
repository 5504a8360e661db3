/** The journal of a run that generates: requests in the order in which they were answered, found again by their place. */
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { RecordedCandidate } from '../datasets/records.ts'
import { SurefootError, type SurefootErrorCode } from '../errors.ts'
import type { Ended } from '../generator/generator.ts'
import { LINES, type RunFolder } from '../journal/run-folder.ts'

/** A candidate as it was sampled. */
export interface SampledCandidate extends RecordedCandidate {
  /** null: the policy cannot tell. */
  readonly ended: Ended | null
  /** Its number of tokens is a guess, or a share of a sum that is right. */
  readonly estimated?: true
}

export interface Failure {
  readonly code: SurefootErrorCode
  readonly message: string
}

/** One request: some of the candidates of a problem, or why there are none. */
export type Line = { readonly problem: number; readonly id: string } & (Answered | { readonly error: Failure })

export interface Answered {
  /** Which of the problem's candidates is the first. */
  readonly from: number
  readonly candidates: readonly SampledCandidate[]
  /** Of the whole request. */
  readonly promptTokens: number
}

/** Where a line stands in the file, in bytes. */
interface Place {
  readonly from: number
  readonly at: number
  readonly size: number
}

export class Journal implements AsyncDisposable {
  readonly #folder: RunFolder
  readonly #file: FileHandle
  /** By problem, its number among the data. */
  readonly #answered = new Map<number, Place[]>()
  readonly #failures = new Map<number, Failure>()
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

  has(problem: number, from: number): boolean {
    return this.#answered.get(problem)?.some(place => place.from === from) ?? false
  }

  /** What a problem failed by the last time. */
  failureOf(problem: number): Failure | undefined {
    return this.#failures.get(problem)
  }

  /** What was answered of a problem, in the order of its candidates. */
  async answers(problem: number): Promise<Answered[]> {
    const places = this.#answered.get(problem) ?? []
    const lines: Answered[] = []
    for (const { at, size } of places.toSorted((a, b) => a.from - b.from)) {
      const { buffer } = await this.#file.read(Buffer.alloc(size), 0, size, at)
      lines.push(JSON.parse(buffer.toString()))
    }
    return lines
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#appending
    await this.#file.close()
  }

  #note(line: Line, size: number): void {
    if ('error' in line) {
      this.#failures.set(line.problem, line.error)
    } else if (!this.has(line.problem, line.from)) {
      const places = this.#answered.get(line.problem) ?? []
      this.#answered.set(line.problem, places)
      places.push({ from: line.from, at: this.#size, size })
    }
    this.#size += size
  }
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
