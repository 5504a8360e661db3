/** How good the scores are: calibration, position in the solution, first weak steps, and the surface features beside them. */
import { areaY, dot, line, type Markish, plot, rectY, ruleX, ruleY, text } from '@observablehq/plot'
import type { ScoreResult, Summary, SurfaceResult } from '../../evaluate/summary.ts'
import { h } from './dom.ts'
import { figure } from './figure.ts'
import { count, decimal, interval, NONE, percent } from './format.ts'
import { table } from './table.ts'

const right = { color: 'var(--right)', name: 'right solutions', dash: null }
const wrong = { color: 'var(--wrong)', name: 'wrong solutions', dash: '5,3' }

/** Tables and plots of a run that has scores. */
export function scoreSection(summary: Summary): HTMLElement[] {
  const { scores } = summary
  if (scores === null) return []
  return [
    qualityTable(scores),
    h(
      'div',
      { class: 'figures' },
      scores.reliability.some(bin => bin.count > 0) ? reliability(scores) : null,
      h(
        'div',
        {},
        scores.byPosition.length > 0 ? byPosition(scores) : null,
        scores.firstWeak.length > 0 ? firstWeak(scores) : null,
      ),
    ),
  ]
}

function qualityTable(scores: ScoreResult): HTMLElement {
  const rows = [
    { name: 'step AUC', value: scores.stepAuc, note: 'right against wrong steps; 0.5 is chance' },
    { name: 'solution AUC', value: scores.solutionAuc, note: 'right against wrong solutions; 0.5 is chance' },
    {
      name: 'pairs',
      value: scores.pairs,
      note: 'of a right and a wrong solution of one problem, the right one scores higher',
    },
    { name: 'Brier score', value: scores.brier, note: 'mean squared error; lower is better' },
    { name: 'ECE', value: scores.ece, note: 'expected calibration error; lower is better' },
  ]
  return table(
    rows,
    [
      { title: 'measure', cell: ({ name }) => name, align: 'left' },
      { title: 'value [95 % interval]', cell: ({ value }) => interval(value, decimal) },
      { title: '', cell: ({ note }) => note, align: 'left' },
    ],
    {
      caption: `Quality of the scores (${scores.semantics}${scores.aggregate === undefined ? '' : `; a solution’s is the ${scores.aggregate}`})`,
      ...(rows.some(({ value }) => value === null) && {
        notes: [`${NONE} cannot be computed: the labels are not there, or the scores are no probabilities.`],
      }),
    },
  )
}

function reliability({ reliability: bins }: ScoreResult): HTMLElement {
  const filled = bins.filter(bin => bin.count > 0)
  const most = Math.max(...filled.map(bin => bin.count))
  const draw = (width: number): Element => {
    const side = Math.min(width, 420)
    const shared = { width: side, marginLeft: 46, marginRight: 14 }
    const x = { domain: [0, 1], ticks: 5 }
    return h(
      'div',
      { class: 'stack' },
      plot({
        ...shared,
        height: side - 20,
        marginTop: 28,
        marginBottom: 24,
        x: { ...x, label: null, grid: true },
        r: { domain: [0, most], range: [0, 8] },
        y: { domain: [0, 1], ticks: 5, grid: true, label: 'share that is right', labelArrow: 'none' },
        marks: [
          line(
            [
              [0, 0],
              [1, 1],
            ],
            { stroke: 'var(--quiet)', strokeDasharray: '4,3' },
          ),
          text([[0.5, 0.5]], { text: () => 'calibrated', rotate: -45, dx: 7, dy: 7, fill: 'var(--quiet)' }),
          line(filled, { x: 'score', y: 'frequency', stroke: 'var(--series-0)' }),
          dot(filled, {
            x: 'score',
            y: 'frequency',
            r: ({ count }) => Math.max(count, most / 16),
            fill: 'var(--series-0)',
          }),
        ],
      }),
      plot({
        ...shared,
        height: 110,
        marginTop: 22,
        marginBottom: 40,
        x: { ...x, label: 'predicted score', labelAnchor: 'center', labelArrow: 'none' },
        y: { label: 'count', labelArrow: 'none', ticks: 3, domain: [0, most], tickFormat: '~s' },
        marks: [
          rectY(bins, { x1: 'low', x2: 'high', y: 'count', fill: 'var(--series-0)', fillOpacity: 0.55, inset: 0.5 }),
          ruleY([0], { stroke: 'var(--quiet)' }),
        ],
      }),
    )
  }
  return figure({
    id: 'reliability',
    label: 'Reliability diagram: share that is right against predicted score, with the count in each bin below',
    caption:
      'Reliability: what share is right where the PRM gives such a score; below, how many there are, which the marks’ areas show too.',
    draw,
    data: {
      rows: () => bins,
      columns: [
        { title: 'bin', cell: bin => `${bin.low.toFixed(2)} – ${bin.high.toFixed(2)}` },
        { title: 'count', cell: bin => count(bin.count) },
        { title: 'mean score', cell: bin => (bin.count > 0 ? decimal(bin.score) : NONE) },
        { title: 'share right', cell: bin => (bin.count > 0 ? decimal(bin.frequency) : NONE) },
      ],
    },
  }).element
}

