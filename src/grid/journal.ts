/** The lines of a grid's run, and what of them is known when it is resumed. */
import { type RunFolder, readLines } from '../journal/run-folder.ts'
import type { Limit, Spent } from '../search/machine.ts'
import type { Solved } from '../search/solve.ts'
import type { Typical } from './cells.ts'

/** One search: a cell, a problem, a seed. */
export interface SearchKey {
  readonly cell: number
  /** Its number among the data. */
  readonly problem: number
  readonly seed: number
}

/** What came of a search. */
export interface Searched {
  readonly answer: string | null
  readonly correct: boolean
  readonly finish: Solved['finish']
  readonly limit: Limit | null
  readonly solutions: number
  readonly spent: Spent
  /** Milliseconds from the call to the answer. */
  readonly ms: number
  /** Tokens that native models computed meanwhile, first or again; absent where others may have had a part in them. */
  readonly computed?: { readonly policy: number; readonly prm: number }
}

/** Why nothing came of a search. */
export interface Failure {
  readonly code: string
  readonly message: string
}

/** A line of the run, with the names of what its numbers stand for. */
export type SearchLine = SearchKey & { readonly id: string; readonly strategy: string; readonly budget: string } & (
    | Searched
    | { readonly error: Failure }
  )

type Line = SearchLine | { readonly typical: Typical }

/** What a run knows, in memory; each line is on its way to the disk before it counts. */
export class GridJournal {
  readonly #folder: RunFolder
  readonly #results = new Map<string, SearchLine>()
  #typical: Typical | null = null
  #appending: Promise<void> = Promise.resolve()

  private constructor(folder: RunFolder) {
    this.#folder = folder
  }

  /** Reads what the folder holds. @throws `ERR_IO` */
  static async open(folder: RunFolder): Promise<GridJournal> {
    const journal = new GridJournal(folder)
    for await (const line of readLines<Line>(folder.path)) journal.#note(line)
    return journal
  }

  get typical(): Typical | null {
    return this.#typical
  }

  /** The latest of a search: one that failed is tried again when the run is resumed. */
  of(key: SearchKey): SearchLine | undefined {
    return this.#results.get(nameOf(key))
  }

  /** Whether a search has its result. */
  has(key: SearchKey): boolean {
    const line = this.of(key)
    return line !== undefined && !('error' in line)
  }

  /** Writes a line, after those that are being written. */
  append(line: Line): Promise<void> {
    const written = this.#appending.then(async () => {
      await this.#folder.append(line)
      this.#note(line)
    })
    this.#appending = written.catch(() => {})
    return written
  }

  #note(line: Line): void {
    if ('typical' in line) this.#typical ??= line.typical
    else this.#results.set(nameOf(line), line)
  }
}

function nameOf({ cell, problem, seed }: SearchKey): string {
  return `${cell} ${problem} ${seed}`
}
