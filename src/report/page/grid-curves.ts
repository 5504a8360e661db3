/** Accuracy against measured cost, a line for each strategy. */
import { areaY, dot, line, type Markish, plot, pointerX, ruleX, text, tip } from '@observablehq/plot'
import type { Interval } from '../../evaluate/metrics.ts'
import type { Axis, GridSummary } from '../../grid/summary.ts'
import { fill, h } from './dom.ts'
import { figure } from './figure.ts'
import { count, interval } from './format.ts'
import { logTicks, spread } from './plots.ts'

/** What costs are counted in: the titles of axes and switches. */
export const axisNames: Readonly<Record<Axis, string>> = {
  generations: 'generations',
  policyTokens: 'policy tokens',
  tokens: 'total tokens (policy and PRM)',
  ms: 'milliseconds',
}

export interface StrategyStyle {
  /** A CSS colour that follows light and dark. */
  readonly color: string
  readonly symbol: 'circle' | 'triangle' | 'square' | 'diamond' | 'star' | 'cross' | 'wye' | 'times'
}

export type Palette = ReadonlyMap<string, StrategyStyle>

const symbols = ['circle', 'triangle', 'square', 'diamond', 'star', 'cross', 'wye', 'times'] as const

/** A colour and a mark for each strategy, in the order of the grid. */
export function paletteOfStrategies({ cells }: GridSummary): Palette {
  const names = [...new Set(cells.map(({ strategy }) => strategy))]
  return new Map(
    names.map((name, index) => {
      const place = index % symbols.length
      return [name, { color: `var(--series-${place})`, symbol: symbols[place]! }]
    }),
  )
}

/** Below this width there is no room for names beside the lines; the buttons above name them. */
const LABELLED = 520

interface Point {
  readonly strategy: string
  readonly budget: string
  readonly x: number
  readonly accuracy: Interval
}

/** A plot with a switch of what cost is counted in, and a button for each strategy. */
export function curveView(
  summary: GridSummary,
  palette: Palette,
  { id, title, axis: first }: { id: string; title: string; axis: Axis },
): HTMLElement {
  const known = [...new Set(summary.curves.map(({ axis }) => axis))]
  let axis = first
  const shown = new Set(palette.keys())
  const points = (): Point[] =>
    summary.curves
      .filter(curve => curve.axis === axis)
      .flatMap(({ strategy, points }) =>
        points.map(({ budget, at, accuracy }) => ({ strategy, budget, x: at, accuracy })),
      )
  const unit = h('span', {}, axisNames[axis])
  const columnTitle = h('span', {}, axisNames[axis])
  const view = figure<Point>({
    id,
    label: `${title}: accuracy against what a search took, one line for each strategy, with 95 % intervals`,
    caption: h(
      'span',
      {},
      `${title}. Accuracy against measured `,
      unit,
      ' of a search, in the mean; a point is a budget. Bands are 95 % intervals over problems.',
    ),
    controls: h(
      'div',
      {},
      axisSwitch(known, axis, chosen => {
        axis = chosen
        fill(unit, axisNames[axis])
        fill(columnTitle, axisNames[axis])
        view.redraw()
      }),
      strategyButtons(palette, shown, () => view.redraw()),
    ),
    draw: width =>
      drawCurves(
        points().filter(({ strategy }) => shown.has(strategy)),
        palette,
        width,
        axisNames[axis],
      ),
    data: {
      rows: points,
      columns: [
        { title: 'strategy', align: 'left', cell: ({ strategy }) => strategy, sort: ({ strategy }) => strategy },
        { title: 'budget', cell: ({ budget }) => budget },
        { title: columnTitle, cell: ({ x }) => short(x), sort: ({ x }) => x },
        { title: 'accuracy, %', cell: ({ accuracy }) => interval(accuracy), sort: ({ accuracy }) => accuracy.value },
      ],
    },
  })
  return view.element
}

/** Buttons of which one is pressed. */
export function axisSwitch(known: readonly Axis[], first: Axis, choose: (axis: Axis) => void): HTMLElement {
  return choice(
    'cost counted in',
    known.map(axis => [axis, axisNames[axis]] as const),
    first,
    choose,
  )
}

/** Buttons of which one is pressed. */
export function choice<Value extends string>(
  label: string,
  values: readonly (readonly [Value, string])[],
  first: Value,
  choose: (value: Value) => void,
): HTMLElement {
  const buttons = values.map(([value, name]) => {
    const button = h(
      'button',
      {
        type: 'button',
        class: 'chip',
        'aria-pressed': String(value === first),
        click: () => {
          for (const other of buttons) other.setAttribute('aria-pressed', String(other === button))
          choose(value)
        },
      },
      name,
    )
    return button
  })
  return h('div', { class: 'chips', role: 'group', 'aria-label': label }, `${label}:`, ...buttons)
}

