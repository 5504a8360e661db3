/** Which files of a model repository are needed. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SurefootError } from '../errors.ts'
import { isSafePath, type ModelReference, named } from './reference.ts'
import { type HubSettings, hubSettings } from './settings.ts'
import { type Commit, type FetchOptions, fetchSnapshot } from './snapshot.ts'

const CONFIG = 'config.json'
const TOKENIZER = 'tokenizer.json'
const ADAPTER = 'adapter_config.json'
const ADAPTER_WEIGHTS = 'adapter_model.safetensors'
const WEIGHTS = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'

const spoken = [TOKENIZER, 'tokenizer_config.json', 'chat_template.jinja']

const described = [CONFIG, 'generation_config.json', ...spoken, 'special_tokens_map.json', 'surefoot.json', ADAPTER]

const PICKLED = /\.(bin|pt|pth|ckpt|pkl)$/i

/** Bytes of an index of shards, and their number. */
const INDEX_SIZE = 32 * 2 ** 20
const SHARDS = 4096

/**
 * Fetches what scoring and writing need of a model on the hub: its description, its tokenizer and its safetensors (or the GGUF file
 * that the reference names). Never pickles, never code.
 *
 * @returns the folder of the files in the shared cache, or the path of the GGUF file in it
 * @throws `ERR_OFFLINE`, `ERR_HTTP`, `ERR_GATED`, `ERR_MODEL_NOT_FOUND`, `ERR_INTEGRITY`, `ERR_UNSAFE_FORMAT`,
 *   `ERR_MODEL_INVALID`, `ERR_IO`, `ERR_INVALID_ARGUMENT`; the signal's reason
 */
export async function fetchModel(
  reference: ModelReference,
  options: FetchOptions = {},
  settings: HubSettings = hubSettings(),
): Promise<string> {
  const { file } = reference
  const plan =
    file === undefined
      ? { run: (commit: Commit) => modelFolder(reference, commit), optional: described }
      : { run: (commit: Commit) => ggufFile(file, commit), optional: [] }
  return fetchSnapshot(settings, reference, plan, options)
}

/**
 * Fetches what a model on the hub says of its text: tokenizer and chat template, no weights.
 *
 * @returns and throws as {@link fetchModel}
 */
export async function fetchTokenizer(
  reference: ModelReference,
  options: FetchOptions = {},
  settings: HubSettings = hubSettings(),
): Promise<string> {
  const { file } = reference
  if (file !== undefined) return fetchModel(reference, options, settings)
  const run = async ({ names, listed, folder, get, lacking }: Commit): Promise<string> => {
    if (!names.has(TOKENIZER)) {
      if (listed) throw lacking(`file ${TOKENIZER}`)
      await get([TOKENIZER])
    }
    await get(spoken.filter(name => names.has(name)))
    return folder
  }
  return fetchSnapshot(settings, reference, { run, optional: spoken }, options)
}

async function ggufFile(file: string, { names, folder, get, lacking }: Commit): Promise<string> {
  if (!names.has(file)) throw lacking(`file ${file}${ggufs(names)}`)
  await get([file])
  return join(folder, ...file.split('/'))
}

async function modelFolder(reference: ModelReference, commit: Commit): Promise<string> {
  const { names, listed, folder, get, lacking } = commit
  const weights = [WEIGHTS, INDEX].find(name => names.has(name))
  const adapter = names.has(ADAPTER) && names.has(ADAPTER_WEIGHTS)
  if (weights === undefined && !adapter) throw listed ? withoutWeights(reference, names) : lacking(WEIGHTS)
  // What is not listed may be missing by accident: without these there is no model.
  if (!listed && !adapter) await get([CONFIG, TOKENIZER])
  await get([...described, ADAPTER_WEIGHTS].filter(name => names.has(name)))
  if (weights === WEIGHTS) await get([WEIGHTS])
  if (weights === INDEX) {
    await get([INDEX])
    const shards = await shardsOf(reference, join(folder, INDEX))
    const missing = shards.find(shard => !names.has(shard))
    if (missing !== undefined)
      throw listed ? invalidIndex(reference, `names ${missing}, which is not there`) : lacking(missing)
    await get(shards)
  }
  return folder
}

function withoutWeights(reference: ModelReference, names: ReadonlySet<string>): SurefootError {
  const data = { repository: reference.id, revision: reference.revision }
  const pickled = [...names].filter(name => PICKLED.test(name))
  if (pickled.length > 0) {
    return new SurefootError(
      'ERR_UNSAFE_FORMAT',
      `${named(reference)} holds only pickled weights (${some(pickled)}), which are refused: they can run code when they are read. Convert them to safetensors, or look for a conversion at ${reference.id}@refs/pr/N`,
      { data: { ...data, files: pickled } },
    )
  }
  const gguf = ggufs(names)
  return new SurefootError(
    'ERR_MODEL_INVALID',
    `${named(reference)} holds neither ${WEIGHTS} nor ${INDEX} nor an adapter${gguf}`,
    { data },
  )
}

/** What GGUF files there are to name instead. */
function ggufs(names: ReadonlySet<string>): string {
  const found = [...names].filter(name => name.endsWith('.gguf'))
  return found.length === 0 ? '' : `; name one of its GGUF files as org/name/FILE: ${some(found)}`
}

function some(names: readonly string[]): string {
  return names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`
}

/** The files that an index names. */
async function shardsOf(reference: ModelReference, path: string): Promise<string[]> {
  if ((await stat(path)).size > INDEX_SIZE) throw invalidIndex(reference, `is longer than ${INDEX_SIZE} bytes`)
  const map = weightMap(await readFile(path, 'utf8'))
  if (map === undefined) throw invalidIndex(reference, 'has no weight_map')
  const shards = [...new Set<unknown>(Object.values(map))]
  if (shards.length > SHARDS) throw invalidIndex(reference, `names ${shards.length} files, more than ${SHARDS}`)
  for (const shard of shards) {
    const plain = typeof shard === 'string' && isSafePath(shard) && /^[^/]+\.safetensors$/.test(shard)
    if (!plain) throw invalidIndex(reference, `names ${JSON.stringify(shard)}, which is no safetensors file beside it`)
  }
  return shards as string[]
}

function weightMap(text: string): object | undefined {
  try {
    const map: unknown = JSON.parse(text)?.weight_map
    return typeof map === 'object' && map !== null ? map : undefined
  } catch {
    return undefined
  }
}

function invalidIndex(reference: ModelReference, what: string): SurefootError {
  return new SurefootError('ERR_MODEL_INVALID', `${INDEX} of ${named(reference)} ${what}`, {
    data: { repository: reference.id, revision: reference.revision, file: INDEX },
  })
}
