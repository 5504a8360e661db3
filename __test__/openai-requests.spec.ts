import test from 'ava'
import fc from 'fast-check'
import { share } from '../src/generator/choices.ts'
import { eventsOf } from '../src/generator/http.ts'
import type { OpenAIGenerator, OpenAIOptions } from '../src/generator/openai.ts'
import {
  event,
  first,
  type Hook,
  httpError,
  json,
  policy,
  refuse,
  streamed,
  until,
  withServer,
} from './helpers/openai-server.ts'

test('a server that ignores n is asked for each of the rest, once, and from then on one at a time', t =>
  withServer('vllm', async server => {
    server.faults.ignores.push('n')
    server.write = seed => [`${seed}`]
    const generator = policy(server)
    t.true(generator.capabilities.n)
    const texts = async (): Promise<string[]> =>
      (await generator.sample({ problem: 'p', n: 3, seed: 1 })).map(({ text }) => text)
    t.deepEqual(await texts(), ['1', '2', '3'])
    t.deepEqual(
      server.asked.map(({ n = 1 }) => n),
      [3, 1, 1],
    )
    t.false(generator.capabilities.n)
    t.deepEqual(await texts(), ['1', '2', '3'])
    t.is(server.asked.length, 6)
  }))

test('choices that are missing are asked for again, those that are too many dropped', t =>
  withServer('vllm', async server => {
    server.faults.ignores.push('n > 2')
    server.write = seed => [`${seed}`]
    const samples = await policy(server).sample({ problem: 'p', n: 4, seed: 1 })
    t.deepEqual(
      samples.map(({ text }) => text),
      ['1', '2', '3', '4'],
    )
    first(server, 1, (_, response) => {
      const choices = [2, 0, 1].map(index => ({ index, message: { content: `c${index}` }, finish_reason: 'stop' }))
      json(response, 200, { choices, usage: { prompt_tokens: 1, completion_tokens: 9 } })
      return true
    })
    const [only, ...rest] = await policy(server).sample({ problem: 'p' })
    t.is(only!.text, 'c0')
    t.deepEqual(rest, [])
  }))

test('a server that refuses n is asked one at a time', t =>
  withServer('llama.cpp', async server => {
    const generator = policy(server, { dialect: 'llama.cpp' })
    t.is((await generator.sample({ problem: 'p', n: 6 })).length, 6)
    t.deepEqual(
      server.asked.map(({ n = 1 }) => n),
      [6, 1, 1, 1, 1, 1, 1],
    )
    t.false(generator.capabilities.n)
  }))

test('no choice at all, twice, is an error', t =>
  withServer('vllm', async server => {
    first(server, 1, refuse(200, {}, { choices: [] }))
    t.is((await policy(server).sample({ problem: 'p' })).length, 1)
    first(server, 9, refuse(200, {}, { choices: [] }))
    const error = await httpError(t, policy(server).sample({ problem: 'p', n: 2 }))
    t.regex(error.message, /without choices, twice/)
  }))

test('a server that ignores stop is stopped here', t =>
  withServer('vllm', async server => {
    server.faults.ignores.push('stop')
    for (const stream of [false, true]) {
      const generator = policy(server, { stream })
      t.like((await generator.sample({ problem: 'p', until: 'step' }))[0], { text: 'One.', ended: 'step' })
      const [stopped] = await generator.sample({ problem: 'p', stop: ['Tw'] })
      t.like(stopped, { text: 'One.\n\n', ended: 'stop', stop: 'Tw' })
    }
  }))

test('a server that ignores stream is read whole and stopped here', t =>
  withServer('plain', async server => {
    server.faults.ignores.push('stream')
    const heard: string[] = []
    const onText = (text: string): void => void heard.push(text)
    const [sample] = await policy(server, { dialect: 'none' }).sample({ problem: 'p', until: 'step' }, { onText })
    t.like(sample, { text: 'One.', ended: 'step', tokens: 4 })
    t.deepEqual(heard, ['One.'])
  }))

test('a server that ignores the seed still gives samples', t =>
  withServer('vllm', async server => {
    server.write = () => ['always']
    const samples = await policy(server).sample({ problem: 'p', n: 2, seed: 1 })
    t.deepEqual(
      samples.map(({ text }) => text),
      ['always', 'always'],
    )
  }))

test('a server that does not say what stopped it, though its kind does, is stopped here from then on', t =>
  withServer('vllm', async server => {
    server.faults.silent = true
    const generator = policy(server)
    const samples = await generator.sample({ problem: 'p', n: 2, until: 'step' })
    t.deepEqual(
      samples.map(({ text, ended }) => [text, ended]),
      [
        ['One.', 'step'],
        ['One.', 'step'],
      ],
    )
    t.true(server.asked.slice(1).every(({ stop, stream }) => stop === undefined && stream))
    // What is learned from one answer does not change how the others under way are read.
    const other = policy(server)
    const all = await Promise.all([0, 1, 2].map(() => other.sample({ problem: 'p', until: 'step' })))
    t.deepEqual(
      all.map(([sample]) => sample!.ended),
      ['step', 'step', 'step'],
    )
    server.write = () => ['Two.']
    t.like((await generator.sample({ problem: 'p', until: 'step' }))[0], { ended: 'answer' })
  }))

