import test from 'ava'
import { type Beta, characteristic, type Plan, type Stopping, samplingPlan } from '../src/annotate/stopping.ts'
import { failureOf } from './helpers/fixtures.ts'

const uniform: Beta = { a: 1, b: 1 }
const exact: Stopping = { rule: 'exact' }
const fixed: Stopping = { rule: 'fixed' }

/** All sequences of `k` hits and misses. */
function* sequences(k: number): Generator<readonly number[]> {
  for (let bits = 0; bits < 2 ** k; bits++) yield Array.from({ length: k }, (_, i) => (bits >> i) & 1)
}

/** Where a plan ends on a sequence. */
function end(plan: Plan, sequence: readonly number[]): { count: number; hits: number } {
  let seen = { count: 0, hits: 0 }
  while (plan.more(seen) > 0) seen = { count: seen.count + 1, hits: seen.hits + sequence[seen.count]! }
  return seen
}

/** The chance of a sequence, as a polynomial in p: hits and misses. */
const chanceOf = (sequence: readonly number[], p: number): number =>
  sequence.reduce((product, hit) => product * (hit === 1 ? p : 1 - p), 1)

/** The chance of a sequence under a Beta law, by Pólya's urn. */
function chanceUnder(sequence: readonly number[], { a, b }: Beta): number {
  let [hits, product] = [0, 1]
  for (const [count, hit] of sequence.entries()) {
    const next = (a + hits) / (a + b + count)
    product *= hit === 1 ? next : 1 - next
    hits += hit
  }
  return product
}

const rules: Stopping[] = [
  fixed,
  exact,
  { rule: 'posterior', error: 0.05 },
  { rule: 'posterior', error: 0.2, prior: { a: 0.3, b: 0.8 } },
  { rule: 'hits', hits: 2 },
  { rule: 'hits', hits: 3 },
]

test('What a plan does is computed as by going through every sequence of hits and misses', t => {
  const near = (a: number, b: number, what: string): void => {
    t.true(Math.abs(a - b) < 1e-8, `${what}: ${a}, ${b}`)
  }
  for (const k of [3, 7, 10]) {
    for (const threshold of [0, 0.25, 0.5]) {
      for (const stopping of rules) {
        const plan = samplingPlan({ k, threshold, stopping })
        for (const law of [0, 0.1, 0.5, 0.93, 1, uniform, { a: 0.2, b: 2 }]) {
          let [rollouts, ones, chance] = [0, 0, 0]
          const [differs, of] = [
            [0, 0],
            [0, 0],
          ]
          for (const sequence of sequences(k)) {
            const weight = typeof law === 'number' ? chanceOf(sequence, law) : chanceUnder(sequence, law)
            const seen = end(plan, sequence)
            const whole = sequence.filter(hit => hit === 1).length / k > threshold ? 1 : 0
            rollouts += weight * seen.count
            ones += weight * plan.label(seen)
            of[whole]! += weight
            if (plan.label(seen) !== whole) differs[whole]! += weight
            const ratio = plan.chance(seen)
            chance += ratio ? (weight * ratio.top) / ratio.bottom : 0
          }
          const what = JSON.stringify([k, threshold, stopping, law])
          const found = characteristic(plan, law)
          near(found.rollouts, rollouts, what)
          near(found.ones, ones, what)
          for (const label of [0, 1])
            near(found.differs[label]!, of[label]! > 0 ? differs[label]! / of[label]! : 0, what)
          if (found.chance !== null) near(found.chance, chance, what)
        }
      }
    }
  }
})

test('An exact stop gives the label of all K rollouts for every sequence, and at the first moment at which it is certain', t => {
  for (const k of [1, 2, 5, 9]) {
    for (const threshold of [0, 1 / 8, 1 / 3, 0.5, 0.99]) {
      const plan = samplingPlan({ k, threshold, stopping: exact })
      for (const sequence of sequences(k)) {
        const seen = end(plan, sequence)
        const labels = new Set<boolean>()
        const before = new Set<boolean>()
        for (const other of sequences(k)) {
          const label = other.filter(hit => hit === 1).length / k > threshold
          const agrees = (count: number): boolean => other.slice(0, count).every((hit, i) => hit === sequence[i])
          if (agrees(seen.count)) labels.add(label)
          if (agrees(seen.count - 1)) before.add(label)
        }
        t.is(labels.size, 1)
        t.true(before.size === 2 || seen.count === 0 || k === 0, `${k} ${threshold} ${sequence}`)
        t.is(plan.label(seen) === 1, labels.has(true))
      }
    }
  }
})

