import { setTimeout as sleep } from 'node:timers/promises'
import { AIMessage, AIMessageChunk, type BaseMessage } from '@langchain/core/messages'
import { FakeListChatModel, FakeStreamingChatModel } from '@langchain/core/utils/testing'
import test from 'ava'
import { SurefootError } from '../src/errors.ts'
import { type ChatMessage, type ChatModel, fromChatModel } from '../src/generator/chat-model.ts'
import { failureOf } from './helpers/fixtures.ts'

test('FakeListChatModel: n calls give n answers in order, and a step ends at its separator', async t => {
  const model = new FakeListChatModel({ responses: ['One.\n\nTwo.', 'Uno.\n\nDos.'] })
  const policy = fromChatModel(model, { concurrency: 1 })
  t.is(policy.id, 'FakeListChatModel')
  t.deepEqual(policy.capabilities, { prefill: false, n: false, stopReason: true, logprobs: false, seed: false })
  const whole = await policy.sample({ problem: 'p', n: 2 })
  t.deepEqual(
    whole.map(({ text }) => text),
    ['One.\n\nTwo.', 'Uno.\n\nDos.'],
  )
  const heard: [number, string][] = []
  const steps = await policy.sample(
    { problem: 'p', n: 2, until: 'step' },
    { onText: (text, index) => heard.push([index, text]) },
  )
  t.like(steps[0], { text: 'One.', ended: 'step', estimated: true })
  t.like(steps[1], { text: 'Uno.', ended: 'step', estimated: true })
  const of = (wanted: number) => heard.flatMap(([index, text]) => (index === wanted ? text : []))
  t.is(of(0).join(''), 'One.')
  t.true(of(1).length > 1, 'it streams')
  const [stopped] = await policy.sample({ problem: 'p', stop: ['Two'] })
  t.like(stopped, { text: 'One.\n\n', ended: 'stop', stop: 'Two' })
})

test('FakeListChatModel: why the answer ended is read from the metadata', async t => {
  const ended = async (generationInfo: object) => {
    const model = new FakeListChatModel({
      responses: ['abc'],
      generationInfo: generationInfo as Record<string, unknown>,
    })
    return failureOf(
      fromChatModel(model)
        .sample({ problem: 'p', until: 'step' })
        .then(([sample]) => Promise.reject(String(sample!.ended))),
    )
  }
  t.is(await ended({ finish_reason: 'stop' }), 'answer')
  t.is(await ended({ stop_reason: 'end_turn' }), 'answer')
  t.is(await ended({ finishReason: 'MAX_TOKENS' }), 'length')
  t.is(await ended({ done_reason: 'length' }), 'length')
  t.is(await ended({ finish_reason: 'whatever', normalized_finish_reason: 'context_exceeded' }), 'length')
  t.is(await ended({ stop_reason: 'stop_sequence' }), 'null')
  t.is(await ended({}), 'null')
  t.regex(await ended({ finish_reason: 'content_filter' }), /^ERR_HTTP: .*not whole.*content_filter/)
  t.regex(await ended({ finish_reason: 'SAFETY' }), /^ERR_HTTP: .*not whole/)
})

test('FakeStreamingChatModel: contents in parts, the usage of all chunks, and a model with bound options', async t => {
  const tokens = (input: number, output: number) => ({ input_tokens: input, output_tokens: output, total_tokens: 0 })
  const usage: object[] = [tokens(9, 0), {}, tokens(0, 4)]
  const chunks = [
    new AIMessageChunk({ content: [{ type: 'reasoning', reasoning: 'hm\n\n' }] }),
    new AIMessageChunk({ content: [{ type: 'text', text: 'The ans' }] }),
    new AIMessageChunk({ content: 'wer.' }),
  ]
  class Counted extends FakeStreamingChatModel {
    override async *_streamResponseChunks(...call: Parameters<FakeStreamingChatModel['_streamResponseChunks']>) {
      let index = 0
      for await (const chunk of super._streamResponseChunks(...call)) {
        Object.assign(chunk.message, { usage_metadata: usage[index++] })
        yield chunk
      }
    }
  }
  const model = new Counted({ chunks, sleep: 0 })
  const heard: string[] = []
  const [sample] = await fromChatModel(model).sample({ problem: 'p' }, { onText: text => heard.push(text) })
  t.deepEqual(sample, { text: 'The answer.', ended: null, promptTokens: 9, tokens: 4 })
  t.deepEqual(heard, ['The ans', 'wer.'])
  const bound = fromChatModel(model.withConfig({ stop: ['x'] }))
  t.is(bound.id, 'Counted')
  t.is((await bound.sample({ problem: 'p', stop: ['wer'] }))[0]!.text, 'The ans')
})

