import { asRational, type Exact, exact, exactToNumber, printExact } from './exact.ts'
import { fingerprint } from './field.ts'
import {
  type Complex,
  complexPoint,
  evaluate,
  isAnalytic,
  isReal,
  magnitude,
  near,
  type Point,
  realPoint,
} from './numeric.ts'
import { DivisionByZero, print, type Rational, rational, toNumber } from './rational.ts'
import { contains, type Node, variables } from './tree.ts'

const NOWHERE: Point = () => ({ re: Number.NaN, im: 0 })
const REAL_POINTS = 12
const COMPLEX_POINTS = 4
/** Comparisons that must agree before two expressions in variables count as equal. */
const ENOUGH = 3
const TOLERANCE = 1e-9

/** The exact form of a constant expression, or null (none, or no value). */
function exactValue(node: Node): Exact | null {
  try {
    return exact(node)
  } catch (error) {
    if (error instanceof DivisionByZero) return null
    throw error
  }
}

export const constantValue = (node: Node): Complex => evaluate(node, NOWHERE)

/** A canonical name for the value of an expression: two expressions are strictly equal when their names are. */
export function nodeKey(node: Node): string {
  const infinite = infinity(node)
  if (infinite !== 0) return infinite > 0 ? 'infinity' : '-infinity'
  if (node.op === 'matrix') return `[${node.rows.map(row => row.map(nodeKey).join(' ')).join('; ')}]`
  if (variables(node).size === 0) return constantKey(node)
  const residue = residueAt(node, 0)
  if (residue !== null) {
    const constant = asConstant(node)
    return constant ?? `p${residue.toString(36)}`
  }
  return sampledKey(node)
}

function residueAt(node: Node, place: number): bigint | null {
  try {
    return fingerprint(node, place)
  } catch (error) {
    if (error instanceof DivisionByZero) return null
    throw error
  }
}

/** `x − x + 3` is the constant 3. */
function asConstant(node: Node): string | null {
  const [a, b] = [residueAt(node, 1), residueAt(node, 2)]
  if (a === null || a !== b) return null
  const value = evaluate(node, realPoint(0))
  const whole = simpleRational(value.re)
  return whole ? print(whole) : null
}

function constantKey(node: Node): string {
  const known = exactValue(node)
  if (known) return exactKey(known)
  const value = constantValue(node)
  if (Number.isNaN(value.re)) return `?${describe(node)}`
  return complexKey(value)
}

function exactKey(value: Exact): string {
  const whole = asRational(value)
  if (whole) return print(whole)
  const [re, im] = exactToNumber(value)
  return Number.isFinite(re) && Number.isFinite(im) && Math.hypot(re, im) > 1e-200
    ? complexKey({ re, im })
    : printExact(value)
}

/** Eleven digits, or the fraction they are surely meant to be. */
function complexKey(value: Complex): string {
  const size = magnitude(value)
  const settle = (x: number) => {
    if (Math.abs(x) < 1e-12 * Math.max(1, size)) return '0'
    const whole = simpleRational(x)
    return whole ? print(whole) : x.toPrecision(11)
  }
  const [re, im] = [settle(value.re), settle(value.im)]
  return im === '0' ? re : `${re}+${im}i`
}

/** The fraction with a denominator up to 2,000 within rounding of x, or null. */
function simpleRational(x: number): Rational | null {
  if (!Number.isFinite(x) || Math.abs(x) > 1e9) return null
  let [h0, h1, k0, k1, rest] = [0, 1, 1, 0, x]
  for (let round = 0; round < 12; round++) {
    const whole = Math.floor(rest)
    ;[h0, h1] = [h1, whole * h1 + h0]
    ;[k0, k1] = [k1, whole * k1 + k0]
    if (k1 > 2000) return null
    if (Math.abs(x - h1 / k1) < 4e-14 * Math.max(1, Math.abs(x))) return rational(h1, k1)
    rest = 1 / (rest - whole)
  }
  return null
}

function sampledKey(node: Node): string {
  const values = [0, 1, 2, 3].map(k => evaluate(node, realPoint(k)))
  if (values.every(value => Number.isNaN(value.re))) return `?${describe(node)}`
  const keys = values.map(value => (isReal(value) ? rounded(value.re) : 'u'))
  const first = values[0]!
  if (values.every(value => isReal(value) && near(value, first, 1e-12))) return complexKey({ re: first.re, im: 0 })
  if (keys.every(key => key === 'u')) {
    return `c${values.map(value => `${rounded(value.re)}${rounded(value.im)}`).join()}`
  }
  return `v${keys.join()}`
}

const rounded = (x: number) => (Math.abs(x) < 1e-9 ? '0' : x.toPrecision(8))

/** The written form, for what has no value. */
function describe(node: Node): string {
  if (node.op === 'number') return print(node.value)
  if (node.op === 'variable' || node.op === 'constant') return node.name
  if (node.op === 'matrix') return `[${node.rows.map(row => row.map(describe).join(' ')).join(';')}]`
  return `${node.op}${node.name ?? ''}(${node.args.map(describe).join()})`
}

/** +1 or −1 for a signed infinity, else 0. */
export function infinity(node: Node): number {
  if (node.op === 'constant') return node.name === 'infinity' ? 1 : 0
  return node.op === 'neg' ? -infinity(node.args[0]!) : 0
}

