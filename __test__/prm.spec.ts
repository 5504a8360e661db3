import test from 'ava'
import { type LoadOptions, PRM, type ScoredTrace, SurefootError, type Trace } from '../src/index.ts'
import { native } from '../src/native.ts'
import { checkpoints, failureOf, fixture, largestDifference, referenceCases } from './helpers/fixtures.ts'

const scores = ({ steps }: ScoredTrace): number[] => steps.map(step => step.score)
const isCode =
  (code: string) =>
  (error: unknown): boolean =>
    SurefootError.isInstance(error) && error.code === code

for (const name of checkpoints) {
  test(`${name}: scores are those of the reference`, async t => {
    const prm = await PRM.load(fixture(name))
    for (const { problem, steps, scores: expected, ids } of referenceCases(name)) {
      const result = await prm.score({ problem, steps })
      t.true(largestDifference(scores(result), expected) <= 1e-4)
      t.deepEqual(
        result.steps.map(step => step.text),
        steps,
      )
      t.is(result.tokens, ids.length)
    }
    await prm.dispose()
  })

  test(`${name}: batch and order change no score`, async t => {
    const prm = await PRM.load(fixture(name))
    const cases = referenceCases(name)
    const together = await prm.score(cases)
    const reversed = (await prm.score(cases.toReversed())).toReversed()
    for (const [index, one] of cases.entries()) {
      const alone = scores(await prm.score(one))
      t.deepEqual(scores(together[index]!), alone)
      t.deepEqual(scores(reversed[index]!), alone)
    }
    await prm.dispose()
  })
}

test('the facts say what was recognised, and from which evidence', async t => {
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  t.like(prm.facts, {
    family: 'qwen2',
    head: 'mlp2',
    profile: 'qwen-prm',
    dtype: 'f32',
    device: 'cpu',
    semantics: 'probability',
    threshold: 0.5,
    split: '\n\n',
    aggregate: 'product',
  })
  t.regex(prm.facts.evidence, /score\.2\.weight \[2, 32\]/)
  await prm.dispose()
})

test('without a reference the embedded model is loaded', async t => {
  const prm = await PRM.load()
  t.like(prm.facts, { head: 'linear2', profile: 'trl', dtype: 'bf16' })
  const { steps } = await prm.score({ problem: 'Tom has 5 apples.', solution: 'Tom has 5 apples.\nA: 5\n' })
  t.is(steps.length, 2)
  await prm.dispose()
})

test('a solution is split where the profile says, and blank pieces are no steps', async t => {
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  const split = await prm.score({ problem: 'p', solution: '\n\none\nstill one \n\n\n\ntwo\n\n' })
  const given = await prm.score({ problem: 'p', steps: ['one\nstill one', 'two'] })
  t.deepEqual(
    split.steps.map(step => step.text),
    given.steps.map(step => step.text),
  )
  t.is(split.tokens, given.tokens)
  t.deepEqual(scores(split), scores(given))
  await prm.dispose()
})

test('the separator of the profile can be chosen', async t => {
  const prm = await PRM.load(fixture('qwen2-linear2'), { profile: { separator: '\n\n' } })
  t.is(prm.facts.split, '\n\n')
  const { tokens } = await prm.score({ problem: 'p', steps: ['one', 'two'] })
  t.true(tokens > 4)
  await prm.dispose()
})

test('the aggregate is the profile’s, or what the call asks for', async t => {
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  const trace: Trace = { problem: 'What is 2 + 2?', steps: ['2 + 2 = 4', 'The answer is 4.'] }
  const [a, b] = scores(await prm.score(trace)) as [number, number]
  t.is((await prm.score(trace)).aggregate, a * b)
  t.is((await prm.score(trace, { aggregate: 'min' })).aggregate, Math.min(a, b))
  await t.throwsAsync(prm.score(trace, { aggregate: 'median' as 'mean' }), { message: /median/ })
  await prm.dispose()
})

