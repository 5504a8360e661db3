import { toNumber } from './rational.ts'
import { contains, type Node } from './tree.ts'
import { spend } from './work.ts'

/** A complex double; `re` is NaN where the expression has no value. */
export interface Complex {
  readonly re: number
  readonly im: number
}

export type Point = (variable: string) => Complex

const NONE: Complex = { re: Number.NaN, im: Number.NaN }
const complex = (re: number, im = 0): Complex => ({ re, im })
const plus = (a: Complex, b: Complex) => complex(a.re + b.re, a.im + b.im)
const scale = (a: Complex, k: number) => complex(a.re * k, a.im * k)
const times = (a: Complex, b: Complex) =>
  a.im === 0 && b.im === 0 ? complex(a.re * b.re) : complex(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re)
export const magnitude = (a: Complex): number => Math.hypot(a.re, a.im)

export function over(a: Complex, b: Complex): Complex {
  if (b.im === 0) return b.re === 0 ? NONE : complex(a.re / b.re, a.im / b.re)
  const d = b.re * b.re + b.im * b.im
  return complex((a.re * b.re + a.im * b.im) / d, (a.im * b.re - a.re * b.im) / d)
}

function exp(a: Complex): Complex {
  const e = Math.exp(a.re)
  return a.im === 0 ? complex(e) : complex(e * Math.cos(a.im), e * Math.sin(a.im))
}

const ln = (a: Complex) => (magnitude(a) === 0 ? NONE : complex(Math.log(magnitude(a)), Math.atan2(a.im, a.re)))

function power(a: Complex, b: Complex): Complex {
  if (a.re === 0 && a.im === 0) return b.re > 0 ? a : b.re === 0 && b.im === 0 ? complex(1) : NONE
  if (b.im === 0 && Number.isInteger(b.re) && Math.abs(b.re) <= 64 && a.im !== 0) {
    let result = complex(1)
    for (let k = 0; k < Math.abs(b.re); k++) result = times(result, a)
    return b.re < 0 ? over(complex(1), result) : result
  }
  if (a.im === 0 && b.im === 0 && (a.re > 0 || Number.isInteger(b.re))) return complex(a.re ** b.re)
  return exp(times(b, ln(a)))
}

/** The real root of a real number where there is one, else the principal root. */
function root(a: Complex, n: number): Complex {
  if (n === 2 && a.im === 0) return a.re >= 0 ? complex(Math.sqrt(a.re)) : complex(0, Math.sqrt(-a.re))
  if (a.im === 0 && a.re < 0 && Number.isInteger(n) && Math.abs(n) % 2 === 1) return complex(-((-a.re) ** (1 / n)))
  return power(a, complex(1 / n))
}

const sin = (a: Complex) => complex(Math.sin(a.re) * Math.cosh(a.im), Math.cos(a.re) * Math.sinh(a.im))
const cos = (a: Complex) => complex(Math.cos(a.re) * Math.cosh(a.im), -Math.sin(a.re) * Math.sinh(a.im))
const sinh = (a: Complex) => scale(plus(exp(a), scale(exp(scale(a, -1)), -1)), 0.5)
const cosh = (a: Complex) => scale(plus(exp(a), exp(scale(a, -1))), 0.5)
const inverse = (f: (x: Complex) => Complex) => (a: Complex) => over(complex(1), f(a))
const real = (f: (x: number) => number) => (a: Complex) => (a.im === 0 ? complex(f(a.re)) : NONE)

/** Whole numbers survive the noise of the double that computed them. */
const settled = (x: number) => (Math.abs(x - Math.round(x)) < 1e-9 ? Math.round(x) : x)

const FUNCTIONS: Readonly<Record<string, (a: Complex) => Complex>> = {
  sin,
  cos,
  tan: a => over(sin(a), cos(a)),
  cot: a => over(cos(a), sin(a)),
  sec: inverse(cos),
  csc: inverse(sin),
  sinh,
  cosh,
  tanh: a => over(sinh(a), cosh(a)),
  coth: a => over(cosh(a), sinh(a)),
  arcsin: real(Math.asin),
  arccos: real(Math.acos),
  arctan: real(Math.atan),
  arccot: real(x => Math.PI / 2 - Math.atan(x)),
  arcsec: real(x => Math.acos(1 / x)),
  arccsc: real(x => Math.asin(1 / x)),
  arsinh: real(Math.asinh),
  arcosh: real(Math.acosh),
  artanh: real(Math.atanh),
  ln,
  exp,
  abs: a => complex(magnitude(a)),
  floor: real(x => Math.floor(settled(x))),
  ceil: real(x => Math.ceil(settled(x))),
  sgn: real(Math.sign),
  Re: a => complex(a.re),
  Im: a => complex(a.im),
  conj: a => complex(a.re, -a.im),
  arg: a => complex(Math.atan2(a.im, a.re)),
}

