import { setTimeout as sleep } from 'node:timers/promises'
import { APICallError } from 'ai6'
import { MockLanguageModelV3, simulateReadableStream } from 'ai6/test'
import { MockLanguageModelV4 } from 'ai7/test'
import test from 'ava'
import { SurefootError } from '../src/errors.ts'
import { fromLanguageModel, type LanguageModel, type LanguageModelCall } from '../src/generator/language-model.ts'
import { failureOf } from './helpers/fixtures.ts'

const usage = (input: number | undefined, output: number | undefined) => ({
  inputTokens: { total: input, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: output, text: undefined, reasoning: undefined },
})

const generated = (text: string, more: object = {}) => ({
  content: [
    { type: 'reasoning' as const, text: 'hm, let me think' },
    { type: 'text' as const, text: text.slice(0, 3) },
    { type: 'text' as const, text: text.slice(3) },
  ],
  finishReason: { unified: 'stop' as const, raw: 'stop' },
  usage: usage(11, 7),
  warnings: [],
  ...more,
})

type Reason = 'stop' | 'length' | 'content-filter' | 'error' | 'tool-calls' | 'other'

const chunks = (pieces: readonly string[], reason: Reason = 'stop') => [
  { type: 'stream-start' as const, warnings: [] },
  { type: 'reasoning-start' as const, id: 'r' },
  { type: 'reasoning-delta' as const, id: 'r', delta: 'first\n\nthink' },
  { type: 'reasoning-end' as const, id: 'r' },
  { type: 'text-start' as const, id: '1' },
  ...pieces.map(delta => ({ type: 'text-delta' as const, id: '1', delta })),
  { type: 'text-end' as const, id: '1' },
  { type: 'finish' as const, finishReason: { unified: reason, raw: reason }, usage: usage(11, 7) },
]

const streamed = (pieces: readonly string[], reason: Reason = 'stop') => ({
  stream: simulateReadableStream({ chunks: chunks(pieces, reason), initialDelayInMs: null, chunkDelayInMs: null }),
})

/** The mock models of both majors; their types must fit as they are. */
const majors = [
  ['ai@6 (V3)', MockLanguageModelV3],
  ['ai@7 (V4)', MockLanguageModelV4],
] as const