test('The messages are such as LangChain takes: system, problem, and the prefix where the model goes on from it', async t => {
  const seen: (readonly [string, unknown])[][] = []
  class Listening extends FakeListChatModel {
    override async _generate(messages: BaseMessage[], ...rest: [this['ParsedCallOptions'], never?]) {
      seen.push(messages.map(message => [message.getType(), message.content] as const))
      return super._generate(messages, ...rest)
    }
  }
  const model = new Listening({ responses: ['ok'] })
  await fromChatModel(model).sample({ problem: 'p', system: 's' })
  await fromChatModel(model, { prefill: true }).sample({ problem: 'p', prefix: 'So far' })
  t.deepEqual(seen, [
    [
      ['system', 's'],
      ['human', 'p'],
    ],
    [
      ['human', 'p'],
      ['ai', 'So far'],
    ],
  ])
  t.regex(await failureOf(fromChatModel(model).sample({ problem: 'p', prefix: 'So' })), /^ERR_CAPABILITY: .*prefill/)
})

test('A setting that belongs to the model as it was made is an error where the request names it', async t => {
  const policy = fromChatModel(new FakeListChatModel({ responses: ['ok'] }))
  const settings = { temperature: 0, maxTokens: 5, topK: 1, topP: 0.5, minP: 0.1, seed: 1, logprobs: true, bans: [1] }
  for (const [name, value] of Object.entries({ ...settings, repetitionPenalty: 2 })) {
    const failure = await failureOf(policy.sample({ problem: 'p', [name]: value }))
    t.regex(failure, new RegExp(`^ERR_CAPABILITY: the request sets ${name}, .*a model that is made with it`))
  }
  t.is((await policy.sample({ problem: 'p', topP: 1, bans: [], logprobs: false }))[0]!.text, 'ok')
})

/** A model of nothing but what is used. */
function plain(answer: (messages: ChatMessage[], options?: { stop?: string[] }) => unknown): ChatModel {
  return { invoke: async (messages, options) => answer(messages, options) }
}

test('A model that cannot stream gets the stop texts, and does not tell which end came', async t => {
  const asked: (string[] | undefined)[] = []
  const message = Object.assign(new AIMessage('One.\n\nTwo.'), {
    usage_metadata: { input_tokens: 3, output_tokens: 5, total_tokens: 8 },
    response_metadata: { finish_reason: 'stop' },
  })
  const policy = fromChatModel(
    plain((_, options) => {
      asked.push(options?.stop)
      return message
    }),
    { id: 'mine' },
  )
  t.is(policy.id, 'mine')
  t.false(policy.capabilities.stopReason)
  const ask = async (request: object) => (await policy.sample({ problem: 'p', ...request }))[0]
  t.deepEqual(await ask({}), { text: 'One.\n\nTwo.', ended: 'answer', promptTokens: 3, tokens: 5 })
  t.deepEqual(await ask({ stop: ['#'] }), { text: 'One.\n\nTwo.', ended: null, promptTokens: 3, tokens: 5 })
  t.deepEqual(await ask({ until: 'step' }), { text: 'One.', ended: 'step', promptTokens: 3, tokens: 5 })
  t.deepEqual(asked, [undefined, ['#'], ['\n\n']])
})

test('What the model throws is the cause of an error that names it; a message without text is one', async t => {
  const cause = new Error('401 no such key')
  const fails = fromChatModel(new FakeStreamingChatModel({ thrownErrorString: '401 no such key', sleep: 0 }), {})
  t.regex(await failureOf(fails.sample({ problem: 'p', stop: ['#'] })), /^ERR_HTTP: FakeStreamingChatModel failed: 401/)
  const error = await t.throwsAsync(fromChatModel(plain(() => Promise.reject(cause))).sample({ problem: 'p' }))
  t.true(SurefootError.isInstance(error) && error.code === 'ERR_HTTP' && error.cause === cause)
  for (const message of [null, 'text', { content: 3 }, { content: [{ type: 'text', text: null }] }]) {
    t.regex(await failureOf(fromChatModel(plain(() => message)).sample({ problem: 'p' })), /^ERR_HTTP: .*no text/)
  }
  t.throws(() => fromChatModel({} as ChatModel), { message: /an object with invoke/ })
})

test('An abort rejects with its reason and stops the stream', async t => {
  const model = new FakeListChatModel({ responses: ['a long answer of many characters'], sleep: 2 })
  const stop = new AbortController()
  const reason = new Error('enough')
  const heard: string[] = []
  const onText = (text: string): void => {
    heard.push(text)
    if (heard.length === 3) stop.abort(reason)
  }
  const policy = fromChatModel(model)
  t.is(await t.throwsAsync(policy.sample({ problem: 'p', n: 2 }, { signal: stop.signal, onText })), reason)
  await sleep(20)
  t.is(heard.length, 3)
})
