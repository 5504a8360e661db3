/** scripts/metrics/oracle.py computes the expected numbers with scipy and scikit-learn, and by going through all subsets. */
import test, { type ExecutionContext } from 'ava'
import { type Aggregate, aggregate } from '../src/aggregate.ts'
import { logisticRegression } from '../src/evaluate/logistic.ts'
import {
  accuracyAt,
  areaUnderCurve,
  auc,
  type BudgetPoint,
  bestOf,
  bestThreshold,
  bootstrap,
  bootstrapMean,
  brier,
  type Candidate,
  cohenKappa,
  crossFit,
  ece,
  equalBudget,
  firstBelow,
  firstErrorF1,
  fleissKappa,
  gPassAtK,
  harmonicMean,
  type Interval,
  logLoss,
  majority,
  mcnemar,
  mean,
  mgPassAtK,
  pairsInOrder,
  passAtK,
  rankedAuc,
  rawAgreement,
  reliability,
  surfaceFeatureNames,
  surfaceFeatures,
  weightedVote,
} from '../src/evaluate/metrics.ts'
import { fixture, readJson } from './helpers/fixtures.ts'

/** The numbers agree to 1e-9. */
function agree(t: ExecutionContext, actual: unknown, expected: unknown, what: string): void {
  if (typeof expected === 'object' && expected !== null) {
    t.deepEqual(Object.keys(actual as object), Object.keys(expected), what)
    for (const [key, value] of Object.entries(expected)) agree(t, (actual as never)[key], value, `${what}.${key}`)
    return
  }
  t.true(Math.abs((actual as number) - (expected as number)) <= 1e-9, `${what}: ${actual} is not ${expected}`)
}

const load = <T>(name: string): T => readJson<T>(fixture(`metrics/${name}.json`))
const range = (length: number): number[] => Array.from({ length }, (_, i) => i)
const sizes = (n: number): number[] => range(n).map(i => i + 1)
const triple = ({ value, low, high }: Interval): number[] => [value, low, high]
const pool = (answers: readonly (string | null)[], correct: readonly boolean[]): Candidate[] =>
  answers.map((answer, i) => ({ answer, correct: correct[i]! }))
const rights = (correct: readonly boolean[]): number => correct.filter(Boolean).length

interface Synthetic {
  classification: { scores: number[]; labels: boolean[]; weights: number[]; expected: Classification }
  agreement: { ratings: number[][]; expected: { raw: number; cohen: number; fleiss: number } }
  mcnemar: { onlyA: number; onlyB: number; p: number }[]
  gPass: { n: number; correct: number; k: number; thresholds: Record<string, number>; mean: number }[]
  votes: {
    answers: (string | null)[]
    correct: boolean[]
    scores: number[]
    rewards: number[]
    expected: Record<'pass' | 'majority' | 'vote' | 'voteOfRewards' | 'best', number[]>
  }[]
  bootstrap: {
    values: number[]
    labels: boolean[]
    resamples: number
    seed: number
    expected: { mean: number[]; auc: number[]; scipy: number[] }
  }
  budget: {
    a: BudgetPoint[]
    b: BudgetPoint[]
    expected: { at: [number, number][]; areas: number[]; equalBudget: unknown }
  }
  logistic: { rows: number[][]; labels: boolean[]; ridge: number; expected: number[] }
}

interface Classification {
  plain: Record<string, number>
  weighted: Record<string, number>
  reliability: unknown
}

const synthetic = load<Synthetic>('synthetic')

test('AUC, Brier, log loss, calibration error and reliability agree with scikit-learn, weighted or not.', t => {
  const { scores, labels, weights, expected } = synthetic.classification
  const all = (weights?: number[]) => ({
    auc: auc(scores, labels, weights),
    brier: brier(scores, labels, weights),
    logLoss: logLoss(scores, labels, weights),
    ece: ece(scores, labels, weights),
  })
  agree(t, all(), expected.plain, 'plain')
  agree(t, all(weights), expected.weighted, 'weighted')
  agree(t, reliability(scores, labels), expected.reliability, 'reliability')
})

