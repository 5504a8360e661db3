/** Overlap of training text with test sets, by n-grams of words (Brown et al., arXiv 2005.14165, appendix C: 13 words). */
import { KeyTable, mixed } from './collect-keys.ts'

/** Sets that the bits of a number can tell apart. */
export const MOST_SETS = 32

/** Scripts that write words without blanks between them: there each character is a word. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/u

/**
 * The words of a text: runs of letters and digits, in lower case and compatibility form (NFKC), so that neither
 * punctuation nor the markup of formulas tells two texts apart.
 */
export function wordsOf(text: string): string[] {
  const runs =
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? []
  return runs.flatMap(run => (UNSPACED.test(run) ? [...run] : [run]))
}

/** The whole of a short text: its words, and the signs of formulas, which alone tell `1 + 1` and `1 - 1` apart. */
function wholeOf(text: string): string {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+|[\p{Sm}*/^!%-]/gu) ?? []
  ).join(' ')
}

/** How much a text has in common with test sets. */
export interface Overlap {
  /** Which of the sets, as bits: 1 for the first. */
  readonly sets: number
  /** The first words that it shares with one of them. */
  readonly words: string
}

/** The problems of test sets, as n-grams. */
export class TestProblems {
  readonly #n: number
  readonly #grams = new KeyTable()
  /** The sets that have a gram, by its number. */
  readonly #sets: number[] = []
  readonly #whole = new Map<string, number>()
  readonly #hashes = new WordHashes()

  /** @param n words of a gram */
  constructor(n: number) {
    this.#n = n
  }

  /** @param set from 0 to 31 @returns whether the problem is so short that it is compared as a whole */
  add(problem: string, set: number): boolean {
    const bit = 1 << set
    if (this.#hashes.take(problem) < this.#n) {
      const whole = wholeOf(problem)
      if (whole !== '') this.#whole.set(whole, (this.#whole.get(whole) ?? 0) | bit)
      return true
    }
    this.#hashes.grams(this.#n, (high, low) => {
      const number = this.#grams.add(high, low)
      this.#sets[number] = (this.#sets[number] ?? 0) | bit
    })
    return false
  }

  /** Whether a problem is one of the sets', or it and the steps together have n words in a row in common with one. */
  overlap(problem: string, steps: readonly string[]): Overlap | null {
    let sets = 0
    let words = ''
    if (this.#whole.size > 0 && this.#hashes.take(problem) < this.#n) {
      words = wholeOf(problem)
      sets = this.#whole.get(words) ?? 0
    }
    if (this.#grams.size > 0) {
      const text = `${problem}\n${steps.join('\n')}`
      let first = -1
      this.#hashes.take(text)
      this.#hashes.grams(this.#n, (high, low, at) => {
        const number = this.#grams.find(high, low)
        if (number < 0) return
        if (first < 0) first = at
        sets |= this.#sets[number]!
      })
      if (first >= 0)
        words = wordsOf(text)
          .slice(first, first + this.#n)
          .join(' ')
    }
    return sets === 0 ? null : { sets, words }
  }
}

/** FNV-1a's offset and prime, and another pair for the hash beside it. */
const [OFFSET, PRIME, OFFSET_2, PRIME_2] = [0x811c9dc5, 0x01000193, 0x9dc5811c, 0x01000f05]
/** Odd bases of the two rolling hashes. */
const [BASE, BASE_2] = [0x2c1b3c6d, 0x297a2d39]

const isDigit = (unit: number): boolean => unit >= 0x30 && unit <= 0x39
const isLetter = (unit: number): boolean => unit >= 0x61 && unit <= 0x7a

/** Two hashes of 32 bits of each word of a text, and of each n words in a row (Karp and Rabin 1987). */
class WordHashes {
  #first = new Uint32Array(1 << 12)
  #second = new Uint32Array(1 << 12)
  #count = 0

  /** Takes the words of a text; returns how many there are. */
  take(text: string): number {
    this.#count = 0
    let from = -1
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at)
      if (unit > 0x7f) return this.#takeWords(wordsOf(text))
      if (isDigit(unit) || isLetter(unit | 0x20)) {
        if (from < 0) from = at
      } else if (from >= 0) {
        this.#put(text, from, at)
        from = -1
      }
    }
    if (from >= 0) this.#put(text, from, text.length)
    return this.#count
  }

  /** Shows the hashes of each n words in a row, and where they begin. */
  grams(n: number, see: (high: number, low: number, at: number) => void): void {
    const [first, second] = [this.#first, this.#second]
    let [out, out2] = [1, 1]
    for (let i = 0; i < n; i++) {
      out = Math.imul(out, BASE)
      out2 = Math.imul(out2, BASE_2)
    }
    let [high, low] = [0, 0]
    for (let at = 0; at < this.#count; at++) {
      high = (Math.imul(high, BASE) + first[at]!) | 0
      low = (Math.imul(low, BASE_2) + second[at]!) | 0
      if (at >= n) {
        high = (high - Math.imul(out, first[at - n]!)) | 0
        low = (low - Math.imul(out2, second[at - n]!)) | 0
      }
      if (at >= n - 1) see(high >>> 0, low >>> 0, at - n + 1)
    }
  }

  #takeWords(words: readonly string[]): number {
    this.#count = 0
    for (const word of words) this.#put(word, 0, word.length)
    return this.#count
  }

  #put(text: string, from: number, to: number): void {
    let [high, low] = [OFFSET, OFFSET_2]
    for (let at = from; at < to; at++) {
      let unit = text.charCodeAt(at)
      if (unit >= 0x41 && unit <= 0x5a) unit |= 0x20
      high = Math.imul(high ^ unit, PRIME)
      low = Math.imul(low ^ unit, PRIME_2)
    }
    if (this.#count === this.#first.length) {
      this.#first = doubled(this.#first)
      this.#second = doubled(this.#second)
    }
    this.#first[this.#count] = mixed(high)
    this.#second[this.#count++] = mixed(low)
  }
}

function doubled(numbers: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(numbers.length * 2)
  larger.set(numbers)
  return larger
}
