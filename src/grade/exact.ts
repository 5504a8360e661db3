import {
  abs,
  add,
  div,
  exactRoot,
  factor,
  floor,
  gcd,
  isInteger,
  mul,
  neg,
  ONE,
  power,
  print,
  type Rational,
  rational,
  same,
  sign,
  sub,
  toNumber,
  ZERO,
} from './rational.ts'
import type { Node } from './tree.ts'
import { spend, TooComplex } from './work.ts'

/**
 * A number as a sum of rational multiples of monomials in i, π, e, logarithms of primes, and fractional powers of
 * primes: 3/2 − √2·π is { '' → 3/2, '2^1/2·pi^1' → −1 }. Fractional powers of primes are linearly independent over
 * the rationals (Besicovitch 1940), so among these forms equal numbers have equal forms.
 */
export type Exact = ReadonlyMap<string, Term>

interface Term {
  readonly coefficient: Rational
  readonly factors: ReadonlyMap<string, Rational>
}

const MAX_TERMS = 64
const MAX_FACTORIAL = 2_000n
const HALF = rational(1, 2)

const NO_FACTORS: ReadonlyMap<string, Rational> = new Map()

export const constant = (value: Rational): Exact =>
  new Map(value.n === 0n ? [] : [['', { coefficient: value, factors: NO_FACTORS }]])

/** The rational a form stands for, or null when it is irrational. */
export function asRational(x: Exact): Rational | null {
  if (x.size === 0) return ZERO
  const only = x.get('')
  return x.size === 1 && only ? only.coefficient : null
}

export function printExact(x: Exact): string {
  return [...x].map(([key, term]) => `${print(term.coefficient)}${key && `*${key}`}`).join(' + ') || '0'
}

/** The nearest doubles [real, imaginary]. */
export function exactToNumber(x: Exact): [number, number] {
  let [re, im] = [0, 0]
  for (const { coefficient, factors } of x.values()) {
    let magnitude = toNumber(coefficient)
    for (const [base, exponent] of factors) if (base !== 'i') magnitude *= baseValue(base) ** toNumber(exponent)
    if (factors.has('i')) im += magnitude
    else re += magnitude
  }
  return [re, im]
}

function baseValue(base: string): number {
  if (base === 'pi') return Math.PI
  if (base === 'e') return Math.E
  return base.startsWith('ln') ? Math.log(Number(base.slice(2))) : Number(base)
}

function sum(terms: Iterable<Term>): Exact {
  const byKey = new Map<string, Term>()
  for (const term of terms) {
    spend(1)
    const key = [...term.factors]
      .map(([base, exponent]) => `${base}^${print(exponent)}`)
      .sort()
      .join('.')
    const before = byKey.get(key)
    byKey.set(key, before ? { ...before, coefficient: add(before.coefficient, term.coefficient) } : term)
  }
  const kept = [...byKey].filter(([, term]) => term.coefficient.n !== 0n).sort(([a], [b]) => (a < b ? -1 : 1))
  if (kept.length > MAX_TERMS) throw new TooComplex('terms')
  return new Map(kept)
}

function multiplyTerms(a: Term, b: Term): Term {
  let coefficient = mul(a.coefficient, b.coefficient)
  const factors = new Map(a.factors)
  for (const [base, exponent] of b.factors) {
    let total = add(factors.get(base) ?? ZERO, exponent)
    if (base === 'i' && total.n === 2n) {
      coefficient = neg(coefficient)
      total = ZERO
    } else if (/^\d/.test(base)) {
      const whole = floor(total)
      coefficient = mul(coefficient, power(rational(BigInt(base)), whole))
      total = sub(total, rational(whole))
    }
    if (total.n === 0n) factors.delete(base)
    else factors.set(base, total)
  }
  return { coefficient, factors }
}

function plus(a: Exact, b: Exact): Exact {
  const [x, y] = [asRational(a), asRational(b)]
  return x && y ? constant(add(x, y)) : sum([...a.values(), ...b.values()])
}

function times(a: Exact, b: Exact): Exact {
  const [x, y] = [asRational(a), asRational(b)]
  if (x && y) return constant(mul(x, y))
  if (a.size * b.size > MAX_TERMS * 8) throw new TooComplex('terms')
  return sum([...a.values()].flatMap(x => [...b.values()].map(y => multiplyTerms(x, y))))
}

