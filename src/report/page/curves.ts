/** Accuracy against what it takes: the number of candidates, tokens, and time. */
import { areaY, dot, line, type Markish, plot, pointerX, ruleX, text, tip } from '@observablehq/plot'
import type { Interval } from '../../evaluate/metrics.ts'
import type { Cost, Summary } from '../../evaluate/summary.ts'
import { fill, h } from './dom.ts'
import { type Figure, figure } from './figure.ts'
import { count, interval, seconds } from './format.ts'
import { type RuleStyle, usesScores } from './palette.ts'

interface Point {
  readonly rule: string
  readonly n: number
  readonly x: number
  readonly accuracy: Interval
}

type Palette = ReadonlyMap<string, RuleStyle>
type Part = keyof Cost

interface Budget {
  readonly id: string
  readonly title: string
  readonly unit: string
  readonly format: Format
  /** What it is the sum of, and what each part is called. */
  readonly parts: readonly (readonly [Part, string])[]
}

const budgets: readonly Budget[] = [
  {
    id: 'curve-tokens',
    title: 'Accuracy against tokens',
    unit: 'tokens per problem',
    format: count,
    parts: [
      ['policyTokens', 'policy'],
      ['prefillTokens', 'prefill'],
      ['prmTokens', 'PRM'],
    ],
  },
  {
    id: 'curve-time',
    title: 'Accuracy against time',
    unit: 'seconds per problem',
    format: seconds,
    parts: [
      ['ms', 'sampling'],
      ['prmMs', 'scoring'],
    ],
  },
]

/** Below this width there is no room for names beside the lines; the legend above names them. */
const LABELLED = 520

/** The curves over n, tokens and time, with the choice of rules that all three share. */
export function curveSection(summary: Summary, palette: Palette): HTMLElement[] {
  const shown = new Set(notableRules(summary))
  const overN = curveFigure(summary, palette, shown, {
    id: 'curve-n',
    title: 'Accuracy against the number of candidates',
    unit: 'candidates, n',
    format: count,
    points: () => pointsBy(summary, ({ n }) => n),
  })
  const figures = [overN, ...budgets.map(budget => budgetFigure(summary, palette, shown, budget))]
  const redraw = (): void => {
    for (const { redraw } of figures) redraw()
  }
  return [rulePicker(summary, palette, shown, redraw), ...figures.map(({ element }) => element)]
}

function pointsBy(summary: Summary, x: (point: { n: number; cost: Cost }) => number | null): Point[] {
  return summary.curves.flatMap(({ rule, points }) =>
    points.flatMap(({ n, accuracy, cost }) => {
      const at = x({ n, cost })
      return at === null || at <= 0 ? [] : [{ rule, n, x: at, accuracy }]
    }),
  )
}

/** A curve over the sum of those parts of a cost that the reader counts. */
function budgetFigure(summary: Summary, palette: Palette, shown: ReadonlySet<string>, budget: Budget): Figure {
  const isRecorded = ([part]: readonly [Part, string]): boolean =>
    summary.curves.some(({ points }) => points.some(({ cost }) => typeof cost[part] === 'number'))
  const counted = new Set(budget.parts.filter(isRecorded).map(([part]) => part))
  const boxes = budget.parts.map(part => {
    const [name, title] = part
    const known = isRecorded(part)
    const box = h('input', { type: 'checkbox', checked: known, disabled: !known })
    box.addEventListener('change', () => {
      if (box.checked) counted.add(name)
      else if (counted.size > 1) counted.delete(name)
      else box.checked = true
      figure.redraw()
    })
    return h('label', {}, box, known ? title : `${title} (not recorded)`)
  })
  const figure = curveFigure(summary, palette, shown, {
    ...budget,
    points: () => pointsBy(summary, ({ cost }) => total([...counted].map(part => cost[part] ?? null))),
    controls: h('div', { class: 'controls' }, 'counted:', ...boxes),
  })
  return figure
}

interface CurveOptions {
  readonly id: string
  readonly title: string
  readonly unit: string
  readonly format: Format
  readonly points: () => readonly Point[]
  readonly controls?: HTMLElement
}

