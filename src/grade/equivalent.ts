import { invalidArgument } from '../errors.ts'
import { bareAnswer } from './extract.ts'
import { keyOf } from './key.ts'
import { normalize } from './normalize.ts'
import { node, number } from './parse.ts'
import { sub } from './rational.ts'
import { readings } from './read.ts'
import { printSet, realSet } from './realset.ts'
import { type Answer, type Node, type Statement, type Value, variables } from './tree.ts'
import { measure } from './units.ts'
import { decimalTolerance, sameDecimal, sameNode } from './values.ts'
import { clockTime, textKey } from './words.ts'
import { spend, TooComplex, withSteps } from './work.ts'

/** How two answers were found equal, or why they were not. */
export type Verdict =
  | 'identical'
  | 'exact'
  | 'numeric'
  | 'decimal'
  | 'percent'
  | 'unit'
  | 'base'
  | 'assignment'
  | 'list'
  | 'set'
  | 'equation'
  | 'matrix'
  | 'text'
  | 'different'
  | 'too complex'
  | 'empty'

export interface EquivalentOptions {
  /**
   * Only what has the same value is equal: no unit, percent sign, degree sign, base or variable name may be missing on
   * one side, decimals are exact, lists and tuples differ. This relation is symmetric and transitive. Default false.
   */
  readonly strict?: boolean
  /** Whether `50\%` answers a gold of 50 as well as of 0.5. Default true. */
  readonly percent?: boolean
  /** Whether a unit, currency or degree sign that one side lacks is ignored. Default true. */
  readonly units?: boolean
  /**
   * Whether a decimal gold is met by what rounds to it, and an exact gold by six or more right digits. Default true.
   */
  readonly rounding?: boolean
  /** The most steps spent on one pair, about one per token, node or 64-bit product. Default 200,000. */
  readonly steps?: number
}

export interface Equivalence {
  readonly equal: boolean
  readonly how: Verdict
  /** What was compared, as normalised LaTeX. */
  readonly gold: string
  readonly answer: string
}

interface Mode {
  readonly percent: boolean
  readonly units: boolean
  readonly rounding: boolean
}

export const DEFAULT_STEPS = 200_000

/**
 * Whether `answer` means the same as the reference `gold`.
 *
 * Both may be bare answers (`\frac12`, `5 cm`, `(B)`) or whole solutions, from which the final answer is taken as
 * {@link extractAnswer} does. By default the comparison is lenient as the field's graders are (MATH, Math-Verify):
 * 50\% meets both 50 and 0.5, a missing unit is forgiven, `x = 5` meets 5, `1, 2` meets `\{2, 1\}`, and a decimal gold
 * is met at its own precision. Two different units are converted, and differ if they do not convert: 5 cm is not 5 m.
 *
 * Numbers are compared exactly where they are rational, or sums of radicals, powers of π and e, and logarithms;
 * polynomials and fractions by their values modulo 2⁶¹ − 1 (Schwartz, J. ACM 27, 1980); the rest at seeded points.
 *
 * Never throws for any string: what costs more than `steps` is not equal, `how` being `'too complex'`.
 *
 * @throws `ERR_INVALID_ARGUMENT` when `gold` or `answer` is no string, or `steps` is not a positive number
 */
export function equivalent(gold: string, answer: string, options: EquivalentOptions = {}): Equivalence {
  if (typeof gold !== 'string') invalidArgument('gold', `must be a string, got ${typeof gold}`, gold)
  if (typeof answer !== 'string') invalidArgument('answer', `must be a string, got ${typeof answer}`, answer)
  const steps = options.steps ?? DEFAULT_STEPS
  if (!(typeof steps === 'number' && steps > 0))
    invalidArgument('steps', `must be a positive number, got ${steps}`, steps)
  const [a, b] = [bareAnswer(gold), bareAnswer(answer)]
  const verdict = decide(a, b, options, steps)
  return { equal: !['different', 'too complex', 'empty'].includes(verdict), how: verdict, gold: a, answer: b }
}

function decide(gold: string, answer: string, options: EquivalentOptions, steps: number): Verdict {
  if (gold === answer) return 'identical'
  if (gold === '' || answer === '') return 'empty'
  try {
    return withSteps(steps, () => {
      if (options.strict) return strictly(gold, answer)
      if (normalize(gold) === normalize(answer)) return 'identical'
      const mode = {
        percent: options.percent ?? true,
        units: options.units ?? true,
        rounding: options.rounding ?? true,
      }
      return leniently(readings(gold), readings(answer), mode) ?? 'different'
    })
  } catch (error) {
    if (error instanceof TooComplex) return 'too complex'
    throw error
  }
}

function strictly(gold: string, answer: string): Verdict {
  return keyOf(readings(gold)[0]!) === keyOf(readings(answer)[0]!) ? 'exact' : 'different'
}