/** 1/x. Several terms are rationalised one square root (or i) at a time; null where that is not enough. */
function invert(x: Exact): Exact | null {
  const whole = asRational(x)
  if (whole) return whole.n === 0n ? null : constant(div(ONE, whole))
  let numerator: Exact = constant(ONE)
  let denominator = x
  for (let round = 0; denominator.size > 1; round++) {
    const root = [...denominator.values()]
      .flatMap(term => [...term.factors])
      .find(([base, exponent]) => base === 'i' || (/^\d/.test(base) && same(exponent, HALF)))
    if (!root || round > 6) return null
    const conjugate = sum(
      [...denominator.values()].map(term =>
        term.factors.has(root[0]) ? { ...term, coefficient: neg(term.coefficient) } : term,
      ),
    )
    numerator = times(numerator, conjugate)
    denominator = times(denominator, conjugate)
  }
  const [term] = denominator.values()
  if (!term) return null
  const inverse: Term = {
    coefficient: div(ONE, term.coefficient),
    factors: new Map(
      [...term.factors].filter(([base]) => base === 'i' || !/^\d/.test(base)).map(([base, k]) => [base, neg(k)]),
    ),
  }
  let result = times(numerator, sum([normaliseI(inverse)]))
  for (const [base, k] of term.factors) {
    if (!/^\d/.test(base)) continue
    const lift: Term = { coefficient: rational(1n, BigInt(base)), factors: new Map([[base, sub(ONE, k)]]) }
    result = times(result, sum([lift]))
  }
  return result
}

function normaliseI(term: Term): Term {
  if (!term.factors.has('i')) return term
  return { coefficient: neg(term.coefficient), factors: new Map([...term.factors, ['i', ONE]]) }
}

/** bᵏ, for b one positive term (or a square root of a negative rational, or an odd real root when `real`). */
function raise(base: Exact, k: Rational, real: boolean): Exact | null {
  if (isInteger(k)) {
    const size = k.n < 0n ? -k.n : k.n
    const single = base.size <= 1
    if (size > 64n && !single) return null
    if (base.size === 0) return k.n > 0n ? base : k.n === 0n ? constant(ONE) : null
    const rationalBase = asRational(base)
    if (rationalBase) return constant(power(rationalBase, k.n))
    if (size > 4096n) return null
    let result: Exact = constant(ONE)
    let square = base
    for (let rest = size; rest > 0n; rest >>= 1n) {
      if (rest & 1n) result = times(result, square)
      if (rest > 1n) square = times(square, square)
    }
    return k.n < 0n ? invert(result) : result
  }
  if (base.size === 0) return k.n > 0n ? base : null
  const [term] = base.values()
  if (base.size !== 1 || !term || term.factors.has('i') || k.d > 64n) return null
  let prefix: Exact = constant(ONE)
  if (term.coefficient.n < 0n) {
    if (k.d === 2n) {
      const turns = ((k.n % 4n) + 4n) % 4n
      prefix = constant(turns === 3n ? rational(-1) : ONE)
      prefix = times(prefix, sum([{ coefficient: ONE, factors: new Map([['i', ONE]]) }]))
    } else if (real && k.d % 2n === 1n) prefix = constant(k.n % 2n === 0n ? ONE : rational(-1))
    else return null
  }
  const parts: Term[] = [...term.factors].map(([symbol, exponent]) => factorPower(symbol, mul(exponent, k)))
  for (const [value, direction] of [
    [abs(term.coefficient).n, k],
    [term.coefficient.d, neg(k)],
  ] as const) {
    const { primes, rest } = factor(value)
    for (const [prime, count] of primes) parts.push(factorPower(`${prime}`, mul(rational(count), direction)))
    if (rest === 1n) continue
    const root = exactRoot(rest, Number(k.d))
    if (root === null) return null
    parts.push({ coefficient: power(rational(root), direction.n), factors: new Map() })
  }
  return parts.reduce((product, part) => times(product, sum([part])), prefix)
}

function factorPower(base: string, exponent: Rational): Term {
  if (!/^\d/.test(base)) return { coefficient: ONE, factors: new Map([[base, exponent]]) }
  const whole = floor(exponent)
  const fraction = sub(exponent, rational(whole))
  const coefficient = power(rational(BigInt(base)), whole)
  return { coefficient, factors: fraction.n === 0n ? new Map() : new Map([[base, fraction]]) }
}

