/** The main results: which rule is how accurate at what cost, and how sure that is. */
import { dot, plot, ruleX, ruleY } from '@observablehq/plot'
import type { Comparison, Cost, FirstErrorResult, RuleResult, Summary } from '../../evaluate/summary.ts'
import { h, quoted } from './dom.ts'
import { figure } from './figure.ts'
import { count, decimal, interval, NONE, points, probability, seconds } from './format.ts'
import { type RuleStyle, usesScores } from './palette.ts'
import { type Column, table } from './table.ts'

interface Row {
  readonly result: RuleResult
  /** Against the majority at the same n. */
  readonly comparison: Comparison | null
}

/** The rules at their largest n, the most accurate first. */
export function headlineRows(summary: Summary): Row[] {
  const largest = new Map<string, RuleResult>()
  for (const result of summary.rules) {
    if (result.n > (largest.get(result.rule)?.n ?? 0)) largest.set(result.rule, result)
  }
  return [...largest.values()]
    .map(result => ({
      result,
      comparison:
        summary.comparisons.find(
          ({ rule, against, n }) => rule === result.rule && against === 'majority' && n === result.n,
        ) ?? null,
    }))
    .toSorted((a, b) => b.result.accuracy.value - a.result.accuracy.value)
}

/** One sentence on what the table says of rules by scores. */
export function finding(rows: readonly Row[]): string | null {
  const scored = rows.filter(({ result }) => usesScores(result.rule))
  const best = scored[0]
  if (best === undefined) return null
  const { rule, n, accuracy } = best.result
  const sentence = `Of ${scored.length === 1 ? 'one rule' : `${scored.length} rules`} that choose by scores, ${rule} at n = ${n} is right most often: ${interval(accuracy)} %`
  if (best.comparison === null) return `${sentence}. It was not compared with the majority vote.`
  const { difference, equalBudget } = best.comparison
  const sure = difference.low > 0 || difference.high < 0 ? 'the interval excludes zero' : 'the interval includes zero'
  return [
    `${sentence}, ${interval(difference, points)} points against the majority vote: ${sure}.`,
    equalBudget ? null : 'The two did not spend the same.',
    scored.length > 1 ? 'It was picked on these same problems, so expect less of it on others.' : null,
  ]
    .filter(Boolean)
    .join(' ')
}

type CostKind = keyof Cost

const costs: readonly { readonly kind: CostKind; readonly group: string; readonly title: string }[] = [
  { kind: 'policyTokens', group: 'tokens per problem', title: 'policy' },
  { kind: 'prefillTokens', group: 'tokens per problem', title: 'prefill' },
  { kind: 'prmTokens', group: 'tokens per problem', title: 'PRM' },
  { kind: 'ms', group: 'seconds per problem', title: 'sampling' },
  { kind: 'prmMs', group: 'seconds per problem', title: 'scoring' },
]

export function headlineTable(rows: readonly Row[], summary: Summary): HTMLElement {
  const areaOf = new Map(summary.curves.map(({ rule, area }) => [rule, area]))
  const isRecorded = (kind: CostKind): boolean =>
    rows.some(({ result: { cost, rule } }) => (cost[kind] ?? 0) > 0 || (usesScores(rule) && cost[kind] === 0))
  const costColumns = costs
    .filter(({ kind }) => isRecorded(kind))
    .map(({ kind, group, title }): Column<Row> => {
      const write = kind === 'ms' || kind === 'prmMs' ? seconds : count
      return {
        group,
        title,
        cell: ({ result }) => write(result.cost[kind]),
        sort: ({ result }) => result.cost[kind] ?? Number.NaN,
      }
    })
  const unrecorded = costs.filter(({ kind }) => !isRecorded(kind)).map(({ title, group }) => `${title} (${group})`)
  const against = 'against the majority'
  const columns: Column<Row>[] = [
    { title: 'rule', align: 'left', cell: ({ result }) => result.rule, sort: ({ result }) => result.rule },
    { title: 'n', cell: ({ result }) => result.n, sort: ({ result }) => result.n },
    {
      title: 'accuracy, %',
      cell: ({ result }) => interval(result.accuracy),
      sort: ({ result }) => result.accuracy.value,
    },
    {
      group: against,
      title: 'points',
      cell: ({ comparison }) => interval(comparison?.difference ?? null, points),
      sort: ({ comparison }) => comparison?.difference.value ?? Number.NaN,
    },
    {
      group: against,
      title: 'p',
      cell: ({ comparison }) => probability(comparison?.p),
      sort: ({ comparison }) => comparison?.p ?? Number.NaN,
    },
    {
      group: against,
      title: 'at equal tokens',
      cell: ({ comparison }) => points(comparison?.atEqualBudget),
      sort: ({ comparison }) => comparison?.atEqualBudget ?? Number.NaN,
    },
    {
      group: against,
      title: 'tokens',
      cell: ({ comparison }) => budget(comparison),
      sort: ({ comparison }) => ratio(comparison) ?? Number.NaN,
    },
    ...costColumns,
    {
      title: 'area',
      cell: ({ result }) => decimal(areaOf.get(result.rule)),
      sort: ({ result }) => areaOf.get(result.rule) ?? Number.NaN,
    },
  ]
  return table(rows, columns, {
    caption: 'Rules at the largest number of candidates, with 95 % intervals over problems',
    class: 'headline',
    notes: [
      'pass: at least one candidate is right, the most that any rule can reach. mean of samples: one candidate drawn at random.',
      'points: difference in accuracy, percentage points, on the same problems; at equal tokens: by interpolation in log tokens.',
      'p: exact McNemar test on the problems where one of the two chose right and the other wrong; not corrected for the number of rules.',
      '≠ unequal budgets: the rule spent so many times the tokens of the majority, and the difference beside it is not at equal cost.',
      'area: under accuracy against log tokens, divided by the width of the curve.',
      `${NONE} not recorded, not compared, or the budgets do not overlap.`,
      ...(unrecorded.length > 0 ? [`Not recorded: ${unrecorded.join(', ')}.`] : []),
    ],
  })
}

