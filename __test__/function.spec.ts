import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import fc from 'fast-check'
import { Draft } from '../src/generator/calls.ts'
import { type FunctionRequest, fromFunction } from '../src/generator/function.ts'
import { checkRequest, firstOf, type Generator, type SampleOptions } from '../src/generator/generator.ts'
import { stream } from '../src/generator/stream.ts'
import { PRM } from '../src/prm.ts'
import { failureOf } from './helpers/fixtures.ts'

test('A function is called once a sample, with the defaults filled in and a seed of its own', async t => {
  const seen: FunctionRequest[] = []
  const policy = fromFunction(async function tell(request, { index }) {
    seen.push(request)
    await sleep(5 - index)
    return `answer ${index}`
  })
  t.is(policy.id, 'tell')
  t.deepEqual(policy.capabilities, { prefill: false, stopReason: true, logprobs: false, seed: false, n: false })
  const samples = await policy.sample({ problem: 'p', n: 3, seed: 7 })
  t.deepEqual(samples[1], { text: 'answer 1', ended: 'answer', promptTokens: 2, tokens: 3, estimated: true })
  t.deepEqual(
    samples.map(({ text }) => text),
    ['answer 0', 'answer 1', 'answer 2'],
  )
  t.like(seen[0], { problem: 'p', prefix: '', until: 'answer', separator: '\n\n', maxTokens: 2048, temperature: 0.7 })
  t.deepEqual(
    seen.map(({ seed }) => seed),
    [7, 8, 9],
  )
  t.false('n' in seen[0]!)
})

test('It may write more than it was asked for: steps and stop texts are cut', async t => {
  const policy = fromFunction(() => 'One.\n\nTwo. STOP', { separator: '\n\n' })
  const write = async (request: object) => (await policy.sample({ problem: 'p', ...request }))[0]
  t.like(await write({ until: 'step' }), { text: 'One.', ended: 'step' })
  t.like(await write({ stop: ['STOP', 'ST'] }), { text: 'One.\n\nTwo. ', ended: 'stop', stop: 'STOP' })
  t.like(await write({}), { text: 'One.\n\nTwo. STOP', ended: 'answer' })
})

test('A sample may say how it ended and what it cost; what it leaves out is estimated', async t => {
  const exact = { text: 'abc', ended: 'length', promptTokens: 4, tokens: 2 } as const
  t.deepEqual(await fromFunction(() => exact).sample({ problem: 'p' }), [exact])
  const [partial] = await fromFunction(() => ({ text: 'abc', ended: null, tokens: 2 })).sample({ problem: 'p' })
  t.deepEqual(partial, { text: 'abc', ended: null, promptTokens: 2, tokens: 2, estimated: true })
  const logprobs = [-0.5, -1]
  const able = fromFunction(() => ({ text: 'abc', logprobs }), { capabilities: { logprobs: true } })
  t.deepEqual((await able.sample({ problem: 'p', logprobs: true }))[0]!.logprobs, logprobs)
})

test('It is trusted with what it declares and with no more', async t => {
  const forgets = fromFunction(() => 'x', { id: 'f', capabilities: { logprobs: true } })
  t.regex(
    await failureOf(forgets.sample({ problem: 'p', logprobs: true })),
    /^ERR_INVALID_ARGUMENT: fn: gave no logprobs/,
  )
  const none = fromFunction(() => 'x', { id: 'f' })
  t.regex(await failureOf(none.sample({ problem: 'p', prefix: 'So' })), /^ERR_CAPABILITY: .*prefill, and f has it not/)
  t.regex(await failureOf(none.sample({ problem: 'p', logprobs: true })), /^ERR_CAPABILITY: .*logprobs/)
  const goesOn = fromFunction(({ prefix }) => `after ${prefix}`, { capabilities: { prefill: true } })
  t.is((await goesOn.sample({ problem: 'p', prefix: 'So' }))[0]!.text, 'after So')
})

