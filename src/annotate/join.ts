/** Label files of the same solutions, side by side, in flat memory. */
import { createHash } from 'node:crypto'
import type { LabelRecord } from '../datasets/records.ts'
import { invalidArgument } from '../errors.ts'
import { normalisedSolution } from './collect-keys.ts'

/** What a solution is found by in another file. */
export interface SolutionKey {
  /** Of problem and text as duplicates are told by them, however the text is cut into steps. */
  readonly key: string
  /** Where its steps end. */
  readonly cut: string
}

export function solutionKey(solution: Pick<LabelRecord, 'problem' | 'steps'>): SolutionKey {
  const [problem, ...steps] = normalisedSolution(solution).split('\n')
  return { key: keyOf(`${problem}\n${steps.join(' ')}`), cut: keyOf(steps.map(step => step.length).join()) }
}

/** What solutions of one problem share. */
export function problemKey(problem: string): string {
  return keyOf(normalisedSolution({ problem, steps: [] }))
}

function keyOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16)
}

/** One solution in each of the files: null where it is not in one. */
export type Joined = readonly (LabelRecord | null)[]

/** How many records a solution may stand from its place in another file. */
export const WINDOW = 4096

/**
 * Joins files by the text of their solutions. Each file is read once. They must hold the solutions in about the same order:
 * each may lack some, up to `window` in a row, and a solution may stand that far from the place that its neighbours have in
 * another file; farther ones are not found, and come alone. Where all are in one order, a record of each is in memory; at
 * most about twice the window.
 *
 * A text that a file holds several times is joined in order.
 */
export async function* join(
  files: readonly AsyncIterable<LabelRecord>[],
  window: number = WINDOW,
): AsyncGenerator<Joined, void, undefined> {
  if (!(Number.isSafeInteger(window) && window >= 1)) {
    invalidArgument('window', `must be a whole number from 1, got ${window}`, window)
  }
  const queues = files.map(file => new Queue(file[Symbol.asyncIterator](), window))
  const together = (from: Queue, { key, record }: Waiting): Joined =>
    queues.map(queue => (queue === from ? record : queue.take(key)))
  try {
    for (const [index, lead] of queues.entries()) {
      const others = queues.slice(index + 1)
      for (let first = await lead.shift(); first; first = await lead.shift()) {
        for (const queue of others) await queue.readTo(first.key)
        yield together(lead, first)
        for (const queue of others) {
          for (let stale = queue.shiftStale(); stale; stale = queue.shiftStale()) yield together(queue, stale)
        }
      }
    }
  } finally {
    await Promise.all(queues.map(queue => queue.close()))
  }
}

interface Waiting {
  readonly key: string
  /** Its place in the file. */
  readonly place: number
  readonly record: LabelRecord
}

/** Records of a file in order, found by key as far as they are read. */
class Queue {
  readonly #records: AsyncIterator<LabelRecord>
  readonly #window: number
  /** In the order in which they were read. */
  readonly #waiting = new Set<Waiting>()
  readonly #byKey = new Map<string, Waiting[]>()
  #ended = false
  #read = 0
  /** Where in the file the others are. */
  #place = 0
  /** Records of others in a row that it does not have. */
  #missed = 0

  constructor(records: AsyncIterator<LabelRecord>, window: number) {
    this.#records = records
    this.#window = window
  }

  /** The first record that waits. */
  async shift(): Promise<Waiting | null> {
    if (this.#waiting.size === 0) await this.#next()
    const [first] = this.#waiting
    if (first) this.#remove(first)
    return first ?? null
  }

  /** The first record that waits, if the others have gone on from it farther than the window. */
  shiftStale(): Waiting | null {
    const [first] = this.#waiting
    if (!first || first.place >= this.#place - this.#window) return null
    this.#remove(first)
    return first
  }

  /** Reads on until a record with this key waits, no farther than the window from where the others are. */
  async readTo(key: string): Promise<void> {
    while (!this.#byKey.has(key) && !this.#ended && this.#read <= this.#place + this.#window) await this.#next()
    if (this.#byKey.has(key)) this.#missed = 0
    // So many misses are no gap: the others are elsewhere.
    else if (++this.#missed > this.#window) this.#place++
  }

  /** The first record with this key, of those that wait. */
  take(key: string): LabelRecord | null {
    const found = this.#byKey.get(key)?.[0]
    if (!found) return null
    this.#remove(found)
    this.#place = Math.max(this.#place, found.place)
    return found.record
  }

  async close(): Promise<void> {
    await this.#records.return?.()
  }

  async #next(): Promise<void> {
    if (this.#ended) return
    const { done, value: record } = await this.#records.next()
    if (done) {
      this.#ended = true
      return
    }
    const waiting = { key: solutionKey(record).key, place: this.#read++, record }
    this.#waiting.add(waiting)
    const same = this.#byKey.get(waiting.key)
    if (same) same.push(waiting)
    else this.#byKey.set(waiting.key, [waiting])
  }

  #remove(waiting: Waiting): void {
    this.#waiting.delete(waiting)
    const same = this.#byKey.get(waiting.key)!
    if (same.length === 1) this.#byKey.delete(waiting.key)
    else same.splice(same.indexOf(waiting), 1)
  }
}
