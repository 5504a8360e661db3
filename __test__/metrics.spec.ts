import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { SurefootError } from '../src/errors.ts'
import {
  accuracyAt,
  areaUnderCurve,
  auc,
  bestOf,
  bestThreshold,
  bootstrap,
  bootstrapMean,
  brier,
  type Candidate,
  cohenKappa,
  ece,
  equalBudget,
  firstBelow,
  firstErrorF1,
  fleissKappa,
  harmonicMean,
  heldOutPredictions,
  logLoss,
  majority,
  mcnemar,
  mean,
  overItems,
  pairsInOrder,
  passAtK,
  rankedAuc,
  rawAgreement,
  reliability,
  sameBudget,
  votesAreExact,
  weightedVote,
} from '../src/evaluate/metrics.ts'
import { advantage, baselines, scoredRules } from '../src/evaluate/selection.ts'
import { expectedOverTies, weightedVote as voteOfAll } from '../src/grade/vote.ts'

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

test('a vote at k is the mean over all k-subsets, with ties shared', t => {
  fc.assert(
    fc.property(fc.array(candidate, { minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 9 }), (drawn, size) => {
      const k = Math.min(size, drawn.length)
      const pool = judged(drawn)
      const votes: number[] = drawn.map(({ score }) => score)
      const brute = (weigh: (drawn: { score: number }) => number): number =>
        mean(
          subsets(drawn, k).map(subset => {
            const sums = new Map<string, number>()
            for (const one of subset) {
              if (one.answer !== null) sums.set(one.answer, (sums.get(one.answer) ?? 0) + weigh(one))
            }
            const top = Math.max(...sums.values())
            const winners = [...sums].filter(([, sum]) => sum >= top - 1e-9).map(([answer]) => answer)
            return winners.length === 0 ? 0 : +winners.includes('1') / winners.length
          }),
        )
      close(
        t,
        majority(pool, k),
        brute(() => 1),
      )
      close(
        t,
        weightedVote(pool, votes, k),
        brute(({ score }) => score),
      )
      close(t, weightedVote(pool, votes.fill(0.3), k), majority(pool, k))
    }),
  )
})

test('where there are too many subsets, seeded draws come close to the exact vote', t => {
  const pool = answers([...'111122233'], '1')
  const equal = pool.map(() => 1)
  const exact = majority(pool, 4)
  const drawn = weightedVote(pool, equal, 4, { subsets: 100 })
  t.false(votesAreExact(9, 4, 100))
  t.true(votesAreExact(9, 4))
  t.not(drawn, exact)
  close(t, drawn, exact, 4 * Math.sqrt(0.25 / 1000))
  t.is(weightedVote(pool, equal, 4, { subsets: 100 }), drawn)
  t.not(weightedVote(pool, equal, 4, { subsets: 100, seed: 2 }), drawn)
})

test('a majority of hundreds is exact, quick and a share', t => {
  const pool = answers(
    Array.from({ length: 600 }, (_, i) => String(i % 7 === 0 ? 0 : i % 5)),
    '0',
  )
  const chances = [1, 2, 16, 64].map(k => majority(pool, k))
  t.true(chances.every(chance => chance >= 0 && chance <= 1))
  close(t, chances[0]!, mean(pool.map(({ correct }) => +correct)))
  // Two that agree, or the first of two that do not: as good as one.
  close(t, chances[1]!, chances[0]!)
  t.true(chances[3]! > chances[2]! && chances[2]! > chances[1]!)
})

