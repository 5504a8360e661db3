import test from 'ava'
import { bisectionJudge, findBorder } from '../src/annotate/bisection.ts'
import { failureOf } from './helpers/fixtures.ts'
import { solutionOf, tablePolicy } from './helpers/table-policy.ts'

test('A border among T + 1 items is found in at most ceil(log2(T + 1)) tests, and in as many for some', async t => {
  for (let end = 1; end <= 70; end++) {
    let most = 0
    for (let border = 0; border <= end; border++) {
      let tests = 0
      const isGood = async (item: number): Promise<boolean> => {
        tests++
        t.true(item >= 0 && item < end, 'the end is known')
        return item < border
      }
      t.is(await findBorder(end, isGood, async () => false), border)
      most = Math.max(most, tests)
    }
    t.is(most, Math.ceil(Math.log2(end + 1)), `${end}`)
  }
})

/**
 * Where the search ends when these tests and re-tests come out so, written without looking at ours: of the items that are
 * still called bad take the first, narrow it down by halves, and go behind it when the re-test calls it good.
 */
function reference(end: number, first: readonly boolean[], again: readonly boolean[]): number {
  const search = (low: number, high: number): number => {
    if (high - low === 1) return high
    const middle = Math.floor((low + high) / 2)
    if (first[middle]) return search(middle, high)
    const found = search(low, middle)
    return found === middle && again[middle] ? search(middle, high) : found
  }
  return search(-1, end)
}

/** Chance of each outcome vector by chances of a hit, over all vectors of tests and re-tests. */
async function exactly(chances: readonly number[], k: number): Promise<{ found: number[]; retests: number }> {
  const end = chances.length
  const found = new Array<number>(end + 1).fill(0)
  let most = 0
  for (let bits = 0; bits < 4 ** end; bits++) {
    const first = chances.map((_, item) => ((bits >> item) & 1) === 1)
    const again = chances.map((_, item) => ((bits >> (end + item)) & 1) === 1)
    let chance = 1
    for (const [item, p] of chances.entries()) {
      chance *= first[item] ? 1 - (1 - p) ** k : (1 - p) ** k
      chance *= again[item] ? 1 - (1 - p) ** (2 * k) : (1 - p) ** (2 * k)
    }
    if (chance === 0) continue
    let retests = 0
    const border = await findBorder(
      end,
      async item => first[item]!,
      async item => {
        retests++
        return again[item]!
      },
    )
    most = Math.max(most, retests)
    if (border !== reference(end, first, again)) throw new Error(`${border} for ${first} ${again}`)
    found[border]! += chance
  }
  return { found, retests: most }
}

test('The border is found with the stated chance, computed over all outcomes of tests and re-tests', async t => {
  for (const [chances, k] of [
    [[0.9, 0.5, 0.3, 0.3, 0, 0], 4],
    [[0.4, 0.1, 0, 0, 0], 8],
    [[0.2, 0.2, 0.2, 0.2, 0.2, 0.2], 2],
    [[0, 0, 0], 8],
    [[0.7], 1],
  ] as const) {
    const border = (chances as readonly number[]).indexOf(0)
    const truth = border < 0 ? chances.length : border
    const { found, retests } = await exactly(chances, k)
    t.true(Math.abs(found.reduce((a, b) => a + b) - 1) < 1e-12)
    t.is(
      found.slice(truth + 1).reduce((a, b) => a + b, 0),
      0,
      'never behind the border',
    )
    // To be found too early, a good item must miss 3K times, and be among those that are tested.
    const bound = (chances as readonly number[]).slice(0, truth).reduce((sum, p) => sum + (1 - p) ** (3 * k), 0)
    t.true(found[truth]! >= 1 - bound - 1e-12, `${chances}: ${found[truth]} against ${1 - bound}`)
    t.true(retests <= chances.length)
  }
})

test('A re-test that contradicts sends the search on behind the border, among what is left', async t => {
  const log: string[] = []
  const border = await findBorder(
    8,
    async item => {
      log.push(`${item}`)
      return item < 6 && item !== 3
    },
    async item => {
      log.push(`again ${item}`)
      return item === 3
    },
  )
  t.is(border, 6)
  t.deepEqual(log, ['3', '1', '2', 'again 3', '5', '6', 'again 6'])
})

