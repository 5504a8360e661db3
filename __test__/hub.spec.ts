import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scanCacheDir } from '@huggingface/hub'
import test from 'ava'
import fc from 'fast-check'
import { fetchModel, fetchTokenizer, modelReference } from '../src/hub/index.ts'
import { isSafePath } from '../src/hub/reference.ts'
import { hubSettings } from '../src/hub/settings.ts'
import { PRM } from '../src/prm.ts'
import { resolveModel } from '../src/resolve.ts'
import { fixture, withFolder } from './helpers/fixtures.ts'
import { commits, etagOf, type Files, failureOf, model, withHub } from './helpers/hub-server.ts'

const reference = (text: string) => modelReference(text)!
const storage = (cache: string): string => join(cache, 'models--org--name')
const needed = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors']

test('a model is laid out as huggingface_hub lays it out, with the needed files only', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], model)
    const folder = await fetchModel(reference('org/name'), {}, settings)
    t.is(folder, join(storage(cache), 'snapshots', commits[0]))
    t.deepEqual(readdirSync(folder).sort(), [...needed].sort())
    for (const file of needed) {
      t.is(readlinkSync(join(folder, file)), join('..', '..', 'blobs', etagOf(model[file]!)))
      t.true(readFileSync(join(folder, file)).equals(Buffer.from(model[file]!)))
    }
    t.deepEqual(readdirSync(join(storage(cache), 'blobs')).sort(), needed.map(file => etagOf(model[file]!)).sort())
    t.is(readFileSync(join(storage(cache), 'refs', 'main'), 'utf8'), commits[0])
    t.deepEqual(readdirSync(join(cache, '.locks', 'models--org--name')), [])
    t.deepEqual(readdirSync(cache).sort(), ['.locks', 'CACHEDIR.TAG', 'models--org--name'])
  })
})

test('a tokenizer comes without weights, and the weights later without it', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], { ...model, 'chat_template.jinja': '{{ x }}' })
    const folder = await fetchTokenizer(reference('org/name'), {}, settings)
    t.deepEqual(readdirSync(folder).sort(), ['chat_template.jinja', 'tokenizer.json', 'tokenizer_config.json'])
    server.seen.length = 0
    t.is(await fetchModel(reference('org/name'), {}, settings), folder)
    t.deepEqual(readdirSync(folder).sort(), [...needed, 'chat_template.jinja'].sort())
    t.false(server.asked.some(asked => asked.includes('tokenizer.json')))
    server.add('org/none', commits[0], { 'config.json': '{}' })
    const { code, message } = await failureOf(t, fetchTokenizer(reference('org/none'), {}, settings))
    t.is(code, 'ERR_MODEL_NOT_FOUND')
    t.regex(message, /tokenizer\.json/)
  })
})

test('another client of the hub finds everything in our cache', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], model, { 'refs/pr/1': commits[0] })
    await fetchModel(reference('org/name@refs/pr/1'), {}, settings)
    await fetchModel(reference('org/name'), {}, settings)
    rmSync(join(cache, 'CACHEDIR.TAG'))
    const { repos, warnings } = await scanCacheDir(cache)
    t.deepEqual(warnings, [])
    t.is(repos.length, 1)
    t.deepEqual(repos[0]!.id, { name: 'org/name', type: 'model' })
    const [revision] = repos[0]!.revisions
    t.is(revision!.commitOid, commits[0])
    t.deepEqual(revision!.files.map(({ path }) => path.split(/[\\/]/).at(-1)).sort(), [...needed].sort())
    t.is(
      repos[0]!.size,
      needed.reduce((sum, file) => sum + model[file]!.length, 0),
    )
  })
})

test('what is here is not fetched again: a branch asks for its commit, a commit asks for nothing', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], model)
    await fetchModel(reference('org/name'), {}, settings)
    server.seen.length = 0
    await fetchModel(reference('hf:org/name'), {}, settings)
    t.deepEqual(server.asked, ['hub GET /api/models/org/name/revision/main'])
    await fetchModel(reference(`org/name@${commits[0]}`), {}, settings)
    t.is(server.asked.length, 1)
  })
})