/** ln x of a positive rational times a power of e. */
function logarithm(x: Exact): Exact | null {
  const [term] = x.values()
  if (x.size !== 1 || !term || term.coefficient.n <= 0n) return null
  const terms: Term[] = []
  for (const [base, exponent] of term.factors) {
    if (base === 'e') terms.push({ coefficient: exponent, factors: new Map() })
    else if (/^\d/.test(base)) terms.push({ coefficient: exponent, factors: new Map([[`ln${base}`, ONE]]) })
    else return null
  }
  for (const [value, direction] of [
    [term.coefficient.n, 1],
    [term.coefficient.d, -1],
  ] as const) {
    const { primes, rest } = factor(value)
    if (rest !== 1n) return null
    for (const [prime, count] of primes) {
      terms.push({ coefficient: rational(count * direction), factors: new Map([[`ln${prime}`, ONE]]) })
    }
  }
  return sum(terms)
}

const root = (n: number, d: number, radicand?: number): Term => ({
  coefficient: rational(n, d),
  factors: radicand ? surd(radicand) : new Map(),
})
const surd = (n: number): Map<string, Rational> => new Map(factor(BigInt(n)).primes.map(([p]) => [`${p}`, HALF]))

/** sin(k·π/60) for the multiples of 15° and the 18° family that are sums of square roots. */
const SINES: Readonly<Record<number, readonly Term[]>> = {
  0: [],
  5: [root(1, 4, 6), root(-1, 4, 2)],
  6: [root(1, 4, 5), root(-1, 4)],
  10: [root(1, 2)],
  15: [root(1, 2, 2)],
  18: [root(1, 4, 5), root(1, 4)],
  20: [root(1, 2, 3)],
  25: [root(1, 4, 6), root(1, 4, 2)],
  30: [root(1, 1)],
}

/** sin(turn·π) for a rational turn. */
function sine(turn: Rational): Exact | null {
  const place = mul(turn, rational(60))
  if (!isInteger(place)) return null
  let k = Number(((place.n % 120n) + 120n) % 120n)
  const flip = k > 60
  if (flip) k -= 60
  if (k > 30) k = 60 - k
  const terms = SINES[k]
  if (!terms) return null
  return sum(flip ? terms.map(term => ({ ...term, coefficient: neg(term.coefficient) })) : terms)
}

/** The rational r of x = r·π, or null. */
function turns(x: Exact): Rational | null {
  if (x.size === 0) return ZERO
  const term = x.get('pi^1')
  return x.size === 1 && term ? term.coefficient : null
}

function trigonometric(name: string, x: Exact): Exact | null {
  const turn = turns(x)
  if (!turn) return null
  const s = sine(turn)
  const c = sine(add(turn, HALF))
  const over = (a: Exact | null, b: Exact | null) => {
    const inverse = b && invert(b)
    return a && inverse ? times(a, inverse) : null
  }
  if (name === 'sin') return s
  if (name === 'cos') return c
  if (name === 'tan') return over(s, c)
  if (name === 'cot') return over(c, s)
  return over(constant(ONE), name === 'sec' ? c : s)
}

function call(name: string, args: readonly Exact[]): Exact | null {
  const [x, y] = args as [Exact, Exact?]
  const value = asRational(x)
  switch (name) {
    case 'sin':
    case 'cos':
    case 'tan':
    case 'cot':
    case 'sec':
    case 'csc':
      return trigonometric(name, x)
    case 'ln':
      return logarithm(x)
    case 'log': {
      const [top, bottom] = [logarithm(x), logarithm(y ?? constant(rational(10)))]
      const inverse = bottom && invert(bottom)
      return top && inverse ? times(top, inverse) : null
    }
    case 'exp':
      return exponential(x)
    case 'abs': {
      const [re, im] = exactToNumber(x)
      if (im !== 0 || [...x.values()].some(term => term.factors.has('i'))) return null
      return value ? constant(abs(value)) : Math.abs(re) < 1e-9 ? null : re > 0 ? x : negate(x)
    }
    case 'floor':
      return value && constant(rational(floor(value)))
    case 'ceil':
      return value && constant(neg(rational(floor(neg(value)))))
    case 'max':
    case 'min':
    case 'gcd':
    case 'lcm':
      return fold(name, args)
    case 'mod': {
      const modulus = y && asRational(y)
      if (!value || !modulus || modulus.n === 0n) return null
      return constant(sub(value, mul(modulus, rational(floor(div(value, modulus))))))
    }
    default:
      return null
  }
}

