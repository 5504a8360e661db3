import { type Child, fill, h } from './dom.ts'
import { type Column, table } from './table.ts'

export interface FigureOptions<Row> {
  readonly id: string
  /** What is seen, for those who do not see it. */
  readonly label: string
  readonly caption: Child
  /** The plot, `width` CSS pixels wide. */
  readonly draw: (width: number) => Element
  /** The same numbers, made when they are asked for. */
  readonly data: { readonly rows: () => readonly Row[]; readonly columns: readonly Column<Row>[] }
  /** Above the plot: what changes it. */
  readonly controls?: Child
}

export interface Figure {
  readonly element: HTMLElement
  /** Draws again after what is shown has changed. */
  readonly redraw: () => void
}

/** A plot with its caption and its numbers as a table; it is drawn when it has a width and again when that changes. */
export function figure<Row>(options: FigureOptions<Row>): Figure {
  const plot = h('div', { class: 'plot', role: 'img', 'aria-label': options.label })
  const numbers = h('div')
  const details = h('details', {}, h('summary', {}, 'Numbers'), numbers)
  const showNumbers = (): void => {
    if (details.open) fill(numbers, table(options.data.rows(), options.data.columns, { caption: options.label }))
    else fill(numbers)
  }
  details.addEventListener('toggle', showNumbers)
  let drawn = 0
  const redraw = (): void => {
    const width = plot.clientWidth
    if (width === 0) return
    drawn = width
    fill(plot, options.draw(width))
    showNumbers()
  }
  new ResizeObserver(() => {
    if (plot.clientWidth !== drawn) requestAnimationFrame(redraw)
  }).observe(plot)
  const element = h('figure', { id: options.id }, options.controls, plot, h('figcaption', {}, options.caption), details)
  return { element, redraw }
}
