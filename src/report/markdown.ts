/** How reports write numbers and tables as text. */
import type { Interval } from '../evaluate/metrics.ts'

/** A cell of CSV (RFC 4180); text that a spreadsheet would run as a formula gets an apostrophe before it. */
export function cell(value: string | number | null): string {
  if (value === null) return ''
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : ''
  const harmless = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}

/** A part of a document under its title; nothing where it would be empty. */
export function section(title: string, body: string): string {
  return body === '' ? '' : `## ${title}\n\n${body}`
}

/** Empty without rows. Cells are padded, so that the table also reads well as it stands. */
export function table(head: readonly string[], align: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const cells = [head, ...rows].map(row => row.map(text))
  const widths = head.map((_, column) => cells.reduce((most, row) => Math.max(most, row[column]!.length), 4))
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (align[i] === 'r' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join(' | ')} |`
  const rule = widths.map((width, i) => (align[i] === 'r' ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)))
  const [first, ...others] = cells
  return [line(first!), `| ${rule.join(' | ')} |`, ...others.map(line)].join('\n')
}

/** Sentences that must be seen. */
export function bullets(lines: readonly string[]): string {
  return lines.map(line => `- **${text(line)}**`).join('\n')
}

/** Foreign text as one line that Markdown shows as it is; what is harmless where it stands is left alone. */
export function text(value: string): string {
  return value
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .replace(/[\\`*[\]|#~]|<(?=[a-z/!?])|&(?=[a-z#])|(?<![a-z0-9])_|_(?![a-z0-9])/gi, '\\$&')
    .trim()
}

/** The two ends of an interval. */
export function range({ low, high }: Interval, show: (value: number) => string): string {
  return `${show(low)} to ${show(high)}`
}

/** A share in [0, 1] in percent, without the sign. */
export function percent(value: number): string {
  return Number.isFinite(value) ? (100 * value).toFixed(1) : '–'
}

/** A difference of shares in percentage points, with its sign. */
export function points(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const shown = (100 * Math.abs(value)).toFixed(1)
  return shown === '0.0' ? shown : `${value < 0 ? '−' : '+'}${shown}`
}

/** To three digits behind the point. */
export function fixed(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3) : '–'
}

/** The p of a test. */
export function pValue(p: number): string {
  return p < 0.001 ? '< 0.001' : p.toFixed(3)
}

/** In groups of three digits. */
export function count(value: number): string {
  return value.toLocaleString('en')
}

/** Rounded, in groups of three digits; a dash where there is none. */
export function whole(value: number | null): string {
  return value === null ? '–' : Math.round(value).toLocaleString('en')
}
