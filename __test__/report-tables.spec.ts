import test from 'ava'
import fc from 'fast-check'
import type { Cost, Summary } from '../src/evaluate/summary.ts'
import { brief, csv, markdown } from '../src/report/tables.ts'

const interval = (value: number) => ({ value, low: value - 0.1, high: value + 0.1 })
const cost = (more: Partial<Cost> = {}): Cost => ({
  policyTokens: 1000,
  prefillTokens: null,
  prmTokens: 0,
  ms: null,
  prmMs: 0,
  ...more,
})

const base: Summary = {
  schema: 1,
  kind: 'candidates',
  name: 'a run',
  made: '2026-11-24T00:00:00.000Z',
  versions: { surefoot: '0.1.0' },
  configuration: {},
  hash: 'abcdef0123456789',
  rows: { used: 1200, rejected: 2, leftOut: 3, examples: [] },
  warnings: ['Only 12 problems.'],
  rules: [
    { rule: 'mean of samples', n: 1, accuracy: interval(0.5), cost: cost() },
    { rule: 'majority', n: 2, accuracy: interval(0.55), cost: cost({ policyTokens: 2000 }) },
    { rule: 'majority', n: 4, accuracy: interval(0.6), cost: cost({ policyTokens: 4000 }) },
    {
      rule: 'best-of-n (min)',
      n: 4,
      accuracy: interval(0.7),
      cost: cost({ policyTokens: 4000, prmTokens: 500.4, prmMs: 20 }),
    },
  ],
  curves: [{ rule: 'majority', points: [], area: 0.58 }],
  comparisons: [
    {
      rule: 'best-of-n (min)',
      against: 'majority',
      n: 4,
      difference: { value: -0.0001, low: -0.02, high: 0.03 },
      p: 0.0004,
      equalBudget: false,
      budgets: [4500.4, 4000],
      atEqualBudget: 0.012,
    },
  ],
  agreement: {
    names: ['majority', 'best-of-n (min)'],
    shares: [
      [1, 0.9],
      [0.9, 1],
    ],
  },
  scores: null,
  surface: [],
  firstError: null,
}

test('Markdown says warnings first, intervals, and unequal budgets in the table itself.', t => {
  const text = markdown(base)
  t.true(text.startsWith('# a run\n\ncandidates: 1,200 rows used, 2 rejected, 3 left out.'))
  t.true(text.indexOf('**Only 12 problems.**') < text.indexOf('##'))
  t.regex(text, /\| best-of-n \(min\) \| +4 \| +70\.0 \| 60\.0 to 80\.0 \| +4,000 \| +500 \| +– \| +20 \|/)
  t.regex(
    text,
    /\| best-of-n \(min\) \| majority \| +4 \| +0\.0 \| −2\.0 to \+3\.0 \| +< 0\.001 \| unequal: 4,500 against 4,000 \| +\+1\.2 \|/,
  )
  t.regex(text, /\| majority +\| +100\.0 \| +90\.0 \|/)
  for (const table of text.split('\n\n').filter(part => part.startsWith('|'))) {
    const columns = table
      .trim()
      .split('\n')
      .map(line => line.split('|').length)
    t.is(new Set(columns).size, 1, table)
  }
})

test('A budget that is equal, or was not recorded, is said so.', t => {
  const [comparison] = base.comparisons
  const withBudgets = (equalBudget: boolean, budgets: [number | null, number | null]): string =>
    markdown({ ...base, comparisons: [{ ...comparison!, equalBudget, budgets, atEqualBudget: null }] })
  t.regex(withBudgets(true, [4000, 4000]), /\| equal: 4,000 +\|/)
  t.regex(withBudgets(false, [null, 4000]), /\| unequal: not recorded +\|/)
})

test('The table for a terminal keeps the largest n and leaves out what is long.', t => {
  const text = brief(base)
  t.regex(text, /\| majority +\| +4 \|/)
  t.notRegex(text, /\| majority +\| +2 \|/)
  t.regex(text, /\| mean of samples \| +1 \|/)
  t.notRegex(text, /same answer|Made with/)
})

const labels = (group: string): Summary => ({
  ...base,
  kind: 'labels',
  rules: [],
  comparisons: [],
  curves: [],
  agreement: null,
  rows: { used: 1, rejected: 1, examples: [{ file: group, line: 3, field: 'steps', expected: group, got: group }] },
  scores: {
    semantics: 'probability',
    aggregate: 'min',
    stepAuc: interval(0.7),
    solutionAuc: null,
    pairs: null,
    brier: interval(0.2),
    ece: null,
    reliability: [],
    byPosition: [],
    firstWeak: [],
    threshold: 0.5,
  },
  surface: [{ name: 'PRM', solutionAuc: interval(0.7), bestOfN: interval(0.6) }],
  firstError: {
    rows: [
      {
        group,
        rule: 'fixed',
        threshold: 0.5,
        count: 10,
        wrong: interval(0.5),
        right: interval(0.8),
        f1: interval(0.6),
      },
    ],
  },
})

/** RFC 4180, read back. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]]
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1)!.push(quoted === undefined ? plain! : quoted.replaceAll('""', '"'))
    if (end === '\r\n') rows.push([])
  }
  return rows.slice(0, -1)
}

test('CSV has a row a number, and an empty cell where there is none.', t => {
  const [head, ...rows] = parseCsv(csv(base))
  const named = rows.map(row => Object.fromEntries(head!.map((column, i) => [column, row[i]])))
  t.is(named.length, 4 + 1 + 1 + 1)
  t.like(named[3], {
    table: 'rules',
    name: 'best-of-n (min)',
    n: '4',
    value: '0.7',
    policy_tokens: '4000',
    prm_tokens: '500.4',
    sampling_ms: '',
  })
  t.like(named[4], { table: 'comparisons', value: '-0.0001', p: '0.0004' })
  t.like(named[5], { table: 'at equal budget', value: '0.012', low: '' })
  t.like(named[6], { table: 'area under curve', value: '0.58' })
})

test('No text of the data breaks a table, becomes markup, or runs as a formula.', t => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[=+\-@\t\r|"\n,<>*_`[\]\\ a]{0,12}$/))
  fc.assert(
    fc.property(text, group => {
      const rows = parseCsv(csv(labels(group)))
      t.true(rows.every(row => row.length === rows[0]!.length))
      const cell = rows.find(row => row[0] === 'first error f1 (fixed)')![1]!
      t.true(cell === group || cell === `'${group}`)
      t.notRegex(cell, /^[=+\-@\t\r]/)
      const line = markdown(labels(group))
        .split('\n')
        .find(line => / fixed 0\.500 /.test(line))
      t.is(line?.replaceAll(/\\\\|\\\|/g, '').split('|').length, 9, line)
      for (const make of [markdown, brief]) {
        const page = make({ ...labels(group), name: group, warnings: [group] })
        // An escaped character is a character: it does not join those beside it.
        t.notRegex(page.replaceAll(/\\[\s\S]/g, '.'), /<[a-z/!?]|`|&[a-z#]/i)
      }
    }),
  )
})
