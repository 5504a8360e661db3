/** Random numbers that depend on nothing but a seed. */

/**
 * Numbers in [0, 1), the same ones for the same seed everywhere: an additive counter and a 32-bit hash of it (the
 * construction of SplitMix, Steele, Lea and Flood 2014, at 32 bits).
 */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let bits = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97)
    return ((bits ^ (bits >>> 15)) >>> 0) / 2 ** 32
  }
}

/** Moves `count` items drawn without repetition to the front of `items` (Fisher and Yates). */
export function drawToFront<T>(items: T[], count: number, random: () => number): void {
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(random() * (items.length - i))
    const item = items[i]!
    items[i] = items[j]!
    items[j] = item
  }
}
