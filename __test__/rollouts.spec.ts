import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { bisectionJudge } from '../src/annotate/bisection.ts'
import { RolloutSource } from '../src/annotate/rollout-source.ts'
import { byDifficulty, ratioLabel, rolloutJudge } from '../src/annotate/rollouts.ts'
import { SurefootError } from '../src/errors.ts'
import { fromFunction } from '../src/generator/function.ts'
import { failureOf } from './helpers/fixtures.ts'
import { solutionOf, tablePolicy } from './helpers/table-policy.ts'

/** Always right before step 3, never behind. */
const border = (steps: number): number => (steps < 3 ? 1 : 0)

test('Steps up to the first wrong one are labelled, the last one by the answer, and none behind', async t => {
  const policy = tablePolicy(border)
  const found = await rolloutJudge({ policy, k: 4 }).judge(solutionOf(5, false))
  t.is(found.firstError, 2)
  t.deepEqual(found.labels, [1, 1, 0, null, null])
  t.deepEqual(found.rollouts, [{ hits: 1, count: 1 }, { hits: 1, count: 1 }, { hits: 0, count: 4 }, null, null])
  t.deepEqual(
    policy.requests.map(({ prefix, n, until }) => [prefix!.split('\n').length - 1, n, until ?? 'answer']),
    [1, 2, 3, 3, 3, 3].map(steps => [steps, 1, 'answer']),
  )
  t.deepEqual(found.cost.rollouts, 6)
  t.like(found.sampled, { rollouts: 6, policyTokens: found.cost.policyTokens, unstopped: 12 })
  const right = await rolloutJudge({ policy: tablePolicy(() => 1) }).judge(solutionOf(3, true))
  t.deepEqual([right.firstError, right.labels], [-1, [1, 1, 1]])
  const late = await rolloutJudge({ policy: tablePolicy(() => 1) }).judge(solutionOf(3, false))
  t.deepEqual([late.firstError, late.labels], [2, [1, 1, 0]], 'a wrong answer is wrong where nothing before it is')
})

test('All steps are labelled on request, and the rollouts of a step are the same then', async t => {
  const policy = tablePolicy(steps => [0, 0.5, 0.6, 0, 0.4][steps] ?? 0)
  const masked = await rolloutJudge({ policy, k: 8, stopping: { rule: 'fixed' } }).judge(solutionOf(5, false))
  const all = await rolloutJudge({ policy, k: 8, stopping: { rule: 'fixed' }, maskAfterError: false }).judge(
    solutionOf(5, false),
  )
  t.deepEqual(all.labels, [1, 1, 0, 1, 0])
  t.deepEqual(masked.labels, [1, 1, 0, null, null])
  t.deepEqual(all.rollouts!.slice(0, 3), masked.rollouts!.slice(0, 3))
  t.is(all.firstError, 2)
})

test('Soft labels are unbiased estimates over many draws, and name the first error by the threshold', async t => {
  const chances = [0, 0.9, 0.55, 0.2]
  const mean = async (stopping: object): Promise<number[]> => {
    const sums = [0, 0, 0]
    for (let seed = 1; seed <= 400; seed++) {
      const policy = tablePolicy(steps => chances[steps]!)
      const judge = rolloutJudge({
        policy,
        k: 8,
        label: 'soft',
        maskAfterError: false,
        request: { seed },
        ...stopping,
      })
      const { labels } = await judge.judge(solutionOf(4, false))
      for (let step = 0; step < 3; step++) sums[step]! += labels[step]! / 400
    }
    return sums
  }
  for (const stopping of [{}, { stopping: { rule: 'hits', hits: 2 } }]) {
    for (const [step, value] of (await mean(stopping)).entries()) {
      // Four standard errors of the more uncertain plan.
      t.true(Math.abs(value - chances[step + 1]!) < 4 * Math.sqrt(0.25 / 3 / 400), `${step} ${value}`)
    }
  }
  const low = rolloutJudge({ policy: tablePolicy(steps => chances[steps]!), k: 100, label: 'soft', threshold: 0.4 })
  const { firstError, labels } = await low.judge(solutionOf(4, false))
  t.is(firstError, 2)
  t.is(labels[3], null)
})