/** A mean of fewer solutions than this is not drawn: it says little, and its interval less. */
const SOLUTIONS = 5

function byPosition({ byPosition: positions }: ScoreResult): HTMLElement {
  const drawn = (side: 'right' | 'wrong') =>
    positions.flatMap(({ position, [side]: mean }) =>
      mean !== null && mean.count >= SOLUTIONS ? [{ ...mean, position: position + 1 }] : [],
    )
  const series = [
    { ...right, points: drawn('right') },
    { ...wrong, points: drawn('wrong') },
  ].filter(({ points }) => points.length > 0)
  const draw = (width: number): Element => {
    const marks: Markish[] = []
    for (const { points, color, dash, name } of series) {
      const labelled = points[Math.floor(points.length / 3)]!
      marks.push(
        areaY(points, { x: 'position', y1: 'low', y2: 'high', fill: color, fillOpacity: 0.14 }),
        line(points, {
          x: 'position',
          y: 'mean',
          stroke: color,
          strokeWidth: 1.8,
          ...(dash && { strokeDasharray: dash }),
        }),
        dot(points, { x: 'position', y: 'mean', r: 2.6, fill: color, symbol: dash ? 'triangle' : 'circle' }),
        text([labelled], {
          x: 'position',
          y: 'mean',
          text: () => name,
          dy: color === right.color ? -14 : 16,
          fill: color,
          stroke: 'var(--paper)',
          strokeWidth: 4,
        }),
      )
    }
    return plot({
      width,
      height: Math.min(340, Math.max(250, width * 0.55)),
      marginTop: 30,
      marginBottom: 42,
      marginLeft: 46,
      x: {
        label: 'position of the step in its solution',
        labelAnchor: 'center',
        labelArrow: 'none',
        inset: 8,
        tickFormat: (value: number) => (Number.isInteger(value) ? String(value) : ''),
      },
      y: { label: 'mean score', labelArrow: 'none', ticks: 5, grid: true },
      marks,
    })
  }
  return figure({
    id: 'by-position',
    label: 'Mean score by position of the step, in right and in wrong solutions',
    caption: `Score by position of the step. Bands are 95 % intervals of the mean; positions with fewer than ${SOLUTIONS} solutions are in the numbers only.`,
    draw,
    data: {
      rows: () => positions,
      columns: [
        { title: 'step', cell: ({ position }) => position + 1 },
        ...(['right', 'wrong'] as const).flatMap(side => [
          {
            group: `${side} solutions`,
            title: 'mean score',
            cell: (row: (typeof positions)[number]) =>
              row[side] ? interval({ ...row[side], value: row[side].mean }, decimal) : NONE,
          },
          {
            group: `${side} solutions`,
            title: 'count',
            cell: (row: (typeof positions)[number]) => count(row[side]?.count ?? 0),
          },
        ]),
      ],
    },
  }).element
}

/** More positions than this make bars too thin to tell apart; the rest are added up in one. */
const POSITIONS = 15