test('Kappas and McNemar agree with scikit-learn, scipy and the formula of Fleiss.', t => {
  const { ratings, expected } = synthetic.agreement
  const rater = (number: number): number[] => ratings.map(item => item[number]!)
  t.true(Math.abs(rawAgreement(rater(0), rater(1)) - expected.raw) < 1e-12)
  agree(t, cohenKappa(rater(0), rater(1)), expected.cohen, 'cohen')
  agree(t, fleissKappa(ratings), expected.fleiss, 'fleiss')
  for (const expected of synthetic.mcnemar) {
    const { onlyA, onlyB } = expected
    const a = range(onlyA + onlyB).map(i => i < onlyA)
    agree(
      t,
      mcnemar(
        a,
        a.map(right => !right),
      ),
      expected,
      `mcnemar ${onlyA}:${onlyB}`,
    )
  }
})

test('G-Pass@k and its mean are the tails of the hypergeometric law.', t => {
  for (const { n, correct, k, thresholds, mean } of synthetic.gPass) {
    const what = `${correct} of ${n} at ${k}`
    for (const [threshold, value] of Object.entries(thresholds)) {
      agree(t, gPassAtK(n, correct, k, Number(threshold)), value, `${what}, ${threshold}`)
    }
    agree(t, mgPassAtK(n, correct, k), mean, what)
  }
})

test('Votes and best-of-k of drawn candidates are the means over all subsets, ties, missing answers and doubtful verdicts among them.', t => {
  for (const { answers, correct, scores, rewards, expected } of synthetic.votes) {
    const candidates = pool(answers, correct)
    const at = (value: (k: number) => number): number[] => sizes(answers.length).map(value)
    agree(
      t,
      {
        pass: at(k => passAtK(answers.length, rights(correct), k)),
        majority: at(k => majority(candidates, k)),
        vote: at(k => weightedVote(candidates, scores, k)),
        voteOfRewards: at(k => weightedVote(candidates, rewards, k)),
        best: at(k => bestOf(candidates, scores, k)),
      },
      expected,
      answers.join(),
    )
  }
})

test('Bootstrap intervals are those of the same draws in numpy, and close to those of scipy.', t => {
  const { values, labels, resamples, seed, expected } = synthetic.bootstrap
  agree(t, triple(bootstrapMean(values, { resamples, seed })), expected.mean, 'mean')
  agree(t, triple(bootstrap(values.length, rankedAuc(values, labels), { resamples, seed })), expected.auc, 'auc')
  const { low, high } = bootstrapMean(values)
  // The standard error of a 2.5 % quantile of 10,000 draws is 0.027 standard deviations of the mean; four of them.
  const deviation = (expected.scipy[1]! - expected.scipy[0]!) / (2 * 1.96)
  t.true(Math.abs(low - expected.scipy[0]!) < 4 * 0.027 * deviation)
  t.true(Math.abs(high - expected.scipy[1]!) < 4 * 0.027 * deviation)
})

test('Curves against budget agree with numpy.', t => {
  const { a, b, expected } = synthetic.budget
  for (const [budget, accuracy] of expected.at) agree(t, accuracyAt(a, budget), accuracy, `at ${budget}`)
  agree(t, [areaUnderCurve(a), areaUnderCurve(b)], expected.areas, 'areas')
  agree(t, equalBudget(a, b), expected.equalBudget, 'equal budget')
})

test('Logistic regression agrees with scikit-learn.', t => {
  const { rows, labels, ridge, expected } = synthetic.logistic
  agree(t, rows.map(logisticRegression(rows, labels, ridge)), expected, 'probabilities')
})

