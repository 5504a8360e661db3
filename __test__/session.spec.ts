import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { PRM, type ScoredStep, type Session, type Trace } from '../src/index.ts'
import { native } from '../src/native.ts'
import { checkpoints, failureOf, fixture, referenceCases } from './helpers/fixtures.ts'

const model = fixture('qwen2-linear2')
const problem = 'Tom has 8 pears. He eats 2 pears. How many pears are left?'
const steps = ['Tom has 8 - 2 = 6 left.', 'He had 8 at first.', 'So 6 are left.', 'A: 6']

const texts = (scored: readonly ScoredStep[]): string[] => scored.map(({ text }) => text)
const scoresOf = (scored: readonly ScoredStep[]): number[] => scored.map(({ score }) => score)

test.serial('appends on branches are batched together, and each costs its own tokens', async t => {
  const prm = await PRM.load(model, { cacheBytes: 32_000_001 })
  const root = prm.session(problem)
  await root.append(steps[0]!)
  const { tokens: shared } = await root.score()
  const branches = Array.from({ length: 16 }, () => root.branch())
  const engine = native().Engine.prototype
  const { step } = engine
  let iterations = 0
  engine.step = function () {
    iterations += 1
    return step.call(this)
  }
  try {
    await Promise.all(branches.map((branch, path) => branch.append(`Path ${path}.`)))
  } finally {
    engine.step = step
  }
  t.true(iterations < 16, `${iterations} iterations`)
  const { computed, recomputed, hits } = prm.counters
  const traces = await Promise.all(branches.map(branch => branch.score()))
  const own = traces.reduce((sum, { tokens }) => sum + tokens - shared, 0)
  t.true(computed <= shared + own, `${computed} computed for ${shared} and ${own}`)
  t.is(recomputed, 0)
  t.true(hits >= 16 * shared)
  await prm.dispose()
})

test('an appended step has the score of a full pass, with every checkpoint', async t => {
  for (const name of checkpoints) {
    const prm = await PRM.load(fixture(name))
    const { problem, steps } = referenceCases(name).find(({ steps }) => steps.length > 2 && steps.length < 20)!
    const session = prm.session(problem)
    for (const [index, text] of steps.entries()) {
      const { steps: full } = await prm.score({ problem, steps: steps.slice(0, index + 1) })
      const appended = await session.append(text)
      t.is(appended.text, text)
      t.deepEqual([appended.score], [full.at(-1)!.score], name)
    }
    const whole = await prm.score({ problem, steps })
    const scored = await session.score()
    t.deepEqual(scoresOf(scored.steps), scoresOf(whole.steps))
    t.like(scored, { semantics: whole.semantics, tokens: whole.tokens })
    t.is(scored.aggregate, whole.aggregate)
    await prm.dispose()
  }
})

test('every family grows step by step; outcome models say what to use instead', async t => {
  for (const family of readdirSync(fixture('families'))) {
    const prm = await PRM.load(join(fixture('families'), family), { profile: family })
    if (prm.facts.split === null) {
      t.throws(() => prm.session(problem), {
        code: 'ERR_INVALID_ARGUMENT',
        message: /outcome model.*use score or rerank/,
      })
      await prm.dispose()
      continue
    }
    const session = prm.session(problem)
    for (let end = 1; end <= steps.length; end++) {
      const appended = await session.append(steps[end - 1]!)
      const full = await prm.score({ problem, steps: steps.slice(0, end) })
      t.deepEqual([appended.score], [full.steps.at(-1)!.score], family)
      t.deepEqual(scoresOf((await session.score()).steps), scoresOf(full.steps), family)
    }
    await prm.dispose()
  }
})

test('several steps at once are as many single ones', async t => {
  const prm = await PRM.load(model)
  const together = await prm.session(problem).append(steps)
  const session = prm.session(problem)
  const single: ScoredStep[] = []
  for (const step of steps) single.push(await session.append(step))
  t.deepEqual(texts(together), steps)
  t.deepEqual(scoresOf(together), scoresOf(single))
  t.deepEqual(texts(await session.append(['one more'])), ['one more'])
  await prm.dispose()
})

test('branches share what was there and go on by themselves', async t => {
  const prm = await PRM.load(model)
  const session = prm.session(problem)
  await session.append(steps[0]!)
  const [right, wrong] = [session.branch(), session.branch()]
  await Promise.all([right.append('A: 6'), wrong.append('A: 10'), wrong.branch().append('never mind')])
  t.deepEqual(
    [session, right, wrong].map(({ steps }) => texts(steps)),
    [[steps[0]!], [steps[0]!, 'A: 6'], [steps[0]!, 'A: 10']],
  )
  for (const branch of [right, wrong]) {
    const full = await prm.score({ problem, steps: texts(branch.steps) })
    t.deepEqual(scoresOf(branch.steps), scoresOf(full.steps))
  }
  await prm.dispose()
})

