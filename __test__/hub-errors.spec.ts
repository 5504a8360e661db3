import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { fetchModel, modelReference, resolveDataset } from '../src/hub/index.ts'
import { commits, type Files, failureOf, type Hub, model, refuse, withHub } from './helpers/hub-server.ts'

const name = modelReference('org/name')!
const secret = 'hf_a_secret_token'

/** The warnings that `use` gives rise to. */
async function warningsOf(use: () => Promise<unknown>): Promise<string[]> {
  const warnings: string[] = []
  const listen = ({ message }: Error): void => void warnings.push(message)
  process.on('warning', listen)
  await use()
  await new Promise(resolve => setImmediate(resolve))
  process.off('warning', listen)
  return warnings
}

test('a repository, a revision or a file that is missing is named as such', async t => {
  await withHub(async ({ server, settings }) => {
    const missing = await failureOf(t, fetchModel(name, {}, settings))
    t.is(missing.code, 'ERR_MODEL_NOT_FOUND')
    t.regex(
      missing.message,
      /org\/name is no folder here, and .* has no model of that name, or it is private and needs a token/,
    )
    const withToken = await failureOf(t, fetchModel(name, {}, { ...settings, token: secret }))
    t.regex(withToken.message, /or it is private and the token at hand has no access to it/)
    server.add('org/name', commits[0], { 'config.json': '{}' })
    const revision = await failureOf(t, fetchModel(modelReference('org/name@v9')!, {}, settings))
    t.is(revision.code, 'ERR_MODEL_NOT_FOUND')
    t.regex(revision.message, /the model org\/name has no revision v9/)
    const file = await failureOf(t, fetchModel(modelReference('org/name/x.gguf')!, {}, settings))
    t.is(file.code, 'ERR_MODEL_NOT_FOUND')
    t.regex(file.message, /has no file x\.gguf/)
    const dataset = await failureOf(t, resolveDataset('org/name', {}, settings))
    t.is(dataset.code, 'ERR_DATASET_NOT_FOUND')
  })
})

test('a gated repository is named as such, with what to do, whichever request finds it out', async t => {
  for (const [status, at] of [
    [401, '/resolve/'],
    [403, '/resolve/'],
    [403, '/api/'],
  ] as const) {
    await withHub(async ({ server, settings }) => {
      server.add('org/name', commits[0], model)
      server.answer = ({ path }, response) => {
        if (path.includes(at)) refuse(response, status, 'GatedRepo', 'Access to model org/name is restricted.')
        return path.includes(at)
      }
      const { code, message, data } = await failureOf(t, fetchModel(name, {}, settings))
      t.is(code, 'ERR_GATED')
      t.regex(
        message,
        /org\/name is a gated repository and no token is at hand; accept its terms at http.*\/org\/name, then run hf auth login/,
      )
      t.is(data.status, status)
    })
  }
})

test('401 for the token, 403 and odd answers are errors that say status and address', async t => {
  const cases: [number, Record<string, string>, RegExp][] = [
    [401, { 'x-error-message': 'Invalid credentials in Authorization header' }, /refuses the token at hand/],
    [
      403,
      { 'x-error-message': 'Forbidden: pass a token with read scope' },
      /answered 403: Forbidden: pass a token with read scope; the token at hand may lack/,
    ],
    [400, {}, /\/api\/models\/org\/name\/revision\/main answered 400$/],
    [418, { 'x-error-message': `${'x'.repeat(500)}` }, /answered 418: x{300}$/],
  ]
  for (const [status, headers, expected] of cases) {
    await withHub(async ({ server, settings }) => {
      server.answer = (_, response) => Boolean(response.writeHead(status, headers).end())
      const { code, message, data } = await failureOf(t, fetchModel(name, {}, settings))
      t.deepEqual([code, data.status], ['ERR_HTTP', status])
      t.regex(message, expected)
      t.is(server.seen.length, 1)
    })
  }
})

test('429, 408 and 5xx are tried again, for as long as the hub asks', async t => {
  for (const status of [408, 429, 500, 502, 503, 504]) {
    await withHub(async ({ server, settings }) => {
      server.add('org/name', commits[0], model)
      const refused = new Map<string, number>()
      server.answer = ({ server: at, method, path }, response) => {
        const key = `${at} ${method} ${path}`
        const times = refused.get(key) ?? 0
        const here = at === 'cdn' || path.startsWith('/api/models/')
        if (!here || times === 2) return false
        refused.set(key, times + 1)
        response.writeHead(status, { 'retry-after': times === 0 ? '0' : new Date(0).toUTCString() }).end()
        return true
      }
      await t.notThrowsAsync(fetchModel(name, {}, settings), `${status}`)
      t.deepEqual([...refused.values()], [2, 2, 2], 'the list and the two files of the CDN')
    })
  }
})

