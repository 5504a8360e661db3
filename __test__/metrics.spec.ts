import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { SurefootError } from '../src/errors.ts'
import {
  bestOf,
  bootstrap,
  brier,
  type Candidate,
  ece,
  firstBelow,
  firstErrorF1,
  harmonicMean,
  majority,
  mean,
  passAtK,
  stepAuc,
  weightedVote,
} from '../src/evaluate/metrics.ts'
import { advantage, baselines, scoredRules } from '../src/evaluate/selection.ts'

const close = (t: ExecutionContext, actual: number, expected: number, tolerance = 1e-9): void => {
  t.true(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected}`)
}
const answers = (texts: readonly (string | null)[], right: string): Candidate[] =>
  texts.map(answer => ({ answer, correct: answer === right }))

/** All ways to take k of the items. */
function subsets<T>(items: readonly T[], k: number): T[][] {
  if (k === 0) return [[]]
  return items.flatMap((item, i) => subsets(items.slice(i + 1), k - 1).map(rest => [item, ...rest]))
}

const candidate = fc.record({
  answer: fc.option(fc.constantFrom('1', '2', '3'), { freq: 5 }),
  score: fc.constantFrom(0.1, 0.2, 0.5, 0.9),
})
const candidates = fc.array(candidate, { minLength: 1, maxLength: 7 })
const judged = (drawn: readonly { answer: string | null }[]): Candidate[] =>
  drawn.map(({ answer }) => ({ answer, correct: answer === '1' }))

test('pass@k gives the published values', t => {
  close(t, passAtK(10, 3, 5), 0.916667, 1e-6)
  // lighteval's pass@k cases (MIT).
  close(t, passAtK(2, 1, 1), 0.5)
  close(t, passAtK(2, 0, 1), 0)
  close(t, passAtK(3, 1, 2), 0.66, 0.01)
  t.is(passAtK(16, 16, 1), 1)
  t.is(passAtK(16, 10, 8), 1)
})

test('pass@k is the share of k-subsets that hold a right sample', t => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 8 }),
      (right, size) => {
        const k = Math.min(size, right.length)
        const all = subsets(right, k)
        const expected = all.filter(subset => subset.includes(true)).length / all.length
        close(t, passAtK(right.length, right.filter(Boolean).length, k), expected)
      },
    ),
  )
})

test('pass@k refuses counts that cannot be', t => {
  for (const [n, correct, k] of [
    [4, 5, 1],
    [4, -1, 1],
    [4, 2, 5],
    [4, 2, 0],
    [4.5, 2, 1],
    [4, Number.NaN, 1],
  ] as const) {
    const error = t.throws(() => passAtK(n, correct, k), { instanceOf: SurefootError })
    t.is(error.code, 'ERR_INVALID_ARGUMENT')
  }
})

test('best-of-3 of five ranks weighs them .6 .3 .1 0 0', t => {
  const weights = [0, 1, 2, 3, 4].map(rank => {
    const ranked = [0, 1, 2, 3, 4].map(i => ({ answer: String(i), correct: i === rank }))
    return bestOf(ranked, [0.9, 0.8, 0.7, 0.6, 0.5], 3)
  })
  weights.forEach((weight, i) => {
    close(t, weight, [0.6, 0.3, 0.1, 0, 0][i]!)
  })
})

test('best-of-k is the mean over all k-subsets and over ties, and an unanswered candidate never wins', t => {
  fc.assert(
    fc.property(candidates, fc.integer({ min: 1, max: 7 }), (drawn, size) => {
      const k = Math.min(size, drawn.length)
      const chosen = subsets(drawn, k).map(subset => {
        const answered = subset.filter(({ answer }) => answer !== null)
        const top = Math.max(...answered.map(({ score }) => score))
        const winners = answered.filter(({ score }) => score === top)
        return winners.length === 0 ? 0 : winners.filter(({ answer }) => answer === '1').length / winners.length
      })
      close(
        t,
        bestOf(
          judged(drawn),
          drawn.map(({ score }) => score),
          k,
        ),
        mean(chosen),
      )
    }),
  )
})

test('best-of takes the top score and shares a tie', t => {
  const pool = answers(['4', '5', '5', null], '5')
  t.is(bestOf(pool, [0.9, 0.5, 0.4, 1]), 0)
  t.is(bestOf(pool, [0.9, 0.9, 0.4, 1]), 0.5)
  t.is(bestOf(answers([null, null], '5'), [1, 1]), 0)
})

test('majority gives the published values and shares a tie', t => {
  // lighteval's maj@k cases (MIT); its tie goes to the first, ours to the expected value.
  t.is(majority(answers(['Paris', 'Paris', 'London'], 'Paris')), 1)
  t.is(majority(answers(['Paris', 'Paris', 'Paris'], 'Paris')), 1)
  t.is(majority(answers(['London', 'London', 'London'], 'Paris')), 0)
  close(t, majority(answers(['Paris', 'London', 'Berlin'], 'Paris')), 1 / 3)
})

test('blanks around an answer do not split its votes, and no answer is no vote', t => {
  t.is(majority(answers(['7', ' 7', '8', '8 ', '7\n'], '8').map(c => ({ ...c, correct: c.answer?.trim() === '7' }))), 1)
  t.is(majority(answers([null, null, '7'], '7')), 1)
  t.is(majority(answers([null, null], '7')), 0)
})

test('a vote at k is the mean over the blocks of k', t => {
  const pool = answers(['1', '1', '2', '2', '2', '1', '1'], '1')
  t.is(majority(pool, 7), 1)
  t.is(majority(pool, 2), 0.5)
  close(t, majority(pool, 3), 0.5)
})

test('a weighted vote goes to the largest sum, whatever the order', t => {
  const pool = answers(['1', '2', '2'], '1')
  t.is(weightedVote(pool, [0.9, 0.4, 0.4]), 1)
  t.is(weightedVote(pool, [0.7, 0.4, 0.4]), 0)
  t.is(weightedVote(answers(['1', '1', '1', '2', '2', '2'], '1'), [0.1, 0.2, 0.3, 0.3, 0.2, 0.1]), 0.5)
  fc.assert(
    fc.property(candidates, drawn => {
      const forward = weightedVote(
        judged(drawn),
        drawn.map(({ score }) => score),
      )
      const turned = [...drawn].reverse()
      close(
        t,
        forward,
        weightedVote(
          judged(turned),
          turned.map(({ score }) => score),
        ),
      )
      close(
        t,
        majority(judged(drawn)),
        weightedVote(
          judged(drawn),
          drawn.map(() => 0.3),
        ),
      )
    }),
  )
})

test('votes that are negative or not numbers, and lists of other lengths, are refused', t => {
  const pool = answers(['1', '2'], '1')
  for (const votes of [[-0.1, 1], [Number.NaN, 1], [1]]) {
    t.is(t.throws(() => weightedVote(pool, votes), { instanceOf: SurefootError }).code, 'ERR_INVALID_ARGUMENT')
  }
  t.throws(() => bestOf(pool, [1, 2], 3), { instanceOf: SurefootError })
  t.throws(() => bestOf(pool, [1]), { instanceOf: SurefootError })
})

test('step AUC is the share of pairs in order', t => {
  t.is(stepAuc([0.1, 0.4, 0.35, 0.8], [false, false, true, true]), 0.75)
  t.is(stepAuc([0.5, 0.5], [true, false]), 0.5)
  t.true(Number.isNaN(stepAuc([0.5], [true])))
  const step = fc.record({
    score: fc.constantFrom(0, 0.3, 0.6, 1),
    label: fc.boolean(),
    weight: fc.integer({ min: 0, max: 3 }),
  })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), steps => {
      const scores = steps.map(({ score }) => score)
      const labels = steps.map(({ label }) => label)
      const repeated = steps.flatMap(item => new Array<typeof item>(item.weight).fill(item))
      const pairs = repeated
        .filter(({ label }) => label)
        .flatMap(right =>
          repeated.filter(({ label }) => !label).map(wrong => 0.5 + 0.5 * Math.sign(right.score - wrong.score)),
        )
      const auc = stepAuc(
        scores,
        labels,
        steps.map(({ weight }) => weight),
      )
      if (pairs.length === 0) t.true(Number.isNaN(auc))
      else close(t, auc, mean(pairs))
    }),
  )
})

test('first-error F1 gives the published ProcessBench values', t => {
  for (const [wrong, right, f1] of [
    [72, 96.4, 82.43],
    [68, 90.4, 77.62],
    [55.7, 85.5, 67.46],
    [55.2, 83, 66.3],
  ] as const) {
    close(t, harmonicMean(wrong, right), f1, 0.005)
  }
  t.is(harmonicMean(0, 0), 0)
})

test('first-error F1 wants the exact index', t => {
  const found = firstErrorF1([1, 2, -1, -1, 0], [1, 1, 2, -1, -1])
  close(t, found.wrong, 1 / 3)
  close(t, found.right, 1 / 2)
  close(t, found.f1, 0.4)
  t.is(firstErrorF1([1, 2, -1, -1, 0], [1, 1, 2, -1, -1], [1, 0, 0, 2, 0]).f1, 1)
  t.is(firstBelow([0.9, 0.5, 0.2, 0.1], 0.5), 2)
  t.is(firstBelow([0.9], 0.5), -1)
})

test('Brier and calibration error by hand', t => {
  close(t, brier([0.9, 0.8, 0.3], [true, true, false]), (0.01 + 0.04 + 0.09) / 3)
  close(t, brier([0.9, 0.8, 0.3], [true, true, false], [2, 0, 1]), (0.02 + 0.09) / 3)
  close(t, ece([0.95, 0.95, 0.05, 0.15], [true, false, false, true]), (0.9 + 0.05 + 0.85) / 4)
  close(t, ece([1, 0], [true, false]), 0)
  close(t, ece([0.95, 0.05], [false, false], [1, 9], 1), (0.95 + 9 * 0.05) / 10)
})

test('the bootstrap interval of a mean is that of the normal law, and depends on the seed alone', t => {
  const values = Array.from({ length: 400 }, (_, i) => +(i % 4 === 0))
  const statistic = (weights: ArrayLike<number>): number => mean(values, weights)
  const interval = bootstrap(values.length, statistic)
  const error = Math.sqrt((0.25 * 0.75) / 400)
  t.is(interval.value, 0.25)
  close(t, interval.low, 0.25 - 1.96 * error, 0.004)
  close(t, interval.high, 0.25 + 1.96 * error, 0.004)
  t.deepEqual(bootstrap(values.length, statistic), interval)
  t.notDeepEqual(bootstrap(values.length, statistic, { seed: 2 }), interval)
  t.throws(() => bootstrap(0, statistic), { instanceOf: SurefootError })
})

test('a paired difference that is the same on every problem has no width', t => {
  const rule = (perProblem: number[]) => ({ rule: 'r', perProblem, accuracy: { value: 0, low: 0, high: 0 } })
  const gain = advantage(rule([0.5, 1, 0.75]), rule([0.25, 0.75, 0.5]))
  t.deepEqual(gain, { value: 0.25, low: 0.25, high: 0.25 })
})

test('the selection table holds every rule, and a solution without an answer wins none of them', t => {
  const problem = [
    { answer: null, correct: false, scores: [] },
    { answer: null, correct: false, scores: [0.99] },
    { answer: '3', correct: false, scores: [0.9, 0.2] },
    { answer: '4', correct: true, scores: [0.8, 0.7, 0.75] },
  ]
  const plain = baselines([problem], [2, 4])
  t.deepEqual(
    plain.map(({ rule, accuracy }) => [rule, accuracy.value]),
    [
      ['mean of samples', 0.25],
      ['majority@2', 0.25],
      ['majority@4', 0.5],
      ['pass@4', 1],
    ],
  )
  const rules = Object.fromEntries(scoredRules([problem], [4]).map(({ rule, accuracy }) => [rule, accuracy.value]))
  t.is(Object.keys(rules).length, 14)
  t.is(rules['best-of@4 last'], 1)
  t.is(rules['best-of@4 min'], 1)
  t.is(rules['best-of@4 max'], 0)
  t.is(rules['weighted vote@4 product'], 1)
  t.is(rules['weighted vote@4 sum'], 1)
})
