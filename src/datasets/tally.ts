import { createHash } from 'node:crypto'
import { rowText } from './read.ts'
import type { DataRecord, RejectedRow } from './records.ts'

/** How many rejected rows are kept as examples. */
const EXAMPLES = 10

/** What a first reading of a source finds: how many rows fit and how many do not, and a hash of the sound ones. */
export class Tally {
  readonly #hash = createHash('sha256')
  readonly #examples: RejectedRow[] = []
  #records = 0
  #rejected = 0
  #leftOut = 0

  readonly reject = (row: RejectedRow): void => {
    this.#rejected++
    if (this.#examples.length < EXAMPLES) this.#examples.push(row)
  }

  readonly leaveOut = (): void => {
    this.#leftOut++
  }

  /** Counts a sound record; returns how many there are by now. */
  add(record: DataRecord): number {
    this.#hash.update(`${JSON.stringify(record)}\n`)
    return ++this.#records
  }

  /** Why there is no record. */
  get why(): string {
    const [first] = this.#examples
    return first ? `${this.#rejected} rows do not fit; the first: ${rowText(first)}` : 'there are none'
  }

  /** The counts, once all records are there. */
  end(): Counted {
    return {
      records: this.#records,
      sha256: this.#hash.digest('hex'),
      rejected: this.#rejected,
      leftOut: this.#leftOut,
      examples: this.#examples,
    }
  }
}

export interface Counted {
  readonly records: number
  /** Of all sound records. */
  readonly sha256: string
  readonly rejected: number
  /** Sound rows that their format leaves out on purpose. */
  readonly leftOut: number
  readonly examples: readonly RejectedRow[]
}
