import { type HierarchyPointNode, hierarchy, tree } from 'd3-hierarchy'
import type { Row, Shown } from './rows.ts'

/** Of a node's card, and from one card to the next: units that are CSS pixels at a zoom of 1. */
export const CARD = { width: 188, height: 46 } as const
const STEP = { x: 236, y: 56 } as const

/** More children without children of their own than that stand in a block of several columns. */
const BLOCK_FROM = 9
/** How much wider than high a block is, about. */
const BLOCK_SHAPE = 1.6

export interface Block {
  readonly parent: number
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface Layout {
  /** The left and top edge of each row's card; NaN where the row is not drawn. */
  readonly x: Float64Array
  readonly y: Float64Array
  /** Rows that stand in a block, which one edge leads to. */
  readonly inBlock: readonly boolean[]
  readonly blocks: readonly Block[]
  readonly width: number
  readonly height: number
}

/** A node, or a column of a block. */
interface Slot {
  readonly places: readonly number[]
  /** Places that it is high. */
  readonly lines: number
  /** From this column of a block to its last; 0: a node. */
  readonly columns: number
  readonly children: Slot[]
}

/**
 * The tidy tree of the drawn nodes, from left to right (Buchheim, Jünger and Leipert 2002, by d3-hierarchy), in linear time.
 * Many leaves of one node are a block, which takes as many levels as it has columns.
 */
export function layOut(rows: readonly Row[], { has }: Pick<Shown, 'has'>): Layout {
  const x = new Float64Array(rows.length).fill(Number.NaN)
  const y = new Float64Array(rows.length).fill(Number.NaN)
  const inBlock = new Array<boolean>(rows.length).fill(false)
  const blocks: Block[] = []
  const placed = tree<Slot>()
    .nodeSize([1, 1])
    .separation((a, b) => (heightOf(a.data) + heightOf(b.data)) / 2 + (a.parent === b.parent ? 0 : 0.3))(
    hierarchy(slots(rows, has), ({ children }) => children),
  )
  let [least, most, deepest] = [0, 0, 0]
  placed.each(({ x: middle, data, depth }) => {
    least = Math.min(least, middle - heightOf(data) / 2)
    most = Math.max(most, middle + heightOf(data) / 2)
    deepest = Math.max(deepest, depth)
  })
  placed.each((at: HierarchyPointNode<Slot>) => {
    const { places, lines, columns } = at.data
    const top = at.x - least - lines / 2
    for (const [line, place] of places.entries()) {
      x[place] = at.depth * STEP.x
      y[place] = (top + line) * STEP.y + (STEP.y - CARD.height) / 2
      inBlock[place] = columns > 0
    }
    if (columns > 0 && at.parent!.data.columns === 0) {
      const width = (columns - 1) * STEP.x + CARD.width + 16
      const height = lines * STEP.y + 6
      blocks.push({ parent: rows[places[0]!]!.parent, x: at.depth * STEP.x - 8, y: top * STEP.y - 3, width, height })
    }
  })
  return { x, y, inBlock, blocks, width: deepest * STEP.x + CARD.width, height: (most - least) * STEP.y }
}

/** In steps from card to card; a block keeps a little room around it. */
function heightOf({ lines, columns }: Slot): number {
  return lines + (columns > 0 ? 0.4 : 0)
}

function slots(rows: readonly Row[], has: readonly boolean[]): Slot {
  const made = rows.map((_, place): Slot => ({ places: [place], lines: 1, columns: 0, children: [] }))
  // Children come after their parents: those of a node are complete when it is reached.
  for (let place = rows.length - 1; place >= 0; place--) {
    if (!has[place]) continue
    const drawn = rows[place]!.children.filter(child => has[child])
    const leaves = drawn.filter(child => made[child]!.children.length === 0)
    const block = leaves.length > BLOCK_FROM
    for (const child of drawn) if (!block || made[child]!.children.length > 0) made[place]!.children.push(made[child]!)
    if (block) made[place]!.children.push(columnsOf(leaves))
  }
  return made[0]!
}

/** Leaves as the columns of a block, each the child of the one before. */
function columnsOf(leaves: readonly number[]): Slot {
  const lines = Math.ceil(Math.sqrt((leaves.length * STEP.x) / STEP.y / BLOCK_SHAPE))
  const columns = Math.ceil(leaves.length / lines)
  const made: Slot[] = []
  for (let column = columns - 1; column >= 0; column--) {
    const places = leaves.slice(column * lines, (column + 1) * lines)
    const next = made.at(-1)
    made.push({ places, lines, columns: columns - column, children: next === undefined ? [] : [next] })
  }
  return made.at(-1)!
}