for (const [name, Mock] of majors) {
  test(`${name}: an answer is its texts, without reasoning, with the tokens that the provider counted`, async t => {
    const model = new Mock({ doGenerate: generated('The answer is 4.') })
    const policy = fromLanguageModel(model)
    t.is(policy.id, 'mock-provider/mock-model-id')
    t.deepEqual(policy.capabilities, { prefill: false, n: false, stopReason: true, logprobs: false, seed: true })
    const request = { problem: '2 + 2?', system: 'Be brief.', n: 3, topK: 5, topP: 0.9, seed: 40, maxTokens: 99 }
    const samples = await policy.sample(request)
    t.is(samples.length, 3)
    t.deepEqual(samples[0], { text: 'The answer is 4.', ended: 'answer', promptTokens: 11, tokens: 7 })
    const [call] = model.doGenerateCalls
    t.deepEqual(call!.prompt as unknown, [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: '2 + 2?' }] },
    ])
    t.like(call, { temperature: 0.7, topK: 5, topP: 0.9, maxOutputTokens: 99 })
    t.false('stopSequences' in call!)
    t.deepEqual(model.doGenerateCalls.map(({ seed }) => seed).toSorted(), [40, 41, 42])
  })

  test(`${name}: a step ends at the separator wherever the pieces are cut, and the stream is closed there`, async t => {
    const whole = 'One 😀.\n\nTwo.\n\nThree.'
    for (const size of [1, 2, 3, 5, 100]) {
      const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
        whole.slice(i * size, i * size + size),
      )
      let cancelled = false
      let aborted = false
      const model = new Mock({
        doStream: async ({ abortSignal }: { abortSignal?: AbortSignal }) => {
          abortSignal!.addEventListener('abort', () => {
            aborted = true
          })
          const all = chunks(pieces)
          let next = 0
          const pull = (controller: ReadableStreamDefaultController): void =>
            next < all.length ? controller.enqueue(all[next++]) : controller.close()
          const cancel = (): void => {
            cancelled = true
          }
          return { stream: new ReadableStream({ pull, cancel }, { highWaterMark: 0 }) }
        },
      })
      const heard: string[] = []
      const [sample] = await fromLanguageModel(model).sample(
        { problem: 'p', until: 'step' },
        { onText: text => heard.push(text) },
      )
      t.like(sample, { text: 'One 😀.', ended: 'step', estimated: true })
      t.is(heard.join(''), 'One 😀.')
      t.true(heard.every(text => text.isWellFormed()))
      t.true(cancelled && aborted)
      t.false('stopSequences' in model.doStreamCalls[0]!)
    }
  })

  test(`${name}: why a sample ended is exact: separator, stop text, answer, length`, async t => {
    const model = new Mock({
      doStream: [
        streamed(['a STOP b']),
        streamed(['only', ' this']),
        streamed(['cut o'], 'length'),
        streamed(['x'], 'other'),
      ],
    })
    const policy = fromLanguageModel(model)
    const write = async () => (await policy.sample({ problem: 'p', until: 'step', stop: ['STOP'] }))[0]
    t.like(await write(), { text: 'a ', ended: 'stop', stop: 'STOP' })
    t.deepEqual(await write(), { text: 'only this', ended: 'answer', promptTokens: 11, tokens: 7 })
    t.like(await write(), { text: 'cut o', ended: 'length' })
    t.like(await write(), { text: 'x', ended: null })
  })

  test(`${name}: what it cannot pass on is an error, not left out`, async t => {
    const policy = fromLanguageModel(new Mock({ doGenerate: generated('ok') }))
    for (const more of [{ minP: 0.1 }, { repetitionPenalty: 1.1 }, { bans: ['x'] }, { logprobs: true }]) {
      const failure = await failureOf(policy.sample({ problem: 'p', ...more }))
      t.regex(failure, /^ERR_CAPABILITY: .*mock-model-id/, Object.keys(more)[0])
    }
    const failure = await failureOf(policy.sample({ problem: 'p', prefix: 'Let me' }))
    t.regex(failure, /^ERR_CAPABILITY: .*prefill.*best-of-n/)
    const neutral = { minP: 0, repetitionPenalty: 1, bans: [], logprobs: false }
    t.is((await policy.sample({ problem: 'p', ...neutral }))[0]!.text, 'ok')
  })

  test(`${name}: a provider that leaves a setting out is not silent about it`, async t => {
    const warnings = ['topK', 'seed', 'temperature'].map(feature => ({
      type: 'unsupported' as const,
      feature,
      details: `${feature} is for others`,
    }))
    const policy = fromLanguageModel(new Mock({ doGenerate: generated('ok', { warnings }) }))
    t.true(policy.capabilities.seed)
    t.is((await policy.sample({ problem: 'p', seed: 3 }))[0]!.text, 'ok', 'a default is no wish')
    t.false(policy.capabilities.seed)
    t.regex(await failureOf(policy.sample({ problem: 'p', topK: 3 })), /^ERR_CAPABILITY: .*topK \(topK is for others\)/)
    t.regex(await failureOf(policy.sample({ problem: 'p', temperature: 1 })), /^ERR_CAPABILITY: .*sets temperature/)
    const chunksOf = [{ type: 'stream-start' as const, warnings }, ...chunks(['late']).slice(1)]
    const streams = fromLanguageModel(new Mock({ doStream: { stream: simulateReadableStream({ chunks: chunksOf }) } }))
    t.regex(await failureOf(streams.sample({ problem: 'p', topK: 3, stop: ['#'] })), /^ERR_CAPABILITY: .*topK/)
  })

  test(`${name}: a failure that passes is tried again, and its tokens count once`, async t => {
    let calls = 0
    const model = new Mock({
      doGenerate: async () => {
        if (++calls < 3) throw apiError(429, { 'retry-after-ms': '1' })
        return generated('third time')
      },
    })
    const [sample] = await fromLanguageModel(model).sample({ problem: 'p' })
    t.like(sample, { text: 'third time', tokens: 7 })
    t.is(calls, 3)
    calls = -9
    const error = await t.throwsAsync(fromLanguageModel(model, { maxRetries: 1 }).sample({ problem: 'p' }))
    t.true(SurefootError.isInstance(error) && error.code === 'ERR_HTTP' && error.data.status === 429)
    t.true(APICallError.isInstance(error!.cause))
    t.is(calls, -7)
    const refuses = new Mock({ doGenerate: () => Promise.reject(apiError(401, {})) })
    t.regex(await failureOf(fromLanguageModel(refuses).sample({ problem: 'p' })), /^ERR_HTTP: .*failed: answered 401/)
    t.is(refuses.doGenerateCalls.length, 1)
  })
}

