/**
 * The ids of a dataset, each given once: a repeated one gets its place behind it. It keeps 64 bits of each id, not the
 * id, so that a million take 16 MB; two ids that share those bits would only make the second longer.
 */
export class Ids {
  #slots = new BigUint64Array(1 << 10)
  #count = 0

  unique(id: string, place: string): string {
    return this.#add(hash(id)) ? id : `${id}@${place}`
  }

  /** False for what is there already. */
  #add(key: bigint): boolean {
    if (!insert(this.#slots, key)) return false
    if (++this.#count * 2 > this.#slots.length) {
      const slots = new BigUint64Array(this.#slots.length * 2)
      for (const slot of this.#slots) if (slot !== 0n) insert(slots, slot)
      this.#slots = slots
    }
    return true
  }
}

function insert(slots: BigUint64Array, key: bigint): boolean {
  const mask = slots.length - 1
  let at = Number(key & 0xffff_ffffn) & mask
  while (slots[at] !== 0n) {
    if (slots[at] === key) return false
    at = (at + 1) & mask
  }
  slots[at] = key
  return true
}

/** Two FNV-1a hashes of the code units, one from each end, side by side; never 0. */
function hash(text: string): bigint {
  let [low, high] = [0x811c9dc5, 0x811c9dc5]
  for (let at = 0, end = text.length - 1; end >= 0; at++, end--) {
    low = Math.imul(low ^ text.charCodeAt(at), 0x01000193)
    high = Math.imul(high ^ text.charCodeAt(end), 0x01000193)
  }
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0) || 1n
}
