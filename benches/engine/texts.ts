import type { StepsTrace } from '../../src/index.ts'

/**
 * Seeded texts of exact lengths. Each is made of digits, because a digit is one token in every vocabulary used here, and the
 * line break that closes a step is one more; the work does not depend on which tokens they are.
 */
export class Texts {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** In [0, 1). */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  digits(tokens: number): string {
    return Array.from({ length: tokens }, () => Math.floor(this.random() * 10)).join('')
  }

  /** Steps of `size` tokens each, their line breaks counted. */
  steps(count: number, size: number): string[] {
    return Array.from({ length: count }, () => this.digits(size - 1))
  }

  /** One trace of that many tokens: two fifths of them the problem, then steps of about thirty. */
  trace(tokens: number): StepsTrace {
    const problem = this.digits(Math.floor(tokens * 0.4))
    const rest = tokens - problem.length
    const steps = Math.max(1, Math.round(rest / 30))
    const ends = Array.from({ length: steps + 1 }, (_, at) => Math.floor((rest * at) / steps))
    return { problem, steps: ends.slice(1).map((end, at) => this.digits(end - ends[at]! - 1)) }
  }

  /** Distinct traces whose lengths are spread evenly from 120 to 400 tokens, in a random order. */
  ragged(count: number): StepsTrace[] {
    const lengths = Array.from({ length: count }, (_, at) => 120 + Math.round((280 * at) / Math.max(1, count - 1)))
    return this.#shuffled(lengths).map(length => this.trace(length))
  }

  /** Solutions of one problem. */
  candidates(count: number, prompt: number, steps: number, size: number): StepsTrace[] {
    const problem = this.digits(prompt)
    return Array.from({ length: count }, () => ({ problem, steps: this.steps(steps, size) }))
  }

  #shuffled<T>(items: readonly T[]): T[] {
    return items
      .map(item => ({ item, key: this.random() }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item)
  }
}

/** Of a trace of {@link Texts}. */
export function tokensOf(traces: readonly StepsTrace[]): number {
  return traces.reduce((sum, { problem, steps }) => sum + problem.length + steps.join('\n').length + 1, 0)
}

/** Nodes of the prefix tree over the tokens of all traces: what a cache without bounds has to compute. */
export function distinctTokens(traces: readonly StepsTrace[]): number {
  const texts = traces.map(({ problem, steps }) => problem + steps.map(step => `${step}\n`).join('')).sort()
  let distinct = 0
  for (const [at, text] of texts.entries()) {
    const before = texts[at - 1] ?? ''
    let shared = 0
    while (shared < before.length && before[shared] === text[shared]) shared++
    distinct += text.length - shared
  }
  return distinct
}
