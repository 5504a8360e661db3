/** A stream of draws that depends on nothing but its keys: the same keys give the same stream, in any order of use. */
export interface Random {
  /** Uniform in [0, 1). */
  unit(): number
  /** Uniform integer from `low` to `high`, both included. */
  int(low: number, high: number): number
  pick<T>(items: readonly T[]): T
  /** True with the given probability. */
  chance(probability: number): boolean
}

/** The finaliser of MurmurHash3: every bit of the input moves every bit of the output. */
function mix(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** A counter-based generator (SplitMix with 32-bit words): draw i is a hash of the keys and i. */
export function random(...keys: readonly number[]): Random {
  const key = keys.reduce((state, part) => mix(Math.imul(state, 0x9e3779b1) + mix(part + 0x7f4a7c15)), 0)
  let counter = 0
  const unit = (): number => mix(key ^ mix(Math.imul(++counter, 0x9e3779b9) + key)) / 2 ** 32
  return {
    unit,
    int: (low, high) => low + Math.floor(unit() * (high - low + 1)),
    pick: items => items[Math.floor(unit() * items.length)]!,
    chance: probability => unit() < probability,
  }
}
