/** A summary as text: Markdown for people, CSV for other programs. */
import type { Interval } from '../evaluate/metrics.ts'
import type { Comparison, Cost, Summary } from '../evaluate/summary.ts'

/** The summary as Markdown: warnings first, then every table that the summary has numbers for. */
export function markdown(summary: Summary): string {
  return document(summary, [
    section('Share of right choices, %', rulesTable(summary)),
    section('Differences on the same problems, points', comparisonsTable(summary)),
    section('Recorded verdicts', recordedTable(summary)),
    section('Scores', scoresTable(summary)),
    section('Beside surface features', surfaceTable(summary)),
    section('First error, %', firstErrorTable(summary)),
    section('Rules that choose the same answer, %', agreementTable(summary)),
    section('Rejected rows', rejectedTable(summary)),
    section('Made with', table(['what', 'version'], ['l', 'l'], Object.entries(summary.versions))),
  ])
}

/** The same for a terminal: rules at the largest number of candidates only, first errors over all groups only. */
export function brief(summary: Summary): string {
  const largest = summary.rules.reduce((most, { n }) => Math.max(most, n), 0)
  const short: Summary = {
    ...summary,
    rules: summary.rules.filter(({ n, rule }) =>
      n === 1 ? !summary.curves.some(curve => curve.rule === rule) : n >= largest,
    ),
    comparisons: summary.comparisons.filter(({ n }) => n === largest),
    firstError: summary.firstError && { rows: summary.firstError.rows.filter(({ group }) => group === 'all') },
  }
  return document(short, [
    section('Share of right choices, %', rulesTable(short)),
    section('Differences on the same problems, points', comparisonsTable(short)),
    section('Recorded verdicts', recordedTable(short)),
    section('Scores', scoresTable(short)),
    section('Beside surface features', surfaceTable(short)),
    section('First error, %', firstErrorTable(short)),
    section('Rejected rows', rejectedTable(short)),
  ])
}

function document(summary: Summary, sections: readonly string[]): string {
  const { used, rejected, leftOut = 0 } = summary.rows
  const head = [
    `# ${text(summary.name)}`,
    `${summary.kind}: ${count(used)} rows used, ${count(rejected)} rejected${leftOut > 0 ? `, ${count(leftOut)} left out` : ''}. Configuration ${summary.hash.slice(0, 12)}, made ${summary.made}.` +
      ' Intervals are 95 %, by bootstrap over problems.',
    bullets(summary.warnings),
  ]
  return `${[...head, ...sections].filter(part => part !== '').join('\n\n')}\n`
}

function rulesTable({ rules, kind }: Summary): string {
  if (kind !== 'candidates') return ''
  const timed = rules.some(({ cost }) => cost.ms !== null || (cost.prmMs ?? 0) > 0)
  return table(
    ['rule', 'n', 'right', '95 %', 'policy tokens', 'PRM tokens', ...(timed ? ['sampling ms', 'scoring ms'] : [])],
    ['l', ...'rrrrrrr'.slice(0, timed ? 7 : 5)],
    rules.map(({ rule, n, accuracy, cost }) => [
      rule,
      String(n),
      percent(accuracy.value),
      range(accuracy, percent),
      whole(cost.policyTokens),
      whole(cost.prmTokens),
      ...(timed ? [whole(cost.ms), whole(cost.prmMs ?? null)] : []),
    ]),
  )
}

function comparisonsTable({ comparisons }: Summary): string {
  return table(
    ['rule', 'against', 'n', 'difference', '95 %', 'McNemar p', 'budget, tokens', 'at equal budget'],
    ['l', 'l', 'r', 'r', 'r', 'r', 'l', 'r'],
    comparisons.map(comparison => [
      comparison.rule,
      comparison.against,
      String(comparison.n),
      points(comparison.difference.value),
      range(comparison.difference, points),
      pValue(comparison.p),
      budgetText(comparison),
      comparison.atEqualBudget === null ? '' : points(comparison.atEqualBudget),
    ]),
  )
}

