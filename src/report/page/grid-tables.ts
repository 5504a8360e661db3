/** The tables of a grid, and its differences. */
import { dot, plot, ruleX, ruleY } from '@observablehq/plot'
import type { Axis, GridComparison, GridSummary, MatchedComparison, Standing } from '../../grid/summary.ts'
import { type Child, fill, h, quoted } from './dom.ts'
import { figure } from './figure.ts'
import { count, interval, NONE, points, probability } from './format.ts'
import { axisNames, axisSwitch, choice, type Palette, short } from './grid-curves.ts'
import { type Column, table } from './table.ts'

const axesOf = ({ curves }: GridSummary): Axis[] => [...new Set(curves.map(({ axis }) => axis))]

/** Every strategy at the same cost, with a switch of what that is counted in. */
export function standingsTable(summary: GridSummary): HTMLElement {
  const strategies = [...new Set(summary.cells.map(({ strategy }) => strategy))]
  const place = h('div')
  const show = (axis: Axis): void => {
    const rows = summary.standings.filter(standing => standing.axis === axis)
    const columns: Column<Standing>[] = [
      { title: axisNames[axis], cell: ({ at }) => count(at) },
      ...strategies.map((strategy): Column<Standing> => ({ title: strategy, cell: row => standingOf(row, strategy) })),
      { title: 'ahead of the second, points', cell: ({ lead }) => interval(lead, points) },
    ]
    fill(
      place,
      table(rows, columns, {
        caption: `Accuracy, %, at equal ${axisNames[axis]}, with 95 % intervals`,
        class: 'headline',
        notes: [
          'Read off the curves, on straight lines in log cost between measured points; the best is bold.',
          'ahead: the best less the second, with its paired interval; the best was picked on these same problems.',
          `${NONE} not measured at this cost.`,
        ],
      }),
    )
  }
  show('tokens')
  return h('div', {}, axisSwitch(axesOf(summary), 'tokens', show), place)
}

function standingOf({ places }: Standing, strategy: string): Child {
  const found = places.findIndex(place => place.strategy === strategy)
  if (found < 0) return NONE
  const text = interval(places[found]!.accuracy)
  return found === 0 ? h('strong', {}, text) : text
}

/** Each strategy against a baseline over the costs that both were measured at. */
export function differenceFigure(summary: GridSummary, palette: Palette): HTMLElement | null {
  const baselines = [...new Set(summary.matched.map(({ against }) => against))]
  if (baselines.length === 0) return null
  const known = axesOf(summary)
  let axis: Axis = known.includes('tokens') ? 'tokens' : known[0]!
  let against = baselines[0]!
  const rows = (): MatchedComparison[] =>
    summary.matched
      .filter(row => row.axis === axis && row.against === against)
      .toSorted((a, b) => b.difference.value - a.difference.value)
  const caption = h('span')
  const describe = (): void =>
    fill(
      caption,
      `Difference in accuracy against ${against} at equal ${axisNames[axis]}, in the mean over the log of the costs that both were measured at, with paired 95 % intervals over problems.`,
    )
  describe()
  const view = figure<MatchedComparison>({
    id: 'equal-cost',
    label: 'Difference in accuracy of each strategy against a baseline at equal cost',
    caption,
    controls: h(
      'div',
      {},
      axisSwitch(known, axis, chosen => {
        axis = chosen
        describe()
        view.redraw()
      }),
      choice(
        'against',
        baselines.map(name => [name, name] as const),
        against,
        chosen => {
          against = chosen
          describe()
          view.redraw()
        },
      ),
    ),
    draw: width => drawDifferences(rows(), palette, width),
    data: {
      rows,
      columns: [
        { title: 'strategy', align: 'left', cell: ({ strategy }) => strategy },
        { title: 'against', align: 'left', cell: row => row.against },
        { title: 'cost from', cell: ({ from }) => short(from) },
        { title: 'to', cell: ({ to }) => short(to) },
        { title: 'points', cell: ({ difference }) => interval(difference, points) },
      ],
    },
  })
  return view.element
}

function drawDifferences(rows: readonly MatchedComparison[], palette: Palette, width: number): Element {
  if (rows.length === 0) return h('p', { class: 'absent' }, 'No two strategies were measured at the same costs.')
  const color = ({ strategy }: MatchedComparison): string => palette.get(strategy)!.color
  return plot({
    width,
    height: 64 + rows.length * 24,
    marginLeft: 130,
    marginRight: 18,
    marginTop: 6,
    marginBottom: 42,
    x: {
      label: 'difference in accuracy, percentage points',
      labelAnchor: 'center',
      labelArrow: 'none',
      nice: true,
      grid: true,
      ticks: Math.max(3, Math.min(9, (width - 148) / 60)),
    },
    y: { domain: rows.map(({ strategy }) => strategy), label: null, tickSize: 0 },
    symbol: { type: 'identity' },
    marks: [
      ruleX([0], { stroke: 'var(--ink)', strokeWidth: 1 }),
      ruleY(rows, {
        y: 'strategy',
        x1: ({ difference }) => difference.low * 100,
        x2: ({ difference }) => difference.high * 100,
        stroke: color,
        strokeWidth: 1.8,
      }),
      dot(rows, {
        y: 'strategy',
        x: ({ difference }) => difference.value * 100,
        r: 4,
        symbol: ({ strategy }: MatchedComparison) => palette.get(strategy)!.symbol,
        stroke: color,
        fill: color,
      }),
    ],
  })
}