test('a vote of all candidates is the vote of surefoot/grade', t => {
  const answer = fc.option(fc.constantFrom('1', '1.0', '2', '\\frac{4}{2}', '3'), { freq: 6 })
  const voter = fc.record({ answer, score: fc.constantFrom(-0.5, 0.1, 0.2, 0.3, 0.9) })
  fc.assert(
    fc.property(fc.array(voter, { minLength: 1, maxLength: 8 }), drawn => {
      const given = drawn.map(({ answer }) => answer)
      const scores = drawn.map(({ score }) => score)
      const right = (answer: string): boolean => Number(answer) === 1
      const pool = given.map(answer => ({ answer, correct: answer !== null && right(answer) }))
      close(t, weightedVote(pool, scores), expectedOverTies(voteOfAll(given, scores), right))
    }),
  )
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

test('votes that are not finite, scores that are NaN, and lists of other lengths are refused', t => {
  const pool = answers(['1', '2'], '1')
  for (const votes of [[Number.POSITIVE_INFINITY, 1], [Number.NaN, 1], [1]]) {
    t.is(t.throws(() => weightedVote(pool, votes), { instanceOf: SurefootError }).code, 'ERR_INVALID_ARGUMENT')
  }
  t.throws(() => bestOf(pool, [1, 2], 3), { instanceOf: SurefootError })
  t.throws(() => bestOf(pool, [1]), { instanceOf: SurefootError })
  t.throws(() => bestOf(pool, [1, Number.NaN]), { instanceOf: SurefootError })
  t.is(weightedVote(answers([null, '2'], '2'), [Number.NaN, -1]), 1)
})

test('step AUC is the share of pairs in order', t => {
  t.is(auc([0.1, 0.4, 0.35, 0.8], [false, false, true, true]), 0.75)
  t.is(auc([0.5, 0.5], [true, false]), 0.5)
  t.true(Number.isNaN(auc([0.5], [true])))
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
      const area = auc(
        scores,
        labels,
        steps.map(({ weight }) => weight),
      )
      if (pairs.length === 0) t.true(Number.isNaN(area))
      else close(t, area, mean(pairs))
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

test('the quick bootstrap of a mean is the bootstrap of the mean', t => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 1, maxLength: 20 }),
      fc.nat(),
      (values, seed) => {
        const options = { resamples: 50, seed }
        const quick = bootstrapMean(values, options)
        const slow = bootstrap(values.length, weights => mean(values, weights), options)
        for (const key of ['value', 'low', 'high'] as const) close(t, quick[key], slow[key], 1e-12)
        t.true(quick.low <= quick.high)
      },
    ),
    { numRuns: 50 },
  )
})

test('the interval of a constant holds it and has no width', t => {
  fc.assert(
    fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.integer({ min: 1, max: 9 }), (value, count) => {
      const interval = bootstrapMean(new Array<number>(count).fill(value), { resamples: 20 })
      for (const end of [interval.low, interval.high]) close(t, end, value, 1e-9 * Math.max(1, Math.abs(value)))
      t.deepEqual(
        bootstrap(count, () => value, { resamples: 20 }),
        { value, low: value, high: value },
      )
    }),
  )
})

test('draws in which a statistic is not defined are left out', t => {
  const labels = [true, false, false]
  const interval = bootstrap(3, rankedAuc([0.9, 0.1, 0.2], labels), { resamples: 200 })
  t.deepEqual(interval, { value: 1, low: 1, high: 1 })
  t.true(Number.isNaN(bootstrap(2, () => Number.NaN, { resamples: 20 }).low))
})

test('a statistic of items counts each as often as its problem was drawn', t => {
  const seen = overItems([0, 0, 1, 2], weights => Number([...Array.from(weights)].join('')))
  t.is(seen([2, 0, 3]), 2203)
})

