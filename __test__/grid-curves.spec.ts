import test from 'ava'
import { cellsOf } from '../src/grid/cells.ts'
import type { GridSummary } from '../src/grid/index.ts'
import type { GridJournal, SearchKey, SearchLine } from '../src/grid/journal.ts'
import { Resampled } from '../src/grid/resampled.ts'
import { summarise } from '../src/grid/summarise.ts'

function journalOf(lines: (key: SearchKey) => { correct: boolean; tokens: number; ms: number }): GridJournal {
  const of = (key: SearchKey): SearchLine => {
    const { correct, tokens, ms } = lines(key)
    const spent = { generations: 1, failures: 0, cancelled: 0, policyTokens: tokens, prefillTokens: 0, prmTokens: 0 }
    const rest = { finish: 'complete', limit: null, solutions: 1, answer: null } as const
    const about = { id: '', strategy: '', budget: '' }
    return { ...key, ...about, ...rest, correct, ms, spent: { ...spent, flops: 0, ms, overruns: 0 } }
  }
  return { of } as unknown as GridJournal
}

function summaryOf(problems: number, journal: GridJournal, budgets = [1, 2]): GridSummary {
  const cells = cellsOf(['majority', 'bestOfN'], budgets)
  return summarise({
    head: {
      name: 'by hand',
      made: '2026-01-01T00:00:00Z',
      versions: {},
      configuration: {},
      hash: '',
      rows: { used: problems, rejected: 0, leftOut: 0, examples: [] },
      seeds: [1],
      typical: { steps: 1, tokens: 1, ms: 1 },
      alone: true,
    },
    cells,
    settings: cells.map(({ given }) => given),
    problems,
    journal,
    parameters: { policy: 10, prm: 1 },
    against: ['majority'],
    warnings: [],
    resamples: 500,
  })
}

test('curves are read on straight lines in log cost: by hand', t => {
  // majority: 0 at 100 tokens, 1 at 400. bestOfN: always 1/2 at 100 and at 400.
  const lines = journalOf(({ cell, problem }) => {
    const tokens = cell % 2 === 0 ? 100 : 400
    const correct = cell < 2 ? cell === 1 : problem % 2 === 0
    return { correct, tokens, ms: cell % 2 === 0 ? 10 : 1000 }
  })
  const { standings, matched, curves, comparisons, cells } = summaryOf(4, lines)
  const at = (axis: string, cost: number): Record<string, number> => {
    const standing = standings.find(one => one.axis === axis && one.at === cost)!
    return Object.fromEntries(standing.places.map(({ strategy, accuracy }) => [strategy, accuracy.value]))
  }
  t.deepEqual(at('policyTokens', 200), { majority: 0.5, bestOfN: 0.5 })
  t.deepEqual(
    standings.filter(({ axis }) => axis === 'tokens').map(one => one.at),
    [100, 200],
  )
  t.true(Math.abs(at('ms', 100).majority! - 0.5) < 1e-12)
  t.true(Math.abs(at('ms', 500).majority! - Math.log(50) / Math.log(100)) < 1e-12)
  t.deepEqual(
    standings.find(one => one.axis === 'ms' && one.at === 1000)!.places.map(({ strategy }) => strategy),
    ['majority', 'bestOfN'],
  )
  t.is(curves.find(({ strategy, axis }) => strategy === 'majority' && axis === 'ms')!.area!.value, 0.5)
  const { difference, from, to } = matched.find(({ axis }) => axis === 'policyTokens')!
  t.deepEqual([difference.value, from, to], [0, 100, 400])
  // Half of the four problems are right: the mean of four draws of 0 and 1.
  t.true(difference.low < 0 && difference.high > 0)
  t.deepEqual(
    comparisons.map(({ strategy, budget, p }) => [strategy, budget, p]),
    [
      ['bestOfN', '1 generations', 0.5],
      ['bestOfN', '2 generations', 0.5],
    ],
  )
  t.deepEqual(
    comparisons.map(({ difference }) => difference.value),
    [0.5, -0.5],
  )
  t.is(cells[0]!.cost.flops, 2 * 10 * 100)
})

test('cells that cost the same are one point, and curves that do not meet are not compared', t => {
  const same = summaryOf(
    2,
    journalOf(({ cell }) => ({ correct: cell === 1, tokens: cell < 2 ? 100 : 1000 * cell, ms: 1 })),
  )
  t.is(same.curves.find(({ strategy, axis }) => strategy === 'majority' && axis === 'tokens')!.area, null)
  t.is(same.matched.filter(({ axis }) => axis === 'tokens').length, 0)
  t.deepEqual(
    same.standings
      .find(({ axis, at }) => axis === 'tokens' && at === 100)!
      .places.map(({ accuracy }) => accuracy.value),
    [0.5],
  )
})

test('an interval is that of all draws: two problems, one right, enumerated', t => {
  const draws = new Resampled([Float64Array.of(0, 1), Float64Array.of(2, 4)], { resamples: 4000, seed: 1 })
  // The mean of two draws of {0, 1} is 0, 1/2 or 1 with 1/4, 1/2 and 1/4; of the other column 2, 3, 4 with it.
  t.deepEqual(
    draws.interval(([a]) => a!),
    { value: 0.5, low: 0, high: 1 },
  )
  t.deepEqual(
    draws.interval(([a, b]) => b! - 2 * a!),
    { value: 2, low: 2, high: 2 },
  )
  const share = draws.interval(([a]) => +(a === 0))!
  t.is(share.value, 0)
  t.is(
    draws.interval(([a]) => (a === 0.5 ? null : a!)),
    null,
  )
  t.deepEqual([...draws.whole], [0.5, 3])
})
