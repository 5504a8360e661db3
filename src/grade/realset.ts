import { isReal } from './numeric.ts'
import { node, number } from './parse.ts'
import { type Answer, type Node, type Relation, type Statement, variables } from './tree.ts'
import { constantValue, infinity, nodeKey, sameNode } from './values.ts'

/** One end of an interval. Ends are compared by value and named by their key. */
interface End {
  readonly at: number
  readonly key: string
  readonly closed: boolean
}

/** A set of reals as disjoint intervals in order; a point is an interval closed at both ends. */
export type RealSet = readonly { readonly low: End; readonly high: End }[]

const LOWEST: End = { at: Number.NEGATIVE_INFINITY, key: '-infinity', closed: false }
const HIGHEST: End = { at: Number.POSITIVE_INFINITY, key: 'infinity', closed: false }
const LINE: RealSet = [{ low: LOWEST, high: HIGHEST }]

function end(of: Node, closed: boolean): End | null {
  const infinite = infinity(of)
  if (infinite !== 0) return infinite > 0 ? HIGHEST : LOWEST
  if (of.op === 'matrix' || variables(of).size > 0) return null
  const value = constantValue(of)
  return isReal(value) ? { at: value.re, key: nodeKey(of), closed } : null
}

/** The set of reals an answer describes: an interval, a union, `x > 3`, `x ≠ 2`, a finite set; null for other answers. */
export function realSet(answer: Answer): RealSet | null {
  switch (answer.kind) {
    case 'sequence': {
      if (answer.items.length !== 2) return null
      const [a, b] = answer.items as [Answer, Answer]
      if (a.kind !== 'value' || b.kind !== 'value' || a.unit || b.unit) return null
      const [low, high] = [end(a.node, answer.left === '['), end(b.node, answer.right === ']')]
      if (!low || !high || low === HIGHEST || high === LOWEST) return null
      return low.at < high.at || (low.at === high.at && low.closed && high.closed) ? [{ low, high }] : null
    }
    case 'set':
      return points(answer.items)
    case 'relation':
      return solutions(answer)
    case 'union':
      return combine(answer.parts, joined)
    case 'intersection':
      return combine(answer.parts, common)
    case 'difference':
      return combine(answer.parts, (a, b) => common(a, complement(b)))
    case 'list':
      return listed(answer.items, answer.joined)
    case 'value':
      return answer.node.op === 'variable' && answer.node.name === 'R-set' ? LINE : null
    case 'text':
      return /^(?:all )?real(?:s| numbers?)$/i.test(answer.text) ? LINE : null
    default:
      return null
  }
}

function points(items: readonly Answer[]): RealSet | null {
  const ends: End[] = []
  for (const item of items) {
    const at = item.kind === 'value' && !item.unit ? end(item.node, true) : null
    if (!at || !Number.isFinite(at.at)) return null
    ends.push(at)
  }
  return joined(
    ends.map(at => ({ low: at, high: at })),
    [],
  )
}

function combine(parts: readonly Answer[], operation: (a: RealSet, b: RealSet) => RealSet): RealSet | null {
  const sets = parts.map(part => realSet(part))
  return sets.some(set => set === null) ? null : (sets as RealSet[]).reduce(operation)
}

/** Conditions on one variable: all of them with `and`; where that leaves nothing, or with `or`, any of them. */
function listed(items: readonly Answer[], how: 'and' | 'or' | ','): RealSet | null {
  if (!items.every(item => item.kind === 'relation' && item.relations.some(r => r !== '=' && r !== 'in'))) return null
  const names = new Set(items.map(item => unknown(item as Statement)?.name))
  if (names.size !== 1) return null
  const sets = items.map(item => solutions(item as Statement))
  if (sets.some(set => set === null)) return null
  const all = (sets as RealSet[]).reduce(common)
  return how === 'or' || all.length === 0 ? (sets as RealSet[]).reduce(joined) : all
}

type Interval = RealSet[number]

const lowBefore = (a: End, b: End) => a.at < b.at || (a.at === b.at && a.closed && !b.closed)
const highAfter = (a: End, b: End) => a.at > b.at || (a.at === b.at && a.closed && !b.closed)

function joined(a: RealSet, b: RealSet): RealSet {
  const all = [...a, ...b].sort((x, y) => (lowBefore(x.low, y.low) ? -1 : lowBefore(y.low, x.low) ? 1 : 0))
  const merged: Interval[] = []
  for (const next of all) {
    const last = merged.at(-1)
    const touches =
      last && (last.high.at > next.low.at || (last.high.at === next.low.at && (last.high.closed || next.low.closed)))
    if (!last || !touches) merged.push(next)
    else if (highAfter(next.high, last.high)) merged[merged.length - 1] = { low: last.low, high: next.high }
  }
  return merged
}