test('a hub that fails every time, or asks to wait too long, is an error with its status', async t => {
  await withHub(async ({ server, settings }) => {
    server.answer = (_, response) => Boolean(response.writeHead(503).end())
    const failing = await failureOf(t, fetchModel(name, {}, settings))
    t.deepEqual([failing.code, failing.data.status, server.seen.length], ['ERR_HTTP', 503, settings.attempts])
    server.seen.length = 0
    server.answer = (_, response) => Boolean(response.writeHead(429, { 'retry-after': '3600' }).end())
    const waiting = await failureOf(t, fetchModel(name, {}, settings))
    t.deepEqual([waiting.code, waiting.data.status, server.seen.length], ['ERR_HTTP', 429, 1])
    t.regex(waiting.message, /it asks to wait 3600 s/)
  })
})

test('a hub that says nothing is given up', async t => {
  await withHub(async ({ server, settings }) => {
    server.answer = () => true
    const { code, message } = await failureOf(t, fetchModel(name, {}, { ...settings, lookupTimeout: 100 }))
    t.is(code, 'ERR_OFFLINE')
    t.regex(message, /org\/name could not be fetched from http:\/\/127\.0\.0\.1:\d+: no answer/)
    t.true(server.seen.length > 1)
  })
})

test('the token goes to the hub and nowhere else', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], model)
    await fetchModel(name, {}, { ...settings, token: secret })
    const hub = server.seen.filter(({ server: at }) => at === 'hub')
    const cdn = server.seen.filter(({ server: at }) => at === 'cdn')
    t.true(hub.length > 0 && cdn.length > 0)
    t.true(hub.every(({ headers }) => headers.authorization === `Bearer ${secret}`))
    t.true(cdn.every(({ headers }) => headers.authorization === undefined))
    t.true(
      hub.some(({ path }) => path.startsWith('/api/resolve-cache/')),
      'relative redirects were followed',
    )
  })
})

/** All that an error shows to whoever prints it. */
function shown(error: unknown): string {
  return inspect(error, { depth: 10, showHidden: true })
}

test('neither the token nor the query of an address is in an error', async t => {
  const hostile: [string, (hub: Hub) => Hub['server']['answer']][] = [
    [
      'reflected',
      () => (_, response) => Boolean(response.writeHead(403, { 'x-error-message': `no, ${secret}` }).end()),
    ],
    [
      'cdn',
      () =>
        ({ server: at }, response) =>
          at === 'cdn' && Boolean(response.writeHead(403).end(secret)),
    ],
    [
      'broken',
      () =>
        ({ server: at }, response) =>
          at === 'cdn' && Boolean(response.destroy()),
    ],
    [
      'loop',
      ({ server }) =>
        (_, response) =>
          Boolean(response.writeHead(302, { location: `${server.url}/?signature=secret-of-the-cdn` }).end()),
    ],
    [
      'credentials',
      () => (_, response) =>
        Boolean(response.writeHead(302, { location: 'http://user:secret-of-the-cdn@127.0.0.1/' }).end()),
    ],
    [
      'file',
      () => (_, response) =>
        Boolean(response.writeHead(302, { location: 'file:///etc/passwd?secret-of-the-cdn' }).end()),
    ],
    ['data', () => (_, response) => Boolean(response.writeHead(302, { location: 'data:application/json,{}' }).end())],
    ['nowhere', () => (_, response) => Boolean(response.writeHead(302).end())],
  ]
  for (const [what, answer] of hostile) {
    await withHub(async hub => {
      hub.server.add('org/name', commits[0], model)
      hub.server.answer = answer(hub)
      const error = await failureOf(t, fetchModel(name, {}, { ...hub.settings, token: secret }))
      t.is(error.code, what === 'broken' ? 'ERR_OFFLINE' : 'ERR_HTTP', what)
      t.false(shown(error).includes(secret), what)
      t.false(shown(error).includes('secret-of-the-cdn'), what)
    })
  }
})