function apiError(statusCode: number, responseHeaders: Record<string, string>): APICallError {
  const message = `answered ${statusCode}`
  return new APICallError({ message, statusCode, responseHeaders, url: 'http://x', requestBodyValues: {} })
}

test('what was heard is not written a second time: a stream that breaks off after its first text is an error', async t => {
  const broken = [
    ...chunks(['so far']).slice(0, 6),
    { type: 'error' as const, error: apiError(503, { 'retry-after-ms': '1' }) },
  ]
  const doStream = async () => ({
    stream: simulateReadableStream({ chunks: broken, initialDelayInMs: null, chunkDelayInMs: null }),
  })
  const loud = new MockLanguageModelV4({ doStream })
  const heard: string[] = []
  const failure = await failureOf(
    fromLanguageModel(loud).sample({ problem: 'p' }, { onText: text => heard.push(text) }),
  )
  t.regex(failure, /^ERR_HTTP: .*answered 503/)
  t.deepEqual(heard, ['so far'])
  t.is(loud.doStreamCalls.length, 1)
  const quiet = new MockLanguageModelV4({ doStream })
  await failureOf(fromLanguageModel(quiet, { maxRetries: 2 }).sample({ problem: 'p', stop: ['#'] }))
  t.is(quiet.doStreamCalls.length, 3)
})

test('an answer that is not whole is an error: a stream without an end, a filter, an error as its end', async t => {
  const ends = async (parts: object[]) => {
    const stream = simulateReadableStream({ chunks: parts, initialDelayInMs: null, chunkDelayInMs: null })
    const model = new MockLanguageModelV4({ doStream: { stream } as never })
    return failureOf(fromLanguageModel(model, { maxRetries: 0 }).sample({ problem: 'p', stop: ['#'] }))
  }
  t.regex(await ends(chunks(['so far']).slice(0, -1)), /^ERR_HTTP: .*broke off/)
  t.regex(await ends(chunks(['so'], 'content-filter')), /^ERR_HTTP: .*content-filter/)
  t.regex(await ends(chunks(['so'], 'error')), /^ERR_HTTP: .*ended by error/)
  t.regex(await ends([{ type: 'text-delta', id: '1', delta: 4 }]), /^ERR_HTTP: .*no text/)
})

/** As providers of ai@5 have them: flat usage, a string as finish reason. */
function modelV2(more: Partial<LanguageModel> = {}): LanguageModel & { calls: LanguageModelCall[] } {
  const calls: LanguageModelCall[] = []
  const result = {
    content: [{ type: 'text', text: 'Four.\n\nDone.' }],
    finishReason: 'stop',
    usage: { inputTokens: 5, outputTokens: 6, totalTokens: 11 },
    warnings: [{ type: 'unsupported-setting', setting: 'topK' }],
  }
  const doGenerate = async (call: LanguageModelCall) => {
    calls.push(call)
    return result
  }
  return {
    specificationVersion: 'v2',
    provider: 'old',
    modelId: 'm',
    doGenerate,
    doStream: undefined as never,
    calls,
    ...more,
  }
}

