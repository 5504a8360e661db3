import test from 'ava'
import {
  type Budget,
  beam,
  bestOfN,
  dvts,
  fromFunction,
  majority,
  mcts,
  Policy,
  PRM,
  rebase,
  refine,
  type SearchEvent,
  type Solved,
  type Strategy,
  SurefootError,
  solve,
  weightedVote,
} from '../src/index.ts'
import type { StepScorer } from '../src/scorer.ts'

const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. 8 frogs sit by it. How many fish swim there now?'
const sampling = { temperature: 1 }

const strategies: Readonly<Record<string, Strategy>> = {
  bestOfN: bestOfN({ n: 12 }),
  majority: majority({ n: 12 }),
  weightedVote: weightedVote({ n: 12 }),
  beam: beam(),
  'beam, looking ahead': beam({ width: 2, lookahead: 1 }),
  dvts: dvts(),
  rebase: rebase(),
  'mcts by uct': mcts({ simulations: 16 }),
  'mcts by puct': mcts({ simulations: 16, select: { by: 'puct' } }),
  'mcts with rollouts': mcts({ simulations: 8, value: 'rollout' }),
  refine: refine({ rounds: 3 }),
}

/** All of a result but the time that it took. */
function timeless({ spent: { ms: _, ...spent }, ...solved }: Solved): object {
  return { ...solved, spent }
}

for (const [name, strategy] of Object.entries(strategies)) {
  test(`${name}: an answer, its steps and the tree hold together`, async t => {
    await using policy = await Policy.load()
    await using prm = await PRM.load()
    const solved = await solve(problem, { policy, prm, strategy, sampling })
    t.is(solved.finish, 'complete')
    t.true(solved.finished)
    t.true(solved.solutions.length > 0)
    t.true(solved.solutions.some(({ node }) => node === solved.solution!.node))
    for (const solution of solved.solutions) {
      t.deepEqual(
        solution.steps.map(({ text }) => text),
        solution.text.split('\n').filter(step => step.trim() !== ''),
      )
      const way: string[] = []
      for (let at: number | null = solution.node; at !== null && at !== 0; ) {
        const node: Solved['trace'][number] = solved.trace.find(other => other.node === at)!
        way.unshift(node.text)
        at = node.parent
      }
      t.is(way.join(''), solution.text)
    }
    t.is(solved.answer, solved.solution!.answer)
    t.true(solved.spent.policyTokens > 0 && solved.spent.overruns === 0)
    if (name === 'majority') t.is(solved.spent.prmTokens, 0)
    else {
      // What the search was told is what the PRM says of the whole.
      const { text, steps } = solved.solution!
      const whole = await prm.score({ problem, solution: text })
      for (const [index, { score }] of steps.entries()) {
        if (score !== null) t.is(score, whole.steps[index]!.score)
      }
    }
  })

  test(`${name}: the same seed gives the same tree, whatever runs beside it and however many requests at once`, async t => {
    await using policy = await Policy.load()
    await using prm = await PRM.load()
    const run = (concurrency: number, seed = 5): Promise<Solved> =>
      Promise.resolve(solve(problem, { policy, prm, strategy, sampling, concurrency, seed }))
    const [one, many, other] = await Promise.all([run(1), run(100), run(16, 6)])
    t.deepEqual(timeless(many), timeless(one))
    t.notDeepEqual(timeless(other), timeless(one))
  })
}

test('a budget is kept: no cap is passed, and the best so far is the answer', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const budgets: [Budget, keyof Solved['spent']][] = [
    [{ policyTokens: 150 }, 'policyTokens'],
    [{ prmTokens: 150 }, 'prmTokens'],
    [{ generations: 5 }, 'generations'],
    [{ flops: 4e8 }, 'flops'],
  ]
  for (const [budget, what] of budgets) {
    for (const strategy of [bestOfN({ n: 50 }), beam({ width: 8 }), mcts(), rebase(), dvts()]) {
      const solved = await solve(problem, { policy, prm, strategy, budget: { generations: 200, ...budget }, sampling })
      const limit = Object.values(budget)[0] as number
      t.true(solved.spent[what] <= limit, `${strategy.strategy} ${what}: ${solved.spent[what]} of ${limit}`)
      t.is(solved.spent.overruns, 0)
      t.not(solved.finish, 'aborted')
    }
  }
})

test('when the time is over the search ends with what is there', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const strategy = mcts({ widening: { factor: 4, exponent: 1, most: 1000 } })
  const solved = await solve(problem, { policy, prm, strategy, budget: { ms: 400 }, sampling })
  t.like(solved, { finish: 'budget', limit: 'ms' })
  t.true(solved.spent.ms >= 400)
  t.true(solved.trace.length > 0)
})

test('stop ends a search with the best so far, an abort rejects with its reason', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const strategy = mcts({ widening: { factor: 4, exponent: 1, most: 1000 } })
  const options = { policy, prm, strategy, budget: { generations: 100_000 }, sampling }
  const run = solve(problem, options)
  setTimeout(() => run.stop(), 100)
  const solved = await run
  t.is(solved.finish, 'aborted')
  t.true(solved.trace.length > 0)
  const stop = new AbortController()
  const reason = new Error('enough')
  setTimeout(() => stop.abort(reason), 50)
  await t.throwsAsync(Promise.resolve(solve(problem, { ...options, signal: stop.signal })), { is: reason })
  await t.throwsAsync(Promise.resolve(solve(problem, { ...options, signal: stop.signal })), { is: reason })
  t.is((await policy.sample({ problem, maxTokens: 3 }))[0]!.tokens, 3)
})

