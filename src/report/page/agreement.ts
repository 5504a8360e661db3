import { cell, plot, text } from '@observablehq/plot'
import type { Summary } from '../../evaluate/summary.ts'
import { h } from './dom.ts'
import { figure } from './figure.ts'
import { percent } from './format.ts'

/** How often two rules choose the same answer; nothing where fewer than two choose. */
export function agreementFigure({ agreement }: Summary): HTMLElement | null {
  if (agreement === null || agreement.names.length < 2) return null
  const { names, shares } = agreement
  const cells = names.flatMap((row, i) =>
    names.flatMap((column, j) => {
      const share = shares[i]?.[j]
      return typeof share === 'number' ? [{ row, column, share }] : []
    }),
  )
  const lowest = Math.min(...cells.map(({ share }) => share))
  const depth = (share: number): number => (lowest === 1 ? 1 : (share - lowest) / (1 - lowest))
  const side = Math.min(46, Math.max(30, 620 / names.length))
  const draw = (): Element => {
    const map = plot({
      width: names.length * side + 268,
      height: names.length * side + 170,
      marginTop: 164,
      marginLeft: 178,
      marginRight: 90,
      marginBottom: 6,
      x: { domain: names, axis: 'top', label: null, tickRotate: -60, tickSize: 0, padding: 0.04 },
      y: { domain: names, label: null, tickSize: 0, padding: 0.04 },
      color: { type: 'identity' },
      marks: [
        cell(cells, {
          x: 'column',
          y: 'row',
          fill: ({ share }) =>
            `color-mix(in oklab, var(--heat-low), var(--heat-high) ${Math.round(depth(share) * 100)}%)`,
        }),
        text(cells, {
          x: 'column',
          y: 'row',
          text: ({ share }) => percent(share, 0),
          fill: ({ share }) => (depth(share) > 0.55 ? 'var(--heat-on-high)' : 'var(--heat-on-low)'),
        }),
      ],
    })
    return h('div', { class: 'scroll' }, map)
  }
  return figure({
    id: 'agreement',
    label: 'Agreement of the rules: how often two choose the same answer',
    caption: 'Agreement of the rules: in what percentage of problems two choose the same answer.',
    draw,
    data: {
      rows: () => names.map((name, i) => ({ name, shares: shares[i] ?? [] })),
      columns: [
        { title: 'rule', align: 'left', cell: ({ name }) => name },
        ...names.map((name, j) => ({
          title: name,
          cell: (row: { shares: readonly number[] }) => percent(row.shares[j], 1),
        })),
      ],
    },
  }).element
}
