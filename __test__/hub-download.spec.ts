import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { fetchModel, modelReference } from '../src/hub/index.ts'
import { withLock } from '../src/hub/lock.ts'
import { repository, withFolder } from './helpers/fixtures.ts'
import { commits, etagOf, type Files, failureOf, type HubServer, model, withHub } from './helpers/hub-server.ts'

const name = modelReference('org/name')!
const weights = randomBytes(3_000_000)
const files: Files = { ...model, 'model.safetensors': weights }
const blobs = (cache: string): string => join(cache, 'models--org--name', 'blobs')
const part = (cache: string): string => join(blobs(cache), `${etagOf(weights)}.incomplete`)

/** The Range headers with which the CDN was asked for the weights. */
function rangesOf(server: HubServer): (string | undefined)[] {
  return server.seen
    .filter(({ server: at, path }) => at === 'cdn' && path.endsWith('name=model.safetensors'))
    .map(({ headers }) => headers.range)
}

test('an abort rejects with the reason, leaves a part, and the next call goes on from there', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files)
    server.body = (bytes, { server: at }) =>
      at === 'cdn' && bytes.length > 2_000_000
        ? { bytes: bytes.subarray(0, 2_000_000), announced: bytes.length, ending: 'hang' }
        : { bytes }
    const stop = new AbortController()
    const reason = { why: 'the user left' }
    const onProgress = ({ file, loaded }: { file: string; loaded: number }): void => {
      if (file === 'model.safetensors' && loaded >= 1_000_000) stop.abort(reason)
    }
    t.is(await fetchModel(name, { signal: stop.signal, onProgress }, settings).catch(error => error), reason)
    const left = statSync(part(cache)).size
    t.true(left >= 1_000_000)
    t.false(existsSync(join(cache, 'models--org--name', 'refs')), 'a ref names whole commits only')
    t.deepEqual(readdirSync(join(cache, '.locks', 'models--org--name')), [])

    server.seen.length = 0
    server.body = bytes => ({ bytes })
    const first: number[] = []
    const folder = await fetchModel(
      name,
      { onProgress: ({ file, loaded }) => file === 'model.safetensors' && first.push(loaded) },
      settings,
    )
    t.deepEqual(rangesOf(server), [`bytes=${left}-`])
    t.is(first[0], left)
    t.true(readFileSync(join(folder, 'model.safetensors')).equals(weights))
    t.false(existsSync(part(cache)))
  })
})

test('a signal that fired before the call stops it before any request', async t => {
  await withHub(async ({ server, settings }) => {
    const reason = new Error('no')
    t.is(await fetchModel(name, { signal: AbortSignal.abort(reason) }, settings).catch(error => error), reason)
    t.deepEqual(server.seen, [])
  })
})

test('an abort ends the wait between two attempts', async t => {
  await withHub(async ({ server, settings }) => {
    const stop = new AbortController()
    server.answer = (_, response) => {
      response.writeHead(503).end()
      setImmediate(() => stop.abort('enough'))
      return true
    }
    const patient = { ...settings, firstWait: 30_000 }
    t.is(await fetchModel(name, { signal: stop.signal }, patient).catch(error => error), 'enough')
  })
})

test('a body that breaks off, ends early or falls silent is gone on with in the same call', async t => {
  for (const ending of ['break', 'end', 'hang'] as const) {
    await withHub(async ({ server, settings }) => {
      server.add('org/name', commits[0], files)
      let times = 0
      server.body = (bytes, { server: at }) => {
        if (at !== 'cdn' || bytes.length < 1000 || ++times > 2) return { bytes }
        return { bytes: bytes.subarray(0, 900_000), announced: ending === 'end' ? 900_000 : bytes.length, ending }
      }
      const folder = await fetchModel(name, {}, { ...settings, downloadTimeout: 300 })
      t.true(readFileSync(join(folder, 'model.safetensors')).equals(weights), ending)
      const starts = rangesOf(server).map(range => Number(/\d+/.exec(range ?? '0')![0]))
      t.is(starts.length, 3, ending)
      t.true(starts[0] === 0 && starts[0]! < starts[1]! && starts[1]! < starts[2]!, `${ending}: ${starts}`)
    })
  }
})

test('a body that ends early every time is an error that says so, and its part stays', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files)
    server.body = (bytes, { server: at }) => (at === 'cdn' ? { bytes: bytes.subarray(0, 10) } : { bytes })
    const { code, message, data } = await failureOf(t, fetchModel(name, {}, settings))
    t.is(code, 'ERR_HTTP')
    t.regex(message, /only \d+ of \d+ bytes/)
    t.is(data.repository, 'org/name')
    t.is(statSync(part(cache)).size, 10 * settings.attempts)
    t.false(existsSync(join(blobs(cache), etagOf(weights))))
  })
})

