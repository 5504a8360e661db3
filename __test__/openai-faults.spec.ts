import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import test from 'ava'
import { openai } from '../src/generator/openai.ts'
import {
  done,
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

for (const status of [408, 409, 429, 500, 502, 503, 504]) {
  test(`${status} is tried again, and nothing of it is counted`, t =>
    withServer('vllm', async server => {
      first(server, 2, refuse(status, { 'retry-after-ms': '1' }))
      const [sample] = await policy(server).sample({ problem: 'p' })
      t.is(server.asked.length, 3)
      t.is(sample!.tokens, 4)
    }))
}

for (const status of [400, 401, 403, 404, 413, 422, 501]) {
  test(`${status} is an error at once`, t =>
    withServer('vllm', async server => {
      first(server, 9, refuse(status, {}, { error: { message: 'the words of the server' } }))
      const error = await httpError(t, policy(server).sample({ problem: 'p' }))
      t.is(server.asked.length, 1)
      t.deepEqual(error.data, { status, url: `${server.url}/chat/completions`, attempts: 1 })
      t.regex(error.message, /the words of the server/)
    }))
}

test('retries end, and the error says how many there were', t =>
  withServer('vllm', async server => {
    first(server, 9, refuse(429, { 'retry-after-ms': '1' }))
    const error = await httpError(t, policy(server, { retries: 2 }).sample({ problem: 'p' }))
    t.is(server.asked.length, 3)
    t.like(error.data, { status: 429, attempts: 3 })
    t.regex(error.message, /tried 3 times/)
  }))

test('Retry-After is waited for, in seconds, as a date and in milliseconds', t =>
  withServer('vllm', async server => {
    const waits: [() => Record<string, string>, number][] = [
      [() => ({ 'retry-after': '0.15' }), 100],
      [() => ({ 'retry-after': new Date(Date.now() + 2000).toUTCString() }), 900],
      [() => ({ 'retry-after-ms': '150', 'retry-after': '60' }), 100],
    ]
    for (const [headers, least] of waits) {
      let refused = 0
      first(server, 1, (seen, response) => {
        refused = performance.now()
        return refuse(429, headers())(seen, response)
      })
      await policy(server).sample({ problem: 'p' })
      t.true(performance.now() - refused >= least, `${least} ms`)
    }
  }))

test('a quota that is used up does not come back in a moment', t =>
  withServer('vllm', async server => {
    first(server, 9, refuse(429, {}, { error: { message: 'no credit', code: 'insufficient_quota' } }))
    await httpError(t, policy(server).sample({ problem: 'p' }))
    t.is(server.asked.length, 1)
  }))

test('a connection that is refused is tried again and then an error without secrets', async t => {
  const generator = openai({ baseURL: 'http://127.0.0.1:9/v1?k=secret', model: 'm', apiKey: 'sk-secret', retries: 1 })
  const error = await httpError(t, generator.sample({ problem: 'p', seed: 1 }))
  t.deepEqual(error.data, { url: 'http://127.0.0.1:9/v1/models', attempts: 2 })
  t.notRegex(inspect(error, { depth: 9 }), /secret/)
})

test('a stream that is cut is made again from its beginning, and counts once', t =>
  withServer('vllm', async server => {
    first(server, 1, (_, response) => {
      response.writeHead(200, streamed).write(event('broken'), () => response.destroy())
      return true
    })
    const [sample] = await policy(server, { stream: true }).sample({ problem: 'p', seed: 1 })
    t.is(server.asked.length, 2)
    t.like(sample, { text: 'One.\n\nTwo.', tokens: 4, ended: 'answer' })
  }))

test('a stream that ends before its text is cut, too, however politely', t =>
  withServer('vllm', async server => {
    first(server, 1, (_, response) => {
      response.writeHead(200, streamed).end(event('broken'))
      return true
    })
    const [sample] = await policy(server, { stream: true }).sample({ problem: 'p', seed: 1 })
    t.is(sample!.text, 'One.\n\nTwo.')
  }))

test('a body that is cut is made again', t =>
  withServer('vllm', async server => {
    first(server, 1, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 999 })
      response.write('{"choices": [', () => response.destroy())
      return true
    })
    t.is((await policy(server).sample({ problem: 'p', seed: 1 })).length, 1)
    t.is(server.asked.length, 2)
  }))

