/** A grid as a page, as text and as data. */
import {
  type Axis,
  axes,
  type GridComparison,
  type GridCost,
  type GridSummary,
  type Standing,
} from '../grid/summary.ts'
import { bullets, cell, count, percent, points, pValue, range, section, table, text, whole } from './markdown.ts'
import { htmlPage, json } from './page/html.ts'

/** What costs are counted in. */
export const axisNames: Readonly<Record<Axis, string>> = {
  generations: 'generations',
  policyTokens: 'policy tokens',
  tokens: 'tokens of policy and PRM',
  ms: 'ms',
}

/**
 * The grid as one HTML file that needs nothing else, in pieces.
 *
 * @throws `ERR_IO` when the page's script is not built
 */
export function gridParts(summary: GridSummary): AsyncGenerator<string, void, undefined> {
  return htmlPage({
    title: `${summary.name} – surefoot report`,
    styles: ['report-page.css'],
    script: 'report-grid.js',
    noscript: 'This page draws its tables and plots by a script of its own. The numbers are in summary.json beside it.',
    data: [json(summary)],
  })
}

/** {@link gridParts} in one text. */
export async function gridPage(summary: GridSummary): Promise<string> {
  const parts: string[] = []
  for await (const part of gridParts(summary)) parts.push(part)
  return parts.join('')
}

/** The summary as Markdown: warnings first, then every table. */
export function gridMarkdown(summary: GridSummary): string {
  return document(summary, [
    section('Cells: right, %, and what a search took', cellsTable(summary)),
    ...axes.map(axis => section(`At equal cost: right, %, by ${axisNames[axis]}`, standingsTable(summary, axis))),
    section('Areas under the curves, % right in the mean over log cost', areasTable(summary)),
    section('Differences at equal cost, points', matchedTable(summary)),
    section('Differences under the same budget, points', comparisonsTable(summary.comparisons)),
    section('Failed searches', failuresTable(summary)),
    section('Made with', table(['what', 'version'], ['l', 'l'], Object.entries(summary.versions))),
  ])
}

/** The same for a terminal: the largest budget, equal tokens and equal time only. */
export function gridBrief(summary: GridSummary): string {
  const last = summary.cells.at(-1)?.budget
  const cells = summary.cells.filter(({ budget }) => budget === last)
  return document(summary, [
    section(`Under ${last}: right, %, and what a search took`, cellsTable({ ...summary, cells })),
    section(`At equal cost: right, %, by ${axisNames.tokens}`, standingsTable(summary, 'tokens')),
    section(`At equal cost: right, %, by ${axisNames.ms}`, standingsTable(summary, 'ms')),
    section('Differences at equal cost, points', matchedTable(summary)),
    section('Failed searches', failuresTable(summary)),
  ])
}

function document(summary: GridSummary, sections: readonly string[]): string {
  const { rows, seeds, searches, failed, hash, made, name, typical, warnings } = summary
  const strategies = new Set(summary.cells.map(({ strategy }) => strategy)).size
  const budgets = new Set(summary.cells.map(({ budget }) => budget)).size
  const left = rows.leftOut > 0 ? `, ${count(rows.leftOut)} left out` : ''
  const sums = [
    `grid: ${strategies} strategies × ${budgets} budgets × ${seeds.length} seeds × ${count(rows.used)} problems = ${count(searches)} searches`,
    `${count(failed)} failed`,
    `${count(rows.rejected)} rows rejected${left}`,
  ]
  const head = [
    `# ${text(name)}`,
    `${sums.join(', ')}. An answer takes ${typical.steps} steps and ${typical.tokens} tokens. Configuration ${hash.slice(0, 12)}, made ${made}.` +
      ' Intervals are 95 %, by bootstrap over problems.',
    bullets(warnings),
  ]
  return `${[...head, ...sections].filter(part => part !== '').join('\n\n')}\n`
}

function cellsTable({ cells }: Pick<GridSummary, 'cells'>): string {
  return table(
    [
      'strategy',
      'budget',
      'right',
      '95 %',
      'generations',
      'policy tokens',
      'prompt tokens',
      'PRM tokens',
      'MFLOPs',
      'ms',
      'p50',
      'p95',
      'ended by',
    ],
    ['l', 'r', ...'rrrrrrrrrr', 'l'],
    cells.map(({ strategy, budget, accuracy, cost, ended }) => [
      strategy,
      budget,
      percent(accuracy.value),
      range(accuracy, percent),
      short(cost.generations),
      whole(cost.policyTokens),
      whole(cost.prefillTokens),
      whole(cost.prmTokens),
      whole(cost.flops === null ? null : cost.flops / 1e6),
      short(cost.ms),
      short(cost.msP50),
      short(cost.msP95),
      Object.entries(ended)
        .map(([name, times]) => `${name} ${count(times)}`)
        .join(', '),
    ]),
  )
}

/** One digit behind the point below 100. */
function short(value: number | null): string {
  return value === null || value >= 100 ? whole(value) : value.toFixed(1)
}