test('A threshold is met by more than its share, also where the share is no binary number', t => {
  for (let k = 1; k <= 64; k++) {
    for (let hits = 0; hits < k; hits++) t.is(samplingPlan({ k, threshold: hits / k }).needed, hits + 1)
  }
  t.is(samplingPlan({ k: 10, threshold: 0.7 }).needed, 8)
})

test('Estimates of a chance are unbiased for every chance, for fixed plans and those that end at so many hits', t => {
  for (const k of [2, 8, 33, 128]) {
    for (const stopping of [
      fixed,
      { rule: 'hits', hits: 2 } as const,
      { rule: 'hits', hits: Math.min(k, 5) } as const,
    ]) {
      const plan = samplingPlan({ k, stopping })
      for (const p of [0, 1e-6, 0.01, 0.2, 0.5, 0.87, 1]) {
        t.true(Math.abs(characteristic(plan, p).chance! - p) < 1e-12, `${k} ${JSON.stringify(stopping)} ${p}`)
      }
    }
  }
  // The share of hits itself would not be.
  const plan = samplingPlan({ k: 8, stopping: { rule: 'hits', hits: 2 } })
  let share = 0
  for (const sequence of sequences(8)) {
    const { hits, count } = end(plan, sequence)
    share += (chanceOf(sequence, 0.5) * hits) / count
  }
  t.true(share > 0.55, `${share}`)
  t.is(samplingPlan({ k: 8, stopping: exact }).chance({ count: 8, hits: 0 }), null)
})

test('A posterior stop keeps its error rate among labels of either kind, computed without simulation', t => {
  for (const k of [4, 8, 16, 32, 64, 128]) {
    for (const threshold of [0, 1 / 8, 0.5]) {
      for (const error of [0.01, 0.05, 0.2]) {
        for (const prior of [uniform, { a: 0.2, b: 0.4 }, { a: 5, b: 1 }]) {
          const plan = samplingPlan({ k, threshold, stopping: { rule: 'posterior', error, prior } })
          const { differs, rollouts } = characteristic(plan, prior)
          const what = JSON.stringify([k, threshold, error, prior, differs])
          t.true(
            differs.every(rate => rate <= error),
            what,
          )
          const without = characteristic(samplingPlan({ k, threshold, stopping: exact }), prior).rollouts
          t.true(rollouts <= without + 1e-9, what)
        }
      }
    }
  }
})

test('Stopping early takes at most half of the rollouts where chances are uniform on [0, 1]', t => {
  for (const k of [8, 16, 32, 64, 128]) {
    const saving = k / characteristic(samplingPlan({ k }), uniform).rollouts
    // The mean of min(first hit, K) is the K-th harmonic number.
    const harmonic = Array.from({ length: k }, (_, i) => 1 / (i + 1)).reduce((a, b) => a + b)
    t.true(Math.abs(saving - k / harmonic) < 1e-9)
    t.true(saving >= 2, `${k}: ${saving}`)
  }
  for (const k of [16, 32, 64]) {
    const plan = samplingPlan({ k, threshold: 0.5, stopping: { rule: 'posterior' } })
    t.true(k / characteristic(plan, uniform).rollouts >= 2, 'where half of the rollouts must hit')
  }
})

test('A prior that is all but certain still asks for a rollout', t => {
  for (const prior of [
    { a: 1e300, b: 1 },
    { a: 1, b: 1e300 },
    { a: 1e-300, b: 1e-300 },
  ]) {
    const plan = samplingPlan({ k: 8, stopping: { rule: 'posterior', prior } })
    t.true(plan.more({ count: 0, hits: 0 }) > 0)
    const { rollouts, differs } = characteristic(plan, prior)
    t.true(rollouts >= 1 && differs.every(rate => rate <= 0.05))
  }
})

test('A plan that cannot be is refused', async t => {
  const failure = (options: object): Promise<string> => failureOf((async () => samplingPlan({ k: 8, ...options }))())
  t.regex(await failure({ k: 0 }), /^ERR_INVALID_ARGUMENT: k: must be a whole number from 1 to 4096/)
  t.regex(await failure({ k: 1e9 }), /k: /)
  t.regex(await failure({ threshold: 1 }), /threshold: /)
  t.regex(await failure({ threshold: Number.NaN }), /threshold: /)
  t.regex(
    await failure({ stopping: { rule: 'hits', hits: 1 } }),
    /hits: must be a whole number from 2 to k, which is 8/,
  )
  t.regex(await failure({ stopping: { rule: 'posterior', error: 0.5 } }), /error: /)
  t.regex(await failure({ stopping: { rule: 'posterior', prior: { a: 0, b: 1 } } }), /prior\.a: /)
  t.regex(await failure({ stopping: { rule: 'never' } }), /stopping: /)
})
