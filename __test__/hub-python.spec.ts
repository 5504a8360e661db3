/** The cache is shared with huggingface_hub: with one at hand, each side reads what the other one wrote. */
import { execFile, execFileSync } from 'node:child_process'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { fetchModel, modelReference, resolveDataset } from '../src/hub/index.ts'
import { commits, type Files, type Hub, model, withHub } from './helpers/hub-server.ts'

/** Every entry below a folder: links with their target, files with their content. Locks and marks are left out. */
function treeOf(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
  const rows = entries
    .filter(path => !/^(\.locks|CACHEDIR\.TAG)|(^|\/)(\.no_exist|trees)(\/|$)/.test(path))
    .map(path => {
      const stat = lstatSync(join(folder, path))
      if (stat.isDirectory()) return [path, 'folder']
      return [
        path,
        stat.isSymbolicLink() ? `-> ${readlinkSync(join(folder, path))}` : readFileSync(join(folder, path), 'latin1'),
      ]
    })
  return Object.fromEntries(rows)
}

const python = process.env.SUREFOOT_PYTHON ?? 'python3'

function hasPython(t: ExecutionContext): boolean {
  try {
    execFileSync(python, ['-c', 'import huggingface_hub'], { stdio: 'ignore' })
    return true
  } catch {
    t.log('NOT RUN: no Python with huggingface_hub; name one in SUREFOOT_PYTHON')
    t.pass()
    return false
  }
}

/** What a line of Python prints, with huggingface_hub pointed at the hub and the cache. */
async function run({ server, cache }: Hub, line: string, more: Record<string, string> = {}): Promise<string> {
  const env = {
    ...process.env,
    HF_ENDPOINT: server.url,
    HF_HUB_CACHE: cache,
    HF_HUB_DISABLE_XET: '1',
    HF_HUB_DISABLE_TELEMETRY: '1',
    ...more,
  }
  const code = `from huggingface_hub import hf_hub_download, snapshot_download\nprint(${line})`
  return (await promisify(execFile)(python, ['-c', code], { env })).stdout.trim()
}

const revisions = { v1: commits[0], 'refs/pr/1': commits[0] }
const files: Files = { ...model, 'q/x.gguf': Buffer.from('GGUF') }
const needed = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors']

test('Python and surefoot write the same cache, entry by entry', async t => {
  if (!hasPython(t)) return
  const ours = await withHub(async ({ server, cache, settings }) => {
    server.add('org/name', commits[0], files, revisions)
    for (const reference of ['org/name', 'org/name@v1', 'org/name@refs/pr/1', 'org/name/q/x.gguf']) {
      await fetchModel(modelReference(reference)!, {}, settings)
    }
    server.add('datasets/org/set', commits[1], { 'data/test.jsonl': '{}' })
    await resolveDataset('org/set', {}, settings)
    return treeOf(cache)
  })
  const theirs = await withHub(async hub => {
    hub.server.add('org/name', commits[0], files, revisions)
    for (const revision of ['main', 'v1', 'refs/pr/1']) {
      for (const file of needed) await run(hub, `hf_hub_download('org/name', '${file}', revision='${revision}')`)
    }
    await run(hub, `hf_hub_download('org/name', 'q/x.gguf')`)
    hub.server.add('datasets/org/set', commits[1], { 'data/test.jsonl': '{}' })
    await run(hub, `hf_hub_download('org/set', 'data/test.jsonl', repo_type='dataset')`)
    return treeOf(hub.cache)
  })
  t.deepEqual(ours, theirs)
})

test('what Python fetched is used by surefoot, offline without any request, online without a file', async t => {
  if (!hasPython(t)) return
  await withHub(async hub => {
    hub.server.add('org/name', commits[0], files, revisions)
    const folder = await run(hub, `snapshot_download('org/name', revision='v1', ignore_patterns=['*.bin'])`)
    const name = modelReference('org/name@v1')!
    hub.server.seen.length = 0
    t.is(await fetchModel(name, {}, { ...hub.settings, offline: true }), folder)
    t.deepEqual(hub.server.seen, [])
    t.is(await fetchModel(name, {}, hub.settings), folder)
    t.deepEqual(hub.server.asked, ['hub GET /api/models/org/name/revision/v1'])
  })
})

test('what surefoot fetched is used by Python with HF_HUB_OFFLINE=1', async t => {
  if (!hasPython(t)) return
  await withHub(async hub => {
    hub.server.add('org/name', commits[0], files, revisions)
    const folder = await fetchModel(modelReference('org/name')!, {}, hub.settings)
    const gguf = await fetchModel(modelReference('org/name/q/x.gguf@v1')!, {}, hub.settings)
    hub.server.seen.length = 0
    const offline = { HF_HUB_OFFLINE: '1' }
    for (const file of needed)
      t.is(await run(hub, `hf_hub_download('org/name', '${file}')`, offline), join(folder, file))
    t.is(await run(hub, `hf_hub_download('org/name', 'q/x.gguf', revision='v1')`, offline), gguf)
    t.is(await run(hub, `snapshot_download('org/name')`, offline), folder)
    t.deepEqual(hub.server.seen, [])
    await run(hub, `hf_hub_download('org/name', 'model.safetensors')`)
    t.is(hub.server.fetched('model.safetensors'), 0, 'online, Python finds the blob and fetches nothing')
  })
})