function standingsTable({ standings, cells }: GridSummary, axis: Axis): string {
  const strategies = [...new Set(cells.map(({ strategy }) => strategy))]
  return table(
    [axisNames[axis], ...strategies, 'best', 'ahead of the second'],
    ['r', ...strategies.map(() => 'r'), 'l', 'r'],
    standings
      .filter(standing => standing.axis === axis)
      .map(({ at, places, lead }) => [
        count(at),
        ...strategies.map(name => {
          const accuracy = places.find(({ strategy }) => strategy === name)?.accuracy
          return accuracy ? percent(accuracy.value) : ''
        }),
        places[0]!.strategy,
        lead === null ? '' : `${points(lead.value)} (${range(lead, points)})`,
      ]),
  )
}

function areasTable({ curves }: GridSummary): string {
  return table(
    ['strategy', 'over', 'from', 'to', 'area', '95 %'],
    ['l', 'l', 'r', 'r', 'r', 'r'],
    curves.flatMap(({ strategy, axis, points: own, area }) =>
      area === null
        ? []
        : [
            [
              strategy,
              axisNames[axis],
              short(own[0]!.at),
              short(own.at(-1)!.at),
              percent(area.value),
              range(area, percent),
            ],
          ],
    ),
  )
}

function matchedTable({ matched }: GridSummary): string {
  return table(
    ['strategy', 'against', 'at equal', 'from', 'to', 'difference', '95 %'],
    ['l', 'l', 'l', 'r', 'r', 'r', 'r'],
    matched.map(({ strategy, against, axis, from, to, difference }) => [
      strategy,
      against,
      axisNames[axis],
      short(from),
      short(to),
      points(difference.value),
      range(difference, points),
    ]),
  )
}

function comparisonsTable(comparisons: readonly GridComparison[]): string {
  return table(
    ['strategy', 'against', 'budget', 'difference', '95 %', 'McNemar p', 'policy tokens', 'tokens of policy and PRM'],
    ['l', 'l', 'r', 'r', 'r', 'r', 'l', 'l'],
    comparisons.map(({ strategy, against, budget, difference, p, costs }) => [
      strategy,
      against,
      budget,
      points(difference.value),
      range(difference, points),
      pValue(p),
      costText(costs.policyTokens),
      costText(costs.tokens),
    ]),
  )
}

/** What both spent, and whether it is the same. */
function costText({ own, other, equal }: GridComparison['costs'][Axis]): string {
  if (own === null || other === null) return 'not known'
  return equal ? `equal: ${whole(own)}` : `unequal: ${whole(own)} against ${whole(other)}`
}

function failuresTable({ failures }: GridSummary): string {
  return table(
    ['problem', 'strategy', 'budget', 'code', 'message'],
    ['l', 'l', 'l', 'l', 'l'],
    failures.map(({ id, strategy, budget, code, message }) => [id, strategy, budget, code, message]),
  )
}

const COLUMNS = [
  'table',
  'strategy',
  'against',
  'budget',
  'axis',
  'at',
  'to',
  'value',
  'low',
  'high',
  'p',
  'generations',
  'policy_tokens',
  'prefill_tokens',
  'prm_tokens',
  'flops',
  'ms',
  'ms_p50',
  'ms_p95',
  'searches',
  'failed',
] as const

type Row = Partial<Record<(typeof COLUMNS)[number], string | number | null>>

/** The summary as one CSV table (RFC 4180) with a row a number: shares lie in [0, 1], costs are means per search. */
export function gridCsv(summary: GridSummary): string {
  const rows: Row[] = [
    ...summary.cells.map(({ strategy, budget, accuracy, cost, searches, failed }) => {
      return { table: 'cells', strategy, budget, ...accuracy, ...costs(cost), searches, failed }
    }),
    ...summary.comparisons.map(({ strategy, against, budget, difference, p }) => {
      return { table: 'same budget', strategy, against, budget, ...difference, p }
    }),
    ...summary.matched.map(({ strategy, against, axis, from, to, difference }) => {
      return { table: 'equal cost', strategy, against, axis, at: from, to, ...difference }
    }),
    ...summary.curves.flatMap(({ strategy, axis, area }): Row[] =>
      area === null ? [] : [{ table: 'area', strategy, axis, ...area }],
    ),
    ...summary.standings.flatMap(({ axis, at, places }: Standing): Row[] =>
      places.map(({ strategy, accuracy }) => ({ table: 'at cost', strategy, axis, at, ...accuracy })),
    ),
  ]
  return [COLUMNS.join(','), ...rows.map(row => COLUMNS.map(column => cell(row[column] ?? null)).join(','))]
    .map(line => `${line}\r\n`)
    .join('')
}

function costs(cost: GridCost): Row {
  const { generations, policyTokens, prefillTokens, prmTokens, flops, ms, msP50, msP95 } = cost
  return {
    generations,
    policy_tokens: policyTokens,
    prefill_tokens: prefillTokens,
    prm_tokens: prmTokens,
    flops,
    ms,
    ms_p50: msP50,
    ms_p95: msP95,
  }
}
