import test from 'ava'
import fc from 'fast-check'
import { aggregate, aggregates } from '../src/aggregate.ts'
import { PRM, splitSteps } from '../src/index.ts'
import { inOrder } from '../src/ordered.ts'
import { rank, toTraces } from '../src/rerank.ts'
import { fixture } from './helpers/fixtures.ts'

const scored = (...scores: number[]) => ({
  steps: scores.map((score, index) => ({ text: `s${index}`, score })),
  semantics: 'probability' as const,
  aggregate: Math.min(...scores),
  tokens: 1,
})
const trace = { problem: 'p', steps: ['s'], system: undefined }

test('candidates are sorted by score, ties keep their order, and those without steps come last', t => {
  const ranking = rank([trace, null, trace, trace, null], [scored(0.2), scored(0.9), scored(0.2)], 0.5)
  t.deepEqual(
    ranking.map(({ index, score }) => [index, score]),
    [
      [2, 0.9],
      [0, 0.2],
      [3, 0.2],
      [1, Number.NEGATIVE_INFINITY],
      [4, Number.NEGATIVE_INFINITY],
    ],
  )
})

test('the first weak step is the first below the threshold', t => {
  const weak = (scores: number[], threshold: number | null) =>
    rank([trace], [scored(...scores)], threshold)[0]!.firstWeakStep
  t.is(weak([0.9, 0.4, 0.1], 0.5), 1)
  t.is(weak([0.9, 0.5], 0.5), null)
  t.is(weak([0.9, 0.1], null), null)
})

test('a candidate is a text or its steps; anything else is an error', t => {
  t.deepEqual(
    toTraces('p', ['a\nb', ['c'], '  ', []], undefined, '\n').map(trace => trace?.steps ?? null),
    [['a', 'b'], ['c'], null, null],
  )
  for (const candidates of ['text', [7], [null], [['a', 7]], [['']]]) {
    t.throws(() => toTraces('p', candidates as unknown as string[], undefined, '\n'), { code: 'ERR_INVALID_ARGUMENT' })
  }
})

test('rerank returns the topN best, with the scores that score gives', async t => {
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  const candidates = ['one\n\ntwo', ['three'], '', 'four\n\nfive\n\nsix']
  const ranking = await prm.rerank('What is 2 + 2?', candidates)
  t.is(ranking.length, 4)
  t.is(ranking[3]!.index, 2)
  const best = candidates[ranking[0]!.index]!
  const alone = await prm.score({
    problem: 'What is 2 + 2?',
    ...(typeof best === 'string' ? { solution: best } : { steps: best }),
  })
  t.true(Math.abs(alone.aggregate - ranking[0]!.score) <= 1e-5)
  t.deepEqual(
    (await prm.rerank('What is 2 + 2?', candidates, { topN: 2 })).map(({ index }) => index),
    ranking.slice(0, 2).map(({ index }) => index),
  )
  t.deepEqual(await prm.rerank('p', []), [])
  for (const topN of [0, -1, 1.5, Number.NaN])
    await t.throwsAsync(prm.rerank('p', ['a'], { topN }), { message: /topN/ })
  await prm.dispose()
})

test('a solution is split at the separator, trimmed, and never has a blank step', t => {
  t.deepEqual(splitSteps('a\n\n b \n\n\n\n\n\nc\n\n', '\n\n'), ['a', 'b', 'c'])
  fc.assert(fc.property(fc.string(), text => splitSteps(text, '\n').every(step => step !== '' && step === step.trim())))
})

test('aggregates give the numbers of algorithms.md 3.7', t => {
  const scores = [0.9, 0.8, 0.3]
  const expected = { last: 0.3, min: 0.3, product: 0.216, mean: 0.666667, max: 0.9, sum: 2, softmin: undefined }
  for (const by of aggregates) {
    if (expected[by] !== undefined) t.true(Math.abs(aggregate(scores, by) - expected[by]) < 1e-6, by)
  }
  t.true(Math.abs(aggregate([0.9, 0.8, -0.2], 'softmin') - -0.199936) < 1e-6)
  t.throws(() => aggregate([], 'min'), { code: 'ERR_INVALID_ARGUMENT' })
})

test('softmin lies between the least score and the mean', t => {
  const scores = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 1 })
  const between = fc.property(scores, scores => {
    const value = aggregate(scores, 'softmin')
    return value >= aggregate(scores, 'min') - 1e-9 && value <= aggregate(scores, 'mean') + 1e-9
  })
  t.notThrows(() => fc.assert(between))
})

test('inOrder keeps the order whatever the tasks take, and never runs more than its width', async t => {
  let [running, most] = [0, 0]
  const results: number[] = []
  const task = async (delay: number, index: number): Promise<number> => {
    most = Math.max(most, ++running)
    await new Promise(resolve => setTimeout(resolve, delay))
    running -= 1
    return index
  }
  for await (const result of inOrder([9, 1, 5, 0, 7, 3], 3, task)) results.push(result)
  t.deepEqual(results, [0, 1, 2, 3, 4, 5])
  t.is(most, 3)
})