function curveFigure(
  summary: Summary,
  palette: Palette,
  shown: ReadonlySet<string>,
  { id, title, unit, format, points, controls }: CurveOptions,
): Figure {
  if (points().length === 0) {
    return { element: h('p', { class: 'absent' }, `${title}: not recorded.`), redraw: () => {} }
  }
  const absent = h('span')
  return figure({
    id,
    label: `${title}, one line for each selection rule, with 95 % intervals`,
    caption: h('span', {}, `${title}. Bands are 95 % intervals over problems.`, absent),
    ...(controls && { controls }),
    draw: width => {
      const drawn = points().filter(({ rule }) => shown.has(rule))
      const missing = summary.curves
        .map(({ rule }) => rule)
        .filter(rule => shown.has(rule) && drawn.every(point => point.rule !== rule))
      fill(absent, missing.length > 0 ? ` Not drawn, for want of records: ${missing.join(', ')}.` : null)
      return drawCurves(drawn, palette, { width, unit, format, whole: id === 'curve-n' })
    },
    data: {
      rows: points,
      columns: [
        { title: 'rule', cell: ({ rule }) => rule, align: 'left', sort: ({ rule }) => rule },
        { title: 'n', cell: ({ n }) => count(n), sort: ({ n }) => n },
        { title: unit, cell: ({ x }) => format(x), sort: ({ x }) => x },
        { title: 'accuracy, %', cell: ({ accuracy }) => interval(accuracy), sort: ({ accuracy }) => accuracy.value },
      ],
    },
  })
}

/** The baselines, and of each way to choose by scores the rule that is most accurate at the largest n. */
function notableRules(summary: Summary): string[] {
  const last = (rule: string): number =>
    summary.curves.find(curve => curve.rule === rule)?.points.at(-1)?.accuracy.value ?? Number.NEGATIVE_INFINITY
  const rules = summary.curves.map(({ rule }) => rule)
  const best = (family: string): string[] =>
    rules
      .filter(rule => rule.startsWith(family))
      .toSorted((a, b) => last(b) - last(a))
      .slice(0, 1)
  return [...rules.filter(rule => !usesScores(rule)), ...best('best-of-n'), ...best('weighted vote')]
}

/** Buttons that show and hide rules; they are the legend too. */
function rulePicker(summary: Summary, palette: Palette, shown: Set<string>, redraw: () => void): HTMLElement {
  const buttons = summary.curves.map(({ rule }) => {
    const button = h(
      'button',
      {
        type: 'button',
        class: 'chip',
        'aria-pressed': String(shown.has(rule)),
        click: () => {
          if (!shown.delete(rule)) shown.add(rule)
          button.setAttribute('aria-pressed', String(shown.has(rule)))
          redraw()
        },
      },
      swatch(palette.get(rule)!),
      rule,
    )
    return button
  })
  return h('div', { class: 'chips legend', role: 'group', 'aria-label': 'rules shown in the curves' }, ...buttons)
}

/** A short piece of the rule's line with its mark. */
function swatch(style: RuleStyle): Element {
  const mark = plot({
    width: 34,
    height: 14,
    margin: 0,
    x: { axis: null, domain: [0, 1] },
    y: { axis: null, domain: [-1, 1] },
    marks: [
      line(
        [
          [0, 0],
          [1, 0],
        ],
        { stroke: style.color, strokeWidth: style.width, ...(style.dash && { strokeDasharray: style.dash }) },
      ),
      dot([[0.5, 0]], symbolOf(style)),
    ],
  })
  mark.setAttribute('aria-hidden', 'true')
  return mark
}

function symbolOf({ color, symbol }: RuleStyle): {
  symbol: RuleStyle['symbol']
  r: number
  fill: string
  stroke: string
} {
  return { symbol, r: 3.6, fill: symbol === 'times' ? 'none' : color, stroke: color }
}

type Format = (value: number | null) => string

