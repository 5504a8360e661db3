import { fingerprint, modInverse, PRIME } from './field.ts'
import { evaluate, isReal, realPoint } from './numeric.ts'
import { node, number } from './parse.ts'
import { DivisionByZero } from './rational.ts'
import { printSet, realSet } from './realset.ts'
import { type Answer, type Node, type Statement, type Value, variables } from './tree.ts'
import { measure } from './units.ts'
import { nodeKey } from './values.ts'
import { clockTime, textKey } from './words.ts'
import { spend } from './work.ts'

/**
 * The canonical name of an answer under the strict relation: two answers are strictly equal when their keys are the
 * same string, so the relation is symmetric and transitive by construction.
 */
export function keyOf(answer: Answer): string {
  spend(1)
  switch (answer.kind) {
    case 'value':
      return valueKey(answer)
    case 'text': {
      const clock = clockTime(answer.text)
      return clock?.half ? `time:${clock.minutes}` : setOr(answer, () => `text:${textKey(answer.text)}`)
    }
    case 'set':
      return `{${[...new Set(answer.items.map(keyOf))].sort().join()}}`
    case 'list':
      return setOr(answer, () => listKey(answer.items))
    case 'sequence':
      return sequenceKey(answer)
    case 'ratio':
      return ratioKey(answer.items)
    case 'relation':
      return relationKey(answer)
    default:
      return setOr(answer, () => `${answer.kind}(${answer.parts.map(keyOf).sort().join()})`)
  }
}

function setOr(answer: Answer, otherwise: () => string): string {
  const set = realSet(answer)
  if (!set) return otherwise()
  const finite = set.every(({ low, high }) => low.at === high.at)
  return finite
    ? `{${set
        .map(({ low }) => low.key)
        .sort()
        .join()}}`
    : printSet(set)
}

function valueKey({ node: of, unit }: Value): string {
  if (of.op === 'variable' && of.name === 'R-set') return '(-infinity,infinity)'
  if (!unit) return nodeKey(of)
  const known = measure(unit)
  return known
    ? `${nodeKey(node('mul', of, number(known.size)))} ${known.dimensions}`
    : `${nodeKey(of)} ${textKey(unit)}`
}

/** Statements that name different quantities keep the names; `x = 1, x = 2` and `x = 1, 2` are the values. */
function listKey(items: readonly Answer[]): string {
  const names = items.map(item => (item.kind === 'relation' && item.held >= 0 ? item.name : ''))
  const several = new Set(names.filter(name => name !== '')).size > 1
  const keys = items.map((item, index) => (several && names[index] ? `${names[index]}=${keyOf(item)}` : keyOf(item)))
  return `<${keys.sort().join()}>`
}

function sequenceKey(answer: Extract<Answer, { kind: 'sequence' }>): string {
  const keys = answer.items.map(keyOf)
  const brackets = keys.length === 2 && (answer.left === '[' || answer.right === ']')
  const infinite = keys.some(key => key.endsWith('infinity'))
  if (brackets || infinite) return setOr(answer, () => `${answer.left}${keys.join()}${answer.right}`)
  return `(${keys.join()})`
}

function ratioKey(items: readonly Answer[]): string {
  const nodes = items.map(item => (item.kind === 'value' ? item.node : null))
  const first = nodes[0]
  if (!first || nodes.some(n => n === null)) return `ratio(${items.map(keyOf).join(':')})`
  return `ratio(${(nodes as Node[]).map(n => nodeKey(node('div', n, first))).join(':')})`
}

function relationKey(statement: Statement): string {
  const { relations, sides, held } = statement
  if (held >= 0) {
    const side = sides[held]!
    if (side.kind !== 'value' || variables(side.node).size === 0 || isNameOnly(statement)) return keyOf(side)
  }
  const set = realSet(statement)
  if (set) return setOr(statement, () => '')
  const nodes = sides.map(side => (side.kind === 'value' ? side.node : null))
  if (nodes.some(n => n === null)) return sides.map((side, k) => `${keyOf(side)}${relations[k] ?? ''}`).join('')
  const links = relations.map((r, k) => {
    const flip = r === '>' || r === '>='
    const [a, b] = flip ? [nodes[k + 1]!, nodes[k]!] : [nodes[k]!, nodes[k + 1]!]
    return `${flip ? r.replace('>', '<') : r}${scaledKey(node('add', b, node('neg', a)), r === '=' || r === '!=')}`
  })
  return links.sort().join('&')
}

/** `f(x) = x^2` and `AB = 2r` give an expression; `y = 2x` is an equation in x and y. */
const isNameOnly = (statement: Statement): boolean => !/^[a-zA-Z]$/.test(statement.name)

/** The key of a difference up to a positive factor, or any factor for an equation. */
function scaledKey(difference: Node, anySign: boolean): string {
  const places = [0, 1, 2, 3]
  try {
    const residues = places.map(place => fingerprint(difference, place))
    const inverse = residues[0] === null ? null : modInverse(residues[0]!)
    if (inverse !== null && residues.every(residue => residue !== null)) {
      const ratios = residues.slice(1).map(residue => ((residue! * inverse) % PRIME).toString(36))
      return `${anySign ? '' : signAt(difference)}${ratios.join('.')}`
    }
  } catch (error) {
    if (!(error instanceof DivisionByZero)) throw error
  }
  const values = places.map(k => evaluate(difference, realPoint(2 * k)))
  const scale = values.find(value => isReal(value) && Math.abs(value.re) > 1e-12)
  if (!scale) return nodeKey(difference)
  const sign = anySign ? 1 : Math.sign(scale.re)
  return values.map(value => (isReal(value) ? ((sign * value.re) / Math.abs(scale.re)).toPrecision(8) : 'u')).join()
}

const signAt = (difference: Node): string => (evaluate(difference, realPoint(0)).re < 0 ? '-' : '+')
