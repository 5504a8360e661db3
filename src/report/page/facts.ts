import { quoted } from './dom.ts'
import { table } from './table.ts'

/** Keys and values as a table; null without any. */
export function facts(caption: string, values: Readonly<Record<string, unknown>>): HTMLElement | null {
  const rows = Object.entries(values)
  if (rows.length === 0) return null
  return table(
    rows,
    [
      { title: 'key', align: 'left', cell: ([key]) => quoted(key) },
      {
        title: 'value',
        align: 'left',
        cell: ([, value]) => quoted(typeof value === 'string' ? value : (JSON.stringify(value) ?? '')),
      },
    ],
    { caption, class: 'facts' },
  )
}