test('a commit of which the cache may lack a file is asked for', async t => {
  await withHub(async ({ server, settings, cache }) => {
    server.add('org/name', commits[0], { ...model, 'chat_template.jinja': '{{ x }}' })
    const pinned = reference(`org/name@${commits[0]}`)
    const folder = await fetchModel(pinned, {}, settings)
    rmSync(join(folder, 'chat_template.jinja'))
    await fetchModel(pinned, {}, settings)
    t.true(existsSync(join(folder, 'chat_template.jinja')))
    t.false(existsSync(join(storage(cache), 'refs')), 'a commit needs no ref')
  })
})

test('a branch that moved is fetched anew, and shares the blobs that did not change', async t => {
  await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], model)
    await fetchModel(reference('org/name'), {}, settings)
    server.add('org/name', commits[1], { ...model, 'config.json': '{"b":1}' }, { v1: commits[0] })
    server.seen.length = 0
    t.is(await fetchModel(reference('org/name'), {}, settings), join(storage(cache), 'snapshots', commits[1]))
    t.is(server.fetched('config.json'), 1)
    t.is(server.fetched('model.safetensors'), 0)
    t.is(await fetchModel(reference('org/name@v1'), {}, settings), join(storage(cache), 'snapshots', commits[0]))
    t.is(readFileSync(join(storage(cache), 'refs', 'v1'), 'utf8'), commits[0])
  })
})

const index = (...shards: string[]): string =>
  JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, at) => [`t${at}`, shard])) })

test('of shards, those that the index names are fetched', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], {
      'config.json': '{}',
      'tokenizer.json': '{}',
      'model.safetensors.index.json': index('a.safetensors', 'b.safetensors', 'a.safetensors'),
      'a.safetensors': Buffer.from('a'),
      'b.safetensors': Buffer.from('b'),
      'c.safetensors': Buffer.from('c'),
    })
    const folder = await fetchModel(reference('org/name'), {}, settings)
    const files = ['a.safetensors', 'b.safetensors', 'config.json', 'model.safetensors.index.json', 'tokenizer.json']
    t.deepEqual(readdirSync(folder).sort(), files)
    rmSync(join(folder, 'b.safetensors'))
    const offline = await failureOf(t, fetchModel(reference('org/name'), {}, { ...settings, offline: true }))
    t.is(offline.code, 'ERR_OFFLINE')
    t.regex(offline.message, /b\.safetensors of org\/name is not in the cache|b\.safetensors/)
  })
})

test('an index that is broken, or names what is not there or not beside it, is refused by name', async t => {
  const cases: [string, RegExp][] = [
    [index('missing.safetensors'), /names missing\.safetensors, which is not there/],
    [index('../../../evil.safetensors'), /"\.\.\/\.\.\/\.\.\/evil\.safetensors", which is no safetensors file/],
    [index('C:evil.safetensors'), /which is no safetensors file beside it/],
    [index('weights.bin'), /"weights\.bin", which is no safetensors file/],
    ['{"weight_map":{"t":5}}', /names 5, which/],
    ['{"weight_map":null}', /has no weight_map/],
    ['[', /has no weight_map/],
  ]
  for (const [content, message] of cases) {
    await withHub(async ({ server, settings }) => {
      server.add('org/name', commits[0], { 'config.json': '{}', 'model.safetensors.index.json': content })
      const { code, message: said } = await failureOf(t, fetchModel(reference('org/name'), {}, settings))
      t.is(code, 'ERR_MODEL_INVALID')
      t.regex(said, message)
    })
  }
})

