import test from 'ava'
import fc from 'fast-check'
import { SurefootError } from '../src/errors.ts'
import { logisticRegression } from '../src/evaluate/logistic.ts'
import { auc, crossFit, surfaceFeatureNames, surfaceFeatures } from '../src/evaluate/metrics.ts'

const feature = (steps: readonly string[], name: (typeof surfaceFeatureNames)[number], tokens?: number): number =>
  surfaceFeatures({ steps, ...(tokens !== undefined && { tokens }) })[surfaceFeatureNames.indexOf(name)]!

test('The features are what their names say.', t => {
  const steps = ['Maybe 12 + 3 = 15.', 'Wait, let me check: 12 + 3 = 15.', 'Maybe 12 + 3 = 15.', 'So \\boxed{15}.']
  t.is(feature(steps, 'log characters'), Math.log1p(steps.join('\n').length))
  t.is(feature(steps, 'log steps'), Math.log(5))
  t.is(feature(steps, 'log tokens'), 0)
  t.is(feature(steps, 'log tokens', 40), Math.log(41))
  t.is(feature(steps, 'longest step'), steps[1]!.length / steps.join('\n').length)
  t.is(feature(steps, 'digits'), 17 / steps.join('\n').length)
  t.is(feature(steps, 'equations'), 3 / 4)
  t.is(feature(steps, 'commands'), 1 / 4)
  t.is(feature(steps, 'hedges'), 1)
  t.is(feature(steps, 'repeated steps'), 1 / 4)
  t.is(feature(steps, 'marked answer'), 1)
  t.is(feature(steps.slice(0, 2), 'marked answer'), 0)
  t.is(feature(['x', 'A: 12'], 'marked answer'), 1)
  t.is(feature(['x', 'The answer is 12.'], 'marked answer'), 1)
})

test('Any steps, even none, give finite features.', t => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), steps => {
      const features = surfaceFeatures({ steps })
      t.is(features.length, surfaceFeatureNames.length)
      t.true(features.every(Number.isFinite))
    }),
  )
})

test('A problem teaches nothing about itself.', t => {
  // The one feature is the number of the problem, whose candidates are all right or all wrong: whoever saw the problem knows.
  const problems = Array.from({ length: 40 }, (_, i) => i)
  const rows = problems.flatMap(problem => [0, 1, 2].map(() => problems.map(other => +(other === problem))))
  const groups = problems.flatMap(problem => [problem, problem, problem])
  const labels = groups.map(problem => (problem * 7) % 5 < 2)
  const known = rows.map(logisticRegression(rows, labels, 0.01))
  t.is(auc(known, labels), 1)
  // Each item as its own group: its siblings give it away.
  const leaking = crossFit(
    rows,
    labels,
    rows.map((_, i) => i),
    { ridge: 0.01 },
  )
  t.true(auc(leaking, labels) > 0.9)
  t.true(auc(crossFit(rows, labels, groups, { ridge: 0.01 }), labels) < 0.6)
})

test('What the surface tells is learnt, and depends on nothing but the seed.', t => {
  const rows = Array.from({ length: 60 }, (_, i) => [i % 7, 3])
  const labels = rows.map(([value]) => value! > 3)
  const groups = rows.map((_, i) => `problem ${Math.floor(i / 3)}`)
  const scores = crossFit(rows, labels, groups)
  t.is(auc(scores, labels), 1)
  t.true(scores.every(score => score > 0 && score < 1))
  t.deepEqual(crossFit(rows, labels, groups), scores)
  t.notDeepEqual(crossFit(rows, labels, groups, { seed: 2 }), scores)
  t.notDeepEqual(crossFit(rows, labels, groups, { folds: 3 }), scores)
})

test('Training items of one kind give its probability, also where there are fewer problems than folds.', t => {
  t.deepEqual(crossFit([[1], [2], [3]], [true, true, true], ['a', 'b', 'c']), [1, 1, 1])
  t.deepEqual(crossFit([[1], [2]], [true, false], ['a', 'b']), [0, 1])
})

test('What cannot be fitted is refused.', t => {
  const refused = [
    () => crossFit([[1], [2]], [true, false], ['a', 'a']),
    () => crossFit([[1], [2]], [true], ['a', 'b']),
    () => crossFit([[1], [2]], [true, false], ['a']),
    () => crossFit([[1], [2]], [true, false], ['a', 'b'], { folds: 1 }),
    () => crossFit([[1], [2], [3]], [true, false, true], ['a', 'b', 'c'], { ridge: 0 }),
    () => logisticRegression([], [], 1),
    () => logisticRegression([[1], [1, 2]], [true, false], 1),
  ]
  for (const fit of refused) {
    t.is(t.throws(fit, { instanceOf: SurefootError })?.code, 'ERR_INVALID_ARGUMENT', String(fit))
  }
})
