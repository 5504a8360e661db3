import type { Interval } from '../../evaluate/metrics.ts'

/** JSON turns what is not finite into null, so a number of the data may be missing. */
type Maybe = number | null | undefined

/** What stands for a number that there is not. */
export const NONE = '–'

const isNumber = (value: Maybe): value is number => typeof value === 'number' && Number.isFinite(value)

/** A share in [0, 1] → percent: 0.624 → `62.4`. */
export function percent(share: Maybe, digits = 1): string {
  return isNumber(share) ? minus((share * 100).toFixed(digits)) : NONE
}

/** A difference of shares → percentage points with their sign: −0.031 → `−3.1`. */
export function points(difference: Maybe): string {
  if (!isNumber(difference)) return NONE
  const text = percent(difference)
  return difference > 0 && !/^0\.0$/.test(text) ? `+${text}` : text
}

/** An estimate with its interval: `62.4 [52.9, 71.4]`. */
export function interval(estimate: Interval | null, write: (value: Maybe) => string = percent): string {
  if (estimate === null || !isNumber(estimate.value)) return NONE
  return `${write(estimate.value)} [${write(estimate.low)}, ${write(estimate.high)}]`
}

/** A number in [0, 1] that is no share: `0.871`. */
export function decimal(value: Maybe, digits = 3): string {
  return isNumber(value) ? minus(value.toFixed(digits)) : NONE
}

/** A count, in groups of three digits: 12345.6 → `12,346`. */
export function count(value: Maybe): string {
  return isNumber(value) ? minus(Math.round(value).toLocaleString('en-US')) : NONE
}

/** Milliseconds → seconds, to three digits: 12345 → `12.3`. */
export function seconds(ms: Maybe): string {
  if (!isNumber(ms)) return NONE
  const value = ms / 1000
  if (value === 0) return '0'
  return value >= 100 ? count(value) : value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3)
}

/** The p of a test: `0.034`, `< 0.001`. */
export function probability(p: Maybe): string {
  if (!isNumber(p)) return NONE
  return p < 0.001 ? '< 0.001' : p.toFixed(3)
}

/** A step's score, short but never rounded up to a certain 1. */
export function score(value: Maybe): string {
  if (!isNumber(value)) return NONE
  const text = Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2)
  return minus(text === '1.00' && value < 1 ? '>.99' : text)
}

/** `1 problem`, `2 problems`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}

const minus = (text: string): string => (/^-0(\.0+)?$/.test(text) ? text.slice(1) : text.replace('-', '−'))
