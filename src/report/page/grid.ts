/** The report of a grid in the browser: reads the summary that the page carries and draws it. */
import type { Axis, GridSummary } from '../../grid/summary.ts'
import { type Child, h, quoted } from './dom.ts'
import { facts } from './facts.ts'
import { count, interval, plural, points } from './format.ts'
import { axisNames, curveView, paletteOfStrategies } from './grid-curves.ts'
import { cellsTable, comparisonSection, differenceFigure, failuresTable, standingsTable } from './grid-tables.ts'
import { table } from './table.ts'
import { themeButton } from './theme.ts'

function start(summary: GridSummary): void {
  const palette = paletteOfStrategies(summary)
  const timed = summary.curves.some(({ axis }) => axis === 'ms')
  document.body.append(
    heading(summary),
    h(
      'main',
      {},
      warnings(summary.warnings),
      section(
        'Accuracy at equal cost',
        ...(['tokens', 'ms'] as const).map(axis => finding(summary, axis)),
        curveView(summary, palette, { id: 'token-view', title: 'Token view', axis: 'tokens' }),
        timed
          ? curveView(summary, palette, { id: 'time-view', title: 'Time view', axis: 'ms' })
          : h(
              'p',
              { class: 'absent' },
              'Time view: searches were under way beside each other, so no time is that of one alone.',
            ),
        standingsTable(summary),
      ),
      section('Differences', differenceFigure(summary, palette), comparisonSection(summary)),
      section('Every cell', cellsTable(summary), failuresTable(summary)),
    ),
  )
}

function section(title: string, ...children: readonly Child[]): HTMLElement {
  const id = title.toLowerCase().replaceAll(/\W+/g, '-')
  return h('section', { id, 'aria-labelledby': `${id}-title` }, h('h2', { id: `${id}-title` }, title), ...children)
}

/** Who is best at how much, in a sentence. */
function finding({ standings }: GridSummary, axis: Axis): HTMLElement | null {
  const own = standings.filter(standing => standing.axis === axis && standing.places.length > 1)
  if (own.length === 0) return null
  const parts = own.map(({ at, places, lead }) => {
    const sure = lead !== null && lead.low > 0 ? `ahead by ${interval(lead, points)} points` : 'not surely ahead'
    return `${places[0]!.strategy} at ${count(at)} (${sure})`
  })
  return h('p', { class: 'finding' }, `Most accurate at equal ${axisNames[axis]}: ${parts.join('; ')}.`)
}

function heading(summary: GridSummary): HTMLElement {
  const { rows, seeds, searches, failed } = summary
  const strategies = new Set(summary.cells.map(({ strategy }) => strategy)).size
  const budgets = new Set(summary.cells.map(({ budget }) => budget)).size
  return h(
    'header',
    { class: 'top' },
    h('h1', {}, quoted(summary.name)),
    h(
      'p',
      { class: 'byline' },
      `${strategies} strategies under ${plural(budgets, 'budget')}, ${plural(rows.used, 'problem')}, ${plural(seeds.length, 'seed')}: `,
      `${count(searches)} searches`,
      failed > 0 ? `, ${count(failed)} failed` : null,
      rows.rejected > 0 ? `, ${plural(rows.rejected, 'row')} rejected` : null,
      ` · ${summary.made.slice(0, 10)}`,
    ),
    themeButton(),
    provenance(summary),
  )
}

function warnings(texts: readonly string[]): HTMLElement | null {
  if (texts.length === 0) return null
  return h(
    'aside',
    { class: 'warnings', 'aria-label': 'warnings' },
    h('h2', {}, texts.length === 1 ? 'Warning' : 'Warnings'),
    h('ul', {}, ...texts.map(text => h('li', {}, quoted(text)))),
  )
}

/** What was run, so that it can be run again. */
function provenance(summary: GridSummary): HTMLElement {
  const { rows, typical, cells } = summary
  return h(
    'details',
    { class: 'provenance' },
    h('summary', {}, 'What was run'),
    facts('Run', {
      made: summary.made,
      'configuration hash (SHA-256)': summary.hash,
      'problems used': count(rows.used),
      'rows rejected': count(rows.rejected),
      'a typical answer': `${typical.steps} steps, ${typical.tokens} tokens, ${typical.ms} ms`,
    }),
    facts('Configuration', summary.configuration),
    facts('Versions', summary.versions),
    table(
      cells,
      [
        { title: 'strategy', align: 'left', cell: ({ strategy }) => quoted(strategy) },
        { title: 'budget', cell: ({ budget }) => budget },
        { title: 'as it was sized', align: 'left', cell: ({ settings }) => quoted(JSON.stringify(settings)) },
      ],
      { caption: 'Strategies as they were sized for their budgets', class: 'facts' },
    ),
    rows.examples.length > 0
      ? table(
          rows.examples,
          [
            { title: 'place', align: 'left', cell: ({ file, line }) => quoted(`${file}:${line}`) },
            { title: 'field', align: 'left', cell: ({ field }) => quoted(field) },
            { title: 'expected', align: 'left', cell: ({ expected }) => quoted(expected) },
            { title: 'got', align: 'left', cell: ({ got }) => quoted(got) },
          ],
          { caption: 'Rejected rows' },
        )
      : null,
  )
}

start(JSON.parse(document.getElementById('data')!.textContent!))