test('appends that overlap are queued in order, and a branch stands behind those under way', async t => {
  const prm = await PRM.load(model)
  const session = prm.session(problem)
  const settled: number[] = []
  const appends = steps.map(async (step, index) => {
    await session.append(step)
    settled.push(index)
  })
  t.deepEqual(session.steps, [])
  const branch = session.branch()
  const last = await branch.append('Done.')
  t.deepEqual(settled, [0, 1, 2, 3])
  t.deepEqual(texts(session.steps), steps)
  t.deepEqual(texts(branch.steps), [...steps, 'Done.'])
  const full = await prm.score({ problem, steps: [...steps, 'Done.'] })
  t.deepEqual([last.score], [full.steps.at(-1)!.score])
  await Promise.all(appends)
  await prm.dispose()
})

test('score waits for the appends under way', async t => {
  const prm = await PRM.load(model)
  const session = prm.session(problem)
  t.regex(await failureOf(session.score()), /ERR_INVALID_ARGUMENT.*no step yet/)
  const append = session.append(steps)
  t.deepEqual(texts((await session.score()).steps), steps)
  await append
  await prm.dispose()
})

test('an append that fails leaves the session as it was, and takes those behind it along', async t => {
  const prm = await PRM.load(model)
  const session = prm.session(problem)
  await session.append(steps[0]!)
  const before = session.steps
  const long = 'word '.repeat(prm.facts.context)
  const appends = [session.append(long), session.append('behind'), session.branch().append('behind as well')]
  const failures = await Promise.all(appends.map(failureOf))
  for (const failure of failures) t.regex(failure, /^ERR_CONTEXT_OVERFLOW/)
  t.is(session.steps, before)
  t.deepEqual((await session.score()).steps, before)
  await session.append(steps[1]!)
  t.deepEqual(texts(session.steps), steps.slice(0, 2))

  // Right after the failure is heard of, while those behind it have not failed yet.
  const [next] = await Promise.all([
    session.append(long).catch(() => session.append(steps[2]!)),
    t.throwsAsync(session.append('behind'), { code: 'ERR_CONTEXT_OVERFLOW' }),
  ])
  t.is(next.text, steps[2]!)
  t.deepEqual(texts(session.steps), steps.slice(0, 3))
  await prm.dispose()
})

test('what is no step is an error before anything is scored', async t => {
  const prm = await PRM.load(model)
  const session = prm.session(problem)
  const bad: [unknown, RegExp][] = [
    ['', /steps\[0\].*blank/],
    [' \n', /blank/],
    [['fine', '\t'], /steps\[1\].*blank/],
    [[], /at least one/],
    [7, /steps\[0\].*number/],
    [undefined, /steps\[0\].*undefined/],
    [[null], /steps\[0\].*null/],
    ['\ud83d', /lone surrogate/],
  ]
  for (const [step, message] of bad) {
    const failure = await failureOf(session.append(step as string))
    t.regex(failure, /^ERR_INVALID_ARGUMENT/)
    t.regex(failure, message)
  }
  t.deepEqual(session.steps, [])
  for (const [call, argument] of [
    [() => prm.session(7 as unknown as string), 'problem'],
    [() => prm.session('\ud83d'), 'problem'],
    [() => prm.session('p', { system: 7 as unknown as string }), 'system'],
    [() => prm.session('p', { aggregate: 'median' as 'mean' }), 'aggregate'],
    [() => prm.session('p', { onOverflow: 'cut' as 'error' }), 'onOverflow'],
  ] as [() => Session, string][]) {
    t.throws(call, { code: 'ERR_INVALID_ARGUMENT', message: new RegExp(`^${argument}`) })
  }
  await prm.dispose()
})

test('an abort before or during an append rejects with its reason and leaves the session as it was', async t => {
  const prm = await PRM.load(model)
  const session = prm.session(problem)
  const reason = new Error('enough')
  await t.throwsAsync(session.append('x', { signal: AbortSignal.abort(reason) }), { is: reason })

  const stop = new AbortController()
  const first = session.append(steps[0]!)
  const queued = session.append('gone', { signal: stop.signal })
  stop.abort(reason)
  await t.throwsAsync(queued, { is: reason })
  t.deepEqual(texts((await session.score()).steps), [steps[0]!])
  await first

  const during = new AbortController()
  const underWay = session.append('gone', { signal: during.signal })
  const behind = session.append('gone too')
  setImmediate(() => during.abort(reason))
  await Promise.all([underWay, behind].map(append => t.throwsAsync(append, { is: reason })))
  await session.append(steps[1]!)
  t.deepEqual(texts(session.steps), steps.slice(0, 2))
  await prm.dispose()
})