function fold(name: 'max' | 'min' | 'gcd' | 'lcm', args: readonly Exact[]): Exact | null {
  const values = args.map(asRational)
  if (values.some(value => value === null)) return null
  const known = values as Rational[]
  if (name === 'max' || name === 'min') {
    const direction = name === 'max' ? 1 : -1
    return constant(known.reduce((a, b) => (sign(sub(b, a)) * direction > 0 ? b : a)))
  }
  if (!known.every(isInteger)) return null
  const integers = known.map(value => abs(value).n)
  if (name === 'gcd') return constant(rational(integers.reduce(gcd)))
  if (integers.includes(0n)) return null
  return constant(integers.map(n => rational(n)).reduce((a, b) => mul(a, rational(b.n / gcd(a.n, b.n)))))
}

/** eˣ for a rational x, or the Euler form of a rational multiple of iπ. */
function exponential(x: Exact): Exact | null {
  const value = asRational(x)
  if (value) return value.n === 0n ? constant(ONE) : sum([{ coefficient: ONE, factors: new Map([['e', value]]) }])
  const turn = x.get('i^1.pi^1')
  if (x.size !== 1 || !turn) return null
  const [c, s] = [sine(add(turn.coefficient, HALF)), sine(turn.coefficient)]
  return c && s ? plus(c, times(s, sum([{ coefficient: ONE, factors: new Map([['i', ONE]]) }]))) : null
}

const negate = (x: Exact): Exact => times(x, constant(rational(-1)))

export function factorial(n: Rational): Rational | null {
  if (!isInteger(n) || n.n < 0n) return null
  if (n.n > MAX_FACTORIAL) throw new TooComplex('factorial')
  let result = ONE
  for (let k = 2n; k <= n.n; k++) result = mul(result, rational(k))
  return result
}

export function binomial(n: Rational, k: Rational): Rational | null {
  if (!isInteger(n) || !isInteger(k) || k.n < 0n || n.n < 0n) return null
  if (k.n > n.n) return ZERO
  const smaller = k.n * 2n > n.n ? n.n - k.n : k.n
  if (smaller > MAX_FACTORIAL) throw new TooComplex('binomial')
  let result = ONE
  for (let j = 1n; j <= smaller; j++) result = mul(result, rational(n.n - smaller + j, j))
  return result
}

/** The exact form of an expression without variables, or null where these forms do not reach. */
export function exact(node: Node): Exact | null {
  spend(1)
  switch (node.op) {
    case 'number':
      return constant(node.value)
    case 'constant':
      if (node.name === 'infinity') return null
      return sum([{ coefficient: ONE, factors: new Map([[node.name, ONE]]) }])
    case 'variable':
    case 'matrix':
      return null
    case 'root': {
      const [x, n] = node.args.map(exact)
      const degree = n === undefined ? rational(2) : n && asRational(n)
      return x && degree && degree.n !== 0n ? raise(x, div(ONE, degree), true) : null
    }
    case 'pow': {
      const [base, exponent] = node.args as [Node, Node]
      const k = exact(exponent)
      if (!k) return null
      if (base.op === 'constant' && base.name === 'e') return exponential(k)
      const [x, rationalK] = [exact(base), asRational(k)]
      return x && rationalK ? raise(x, rationalK, true) : null
    }
    default:
      return combine(node.op, node.name, node.args)
  }
}

function combine(op: string, name: string | undefined, nodes: readonly Node[]): Exact | null {
  const args: Exact[] = []
  for (const node of nodes) {
    const value = exact(node)
    if (!value) return null
    args.push(value)
  }
  const [x, y] = args as [Exact, Exact]
  switch (op) {
    case 'add':
      return args.reduce(plus)
    case 'mul':
      return args.reduce(times)
    case 'neg':
      return negate(x)
    case 'div': {
      if (y.size === 0) return null
      const inverse = invert(y)
      return inverse && times(x, inverse)
    }
    case 'percent':
      return times(x, constant(rational(1, 100)))
    case 'degrees':
      return times(x, sum([{ coefficient: rational(1, 180), factors: new Map([['pi', ONE]]) }]))
    case 'factorial': {
      const n = asRational(x)
      const value = n && factorial(n)
      return value && constant(value)
    }
    case 'binomial': {
      const [n, k] = [asRational(x), asRational(y)]
      const value = n && k && binomial(n, k)
      return value && constant(value)
    }
    default:
      return call(name ?? '', args)
  }
}