test('scoreMany yields in order, in flat memory, and tells its progress', async t => {
  const prm = await PRM.load(fixture('llama-linear2'))
  let [taken, yielded, most] = [0, 0, 0]
  async function* traces(): AsyncGenerator<Trace> {
    for (let index = 0; index < 100; index++) {
      taken += 1
      most = Math.max(most, taken - yielded)
      yield { problem: `problem ${index}`, steps: Array.from({ length: 1 + (index % 3) }, (_, step) => `step ${step}`) }
    }
  }
  const seen: number[] = []
  let last = 0
  for await (const result of prm.scoreMany(traces(), { width: 8, onProgress: ({ done }) => (last = done) })) {
    yielded += 1
    seen.push(result.steps.length)
  }
  t.deepEqual(
    seen,
    Array.from({ length: 100 }, (_, index) => 1 + (index % 3)),
  )
  t.true(most <= 9)
  t.is(last, 100)
  await prm.dispose()
})

test('scoreMany ends with the first trace that fails, and stops when the consumer does', async t => {
  const prm = await PRM.load(fixture('llama-linear2'))
  const traces: Trace[] = [
    { problem: 'p', steps: ['s'] },
    { problem: 'p', steps: [] },
    { problem: 'p', steps: ['s'] },
  ]
  const seen: unknown[] = []
  const error = await t.throwsAsync(async () => {
    for await (const result of prm.scoreMany(traces)) seen.push(result)
  })
  t.true(isCode('ERR_INVALID_ARGUMENT')(error))
  t.is(seen.length, 1)
  for await (const _ of prm.scoreMany(Array.from({ length: 50 }, () => traces[0]!))) break
  t.is((await prm.score(traces[0]!)).steps.length, 1)
  await prm.dispose()
})

test('progress counts every trace and its tokens', async t => {
  const prm = await PRM.load(fixture('llama-linear2'))
  const progress: { done: number; total?: number; tokens: number }[] = []
  const results = await prm.score(
    [1, 2, 3].map(n => ({ problem: 'p', steps: [`s${n}`] })),
    { onProgress: event => progress.push(event) },
  )
  t.deepEqual(
    progress.map(({ done, total }) => [done, total]),
    [
      [1, 3],
      [2, 3],
      [3, 3],
    ],
  )
  t.is(
    progress.at(-1)!.tokens,
    results.reduce((sum, result) => sum + result.tokens, 0),
  )
  await prm.dispose()
})

test('several models work side by side', async t => {
  const models = await Promise.all(checkpoints.map(name => PRM.load(fixture(name))))
  const results = await Promise.all(models.map((prm, index) => prm.score(referenceCases(checkpoints[index]!))))
  for (const [index, name] of checkpoints.entries()) {
    for (const [at, { scores: expected }] of referenceCases(name).entries()) {
      t.true(largestDifference(scores(results[index]![at]!), expected) <= 1e-4)
    }
  }
  await Promise.all(models.map(prm => prm.dispose()))
})

test('after dispose every call is an error, and dispose may be called twice', async t => {
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  const trace: Trace = { problem: 'p', steps: ['s'] }
  const underWay = prm.score(Array.from({ length: 200 }, () => trace))
  await Promise.all([prm.dispose(), t.throwsAsync(underWay).then(error => t.true(isCode('ERR_DISPOSED')(error)))])
  await prm[Symbol.asyncDispose]()
  for (const call of [() => prm.score(trace), () => prm.rerank('p', ['s']), () => prm.scoreMany([trace]).next()]) {
    t.true(isCode('ERR_DISPOSED')(await t.throwsAsync<Error>(call)))
  }
})