function ratio(comparison: Comparison | null): number | null {
  if (comparison === null) return null
  const [own, other] = comparison.budgets
  return own === null || other === null || other === 0 ? null : own / other
}

function budget(comparison: Comparison | null): HTMLElement | string {
  if (comparison === null) return NONE
  const times = ratio(comparison)
  const text = times === null ? 'not recorded' : `${decimal(times, 2)}×`
  if (comparison.equalBudget) return times === null ? 'equal' : `= ${text}`
  return h('strong', { class: 'unequal', title: 'unequal budgets' }, `≠ ${text}`)
}

/** Differences against the majority; nothing when none was compared. */
export function differences(rows: readonly Row[], palette: ReadonlyMap<string, RuleStyle>): HTMLElement | null {
  const compared = rows.flatMap(({ result, comparison }) =>
    comparison === null || result.rule === 'majority' ? [] : [comparison],
  )
  if (compared.length === 0) return null
  compared.sort((a, b) => b.difference.value - a.difference.value)
  const color = ({ rule }: { rule: string }): string => palette.get(rule)!.color
  const draw = (width: number): Element =>
    plot({
      width,
      height: 64 + compared.length * 22,
      marginLeft: 178,
      marginRight: 18,
      marginTop: 6,
      marginBottom: 42,
      x: {
        label: 'difference in accuracy, percentage points',
        labelAnchor: 'center',
        labelArrow: 'none',
        nice: true,
        grid: true,
        ticks: Math.max(3, Math.min(9, (width - 196) / 60)),
      },
      y: { domain: compared.map(({ rule }) => rule), label: null, tickSize: 0 },
      symbol: { type: 'identity' },
      marks: [
        ruleX([0], { stroke: 'var(--ink)', strokeWidth: 1 }),
        ruleY(compared, {
          y: 'rule',
          x1: ({ difference }) => difference.low * 100,
          x2: ({ difference }) => difference.high * 100,
          stroke: color,
          strokeWidth: 1.8,
        }),
        dot(compared, {
          y: 'rule',
          x: ({ difference }) => difference.value * 100,
          r: 4,
          symbol: ({ rule }: Comparison) => palette.get(rule)!.symbol,
          stroke: color,
          fill: row => (row.equalBudget ? color(row) : 'var(--paper)'),
        }),
      ],
    })
  return figure({
    id: 'differences',
    label: 'Difference in accuracy of each rule against the majority vote',
    caption:
      'Difference against the majority vote on the same problems, with paired 95 % intervals. Hollow marks: the two spent different amounts.',
    draw,
    data: {
      rows: () => compared,
      columns: [
        { title: 'rule', align: 'left', cell: ({ rule }) => rule },
        { title: 'n', cell: ({ n }) => n },
        { title: 'difference, points', cell: ({ difference }) => interval(difference, points) },
        { title: 'equal budgets', cell: ({ equalBudget }) => (equalBudget ? 'yes' : 'no') },
      ],
    },
  }).element
}