function strategyButtons(palette: Palette, shown: Set<string>, redraw: () => void): HTMLElement {
  const buttons = [...palette].map(([strategy, { color }]) => {
    const button = h(
      'button',
      {
        type: 'button',
        class: 'chip',
        'aria-pressed': 'true',
        click: () => {
          if (!shown.delete(strategy)) shown.add(strategy)
          button.setAttribute('aria-pressed', String(shown.has(strategy)))
          redraw()
        },
      },
      h('span', { class: 'key', style: `--key: ${color}` }),
      strategy,
    )
    return button
  })
  return h('div', { class: 'chips legend', role: 'group', 'aria-label': 'strategies shown' }, ...buttons)
}

/** One digit behind the point below 100. */
export function short(value: number | null): string {
  return value !== null && value < 100 ? value.toFixed(1).replace(/\.0$/, '') : count(value)
}

function drawCurves(points: readonly Point[], palette: Palette, width: number, unit: string): Element {
  if (points.length === 0) return h('p', { class: 'absent' }, 'No strategy is chosen.')
  const labelled = width >= LABELLED
  const height = Math.round(Math.min(460, Math.max(280, width * 0.55)))
  const margins = { marginTop: 30, marginBottom: 42, marginLeft: 46, marginRight: labelled ? 150 : 14 }
  const strategies = [...new Set(points.map(({ strategy }) => strategy))]
  const low = Math.max(0, Math.min(...points.map(({ accuracy }) => accuracy.low)) - 0.02)
  const high = Math.min(1, Math.max(...points.map(({ accuracy }) => accuracy.high)) + 0.02)
  const y = ({ accuracy }: Point): number => accuracy.value * 100
  const marks: Markish[] = []
  for (const strategy of strategies) {
    const { color, symbol } = palette.get(strategy)!
    const own = points.filter(point => point.strategy === strategy).toSorted((a, b) => a.x - b.x)
    const bounds = {
      x: 'x',
      y1: ({ accuracy }: Point) => accuracy.low * 100,
      y2: ({ accuracy }: Point) => accuracy.high * 100,
    }
    marks.push(
      own.length > 1
        ? areaY(own, { ...bounds, fill: color, fillOpacity: 0.09 })
        : ruleX(own, { ...bounds, stroke: color }),
      line(own, { x: 'x', y, stroke: color, strokeWidth: 1.8 }),
      dot(own, { x: 'x', y, symbol, r: 3.4, fill: symbol === 'times' ? 'none' : color, stroke: color }),
    )
  }
  if (labelled) marks.push(...labels(strategies, points, palette, { height, low, high, margins }))
  marks.push(
    tip(
      points,
      pointerX({
        x: 'x',
        y,
        title: ({ strategy, budget, x, accuracy }: Point) =>
          `${strategy}, ${budget}\n${interval(accuracy)} %\n${short(x)} ${unit}`,
      }),
    ),
  )
  const xs = points.map(({ x }) => x)
  return plot({
    width,
    height,
    ...margins,
    x: {
      type: 'log',
      label: `${unit} of a search`,
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks: logTicks(Math.min(...xs), Math.max(...xs), width),
      tickFormat: (value: number) => short(value),
      inset: 8,
    },
    y: { label: 'accuracy, %', labelArrow: 'none', domain: [low * 100, high * 100], ticks: 6, grid: true },
    marks,
  })
}

/** Names beside the last points, moved apart. */
function labels(
  strategies: readonly string[],
  points: readonly Point[],
  palette: Palette,
  {
    height,
    low,
    high,
    margins,
  }: { height: number; low: number; high: number; margins: { marginTop: number; marginBottom: number } },
): Markish[] {
  const perPixel = ((high - low) * 100) / (height - margins.marginTop - margins.marginBottom)
  const right = Math.max(...points.map(({ x }) => x))
  const last = strategies.map(strategy => {
    const point = points.filter(point => point.strategy === strategy).reduce((a, b) => (b.x > a.x ? b : a))
    return { strategy, y: point.accuracy.value * 100 }
  })
  return spread(last, 14 * perPixel).map(({ strategy, y }) =>
    text([strategy], {
      x: () => right,
      y: () => y,
      text: () => (strategy.length > 20 ? `${strategy.slice(0, 19)}…` : strategy),
      dx: 12,
      textAnchor: 'start',
      fill: palette.get(strategy)!.color,
    }),
  )
}
