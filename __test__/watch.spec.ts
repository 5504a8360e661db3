import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import fc from 'fast-check'
import { PRM, type ScoredStep, splitSteps, type WatchedStep } from '../src/index.ts'
import { Splitter } from '../src/watch.ts'
import { checkpoints, failureOf, fixture } from './helpers/fixtures.ts'

const model = fixture('qwen2-linear2')
const problem = 'Tom has 8 pears. He eats 2 pears. How many pears are left?'

const texts = (scored: readonly ScoredStep[]): string[] => scored.map(({ text }) => text)
const scoresOf = (scored: readonly ScoredStep[]): number[] => scored.map(({ score }) => score)

async function* stream(pieces: Iterable<string>): AsyncGenerator<string> {
  yield* pieces
}

async function all(steps: AsyncIterable<WatchedStep>): Promise<WatchedStep[]> {
  const seen: WatchedStep[] = []
  for await (const step of steps) seen.push(step)
  return seen
}

/** A source that counts what is read of it and whether it was closed. */
function counting(pieces: Iterable<string> | AsyncIterable<string>) {
  const count = { read: 0, closed: false }
  async function* source(): AsyncGenerator<string> {
    try {
      for await (const piece of pieces) {
        count.read += 1
        yield piece
      }
    } finally {
      count.closed = true
    }
  }
  return { count, source: source() }
}

/** A source that gives `pieces` and then nothing more, without an end. */
function stalling(...pieces: string[]) {
  const state = { closed: false }
  const rest = pieces.values()
  const source: AsyncIterable<string> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const next = rest.next()
        return next.done ? new Promise<never>(() => {}) : next
      },
      return: () => {
        state.closed = true
        return new Promise<never>(() => {})
      },
    }),
  }
  return { state, source }
}

/** `text` cut at `places`, which count UTF-16 units: pairs and separators are cut too, and pieces may be empty. */
function cut(text: string, places: readonly number[]): string[] {
  const ends = [0, ...places.map(place => place % (text.length + 1)).toSorted((a, b) => a - b), text.length]
  return ends.slice(1).map((end, index) => text.slice(ends[index], end))
}

const separators = ['\n', '\n\n', 'ки\n', 'aa', 'aba', '\r\n', '😀\n']
const parts = [...separators, 'a', 'b', ' ', '\t', '\r', '\n', '\u00a0', '\u2028', '😀', '👩‍👩‍👧', 'é', 'к', 'A: 6', '']
const anyText = fc.array(fc.oneof(fc.constantFrom(...parts), fc.string({ unit: 'binary' })), { maxLength: 30 })
const anyPlaces = fc.array(fc.nat(), { maxLength: 40 })

test('wherever the pieces end, the steps are those of the whole text', t => {
  fc.assert(
    fc.property(anyText, anyPlaces, fc.constantFrom(...separators), (words, places, separator) => {
      const text = words.join('')
      const splitter = new Splitter(separator)
      const closed = cut(text, places).flatMap(piece => splitter.push(piece))
      t.deepEqual([...closed, ...splitter.end()], splitSteps(text, separator))
    }),
    { numRuns: 3000 },
  )
})

test('a step is closed by the last unit of its separator, and not before', t => {
  fc.assert(
    fc.property(anyText, fc.constantFrom(...separators), (words, separator) => {
      const text = words.join('')
      const splitter = new Splitter(separator)
      const closed: string[] = []
      for (let end = 1; end <= text.length; end++) {
        closed.push(...splitter.push(text[end - 1]!))
        const behind = text.slice(0, end).split(separator).slice(0, -1)
        t.deepEqual(closed, behind.map(step => step.trim()).filter(Boolean))
      }
    }),
    { numRuns: 300 },
  )
})

test('a step of a million pieces is one step', t => {
  const splitter = new Splitter('\n\n')
  for (let piece = 0; piece < 1_000_000; piece++) t.is(splitter.push('x').length, 0)
  t.is(splitter.push('\n').length, 0)
  t.deepEqual(splitter.push('\n'), ['x'.repeat(1_000_000)])
})

test('watched steps are those that score gives for the whole text, with every checkpoint', async t => {
  const solution = '\n\nTom has 8.\r\n\r\n He eats 2. 😀\n\n\nSo 8 - 2 = 6 are left.\n \n\nA: 6\n\n'
  for (const name of checkpoints) {
    const prm = await PRM.load(fixture(name))
    const full = await prm.score({ problem, solution })
    await fc.assert(
      fc.asyncProperty(anyPlaces, async places => {
        const watched = await all(prm.watch(problem, stream(cut(solution, places))))
        t.deepEqual(texts(watched), texts(full.steps))
        t.deepEqual(
          watched.map(({ index }) => index),
          [...full.steps.keys()],
        )
        t.deepEqual(scoresOf(watched), scoresOf(full.steps))
        t.is(watched.at(-1)!.aggregate, full.aggregate)
      }),
      { numRuns: 10 },
    )
    await prm.dispose()
  }
})