test('a prefix that the server repeats is left out, streamed or not', t =>
  withServer('vllm', async server => {
    server.faults.repeats = true
    for (const prefix of ['Zero is here.\n\n', '0.\n\n']) {
      for (const stream of [false, true]) {
        const generator = policy(server, { stream })
        const heard = ['', '']
        const onText = (text: string, index: number): void => {
          heard[index] += text
        }
        const samples = await generator.sample({ problem: 'p', prefix, until: 'step', n: 2 }, stream ? { onText } : {})
        t.deepEqual(
          samples.map(({ text, ended }) => [text, ended]),
          [
            ['One.', 'step'],
            ['One.', 'step'],
          ],
          `${JSON.stringify(prefix)} ${stream}`,
        )
        if (stream) t.deepEqual(heard, ['One.', 'One.'])
      }
    }
  }))

test('a text that begins like the prefix by chance keeps its beginning', t =>
  withServer('vllm', async server => {
    const generator = policy(server)
    server.write = (_, index) => (index === 0 ? ['1', ' = 1'] : ['2'])
    const both = await generator.sample({ problem: 'p', prefix: '1', n: 2 })
    t.deepEqual(
      both.map(({ text }) => text),
      ['1 = 1', '2'],
    )
    server.write = () => ['1', ' = 1']
    t.is((await generator.sample({ problem: 'p', prefix: '1' }))[0]!.text, '1 = 1')
    server.write = () => ['Wait.\n\n', 'Wait.\n\n', 'So']
    t.is((await generator.sample({ problem: 'p', prefix: 'Wait.\n\nWait.\n\n' }))[0]!.text, 'Wait.\n\nWait.\n\nSo')
  }))

test('an abort closes the socket at once and rejects with its reason, wherever it comes', t =>
  withServer('vllm', async server => {
    const places: [Hook, (generator: OpenAIGenerator) => Partial<OpenAIOptions>][] = [
      [() => true, () => ({})],
      [
        (_, response) => {
          response.writeHead(200, streamed).write(event('a'))
          return true
        },
        () => ({ stream: true }),
      ],
    ]
    for (const [hook, options] of places) {
      first(server, 9, hook)
      const before = server.closed
      const abort = new AbortController()
      const asked = server.asked.length
      const sample = policy(server, options(policy(server))).sample({ problem: 'p' }, { signal: abort.signal })
      await until(() => server.asked.length > asked)
      const reason = new Error('enough')
      abort.abort(reason)
      t.is(await t.throwsAsync(sample), reason)
      await until(() => server.closed === before + 1)
    }
    first(server, 9, refuse(429, { 'retry-after': '50' }))
    const abort = new AbortController()
    const asked = server.asked.length
    const waiting = policy(server).sample({ problem: 'p' }, { signal: abort.signal })
    await until(() => server.asked.length > asked)
    await new Promise(resolve => setTimeout(resolve, 30))
    abort.abort('in the pause')
    await t.throwsAsync(waiting, { any: true }).then(reason => t.is(reason as unknown, 'in the pause'))
    await t.throwsAsync(policy(server).sample({ problem: 'p' }, { signal: AbortSignal.abort('early') }), { any: true })
  }))

test('a stream whose step has ended is closed, so that the server writes no further', t =>
  withServer('plain', async server => {
    server.pause = () => new Promise(resolve => setTimeout(resolve, 2))
    server.write = () => ['One.', '\n\n', ...Array.from({ length: 10_000 }, () => 'more ')]
    const [sample] = await policy(server, { dialect: 'none' }).sample({
      problem: 'p',
      until: 'step',
      maxTokens: 99_999,
    })
    t.like(sample, { text: 'One.', ended: 'step', tokens: 2, estimated: true })
    await until(() => server.closed === 1)
  }))

test('no more requests are under way than concurrency allows; an abort frees its place; others come in order', t =>
  withServer('vllm', async server => {
    const open: (() => void)[] = []
    let most = 0
    server.hook = async ({ method, body }, response) => {
      if (method === 'GET') return false
      await new Promise<void>(resolve => {
        open.push(resolve)
        response.on('close', resolve)
        most = Math.max(most, open.length)
      })
      json(response, 200, { choices: [{ message: { content: body.messages![0]!.content }, finish_reason: 'stop' }] })
      return true
    }
    const generator = policy(server, { concurrency: 2 })
    const abort = new AbortController()
    const order: string[] = []
    const ask = (problem: string, signal?: AbortSignal): Promise<unknown> =>
      generator.sample({ problem }, signal ? { signal } : {}).then(() => order.push(problem))
    const all = ['a', 'b', 'c', 'd'].map(problem =>
      ask(problem, problem === 'a' || problem === 'c' ? abort.signal : undefined),
    )
    await until(() => open.length === 2)
    abort.abort('enough')
    await until(() => open.length === 3)
    for (const resolve of open) resolve()
    const settled = await Promise.allSettled(all)
    t.deepEqual(
      settled.map(({ status }) => status),
      ['rejected', 'fulfilled', 'rejected', 'fulfilled'],
    )
    t.deepEqual(order.toSorted(), ['b', 'd'])
    t.deepEqual(
      server.asked.map(({ messages }) => messages![0]!.content),
      ['a', 'b', 'd'],
    )
    t.true(most <= 3)
  }))