test('McNemar by hand', t => {
  const split = (onlyA: number, onlyB: number) => {
    const a = [true, false, ...new Array(onlyA).fill(true), ...new Array(onlyB).fill(false)]
    const b = [true, false, ...new Array(onlyA).fill(false), ...new Array(onlyB).fill(true)]
    return mcnemar(a, b)
  }
  t.deepEqual(split(0, 0), { onlyA: 0, onlyB: 0, p: 1 })
  t.is(split(5, 5).p, 1)
  close(t, split(0, 5).p, 2 / 32)
  close(t, split(1, 5).p, (2 * 7) / 64)
  close(t, split(5, 1).p, split(1, 5).p)
  t.throws(() => mcnemar([true], []), { instanceOf: SurefootError })
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
    plain.map(({ rule, accuracy }) => [rule, Number(accuracy.value.toFixed(12))]),
    [
      ['mean of samples', 0.25],
      ['majority@2', 0.416666666667],
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

test('AUC does not change under a monotone transform, and turns with the sign', t => {
  const item = fc.record({ score: fc.integer({ min: -6, max: 6 }), label: fc.boolean() })
  fc.assert(
    fc.property(fc.array(item, { minLength: 2, maxLength: 30 }), items => {
      const labels = [true, false, ...items.map(({ label }) => label)]
      const scores = [1, -1, ...items.map(({ score }) => score)]
      const area = auc(scores, labels)
      const apart = scores.map(score => Math.exp(score) + score ** 3)
      t.is(auc(apart, labels), area)
      close(
        t,
        auc(
          scores.map(score => -score),
          labels,
        ),
        1 - area,
      )
      const { inOrder, pairs } = pairsInOrder(scores, labels)
      close(t, inOrder / pairs, area)
    }),
  )
  t.deepEqual(pairsInOrder([0.5, 0.4], [true, true]), { inOrder: 0, pairs: 0 })
  t.deepEqual(pairsInOrder([0.5, 0.5, 0.6], [true, false, true]), { inOrder: 1.5, pairs: 2 })
})

test('kappa lies in [−1, 1], is 1 for equal raters, and Fleiss for two raters lies near Cohen', t => {
  const label = fc.constantFrom('right', 'wrong', 'no answer')
  fc.assert(
    fc.property(fc.array(fc.tuple(label, label), { minLength: 1, maxLength: 20 }), drawn => {
      const pairs = [['right', 'wrong'] as [string, string], ...drawn]
      const [a, b] = [pairs.map(([first]) => first), pairs.map(([, second]) => second)]
      for (const kappa of [cohenKappa(a, b), fleissKappa(pairs)]) t.true(kappa >= -1 - 1e-12 && kappa < 1)
      close(t, cohenKappa(a, b), cohenKappa(b, a))
      t.true(fleissKappa(pairs) <= cohenKappa(a, b) + 1e-12)
      t.is(rawAgreement(a, a), 1)
      if (new Set(a).size > 1) close(t, cohenKappa(a, a), 1)
    }),
  )
  t.true(Number.isNaN(cohenKappa(['x', 'x'], ['x', 'x'])))
  t.true(Number.isNaN(fleissKappa([['x', 'x']])))
  t.throws(() => fleissKappa([['x', 'x'], ['x']]), { instanceOf: SurefootError, message: /item 1 has 1/ })
  t.throws(() => fleissKappa([['x']]), { instanceOf: SurefootError })
})

test('the best threshold is the best of all thresholds', t => {
  const solution = fc
    .array(fc.constantFrom(0, 0.2, 0.4, 0.6, 0.8, 1), { minLength: 1, maxLength: 4 })
    .chain(scores => fc.record({ scores: fc.constant(scores), label: fc.integer({ min: -1, max: scores.length - 1 }) }))
  fc.assert(
    fc.property(fc.array(solution, { minLength: 1, maxLength: 8 }), drawn => {
      const solutions = [{ scores: [0.9], label: -1 }, { scores: [0.1], label: 0 }, ...drawn]
      const scores = solutions.map(({ scores }) => scores)
      const truth = solutions.map(({ label }) => label)
      const f1 = (threshold: number): number =>
        firstErrorF1(
          scores.map(steps => firstBelow(steps, threshold)),
          truth,
        ).f1
      const tried = [-1, 0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1, 1.5]
      close(t, f1(bestThreshold(scores, truth)), Math.max(...tried.map(f1)))
    }),
  )
})

test('a held-out reading names no error by a threshold that its own half has chosen', t => {
  // Every half on its own separates perfectly, but at another height.
  const solutions = Array.from({ length: 40 }, (_, i) => ({
    scores: [i % 2 === 0 ? 0.9 : 0.1],
    label: i % 2 === 0 ? -1 : 0,
  }))
  const scores = solutions.map(({ scores }) => scores)
  const truth = solutions.map(({ label }) => label)
  const { predicted, thresholds } = heldOutPredictions(scores, truth)
  t.deepEqual(predicted, truth)
  t.deepEqual(thresholds, [0.5, 0.5])
  // Labels that scores say nothing about: the same rows flatter themselves, held-out rows do not.
  const noise = Array.from({ length: 60 }, (_, i) => [((i * 37) % 61) / 61])
  const coin = noise.map((_, i) => ((i * i + 3 * i) % 7 < 3 ? -1 : 0))
  const own = bestThreshold(noise, coin)
  const flattered = firstErrorF1(
    noise.map(steps => firstBelow(steps, own)),
    coin,
  ).f1
  t.true(firstErrorF1(heldOutPredictions(noise, coin).predicted, coin).f1 < flattered)
  t.notDeepEqual(heldOutPredictions(noise, coin, { seed: 2 }), heldOutPredictions(noise, coin))
  // One group cannot be split: everything is read by a threshold that nothing has chosen.
  const together = heldOutPredictions([[0.2], [0.8]], [0, -1], { groups: ['p', 'p'] })
  t.true(Number.isNaN(together.thresholds[0]))
})

test('what is no probability is refused, and empty bins are left out', t => {
  for (const predicted of [[1.1], [-0.1], [Number.NaN]]) {
    for (const metric of [brier, logLoss, ece, reliability]) {
      t.is(t.throws(() => metric(predicted, [true]), { instanceOf: SurefootError }).code, 'ERR_INVALID_ARGUMENT')
    }
  }
  t.deepEqual(reliability([0, 0.04, 1], [false, true, true]), [
    { low: 0, high: 0.1, count: 2, score: 0.02, frequency: 0.5 },
    { low: 0.9, high: 1, count: 1, score: 1, frequency: 1 },
  ])
  t.is(logLoss([1, 0], [true, false]), 0)
  t.is(logLoss([0], [true]), Infinity)
  t.is(logLoss([0, 0.5], [true, true], [0, 2]), Math.log(2))
})

test('accuracy at equal budgets lies on the line in log budget, and nowhere beyond what was measured', t => {
  const curve = [
    { budget: 400, accuracy: 0.6 },
    { budget: 100, accuracy: 0.4 },
  ]
  close(t, accuracyAt(curve, 200)!, 0.5)
  t.is(accuracyAt(curve, 100), 0.4)
  t.is(accuracyAt(curve, 400), 0.6)
  t.is(accuracyAt(curve, 99.9), null)
  t.is(accuracyAt(curve, 400.1), null)
  close(t, areaUnderCurve(curve)!, 0.5)
  t.is(areaUnderCurve(curve.slice(1)), null)
  t.is(areaUnderCurve([]), null)
  const dearer = [
    { budget: 200, accuracy: 0.4 },
    { budget: 800, accuracy: 0.7 },
  ]
  const compared = equalBudget(curve, dearer)!
  t.deepEqual([compared.from, compared.to], [200, 400])
  close(t, compared.difference, (0.5 - 0.4 + (0.6 - 0.55)) / 2)
  close(t, equalBudget(dearer, curve)!.difference, -compared.difference)
  t.is(equalBudget(curve, [{ budget: 500, accuracy: 1 }]), null)
  t.is(equalBudget(curve, []), null)
  close(t, equalBudget(curve, [{ budget: 200, accuracy: 0.4 }])!.difference, 0.1)
  t.true(sameBudget(1000, 1009))
  t.false(sameBudget(1000, 1011))
  for (const budgets of [[0, 1], [5, 5], [Number.NaN], [Infinity]]) {
    const points = budgets.map(budget => ({ budget, accuracy: 0.5 }))
    t.is(t.throws(() => accuracyAt(points, 1), { instanceOf: SurefootError }).code, 'ERR_INVALID_ARGUMENT')
  }
})