test('what happens is told from the beginning, in order, with its text', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const run = solve(problem, { policy, prm, strategy: beam(), sampling })
  const events: SearchEvent[] = []
  for await (const event of run) events.push(event)
  const solved = await run
  const again: SearchEvent[] = []
  for await (const event of run) again.push(event)
  t.deepEqual(again, events)
  const sampled = events.filter(event => event.type === 'sampled')
  t.is(sampled.length, solved.trace.length - 1)
  for (const event of sampled) {
    t.is(event.text, solved.trace.find(({ node }) => node === (event as { node: number }).node)!.text)
  }
  t.is(events.at(-1)!.type, 'chosen')
  t.true(events.some(({ type }) => type === 'pruned') && events.some(({ type }) => type === 'scored'))
})

test('one failed continuation costs its path, and all of them an answer', async t => {
  await using prm = await PRM.load()
  let calls = 0
  const flaky = (fails: (call: number) => boolean) =>
    fromFunction(
      () => {
        if (fails(calls++)) throw new SurefootError('ERR_HTTP', 'the server is down')
        return 'New are 9 * 2 = 18.\nNow there are 9 + 18 = 27.\nLeft are 27 - 5 = 22.\nA: 22'
      },
      { id: 'flaky', separator: '\n' },
    )
  const strategy = bestOfN({ n: 6, batch: 6 })
  const some = await solve(problem, { policy: flaky(call => call % 2 === 0), prm, strategy })
  t.is(some.answer, '22')
  t.true(some.spent.failures > 0 && some.solutions.length + some.spent.failures === 6)
  const none = await solve(problem, { policy: flaky(() => true), prm, strategy })
  t.like(none, { answer: null, solution: null, finished: false })
  t.is(none.spent.failures, 6)
  const bug = fromFunction(
    () => {
      throw new TypeError('a bug')
    },
    { id: 'bug' },
  )
  await t.throwsAsync(Promise.resolve(solve(problem, { policy: bug, prm, strategy })), { message: /a bug/ })
})

test('a scorer of your own takes the place of the PRM, and one that is wrong is refused', async t => {
  await using policy = await Policy.load()
  const facts = { semantics: 'probability', threshold: 0.5, split: '\n', aggregate: 'min' } as const
  const scorer = (score: (step: string) => number): StepScorer => ({
    facts,
    score: async traces =>
      traces.map(({ steps }) => ({ steps: steps.map(step => ({ score: score(step) })), tokens: steps.length })),
  })
  const short = scorer(step => 1 / (1 + step.length))
  const solved = await solve(problem, { policy, prm: short, strategy: beam({ width: 2 }), sampling })
  t.true(solved.solution!.steps.every(({ text, score }) => Math.abs(score! - 1 / (1 + text.length)) < 1e-6))
  const wrong = scorer(() => Number.NaN)
  await t.throwsAsync(Promise.resolve(solve(problem, { policy, prm: wrong, strategy: beam() })), {
    code: 'ERR_INVALID_ARGUMENT',
  })
})

test('a policy that cannot go on with an answer is refused by strategies that need it', async t => {
  const chat = fromFunction(() => 'A: 22', { id: 'chat', separator: '\n' })
  await using prm = await PRM.load()
  for (const strategy of [beam(), dvts(), rebase(), mcts({ simulations: 3 }), refine()]) {
    const error = await t.throwsAsync(Promise.resolve(solve(problem, { policy: chat, prm, strategy })), {
      code: 'ERR_CAPABILITY',
    })
    t.regex((error as Error).message, /best-of-n or majority/)
  }
  t.is((await solve(problem, { policy: chat, strategy: majority({ n: 3 }) })).answer, '22')
})

test('bad options name themselves', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const good = { policy, prm, strategy: bestOfN({ n: 1 }) }
  const bad: [string, object][] = [
    ['policy', { policy: {} }],
    ['prm', { prm: 7 }],
    ['prm', { prm: undefined }],
    ['strategy', { strategy: 'beam' }],
    ['strategy', { strategy: { strategy: 'guess' } }],
    ['strategy', { strategy: { strategy: 'beam', wide: 3 } }],
    ['n', { strategy: bestOfN({ n: 0 }) }],
    ['choose', { strategy: beam({ choose: 'visits' }) }],
    ['budget', { strategy: mcts() }],
    ['budget', { budget: { tokens: 5 } }],
    [
      'costs',
      { prm: { ...prm, facts: { ...prm.facts, parameters: undefined }, score: prm.score }, budget: { flops: 1 } },
    ],
    ['seed', { seed: 0.5 }],
    ['concurrency', { concurrency: 0 }],
  ]
  for (const [argument, change] of bad) {
    const error = await t.throwsAsync(Promise.resolve(solve(problem, { ...good, ...change } as never)), {
      code: 'ERR_INVALID_ARGUMENT',
    })
    t.is((error as SurefootError).data.argument, argument, `${JSON.stringify(change)}: ${(error as Error).message}`)
  }
})
