/** The report in the browser: reads the data that the page carries and draws it. */
import type { ProblemResult, Summary } from '../../evaluate/summary.ts'
import { agreementFigure } from './agreement.ts'
import { curveSection } from './curves.ts'
import { type Child, h, quoted } from './dom.ts'
import { facts } from './facts.ts'
import { count, plural } from './format.ts'
import {
  differences,
  finding,
  firstErrorFigure,
  firstErrorTable,
  headlineRows,
  headlineTable,
  recordedTable,
} from './headline.ts'
import { paletteOf } from './palette.ts'
import { problemSection } from './problems.ts'
import { scoreSection, surfaceSection } from './scores.ts'
import { table } from './table.ts'
import { themeButton } from './theme.ts'

interface Data {
  readonly summary: Summary
  readonly problems: readonly ProblemResult[]
}

function start({ summary, problems }: Data): void {
  const rules = new Set([
    ...summary.rules.map(({ rule }) => rule),
    ...summary.curves.map(({ rule }) => rule),
    ...problems.flatMap(({ choices }) => choices.map(({ rule }) => rule)),
  ])
  const palette = paletteOf([...rules])
  const browser = problemSection(summary, problems, palette)
  const rows = headlineRows(summary)
  document.body.append(
    heading(summary),
    h(
      'main',
      {},
      warnings(summary),
      section(
        'Results',
        ...(summary.firstError ? [firstErrorTable(summary.firstError), firstErrorFigure(summary.firstError)] : []),
        sentence(finding(rows)),
        rows.length > 0 ? headlineTable(rows, summary) : null,
        differences(rows, palette),
        recordedTable(summary),
      ),
      summary.curves.length > 0 ? section('Accuracy and what it takes', ...curveSection(summary, palette)) : null,
      section('Scores', ...scoreSection(summary)),
      section('Surface baselines', ...surfaceSection(summary.surface)),
      section('Agreement', agreementFigure(summary)),
      problems.length > 0 ? browser.element : null,
    ),
  )
  window.addEventListener('hashchange', browser.followAddress)
  browser.followAddress()
  document.addEventListener('keydown', event => {
    const typing = event.target instanceof Element && event.target.closest('input, select, textarea') !== null
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return
    if (browser.press(event.key)) event.preventDefault()
  })
}

/** A section with its title; nothing where there is nothing to show. */
function section(title: string, ...children: readonly Child[]): HTMLElement | null {
  const id = title.toLowerCase().replaceAll(/\W+/g, '-')
  return children.some(child => child !== null && child !== undefined)
    ? h('section', { id, 'aria-labelledby': `${id}-title` }, h('h2', { id: `${id}-title` }, title), ...children)
    : null
}

function sentence(text: string | null): HTMLElement | null {
  return text === null ? null : h('p', { class: 'finding' }, text)
}

function heading(summary: Summary): HTMLElement {
  const { used, rejected } = summary.rows
  return h(
    'header',
    { class: 'top' },
    h('h1', {}, quoted(summary.name)),
    h(
      'p',
      { class: 'byline' },
      summary.kind === 'candidates'
        ? `Choosing among candidates, ${plural(used, 'problem')}`
        : `Naming the first wrong step, ${plural(used, 'solution')}`,
      rejected > 0 ? `, ${plural(rejected, 'row')} rejected` : null,
      ` · ${summary.made.slice(0, 10)}`,
    ),
    themeButton(),
    provenance(summary),
  )
}

function warnings({ warnings: texts }: Summary): HTMLElement | null {
  if (texts.length === 0) return null
  return h(
    'aside',
    { class: 'warnings', 'aria-label': 'warnings' },
    h('h2', {}, texts.length === 1 ? 'Warning' : 'Warnings'),
    h('ul', {}, ...texts.map(text => h('li', {}, quoted(text)))),
  )
}

/** What was run, so that it can be run again. */
function provenance(summary: Summary): HTMLElement {
  const { used, rejected, examples } = summary.rows
  return h(
    'details',
    { class: 'provenance' },
    h('summary', {}, 'What was run'),
    facts('Run', {
      made: summary.made,
      'configuration hash (SHA-256)': summary.hash,
      'rows used': count(used),
      'rows rejected': count(rejected),
    }),
    facts('Configuration', summary.configuration),
    facts('Versions', summary.versions),
    examples.length > 0
      ? table(
          examples,
          [
            { title: 'place', align: 'left', cell: ({ file, line }) => quoted(`${file}:${line}`) },
            { title: 'field', align: 'left', cell: ({ field }) => quoted(field) },
            { title: 'expected', align: 'left', cell: ({ expected }) => quoted(expected) },
            { title: 'got', align: 'left', cell: ({ got }) => quoted(got) },
          ],
          { caption: `Rejected rows${examples.length < rejected ? `, ${examples.length} of ${count(rejected)}` : ''}` },
        )
      : null,
  )
}

start(JSON.parse(document.getElementById('data')!.textContent!))