test('What it returns is checked, what it throws is not touched', async t => {
  const gives = (value: unknown) => failureOf(fromFunction(() => value as string).sample({ problem: 'p' }))
  for (const value of [undefined, null, 3, {}, { text: 3 }, ['x']])
    t.regex(await gives(value), /fn: must return a string/)
  t.regex(await gives('\ud800'), /fn: returned a lone surrogate/)
  t.regex(await gives({ text: 'x', ended: 'done' }), /fn: gave an ended that is none of/)
  t.regex(await gives({ text: 'x', tokens: -1 }), /fn: gave tokens that are no whole number/)
  const own = new TypeError('mine')
  const throws = fromFunction(() => {
    throw own
  })
  t.is(await t.throwsAsync(throws.sample({ problem: 'p' })), own)
  t.throws(() => fromFunction('f' as never), { message: /fn: must be a function/ })
  t.regex(await failureOf(fromFunction(() => 'x').sample({ problem: 'p', n: 0 })), /^ERR_INVALID_ARGUMENT: n/)
})

test('Text that is given piece by piece is heard at once, and a text that ends it stops the function', async t => {
  const signals: AbortSignal[] = []
  const policy = fromFunction(async (_, { onText, signal }) => {
    signals.push(signal)
    for (const piece of ['On', 'e.\n', '\nTwo.', ' Three']) onText(piece)
    await new Promise(() => {})
    return 'never'
  })
  const heard: string[] = []
  const options: SampleOptions = { onText: text => heard.push(text) }
  const [sample] = await policy.sample({ problem: 'p', until: 'step' }, options)
  t.like(sample, { text: 'One.', ended: 'step' })
  t.deepEqual(heard, ['On', 'e.'])
  t.true(signals[0]!.aborted)
  const rest = fromFunction((_, { onText }) => {
    onText('first')
    return 'first and last'
  })
  heard.length = 0
  await rest.sample({ problem: 'p' }, options)
  t.deepEqual(heard, ['first', ' and last'])
  const other = fromFunction((_, { onText }) => {
    onText('first')
    return 'last'
  })
  t.regex(await failureOf(other.sample({ problem: 'p' })), /fn: returned another text than/)
})

test('A call that is given up while it waits for its place gives the place on', async t => {
  let release = (_: string): void => {}
  const policy = fromFunction(
    ({ problem }) =>
      problem === 'first'
        ? new Promise(resolve => {
            release = resolve
          })
        : problem,
    { concurrency: 1 },
  )
  const stop = new AbortController()
  const first = policy.sample({ problem: 'first' })
  const second = policy.sample({ problem: 'second' }, { signal: stop.signal })
  const third = policy.sample({ problem: 'third' })
  stop.abort(new Error('enough'))
  t.regex(await failureOf(second), /enough/)
  release('done')
  t.deepEqual([(await first)[0]!.text, (await third)[0]!.text], ['done', 'third'])
  t.is((await policy.sample({ problem: 'fourth' }))[0]!.text, 'fourth')
})

test('The text that ends a sample is found wherever the pieces are cut', t => {
  const texts = fc
    .array(fc.constantFrom('a', 'b', 'c', '\n', '😀', '\n\n'), { maxLength: 20 })
    .map(parts => parts.join(''))
  const stops = fc.uniqueArray(fc.constantFrom('ab', 'abc', 'bc', 'b', '\n\n', '\n\na', 'a😀'), { maxLength: 4 })
  fc.assert(
    fc.property(texts, stops, fc.array(fc.nat(20), { maxLength: 8 }), (text, stop, cuts) => {
      const heard: string[] = []
      const draft = new Draft(checkRequest({ problem: 'p', stop }), piece => heard.push(piece))
      const places = [...new Set([0, ...cuts.map(cut => Math.min(cut, text.length)), text.length])].toSorted(
        (a, b) => a - b,
      )
      for (const [index, from] of places.entries()) draft.push(text.slice(from, places[index + 1] ?? text.length))
      draft.close()
      const found = firstOf(text, stop)
      t.is(draft.text, found ? text.slice(0, found.at) : text)
      t.is(draft.stop, found?.stop ?? null)
      t.is(heard.join(''), draft.text)
      t.true(heard.every(piece => piece.isWellFormed()))
    }),
    { numRuns: 2000 },
  )
})

/** Writes word by word, and tells when it was stopped. */
function slow(words: readonly string[], stopped: (reason: unknown) => void = () => {}): Generator {
  return fromFunction(async (_, { onText, signal }) => {
    signal.addEventListener('abort', () => stopped(signal.reason))
    for (const word of words) {
      await sleep(1, undefined, { signal })
      onText(word)
    }
    return words.join('')
  })
}