test('a repository with pickled weights only is refused before anything is fetched', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], { 'config.json': '{}', 'pytorch_model.bin': Buffer.from('x'), 'a.py': '' })
    const { code, message } = await failureOf(t, fetchModel(reference('org/name'), {}, settings))
    t.is(code, 'ERR_UNSAFE_FORMAT')
    t.regex(message, /^org\/name holds only pickled weights \(pytorch_model\.bin\), which are refused/)
    t.deepEqual(server.asked, ['hub GET /api/models/org/name/revision/main'])
  })
})

test('an adapter comes with its weights, without its base', async t => {
  await withHub(async ({ server, settings }) => {
    const adapter: Files = { 'adapter_config.json': '{}', 'adapter_model.safetensors': Buffer.from('lora') }
    server.add('org/name', commits[0], { ...adapter, 'adapter_model.bin': Buffer.from('no') })
    const folder = await fetchModel(reference('org/name'), {}, settings)
    t.deepEqual(readdirSync(folder).sort(), Object.keys(adapter))
    t.is(await fetchModel(reference('org/name'), {}, { ...settings, offline: true }), folder)
  })
})

test('a GGUF file is fetched by its path, alone; a repository of them says what to name', async t => {
  await withHub(async ({ server, cache, settings }) => {
    const file = Buffer.from('GGUF')
    server.add(
      'org/name',
      commits[0],
      { 'q/x-Q8_0.gguf': file, 'x-Q4_0.gguf': file, 'config.json': '{}' },
      { v2: commits[0] },
    )
    const path = await fetchModel(reference('hf:org/name/q/x-Q8_0.gguf@v2'), {}, settings)
    t.is(path, join(storage(cache), 'snapshots', commits[0], 'q', 'x-Q8_0.gguf'))
    t.is(readlinkSync(path), join('..', '..', '..', 'blobs', etagOf(file)))
    t.deepEqual(readdirSync(join(storage(cache), 'snapshots', commits[0])), ['q'])
    const offline = { ...settings, offline: true }
    t.is(await fetchModel(reference('org/name/q/x-Q8_0.gguf@v2'), {}, offline), path)
    const none = await failureOf(t, fetchModel(reference('org/name'), {}, settings))
    t.is(none.code, 'ERR_MODEL_INVALID')
    t.regex(none.message, /name one of its GGUF files as org\/name\/FILE: q\/x-Q8_0\.gguf, x-Q4_0\.gguf/)
    const other = await failureOf(t, fetchModel(reference('org/name/y.gguf'), {}, settings))
    t.is(other.code, 'ERR_MODEL_NOT_FOUND')
    t.regex(other.message, /has no file y\.gguf; .*x-Q4_0\.gguf/)
  })
})

test('where links are impossible the snapshot holds the files', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], model)
    const folder = await fetchModel(reference('org/name'), {}, { ...settings, symlinks: false })
    t.throws(() => readlinkSync(join(folder, 'config.json')), { code: 'EINVAL' })
    t.deepEqual(readFileSync(join(folder, 'config.json')), Buffer.from(model['config.json']!))
    server.seen.length = 0
    await fetchModel(reference('org/name'), {}, { ...settings, symlinks: false })
    t.is(server.seen.length, 1)
  })
})

test('progress counts the bytes of each file and of all, and ends with all of them', async t => {
  await withHub(async ({ server, settings }) => {
    server.add('org/name', commits[0], model)
    const seen: {
      file: string
      loaded: number
      total: number | undefined
      all: { files: number; loaded: number; total: number }
    }[] = []
    await fetchModel(reference('org/name'), { onProgress: progress => seen.push(progress) }, settings)
    const weights = seen.filter(({ file }) => file === 'model.safetensors')
    t.is(weights[0]!.loaded, 0)
    t.true(weights.length > 3)
    t.true(weights.every(({ total }) => total === 3_000_000))
    t.true(weights.every(({ loaded }, at) => at === 0 || loaded > weights[at - 1]!.loaded))
    const { all } = seen.at(-1)!
    t.is(all.loaded, all.total)
    t.is(
      all.total,
      needed.reduce((sum, file) => sum + model[file]!.length, 0),
    )
    t.is(all.files, needed.length)
  })
})