/** What both spent, and whether it is the same. */
function budgetText({ equalBudget, budgets: [own, other] }: Comparison): string {
  if (equalBudget) return own === null ? 'equal' : `equal: ${whole(own)}`
  if (own === null || other === null) return 'unequal: not recorded'
  return `unequal: ${whole(own)} against ${whole(other)}`
}

function recordedTable({ recorded = [] }: Summary): string {
  return table(
    ['recorded as', 'rule here', 'same verdict'],
    ['l', 'l', 'r'],
    recorded.map(({ name, rule, agree, count }) => [name, rule, `${agree} of ${count}`]),
  )
}

function scoresTable({ scores }: Summary): string {
  if (scores === null) return ''
  const rows: [string, Interval | null][] = [
    ['step AUC', scores.stepAuc],
    ['solution AUC', scores.solutionAuc],
    ['right above wrong, in pairs of one problem', scores.pairs],
    ['Brier', scores.brier],
    ['ECE', scores.ece],
  ]
  return table(
    [scores.semantics, 'value', '95 %'],
    ['l', 'r', 'r'],
    rows.flatMap(([name, value]) => (value ? [[name, fixed(value.value), range(value, fixed)]] : [])),
  )
}

function surfaceTable({ surface }: Summary): string {
  return table(
    ['score', 'solution AUC', '95 %', 'best-of-n, %', '95 %'],
    ['l', 'r', 'r', 'r', 'r'],
    surface.map(({ name, solutionAuc, bestOfN }) => [
      name,
      fixed(solutionAuc.value),
      range(solutionAuc, fixed),
      bestOfN === null ? '' : percent(bestOfN.value),
      bestOfN === null ? '' : range(bestOfN, percent),
    ]),
  )
}

function firstErrorTable({ firstError }: Summary): string {
  return table(
    ['group', 'threshold', 'solutions', 'F1', '95 %', 'error found', 'right passed'],
    ['l', 'l', 'r', 'r', 'r', 'r', 'r'],
    (firstError?.rows ?? []).map(({ group, rule, threshold, count: solutions, wrong, right, f1 }) => [
      group,
      `${rule} ${fixed(threshold)}`,
      count(solutions),
      percent(f1.value),
      range(f1, percent),
      percent(wrong.value),
      percent(right.value),
    ]),
  )
}

function agreementTable({ agreement }: Summary): string {
  if (agreement === null) return ''
  const { names, shares } = agreement
  return table(
    ['', ...names],
    ['l', ...names.map(() => 'r' as const)],
    names.map((name, row) => [name, ...shares[row]!.map(percent)]),
  )
}

function rejectedTable({ rows: { examples } }: Summary): string {
  return table(
    ['where', 'field', 'expected', 'got'],
    ['l', 'l', 'l', 'l'],
    examples.map(({ file, line, field, expected, got }) => [`${file}:${line}`, field, expected, got]),
  )
}

const COLUMNS = [
  'table',
  'name',
  'against',
  'n',
  'value',
  'low',
  'high',
  'p',
  'threshold',
  'count',
  'policy_tokens',
  'prm_tokens',
  'sampling_ms',
  'scoring_ms',
] as const

type Row = Partial<Record<(typeof COLUMNS)[number], string | number | null>>

/**
 * The summary as one CSV table (RFC 4180) with a row a number: shares lie in [0, 1], costs are means per problem. A cell
 * is empty where there is no number. Text that a spreadsheet would run as a formula gets an apostrophe before it.
 */
