/** How many solutions may be kept of each kind, and which ones are. */
import { invalidArgument } from '../errors.ts'
import { Column } from './collect-keys.ts'

/** What solutions are told apart by. */
export const dimensions = ['source', 'topic', 'difficulty'] as const

export type Dimension = (typeof dimensions)[number]

/** A limit on the solutions of each cell: those that agree in all of `by`. */
export interface Quota {
  /** None: all solutions are one cell. */
  readonly by: readonly Dimension[]
  /** Only solutions with these values are limited. */
  readonly where?: { readonly [D in Dimension]?: string }
  /** Of each cell. */
  readonly most: number
}

/** Where a solution belongs. */
export type Kinds = Readonly<Record<Dimension, string>>

/** What a quota did. */
export interface QuotaResult extends Quota {
  /** The values of `by`, how many solutions have them, and how many of these are kept. */
  readonly cells: readonly { readonly values: readonly string[]; readonly available: number; readonly kept: number }[]
}

/** Different values of a dimension that a quota may have. */
const MOST_VALUES = 10_000

/** In the column of a quota: the solution is not limited by it. */
const FREE = 0xffff_ffff

/** `source=400000`, `source:prm800k=5000`, `topic+difficulty=200`, `source:prm800k+topic=100`, `total=100000`. */
export function parseQuota(text: string): Quota {
  const parts = /^(.+)=(\d+)$/s.exec(text)
  if (!parts) {
    return invalidArgument('quota', 'must be like source=1000, topic:Algebra+difficulty=200 or total=5000', text)
  }
  const by: Dimension[] = []
  const where: { [D in Dimension]?: string } = {}
  for (const term of parts[1] === 'total' ? [] : parts[1]!.split(/\+(?=(?:source|topic|difficulty)(?::|\+|$))/)) {
    const [name, ...value] = term.split(':')
    if (!dimensions.includes(name as Dimension)) {
      invalidArgument('quota', `must be by ${dimensions.join(', ')} or total, got ${name}`, text)
    }
    if (value.length > 0) where[name as Dimension] = value.join(':')
    else by.push(name as Dimension)
  }
  return { by, ...(Object.keys(where).length > 0 && { where }), most: Number(parts[2]) }
}

/** @throws `ERR_INVALID_ARGUMENT` */
export function checkQuotas(quotas: readonly Quota[], sources: readonly string[]): void {
  for (const { by, where = {}, most } of quotas) {
    const used = [...by, ...Object.keys(where)]
    const unknown = used.find(name => !dimensions.includes(name as Dimension))
    if (unknown !== undefined) invalidArgument('quotas', `must be by ${dimensions.join(', ')}, got ${unknown}`, unknown)
    if (new Set(used).size < used.length) invalidArgument('quotas', 'name a dimension once', used)
    if (!(Number.isSafeInteger(most) && most >= 0)) {
      invalidArgument('quotas', `most must be a whole number, got ${most}`, most)
    }
    if (where.source !== undefined && !sources.includes(where.source)) {
      invalidArgument('quotas', `there is no source ${where.source}; there are ${sources.join(', ')}`, where.source)
    }
  }
}

/**
 * Chooses within quotas, in flat memory: 8 bytes a solution, and 4 for each quota.
 *
 * Solutions are taken in the order of their priorities, each one whose cells all have room. So a single quota keeps
 * exactly min(most, available) of each cell, with several no further solution would fit in; and what is kept depends on
 * the priorities only, not on the order in which solutions come.
 */
export class Choice {
  readonly #quotas: readonly Quota[]
  readonly #priorities = new Column(length => new Float64Array(length))
  readonly #columns: readonly Column<Uint32Array>[]
  /** The number of a cell, for each quota by name. */
  readonly #cells: readonly Map<string, number>[]

  constructor(quotas: readonly Quota[]) {
    this.#quotas = quotas
    this.#columns = quotas.map(() => new Column(length => new Uint32Array(length)))
    this.#cells = quotas.map(() => new Map())
  }

  /** @throws `ERR_INVALID_ARGUMENT` for a quota by what is different nearly everywhere */
  add(priority: number, kinds: Kinds): void {
    if (this.#quotas.length === 0) return
    this.#priorities.push(priority)
    for (const [index, { by, where = {} }] of this.#quotas.entries()) {
      const limited = dimensions.every(name => where[name] === undefined || where[name] === kinds[name])
      this.#columns[index]!.push(
        limited
          ? this.#cell(
              index,
              by.map(name => kinds[name]),
            )
          : FREE,
      )
    }
  }

  #cell(quota: number, values: readonly string[]): number {
    const name = JSON.stringify(values)
    const cells = this.#cells[quota]!
    const known = cells.get(name)
    if (known !== undefined) return known
    if (cells.size >= MOST_VALUES) {
      const by = this.#quotas[quota]!.by.join(' + ')
      invalidArgument('quotas', `there are more than ${MOST_VALUES} values of ${by}, too many for a quota`, by)
    }
    cells.set(name, cells.size)
    return cells.size - 1
  }

  /** Whether each solution is kept, in the order of adding; null where there are no quotas. */
  choose(): { readonly kept: Uint8Array | null; readonly quotas: readonly QuotaResult[] } {
    if (this.#quotas.length === 0) return { kept: null, quotas: [] }
    const priorities = this.#priorities.values
    const kept = new Uint8Array(this.#priorities.length)
    const order = Uint32Array.from({ length: kept.length }, (_, index) => index)
    order.sort((a, b) => priorities[a]! - priorities[b]! || a - b)
    const columns = this.#columns.map(({ values }) => values)
    const counts = this.#cells.map(({ size }) => ({ available: new Uint32Array(size), kept: new Uint32Array(size) }))
    for (const index of order) {
      const room = columns.every((cells, quota) => {
        const cell = cells[index]!
        return cell === FREE || counts[quota]!.kept[cell]! < this.#quotas[quota]!.most
      })
      if (room) kept[index] = 1
      for (const [quota, cells] of columns.entries()) {
        const cell = cells[index]!
        if (cell === FREE) continue
        counts[quota]!.available[cell]!++
        if (room) counts[quota]!.kept[cell]!++
      }
    }
    return { kept, quotas: this.#quotas.map((quota, index) => this.#result(quota, index, counts[index]!)) }
  }

  #result(quota: Quota, index: number, counts: { available: Uint32Array; kept: Uint32Array }): QuotaResult {
    const cells = [...this.#cells[index]!].map(([values, cell]) => ({
      values: JSON.parse(values) as string[],
      available: counts.available[cell]!,
      kept: counts.kept[cell]!,
    }))
    return { ...quota, cells }
  }
}