test('a wrong hash is an error, and neither blob nor part is kept', async t => {
  for (const [file, algorithm] of [
    ['model.safetensors', 'sha256'],
    ['config.json', 'sha1'],
  ] as const) {
    await withHub(async ({ server, cache, settings }) => {
      server.add('org/name', commits[0], files)
      server.body = (bytes, { path }) => {
        const changed = Buffer.from(bytes)
        if (path.endsWith(`/${file}`) || path.endsWith(`=${file}`)) changed[0]! ^= 1
        return { bytes: changed }
      }
      const { code, message, data } = await failureOf(t, fetchModel(name, {}, settings))
      t.is(code, 'ERR_INTEGRITY')
      t.regex(
        message,
        new RegExp(`^${file} of org/name has the ${algorithm} \\w+, expected was ${etagOf(files[file]!)}`),
      )
      t.is(data.file, file)
      t.is(readdirSync(blobs(cache)).filter(blob => blob.startsWith(etagOf(files[file]!))).length, 0)
      t.is(server.fetched(file), 1, 'bytes of this run are not asked for twice')
    })
  }
})

test('a body longer than announced is refused and not kept', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files)
    server.body = (bytes, { server: at }) => ({ bytes: at === 'cdn' ? Buffer.concat([bytes, bytes]) : bytes })
    const { code, message } = await failureOf(t, fetchModel(name, {}, settings))
    t.is(code, 'ERR_INTEGRITY')
    t.regex(message, /is longer than \d+ bytes/)
    t.deepEqual(
      readdirSync(blobs(cache)).filter(file => file.endsWith('.incomplete')),
      [],
    )
  })
})

test('a part that is wrong, or longer than the file, costs a second download and no error', async t => {
  for (const left of [Buffer.alloc(1000), Buffer.alloc(4_000_000), Buffer.alloc(3_000_000)]) {
    await withHub(async ({ server, cache, settings }) => {
      server.add('org/name', commits[0], files)
      mkdirSync(blobs(cache), { recursive: true })
      writeFileSync(part(cache), left)
      const folder = await fetchModel(name, {}, settings)
      t.true(readFileSync(join(folder, 'model.safetensors')).equals(weights))
    })
  }
})

test('a whole part needs no request for its bytes', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files)
    mkdirSync(blobs(cache), { recursive: true })
    writeFileSync(part(cache), weights)
    await fetchModel(name, {}, settings)
    t.is(server.fetched('model.safetensors'), 0)
  })
})

test('a server without Range gets asked from the start, and one that refuses the range too', async t => {
  for (const refuses of [false, true]) {
    await withHub(async ({ server, cache, settings }) => {
      server.add('org/name', commits[0], files)
      server.ranges = false
      server.answer = ({ headers }, response) => {
        if (!refuses || headers.range === undefined) return false
        response.writeHead(416).end()
        return true
      }
      mkdirSync(blobs(cache), { recursive: true })
      writeFileSync(part(cache), weights.subarray(0, 1_000_000))
      const folder = await fetchModel(name, {}, settings)
      t.true(readFileSync(join(folder, 'model.safetensors')).equals(weights))
    })
  }
})

test('another range than asked for is refused', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files)
    mkdirSync(blobs(cache), { recursive: true })
    writeFileSync(part(cache), weights.subarray(0, 1_000_000))
    server.answer = ({ headers }, response) => {
      if (headers.range === undefined) return false
      response.writeHead(206, { 'content-range': `bytes 5-${weights.length - 1}/${weights.length}` }).end('x')
      return true
    }
    const { code, message } = await failureOf(t, fetchModel(name, {}, settings))
    t.is(code, 'ERR_HTTP')
    t.regex(message, /another range than asked for/)
  })
})

test('a file that changes between the question and the download is fetched as it is now', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files)
    const later = randomBytes(1000)
    server.answer = ({ method, path }) => {
      if (method === 'GET' && path.endsWith(`/resolve/${commits[0]}/model.safetensors`)) {
        server.add('org/name', commits[0], { ...files, 'model.safetensors': later })
      }
      return false
    }
    const folder = await fetchModel(name, {}, settings)
    t.true(readFileSync(join(folder, 'model.safetensors')).equals(later))
    t.false(existsSync(part(cache)))
  })
})

test('a file that changes all the time is an error', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], files)
    server.answer = ({ method, path }) => {
      if (method === 'GET' && path.includes('/resolve/')) {
        server.add('org/name', commits[0], { ...files, 'model.safetensors': randomBytes(10), 'config.json': '{}' })
      }
      return false
    }
    const { code, message } = await failureOf(t, fetchModel(name, {}, settings))
    t.is(code, 'ERR_INTEGRITY')
    t.regex(message, /changed while it was fetched, twice/)
  })
})

test('two calls of one process fetch each file once', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], files)
    const folders = await Promise.all([1, 2, 3].map(() => fetchModel(name, {}, settings)))
    t.is(new Set(folders).size, 1)
    t.is(server.fetched('model.safetensors'), 1)
    t.is(server.fetched('config.json'), 1)
  })
})