interface Gsm8k {
  problems: { answers: (string | null)[]; correct: boolean[]; texts: string[] }[]
  expected: {
    pass: number[][]
    majority: number[][]
    cohen: number[]
    fleiss: number
    mcnemar: number[]
    features: number[][]
    surface: number[]
    surfaceAuc: number
  }
}

test('Four models on GSM8K: pass@k, majority, agreement, McNemar, and the cross-fitted surface baseline.', t => {
  const { problems, expected } = load<Gsm8k>('gsm8k')
  agree(
    t,
    problems.map(({ correct }) => sizes(4).map(k => passAtK(4, rights(correct), k))),
    expected.pass,
    'pass',
  )
  agree(
    t,
    problems.map(({ answers, correct }) => sizes(4).map(k => majority(pool(answers, correct), k))),
    expected.majority,
    'majority',
  )
  const model = (number: number): boolean[] => problems.map(({ correct }) => correct[number]!)
  const pairs = range(4).flatMap(a => range(4).flatMap(b => (a < b ? [[model(a), model(b)] as const] : [])))
  agree(
    t,
    pairs.map(([a, b]) => cohenKappa(a, b)),
    expected.cohen,
    'cohen',
  )
  agree(
    t,
    pairs.map(([a, b]) => mcnemar(a, b).p),
    expected.mcnemar,
    'mcnemar',
  )
  agree(t, fleissKappa(problems.map(({ correct }) => correct)), expected.fleiss, 'fleiss')
  const features = problems.flatMap(({ texts }) => texts.map(text => surfaceFeatures({ steps: text.split('\n') })))
  t.is(features[0]!.length, surfaceFeatureNames.length)
  agree(t, features, expected.features, 'features')
  const labels = problems.flatMap(({ correct }) => correct)
  const groups = problems.flatMap(({ correct }, problem) => correct.map(() => problem))
  const surface = crossFit(features, labels, groups)
  agree(t, surface, expected.surface, 'surface')
  agree(t, auc(surface, labels), expected.surfaceAuc, 'surface AUC')
})

interface MathRm {
  problems: { answers: string[]; correct: boolean[]; rewards: number[] }[]
  expected: Record<'pass' | 'best' | 'majority' | 'vote', number[][]> & { auc: number; pairs: number; gain: number[] }
}

test('Eight solutions under a reward model: every rule at every k, AUC, pairs, and the paired gain with its interval.', t => {
  const { problems, expected } = load<MathRm>('math-rm')
  const at = (rule: (candidates: Candidate[], problem: MathRm['problems'][number], k: number) => number) =>
    problems.map(problem => sizes(8).map(k => rule(pool(problem.answers, problem.correct), problem, k)))
  const votes = (rewards: readonly number[]): number[] => rewards.map(reward => Math.exp(reward - Math.max(...rewards)))
  const best = at((candidates, { rewards }, k) => bestOf(candidates, rewards, k))
  const most = at((candidates, _, k) => majority(candidates, k))
  agree(t, best, expected.best, 'best')
  agree(t, most, expected.majority, 'majority')
  agree(
    t,
    at((_, { correct }, k) => passAtK(8, rights(correct), k)),
    expected.pass,
    'pass',
  )
  agree(
    t,
    at((candidates, { rewards }, k) => weightedVote(candidates, votes(rewards), k)),
    expected.vote,
    'vote',
  )
  const rewards = problems.flatMap(({ rewards }) => rewards)
  const labels = problems.flatMap(({ correct }) => correct)
  agree(t, auc(rewards, labels), expected.auc, 'auc')
  const pairs = problems.map(({ rewards, correct }) => pairsInOrder(rewards, correct))
  const total = (key: 'inOrder' | 'pairs'): number => pairs.reduce((sum, pair) => sum + pair[key], 0)
  agree(t, total('inOrder') / total('pairs'), expected.pairs, 'pairs')
  const gain = best.map((chances, i) => chances[7]! - most[i]![7]!)
  agree(t, triple(bootstrapMean(gain)), expected.gain, 'gain')
})

