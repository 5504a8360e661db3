import { mul, ONE, power, type Rational, rational } from './rational.ts'
import { unitNamed } from './vocabulary.ts'

/** A product of known units: its dimensions, in base units, and the factor to them. */
export interface Measure {
  readonly dimensions: string
  readonly size: Rational
}

const CURRENCIES: Readonly<Record<string, string>> = {
  dollar: 'dollar',
  euro: 'euro',
  pound: 'sterling',
  yen: 'yen',
  rupee: 'rupee',
  cent: 'cent',
}

/** The unit that a currency sign stands for, or undefined. */
export const currencyOf = (command: string): string | undefined => CURRENCIES[command]

/** `square cm`, `cm^2`, `m/s`, `miles per hour`; null when a part of it is no known unit. */
export function measure(text: string): Measure | null {
  const words = text
    .replace(/[{}\\.]/g, ' ')
    .replace(/\bper\b/g, '/')
    .replace(/\bmph\b/g, 'mile / hour')
    .replace(/\bkm?ph\b|\bkmh\b/g, 'km / hour')
    .replace(/(\/|\^|\*|·)/g, ' $1 ')
    .split(/[\s-]+/)
    .filter(word => word !== '' && word !== '*' && word !== '·' && word !== 'cdot')
  const exponents = new Map<string, number>()
  let size: Rational = ONE
  let direction = 1
  let next = 1
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    if (word === '/') {
      direction = -1
      continue
    }
    const power2 = { square: 2, sq: 2, cubic: 3, cu: 3 }[word]
    if (power2) {
      next = power2
      continue
    }
    const unit = unitNamed(word)
    if (!unit) return null
    let exponent = next * direction
    next = 1
    const after = words[i + 1]
    if (after === '^' && /^[1-9]$/.test(words[i + 2] ?? '')) {
      exponent *= Number(words[i + 2])
      i += 2
    } else if (after === 'squared' || after === 'cubed') {
      exponent *= after === 'squared' ? 2 : 3
      i++
    }
    size = mul(size, power(rational(BigInt(unit.size[0]), BigInt(unit.size[1])), BigInt(exponent)))
    exponents.set(unit.dimension, (exponents.get(unit.dimension) ?? 0) + exponent)
  }
  const dimensions = [...exponents].filter(([, k]) => k !== 0).sort(([a], [b]) => (a < b ? -1 : 1))
  return dimensions.length === 0 ? null : { dimensions: dimensions.map(([name, k]) => `${name}${k}`).join(' '), size }
}
