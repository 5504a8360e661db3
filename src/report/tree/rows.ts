import type { SearchTreeNode } from '../tree.ts'

/** A node by its place in the list of nodes, which stands for it here. */
export interface Row {
  readonly node: SearchTreeNode
  /** −1: the root. */
  readonly parent: number
  readonly children: number[]
  /** Expansions between the root and the node. */
  readonly depth: number
}

/** The nodes with their links. A parent stands before its children. */
export function rowsOf(nodes: readonly SearchTreeNode[]): Row[] {
  const places = new Map<number, number>()
  const rows: Row[] = []
  for (const [place, node] of nodes.entries()) {
    const parent = node.parent === null ? -1 : places.get(node.parent)!
    rows.push({ node, parent, children: [], depth: parent < 0 ? 0 : rows[parent]!.depth + 1 })
    rows[parent]?.children.push(place)
    places.set(node.node, place)
  }
  return rows
}

/** From the root to a node. */
export function pathTo(rows: readonly Row[], place: number): number[] {
  const path: number[] = []
  for (let at = place; at >= 0; at = rows[at]!.parent) path.push(at)
  return path.reverse()
}

/** The score of each of a node's steps: null where it was not asked. Fewer scores than steps are those of the last. */
export function stepScores({ steps, scores }: SearchTreeNode): (number | null)[] {
  const missing = steps.length - scores.length
  return steps.map((_, index) => scores[index - missing] ?? null)
}

export interface ShownOptions {
  /** So many nodes at most, those of `kept` on top. */
  readonly most: number
  /** Shown whatever else is, with all that is above them. */
  readonly kept: readonly number[]
  /** What is below it comes first. */
  readonly opened: number
  /** Whether pruned nodes are shown. */
  readonly pruned: boolean
}

export interface Shown {
  /** Whether a row is drawn. */
  readonly has: readonly boolean[]
  /** Rows that are folded into a drawn one: all that is below it and not drawn, as far as no drawn node is nearer. */
  readonly folded: readonly number[]
  readonly count: number
}

/**
 * Which nodes are drawn: all of them, as long as they are not too many. Else the nearest below the opened node come first, then
 * the nearest to the root, those that were pruned last.
 */
export function shownOf(rows: readonly Row[], { most, kept, opened, pruned }: ShownOptions): Shown {
  const has = new Array<boolean>(rows.length).fill(false)
  let count = 0
  const show = (place: number): void => {
    if (!has[place]) count++
    has[place] = true
  }
  for (const place of [opened, ...kept]) for (const at of pathTo(rows, place)) show(at)
  const grow = (from: number, mayShow: (row: Row) => boolean): void => {
    const queue = [from]
    for (let at = 0; at < queue.length; at++) {
      for (const child of rows[queue[at]!]!.children) {
        if (!has[child]) {
          if (count >= most) return
          if (!mayShow(rows[child]!)) continue
          show(child)
        }
        queue.push(child)
      }
    }
  }
  const lives = ({ node }: Row): boolean => !node.pruned
  for (const from of [opened, 0]) {
    grow(from, lives)
    if (pruned) grow(from, () => true)
  }
  return { has, folded: foldedOf(rows, has), count }
}

function foldedOf(rows: readonly Row[], has: readonly boolean[]): number[] {
  const folded = new Array<number>(rows.length).fill(0)
  for (let place = rows.length - 1; place > 0; place--) {
    if (!has[place]) folded[rows[place]!.parent]! += 1 + folded[place]!
  }
  return folded
}