test('V2: usage is flat, the reason a string, and unsupported settings have another name', async t => {
  const model = modelV2()
  const policy = fromLanguageModel(model)
  const whole = { text: 'Four.\n\nDone.', ended: 'answer', promptTokens: 5, tokens: 6 }
  t.deepEqual(await policy.sample({ problem: 'p' }), [whole as never])
  t.regex(await failureOf(policy.sample({ problem: 'p', topK: 1 })), /^ERR_CAPABILITY: .*topK/)
})

test('A model that cannot stream gets the stop texts, and does not tell which end came', async t => {
  const model = modelV2()
  const policy = fromLanguageModel(model, { separator: '\n' })
  t.false(policy.capabilities.stopReason)
  const ask = async (request: object) => (await policy.sample({ problem: 'p', ...request }))[0]
  t.like(await ask({ stop: ['###'] }), { text: 'Four.\n\nDone.', ended: null })
  t.deepEqual(model.calls.at(-1)!.stopSequences, ['###'])
  t.like(
    await ask({ until: 'step' }),
    { text: 'Four.', ended: 'step', tokens: 6 },
    'a provider that overlooks the stop text',
  )
  t.deepEqual(model.calls.at(-1)!.stopSequences, ['\n'])
})

test('Usage that nobody counts is estimated, and says so', async t => {
  const model = new MockLanguageModelV4({ doGenerate: generated('eight by', { usage: usage(undefined, undefined) }) })
  t.deepEqual(await fromLanguageModel(model).sample({ problem: 'p' }), [
    { text: 'eight by', ended: 'answer', promptTokens: 2, tokens: 3, estimated: true },
  ])
})

test('A prefix is an assistant message where the user says that the provider goes on from it', async t => {
  const vllm = { vllm: { continue_final_message: true } }
  for (const prefill of [true, vllm]) {
    const model = new MockLanguageModelV4({ doGenerate: generated('more') })
    await fromLanguageModel(model, { prefill }).sample({ problem: 'p', prefix: 'So far' })
    const [call] = model.doGenerateCalls
    t.deepEqual(call!.prompt.at(-1) as unknown, { role: 'assistant', content: [{ type: 'text', text: 'So far' }] })
    t.deepEqual(call!.providerOptions as unknown, prefill === true ? undefined : vllm)
    await fromLanguageModel(model, { prefill }).sample({ problem: 'p' })
    t.is(model.doGenerateCalls[1]!.providerOptions, undefined)
  }
})

