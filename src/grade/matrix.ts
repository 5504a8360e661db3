import { add, mul, type Rational } from './rational.ts'
import type { Node, Operator } from './tree.ts'
import { spend } from './work.ts'

type Rows = readonly (readonly Node[])[]

const rowsOf = (n: Node): Rows | null => (n.op === 'matrix' ? n.rows : null)

/** Sums and products of numbers are computed on the spot, so that powers of a numeric matrix stay small. */
function build(op: Operator, ...args: Node[]): Node {
  const values = args.map(arg => (arg.op === 'number' ? arg.value : null))
  if ((op === 'add' || op === 'mul') && !values.includes(null)) {
    return { op: 'number', value: (values as Rational[]).reduce(op === 'add' ? add : mul), digits: null }
  }
  return { op, args }
}

function each(a: Rows, f: (entry: Node) => Node): Node {
  spend(a.length * a[0]!.length)
  return { op: 'matrix', rows: a.map(row => row.map(f)) }
}

/** Sum, difference, product, quotient by a scalar and transpose of matrices, entry by entry; null for other operands. */
export function matrixOperation(op: Operator, args: readonly Node[]): Node | null {
  if (!args.some(arg => arg.op === 'matrix')) return null
  const [a, b] = args as [Node, Node]
  const [left, right] = [rowsOf(a), b && rowsOf(b)]
  if (op === 'neg' && left) return each(left, entry => build('neg', entry))
  if (op === 'div' && left && !right) return each(left, entry => build('div', entry, b))
  if (op === 'add') return args.reduce((x, y) => plus(x, y))
  if (op === 'mul') {
    if (left && right) return product(left, right)
    if (left) return each(left, entry => build('mul', entry, b))
    if (right) return each(right, entry => build('mul', a, entry))
  }
  if (op === 'pow' && left && isTranspose(b)) {
    spend(left.length * left[0]!.length)
    return { op: 'matrix', rows: left[0]!.map((_, column) => left.map(row => row[column]!)) }
  }
  if (op === 'pow' && left && b.op === 'number' && b.value.d === 1n && b.value.n >= 1n && b.value.n <= highest(left)) {
    let result: Node = a
    for (let k = 1n; k < b.value.n; k++) result = product(rowsOf(result) ?? left, left) ?? result
    return result
  }
  return null
}

/** The highest power worked out: entries that are no numbers grow with every factor. */
const highest = (rows: Rows): bigint => (rows.flat().every(entry => entry.op === 'number') ? 16n : 4n)

const isTranspose = (n: Node): boolean => n.op === 'variable' && (n.name === 'T' || n.name === 'top')

/** The determinant by cofactors, for up to four rows; null for larger or ragged ones. */
export function determinant(rows: Rows): Node | null {
  const [first, ...rest] = rows
  if (!first || rows.length > 4 || rows.some(row => row.length !== rows.length)) return null
  if (rest.length === 0) return first[0]!
  spend(rows.length)
  const terms = first.map((entry, column) => {
    const minor = determinant(rest.map(row => row.filter((_, k) => k !== column)))!
    const product = build('mul', entry, minor)
    return column % 2 === 1 ? build('neg', product) : product
  })
  return build('add', ...terms)
}

function plus(a: Node, b: Node): Node {
  const [left, right] = [rowsOf(a), rowsOf(b)]
  if (!left || !right || left.length !== right.length || left[0]!.length !== right[0]!.length) return build('add', a, b)
  spend(left.length * left[0]!.length)
  return { op: 'matrix', rows: left.map((row, i) => row.map((entry, j) => build('add', entry, right[i]![j]!))) }
}

function product(a: Rows, b: Rows): Node | null {
  const [inner, columns] = [b.length, b[0]!.length]
  if (a[0]!.length !== inner) return null
  spend(a.length * inner * columns)
  const entry = (i: number, j: number) => {
    const terms = Array.from({ length: inner }, (_, k) => build('mul', a[i]![k]!, b[k]![j]!))
    return terms.length === 1 ? terms[0]! : build('add', ...terms)
  }
  return { op: 'matrix', rows: a.map((_, i) => Array.from({ length: columns }, (_, j) => entry(i, j))) }
}