/** How two expressions were found equal, or null. `tolerance` widens the comparison of sampled values. */
export function sameNode(a: Node, b: Node, tolerance: number = TOLERANCE): 'exact' | 'numeric' | null {
  const [endA, endB] = [infinity(a), infinity(b)]
  if (endA !== 0 || endB !== 0) return endA === endB ? 'exact' : null
  if (a.op === 'matrix' || b.op === 'matrix') return sameMatrix(a, b, tolerance)
  const names = variables(a)
  variables(b, names)
  if (names.size === 0) return sameConstant(a, b, tolerance)
  const [x, y] = [residueAt(a, 0), residueAt(b, 0)]
  if (x !== null && y !== null) {
    if (x === y) return 'exact'
    if (tolerance === TOLERANCE) return null
  }
  return sameSamples(a, b, tolerance) ? 'numeric' : null
}

function sameMatrix(a: Node, b: Node, tolerance: number): 'exact' | 'numeric' | null {
  if (a.op !== 'matrix' || b.op !== 'matrix' || a.rows.length !== b.rows.length) return null
  let how: 'exact' | 'numeric' | null = 'exact'
  for (const [i, row] of a.rows.entries()) {
    const other = b.rows[i]!
    if (row.length !== other.length) return null
    for (const [j, entry] of row.entries()) {
      const found = sameNode(entry, other[j]!, tolerance)
      if (!found) return null
      if (found === 'numeric') how = found
    }
  }
  return how
}

function sameConstant(a: Node, b: Node, tolerance: number): 'exact' | 'numeric' | null {
  const [x, y] = [exactValue(a), exactValue(b)]
  if (x && y) {
    if (printExact(x) === printExact(y)) return 'exact'
    if (tolerance === TOLERANCE) return null
  }
  const [p, q] = [constantValue(a), constantValue(b)]
  return !Number.isNaN(p.re) && near(p, q, tolerance) ? 'numeric' : null
}

/**
 * Compares at real points of either sign where both sides are real (so √(x²) is |x|, not x), and where fewer than
 * three such points exist, at complex points near the positive axis.
 */
function sameSamples(a: Node, b: Node, tolerance: number): boolean {
  let agreed = 0
  for (let k = 0; k < REAL_POINTS; k++) {
    const [x, y] = [evaluate(a, realPoint(k)), evaluate(b, realPoint(k))]
    if (!isReal(x) || !isReal(y)) continue
    if (!near(x, y, Math.max(tolerance, 1e-8))) return false
    agreed++
  }
  if (agreed >= ENOUGH) return true
  if (!isAnalytic(a) || !isAnalytic(b)) return false
  for (let k = 0; k < COMPLEX_POINTS; k++) {
    const [x, y] = [evaluate(a, complexPoint(k)), evaluate(b, complexPoint(k))]
    if (!Number.isFinite(x.re) || !Number.isFinite(y.re)) continue
    if (!near(x, y, Math.max(tolerance, 1e-8))) return false
    agreed++
  }
  return agreed >= ENOUGH
}

const hasDecimals = (node: Node): boolean => contains(node, n => n.op === 'number' && n.digits !== null)

/**
 * Whether `answer` is the decimal `gold` at the gold's own precision, or a decimal answer is an exact gold to six digits.
 *
 * A gold of four or more digits is taken as rounded or truncated: 1.414 is √2, 125.663 is 40π. One of two or three
 * digits is taken as rounded only against an exact or a much longer number: 33.3 is 100/3, but 2.5 is not 2.52.
 */
export function sameDecimal(gold: Node, answer: Node): boolean {
  const [goldDigits, answerDigits] = [printedDigits(gold), printedDigits(answer)]
  if (goldDigits) {
    const [x, y] = [constantValue(gold), constantValue(answer)]
    if (!isReal(x) || !isReal(y) || goldDigits.decimals < 1) return false
    const unit = 10 ** -goldDigits.decimals
    const difference = Math.abs(x.re - y.re)
    if (answerDigits && answerDigits.decimals <= goldDigits.decimals) return false
    const long = !answerDigits || answerDigits.significant >= goldDigits.significant + 3
    if (goldDigits.significant >= 4)
      return difference < unit * 1.0000001 + 4e-16 * Math.abs(x.re) && !isWholeNumber(answer, answerDigits)
    return goldDigits.significant >= 2 && long && difference <= unit * 0.5000001 && !isWholeNumber(answer, answerDigits)
  }
  if (answerDigits && answerDigits.significant >= 6 && !hasDecimals(gold)) {
    const [x, y] = [constantValue(gold), constantValue(answer)]
    return (
      isReal(x) &&
      isReal(y) &&
      Math.abs(x.re - y.re) < 10 ** -answerDigits.decimals * 1.0000001 + 4e-16 * Math.abs(x.re)
    )
  }
  return false
}

/** 3 is not 3.1 rounded. */
function isWholeNumber(node: Node, digits: { decimals: number } | null): boolean {
  const known = digits ? null : exactValue(node)
  const value = known && asRational(known)
  return value?.d === 1n
}

function printedDigits(node: Node): { decimals: number; significant: number } | null {
  if (node.op === 'neg') return printedDigits(node.args[0]!)
  return node.op === 'number' && node.digits && Number.isFinite(node.digits.decimals) ? node.digits : null
}

/** The relative tolerance that the decimals inside an expression justify: 10⁻³ for `x + 1.414i`; null for none. */
export function decimalTolerance(gold: Node): number | null {
  let tolerance: number | null = null
  const visit = (node: Node): boolean => {
    if (node.op !== 'number' || !node.digits || node.digits.significant < 4) return false
    if (!Number.isFinite(node.digits.significant)) return false
    tolerance = Math.max(tolerance ?? 0, 10 ** -node.digits.decimals / Math.abs(toNumber(node.value)))
    return false
  }
  contains(gold, visit)
  return tolerance
}