test('A stream yields the text as it is written and returns the sample', async t => {
  const pieces = stream(slow(['It ', 'is ', 'so.']), { problem: 'p' })
  const texts: string[] = []
  for (;;) {
    const { done, value } = await pieces.next()
    if (done) {
      t.like(value, { text: 'It is so.', ended: 'answer' })
      break
    }
    texts.push(value)
  }
  t.deepEqual(texts, ['It ', 'is ', 'so.'])
  t.deepEqual(await pieces.next(), { done: true, value: undefined })
})

test('Nothing is asked of the generator before the stream is read; several next() are answered in order', async t => {
  let calls = 0
  const policy = fromFunction((_, { onText }) => {
    calls++
    onText('a')
    onText('b')
    return 'ab'
  })
  const pieces = stream(policy, { problem: 'p' })
  await sleep(1)
  t.is(calls, 0)
  const results = await Promise.all([pieces.next(), pieces.next(), pieces.next()])
  t.is(results.map(({ value }) => (typeof value === 'string' ? value : '')).join(''), 'ab')
  t.true(results[2]!.done)
  t.is(calls, 1)
})

test('Leaving the loop stops the work, also while a piece is awaited', async t => {
  const reasons: unknown[] = []
  for await (const _ of stream(
    slow(['a', 'b', 'c'], reason => reasons.push(reason)),
    { problem: 'p' },
  ))
    break
  t.regex(String(reasons[0]), /the consumer stopped/)
  const pieces = stream(
    slow(Array(10_000).fill('a'), reason => reasons.push(reason)),
    { problem: 'p' },
  )
  await pieces.next()
  const pending = pieces.next().then(() => pieces.next())
  await pieces.return!()
  t.is(reasons.length, 2)
  t.true((await pending).done)
})

test('A stream fails as its generator does, and with the reason of its signal', async t => {
  const failing = fromFunction((_, { onText }) => {
    onText('so far')
    throw new Error('broken')
  })
  const read = async (pieces: AsyncIterable<string>) => {
    for await (const _ of pieces);
  }
  t.regex(await failureOf(read(stream(failing, { problem: 'p' }))), /broken/)
  t.regex(await failureOf(read(stream(slow(['a']), { problem: '\ud800' }))), /lone surrogate/)
  const stop = new AbortController()
  const reading = read(
    stream(
      fromFunction(() => new Promise<string>(() => {})),
      { problem: 'p' },
      { signal: stop.signal },
    ),
  )
  stop.abort(new Error('enough'))
  t.regex(await failureOf(reading), /enough/)
  t.regex(await failureOf(read(stream(slow(['a']), { problem: 'p' }, { signal: stop.signal }))), /enough/)
  t.throws(() => stream(slow([]), { problem: 'p', n: 2 } as never), { message: /a stream is of one sample/ })
})

test('A generator that does not stream still makes a stream', async t => {
  const quiet: Generator = {
    id: 'quiet',
    capabilities: { prefill: false, n: false, stopReason: false, logprobs: false, seed: false },
    sample: async () => [{ text: 'all at once', ended: null, promptTokens: 1, tokens: 3 }],
  }
  const texts: string[] = []
  for await (const text of stream(quiet, { problem: 'p' })) texts.push(text)
  t.deepEqual(texts, ['all at once'])
})

test('prm.watch scores a policy while it writes, and stopping the watch stops the policy', async t => {
  const prm = await PRM.load()
  const steps = ['Ben has 20 - 5 = 15 left.\n', 'A: 15\n', 'And on\n', 'and on\n']
  const reasons: unknown[] = []
  const problem = 'Ben has 20 coins. He gives 5 to Lea. How many are left?'
  const scored = await prm.score({ problem, steps: steps.slice(0, 2).map(step => step.trim()) })
  const watched = []
  for await (const step of prm.watch(
    problem,
    stream(
      slow(steps, reason => reasons.push(reason)),
      { problem },
    ),
  )) {
    watched.push(step.score)
    if (step.index === 1) break
  }
  t.deepEqual(
    watched,
    scored.steps.map(({ score }) => score),
  )
  await prm.dispose()
})