test('The judge rolls out K a test and 2K fresh ones at the border, and labels as far as it knows', async t => {
  const policy = tablePolicy(steps => (steps < 5 ? 1 : 0))
  const found = await bisectionJudge({ policy, k: 4, stopping: { rule: 'fixed' } }).judge(solutionOf(8, false))
  t.is(found.firstError, 4)
  t.deepEqual(found.labels, [1, 1, 1, 1, 0, null, null, null])
  // Tests at 3, 5 and 4 of 0 … 8, and 5 once more.
  t.deepEqual(found.rollouts, [
    null,
    null,
    { hits: 4, count: 4 },
    { hits: 4, count: 4 },
    { hits: 0, count: 12 },
    null,
    null,
    null,
  ])
  t.is(found.cost.rollouts, 4 * 3 + 8)
  const paths = policy.requests.filter(({ prefix }) => prefix!.includes('step 4')).map(({ path }) => path)
  t.is(new Set(paths).size, 12, 'the re-test draws anew')
  const quick = await bisectionJudge({ policy: tablePolicy(steps => (steps < 5 ? 1 : 0)), k: 4 }).judge(
    solutionOf(8, false),
  )
  t.is(quick.firstError, 4)
  t.is(quick.cost.rollouts, 1 + 4 + 1 + 8, 'one hit is enough')
  const once = await bisectionJudge({ policy: tablePolicy(steps => (steps < 5 ? 1 : 0)), k: 4, retest: false }).judge(
    solutionOf(8, false),
  )
  t.is(once.cost.rollouts, 1 + 4 + 1)
})

test('How often the judge is right is what the exact chance says', async t => {
  const chances = [0.6, 0.25, 0.25, 0, 0, 0]
  const { found } = await exactly(chances, 2)
  const runs = 600
  let right = 0
  for (let run = 0; run < runs; run++) {
    const judge = bisectionJudge({ policy: tablePolicy(steps => chances[steps]!), k: 2 })
    const { firstError } = await judge.judge(solutionOf(6, false, `problem ${run}`))
    if (firstError === 2) right++
  }
  const expected = found[3]!
  t.true(expected > 0.5 && expected < 0.95, 'there is something to get wrong')
  t.true(
    Math.abs(right / runs - expected) < 4 * Math.sqrt((expected * (1 - expected)) / runs),
    `${right / runs} ${expected}`,
  )
})

test('A right answer is said to be without an error, and nothing is rolled out', async t => {
  const policy = tablePolicy(() => 0)
  const found = await bisectionJudge({ policy }).judge(solutionOf(4, true))
  t.deepEqual([found.firstError, found.labels, found.cost.rollouts], [-1, [1, 1, 1, 1], 0])
  t.is(policy.requests.length, 0)
})

test('Without an answer the whole solution is in question too; a problem that is not solved leaves nothing to say', async t => {
  const open = { ...solutionOf(3), steps: ['a', 'b', 'c'] }
  const fine = await bisectionJudge({ policy: tablePolicy(() => 1) }).judge(open)
  t.deepEqual([fine.firstError, fine.labels], [-1, [1, 1, 1]])
  const last = await bisectionJudge({ policy: tablePolicy(steps => (steps < 3 ? 1 : 0)) }).judge(open)
  t.is(last.firstError, 2)
  const hard = await bisectionJudge({ policy: tablePolicy(() => 0), k: 4 }).judge(solutionOf(3, false))
  t.like(hard, { firstError: null, labels: [null, null, null], failure: { code: 'UNSOLVED' } })
  t.is(hard.cost.rollouts, 2 * 4 + 8)
})

test('Options that cannot be are refused', async t => {
  const policy = tablePolicy(() => 1)
  const failure = (options: object): Promise<string> =>
    failureOf((async () => bisectionJudge({ policy, ...options }))())
  t.regex(await failure({ stopping: { rule: 'hits', hits: 2 } }), /stopping: hits is for soft labels/)
  t.regex(await failure({ k: 0 }), /k: /)
  t.regex(await failure({ k: 4000 }), /k: /)
})