test('Labels by ratio are 1 from 0.8 times the chance before, exactly, and 0 once it was 0', async t => {
  t.is(ratioLabel({ top: 5, bottom: 8 }, { top: 4, bottom: 8 }, 0.8), 1)
  t.is(ratioLabel({ top: 4, bottom: 8 }, { top: 3, bottom: 8 }, 0.8), 0)
  t.is(ratioLabel({ top: 0, bottom: 8 }, { top: 3, bottom: 8 }, 0.8), 0)
  // What is four fifths is found so for all counts, where a quotient of quotients is not.
  let slips = 0
  for (let before = 1; before <= 128; before++) {
    for (let k = before; k <= 128; k++) {
      if ((before * 4) % 5 !== 0) continue
      const after = (before * 4) / 5
      t.is(ratioLabel({ top: before, bottom: k }, { top: after, bottom: k }, 0.8), 1)
      if (after > 1) t.is(ratioLabel({ top: before, bottom: k }, { top: after - 1, bottom: k }, 0.8), 0)
      if (after / k / (before / k) < 0.8) slips++
    }
  }
  t.true(slips > 0)
  const table = [1, 1, 0.5, 0.5, 0, 0.9]
  const judge = rolloutJudge({
    policy: tablePolicy(steps => table[steps]!),
    k: 64,
    label: 'ratio',
    maskAfterError: false,
  })
  const { labels, firstError, rollouts } = await judge.judge(solutionOf(6, true))
  t.deepEqual([labels[0], labels[1], labels[3]], [1, 0, 0])
  t.deepEqual([labels[4], labels[5], firstError], [0, 0, 1], 'behind a chance of 0 all is wrong')
  t.is(rollouts![4], null, 'and takes no rollouts')
})

test('What two solutions begin with alike is rolled out once, whoever asks first', async t => {
  const policy = tablePolicy(
    steps => (steps < 4 ? 0.5 : 0),
    () => sleep(1),
  )
  const source = new RolloutSource({ policy })
  const judge = rolloutJudge({ source, k: 8 })
  const one = solutionOf(6, false)
  const two = { ...one, id: 'other', steps: [...one.steps.slice(0, 3), 'else', 'and so on'] }
  const found = await Promise.all([judge.judge(one), judge.judge(two), bisectionJudge({ source, k: 8 }).judge(one)])
  const asked = policy.requests.map(({ problem, prefix, path }) => JSON.stringify([problem, prefix, path]))
  t.is(new Set(asked).size, asked.length, 'no draw is made twice')
  t.is(
    found.reduce((sum, { sampled }) => sum + sampled!.rollouts, 0),
    asked.length,
  )
  t.true(found.reduce((sum, { cost }) => sum + cost.rollouts, 0) > asked.length)
  const alone = await rolloutJudge({ policy: tablePolicy(steps => (steps < 4 ? 0.5 : 0)), k: 8 }).judge(two)
  t.deepEqual({ ...alone, sampled: null }, { ...found[1], sampled: null }, 'and what is found is as without company')
  const other = await rolloutJudge({ source, k: 8 }).judge({ ...one, answer: '7' })
  t.true(other.sampled!.rollouts > 0, 'another reference answer is another question')
})

test('Rollouts that are under way ahead of need change no label and no cost', async t => {
  const chance = (steps: number): number => 0.7 / (1 + steps)
  const found = []
  for (const ahead of [1, 3, 16]) {
    const policy = tablePolicy(chance, ({ path }) => sleep(path!.length % 3))
    const { sampled, ...rest } = await rolloutJudge({ policy, k: 16, ahead }).judge(solutionOf(5, false))
    found.push(rest)
    t.is(sampled!.rollouts, policy.requests.length)
    t.true(ahead === 1 ? sampled!.rollouts === rest.cost.rollouts : sampled!.rollouts > rest.cost.rollouts)
  }
  t.deepEqual(found[1], found[0])
  t.deepEqual(found[2], found[0])
})

test('K follows how often the bare problem is solved', async t => {
  for (const [p, k] of [
    [0, 128],
    [0.5, 64],
    [1, 32],
  ] as const) {
    const policy = tablePolicy(steps => (steps === 0 ? p : 0))
    const { rollouts, cost } = await rolloutJudge({ policy, k: byDifficulty }).judge(solutionOf(3, false))
    t.deepEqual(rollouts![0], { hits: 0, count: k })
    t.is(cost.rollouts, 32 + k, 'the pilot among them')
  }
})

