import type { Rational } from './rational.ts'
import { spend } from './work.ts'

/** What an inner node does with its arguments. */
export type Operator =
  | 'add'
  | 'mul'
  | 'div'
  | 'neg'
  | 'pow'
  | 'root'
  | 'percent'
  | 'degrees'
  | 'factorial'
  | 'binomial'
  | 'call'

/** A parsed expression. `digits` of a number counts its printed decimals and significant digits. */
export type Node =
  | {
      readonly op: 'number'
      readonly value: Rational
      readonly digits: { decimals: number; significant: number } | null
    }
  | { readonly op: 'variable'; readonly name: string }
  | { readonly op: 'constant'; readonly name: 'pi' | 'e' | 'i' | 'infinity' }
  | { readonly op: 'matrix'; readonly rows: readonly (readonly Node[])[] }
  | { readonly op: Operator; readonly name?: string; readonly args: readonly Node[] }

/** The relations an answer may state. */
export type Relation = '=' | '!=' | '<' | '<=' | '>' | '>=' | 'in'

/**
 * A whole answer, split into its parts. `value` is one expression with an optional unit, and the digits of a numeral
 * with a base (`1011_2`), else ''; `list` is unordered (roots);
 * `sequence` is ordered and bracketed (point, vector, interval); `union` and `difference` combine sets of numbers.
 */
export type Answer =
  | { readonly kind: 'value'; readonly node: Node; readonly unit: string; readonly digits: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly Answer[]; readonly joined: 'and' | 'or' | ',' }
  | { readonly kind: 'set'; readonly items: readonly Answer[] }
  | {
      readonly kind: 'sequence'
      readonly left: '(' | '['
      readonly right: ')' | ']'
      readonly items: readonly Answer[]
    }
  | { readonly kind: 'union' | 'intersection' | 'difference'; readonly parts: readonly Answer[] }
  | { readonly kind: 'ratio'; readonly items: readonly Answer[] }
  | {
      readonly kind: 'relation'
      readonly relations: readonly Relation[]
      readonly sides: readonly Answer[]
      /** What the relation gives a value to (`x`, `f(x)`, `AB`), '' when it names nothing. */
      readonly name: string
      /** The index of the side that holds that value, −1 for none. */
      readonly held: number
    }

export type Value = Extract<Answer, { kind: 'value' }>
export type Statement = Extract<Answer, { kind: 'relation' }>

/** The arguments of an inner node, none for a leaf. */
function children(node: Node): readonly Node[] {
  if ('args' in node) return node.args
  return node.op === 'matrix' ? node.rows.flat() : []
}

export function contains(node: Node, test: (node: Node) => boolean): boolean {
  spend(0.25)
  return test(node) || children(node).some(child => contains(child, test))
}

/** The names of the free variables, sorted. */
export function variables(node: Node, into: Set<string> = new Set()): Set<string> {
  spend(0.25)
  if (node.op === 'variable') into.add(node.name)
  for (const child of children(node)) variables(child, into)
  return into
}