function leniently(golds: readonly Answer[], answers: readonly Answer[], mode: Mode): Verdict | null {
  for (const gold of golds) {
    for (const answer of answers) {
      const found = same(gold, answer, mode)
      if (found) return found
    }
  }
  return null
}

function same(gold: Answer, answer: Answer, mode: Mode): Verdict | null {
  spend(1)
  if (gold.kind === 'value' && answer.kind === 'value') return sameValue(gold, answer, mode)
  if (gold.kind === 'text' || answer.kind === 'text') return sameText(gold, answer)
  if (gold.kind === 'relation' || answer.kind === 'relation') return sameRelation(gold, answer, mode)
  if (isSingle(gold) !== isSingle(answer)) {
    return isSingle(gold) ? same(gold.items[0]!, answer, mode) : same(gold, (answer as Collection).items[0]!, mode)
  }
  if (isCollection(gold) && isCollection(answer)) return sameCollection(gold, answer, mode)
  if (gold.kind === 'ratio' || answer.kind === 'ratio') return sameRatio(gold, answer, mode)
  return sameSet(gold, answer) ?? sameVector(gold, answer, mode)
}

type Collection = Extract<Answer, { kind: 'list' | 'set' | 'sequence' }>

const isCollection = (answer: Answer): answer is Collection =>
  answer.kind === 'list' || answer.kind === 'set' || answer.kind === 'sequence'

/** `\{5\}` is 5. */
const isSingle = (answer: Answer): answer is Collection => isCollection(answer) && answer.items.length === 1

function sameValue(gold: Value, answer: Value, mode: Mode): Verdict | null {
  if (gold.unit && answer.unit) return sameMeasure(gold, answer, mode)
  if ((gold.unit || answer.unit) && !mode.units) return null
  const direct = sameNumber(gold.node, answer.node, mode)
  if (direct) return gold.unit || answer.unit ? 'unit' : direct
  return gold.digits !== '' && answer.digits === '' ? sameDigits(gold, answer) : null
}

/** A gold of `2516_8` is met by its digits, `2516`. */
function sameDigits(gold: Value, answer: Value): Verdict | null {
  const value = answer.node.op === 'neg' ? answer.node.args[0]! : answer.node
  if (value.op !== 'number' || value.value.d !== 1n) return null
  const digits = `${answer.node.op === 'neg' ? '-' : ''}${value.value.n}`
  return digits === gold.digits.replace(/^(-?)0+(?=\d)/, '$1') ? 'base' : null
}

function sameMeasure(gold: Value, answer: Value, mode: Mode): Verdict | null {
  const [a, b] = [measure(gold.unit), measure(answer.unit)]
  if (!a || !b) return sameNumber(gold.node, answer.node, mode) && 'unit'
  if (a.dimensions !== b.dimensions) return null
  const factor = number({ n: b.size.n * a.size.d, d: b.size.d * a.size.n })
  const converted = sub(a.size, b.size).n === 0n ? answer.node : node('mul', answer.node, factor)
  return sameNumber(gold.node, converted, mode) && 'unit'
}

function sameNumber(gold: Node, answer: Node, mode: Mode): Verdict | null {
  const how = sameNode(gold, answer)
  if (how) return gold.op === 'matrix' ? 'matrix' : how
  if (mode.rounding && sameDecimal(gold, answer)) return 'decimal'
  const tolerance = mode.rounding ? decimalTolerance(gold) : null
  if (tolerance !== null && gold.op !== 'number' && sameNode(gold, answer, tolerance)) return 'decimal'
  if (mode.rounding && gold.op === 'matrix' && answer.op === 'matrix') return sameEntries(gold.rows, answer.rows, mode)
  for (const [sign, allowed] of [
    ['percent', mode.percent],
    ['degrees', mode.units],
  ] as const) {
    const [a, b] = [bare(gold, sign), bare(answer, sign)]
    if (allowed && (a === null) !== (b === null)) {
      const found = sameNumber(a ?? gold, b ?? answer, mode)
      if (found) return sign === 'percent' ? 'percent' : 'unit'
    }
    if (a && b) return sameNumber(a, b, mode)
  }
  return null
}

/** The operand of a percent or degree sign that applies to the whole expression. */
function bare(of: Node, sign: 'percent' | 'degrees'): Node | null {
  if (of.op === sign) return of.args[0]!
  if (of.op === 'neg') {
    const inner = bare(of.args[0]!, sign)
    return inner && node('neg', inner)
  }
  if (of.op === 'mul') {
    const inner = bare(of.args[1]!, sign)
    return inner && node('mul', of.args[0]!, inner)
  }
  return null
}