test('detection goes on when one of its callers leaves, and begins again after a failure', t =>
  withServer('vllm', async server => {
    let release = (): void => {}
    server.hook = async ({ method }) => {
      if (method === 'GET') await new Promise<void>(resolve => (release = resolve))
      return false
    }
    const generator = policy(server, { dialect: 'auto', retries: 0 })
    const abort = new AbortController()
    const leaving = generator.ready({ signal: abort.signal })
    const staying = generator.ready()
    await until(() => server.seen.length === 1)
    abort.abort('gone')
    await t.throwsAsync(leaving, { any: true })
    release()
    await staying
    t.is(generator.dialect, 'vllm')
    t.is(server.seen.length, 1)

    const other = policy(server, { dialect: 'auto', retries: 0 })
    server.hook = refuse(503)
    await httpError(t, other.ready())
    t.is(other.dialect, 'auto')
    server.hook = () => false
    await other.ready()
    t.is(other.dialect, 'vllm')
  }))

test('a server without a list of models is of no dialect, one that wants a key is an error', t =>
  withServer('plain', async server => {
    const generator = policy(server, { dialect: 'auto' })
    server.hook = ({ method }, response) => method === 'GET' && refuse(404)({} as never, response)
    await generator.ready()
    t.is(generator.dialect, 'none')
    server.hook = refuse(401)
    const error = await httpError(t, policy(server, { dialect: 'auto' }).ready())
    t.regex(error.message, /check apiKey/)
  }))

test('events are the same however the bytes are cut', async t => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('ü😀', '\u2028', 'a: b', '[DONE', ''))
  const line = fc.constantFrom('\n', '\r\n', '\r')
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 6 }), line, fc.array(fc.nat(40)), async (texts, end, sizes) => {
      const written = texts.map(each => JSON.stringify(each.toWellFormed()))
      const body = Buffer.from(`: ping${end}${end}${written.map(each => `data: ${each}${end}${end}`).join('')}`)
      const chunks = async function* (): AsyncGenerator<Uint8Array> {
        let at = 0
        for (const size of sizes) {
          yield body.subarray(at, at + size)
          at += size
        }
        yield body.subarray(at)
        // A parser cannot know whether a line feed belongs to a carriage return at the end before the next byte.
        yield Buffer.from(':\n\n')
      }
      const read: string[] = []
      for await (const data of eventsOf(chunks(), () => new Error())) read.push(data)
      t.deepEqual(read, written)
    }),
    { numRuns: 300 },
  )
})

test('samples are the same however a stream is cut into events', async t => {
  const letters = fc.array(fc.constantFrom('a', '\n', '\n\n', 'b', 'ab', 'abc', '😀'), { minLength: 1, maxLength: 12 })
  await withServer('plain', server =>
    fc.assert(
      fc.asyncProperty(letters, fc.infiniteStream(fc.integer({ min: 1, max: 3 })), async (pieces, sizes) => {
        const whole = pieces.join('')
        const tokens: string[] = []
        for (let at = 0; at < whole.length; ) {
          const size = sizes.next().value!
          tokens.push(whole.slice(at, at + size))
          at += size
        }
        const request = { problem: 'p', until: 'step', stop: ['abc', 'b\n', 'ab\na'], maxTokens: 99 } as const
        const ends: unknown[] = []
        let heard = ''
        for (const given of [tokens, [whole]]) {
          server.write = () => given
          heard = ''
          const onText = (text: string): void => {
            heard += text
          }
          const [sample] = await policy(server, { dialect: 'none' }).sample(request, { onText })
          ends.push([sample!.text, sample!.ended, sample!.stop])
          t.is(heard, sample!.text)
        }
        t.deepEqual(ends[0], ends[1])
      }),
      { numRuns: 60 },
    ),
  )
})

test('shares are whole, in proportion, at most what one sample may cost, and add up', t => {
  const weights = fc.array(fc.nat(1e5), { minLength: 1, maxLength: 20 })
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  fc.assert(
    fc.property(fc.nat(1e6), weights, fc.nat(1e5), (total, weights, most) => {
      const parts = share(total, weights)
      t.is(sum(parts), total)
      for (const [at, part] of parts.entries()) {
        t.true(Number.isInteger(part) && part >= 0)
        if (sum(weights) > 0) t.true(Math.abs(part - (total * weights[at]!) / sum(weights)) < 1)
      }
      const bounded = share(total, weights, most)
      t.is(sum(bounded), total)
      t.true(bounded.every(part => Number.isInteger(part) && part >= 0))
      if (total <= most * weights.length) t.true(bounded.every(part => part <= most))
    }),
  )
})