export function csv(summary: Summary): string {
  const rows: Row[] = [
    ...summary.rules.map(({ rule, n, accuracy, cost }) => ({
      table: 'rules',
      name: rule,
      n,
      ...accuracy,
      ...costs(cost),
    })),
    ...summary.comparisons.flatMap(({ rule, against, n, difference, p, atEqualBudget }): Row[] => [
      { table: 'comparisons', name: rule, against, n, ...difference, p },
      ...(atEqualBudget === null ? [] : [{ table: 'at equal budget', name: rule, against, n, value: atEqualBudget }]),
    ]),
    ...summary.curves.flatMap(({ rule, area }): Row[] =>
      area === null ? [] : [{ table: 'area under curve', name: rule, value: area }],
    ),
    ...(summary.recorded ?? []).map(({ name, rule, agree, count }) => {
      return { table: 'recorded', name: rule, against: name, value: agree / count, count }
    }),
    ...scoreRows(summary),
    ...summary.surface.flatMap(({ name, solutionAuc, bestOfN }) => [
      { table: 'surface solution auc', name, ...solutionAuc },
      ...(bestOfN === null ? [] : [{ table: 'surface best-of-n', name, ...bestOfN }]),
    ]),
    ...(summary.firstError?.rows ?? []).flatMap(({ group, rule, threshold, count, wrong, right, f1 }) =>
      Object.entries({ f1, 'error found': wrong, 'right passed': right }).map(([metric, value]) => {
        return { table: `first error ${metric} (${rule})`, name: group, ...value, threshold, count }
      }),
    ),
  ]
  return [COLUMNS.join(','), ...rows.map(row => COLUMNS.map(column => cell(row[column] ?? null)).join(','))]
    .map(line => `${line}\r\n`)
    .join('')
}

function scoreRows({ scores }: Summary): Row[] {
  if (scores === null) return []
  const { stepAuc, solutionAuc, pairs, brier, ece } = scores
  return Object.entries({ 'step auc': stepAuc, 'solution auc': solutionAuc, pairs, brier, ece }).flatMap(
    ([name, value]): Row[] => (value ? [{ table: 'scores', name, ...value }] : []),
  )
}

function costs({ policyTokens, prmTokens, ms, prmMs }: Cost): Row {
  return { policy_tokens: policyTokens, prm_tokens: prmTokens, sampling_ms: ms, scoring_ms: prmMs ?? null }
}

function cell(value: string | number | null): string {
  if (value === null) return ''
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : ''
  const harmless = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}

function section(title: string, body: string): string {
  return body === '' ? '' : `## ${title}\n\n${body}`
}

/** Empty without rows. Cells are padded, so that the table also reads well as it stands. */
function table(head: readonly string[], align: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const cells = [head, ...rows].map(row => row.map(text))
  const widths = head.map((_, column) => cells.reduce((most, row) => Math.max(most, row[column]!.length), 4))
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (align[i] === 'r' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join(' | ')} |`
  const rule = widths.map((width, i) => (align[i] === 'r' ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)))
  const [first, ...others] = cells
  return [line(first!), `| ${rule.join(' | ')} |`, ...others.map(line)].join('\n')
}

function bullets(lines: readonly string[]): string {
  return lines.map(line => `- **${text(line)}**`).join('\n')
}

/** Foreign text as one line that Markdown shows as it is; what is harmless where it stands is left alone. */
function text(value: string): string {
  return value
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .replace(/[\\`*[\]|#~]|<(?=[a-z/!?])|&(?=[a-z#])|(?<![a-z0-9])_|_(?![a-z0-9])/gi, '\\$&')
    .trim()
}

function range({ low, high }: Interval, show: (value: number) => string): string {
  return `${show(low)} to ${show(high)}`
}

function percent(value: number): string {
  return Number.isFinite(value) ? (100 * value).toFixed(1) : '–'
}

function points(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const shown = (100 * Math.abs(value)).toFixed(1)
  return shown === '0.0' ? shown : `${value < 0 ? '−' : '+'}${shown}`
}

function fixed(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3) : '–'
}

function pValue(p: number): string {
  return p < 0.001 ? '< 0.001' : p.toFixed(3)
}

function count(value: number): string {
  return value.toLocaleString('en')
}

function whole(value: number | null): string {
  return value === null ? '–' : Math.round(value).toLocaleString('en')
}