function drawCurves(
  points: readonly Point[],
  palette: Palette,
  { width, unit, format, whole }: { width: number; unit: string; format: Format; whole: boolean },
): Element {
  if (points.length === 0) return h('p', { class: 'absent' }, 'No rule is chosen.')
  const labelled = width >= LABELLED
  const height = Math.round(Math.min(400, Math.max(260, width * 0.5)))
  const margins = { marginTop: 30, marginBottom: 42, marginLeft: 46, marginRight: labelled ? 190 : 14 }
  const rules = [...new Set(points.map(({ rule }) => rule))]
  const low = Math.max(0, Math.min(...points.map(({ accuracy }) => accuracy.low)) - 0.02)
  const high = Math.min(1, Math.max(...points.map(({ accuracy }) => accuracy.high)) + 0.02)
  const marks: Markish[] = []
  for (const rule of rules) {
    const style = palette.get(rule)!
    const own = points.filter(point => point.rule === rule).toSorted((a, b) => a.x - b.x)
    const bounds = {
      x: 'x',
      y1: (point: Point) => point.accuracy.low * 100,
      y2: (point: Point) => point.accuracy.high * 100,
    }
    marks.push(
      own.length > 1
        ? areaY(own, { ...bounds, fill: style.color, fillOpacity: style.color === 'var(--quiet)' ? 0.05 : 0.1 })
        : ruleX(own, { ...bounds, stroke: style.color, strokeOpacity: 0.5 }),
      line(own, {
        x: 'x',
        y: ({ accuracy }) => accuracy.value * 100,
        stroke: style.color,
        strokeWidth: style.width,
        ...(style.dash && { strokeDasharray: style.dash }),
      }),
      dot(own, { x: 'x', y: ({ accuracy }) => accuracy.value * 100, ...symbolOf(style) }),
    )
  }
  if (labelled) {
    const inner = height - margins.marginTop - margins.marginBottom
    const perPixel = ((high - low) * 100) / inner
    for (const { rule, x, y } of spread(
      rules.map(rule => lastOf(points, rule)),
      14 * perPixel,
    )) {
      marks.push(
        text([rule], {
          x: () => x,
          y: () => y,
          text: () => rule,
          dx: 10,
          textAnchor: 'start',
          fill: palette.get(rule)!.color,
        }),
      )
    }
  }
  marks.push(
    tip(
      points,
      pointerX({
        x: 'x',
        y: ({ accuracy }: Point) => accuracy.value * 100,
        title: ({ rule, n, x, accuracy }: Point) =>
          `${rule}, n = ${n}\n${interval(accuracy)} %${whole ? '' : `\n${format(x)} ${unit}`}`,
      }),
    ),
  )
  const xs = [...new Set(points.map(({ x }) => x))]
  return plot({
    width,
    height,
    ...margins,
    x: {
      type: 'log',
      label: unit,
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks: whole ? thinned(xs, width) : logTicks(Math.min(...xs), Math.max(...xs), width),
      tickFormat: (value: number) => format(value).replace(/\.0+$/, ''),
      inset: 8,
    },
    y: { label: 'accuracy, %', labelArrow: 'none', domain: [low * 100, high * 100], ticks: 6, grid: true },
    marks,
  })
}

/** Where a rule's label goes before labels are moved apart. */
function lastOf(points: readonly Point[], rule: string): { rule: string; x: number; y: number } {
  const last = points.filter(point => point.rule === rule).reduce((a, b) => (b.x > a.x ? b : a))
  return { rule, x: Math.max(...points.map(({ x }) => x)), y: last.accuracy.value * 100 }
}

/** Moves labels apart until neighbours are at least `gap` from each other, the whole stack as near to its place as it goes. */
function spread<Label extends { readonly y: number }>(labels: readonly Label[], gap: number): Label[] {
  const stacks: { labels: Label[]; middle: number }[] = []
  for (const label of labels.toSorted((a, b) => a.y - b.y)) {
    let stack = { labels: [label], middle: label.y }
    for (let below = stacks.at(-1); below && overlap(below, stack, gap); below = stacks.at(-1)) {
      stacks.pop()
      const both = [...below.labels, ...stack.labels]
      stack = { labels: both, middle: both.reduce((sum, { y }) => sum + y, 0) / both.length }
    }
    stacks.push(stack)
  }
  return stacks.flatMap(stack =>
    stack.labels.map((label, i) => ({ ...label, y: stack.middle + (i - (stack.labels.length - 1) / 2) * gap })),
  )
}

function overlap(
  below: { labels: unknown[]; middle: number },
  above: { labels: unknown[]; middle: number },
  gap: number,
): boolean {
  return above.middle - below.middle < ((below.labels.length + above.labels.length) / 2) * gap
}

/** As many of the values as have room, the largest among them. */
function thinned(values: readonly number[], width: number): number[] {
  const sorted = values.toSorted((a, b) => b - a)
  const kept: number[] = []
  const room = Math.log(sorted[0]! / sorted.at(-1)!) / Math.max(1, width / 44)
  for (const value of sorted) if (kept.length === 0 || Math.log(kept.at(-1)! / value) >= room) kept.push(value)
  return kept
}

/** 1, 2 and 5 times the powers of ten from `low` to `high`, and both ends where those are fewer than three. */
function logTicks(low: number, high: number, width: number): number[] {
  const ticks: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of [1, 2, 5]) {
      const tick = factor * 10 ** power
      if (tick >= low && tick <= high) ticks.push(tick)
    }
  }
  return thinned(ticks.length < 3 ? [...new Set([low, ...ticks, high])] : ticks, width)
}

function total(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((sum, value) => (sum === null || value === null ? null : sum + value), 0)
}