test('an abort before, during or after scoring does what it should', async t => {
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  const trace: Trace = { problem: 'p', steps: ['s'] }
  const reason = new Error('enough')
  await t.throwsAsync(prm.score(trace, { signal: AbortSignal.abort(reason) }), { is: reason })
  await t.throwsAsync(PRM.load(fixture('qwen2-mlp2'), { signal: AbortSignal.abort(reason) }), { is: reason })

  const during = new AbortController()
  const [long] = referenceCases('qwen2-mlp2').filter(({ steps }) => steps.length === 50)
  const underWay = prm.score(
    Array.from({ length: 100 }, () => long!),
    { signal: during.signal, onProgress: () => during.abort(reason) },
  )
  await t.throwsAsync(underWay, { is: reason })

  const after = new AbortController()
  const result = await prm.score(trace, { signal: after.signal })
  after.abort(reason)
  t.deepEqual(await prm.score(trace), result)

  const loading = new AbortController()
  const load = PRM.load(fixture('qwen2-mlp2'), { signal: loading.signal })
  loading.abort(reason)
  await t.throwsAsync(load, { is: reason })
  await prm.dispose()
})

test('the event loop stays free while a model scores', async t => {
  const prm = await PRM.load(fixture('qwen2-vhead'))
  const long = referenceCases('qwen2-vhead').find(({ steps }) => steps.length === 50)!
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  await prm.score(Array.from({ length: 20 }, () => long))
  clearInterval(timer)
  t.true(ticks >= 10, `${ticks} ticks`)
  await prm.dispose()
})

test('the options of loading are checked before anything is looked for', async t => {
  const bad: [LoadOptions, string][] = [
    ...['half', '', null, 1].map((precision): [LoadOptions, string] => [
      { precision: precision as 'exact' },
      'precision',
    ]),
    ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, '1', null].map(
      (cacheBytes): [LoadOptions, string] => [{ cacheBytes: cacheBytes as number }, 'cacheBytes'],
    ),
    ...['yes', 0, null].map((reuse): [LoadOptions, string] => [{ reuse: reuse as unknown as boolean }, 'reuse']),
  ]
  for (const [options, argument] of bad) {
    const failure = await failureOf(PRM.load('no/such/folder/here', options))
    t.regex(failure, new RegExp(`^ERR_INVALID_ARGUMENT: ${argument}`))
  }
})

test('a budget that holds nothing, or not a trace, is a typed error', async t => {
  t.regex(await failureOf(PRM.load(fixture('qwen2-linear2'), { cacheBytes: 1 })), /^ERR_INVALID_ARGUMENT.*1 bytes/)
  const prm = await PRM.load(fixture('qwen2-linear2'), { cacheBytes: 100_000 })
  t.is(prm.counters.budget, 100_000)
  const short: Trace = { problem: 'p', steps: ['s'] }
  await prm.score(short)
  const failure = await failureOf(prm.score({ problem: 'p', steps: ['word '.repeat(150)] }))
  t.regex(failure, /^ERR_CACHE_BUDGET: .*100000/)
  t.is((await prm.score(short)).steps.length, 1)
  t.true(prm.counters.peakBytes <= 100_000)
  await prm.dispose()
})

test('counters say what was found and what was computed', async t => {
  const prm = await PRM.load(fixture('qwen2-linear2'), { cacheBytes: 8_000_001 })
  const none = { hits: 0, computed: 0, recomputed: 0 }
  t.like(prm.counters, { ...none, budget: 8_000_001 })
  t.true(Object.isFrozen(prm.counters))
  const steps = ['one and one', 'are two', 'A: 2']
  const { tokens } = await prm.score({ problem: 'p', steps })
  t.like(prm.counters, { ...none, computed: tokens })
  await prm.score({ problem: 'p', steps })
  t.like(prm.counters, { hits: tokens, computed: tokens, recomputed: 0 })
  const longer = await prm.score({ problem: 'p', steps: [...steps, 'That is all.'] })
  t.like(prm.counters, { hits: 2 * tokens, computed: longer.tokens, recomputed: 0 })
  const { bytes, peakBytes, budget } = prm.counters
  t.true(0 < bytes && bytes <= peakBytes && peakBytes <= budget)
  await prm.dispose()
  t.throws(() => prm.counters, { code: 'ERR_DISPOSED' })
})