function sameEntries(
  gold: readonly (readonly Node[])[],
  answer: readonly (readonly Node[])[],
  mode: Mode,
): Verdict | null {
  if (gold.length !== answer.length) return null
  const equal = gold.every(
    (row, i) => row.length === answer[i]!.length && row.every((entry, j) => sameNumber(entry, answer[i]![j]!, mode)),
  )
  return equal ? 'matrix' : null
}

function sameText(gold: Answer, answer: Answer): Verdict | null {
  const sets = sameListedSet(gold, answer)
  if (sets) return sets
  const [a, b] = [wordsOf(gold), wordsOf(answer)]
  if (a === null || b === null) return null
  if (textKey(a) === textKey(b)) return 'text'
  const [s, t] = [clockTime(a), clockTime(b)]
  if (s && t && (s.half === null || t.half === null)) return s.minutes % 720 === t.minutes % 720 ? 'text' : null
  if (s && t) return s.minutes === t.minutes ? 'text' : null
  return nothing(a) && nothing(b) ? 'text' : null
}

const nothing = (words: string): boolean =>
  /^(?:no (?:real |such |integer |possible )*(?:solutions?|values?|numbers?|roots?)(?: exists?)?|none|does not exist|dne|undefined|emptyset|impossible|not possible)$/i.test(
    words.trim().replace(/[.{}\\]/g, ''),
  )

/** The words of a text, a name, or an empty set; null for mathematics. */
function wordsOf(answer: Answer): string | null {
  if (answer.kind === 'text') return answer.text
  if (answer.kind === 'value') return nameIn(answer.node)
  if (answer.kind === 'set' && answer.items.length === 0) return 'none'
  if (answer.kind === 'ratio') {
    const parts = answer.items.map(item =>
      item.kind === 'value' && item.node.op === 'number' ? `${item.node.value.n}` : null,
    )
    return parts.length === 2 && !parts.includes(null) ? `${parts[0]}:${parts[1]!.padStart(2, '0')}` : null
  }
  if (answer.kind === 'list') {
    const words = answer.items.map(wordsOf)
    return words.includes(null) ? null : words.join(',')
  }
  return answer.kind === 'relation' && answer.held >= 0 ? wordsOf(answer.sides[answer.held]!) : null
}

function nameIn(of: Node): string | null {
  if (of.op === 'variable') return of.name
  if (of.op === 'constant' && of.name !== 'pi') return of.name
  if (of.op !== 'mul') return null
  const names = of.args.map(nameIn)
  return names.includes(null) ? null : names.join('')
}

function sameRatio(gold: Answer, answer: Answer, mode: Mode): Verdict | null {
  const parts = (of: Answer): readonly Node[] | null => {
    if (of.kind === 'ratio')
      return of.items.every(item => item.kind === 'value') ? of.items.map(item => (item as Value).node) : null
    return of.kind === 'value' ? [of.node, number(1)] : null
  }
  const [a, b] = [parts(gold), parts(answer)]
  if (!a || !b || a.length !== b.length) return null
  const times = [gold, answer].every(of => /:(?:[1-5]\d|00)$/.test(wordsOf(of) ?? ''))
  const equal = times
    ? a.every((x, k) => sameNumber(x, b[k]!, mode))
    : a.slice(1).every((x, k) => sameNumber(node('div', a[0]!, x), node('div', b[0]!, b[k + 1]!), mode))
  return equal ? 'exact' : null
}

/** Sets of reals however written; two bracketed pairs must also have the same brackets, which their names do. */
function sameSet(gold: Answer, answer: Answer): Verdict | null {
  const [a, b] = [realSet(gold), realSet(answer)]
  return a && b && printSet(a) === printSet(b) ? 'set' : keyOf(gold) === keyOf(answer) ? 'set' : null
}

/** A row or column matrix is the vector of its entries. */
function sameVector(gold: Answer, answer: Answer, mode: Mode): Verdict | null {
  const entries = (of: Answer): readonly Answer[] | null => {
    if (of.kind === 'sequence') return of.items
    if (of.kind !== 'value' || of.node.op !== 'matrix') return null
    const { rows } = of.node
    if (rows.length !== 1 && rows[0]!.length !== 1) return null
    return rows.flat().map((entry): Answer => ({ kind: 'value', node: entry, unit: '', digits: '' }))
  }
  const [a, b] = [entries(gold), entries(answer)]
  return a && b && inOrder(a, b, mode) ? 'matrix' : null
}

const inOrder = (gold: readonly Answer[], answer: readonly Answer[], mode: Mode): boolean =>
  gold.length === answer.length && gold.every((item, k) => same(item, answer[k]!, mode))

/** Whether the items pair off, each with an equal one. */
function inAnyOrder(gold: readonly Answer[], answer: readonly Answer[], mode: Mode): boolean {
  if (gold.length !== answer.length) return false
  const rest = [...answer]
  for (const item of gold) {
    const at = rest.findIndex(other => same(item, other, mode))
    if (at < 0) return false
    rest.splice(at, 1)
  }
  return true
}

