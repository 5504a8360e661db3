import { add, div, mul, ONE, power, type Rational, rational } from './rational.ts'
import { spend, TooComplex } from './work.ts'

/** A number as printed: its value, how precisely it was given, and how many characters it took. */
export interface Numeral {
  readonly value: Rational
  readonly decimals: number
  readonly significant: number
  readonly length: number
}

const GROUPED = [
  /[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)(?:\.\d+)?/y,
  /[1-9]\d{0,2}(?:\{,\}\d{3})+(?!\d|\{,\}\d)(?:\.\d+)?/y,
  /[1-9]\d{0,2}(?: \d{3})+(?!\d| \d)(?:[.,]\d+)?/y,
  /[1-9]\d{0,2}(?:'\d{3})+(?!\d)(?:\.\d+)?/y,
]
const EUROPEAN = [/[1-9]\d{0,2}(?:\.\d{3})+,\d+(?!\d)/y, /[1-9]\d{0,2}(?:\.\d{3}){2,}(?![\d.])/y]
const DECIMAL_COMMA = /\d+\{,\}\d+/y
const PLAIN = /\d+(?:(?:\.|\{\.\})\d+)?|\.\d+/y
const POINT_ONLY = /\d*\.(?=\s*\\(?:overline|bar|dot)(?![a-zA-Z])|\(\d+\))/y
const OVERLINE = /\s*\\(?:overline|bar|dot|dot\s*\{\s*\\overline)\s*\{\s*(\d+)\s*\}/y
const PARENTHESISED_PERIOD = /\((\d+)\)/y
const ELLIPSIS = /\s*(?:\\dots|\.\.\.)/y
const EXPONENT = /[eE]([+-]?\d{1,6})(?![\w.])/y
const TEN_TO = /\s*(?:\\times|\\cdot|\*|x)\s*10\s*(?:\^|\*\*)\s*(?:\{\s*(-?\d{1,6})\s*\}|(-?\d{1,6}))/y

function at(pattern: RegExp, s: string, from: number): RegExpExecArray | null {
  pattern.lastIndex = from
  return pattern.exec(s)
}

/**
 * The number that starts at `from`, or null. `commas` says whether a comma may group thousands there: it may at the
 * top level, `1,234`, and not inside a bracket, where it separates, `(1,234)`.
 */
export function readNumeral(s: string, from: number, commas: boolean): Numeral | null {
  for (const [index, pattern] of GROUPED.entries()) {
    if (index === 0 && !commas) continue
    const found = at(pattern, s, from)
    if (!found) continue
    const text = index === 2 ? found[0].replace(',', '.') : found[0]
    return scaled(text.replace(/[^\d.]/g, ''), s, from + found[0].length, found[0].length)
  }
  for (const pattern of EUROPEAN) {
    const found = commas || pattern === EUROPEAN[1] ? at(pattern, s, from) : null
    if (found) return scaled(found[0].replace(/\./g, '').replace(',', '.'), s, from + found[0].length, found[0].length)
  }
  const comma = at(DECIMAL_COMMA, s, from)
  if (comma) return scaled(comma[0].replace('{,}', '.'), s, from + comma[0].length, comma[0].length)
  const plain = at(POINT_ONLY, s, from) ?? at(PLAIN, s, from)
  if (!plain) return null
  const end = from + plain[0].length
  const text = plain[0].replace('{.}', '.')
  if (text.includes('.')) {
    const repeating = readPeriod(text, s, end)
    if (repeating) return { ...repeating, length: repeating.length + plain[0].length }
  }
  return scaled(text, s, end, plain[0].length)
}

/** A decimal with a repeating part: `0.1\overline{6}`, `0.(3)`, `0.333…`. */
function readPeriod(text: string, s: string, end: number): Numeral | null {
  const marked = at(OVERLINE, s, end) ?? at(PARENTHESISED_PERIOD, s, end)
  if (marked) return repeating(text, marked[1]!, marked[0].length)
  const dots = at(ELLIPSIS, s, end)
  if (!dots) return null
  const digits = text.split('.')[1]!
  const found = /(\d{2,12}?)\1+$|(\d)\2{2,}$/.exec(digits.slice(-48))
  const unit = found?.[2] ?? found?.[1]
  if (!unit) return { ...decimal(text), length: dots[0].length }
  const whole = text.slice(0, text.length - (found?.[0].length ?? 0))
  return repeating(whole, unit, dots[0].length)
}

function repeating(text: string, period: string, length: number): Numeral {
  const start = decimal(text.endsWith('.') ? text.slice(0, -1) : text)
  const nines = 10n ** BigInt(period.length) - 1n
  const tail = div(rational(BigInt(period), nines), rational(10n ** BigInt(start.decimals)))
  return {
    value: add(start.value, tail),
    decimals: Number.POSITIVE_INFINITY,
    significant: Number.POSITIVE_INFINITY,
    length,
  }
}

function decimal(text: string): { value: Rational; decimals: number; significant: number } {
  if (text.length > 4000) throw new TooComplex('digits')
  spend(1 + text.length / 16)
  const [whole = '', fraction = ''] = text.split('.')
  return {
    value: rational(BigInt(`${whole}${fraction}` || '0'), 10n ** BigInt(fraction.length)),
    decimals: fraction.length,
    significant: `${whole}${fraction}`.replace(/^0+/, '').length,
  }
}

/** Applies `e12` or `\times 10^{12}` after the mantissa. */
function scaled(text: string, s: string, end: number, length: number): Numeral {
  const mantissa = decimal(text)
  const exponent = at(EXPONENT, s, end) ?? (text.includes('.') ? at(TEN_TO, s, end) : null)
  if (!exponent) return { ...mantissa, length }
  const k = Number(exponent[1] ?? exponent[2])
  if (Math.abs(k) > 4000) throw new TooComplex('exponent')
  const factor = power(rational(10), BigInt(Math.abs(k)))
  return {
    value: k < 0 ? mul(mantissa.value, div(ONE, factor)) : mul(mantissa.value, factor),
    decimals: mantissa.decimals - k,
    significant: mantissa.significant,
    length: length + exponent[0].length,
  }
}