for (const name of checkpoints) {
  test(`${name}: scores are the same bits alone, together, from the cache and from nothing`, async t => {
    const prm = await PRM.load(fixture(name))
    const plain = await PRM.load(fixture(name), { reuse: false })
    const cases = referenceCases(name)
    const together = (await prm.score(cases)).map(scores)
    t.deepEqual((await prm.score(cases.toReversed())).toReversed().map(scores), together)
    t.deepEqual((await plain.score(cases)).map(scores), together)
    for (const [index, one] of cases.entries()) t.deepEqual(scores(await plain.score(one)), together[index])
    t.is(plain.counters.hits, 0)
    await Promise.all([prm.dispose(), plain.dispose()])
  })

  test(`${name}: fast is near exact`, async t => {
    const [exact, fast] = [await PRM.load(fixture(name)), await PRM.load(fixture(name), { precision: 'fast' })]
    t.deepEqual([exact.facts.precision, fast.facts.precision], ['exact', 'fast'])
    const cases = referenceCases(name)
    const [a, b] = [(await exact.score(cases)).flatMap(scores), (await fast.score(cases)).flatMap(scores)]
    t.true(largestDifference(a, b) <= 0.05)
    t.true(largestDifference(a, b) > 0)
    await Promise.all([exact.dispose(), fast.dispose()])
  })
}

test('callers are served in turn: many candidates do not hold up one', async t => {
  const prm = await PRM.load(fixture('qwen2-linear2'))
  const candidates = Array.from({ length: 2000 }, (_, index) => [`${index} and ${'so on and '.repeat(20)}`])
  let ranked = 0
  const stop = new AbortController()
  const many = prm.rerank('p', candidates, { signal: stop.signal, onProgress: ({ done }) => (ranked = done) })
  const reason = new Error('enough')
  const failure = t.throwsAsync(many, { is: reason })
  await prm.score({ problem: 'another', steps: ['s'] })
  t.true(ranked < 1000, `${ranked} before one`)
  stop.abort(reason)
  await failure
  await prm.dispose()
})

test.serial('the traces of a call are one caller, and so are a session with its branches, and a watch', async t => {
  const prm = await PRM.load(fixture('qwen2-linear2'))
  const engine = native().Engine.prototype
  const { submit } = engine
  const callers: number[] = []
  engine.submit = function (model, caller, ...rest) {
    callers.push(caller)
    return submit.call(this, model, caller, ...rest)
  }
  const callersOf = async (work: () => Promise<unknown>): Promise<number[]> => {
    callers.length = 0
    await work()
    return [...callers]
  }
  const traces: Trace[] = [1, 2, 3].map(n => ({ problem: 'p', steps: [`s${n}`] }))
  async function* text(): AsyncGenerator<string> {
    yield 'one\ntwo\nthree'
  }
  async function drain(results: AsyncIterable<unknown>): Promise<void> {
    for await (const _ of results);
  }
  const session = prm.session('p')
  const works: (() => Promise<unknown>)[] = [
    () => prm.score(traces),
    () => prm.rerank('p', ['a', 'b', 'c']),
    () => drain(prm.scoreMany(traces)),
    () => session.append('a').then(() => Promise.all([session.append('b'), session.branch().append('c')])),
    () => drain(prm.watch('p', text())),
  ]
  try {
    const seen: number[] = []
    for (const work of works) {
      const numbers = await callersOf(work)
      t.is(numbers.length, 3)
      t.is(new Set(numbers).size, 1)
      seen.push(numbers[0]!)
    }
    t.is(new Set(seen).size, works.length)
    const [first, second] = await callersOf(() => Promise.all(traces.slice(1).map(trace => prm.score(trace))))
    t.not(first, second)
  } finally {
    engine.submit = submit
  }
  await prm.dispose()
})