test('after a cut, text is heard once where the second attempt begins alike; otherwise that is an error', t =>
  withServer('vllm', async server => {
    const broken: Hook = (_, response) => {
      response.writeHead(200, streamed).write(event('One'), () => setTimeout(() => response.destroy(), 20))
      return true
    }
    first(server, 1, broken)
    let heard = ''
    const onText = (text: string): void => {
      heard += text
    }
    const [sample] = await policy(server).sample({ problem: 'p', seed: 1 }, { onText })
    t.is(heard, 'One.\n\nTwo.')
    t.is(sample!.text, heard)
    first(server, 1, broken)
    server.write = () => ['Other']
    heard = ''
    const error = await httpError(t, policy(server).sample({ problem: 'p', seed: 1 }, { onText }))
    t.regex(error.message, /another text the second time/)
    t.is(heard, 'One')
  }))

test('a slow trickle is an answer; silence is not', t =>
  withServer('vllm', async server => {
    server.pause = () => new Promise(resolve => setTimeout(resolve, 40))
    server.write = () => Array.from({ length: 12 }, () => 'a')
    const [sample] = await policy(server, { timeout: 300, stream: true }).sample({ problem: 'p' })
    t.is(sample!.text, 'a'.repeat(12))
    first(server, 9, () => true)
    const error = await httpError(t, policy(server, { timeout: 50, retries: 1 }).sample({ problem: 'p', seed: 1 }))
    t.regex(error.message, /no answer for 50 ms; raise timeout/)
    t.like(error.data, { attempts: 2 })
  }))

test('silence in the middle of a stream is no answer, and totalTimeout bounds a trickle', t =>
  withServer('vllm', async server => {
    const trickle: Hook = (_, response) => {
      response.writeHead(200, streamed)
      const timer = setInterval(() => response.write(event('a')), 10)
      response.on('close', () => clearInterval(timer))
      return true
    }
    const stuck: Hook = (_, response) => {
      response.writeHead(200, streamed).write(event('a'))
      return true
    }
    first(server, 9, stuck)
    const silent = await httpError(
      t,
      policy(server, { timeout: 1000, retries: 0, stream: true }).sample({ problem: 'p' }),
    )
    t.regex(silent.message, /no further byte for 1000 ms/)
    first(server, 9, trickle)
    const late = await httpError(t, policy(server, { totalTimeout: 150, stream: true }).sample({ problem: 'p' }))
    t.regex(late.message, /took 150 ms/)
    await until(() => server.closed >= 2)
  }))

