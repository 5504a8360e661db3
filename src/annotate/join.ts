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

/** Records of one file that were read, and not yet joined, at most. */
export const WINDOW = 4096

/**
 * Joins files by the text of their solutions. Each file is read once. They must hold the solutions in about the same order:
 * one may lack some, and a solution may stand up to `window` records away from its place in another file; farther ones
 * are not found, and come alone. Where all are in one order, a record of each is in memory.
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
  const together = async (from: Queue, { key, record }: Waiting): Promise<Joined> => {
    const joined: (LabelRecord | null)[] = []
    for (const queue of queues) joined.push(queue === from ? record : await queue.take(key))
    return joined
  }
  try {
    for (const lead of queues) {
      for (let first = await lead.shift(); first; first = await lead.shift()) {
        yield await together(lead, first)
        for (const queue of queues) {
          while (queue.isFull) yield await together(queue, (await queue.shift())!)
        }
      }
    }
  } finally {
    await Promise.all(queues.map(queue => queue.close()))
  }
}

interface Waiting {
  readonly key: string
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

  constructor(records: AsyncIterator<LabelRecord>, window: number) {
    this.#records = records
    this.#window = window
  }

  get isFull(): boolean {
    return this.#waiting.size >= this.#window
  }

  /** The first record that waits. */
  async shift(): Promise<Waiting | null> {
    if (this.#waiting.size === 0) await this.#read()
    const [first] = this.#waiting
    if (first) this.#remove(first)
    return first ?? null
  }

  /** The first record with this key, within the window. */
  async take(key: string): Promise<LabelRecord | null> {
    while (!this.#byKey.has(key) && !this.#ended && !this.isFull) await this.#read()
    const found = this.#byKey.get(key)?.[0]
    if (found) this.#remove(found)
    return found?.record ?? null
  }

  async close(): Promise<void> {
    await this.#records.return?.()
  }

  async #read(): Promise<void> {
    if (this.#ended) return
    const { done, value: record } = await this.#records.next()
    if (done) {
      this.#ended = true
      return
    }
    const waiting = { key: solutionKey(record).key, record }
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
