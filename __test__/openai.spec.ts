import { inspect } from 'node:util'
import test from 'ava'
import { SurefootError } from '../src/errors.ts'
import { type OpenAIGenerator, type OpenAIOptions, openai } from '../src/generator/openai.ts'
import { json, type Kind, type OpenAIServer, withServer } from './helpers/openai-server.ts'

const policy = (server: OpenAIServer, options: Partial<OpenAIOptions> = {}): OpenAIGenerator =>
  openai({ baseURL: server.url, model: 'm', ...options })

const kinds = ['vllm', 'sglang', 'llama.cpp', 'deepseek', 'mistral', 'openai', 'plain'] as const
const dialects = {
  vllm: 'vllm',
  sglang: 'sglang',
  'llama.cpp': 'llama.cpp',
  deepseek: 'prefix',
  mistral: 'prefix',
  openai: 'none',
  plain: 'none',
} as const
const continuing = ['vllm', 'sglang', 'llama.cpp', 'deepseek', 'mistral'] as const

for (const kind of kinds) {
  test(`${kind} is recognised, once, and shows in dialect, id and capabilities`, t =>
    withServer(kind, async server => {
      const generator = policy(server)
      t.is(generator.dialect, 'auto')
      t.false(generator.capabilities.prefill)
      await Promise.all([generator.ready(), generator.ready(), generator.sample({ problem: 'p' })])
      await generator.ready()
      t.is(server.seen.filter(({ method }) => method === 'GET').length, 1)
      t.is(generator.dialect, dialects[kind])
      t.is(generator.id, `m at ${server.url} (${dialects[kind]}, chat)`)
      t.is(generator.capabilities.prefill, (continuing as readonly Kind[]).includes(kind))
    }))

  test(`${kind} tells a step that ended from an answer that ended`, t =>
    withServer(kind, async server => {
      const generator = policy(server)
      const [step] = await generator.sample({ problem: 'p', until: 'step' })
      t.is(step!.text, 'One.')
      t.is(step!.ended, 'step')
      server.write = () => ['Two.']
      const [answer] = await generator.sample({ problem: 'p', until: 'step' })
      t.like(answer, { text: 'Two.', ended: 'answer' })
      server.write = () => ['a', 'b', ' EN', 'D c', '\n\n']
      const [stop] = await generator.sample({ problem: 'p', until: 'step', stop: ['END', 'x'] })
      t.like(stop, { text: 'ab ', ended: 'stop', stop: 'END' })
      const [length] = await generator.sample({ problem: 'p', until: 'step', stop: ['END'], maxTokens: 2 })
      t.like(length, { text: 'ab', ended: 'length' })
      const [whole] = await generator.sample({ problem: 'p' })
      t.like(whole, { text: 'ab END c\n\n', ended: 'answer' })
    }))

  test(`${kind} writes n samples with the seeds seed, seed + 1, …`, t =>
    withServer(kind, async server => {
      server.write = (seed, index) => [`${seed ?? `n${index}`}`]
      const generator = policy(server)
      await generator.ready()
      if (kind === 'deepseek') {
        const error = await t.throwsAsync(generator.sample({ problem: 'p', n: 3, seed: 5 }))
        t.like(error, { code: 'ERR_CAPABILITY', data: { missing: 'seed' } })
      } else {
        const samples = await generator.sample({ problem: 'p', n: 3, seed: 5 })
        t.deepEqual(
          samples.map(({ text }) => text),
          ['5', '6', '7'],
        )
      }
      t.is((await generator.sample({ problem: 'p', n: 3 })).length, 3)
      const requests = server.asked.length
      const single = kind === 'deepseek' || kind === 'sglang' || kind === 'mistral'
      t.is(requests, kind === 'deepseek' ? 3 : kind === 'openai' ? 3 : single ? 4 : 2)
    }))
}