test('A model behind a Proxy works, with its private fields', async t => {
  class Provider {
    readonly specificationVersion = 'v3'
    readonly provider = 'private'
    readonly modelId = 'm'
    readonly #text = 'mine'
    async doGenerate() {
      return generated(this.#text)
    }
    async doStream() {
      return streamed([this.#text])
    }
  }
  const target = new Provider()
  const bound = (_: object, name: keyof Provider) => {
    const value = target[name]
    return typeof value === 'function' ? value.bind(target) : value
  }
  for (const model of [target, new Proxy(target, { get: bound as never })]) {
    const policy = fromLanguageModel(model)
    t.is((await policy.sample({ problem: 'p' }))[0]!.text, 'mine')
    t.is((await policy.sample({ problem: 'p', stop: ['#'] }))[0]!.text, 'mine')
  }
})

test('No more calls are under way than allowed, over all requests; the samples keep their order', async t => {
  let [now, most, count] = [0, 0, 0]
  const model = new MockLanguageModelV4({
    doGenerate: async ({ seed }) => {
      most = Math.max(most, ++now)
      await sleep((count++ * 7) % 5)
      now--
      return generated(`seed ${seed}`)
    },
  })
  const policy = fromLanguageModel(model, { concurrency: 3 })
  const both = await Promise.all([
    policy.sample({ problem: 'p', n: 9, seed: 0 }),
    policy.sample({ problem: 'q', n: 9, seed: 20 }),
  ])
  t.is(most, 3)
  t.deepEqual(
    both.map(samples => samples.map(({ text }) => text)),
    [
      Array.from({ length: 9 }, (_, index) => `seed ${index}`),
      Array.from({ length: 9 }, (_, index) => `seed ${index + 20}`),
    ],
  )
})

test('A path gives other seeds of 31 bits, the same ones each time', async t => {
  const model = new MockLanguageModelV4({ doGenerate: generated('ok') })
  const policy = fromLanguageModel(model, { concurrency: 1 })
  const seeds = async (path: string) => {
    await policy.sample({ problem: 'p', n: 2, seed: 1, path })
    return model.doGenerateCalls.slice(-2).map(({ seed }) => seed!)
  }
  const [a, again, b] = [await seeds('0/1'), await seeds('0/1'), await seeds('0/2')]
  t.deepEqual(a, again)
  t.is(new Set([...a, ...b, 1, 2]).size, 6)
  t.true([...a, ...b].every(seed => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31))
})

test('An abort rejects with its reason at once, closes the streams, and nothing is heard after it', async t => {
  let cancelled = 0
  const signals: AbortSignal[] = []
  const model = new MockLanguageModelV4({
    doStream: async ({ abortSignal }) => {
      signals.push(abortSignal!)
      const start = (controller: ReadableStreamDefaultController): void => {
        for (const part of chunks(['begun ']).slice(0, 6)) controller.enqueue(part)
      }
      const cancel = (): void => {
        cancelled++
      }
      return { stream: new ReadableStream({ start, cancel }) }
    },
  })
  const stop = new AbortController()
  const reason = new Error('enough')
  const heard: number[] = []
  const onText = (_: string, index: number): void => {
    heard.push(index)
    if (heard.length === 4) stop.abort(reason)
  }
  const policy = fromLanguageModel(model, { concurrency: 4 })
  const error = await t.throwsAsync(policy.sample({ problem: 'p', n: 20 }, { signal: stop.signal, onText }))
  t.is(error, reason)
  await sleep(5)
  t.is(heard.length, 4)
  t.is(cancelled, 4)
  t.true(signals.length === 4 && signals.every(({ aborted }) => aborted))
  t.is(await t.throwsAsync(policy.sample({ problem: 'p' }, { signal: stop.signal })), reason)
  t.is(signals.length, 4)
})

test('The first call that fails stops the others', async t => {
  const signals: AbortSignal[] = []
  const model = new MockLanguageModelV4({
    doGenerate: ({ abortSignal }) => {
      signals.push(abortSignal!)
      return signals.length < 3 ? new Promise(() => {}) : Promise.reject(apiError(400, {}))
    },
  })
  t.regex(await failureOf(fromLanguageModel(model).sample({ problem: 'p', n: 3 })), /answered 400/)
  t.deepEqual(
    signals.map(({ aborted }) => aborted),
    [true, true, true],
  )
})

test('What is no model of the AI SDK is refused with what would be', t => {
  const refused = (model: unknown) => t.throws(() => fromLanguageModel(model as LanguageModel))!.message
  t.regex(refused('openai/gpt-5'), /an object with doGenerate/)
  t.regex(refused(null), /an object with doGenerate/)
  t.regex(refused({ ...modelV2(), specificationVersion: 'v1' }), /specification v1.*update its provider/)
  for (const options of [{ concurrency: 0 }, { maxRetries: -1 }]) {
    t.throws(() => fromLanguageModel(modelV2(), options), { message: /must be a whole number/ })
  }
})
