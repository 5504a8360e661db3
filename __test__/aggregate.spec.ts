import test from 'ava'
import { aggregate, aggregates } from '../src/aggregate.ts'
import { SurefootError } from '../src/errors.ts'
import { fixture, readJson } from './helpers/fixtures.ts'

interface Cases {
  readonly cases: readonly {
    readonly name: string
    readonly scores: readonly number[]
    readonly expected: Readonly<Record<string, number>>
  }[]
}

test('Every aggregate of every case is that of exact arithmetic, to 1e-12 of it.', t => {
  const { cases } = readJson<Cases>(fixture('aggregates.json'))
  t.true(cases.length > 15)
  for (const { name, scores, expected } of cases) {
    t.deepEqual(Object.keys(expected).sort(), [...aggregates].sort())
    for (const by of aggregates) {
      const [actual, wanted] = [aggregate(scores, by), expected[by]!]
      t.true(Math.abs(actual - wanted) <= 1e-12 * Math.abs(wanted), `${by} of ${name}: ${actual} is not ${wanted}`)
    }
  }
})

test('The one score of one step is every aggregate of it.', t => {
  for (const score of [0, 0.7, 1, -3.5]) {
    for (const by of aggregates) t.is(aggregate([score], by), score)
  }
})

test('No score and no such aggregate are refused.', t => {
  for (const refused of [() => aggregate([], 'min'), () => aggregate([0.5], 'median' as 'min')]) {
    t.is(t.throws(refused, { instanceOf: SurefootError }).code, 'ERR_INVALID_ARGUMENT')
  }
})