const NOT_ANALYTIC = new Set(['abs', 'floor', 'ceil', 'sgn', 'Re', 'Im', 'conj', 'arg', 'max', 'min', 'gcd', 'mod'])

/** Whether the expression continues into the complex plane around the reals. */
export const isAnalytic = (node: Node): boolean =>
  !contains(node, n => n.op === 'call' && (NOT_ANALYTIC.has(n.name ?? '') || n.name?.startsWith('arc') === true))

export function evaluate(node: Node, at: Point): Complex {
  spend(1)
  switch (node.op) {
    case 'number':
      return complex(toNumber(node.value))
    case 'variable':
      return at(node.name)
    case 'constant':
      if (node.name === 'i') return complex(0, 1)
      return complex(node.name === 'pi' ? Math.PI : node.name === 'e' ? Math.E : Number.POSITIVE_INFINITY)
    case 'matrix':
      return NONE
    default: {
      const args = node.args.map(arg => evaluate(arg, at))
      return args.some(arg => Number.isNaN(arg.re)) ? NONE : operate(node.op, node.name ?? '', args)
    }
  }
}

function operate(op: string, name: string, args: readonly Complex[]): Complex {
  const [a, b] = args as [Complex, Complex]
  switch (op) {
    case 'add':
      return args.reduce(plus)
    case 'mul':
      return args.reduce(times)
    case 'neg':
      return scale(a, -1)
    case 'div':
      return over(a, b)
    case 'pow':
      return power(a, b)
    case 'root':
      return root(a, b === undefined ? 2 : b.re)
    case 'percent':
      return scale(a, 0.01)
    case 'degrees':
      return scale(a, Math.PI / 180)
    case 'factorial':
      return a.im === 0 && a.re >= 0 && Number.isInteger(a.re) ? complex(gamma(a.re)) : NONE
    case 'binomial':
      return binomial(a, b)
    default:
      return call(name, args)
  }
}

function call(name: string, args: readonly Complex[]): Complex {
  const [a, b] = args as [Complex, Complex?]
  if (name === 'log') return over(ln(a), b ? ln(b) : complex(Math.LN10))
  const reals = args.map(x => (x.im === 0 ? x.re : Number.NaN))
  if (name === 'max') return complex(Math.max(...reals))
  if (name === 'min') return complex(Math.min(...reals))
  if (name === 'mod' && b) return complex(a.re - b.re * Math.floor(a.re / b.re))
  return FUNCTIONS[name]?.(a) ?? NONE
}

function gamma(n: number): number {
  let product = 1
  for (let k = 2; k <= n && product < Number.POSITIVE_INFINITY; k++) product *= k
  return product
}

function binomial(n: Complex, k: Complex): Complex {
  if (k.im !== 0 || !Number.isInteger(k.re) || k.re < 0 || k.re > 1000) return NONE
  let product = complex(1)
  for (let j = 0; j < k.re; j++) product = scale(times(product, plus(n, complex(-j))), 1 / (j + 1))
  return product
}

/** A hash of (name, k) spread over [0, 1): the seed of every point. */
export function spread(name: string, k: number): number {
  let h = (0x811c9dc5 ^ (k * 0x9e3779b1)) >>> 0
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193) >>> 0
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39)
  return ((h ^ (h >>> 15)) >>> 0) / 2 ** 32
}

/** Real points: the even ones positive, the odd ones of either sign, in three sizes. */
export const realPoint =
  (k: number): Point =>
  name => {
    const size = 0.3 + spread(name, k) * [2.4, 11, 0.8][k % 3]!
    return complex(k % 2 === 1 && spread(name, k + 1000) < 0.7 ? -size : size)
  }

/** Points near the positive axis, where every principal branch agrees with its neighbours. */
export const complexPoint =
  (k: number): Point =>
  name => {
    const size = 0.5 + spread(name, k + 2000) * 2
    const angle = (spread(name, k + 3000) - 0.5) * 0.6
    return complex(size * Math.cos(angle), size * Math.sin(angle))
  }

/** Real up to rounding. */
export const isReal = (a: Complex): boolean =>
  Number.isFinite(a.re) && Math.abs(a.im) <= 1e-9 * Math.max(1, Math.abs(a.re))

export function near(a: Complex, b: Complex, tolerance: number): boolean {
  if (!Number.isFinite(a.re) || !Number.isFinite(b.re)) return a.re === b.re && a.im === b.im
  const difference = Math.hypot(a.re - b.re, a.im - b.im)
  return difference <= tolerance * Math.max(magnitude(a), magnitude(b)) || difference < 1e-13
}
