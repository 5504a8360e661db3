import { spend, TooComplex } from './work.ts'

/** An exact fraction in lowest terms with a positive denominator. */
export interface Rational {
  readonly n: bigint
  readonly d: bigint
}

/** Integers beyond this many bits are refused as too complex. */
const MAX_BITS = 40_000

export const ZERO: Rational = { n: 0n, d: 1n }
export const ONE: Rational = { n: 1n, d: 1n }

export function bits(x: bigint): number {
  return (x < 0n ? -x : x).toString(16).length * 4
}

export function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b]
  while (y !== 0n) [x, y] = [y, x % y]
  return x
}

/** n/d in lowest terms. @throws TooComplex when d is 0: the caller asked for a value that does not exist */
export function rational(n: bigint | number, d: bigint | number = 1n): Rational {
  let [top, bottom] = [BigInt(n), BigInt(d)]
  if (bottom === 0n) throw new DivisionByZero()
  if (bottom === 1n) return { n: top, d: bottom }
  if (bottom < 0n) [top, bottom] = [-top, -bottom]
  const common = gcd(top, bottom)
  return { n: top / common, d: bottom / common }
}

/** The expression has no value. */
export class DivisionByZero extends Error {}

export const add = (a: Rational, b: Rational): Rational => checked(rational(a.n * b.d + b.n * a.d, a.d * b.d))
export const sub = (a: Rational, b: Rational): Rational => checked(rational(a.n * b.d - b.n * a.d, a.d * b.d))
export const mul = (a: Rational, b: Rational): Rational => checked(rational(a.n * b.n, a.d * b.d))
export const div = (a: Rational, b: Rational): Rational => checked(rational(a.n * b.d, a.d * b.n))
export const neg = (a: Rational): Rational => ({ n: -a.n, d: a.d })
export const same = (a: Rational, b: Rational): boolean => a.n === b.n && a.d === b.d
export const sign = (a: Rational): number => (a.n > 0n ? 1 : a.n < 0n ? -1 : 0)
export const abs = (a: Rational): Rational => (a.n < 0n ? neg(a) : a)
export const isInteger = (a: Rational): boolean => a.d === 1n

export function floor(a: Rational): bigint {
  const quotient = a.n / a.d
  return a.n < 0n && quotient * a.d !== a.n ? quotient - 1n : quotient
}

function checked(a: Rational): Rational {
  const size = bits(a.n) + bits(a.d)
  if (size > MAX_BITS) throw new TooComplex('digits')
  spend(1 + size / 64)
  return a
}

/** aᵏ for an integer k. */
export function power(a: Rational, k: bigint): Rational {
  if (k < 0n) return power(div(ONE, a), -k)
  const size = Math.max(bits(a.n), bits(a.d))
  if (a.n === 0n || (a.d === 1n && (a.n === 1n || a.n === -1n))) {
    return k === 0n ? ONE : a.n === -1n && k % 2n === 0n ? ONE : a
  }
  if (k > BigInt(MAX_BITS) || Number(k) * Math.max(1, size - 3) > MAX_BITS) throw new TooComplex('power')
  return checked({ n: a.n ** k, d: a.d ** k })
}

/** The nearest double, also where numerator and denominator overflow one. */
export function toNumber(a: Rational): number {
  const [top, bottom] = [bits(a.n), bits(a.d)]
  if (top < 1000 && bottom < 1000) return Number(a.n) / Number(a.d)
  const shift = BigInt(Math.max(0, Math.min(top, bottom) - 900))
  return Number(a.n >> shift) / Number(a.d >> shift)
}

export function print(a: Rational): string {
  return a.d === 1n ? `${a.n}` : `${a.n}/${a.d}`
}

/** The k-th root when it is rational, else null. For odd k the sign is kept. */
export function exactRoot(a: bigint, k: number): bigint | null {
  if (a < 0n) {
    if (k % 2 === 0) return null
    const root = exactRoot(-a, k)
    return root === null ? null : -root
  }
  if (a < 2n) return a
  const power = BigInt(k)
  let x = 1n << BigInt(Math.ceil(bits(a) / k))
  for (;;) {
    spend(1 + bits(a) / 64)
    const y = ((power - 1n) * x + a / x ** (power - 1n)) / power
    if (y >= x) break
    x = y
  }
  return x ** power === a ? x : null
}

/** Prime factors by trial division up to 10⁴; `rest` is 1 or what is left (prime when below 10⁸). */
export function factor(a: bigint): { primes: [bigint, number][]; rest: bigint } {
  const primes: [bigint, number][] = []
  let rest = a < 0n ? -a : a
  for (let p = 2n; p < 10_000n && p * p <= rest; p += p === 2n ? 1n : 2n) {
    let count = 0
    while (rest % p === 0n) {
      rest /= p
      count++
    }
    if (count > 0) primes.push([p, count])
    if ((p & 255n) === 1n) spend(1)
  }
  if (rest > 1n && rest < 100_000_000n) {
    primes.push([rest, 1])
    rest = 1n
  }
  return { primes, rest }
}