test('vLLM and SGLang are asked to continue the final message', async t => {
  for (const kind of ['vllm', 'sglang'] as const) {
    await withServer(kind, async server => {
      const generator = policy(server)
      await generator.sample({ problem: 'p', system: 's', prefix: 'One.\n\n', until: 'step', stop: ['END'], seed: 3 })
      await generator.sample({ problem: 'p' })
      const [begun, fresh] = server.asked
      t.deepEqual(begun, {
        model: 'm',
        messages: [
          { role: 'system', content: 's' },
          { role: 'user', content: 'p' },
          { role: 'assistant', content: 'One.\n\n' },
        ],
        continue_final_message: true,
        add_generation_prompt: false,
        max_tokens: 2048,
        temperature: 0.7,
        seed: 3,
        stop: ['\n\n', 'END'],
        top_p: 1,
        top_k: -1,
        min_p: 0,
        repetition_penalty: 1,
      })
      t.deepEqual(fresh!.messages, [{ role: 'user', content: 'p' }])
      t.false('continue_final_message' in fresh!)
      t.false('stop' in fresh!)
    })
  }
})

test('llama.cpp continues a last message, and is streamed and left where the text is to stop', t =>
  withServer('llama.cpp', async server => {
    const [sample] = await policy(server).sample({ problem: 'p', prefix: 'Zero.\n\n', until: 'step' })
    const [body] = server.asked
    t.deepEqual(body!.messages!.at(-1), { role: 'assistant', content: 'Zero.\n\n' })
    t.false('stop' in body!)
    t.like(body, { stream: true, top_k: 0, min_p: 0, top_p: 1, repeat_penalty: 1, timings_per_token: true })
    t.like(sample, { text: 'One.', ended: 'step', tokens: 2, promptTokens: 10 })
    t.false('estimated' in sample!)
  }))

test('DeepSeek and Mistral get prefix: true, and Mistral nothing that it refuses', async t => {
  for (const kind of ['deepseek', 'mistral'] as const) {
    await withServer(kind, async server => {
      const [sample] = await policy(server).sample({ problem: 'p', prefix: 'Zero', until: 'step' })
      t.deepEqual(server.asked[0]!.messages!.at(-1), { role: 'assistant', content: 'Zero', prefix: true })
      t.like(sample, { text: 'One.', ended: 'step' })
    })
  }
})

test('a server without prefill refuses a prefix before it is asked for text, and says what to use instead', t =>
  withServer('openai', async server => {
    const error = await t.throwsAsync(policy(server).sample({ problem: 'p', prefix: 'x' }))
    t.like(error, { code: 'ERR_CAPABILITY', data: { missing: 'prefill' } })
    t.regex(error.message, /best-of-n or majority/)
    t.deepEqual(server.asked, [])
  }))

test('a dialect that is named is not asked for', t =>
  withServer('plain', async server => {
    const generator = policy(server, { dialect: 'prefix' })
    t.is(generator.dialect, 'prefix')
    await generator.sample({ problem: 'p', prefix: 'x' })
    t.true(server.seen.every(({ method }) => method === 'POST'))
  }))

test('hosts that everybody knows are recognised without a question', t => {
  const at = (baseURL: string): OpenAIGenerator => openai({ baseURL, model: 'm', apiKey: 'k' })
  t.is(at('https://api.openai.com/v1').dialect, 'none')
  t.is(at('https://api.mistral.ai/v1').dialect, 'prefix')
  t.true(at('https://api.deepseek.com/beta').capabilities.prefill)
  t.false(at('https://api.deepseek.com').capabilities.prefill)
  t.is(at('https://example.org/v1').dialect, 'auto')
})