function common(a: RealSet, b: RealSet): RealSet {
  const shared: Interval[] = []
  for (const x of a) {
    for (const y of b) {
      const low = lowBefore(x.low, y.low) ? y.low : x.low
      const high = highAfter(x.high, y.high) ? y.high : x.high
      if (low.at < high.at || (low.at === high.at && low.closed && high.closed)) shared.push({ low, high })
    }
  }
  return joined(shared, [])
}

function complement(set: RealSet): RealSet {
  const gaps: Interval[] = []
  let low = LOWEST
  for (const interval of set) {
    const high = { ...interval.low, closed: !interval.low.closed }
    if (interval.low !== LOWEST) gaps.push({ low, high })
    low = { ...interval.high, closed: !interval.high.closed }
  }
  if (set.at(-1)?.high !== HIGHEST) gaps.push({ low, high: HIGHEST })
  return gaps
}

/** `(-∞,3)∪(3,∞)` as text; single intervals are written like the bracket they could have been. */
export function printSet(set: RealSet): string {
  if (set.length === 0) return '{}'
  return set
    .map(({ low, high }) =>
      low.at === high.at ? `{${low.key}}` : `${low.closed ? '[' : '('}${low.key},${high.key}${high.closed ? ']' : ')'}`,
    )
    .join('U')
}

const FLIPPED: Readonly<Record<Relation, Relation>> = {
  '=': '=',
  '!=': '!=',
  '<': '>',
  '>': '<',
  '<=': '>=',
  '>=': '<=',
  in: 'in',
}

/** The one variable of a relation, null for none or several. */
function unknown(statement: Statement): { name: string } | null {
  const names = new Set<string>()
  for (const side of statement.sides) {
    if (side.kind !== 'value') {
      if (statement.relations[0] !== 'in') return null
    } else variables(side.node, names)
  }
  return names.size === 1 ? { name: [...names][0]! } : null
}

function solutions(statement: Statement): RealSet | null {
  const { relations, sides } = statement
  if (relations.length === 1 && relations[0] === 'in') {
    return sides[0]!.kind === 'value' ? realSet(sides[1]!) : null
  }
  if (relations.some(r => r === '=' || r === 'in') || !unknown(statement)) return null
  const sets = relations.map((r, index) => {
    const [a, b] = [sides[index]!, sides[index + 1]!]
    return a.kind === 'value' && b.kind === 'value' ? linear(a.node, r, b.node) : null
  })
  return sets.some(set => set === null) ? null : (sets as RealSet[]).reduce(common)
}

/** Solves `a r b` where b − a is linear in the one variable, or |x − c| stands alone against a constant. */
function linear(a: Node, r: Relation, b: Node): RealSet | null {
  const [inA, inB] = [variables(a).size > 0, variables(b).size > 0]
  if (!inA && inB) return linear(b, FLIPPED[r], a)
  if (!inA) return null
  if (a.op === 'variable' && !inB) return ray(r, b)
  const difference = inB ? node('add', a, node('neg', b)) : a
  const right = inB ? number(0) : b
  const name = [...variables(difference)][0]!
  const at = (x: number) => substitute(difference, name, number(x))
  const slope = node('add', at(1), node('neg', at(0)))
  const isLinear = [2, -3].every(x => sameNode(at(x), node('add', at(0), node('mul', number(x), slope))))
  const steepness = constantValue(slope)
  if (!isLinear || !isReal(steepness) || Math.abs(steepness.re) < 1e-12) return null
  return ray(steepness.re < 0 ? FLIPPED[r] : r, node('div', node('add', right, node('neg', at(0))), slope))
}

function ray(r: Relation, bound: Node): RealSet | null {
  const at = end(bound, r.endsWith('='))
  if (!at) return null
  if (r === '!=') return complement([{ low: { ...at, closed: true }, high: { ...at, closed: true } }])
  return r.startsWith('<') ? [{ low: LOWEST, high: at }] : [{ low: at, high: HIGHEST }]
}

function substitute(of: Node, name: string, by: Node): Node {
  if (of.op === 'variable') return of.name === name ? by : of
  if (!('args' in of)) return of
  return { ...of, args: of.args.map(arg => substitute(arg, name, by)) }
}
