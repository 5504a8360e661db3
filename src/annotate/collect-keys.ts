/** Texts as keys: what counts as the same text, and tables of keys in flat memory. */
import { hash } from 'node:crypto'
import type { LabelRecord } from '../datasets/records.ts'

/** A text as four words of 32 bits of its SHA-256. */
export type Key = Uint32Array

/**
 * A text as duplicates are told by it: Unicode in composed form (NFC), lower case, every run of white space one blank,
 * none at the ends; characters without width are left out.
 */
export function normalised(text: string): string {
  if (!/[^!-~ ]| {2}/.test(text)) return text.toLowerCase().trim()
  return text
    .normalize('NFC')
    .toLowerCase()
    .replace(/[\u200b-\u200d\u2060\ufeff]+/g, '')
    .replace(/\s+/g, ' ')
    .trim()
}

/** A solution's problem and its steps, each normalised and without a leading `Step 3:`, one a line. */
export function normalisedSolution({ problem, steps }: Pick<LabelRecord, 'problem' | 'steps'>): string {
  return [problem, ...steps.map(step => step.replace(/^\s*step\s+\d+\s*[:.]/i, ''))].map(normalised).join('\n')
}

export function keyOf(text: string): Key {
  const digest = hash('sha256', text, 'buffer')
  return Uint32Array.from([0, 4, 8, 12], at => digest.readUInt32LE(at))
}

/** Mixes the bits of a 32-bit word so that each depends on all: the finaliser of MurmurHash3 (Appleby, public domain). */
export function mixed(word: number): number {
  let bits = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}

/**
 * Numbers keys of 64 bits in the order in which they come, in 12 bytes a slot and at most three slots a key. Of a million
 * different texts any two share these bits with a probability of 3 in 10⁸ (n² / 2⁶⁵), and then count as one.
 */
export class KeyTable {
  #high: Uint32Array = new Uint32Array(1 << 10)
  #low: Uint32Array = new Uint32Array(1 << 10)
  /** From 1; 0 for an empty slot. */
  #numbers: Uint32Array = new Uint32Array(1 << 10)
  #size = 0

  /** How many keys there are: the number of the next one. */
  get size(): number {
    return this.#size
  }

  /** The number of a key; −1 for one that is not there. */
  find(high: number, low: number): number {
    return this.#numbers[this.#slot(high, low)]! - 1
  }

  /** The number of a key, which is put in when it is not there. */
  add(high: number, low: number): number {
    const at = this.#slot(high, low)
    const number = this.#numbers[at]!
    if (number > 0) return number - 1
    this.#put(at, high, low, ++this.#size)
    if (this.#size * 3 > this.#numbers.length * 2) this.#grow()
    return this.#size - 1
  }

  #slot(high: number, low: number): number {
    const mask = this.#numbers.length - 1
    let at = mixed(high ^ Math.imul(low, 0x9e3779b1)) & mask
    while (this.#numbers[at] !== 0 && (this.#high[at] !== high || this.#low[at] !== low)) at = (at + 1) & mask
    return at
  }

  #put(at: number, high: number, low: number, number: number): void {
    this.#high[at] = high
    this.#low[at] = low
    this.#numbers[at] = number
  }

  #grow(): void {
    const [highs, lows, numbers] = [this.#high, this.#low, this.#numbers]
    const slots = numbers.length * 2
    this.#high = new Uint32Array(slots)
    this.#low = new Uint32Array(slots)
    this.#numbers = new Uint32Array(slots)
    for (let at = 0; at < numbers.length; at++) {
      if (numbers[at] !== 0) this.#put(this.#slot(highs[at]!, lows[at]!), highs[at]!, lows[at]!, numbers[at]!)
    }
  }
}

/** Numbers in a row, one added after the other, in typed memory. */
export class Column<Numbers extends Uint8Array | Uint32Array | Float64Array> {
  values: Numbers
  readonly #make: (length: number) => Numbers
  #length = 0

  constructor(make: (length: number) => Numbers) {
    this.#make = make
    this.values = make(1 << 10)
  }

  get length(): number {
    return this.#length
  }

  push(value: number): void {
    if (this.#length === this.values.length) {
      const larger = this.#make(this.#length * 2)
      larger.set(this.values)
      this.values = larger
    }
    this.values[this.#length++] = value
  }
}