test('the completions endpoint takes the prompt as a text, which every server continues', async t => {
  for (const kind of ['vllm', 'sglang', 'llama.cpp', 'plain'] as const) {
    await withServer(kind, async server => {
      const generator = policy(server, { endpoint: 'completions' })
      t.true(generator.capabilities.prefill)
      const request = { problem: 'p', system: 's', prefix: 'Zero. ', until: 'step', logprobs: true } as const
      const [sample] = await generator.sample(request)
      t.is(server.asked[0]!.prompt, 's\n\np\nZero. ')
      t.is(server.asked[0]!.logprobs as unknown, 1)
      t.like(sample, { text: 'One.', ended: 'step' })
      t.deepEqual(sample!.logprobs!.slice(0, 1), [-0.5])
      const own = policy(server, {
        endpoint: 'completions',
        template: ({ problem, system, prefix }) => `<${system}|${problem}>${prefix}`,
      })
      await own.sample(request)
      t.is(server.asked[1]!.prompt, '<s|p>Zero. ')
    })
  }
})

test('settings go to servers that know them', async t => {
  const settings = { topK: 20, topP: 0.9, minP: 0.1, repetitionPenalty: 1.1, bans: [7, 9] } as const
  await withServer('vllm', async server => {
    await policy(server).sample({ problem: 'p', ...settings, bans: [7, 'no'] })
    t.like(server.asked[0], { top_k: 20, top_p: 0.9, min_p: 0.1, repetition_penalty: 1.1, bad_words: ['no'] })
    t.deepEqual(server.asked[0]!.logit_bias, { 7: -100 })
  })
  await withServer('llama.cpp', async server => {
    await policy(server).sample({ problem: 'p', ...settings, maxTokens: 16 })
    t.like(server.asked[0], { top_k: 20, top_p: 0.9, min_p: 0.1, repeat_penalty: 1.1 })
    t.deepEqual(server.asked[0]!.logit_bias, [
      [7, false],
      [9, false],
    ])
    t.true((server.asked[0]!.repeat_last_n as number) >= 16)
  })
  await withServer('openai', async server => {
    await policy(server).sample({ problem: 'p', topP: 0.9, bans: [7] })
    t.like(server.asked.at(-1), { top_p: 0.9, logit_bias: { 7: -100 } })
  })
})

test('a setting that a server does not know is refused by name, never dropped', async t => {
  const cases = [
    ['openai', { topK: 1 }, 'topK'],
    ['plain', { minP: 0.1 }, 'minP'],
    ['mistral', { repetitionPenalty: 1.1 }, 'repetitionPenalty'],
    ['mistral', { bans: [1] }, 'bans'],
    ['sglang', { bans: ['no'] }, 'bans'],
    ['llama.cpp', { bans: ['no'] }, 'bans'],
    ['deepseek', { seed: 1 }, 'seed'],
    ['mistral', { logprobs: true }, 'logprobs'],
  ] as const
  for (const [kind, settings, missing] of cases) {
    await withServer(kind, async server => {
      const error = await t.throwsAsync(policy(server).sample({ problem: 'p', ...settings }))
      t.like(error, { code: 'ERR_CAPABILITY', data: { missing } }, `${kind} ${missing}`)
      t.deepEqual(server.asked, [])
    })
  }
})

test('the path sets requests apart by their seeds, below 2^31 and always the same', t =>
  withServer('vllm', async server => {
    const generator = policy(server)
    const seeds = async (path: string): Promise<unknown[]> => {
      const before = server.asked.length
      await generator.sample({ problem: 'p', n: 3, seed: 2 ** 40, path, temperature: 0 })
      return server.asked.slice(before).map(({ seed }) => seed)
    }
    const [a, b, again] = [await seeds('0/1'), await seeds('0/2'), await seeds('0/1')]
    t.is(a.length, 3)
    t.deepEqual(again.toSorted(), a.toSorted())
    t.is(new Set([...a, ...b]).size, 6)
    t.true([...a, ...b].every(seed => (seed as number) < 2 ** 31))
    await generator.sample({ problem: 'p' })
    t.false('seed' in server.asked.at(-1)!)
  }))