const answers: [string, string, string, RegExp][] = [
  ['invalid JSON', 'application/json', '{"choices": [', /no JSON: \{"choices": \[/],
  [
    'a page of a proxy',
    'text/html',
    '<html>Bad   gateway</html>',
    /text\/html where JSON was expected: <html>Bad gateway/,
  ],
  ['an event of invalid JSON', 'text/event-stream', 'data: {"cho\n\n', /an event that is no JSON/],
  ['JSON of another shape', 'application/json', '{"result": 1}', /without a list of choices/],
  ['a list', 'application/json', '[]', /without a list of choices/],
  ['null', 'application/json', 'null', /no object/],
  ['a choice that is none', 'application/json', '{"choices": [null]}', /without a list of choices/],
  ['a text that is none', 'application/json', '{"choices":[{"message":{"content":7}}]}', /no string/],
]
for (const [name, type, body, message] of answers) {
  test(`${name} is an error that says so`, t =>
    withServer('vllm', async server => {
      first(server, 9, (_, response) => {
        response.writeHead(200, { 'content-type': type }).end(body)
        return true
      })
      const error = await httpError(t, policy(server).sample({ problem: 'p' }))
      t.regex(error.message, message)
      t.like(error.data, { status: 200, url: `${server.url}/chat/completions` })
    }))
}

test('numbers of tokens that are none are not believed', t =>
  withServer('vllm', async server => {
    for (const usage of [
      null,
      7,
      {},
      { prompt_tokens: '3', completion_tokens: 2 },
      { prompt_tokens: 1, completion_tokens: -1 },
    ]) {
      first(server, 1, (_, response) => {
        const choice = { message: { content: 'word '.repeat(8) }, finish_reason: 'stop', stop_reason: null }
        json(response, 200, { choices: [choice], usage })
        return true
      })
      const [sample] = await policy(server).sample({ problem: 'p' })
      t.true(sample!.estimated)
      t.true(Number.isSafeInteger(sample!.tokens) && sample!.tokens > 5 && sample!.promptTokens > 0)
    }
  }))

test('a body without end, an event without end and a list of refusals without end are left', t =>
  withServer('vllm', async server => {
    const chunk = 'x'.repeat(1 << 20)
    const endless =
      (status: number, type: string): Hook =>
      (_, response) => {
        response.writeHead(status, { 'content-type': type })
        response.write('data: ')
        const more = (): void => {
          while (!response.destroyed && response.write(chunk));
          response.once('drain', more)
        }
        more()
        return true
      }
    for (const [status, type, message] of [
      [200, 'application/json', /more than \d+ bytes/],
      [200, 'text/event-stream', /event of more than/],
      [400, 'text/plain', /answered 400/],
    ] as const) {
      first(server, 9, endless(status, type))
      t.regex((await httpError(t, policy(server).sample({ problem: 'p' }))).message, message)
    }
    await until(() => server.closed === 3)
  }))

test('an error in the middle of a stream is one', t =>
  withServer('vllm', async server => {
    const failing =
      (code: number): Hook =>
      (_, response) => {
        response.writeHead(200, streamed)
        response.end(`${event('a')}data: {"error": {"message": "out of memory", "code": ${code}}}\n\ndata: [DONE]\n\n`)
        return true
      }
    first(server, 9, failing(400))
    const error = await httpError(t, policy(server, { stream: true }).sample({ problem: 'p' }))
    t.regex(error.message, /failed while it wrote: out of memory/)
    t.is(server.asked.length, 1)
    first(server, 1, failing(500))
    t.is((await policy(server, { stream: true }).sample({ problem: 'p', seed: 1 }))[0]!.text, 'One.\n\nTwo.')
  }))

test('a key that a server repeats is in no error, wherever it stands and however it is spelled', t =>
  withServer('vllm', async server => {
    const apiKey = 'sk-"very/secret'
    const key = 'sk-\\"very/secret'
    const hooks: Hook[] = [
      refuse(401, {}, { error: { message: `bad key ${apiKey}`, param: apiKey } }),
      refuse(500, { 'retry-after-ms': '1' }, { detail: [{ msg: apiKey }] }),
      (_, response) => done(response.writeHead(200, { 'content-type': 'text/html' }).end(`<p>${apiKey}`)),
      (_, response) => done(response.writeHead(200, streamed).end(`data: {"x": "${key}\n\n`)),
      (_, response) => done(response.writeHead(200, streamed).end(`data: {"error": "${key}"}\n\n`)),
      (_, response) => done(response.writeHead(302, { location: `/${encodeURIComponent(apiKey)}` }).end()),
      (_, response) => done(response.writeHead(400).end(' '.repeat(64 * 1024 - 9) + apiKey)),
    ]
    for (const hook of hooks) {
      first(server, 9, hook)
      const headers = { 'x-other': 'other-secret-value' }
      const error = await httpError(
        t,
        policy(server, { apiKey, headers, retries: 1 }).sample({ problem: 'p', seed: 1 }),
      )
      const shown = `${inspect(error, { depth: 9, showHidden: true })}${JSON.stringify(error)}${error.stack}`
      t.notRegex(shown, /very|secret/)
      t.is(error.cause, undefined)
    }
    t.true(server.seen.every(({ headers }) => headers.authorization === `Bearer ${apiKey}`))
  }))

test('a redirect to another origin carries neither the key nor the headers of the caller', t =>
  withServer('vllm', async server => {
    const near = createServer((request, response) => {
      response
        .writeHead(request.url === '/v1/elsewhere' ? 302 : 307, { location: `${server.url}/chat/completions` })
        .end()
    })
    await new Promise<void>(resolve => near.listen(0, '127.0.0.1', resolve))
    try {
      const baseURL = `http://127.0.0.1:${(near.address() as AddressInfo).port}/v1`
      const options = { baseURL, apiKey: 'sk-secret', headers: { 'x-key': 'other-secret' } }
      const [sample] = await policy(server, options).sample({ problem: 'p' })
      t.is(sample!.text, 'One.\n\nTwo.')
      t.is(server.seen[0]!.headers.authorization, undefined)
      t.is(server.seen[0]!.headers['x-key'], undefined)
    } finally {
      near.close()
    }
  }))

test('an error of the listener is the error of the call', t =>
  withServer('vllm', async server => {
    const failure = new Error('listener')
    const onText = (): never => {
      throw failure
    }
    t.is(await t.throwsAsync(policy(server).sample({ problem: 'p' }, { onText })), failure)
    t.is(server.asked.length, 1)
  }))

test('connections are used again', t =>
  withServer('plain', async server => {
    const generator = policy(server, { dialect: 'none', stream: true })
    for (let at = 0; at < 5; at++) await generator.sample({ problem: 'p' })
    // The next request may come before the last byte of the stream.
    t.true(server.connections <= 2)
  }))
