import { MONTHS } from './vocabulary.ts'

const ONES =
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen'.split(
    ' ',
  )
const TENS = 'twenty thirty forty fifty sixty seventy eighty ninety'.split(' ')
const ORDINALS =
  'zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth'.split(
    ' ',
  )
const SMALL = new Map<string, number>([
  ...ONES.map((word, k): [string, number] => [word, k]),
  ...TENS.map((word, k): [string, number] => [word, 20 + 10 * k]),
])
const ORDINAL = new Map<string, number>([
  ...ORDINALS.map((word, k): [string, number] => [word, k]),
  ...TENS.map((word, k): [string, number] => [word.replace(/y$/, 'ieth'), 20 + 10 * k]),
  ['hundredth', 100],
  ['thousandth', 1000],
])
const SCALES: readonly [string, number][] = [
  ['million', 1_000_000],
  ['thousand', 1000],
  ['hundred', 100],
]
const FRACTIONS: Readonly<Record<string, number>> = { half: 2, halve: 2, quarter: 4 }

const CHINESE_DIGITS = '零一二三四五六七八九'
const CHINESE_SCALES: Readonly<Record<string, number>> = { 十: 10, 百: 100, 千: 1000, 万: 10_000, 亿: 100_000_000 }

/** The whole number that words name, up to the millions, or null: `twenty-one`, `one hundred and five`, `三百二十`. */
export function numberWord(text: string): number | null {
  const clean = text.trim().toLowerCase()
  if (clean.length === 0 || clean.length > 80) return null
  if (/^[零一二两三四五六七八九十百千万亿]+$/.test(clean)) return chinese(clean.replace(/两/g, '二'))
  const words = clean.split(/[\s-]+/).filter(word => word !== 'and')
  return words.length === 0 || words.some(word => !/^[a-z]+$/.test(word)) ? null : cardinal(words)
}

function cardinal(words: readonly string[]): number | null {
  for (const [name, size] of SCALES) {
    const at = words.indexOf(name)
    if (at < 0) continue
    const head = at === 0 || (at === 1 && words[0] === 'a') ? 1 : cardinal(words.slice(0, at))
    const tail = at + 1 === words.length ? 0 : cardinal(words.slice(at + 1))
    return head === null || tail === null || tail >= size ? null : head * size + tail
  }
  const [first, second] = words.map(word => SMALL.get(word))
  if (words.length === 1) return first ?? null
  const composed =
    words.length === 2 && first !== undefined && second !== undefined && first >= 20 && second > 0 && second < 10
  return composed ? first + second : null
}

/** The n of an ordinal: `third`, `21st`, `twenty-first`, or null. */
export function ordinalWord(text: string): number | null {
  const clean = text.trim().toLowerCase()
  const digits = /^(\d{1,9})(?:st|nd|rd|th)$/.exec(clean)
  if (digits) return Number(digits[1])
  const words = clean.split(/[\s-]+/)
  const last = ORDINAL.get(words.at(-1) ?? '')
  if (last === undefined) return null
  if (words.length === 1) return last
  const head = numberWord(words.slice(0, -1).join(' '))
  return head === null || head % 10 !== 0 || head < 20 || last >= 10 ? null : head + last
}

/** `two-thirds`, `one half`, `three quarters`: [numerator, denominator], or null. */
export function fractionWords(text: string): [number, number] | null {
  const words = text
    .trim()
    .toLowerCase()
    .split(/[\s-]+/)
  const last = words.at(-1)?.replace(/s$/, '') ?? ''
  const denominator = FRACTIONS[last] ?? ORDINAL.get(last)
  if (denominator === undefined || denominator < 2) return null
  if (words.length === 1) return FRACTIONS[last] ? [1, denominator] : null
  const head = words.slice(0, -1).join(' ')
  const numerator = head === 'a' ? 1 : numberWord(head)
  return numerator === null ? null : [numerator, denominator]
}

function chinese(text: string): number | null {
  let [total, section, digit] = [0, 0, 0]
  for (const c of text) {
    const value = CHINESE_DIGITS.indexOf(c)
    if (value >= 0) {
      digit = value
      continue
    }
    const scale = CHINESE_SCALES[c] ?? 0
    if (scale >= 10_000) {
      total = (total + section + digit) * scale
      section = 0
    } else section += (digit || 1) * scale
    digit = 0
  }
  return total + section + digit
}

const FILLER = /\b(?:the|a|an|is|are|of|answer|option|choice|approximately|about|only)\b(?=\s+\p{L})/gu

/** What two texts are compared by: case, articles, punctuation and spacing do not count. */
export function textKey(text: string): string {
  const date = calendarDate(text)
  if (date) return date
  const lower = text
    .toLowerCase()
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/\\(?:text|mathrm|mathbf|textbf)|[\\{}]/g, ' ')
  const bare = lower.replace(FILLER, ' ').replace(/[^\p{L}\p{N}+*/=<>^_-]+/gu, '')
  return bare || lower.replace(/\s+/g, '')
}

/** `May 5, 2020`, `5 May 2020`, `5th of May`, `2020-05-05` as year-month-day. */
function calendarDate(text: string): string | null {
  const clean = text.trim().toLowerCase()
  const iso = /^(\d{4})-(\d{1,2})-(\d{1,2})$/.exec(clean)
  if (iso) return `date:${Number(iso[1])}-${Number(iso[2])}-${Number(iso[3])}`
  const parts = clean.split(/[\s,.]+/).filter(part => part !== '' && part !== 'of' && part !== 'the')
  const at = parts.findIndex(
    part => part.length >= 3 && MONTHS.some(month => month === part || month.slice(0, 3) === part),
  )
  if (at < 0 || parts.length < 2 || parts.length > 3) return null
  const month = MONTHS.findIndex(name => name.startsWith(parts[at]!)) + 1
  const numbers = parts.filter((_, k) => k !== at).map(part => Number(part.replace(/(?:st|nd|rd|th)$/, '')))
  if (numbers.some(n => !Number.isInteger(n))) return null
  const day = numbers.find(n => n <= 31) ?? 0
  const year = numbers.find(n => n > 31) ?? 0
  return `date:${year}-${month}-${day}`
}

/** `4:30 p.m.`, `16:30`: minutes after midnight, with whether the half of the day was named; null for no time. */
export function clockTime(text: string): { minutes: number; half: 'am' | 'pm' | null } | null {
  const found = /^(\d{1,2})\s*:\s*([0-5]\d)(?:\s*:\s*([0-5]\d))?\s*(?:([ap])(?:\.?\s*m\.?)?)?$/i.exec(text.trim())
  const hourOnly = found ? null : /^(\d{1,2})\s*([ap])\.?\s*m\.?$/i.exec(text.trim())
  if (!found && !hourOnly) return null
  const hour = Number((found ?? hourOnly)![1])
  if (hour > 24) return null
  const letter = (found ? found[4] : hourOnly![2])?.toLowerCase()
  const half = letter === 'a' ? 'am' : letter === 'p' ? 'pm' : null
  const base = half === null ? hour : (hour % 12) + (half === 'pm' ? 12 : 0)
  return { minutes: base * 60 + Number(found?.[2] ?? 0) + Number(found?.[3] ?? 0) / 60, half }
}