test('a step comes as soon as it is closed, before the source goes on', async t => {
  const prm = await PRM.load(model)
  let open!: () => void
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  async function* source(): AsyncGenerator<string> {
    yield 'one'
    yield '\n'
    await opened
    yield 'two'
  }
  const steps = prm.watch(problem, source())
  t.is((await steps.next()).value!.text, 'one')
  open()
  t.is((await steps.next()).value!.text, 'two')
  t.true((await steps.next()).done)
  await prm.dispose()
})

test('the source is read on while a consumer is busy, but not without end', async t => {
  const prm = await PRM.load(model)
  function* endless(): Generator<string> {
    for (;;) yield 'step\n'
  }
  const { count, source } = counting(endless())
  const steps = prm.watch(problem, source)
  await steps.next()
  for (let turn = 0; turn < 1000; turn++) await new Promise(setImmediate)
  t.true(count.read > 60 && count.read < 70, `${count.read} steps read`)
  await steps.return()
  t.true(count.closed)
  await prm.dispose()
})

test('a consumer that stops closes the source', async t => {
  const prm = await PRM.load(model)
  async function* slow(): AsyncGenerator<string> {
    for (let step = 0; step < 1000; step++) {
      await sleep(1)
      yield `step ${step}\n`
    }
  }
  const { count, source } = counting(slow())
  for await (const { index } of prm.watch(problem, source)) if (index === 1) break
  t.true(count.closed)
  t.true(count.read < 100)
  t.is((await prm.score({ problem, steps: ['A: 6'] })).steps.length, 1)
  await prm.dispose()
})

test('a consumer that stops is not held by a source that stalls', async t => {
  const prm = await PRM.load(model)
  const { state, source } = stalling('one\n', 'two')
  for await (const _ of prm.watch(problem, source)) break
  t.true(state.closed)
  await prm.dispose()
})

test('what the source throws comes after the steps that were closed before', async t => {
  const prm = await PRM.load(model)
  const broken = new Error('connection lost')
  async function* source(): AsyncGenerator<string> {
    yield 'one\ntwo\nthr'
    throw broken
  }
  const seen: string[] = []
  const reading = async (): Promise<void> => {
    for await (const { text } of prm.watch(problem, source())) seen.push(text)
  }
  await t.throwsAsync(reading, { is: broken })
  t.deepEqual(seen, ['one', 'two'])
  await prm.dispose()
})

test('what closing the source throws reaches the consumer that stops', async t => {
  const prm = await PRM.load(model)
  const broken = new Error('cannot close')
  async function* source(): AsyncGenerator<string> {
    try {
      yield* Array.from({ length: 1000 }, () => 'one\n')
    } finally {
      yield await Promise.reject(broken)
    }
  }
  const stopping = async (): Promise<void> => {
    for await (const _ of prm.watch(problem, source())) break
  }
  await t.throwsAsync(stopping, { is: broken })
  await prm.dispose()
})

test('a piece that is no text is an error after the steps before it, and closes the source', async t => {
  const prm = await PRM.load(model)
  for (const piece of [7, null, undefined, new Uint8Array(2), { text: 'two' }]) {
    const { count, source } = counting(['one\n', piece as unknown as string, 'three\n'])
    const seen: string[] = []
    const failure = await failureOf(
      (async () => {
        for await (const { text } of prm.watch(problem, source)) seen.push(text)
      })(),
    )
    t.regex(failure, /^ERR_INVALID_ARGUMENT: source: its pieces must be strings/)
    t.deepEqual(seen, ['one'])
    await new Promise(setImmediate)
    t.true(count.closed)
  }
  await prm.dispose()
})

test('a surrogate pair may be cut in two, and a lone one is an error', async t => {
  const prm = await PRM.load(model)
  t.deepEqual(texts(await all(prm.watch(problem, stream(['a \ud83d', '', '\ude00\nb'])))), ['a 😀', 'b'])
  t.regex(
    await failureOf(all(prm.watch(problem, stream(['a \ud83d', '\n', '\ude00\nb'])))),
    /^ERR_INVALID.*lone surrogate/,
  )
  await prm.dispose()
})