test('a list of files that is no list, or too long, is refused', async t => {
  const cases: [string, RegExp][] = [
    ['<html>', /gave an answer that is no JSON/],
    ['null', /no commit and list of files/],
    ['{"siblings":[]}', /no commit and list of files/],
    [`{"sha":"../../../x","siblings":[]}`, /no commit and list of files/],
    [`{"sha":"${commits[0]}"}`, /no commit and list of files/],
    [' '.repeat(17 * 2 ** 20), /more than 16777216 bytes/],
  ]
  for (const [text, expected] of cases) {
    await withHub(async ({ server, settings }) => {
      server.answer = (_, response) => Boolean(response.writeHead(200).end(text))
      const { code, message } = await failureOf(t, fetchModel(name, {}, settings))
      t.is(code, 'ERR_HTTP')
      t.regex(message, expected)
    })
  }
})

test('file names and etags that would leave the cache are refused', async t => {
  await withHub(async ({ server, cache, settings }) => {
    for (const file of ['../../evil.json', '/etc/evil.json', 'a/../../../evil.json', 'C:\\evil.json', 'a//b.json']) {
      server.add('datasets/org/name', commits[0], { [file]: '[]' })
      const { code, message } = await failureOf(t, resolveDataset('org/name', {}, settings))
      t.is(code, 'ERR_HTTP', file)
      t.regex(message, /is no safe file name/)
    }
    server.add('org/name', commits[0], model)
    for (const etag of ['"../../../evil"', '"/evil"', '".."', '""', `"${'e'.repeat(200)}"`, '"a\\b"']) {
      server.answer = ({ method }, response) =>
        method === 'HEAD' && Boolean(response.writeHead(200, { etag, 'content-length': 2 }).end())
      const { code, message } = await failureOf(t, fetchModel(name, {}, settings))
      t.is(code, 'ERR_HTTP', etag)
      t.regex(message, /no etag that can name a file/)
    }
    t.false(existsSync(cache))
  })
})

test('an etag that is no hash names the blob, and only its size is checked', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], { 'model.safetensors': 'weights', 'config.json': '{}' })
    server.answer = ({ method, path }, response) => {
      if (method === 'HEAD') response.writeHead(200, { etag: `W/"mirror-${path.split('/').at(-1)}"` }).end()
      else if (path.includes('/resolve/')) response.writeHead(200).end('weights')
      else return false
      return true
    }
    await fetchModel(name, {}, settings)
    t.deepEqual(readdirSync(join(cache, 'models--org--name', 'blobs')).sort(), [
      'mirror-config.json',
      'mirror-model.safetensors',
    ])
  })
})

test('offline, nothing is asked: what the cache holds is taken, what it lacks is named with what to run', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], model, { v1: commits[0] })
    const folder = await fetchModel(name, {}, settings)
    server.seen.length = 0
    const offline = { ...settings, offline: true }
    t.is(await fetchModel(name, {}, offline), folder)
    t.is(await fetchModel(modelReference(`org/name@${commits[0]}`)!, {}, offline), folder)
    const revision = await failureOf(t, fetchModel(modelReference('org/name@v1')!, {}, offline))
    t.is(revision.code, 'ERR_OFFLINE')
    t.regex(
      revision.message,
      /org\/name@v1 is not in the cache .*, and HF_HUB_OFFLINE forbids to ask the hub; with a network, run: hf download org\/name --revision v1$/,
    )
    for (const file of ['tokenizer.json', 'config.json', 'model.safetensors']) {
      rmSync(join(folder, file))
      const { code, message } = await failureOf(t, fetchModel(name, {}, offline))
      t.is(code, 'ERR_OFFLINE')
      t.regex(message, new RegExp(`${file}.* of org/name is not in the cache`))
    }
    const dataset = await failureOf(t, resolveDataset('org/set', {}, offline))
    t.regex(dataset.message, /run: hf download org\/set --repo-type dataset$/)
    t.deepEqual(server.seen, [])
  })
})

/** A hub that holds the model, has been asked for it, and now answers otherwise. */
async function afterwards(t: ExecutionContext, answer: Hub['server']['answer']): Promise<string[]> {
  let warnings: string[] = []
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], model)
    const folder = await fetchModel(name, {}, settings)
    server.answer = answer
    server.seen.length = 0
    warnings = await warningsOf(async () => t.is(await fetchModel(name, {}, settings), folder))
    t.is(server.seen.length, 1, 'with something at hand there is no second attempt')
  })
  return warnings
}