function firstWeak({ firstWeak: rows, threshold }: ScoreResult): HTMLElement {
  const totals = { right: 0, wrong: 0 }
  for (const row of rows) {
    totals.right += row.right
    totals.wrong += row.wrong
  }
  const place = (position: number): string =>
    position < 0 ? 'none' : position >= POSITIONS ? `> ${POSITIONS}` : String(position + 1)
  const shares = new Map<string, { place: string; side: string; share: number }>()
  for (const row of rows.toSorted((a, b) => a.position - b.position)) {
    for (const side of ['right', 'wrong'] as const) {
      const key = `${place(row.position)} ${side}`
      const share = (totals[side] > 0 ? row[side] / totals[side] : 0) * 100
      const bar = shares.get(key)
      if (bar) bar.share += share
      else shares.set(key, { place: place(row.position), side, share })
    }
  }
  const bars = [...shares.values()]
  const places = [...new Set(bars.map(bar => bar.place))]
  const draw = (width: number): Element => {
    const sparse = places.length > 10 && width < 420
    return plot({
      width,
      height: Math.min(320, Math.max(240, width * 0.5)),
      marginTop: 30,
      marginBottom: 42,
      marginLeft: 46,
      x: {
        label: `position of the first step scored below ${threshold ?? 'the threshold'}`,
        labelAnchor: 'center',
        labelArrow: 'none',
        domain: [-0.6, places.length - 0.4],
        ticks: places.map((_, i) => i),
        tickFormat: (i: number) => (sparse && i > 0 && i % 3 !== 0 ? '' : places[i]!),
        tickSize: 0,
      },
      y: { label: 'share of its class, %', labelArrow: 'none', ticks: 5, grid: true },
      marks: [
        rectY(bars, {
          x1: ({ place, side }) => places.indexOf(place) - (side === 'right' ? 0.4 : 0),
          x2: ({ place, side }) => places.indexOf(place) + (side === 'right' ? 0 : 0.4),
          y: 'share',
          fill: ({ side }) => (side === 'right' ? right.color : wrong.color),
        }),
        ruleY([0], { stroke: 'var(--quiet)' }),
      ],
    })
  }
  return figure({
    id: 'first-weak',
    label: 'Where the first weak step stands, in right and in wrong solutions',
    caption: h(
      'span',
      {},
      'First weak step in ',
      key(right.color, 'right'),
      ' (left bars) and ',
      key(wrong.color, 'wrong'),
      ' (right bars) solutions; “none”: no step is below the threshold.',
    ),
    draw,
    data: {
      rows: () => rows,
      columns: [
        { title: 'first weak step', cell: ({ position }) => (position < 0 ? 'none' : position + 1) },
        { title: 'right solutions', cell: row => count(row.right) },
        { title: 'wrong solutions', cell: row => count(row.wrong) },
      ],
    },
  }).element
}

function key(color: string, name: string): HTMLElement {
  const square = h('i', { class: 'key', 'aria-hidden': 'true' })
  square.style.setProperty('--key', color)
  return h('span', { class: 'keyed' }, square, name)
}

/** The PRM beside features that know nothing of mathematics. */
export function surfaceSection(surface: readonly SurfaceResult[]): HTMLElement[] {
  if (surface.length === 0) return []
  const isPrm = (name: string): boolean => name === 'PRM'
  const panel = (width: number, of: 'solutionAuc' | 'bestOfN', label: string, scale: number): Element => {
    const x = (pick: 'value' | 'low' | 'high') => (row: SurfaceResult) => row[of]![pick] * scale
    const color = ({ name }: SurfaceResult): string => (isPrm(name) ? 'var(--series-0)' : 'var(--quiet)')
    return plot({
      width,
      height: 62 + surface.length * 26,
      marginLeft: 128,
      marginRight: 20,
      marginTop: 8,
      marginBottom: 42,
      x: { label, labelAnchor: 'center', labelArrow: 'none', ticks: 5, nice: true, grid: true },
      y: { domain: surface.map(({ name }) => name), label: null, tickSize: 0 },
      marks: [
        ...(of === 'solutionAuc' ? [ruleX([0.5], { stroke: 'var(--quiet)', strokeDasharray: '4,3' })] : []),
        ruleY(surface, { y: 'name', x1: x('low'), x2: x('high'), stroke: color, strokeWidth: 2 }),
        dot(surface, {
          y: 'name',
          x: x('value'),
          fill: color,
          r: 4.5,
          symbol: ({ name }: SurfaceResult) => (isPrm(name) ? 'square' : 'circle'),
        }),
      ],
      symbol: { type: 'identity' },
    })
  }
  return [
    figure({
      id: 'surface',
      label: 'Solution AUC and best-of-n accuracy of the PRM and of surface features',
      caption:
        'The PRM beside surface features of the text, with 95 % intervals. A PRM whose interval meets theirs has not been shown to know more than they do.',
      draw: width => {
        const side = width >= 640 ? Math.floor((width - 16) / 2) : width
        return h(
          'div',
          { class: 'panels' },
          panel(side, 'solutionAuc', 'solution AUC (0.5 is chance)', 1),
          ...(surface.some(({ bestOfN }) => bestOfN === null)
            ? []
            : [panel(side, 'bestOfN', 'best-of-n accuracy, %', 100)]),
        )
      },
      data: { rows: () => surface, columns: surfaceColumns },
    }).element,
    table(surface, surfaceColumns, { caption: 'Surface baselines beside the PRM' }),
  ]
}

const surfaceColumns = [
  { title: 'score by', cell: ({ name }: SurfaceResult) => name, align: 'left' as const },
  { title: 'solution AUC', cell: ({ solutionAuc }: SurfaceResult) => interval(solutionAuc, decimal) },
  {
    title: 'best-of-n, %',
    cell: ({ bestOfN }: SurfaceResult) => (bestOfN === null ? '–' : interval(bestOfN, percent)),
  },
]