test('a step that cannot be scored ends the watch after those before it, and closes the source', async t => {
  const prm = await PRM.load(model)
  const { count, source } = counting([
    'one\n',
    `${'word '.repeat(prm.facts.context)}\n`,
    'three\n',
    ...'four'.repeat(1000),
  ])
  const seen: string[] = []
  const failure = await failureOf(
    (async () => {
      for await (const { text } of prm.watch(problem, source)) seen.push(text)
    })(),
  )
  t.regex(failure, /^ERR_CONTEXT_OVERFLOW/)
  t.deepEqual(seen, ['one'])
  await new Promise(setImmediate)
  t.true(count.closed)
  const cut = await all(
    prm.watch(problem, stream(['word '.repeat(prm.facts.context), '\n']), { onOverflow: 'truncate-left' }),
  )
  t.true(cut[0]!.truncated! > 0)
  await prm.dispose()
})

test('an abort rejects with its reason, whatever the source does, and closes it', async t => {
  const prm = await PRM.load(model)
  const reason = new Error('enough')
  const untouched = stalling()
  const never = prm.watch(problem, untouched.source, { signal: AbortSignal.abort(reason) })
  await t.throwsAsync(never.next(), { is: reason })
  t.false(untouched.state.closed)

  const stop = new AbortController()
  const { state, source } = stalling('one\n')
  const steps = prm.watch(problem, source, { signal: stop.signal })
  t.is((await steps.next()).value!.text, 'one')
  const waiting = steps.next()
  setImmediate(() => stop.abort(reason))
  await t.throwsAsync(waiting, { is: reason })
  t.true(state.closed)

  const between = new AbortController()
  const more = prm.watch(problem, stream(['one\n', 'two\n', 'three\n']), { signal: between.signal })
  await more.next()
  between.abort(reason)
  await t.throwsAsync(more.next(), { is: reason })
  t.true((await more.next()).done)
  await prm.dispose()
})

test('a step is weak below the threshold of the profile', async t => {
  const text = 'Tom has 8.\nHe has 80.\nA: 6'
  const prm = await PRM.load(model)
  const scores = scoresOf(await all(prm.watch(problem, stream([text]))))
  await prm.dispose()
  for (const threshold of [...scores, 0, 2, null]) {
    const judged = await PRM.load(model, { profile: { threshold } })
    const steps = await all(judged.watch(problem, stream([text])))
    for (const { weak, score } of steps) t.is(weak, threshold !== null && score < threshold)
    await judged.dispose()
  }
})

test('system and aggregate are those of score', async t => {
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  const solution = 'Tom has 8.\n\nA: 6'
  const watched = await all(prm.watch(problem, stream([solution]), { system: 'Be exact.', aggregate: 'max' }))
  const full = await prm.score({ problem, solution, system: 'Be exact.' }, { aggregate: 'max' })
  t.deepEqual(scoresOf(watched), scoresOf(full.steps))
  t.is(watched[1]!.aggregate, Math.max(...scoresOf(watched)))
  await prm.dispose()
})

test('a ReadableStream is a source, and is cancelled when the consumer stops', async t => {
  const prm = await PRM.load(model)
  let cancelled = false
  const source = new ReadableStream<string>({
    pull: controller => controller.enqueue('step\n'),
    cancel: () => {
      cancelled = true
    },
  })
  for await (const { index } of prm.watch(problem, source)) if (index === 2) break
  t.true(cancelled)
  await prm.dispose()
})

test('a source without any step yields nothing', async t => {
  const prm = await PRM.load(model)
  for (const pieces of [[], [''], ['\n', ' ', '\r\n\n']]) t.deepEqual(await all(prm.watch(problem, stream(pieces))), [])
  await prm.dispose()
})

test('bad arguments are errors before the source is touched', async t => {
  const prm = await PRM.load(model)
  for (const [watched, argument] of [
    [prm.watch(7 as unknown as string, stream([])), 'problem'],
    [prm.watch('p', stream([]), { aggregate: 'median' as 'mean' }), 'aggregate'],
    [prm.watch('p', 'text' as unknown as AsyncIterable<string>), 'source'],
    [prm.watch('p', null as unknown as AsyncIterable<string>), 'source'],
  ] as const) {
    t.regex(await failureOf(watched.next()), new RegExp(`^ERR_INVALID_ARGUMENT: ${argument}`))
  }
  await prm.dispose()
  t.regex(await failureOf(prm.watch('p', stream(['one'])).next()), /^ERR_DISPOSED/)

  const outcome = await PRM.load(fixture('families/acemath'), { profile: 'acemath' })
  t.regex(await failureOf(outcome.watch('p', stream(['one'])).next()), /^ERR_INVALID_ARGUMENT.*outcome model/)
  await outcome.dispose()
})

test('a PRM that is disposed ends the watch', async t => {
  const prm = await PRM.load(model)
  const { count, source } = counting(Array.from({ length: 1000 }, (_, step) => `step ${step}\n`))
  const steps = prm.watch(problem, source)
  await steps.next()
  await prm.dispose()
  t.regex(await failureOf(all(steps)), /^ERR_DISPOSED/)
  await new Promise(setImmediate)
  t.true(count.closed)
})