test('a model that wants max_completion_tokens gets it, and the generator remembers', t =>
  withServer('openai', async server => {
    const generator = policy(server)
    await generator.sample({ problem: 'p', maxTokens: 9 })
    await generator.sample({ problem: 'p', maxTokens: 9 })
    t.deepEqual(
      server.asked.map(body => [body.max_tokens, body.max_completion_tokens]),
      [
        [9, undefined],
        [undefined, 9],
        [undefined, 9],
      ],
    )
  }))

test('extraBody reaches the server, but not what would make the answer another', t =>
  withServer('vllm', async server => {
    const extraBody = { chat_template_kwargs: { enable_thinking: false } }
    await policy(server, { extraBody }).sample({ problem: 'p' })
    t.like(server.asked[0], extraBody)
    t.throws(() => policy(server, { extraBody: { n: 2 } }), { message: /extraBody: may not set n/ })
  }))

test('tokens of n samples are shares of what the server counted, and add up to it', t =>
  withServer('vllm', async server => {
    server.write = (_, index) => Array.from({ length: 3 * index + 1 }, () => 'word ')
    const samples = await policy(server).sample({ problem: 'p', n: 4 })
    t.is(
      samples.reduce((sum, { tokens }) => sum + tokens, 0),
      1 + 4 + 7 + 10 + 4,
    )
    t.true(samples.every(({ estimated, promptTokens }) => estimated && promptTokens === 10))
    server.faults.usage = false
    const [guess] = await policy(server).sample({ problem: 'p' })
    t.true(guess!.estimated && guess!.tokens > 0 && guess!.promptTokens > 0)
  }))

test('logprobs come with the samples, and their lack is an error', async t => {
  for (const kind of ['vllm', 'sglang', 'llama.cpp', 'openai', 'deepseek'] as const) {
    await withServer(kind, async server => {
      const generator = policy(server)
      const [sample] = await generator.sample({ problem: 'p', logprobs: true })
      t.deepEqual(sample!.logprobs, [-0.5, -1.5, -2.5].slice(0, sample!.logprobs!.length))
      t.true(generator.capabilities.logprobs)
      const [step] = await generator.sample({ problem: 'p', logprobs: true, until: 'step' })
      t.true(step!.logprobs!.length > 0)
      server.faults.logprobs = false
      const error = await t.throwsAsync(generator.sample({ problem: 'p', logprobs: true }))
      t.like(error, { code: 'ERR_CAPABILITY', data: { missing: 'logprobs' } })
      t.false(generator.capabilities.logprobs)
    })
  }
})

test('text is heard as it is written, also of several samples, and without what ends it', async t => {
  for (const kind of kinds) {
    await withServer(kind, async server => {
      server.write = (_, index) => [`a${index}`, 'ü😀', '\n', 'b\n', '\n', 'c']
      const heard = ['', '']
      const pieces: string[] = []
      const onText = (text: string, index: number): void => {
        heard[index] += text
        pieces.push(text)
      }
      const samples = await policy(server).sample({ problem: 'p', n: 2, until: 'step' }, { onText })
      t.deepEqual(
        samples.map(({ text, ended }) => [text, ended]),
        [0, 1].map(index => [`a${kind === 'vllm' || kind === 'sglang' ? index : 0}ü😀\nb`, 'step']),
      )
      t.deepEqual(
        samples.map(({ text }) => text),
        heard,
      )
      t.true(pieces.length > 2)
    })
  }
})

test('several choices of one stream are told apart by their index', t =>
  withServer('vllm', async server => {
    server.write = (_, index) => [`${index}`, ' x', ' y']
    const heard = ['', '', '']
    const samples = await policy(server).sample(
      { problem: 'p', n: 3 },
      { onText: (text, index) => (heard[index] += text) },
    )
    t.is(server.asked.length, 1)
    t.deepEqual(heard, ['0 x y', '1 x y', '2 x y'])
    t.deepEqual(
      samples.map(({ text }) => text),
      heard,
    )
  }))