test('one signal may stop a whole beam, without a warning of a leak', async t => {
  const prm = await PRM.load(model)
  const warnings: Error[] = []
  const hear = (warning: Error): void => void warnings.push(warning)
  process.on('warning', hear)
  const stop = new AbortController()
  const session = prm.session(problem)
  await session.append(steps[0]!)
  const beam = Array.from({ length: 32 }, (_, path) =>
    session.branch().append(`Path ${path}.`, { signal: stop.signal }),
  )
  const reason = new Error('enough')
  stop.abort(reason)
  for (const append of await Promise.allSettled(beam)) t.deepEqual(append, { status: 'rejected', reason })
  await new Promise(setImmediate)
  process.off('warning', hear)
  t.deepEqual(warnings, [])
  await prm.dispose()
})

test('a session of a disposed PRM is an error, and so are its appends under way', async t => {
  const prm = await PRM.load(model)
  const session = prm.session(problem)
  await session.append(steps[0]!)
  const appends = [session.append(steps[1]!), session.append(steps[2]!)]
  const failures = Promise.all(appends.map(failureOf))
  await prm.dispose()
  for (const failure of await failures) t.regex(failure, /^ERR_DISPOSED/)
  for (const call of [() => session.append('x'), () => session.score()]) {
    await t.throwsAsync<Error>(call, { code: 'ERR_DISPOSED' })
  }
  for (const call of [() => session.branch(), () => prm.session('p')]) t.throws(call, { code: 'ERR_DISPOSED' })
  t.deepEqual(texts(session.steps), [steps[0]!])
})

test('system, aggregate and onOverflow are those of score', async t => {
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  const scoreBoth = async (options: { system?: string; aggregate?: 'max'; onOverflow?: 'truncate-left' }) => {
    const { system, ...rest } = options
    const trace: Trace = { problem, steps, ...(system === undefined ? {} : { system }) }
    const session = prm.session(problem, options)
    await session.append(steps)
    return [await session.score(), await prm.score(trace, rest)] as const
  }
  const [plain] = await scoreBoth({})
  const [told, toldAgain] = await scoreBoth({ system: 'Say only what you know.' })
  t.not(told.tokens, plain.tokens)
  t.is(told.tokens, toldAgain.tokens)
  const [most] = await scoreBoth({ aggregate: 'max' })
  t.is(most.aggregate, Math.max(...scoresOf(most.steps)))

  const long = ['word '.repeat(prm.facts.context)]
  t.regex(await failureOf(prm.session(problem).append(long)), /^ERR_CONTEXT_OVERFLOW/)
  const cut = prm.session(problem, { onOverflow: 'truncate-left' })
  await cut.append(long)
  t.deepEqual(
    (await cut.score()).truncated,
    (await prm.score({ problem, steps: long }, { onOverflow: 'truncate-left' })).truncated,
  )
  t.true((await cut.score()).truncated! > 0)
  await prm.dispose()
})

test('a list of steps that its giver changes afterwards changes nothing', async t => {
  const prm = await PRM.load(model)
  const session = prm.session(problem)
  const given = [...steps]
  const append = session.append(given)
  given.length = 0
  given.push('other')
  t.deepEqual(texts(await append), steps)
  await session.append('last')
  t.deepEqual(texts((await session.score()).steps), [...steps, 'last'])
  await prm.dispose()
})

test('an appended step has the bits of a full pass from nothing, and costs its own tokens', async t => {
  for (const name of checkpoints) {
    const prm = await PRM.load(fixture(name), { cacheBytes: 16_000_001 })
    const plain = await PRM.load(fixture(name), { reuse: false })
    const { problem, steps } = referenceCases(name).find(({ steps }) => steps.length === 50)!
    const session = prm.session(problem)
    const appended: number[] = []
    for (const step of steps) appended.push((await session.append(step)).score)
    const { tokens, ...full } = await plain.score({ problem, steps })
    t.deepEqual(appended, scoresOf(full.steps))
    t.deepEqual(await session.score(), { ...full, tokens })
    t.is(prm.counters.recomputed, 0)
    t.true(prm.counters.computed <= tokens + steps.length, `${prm.counters.computed} for ${tokens} tokens`)
    await Promise.all([prm.dispose(), plain.dispose()])
  }
})