test('The end of a solution is told by its record, else by an answer that is marked; else the policy goes on', async t => {
  const judge = (policy = tablePolicy(() => 1)) => rolloutJudge({ policy, k: 2, stopping: { rule: 'fixed' } })
  const steps = (last: string) => ({ ...solutionOf(1), steps: ['six times seven', last] })
  t.deepEqual((await judge().judge(steps('The answer is 42'))).rollouts![1], null)
  t.deepEqual((await judge().judge(steps('\\boxed{41}'))).labels, [1, 0])
  const policy = tablePolicy(() => 1)
  const open = await judge(policy).judge(steps('which leaves 36 + 6'))
  t.deepEqual(open.rollouts![1], { hits: 2, count: 2 })
  t.is(policy.requests.at(-1)!.prefix, 'six times seven\nwhich leaves 36 + 6', 'without the end of a step')
})

test('A rollout that is cut off is no hit, and answers are compared by what they mean', async t => {
  const writes = (text: string, ended: 'answer' | 'length') =>
    rolloutJudge({
      policy: fromFunction(() => ({ text, ended }), { id: 'f', capabilities: { prefill: true }, separator: '\n' }),
      k: 2,
    }).judge(solutionOf(2, false))
  t.deepEqual((await writes('The answer is $\\frac{84}{2}$.', 'answer')).labels, [1, 0])
  t.deepEqual((await writes('The answer is 42', 'length')).labels, [0, null])
  t.deepEqual((await writes('The answer is 142', 'answer')).labels, [0, null])
})

test('What cannot be judged says why; what is not about the solution is thrown', async t => {
  const judge = rolloutJudge({ policy: tablePolicy(() => 1) })
  t.like(await judge.judge({ ...solutionOf(2), answer: null }), {
    firstError: null,
    labels: [null, null],
    failure: { code: 'NO_ANSWER' },
  })
  t.like(await judge.judge({ ...solutionOf(2), steps: [] }), { firstError: null, failure: { code: 'NO_STEPS' } })
  const failing = (code: 'ERR_CONTEXT_OVERFLOW' | 'ERR_HTTP') =>
    rolloutJudge({
      policy: tablePolicy(
        () => 1,
        ({ prefix }) => {
          if (prefix!.includes('step 1')) throw new SurefootError(code, 'no')
        },
      ),
    }).judge(solutionOf(3, false))
  const long = await failing('ERR_CONTEXT_OVERFLOW')
  t.like(long, { firstError: null, failure: { code: 'ERR_CONTEXT_OVERFLOW' } })
  t.is(long.cost.rollouts, 1, 'what was sampled until then is counted')
  t.is(await failureOf(failing('ERR_HTTP')), 'ERR_HTTP: no')
  const blind = rolloutJudge({ policy: fromFunction(() => 'x', { id: 'whole' }) })
  t.regex(await failureOf(blind.judge(solutionOf(2))), /^ERR_CAPABILITY: a rollout from a step needs .*prefill/)
})

test('Who gives up takes nothing from another who waits for the same rollout', async t => {
  let release = (): void => {}
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  const first = new AbortController()
  const policy = tablePolicy(
    () => 1,
    async ({ path }) => {
      if (policy.requests.length === 1) await gate
      t.is(path, ' 0')
    },
  )
  const source = new RolloutSource({ policy })
  const judge = rolloutJudge({ source, k: 1 })
  const a = judge.judge(solutionOf(2, false), { signal: first.signal })
  const b = judge.judge(solutionOf(2, false))
  await sleep(5)
  first.abort(new Error('enough'))
  release()
  t.is(await failureOf(a), 'Error: enough')
  t.deepEqual((await b).labels, [1, 0])
})

test('Options that do not go together are refused', async t => {
  const policy = tablePolicy(() => 1)
  const failure = (options: object): Promise<string> => failureOf((async () => rolloutJudge({ policy, ...options }))())
  t.regex(
    await failure({ label: 'soft', stopping: { rule: 'exact' } }),
    /stopping: exact is for hard labels, not for soft/,
  )
  t.regex(await failure({ label: 'ratio', stopping: { rule: 'posterior' } }), /stopping: posterior is for hard labels/)
  t.regex(await failure({ label: 'firm' }), /label: must be/)
  t.regex(await failure({ source: new RolloutSource({ policy }) }), /policy: belongs to the source/)
  t.regex(await failure({ policy: undefined }), /policy: is missing/)
  t.regex(await failure({ request: { temperature: -1 } }), /temperature/)
  t.regex(await failure({ ahead: 0 }), /ahead: /)
  t.regex(
    await failure({
      k: {
        pilot: 8,
        bands: [
          { below: 0.5, k: 8 },
          { below: 0.2, k: 4 },
        ],
        k: 2,
      },
    }),
    /k\.bands: /,
  )
})