function child(cache: string, url: string) {
  const process_ = spawn(
    process.execPath,
    ['--import=tsx', join(repository, '__test__', 'helpers', 'hub-child.ts'), 'org/name'],
    {
      cwd: repository,
      env: { ...process.env, HF_HUB_CACHE: cache, HF_ENDPOINT: url, HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let text = ''
  process_.stdout.on('data', data => {
    text += data
  })
  const ended = once(process_, 'close').then(() => text)
  return { process: process_, ended }
}

test('two processes fetch each file once', async t => {
  await withHub(async ({ server, cache }) => {
    server.add('org/name', commits[0], files)
    server.body = async bytes => {
      await new Promise(resolve => setTimeout(resolve, 200))
      return { bytes }
    }
    const children = [child(cache, server.url), child(cache, server.url)]
    const folders = await Promise.all(children.map(({ ended }) => ended))
    t.regex(folders[0]!, /snapshots/)
    t.is(folders[0], folders[1])
    t.is(server.fetched('model.safetensors'), 1)
  })
})

test('what a killed process left is gone on with: its lock does not block, its part counts', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files)
    server.body = (bytes, { server: at }) =>
      at === 'cdn' && bytes.length > 2_000_000
        ? { bytes: bytes.subarray(0, 2_000_000), announced: bytes.length, ending: 'hang' }
        : { bytes }
    const { process: victim, ended } = child(cache, server.url)
    while (!existsSync(part(cache)) || statSync(part(cache)).size < 2_000_000)
      await new Promise(resolve => setTimeout(resolve, 20))
    victim.kill('SIGKILL')
    await ended
    const locks = readdirSync(join(cache, '.locks', 'models--org--name'))
    t.true(locks.includes(`${etagOf(weights)}.surefoot.lock`))
    server.seen.length = 0
    await fetchModel(name, {}, settings)
    t.deepEqual(rangesOf(server), ['bytes=2000000-'])
    t.deepEqual(readdirSync(join(cache, '.locks', 'models--org--name')), [])
  })
})

const quick = { heartbeat: 10, patience: 150, poll: 5 }

test('a lock is held by one at a time', async t => {
  await withFolder(async folder => {
    const path = join(folder, 'x.lock')
    let [inside, most, sum] = [0, 0, 0]
    const work = async (): Promise<void> => {
      most = Math.max(most, ++inside)
      await new Promise(resolve => setTimeout(resolve, 5))
      inside--
      sum++
    }
    await Promise.all(Array.from({ length: 8 }, () => withLock(path, work, { times: { ...quick, patience: 60_000 } })))
    t.deepEqual([most, sum, existsSync(path)], [1, 8, false])
  })
})

test('a lock whose owner gives no sign of life is taken over, one with a heartbeat is not', async t => {
  await withFolder(async folder => {
    const path = join(folder, 'x.lock')
    const elsewhere = JSON.stringify({ pid: 1, host: 'another-machine', started: '1', id: 'x' })
    for (const text of [elsewhere, '', '{"pid":']) {
      writeFileSync(path, text)
      t.is(await withLock(path, async () => 'mine', { times: quick }), 'mine')
    }
    writeFileSync(path, elsewhere)
    const beat = setInterval(() => utimesSync(path, new Date(), new Date()), 10)
    const stop = new AbortController()
    setTimeout(() => stop.abort('waited long enough'), 600)
    const waited = await withLock(path, async () => 'mine', { times: quick, signal: stop.signal }).catch(
      reason => reason,
    )
    clearInterval(beat)
    t.is(waited, 'waited long enough')
  })
})

test('a lock of a process number that another process has now is taken over at once', async t => {
  await withFolder(async folder => {
    const path = join(folder, 'x.lock')
    writeFileSync(path, JSON.stringify({ pid: process.pid, host: hostname(), started: '0', id: 'x' }))
    const held = withLock(path, async () => 'mine', { times: { ...quick, patience: 200 } })
    t.is(await held, 'mine')
  })
})

test('a disk that is full and a cache that cannot be written are named, with the path', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files)
    mkdirSync(cache, { recursive: true })
    writeFileSync(join(cache, 'models--org--name'), 'in the way')
    const { code, message } = await failureOf(t, fetchModel(name, {}, settings))
    t.is(code, 'ERR_IO')
    t.true(message.includes(join(cache, 'models--org--name')), message)
  })
  if (!existsSync('/dev/full')) return
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files)
    mkdirSync(blobs(cache), { recursive: true })
    symlinkSync('/dev/full', part(cache))
    const { code, message, data } = await failureOf(t, fetchModel(name, {}, settings))
    t.is(code, 'ERR_IO')
    t.is(data.code, 'ENOSPC')
    t.regex(message, /make room, or set HF_HUB_CACHE/)
  })
})
