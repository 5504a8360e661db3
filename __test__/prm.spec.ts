import test from 'ava'
import { PRM, type ScoredTrace, SurefootError, type Trace } from '../src/index.ts'
import { checkpoints, fixture, largestDifference, referenceCases } from './helpers/fixtures.ts'

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
      t.true(largestDifference(scores(together[index]!), alone) <= 1e-5)
      t.true(largestDifference(scores(reversed[index]!), alone) <= 1e-5)
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
  t.true(largestDifference(scores(split), scores(given)) <= 1e-5)
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
  t.true(Math.abs((await prm.score(trace)).aggregate - a * b) <= 1e-5)
  t.true(Math.abs((await prm.score(trace, { aggregate: 'min' })).aggregate - Math.min(a, b)) <= 1e-5)
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
  t.true(largestDifference(scores(await prm.score(trace)), scores(result)) <= 1e-5)

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