interface ProcessBench {
  solutions: { label: number; scores: number[] }[]
  expected: { fixed: number[]; best: number; stepAuc: number }
}

test('ProcessBench by the fixed and by the best threshold, and the AUC of its judged steps.', t => {
  const { solutions, expected } = load<ProcessBench>('processbench')
  const scores = solutions.map(({ scores }) => scores)
  const truth = solutions.map(({ label }) => label)
  const at = (threshold: number) =>
    firstErrorF1(
      scores.map(steps => firstBelow(steps, threshold)),
      truth,
    )
  const { wrong, right, f1 } = at(0.5)
  agree(t, [wrong, right, f1], expected.fixed, 'fixed')
  agree(t, at(bestThreshold(scores, truth)).f1, expected.best, 'best')
  const judged = solutions.flatMap(({ scores, label }) =>
    scores.flatMap((score, i) => (label < 0 || i <= label ? [{ score, right: i !== label }] : [])),
  )
  agree(
    t,
    auc(
      judged.map(({ score }) => score),
      judged.map(({ right }) => right),
    ),
    expected.stepAuc,
    'step AUC',
  )
})

interface Golden {
  metrics: {
    processBench: { wrong: number; right: number; f1: number }[]
    processBenchMean: number
    passAtK: { n: number; correct: number; k: number; value: number }
    prmAt3Of5: number[]
    logLoss: { predicted: number[]; outcomes: number[]; value: number }
    aggregates: Record<Aggregate, number> & { scores: number[]; geometricMean: number }
    pure: { scores: number[]; softmin: number }
  }
  waiting: Record<string, unknown>
}

test('The golden vectors of the reference hold.', t => {
  const { metrics, waiting } = load<Golden>('golden')
  const found = metrics.processBench.map(({ wrong, right, f1 }) => {
    agree(t, harmonicMean(wrong, right), f1, 'ProcessBench')
    return Number(harmonicMean(wrong, right).toFixed(2))
  })
  t.deepEqual(found, [82.43, 77.62, 67.46, 66.3])
  agree(t, mean(found), metrics.processBenchMean, 'ProcessBench mean')
  t.true(Math.abs(mean(found) - 73.45) < 0.005)
  const { n, correct, k, value } = metrics.passAtK
  agree(t, passAtK(n, correct, k), value, 'pass@5')
  t.is(passAtK(10, 3, 5).toFixed(6), '0.916667')
  const ranks = range(5).map(rank => {
    const answers = range(5).map(String)
    return bestOf(
      pool(
        answers,
        answers.map((_, i) => i === rank),
      ),
      [0.9, 0.8, 0.7, 0.6, 0.5],
      3,
    )
  })
  agree(t, ranks, metrics.prmAt3Of5, 'prm@3')
  agree(t, ranks, [0.6, 0.3, 0.1, 0, 0], 'prm@3')
  const { predicted, outcomes } = metrics.logLoss
  const loss = logLoss(
    predicted,
    outcomes.map(outcome => outcome === 1),
  )
  agree(t, loss, metrics.logLoss.value, 'BCE')
  t.is(loss.toFixed(6), '0.228393')
  const { scores, geometricMean, ...aggregated } = metrics.aggregates
  for (const [by, value] of Object.entries(aggregated)) agree(t, aggregate(scores, by as Aggregate), value, by)
  agree(
    t,
    [0.216, 0.3, 0.3, 2 / 3],
    (['product', 'min', 'last', 'mean'] as const).map(by => aggregate(scores, by)),
    'p',
  )
  agree(t, aggregate(scores, 'product') ** (1 / scores.length), geometricMean, 'geometric mean')
  agree(t, aggregate(metrics.pure.scores, 'softmin'), metrics.pure.softmin, 'PURE')
  t.is(aggregate([0.9, 0.8, -0.2], 'softmin').toFixed(6), '-0.199936')
  t.log(`waiting for search and annotation: ${Object.keys(waiting).join(', ')}`)
})