/** ProcessBench's table: both thresholds beside each other, a row for each group. */
export function firstErrorTable({ rows }: FirstErrorResult): HTMLElement {
  type Pair = Partial<Record<'fixed' | 'best', FirstErrorResult['rows'][number]>>
  const groups = new Map<string, Pair>()
  for (const row of rows) groups.set(row.group, { ...groups.get(row.group), [row.rule]: row })
  const columnsOf = (rule: 'fixed' | 'best', title: string): Column<[string, Pair]>[] => {
    const column = (name: string, key: 'wrong' | 'right' | 'f1'): Column<[string, Pair]> => ({
      group: title,
      title: name,
      cell: ([, pair]) => interval(pair[rule]?.[key] ?? null),
    })
    return [
      { group: title, title: 'below', cell: ([, pair]) => decimal(pair[rule]?.threshold) },
      column('wrong', 'wrong'),
      column('right', 'right'),
      column('F1', 'f1'),
    ]
  }
  return table(
    [...groups],
    [
      { title: 'group', align: 'left', cell: ([group]) => quoted(group) },
      { title: 'count', cell: ([, pair]) => count((pair.fixed ?? pair.best)?.count) },
      ...columnsOf('fixed', 'fixed threshold'),
      ...columnsOf('best', 'best threshold on these rows'),
    ],
    {
      caption: 'First wrong step: accuracy in %, with 95 % intervals',
      class: 'headline',
      notes: [
        'wrong: of the solutions with an error, how many in which exactly the first wrong step was named. right: of the others, how many in which no step was named. F1: harmonic mean of the two.',
        'The best threshold is chosen on the rows that it is measured on: an upper bound, not a result to expect elsewhere.',
      ],
    },
  )
}

/** F1 of each group under both thresholds. */
export function firstErrorFigure({ rows }: FirstErrorResult): HTMLElement {
  type Row = FirstErrorResult['rows'][number]
  const color = ({ rule }: Row): string => (rule === 'fixed' ? 'var(--series-0)' : 'var(--series-1)')
  const name = ({ group, rule }: Row): string => `${shortened(group)}, ${rule}`
  const names = rows.map(name)
  return figure({
    id: 'first-error',
    label: 'F1 of naming the first wrong step, by group and threshold',
    caption: 'F1 by group, at the fixed threshold and at the best one on these rows, with 95 % intervals.',
    draw: width =>
      plot({
        width,
        height: 62 + names.length * 22,
        marginLeft: 20 + 6.6 * Math.max(...names.map(({ length }) => length)),
        marginRight: 20,
        marginTop: 8,
        marginBottom: 42,
        x: {
          label: 'F1, %',
          labelAnchor: 'center',
          labelArrow: 'none',
          ticks: width < 500 ? 4 : 8,
          nice: true,
          grid: true,
        },
        y: { domain: names, label: null, tickSize: 0 },
        symbol: { type: 'identity' },
        marks: [
          ruleY(rows, {
            y: name,
            x1: ({ f1 }) => f1.low * 100,
            x2: ({ f1 }) => f1.high * 100,
            stroke: color,
            strokeWidth: 2,
          }),
          dot(rows, {
            y: name,
            x: ({ f1 }) => f1.value * 100,
            r: 4.5,
            fill: color,
            symbol: ({ rule }: Row) => (rule === 'fixed' ? 'circle' : 'triangle'),
          }),
        ],
      }),
    data: {
      rows: () => rows,
      columns: [
        { title: 'group', align: 'left', cell: ({ group }) => quoted(group) },
        { title: 'threshold', align: 'left', cell: ({ rule, threshold }) => `${rule}, ${decimal(threshold)}` },
        { title: 'F1, %', cell: ({ f1 }) => interval(f1) },
      ],
    },
  }).element
}

/** A name from the data as it fits beside an axis. */
function shortened(name: string): string {
  const characters = [...name]
  return characters.length > 20 ? `${characters.slice(0, 19).join('')}…` : name
}

/** What rules the data recorded verdicts of, and how often the same rule comes to the same here. */
export function recordedTable({ recorded }: Summary): HTMLElement | null {
  if (recorded === undefined || recorded.length === 0) return null
  return table(
    recorded,
    [
      { title: 'recorded as', align: 'left', cell: ({ name }) => quoted(name) },
      { title: 'rule here', align: 'left', cell: ({ rule }) => rule },
      { title: 'same verdict', cell: ({ agree, count: all }) => `${count(agree)} of ${count(all)}` },
    ],
    { caption: 'Verdicts recorded with the data beside those made here (ties: the first)' },
  )
}
