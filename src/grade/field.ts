import { asRational, exact } from './exact.ts'
import { spread } from './numeric.ts'
import { bits, type Rational } from './rational.ts'
import type { Node } from './tree.ts'
import { spend } from './work.ts'

/**
 * The value of a rational expression in the field of integers modulo the Mersenne prime 2⁶¹ − 1 at seeded places.
 * Two rational functions of degree d that differ agree at a place with probability about d/2⁶¹ (Schwartz 1980), so
 * this decides equality of polynomials and fractions without expanding them and without rounding.
 */
export const PRIME: bigint = (1n << 61n) - 1n

const mod = (a: bigint) => ((a % PRIME) + PRIME) % PRIME

function modPower(base: bigint, exponent: bigint): bigint {
  let [result, square, rest] = [1n, mod(base), exponent]
  spend(bits(exponent))
  for (; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % PRIME
    square = (square * square) % PRIME
  }
  return result
}

/** 1/a, or null for 0. */
export function modInverse(a: bigint): bigint | null {
  const x = mod(a)
  return x === 0n ? null : modPower(x, PRIME - 2n)
}

const residues = new Map<string, bigint>()

function residue(name: string, place: number): bigint {
  const key = `${place}:${name}`
  let value = residues.get(key)
  if (value === undefined) {
    const [high, low] = [spread(key, 7), spread(key, 11)]
    value = (BigInt(Math.floor(high * 2 ** 30)) << 31n) + BigInt(Math.floor(low * 2 ** 31))
    if (residues.size > 4096) residues.clear()
    residues.set(key, value)
  }
  return value
}

/** The value at `place`, or null when the expression is not a rational function over the rationals. */
export function fingerprint(node: Node, place: number): bigint | null {
  spend(1)
  switch (node.op) {
    case 'number':
      return reduce(node.value)
    case 'variable':
      return residue(node.name, place)
    case 'pow': {
      const base = fingerprint(node.args[0]!, place)
      if (base === null) return null
      const exponent = exact(node.args[1]!)
      const k = exponent && asRational(exponent)
      if (k?.d !== 1n) return null
      if (k.n >= 0n) return modPower(base, k.n)
      const inverse = modInverse(base)
      return inverse === null ? null : modPower(inverse, -k.n)
    }
    case 'add':
    case 'mul':
    case 'neg':
    case 'div':
    case 'percent': {
      const args: bigint[] = []
      for (const arg of node.args) {
        const value = fingerprint(arg, place)
        if (value === null) return null
        args.push(value)
      }
      return operate(node.op, args)
    }
    default: {
      const known = exact(node)
      const value = known && asRational(known)
      return value && reduce(value)
    }
  }
}

function reduce(value: Rational): bigint | null {
  if (value.d === 1n) return mod(value.n)
  const inverse = modInverse(value.d)
  return inverse === null ? null : mod(value.n * inverse)
}

function operate(op: 'add' | 'mul' | 'neg' | 'div' | 'percent', args: readonly bigint[]): bigint | null {
  const first = args[0]!
  if (op === 'add') return args.reduce((a, b) => (a + b) % PRIME)
  if (op === 'mul') return args.reduce((a, b) => (a * b) % PRIME)
  if (op === 'neg') return mod(-first)
  const inverse = modInverse(op === 'percent' ? 100n : args[1]!)
  return inverse === null ? null : (first * inverse) % PRIME
}