test.serial('a hub that gives no answer is worth a warning when the cache holds the model', async t => {
  for (const answer of [
    (_: unknown, response: { destroy(): unknown }) => Boolean(response.destroy()),
    (_: unknown, response: Parameters<typeof refuse>[0]) => Boolean(response.writeHead(503).end()),
    (_: unknown, response: Parameters<typeof refuse>[0]) => Boolean(refuse(response, 401, 'RepoNotFound', '')),
  ]) {
    const warnings = await afterwards(t, answer as Hub['server']['answer'])
    t.is(warnings.length, 1)
    t.regex(warnings[0]!, new RegExp(`Taken instead: commit ${commits[0]} of org/name, from the cache$`))
  }
})

test('a revision that is gone is an error though the cache holds it', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], model)
    await fetchModel(name, {}, settings)
    server.answer = (_, response) => Boolean(refuse(response, 404, 'RevisionNotFound', ''))
    t.is((await failureOf(t, fetchModel(name, {}, settings))).code, 'ERR_MODEL_NOT_FOUND')
  })
})

test('a hub that cannot be reached is an error that says how to do without', async t => {
  await withHub(async ({ server, settings }) => {
    const endpoint = server.url
    await server.stop()
    const { code, message } = await failureOf(t, fetchModel(name, {}, { ...settings, endpoint }))
    t.is(code, 'ERR_OFFLINE')
    t.regex(
      message,
      /could not be fetched from http:\/\/127\.0\.0\.1:\d+: ECONNREFUSED\. Check the connection, or fetch it elsewhere with: hf download org\/name/,
    )
  })
})

const dataset: Files = {
  'README.md': '# D',
  'dataset_infos.json': '{}',
  'main/train-00000-of-00002.parquet': Buffer.from('PAR1 a'),
  'main/train-00001-of-00002.parquet': Buffer.from('PAR1 b'),
  'main/test-00000-of-00001.parquet': Buffer.from('PAR1 c'),
  'hard/test.jsonl.gz': Buffer.from('gz'),
  'hard/contest.json': '[]',
  '.cache/x.json': '[]',
  'load.py': 'import os',
}

test('of a dataset, the data files of a configuration and split are fetched, in order', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('datasets/org/set', commits[0], dataset)
    const fetched = async (reference: string): Promise<string[]> => {
      const paths = await resolveDataset(reference, {}, settings)
      const folder = join(cache, 'datasets--org--set', 'snapshots', commits[0])
      return paths.map(path => {
        t.true(existsSync(path))
        return path.slice(folder.length + 1)
      })
    }
    t.deepEqual(await fetched('org/set#train'), [
      'main/train-00000-of-00002.parquet',
      'main/train-00001-of-00002.parquet',
    ])
    t.deepEqual(await fetched('hf:org/set@main#hard/test'), ['hard/test.jsonl.gz'])
    t.deepEqual(await fetched('org/set#test'), ['hard/test.jsonl.gz', 'main/test-00000-of-00001.parquet'])
    t.deepEqual(await fetched('org/set'), [
      'hard/contest.json',
      'hard/test.jsonl.gz',
      'main/test-00000-of-00001.parquet',
      'main/train-00000-of-00002.parquet',
      'main/train-00001-of-00002.parquet',
    ])
    const none = await failureOf(t, resolveDataset('org/set#dev', {}, settings))
    t.is(none.code, 'ERR_DATASET_NOT_FOUND')
    t.regex(none.message, /has no data file for dev \(there are hard\/contest\.json/)
    t.is((await failureOf(t, resolveDataset('not an id', {}, settings))).code, 'ERR_INVALID_ARGUMENT')
    t.is(readFileSync(join(cache, 'datasets--org--set', 'refs', 'main'), 'utf8'), commits[0])
  })
})

test.serial(
  'offline, a dataset is read from the cache with a warning, and not when a part of a file is missing',
  async t => {
    await withHub(async ({ server, settings }) => {
      server.add('datasets/org/set', commits[0], dataset)
      const paths = await resolveDataset('org/set#train', {}, settings)
      server.seen.length = 0
      const offline = { ...settings, offline: true }
      const warnings = await warningsOf(async () =>
        t.deepEqual(await resolveDataset('org/set#train', {}, offline), paths),
      )
      t.deepEqual(warnings, [
        '2 data files of org/set#train come from the cache; whether the hub has more was not asked',
      ])
      rmSync(paths[1]!)
      const { code, message } = await failureOf(t, resolveDataset('org/set#train', {}, offline))
      t.is(code, 'ERR_OFFLINE')
      t.regex(message, /main\/train-00001-of-00002\.parquet of org\/set is not in the cache/)
      t.deepEqual(server.seen, [])
    })
  },
)