function sameCollection(gold: Collection, answer: Collection, mode: Mode): Verdict | null {
  if (gold.kind === 'sequence' && answer.kind === 'sequence') {
    if (sameSet(gold, answer)) return 'set'
    const brackets = gold.left === answer.left && gold.right === answer.right
    const round = gold.items.length > 2 && (gold.left === '(') === (gold.right === ')')
    return (brackets || round) && inOrder(gold.items, answer.items, mode) ? 'list' : null
  }
  if (gold.kind === 'sequence' || answer.kind === 'sequence') {
    const paired =
      gold.kind === 'sequence'
        ? gold.left === '(' && gold.right === ')'
        : answer.kind === 'sequence' && answer.left === '(' && answer.right === ')'
    return paired && inOrder(gold.items, answer.items, mode) ? 'list' : sameSet(gold, answer)
  }
  if (gold.kind === 'set' && answer.kind === 'set' && sameSet(gold, answer)) return 'set'
  const [a, b] = [statements(gold.items), statements(answer.items)]
  if (a && b && namesOf(a).join() === namesOf(b).join())
    return sameNamed(a, b, mode) ? 'assignment' : sameListedSet(gold, answer)
  const ordered = (a ?? b) && new Set((a ?? b)!.map(statement => statement.name)).size > 1
  if (ordered && !commonStem((a ?? b)!)) return inOrder(gold.items, answer.items, mode) ? 'assignment' : null
  return inAnyOrder(gold.items, answer.items, mode) ? 'list' : sameListedSet(gold, answer)
}

const sameListedSet = (gold: Answer, answer: Answer): Verdict | null => {
  const [a, b] = [realSet(gold), realSet(answer)]
  return a && b && printSet(a) === printSet(b) ? 'set' : null
}

function statements(items: readonly Answer[]): Statement[] | null {
  const found = items.filter(
    (item): item is Statement => item.kind === 'relation' && item.held >= 0 && item.name !== '',
  )
  return found.length === items.length ? found : null
}

const namesOf = (items: readonly Statement[]): string[] => items.map(item => item.name).sort()

/** `x_1`, `x_2` are the roots of one unknown. */
const commonStem = (items: readonly Statement[]): boolean =>
  new Set(items.map(item => item.name.replace(/_.*$/, ''))).size === 1 && items.some(item => item.name.includes('_'))

/** The same value for every name; a name used twice is an unknown with several values. */
function sameNamed(gold: readonly Statement[], answer: readonly Statement[], mode: Mode): boolean {
  const valuesOf = (items: readonly Statement[], name: string) =>
    items.filter(item => item.name === name).map(item => item.sides[item.held]!)
  return [...new Set(namesOf(gold))].every(name => inAnyOrder(valuesOf(gold, name), valuesOf(answer, name), mode))
}

function sameRelation(gold: Answer, answer: Answer, mode: Mode): Verdict | null {
  if (gold.kind === 'relation' && answer.kind === 'relation') {
    if (keyOf(gold) === keyOf(answer)) return 'equation'
    const [a, b] = [heldBy(gold), heldBy(answer)]
    const renamed = gold.name === answer.name || isValue(a) || isValue(b)
    if (a && b && renamed && same(a, b, mode)) return 'assignment'
    return sameSides(gold, answer, mode)
  }
  const [statement, other] = gold.kind === 'relation' ? [gold, answer] : [answer as Statement, gold]
  const held = heldBy(statement)
  if (held) {
    const found = gold.kind === 'relation' ? same(held, other, mode) : same(other, held, mode)
    if (found) return 'assignment'
  }
  if (isCollection(other) && other.items.length === 1)
    return same(
      gold.kind === 'relation' ? gold : other.items[0]!,
      gold.kind === 'relation' ? other.items[0]! : answer,
      mode,
    )
  return sameListedSet(gold, answer)
}

const isValue = (answer: Answer | null): boolean =>
  answer !== null && (answer.kind !== 'value' || variables(answer.node).size === 0)

/** What a statement gives as the value: the named quantity's, or the end of a chain of constants. */
function heldBy(statement: Statement): Answer | null {
  if (statement.held >= 0) return statement.sides[statement.held]!
  const closed =
    statement.relations.every(r => r === '=') &&
    statement.sides.every(side => side.kind === 'value' && variables(side.node).size === 0)
  return closed ? statement.sides.at(-1)! : null
}

function sameSides(gold: Statement, answer: Statement, mode: Mode): Verdict | null {
  const aligned =
    gold.relations.join() === answer.relations.join() &&
    gold.sides.every((side, k) => same(side, answer.sides[k]!, mode))
  return aligned ? 'equation' : null
}
