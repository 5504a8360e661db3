/** A node's part of a solution. */
export interface Text {
  /** As it was written, with the separator behind a step that the answer goes on after. */
  readonly raw: string
  /** The steps in it, trimmed; none of them blank. */
  readonly steps: readonly string[]
}

/** The texts of a search's nodes: the numbers of the tree, and what stands behind them. */
export class Texts {
  readonly #separator: string
  /** null: an outcome model, for which a text is one step. */
  readonly #split: string | null
  readonly #nodes = new Map<number, Text & { readonly parent: number }>()

  constructor(separator: string, split: string | null) {
    this.#separator = separator
    this.#split = split
  }

  /** What a policy wrote behind a node. `goesOn`: a separator ended it. */
  textOf(written: string, goesOn: boolean): Text {
    const raw = goesOn ? written + this.#separator : written
    return { raw, steps: this.#steps(raw) }
  }

  set(node: number, parent: number, text: Text): void {
    this.#nodes.set(node, { ...text, parent })
  }

  has(node: number): boolean {
    return node === 0 || this.#nodes.has(node)
  }

  /** Gives a node the first `steps` steps of another. */
  cut(node: number, { of, steps }: { readonly of: number; readonly steps: number }): void {
    const { raw, parent } = this.#at(of)
    this.set(node, parent, this.#begin(raw, steps))
  }

  /** Every node with its parent and its text. */
  all(): (readonly [node: number, parent: number, raw: string])[] {
    return [...this.#nodes].map(([node, { parent, raw }]) => [node, parent, raw])
  }

  /** Hashes of the whole text up to the end of each step that is written behind a node. */
  prefixes(node: number, raw: string): number[] {
    const before = this.prefix(node)
    return this.#steps(raw).map((_, index) => hashOf(before + this.#begin(raw, index + 1).raw))
  }

  /** The whole text from the root to the end of a node. */
  prefix(node: number): string {
    return this.#way(node)
      .map(({ raw }) => raw)
      .join('')
  }

  /** Its steps. */
  steps(node: number): string[] {
    return this.#way(node).flatMap(({ steps }) => steps)
  }

  of(node: number): Text {
    return node === 0 ? { raw: '', steps: [] } : this.#at(node)
  }

  #at(node: number): Text & { readonly parent: number } {
    const text = this.#nodes.get(node)
    if (text === undefined) throw new RangeError(`node ${node} has no text`)
    return text
  }

  #way(node: number): Text[] {
    const way: Text[] = []
    for (let at = node; at !== 0; ) {
      const text = this.#at(at)
      way.push(text)
      at = text.parent
    }
    return way.reverse()
  }

  #steps(raw: string): string[] {
    const parts = this.#split === null ? [raw] : raw.split(this.#separator)
    return parts.map(part => part.trim()).filter(part => part !== '')
  }

  #begin(raw: string, steps: number): Text {
    const parts = raw.split(this.#separator)
    let [taken, found] = [0, 0]
    while (found < steps && taken < parts.length) {
      if (parts[taken]!.trim() !== '') found++
      taken++
    }
    return this.textOf(parts.slice(0, taken).join(this.#separator), true)
  }
}

/**
 * A number below 2^52 that equal texts share: two runs of FNV-1a over its UTF-16 units, the second one from the end. The
 * engine's driver computes the same.
 */
export function hashOf(text: string): number {
  const units = text.trim()
  const step = (hash: number, at: number): number => Math.imul(hash ^ units.charCodeAt(at), 0x01000193)
  let [forth, back] = [0x811c9dc5, 0x9747b28c]
  for (let at = 0; at < units.length; at++) {
    forth = step(forth, at)
    back = step(back, units.length - 1 - at)
  }
  return (forth >>> 0) * 2 ** 20 + (back >>> 12)
}