test('what exists here wins over the hub; hf: means the hub', async t => {
  await withFolder(async folder => {
    const here = join(folder, 'org', 'name')
    mkdirSync(here, { recursive: true })
    const directory = process.cwd()
    process.chdir(folder)
    try {
      t.is(await resolveModel('org/name'), here)
      writeFileSync(join(folder, 'org', 'x.gguf'), '')
      t.is(await resolveModel('org/x.gguf'), join(folder, 'org', 'x.gguf'))
      t.is(modelReference('hf:org/name')?.id, 'org/name')
      t.is(await resolveModel('./not/here'), join(folder, 'not', 'here'))
    } finally {
      process.chdir(directory)
    }
  })
})

test.serial('PRM.load takes a hub id, and scores as from a folder', async t => {
  await withHub(async ({ server, cache }) => {
    const folder = fixture('qwen2-mlp2')
    const files = readdirSync(folder).map(name => [name, readFileSync(join(folder, name))] as const)
    server.add('org/name', commits[0], Object.fromEntries(files))
    const before = { ...process.env }
    Object.assign(process.env, { HF_ENDPOINT: server.url, HF_HUB_CACHE: cache, HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' })
    try {
      const phases = new Set<string>()
      const trace = { problem: 'How much is 1 + 1?', steps: ['1 + 1 = 2.', 'A: 2'] }
      const prm = await PRM.load('org/name', { onProgress: ({ phase }) => phases.add(phase) })
      const local = await PRM.load(folder)
      t.deepEqual(await prm.score(trace), await local.score(trace))
      t.deepEqual([...phases], ['resolve', 'download', 'load', 'ready'])
      await Promise.all([prm.dispose(), local.dispose()])
    } finally {
      for (const name of ['HF_ENDPOINT', 'HF_HUB_CACHE', 'HF_HUB_DISABLE_IMPLICIT_TOKEN']) delete process.env[name]
      Object.assign(process.env, before)
    }
  })
})

test('the environment is read as huggingface_hub reads it', t => {
  const home = hubSettings({ HOME: '/h' }).cache
  t.regex(home, /[\\/]\.cache[\\/]huggingface[\\/]hub$/)
  t.is(hubSettings({ XDG_CACHE_HOME: '/x' }).cache, '/x/huggingface/hub')
  t.is(hubSettings({ XDG_CACHE_HOME: '/x', HF_HOME: '/hf' }).cache, '/hf/hub')
  t.is(hubSettings({ HF_HOME: '/hf', HUGGINGFACE_HUB_CACHE: '/old' }).cache, '/old')
  t.is(hubSettings({ HUGGINGFACE_HUB_CACHE: '/old', HF_HUB_CACHE: '/new' }).cache, '/new')
  t.is(
    hubSettings({ HF_HUB_CACHE: ['$DISK', '$', '{SUB}/$NO'].join('/').replace('$/', '$'), DISK: '/d', SUB: 's' }).cache,
    '/d/s/$NO',
  )
  t.notRegex(hubSettings({ HF_HUB_CACHE: '~/c' }).cache, /~/)
  t.is(hubSettings({}).endpoint, 'https://huggingface.co')
  t.is(hubSettings({ HF_ENDPOINT: 'http://mirror:8080/hf//' }).endpoint, 'http://mirror:8080/hf')
  for (const on of ['1', 'true', 'Yes', 'ON']) t.true(hubSettings({ HF_HUB_OFFLINE: on }).offline)
  t.true(hubSettings({ TRANSFORMERS_OFFLINE: '1' }).offline)
  t.false(hubSettings({ HF_HUB_OFFLINE: '0', TRANSFORMERS_OFFLINE: '1' }).offline)
  t.false(hubSettings({ HF_HUB_OFFLINE: 'off' }).offline)
  t.false(hubSettings({ HF_HUB_DISABLE_SYMLINKS: '1' }).symlinks)
  t.is(hubSettings({ HF_HUB_ETAG_TIMEOUT: '3' }).lookupTimeout, 3000)
  t.is(hubSettings({ HF_HUB_DOWNLOAD_TIMEOUT: '0' }).downloadTimeout, 10_000)
  t.throws(() => hubSettings({ HF_HUB_DOWNLOAD_TIMEOUT: 'soon' }), { message: /HF_HUB_DOWNLOAD_TIMEOUT/ })
  for (const bad of ['ftp://x', 'huggingface.co', 'https://user:pw@x', 'https://x?key=pw']) {
    const { message } = t.throws(() => hubSettings({ HF_ENDPOINT: bad }))
    t.notRegex(message, /pw/)
  }
})

test('the token comes from HF_TOKEN, then from the token file, unless it must not be sent unasked', async t => {
  await withFolder(folder => {
    t.is(hubSettings({ HF_HOME: folder }).token, undefined)
    writeFileSync(join(folder, 'token'), 'hf_file\n')
    writeFileSync(join(folder, 'other'), ' hf_other\r\n')
    t.is(hubSettings({ HF_HOME: folder }).token, 'hf_file')
    t.is(hubSettings({ HF_HOME: folder, HF_TOKEN_PATH: join(folder, 'other') }).token, 'hf_other')
    t.is(hubSettings({ HF_HOME: folder, HF_TOKEN: 'hf_env', HUGGING_FACE_HUB_TOKEN: 'hf_old' }).token, 'hf_env')
    t.is(hubSettings({ HF_HOME: folder, HUGGING_FACE_HUB_TOKEN: 'hf_old' }).token, 'hf_old')
    t.is(hubSettings({ HF_HOME: folder, HF_TOKEN: 'hf_env', HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' }).token, undefined)
    const bad = t.throws(() => hubSettings({ HF_TOKEN: 'hf_sécret' }))
    t.notRegex(bad.message, /cret/)
    t.throws(() => hubSettings({ HF_HOME: folder, HF_TOKEN_PATH: folder }), { message: /cannot be read: EISDIR/ })
  })
})

test('a reference is org/name, a GGUF file in it, a revision, or none of the hub', t => {
  const parsed = (text: string) => {
    const { id, file, revision } = modelReference(text) ?? {}
    return [id, file, revision]
  }
  t.deepEqual(parsed('org/na.me-1_x'), ['org/na.me-1_x', undefined, 'main'])
  t.deepEqual(parsed('hf:org/name@refs/pr/3'), ['org/name', undefined, 'refs/pr/3'])
  t.deepEqual(parsed(`org/name@${commits[0]}`), ['org/name', undefined, commits[0]])
  t.deepEqual(parsed('org/name/a/b.GGUF@v1.0'), ['org/name', 'a/b.GGUF', 'v1.0'])
  for (const path of [
    'name',
    './org/name',
    '../name',
    '/org/name',
    'org/name/',
    'a/b/c',
    'org/na--me',
    'o..g/name',
    'org/name@',
    'org/name@../x',
    'org/../x.gguf',
  ]) {
    t.is(modelReference(path), undefined, path)
    if (!path.startsWith('.') && !path.startsWith('/'))
      t.throws(() => modelReference(`hf:${path}`), { message: /must be hf:org\/name/ })
  }
})

test('a name that is safe stays below its folder', t => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('..', '.', '/', '\\', 'a', ':', '\0', ' ', '~') }), name => {
      const inside = join('/folder', name).startsWith('/folder/') && !/[\\:\0]/.test(name)
      if (isSafePath(name)) t.true(inside, name)
    }),
  )
  t.true(isSafePath('data/train-00000-of-00001.parquet'))
  t.false(isSafePath(`${'a/'.repeat(600)}b`))
})