test('no answer, a refusal and a thought are no text; parts of text are', t =>
  withServer('plain', async server => {
    const contents: unknown[] = [
      null,
      undefined,
      [
        { type: 'thinking', thinking: 'hm' },
        { type: 'text', text: 'yes' },
      ],
      '\ud800 lone',
    ]
    const texts: string[] = []
    for (const content of contents) {
      server.hook = ({ method }, response) => {
        if (method === 'GET') return false
        const message = { role: 'assistant', content, refusal: 'no', reasoning_content: 'thought' }
        json(response, 200, { choices: [{ index: 0, message, finish_reason: 'stop' }] })
        return true
      }
      texts.push((await policy(server).sample({ problem: 'p' }))[0]!.text)
    }
    t.deepEqual(texts, ['', '', 'yes', '\ufffd lone'])
  }))

test('a key from the environment is for api.openai.com alone', async t => {
  const before = process.env.OPENAI_API_KEY
  process.env.OPENAI_API_KEY = 'sk-from-the-environment'
  try {
    await withServer('plain', async server => {
      await policy(server).sample({ problem: 'p' })
      t.true(server.seen.every(({ headers }) => headers.authorization === undefined))
      let sent: RequestInit | undefined
      const fetch = (async (_: unknown, init: RequestInit) => {
        sent = init
        return Response.json({ choices: [{ message: { content: 'x' }, finish_reason: 'stop' }] })
      }) as typeof globalThis.fetch
      await openai({ model: 'm', fetch }).sample({ problem: 'p' })
      t.is(new Headers(sent!.headers).get('authorization'), 'Bearer sk-from-the-environment')
      await openai({ baseURL: 'http://api.openai.com/v1', model: 'm', fetch }).sample({ problem: 'p' })
      t.is(new Headers(sent!.headers).get('authorization'), null)
    })
  } finally {
    if (before === undefined) delete process.env.OPENAI_API_KEY
    else process.env.OPENAI_API_KEY = before
  }
})

test('the key is in no id, no description and no JSON of the generator', t => {
  const generator = openai({ baseURL: 'http://127.0.0.1:1/v1?key=query-secret', model: 'm', apiKey: 'sk-secret-key' })
  const shown = [inspect(generator, { depth: 9, showHidden: true }), JSON.stringify(generator), generator.id].join()
  t.notRegex(shown, /secret/)
  t.deepEqual(Object.keys(generator).sort(), ['capabilities', 'dialect', 'id', 'ready', 'sample', 'separator'])
})

test('options are checked, and what may be a secret is not repeated', t => {
  const bad: [Partial<Record<keyof OpenAIOptions, unknown>>, RegExp][] = [
    [{ model: '' }, /model:/],
    [{ baseURL: 'ftp://x' }, /baseURL:/],
    [{ baseURL: 'http://user:secret@x/v1' }, /baseURL:/],
    [{ apiKey: 'sec ret\n' }, /apiKey:/],
    [{ headers: { 'x y': 'secret' } }, /headers\[x y\]:/],
    [{ headers: { x: 'secret\nz' } }, /headers\[x\]:/],
    [{ dialect: 'tgi' }, /dialect:/],
    [{ endpoint: 'responses' }, /endpoint:/],
    [{ template: () => '' }, /template:/],
    [{ concurrency: 0 }, /concurrency:/],
    [{ timeout: 0 }, /timeout:/],
    [{ retries: -1 }, /retries:/],
    [{ separator: '' }, /separator:/],
    [{ extraBody: { a: 1n } }, /extraBody:/],
  ]
  for (const [options, message] of bad) {
    const error = t.throws(() => openai({ model: 'm', ...options } as OpenAIOptions), {
      instanceOf: SurefootError,
      message,
    })
    t.notRegex(inspect(error, { depth: 9 }), /secret|sec ret/)
  }
})