/** Each cell against the baselines under the same budget, and whether that cost the same. */
export function comparisonSection({ comparisons }: GridSummary): HTMLElement | null {
  if (comparisons.length === 0) return null
  const ratio = ({ costs }: GridComparison, axis: Axis): number =>
    costs[axis].own === null || costs[axis].other === null ? Number.NaN : costs[axis].own / costs[axis].other
  const columns: Column<GridComparison>[] = [
    { title: 'strategy', align: 'left', cell: ({ strategy }) => quoted(strategy), sort: ({ strategy }) => strategy },
    { title: 'against', align: 'left', cell: ({ against }) => quoted(against), sort: ({ against }) => against },
    { title: 'budget', cell: ({ budget }) => budget },
    {
      title: 'points',
      cell: ({ difference }) => interval(difference, points),
      sort: ({ difference }) => difference.value,
    },
    { title: 'p', cell: ({ p }) => probability(p), sort: ({ p }) => p },
    ...(['policyTokens', 'tokens', 'ms'] as const).map((axis): Column<GridComparison> => {
      return { group: 'cost', title: axisNames[axis], cell: row => costs(row, axis), sort: row => ratio(row, axis) }
    }),
  ]
  return h(
    'details',
    {},
    h('summary', {}, 'Differences under the same budget'),
    table(comparisons, columns, {
      caption: 'Differences in accuracy under the same budget, with paired 95 % intervals over problems',
      class: 'headline',
      notes: [
        'p: exact McNemar test on the first seed; not corrected for the number of comparisons.',
        '≠ unequal cost: the strategy took so many times what the other did, whatever the budget allowed.',
      ],
    }),
  )
}

function costs({ costs }: GridComparison, axis: Axis): Child {
  const { own, other, equal } = costs[axis]
  if (own === null || other === null) return NONE
  const text = `${(own / other).toFixed(2)}×`
  return equal
    ? `= ${text}`
    : h('strong', { class: 'unequal', title: `${short(own)} against ${short(other)}` }, `≠ ${text}`)
}

/** What every cell found and took. */
export function cellsTable({ cells, alone }: GridSummary): HTMLElement {
  type Cell = GridSummary['cells'][number]
  const cost = (group: string, title: string, of: (cell: Cell) => number | null): Column<Cell> => {
    return { group, title, cell: cell => short(of(cell)), sort: cell => of(cell) ?? Number.NaN }
  }
  const columns: Column<Cell>[] = [
    { title: 'strategy', align: 'left', cell: ({ strategy }) => quoted(strategy), sort: ({ strategy }) => strategy },
    { title: 'budget', cell: ({ budget }) => budget },
    { title: 'accuracy, %', cell: ({ accuracy }) => interval(accuracy), sort: ({ accuracy }) => accuracy.value },
    cost('per search', 'generations', ({ cost }) => cost.generations),
    cost('tokens per search', 'policy', ({ cost }) => cost.policyTokens),
    cost('tokens per search', 'prompt', ({ cost }) => cost.prefillTokens),
    cost('tokens per search', 'PRM', ({ cost }) => cost.prmTokens),
    cost('per search', 'MFLOPs', ({ cost }) => cost.flops && cost.flops / 1e6),
    cost('ms per search', 'mean', ({ cost }) => cost.ms),
    cost('ms per search', 'p50', ({ cost }) => cost.msP50),
    cost('ms per search', 'p95', ({ cost }) => cost.msP95),
    {
      title: 'ended by',
      align: 'left',
      cell: ({ ended }) =>
        Object.entries(ended)
          .map(([name, times]) => `${name} ${count(times)}`)
          .join(', '),
    },
  ]
  return table(cells, columns, {
    caption: 'Every strategy under every budget, with 95 % intervals over problems',
    class: 'headline',
    notes: [
      'Means per search as measured. policy: sampled. prompt: read by the policy. PRM: to be computed, a path’s own and the problem’s once.',
      'ended by: how many searches the strategy completed, and how many a limit ended.',
      ...(alone ? [] : ['Times are those of searches beside each other.']),
    ],
  })
}

export function failuresTable({ failures, failed }: GridSummary): HTMLElement | null {
  if (failures.length === 0) return null
  return table(
    failures,
    [
      { title: 'problem', align: 'left', cell: ({ id }) => quoted(id) },
      { title: 'strategy', align: 'left', cell: ({ strategy }) => quoted(strategy) },
      { title: 'budget', align: 'left', cell: ({ budget }) => budget },
      { title: 'code', align: 'left', cell: ({ code }) => quoted(code) },
      { title: 'message', align: 'left', cell: ({ message }) => quoted(message) },
    ],
    { caption: `Failed searches, ${failures.length} of ${count(failed)}` },
  )
}
