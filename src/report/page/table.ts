import { type Child, fill, h } from './dom.ts'

/** A column of a table: how to write a row's cell and, where it can be sorted by, the cell's worth. */
export interface Column<Row> {
  readonly title: Child
  readonly cell: (row: Row) => Child
  /** By what rows are sorted when the title is pressed; without it there is no button. */
  readonly sort?: (row: Row) => number | string
  readonly align?: 'left' | 'right'
  /** Titles over several columns, written once above neighbours that share it. */
  readonly group?: string
}

export interface TableOptions {
  readonly caption: Child
  /** Below the table: what its marks mean. */
  readonly notes?: readonly string[]
  readonly class?: string
}

/** A table as papers set it: caption, column heads, the first column as the rows' heads, and notes. It scrolls by itself. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], options: TableOptions): HTMLElement {
  const body = h('tbody')
  const heads = columns.map(column => {
    const head = h('th', { scope: 'col', class: align(column) })
    if (column.sort)
      head.append(h('button', { type: 'button', class: 'sort', click: () => sortBy(column) }, column.title))
    else fill(head, column.title)
    return head
  })
  const show = (sorted: readonly Row[]): void => fill(body, ...sorted.map(row => rowOf(row, columns)))
  const sortBy = (column: Column<Row>): void => {
    const head = heads[columns.indexOf(column)]!
    const direction = head.getAttribute('aria-sort') === 'descending' ? 'ascending' : 'descending'
    for (const other of heads) other.removeAttribute('aria-sort')
    head.setAttribute('aria-sort', direction)
    const sign = direction === 'ascending' ? 1 : -1
    show(rows.toSorted((a, b) => sign * compare(column.sort!(a), column.sort!(b))))
  }
  show(rows)
  const notes = options.notes ?? []
  return h(
    'div',
    { class: 'table-block' },
    h(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'table, scrolls sideways' },
      h(
        'table',
        { class: options.class },
        h('caption', {}, h('span', {}, options.caption)),
        h('thead', {}, groupRow(columns), h('tr', {}, ...heads)),
        body,
      ),
    ),
    notes.length > 0 ? h('ul', { class: 'notes' }, ...notes.map(note => h('li', {}, note))) : null,
  )
}

function compare(a: number | string, b: number | string): number {
  if (typeof a === 'string' || typeof b === 'string') return String(a).localeCompare(String(b))
  return (Number.isNaN(a) ? Number.NEGATIVE_INFINITY : a) - (Number.isNaN(b) ? Number.NEGATIVE_INFINITY : b)
}

function rowOf<Row>(row: Row, columns: readonly Column<Row>[]): HTMLTableRowElement {
  return h(
    'tr',
    {},
    ...columns.map((column, index) =>
      index === 0
        ? h('th', { scope: 'row', class: align(column) }, column.cell(row))
        : h('td', { class: align(column) }, column.cell(row)),
    ),
  )
}

/** The row of titles that span columns; null when no column has one. */
function groupRow<Row>(columns: readonly Column<Row>[]): HTMLTableRowElement | null {
  if (columns.every(({ group }) => group === undefined)) return null
  const row = h('tr', { class: 'groups' })
  for (let start = 0; start < columns.length; ) {
    const { group } = columns[start]!
    let end = start + 1
    while (end < columns.length && group !== undefined && columns[end]!.group === group) end++
    row.append(
      group === undefined ? h('td') : h('th', { scope: 'colgroup', colspan: end - start }, h('span', {}, group)),
    )
    start = end
  }
  return row
}

function align<Row>(column: Column<Row>): string {
  return column.align === 'left' ? 'left' : 'right'
}
