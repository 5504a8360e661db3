/** Which files of a dataset repository are meant. */
import { join } from 'node:path'
import { datasetReference } from './reference.ts'
import { type HubSettings, hubSettings } from './settings.ts'
import { type Commit, type FetchOptions, fetchSnapshot } from './snapshot.ts'

/** How the names of data files end. */
export const DATA: RegExp = /\.(jsonl?|ndjson|parquet)(\.gz)?$/i

/** What the datasets library writes beside its data. */
const METADATA = /(^|\/)(dataset_infos?|dataset_dict|state)\.json$/i

/**
 * Fetches data files of a dataset on the hub: JSON, JSON lines and Parquet, packed by gzip or not.
 *
 * @param reference `org/name[@revision]`, for all of them; with `#split` or `#config/split`, for those whose path has
 *   these as words: `data/train-00000-of-00001.parquet` is of the split `train`
 * @returns their paths in the shared cache, in the order of their names in the repository
 * @throws `ERR_OFFLINE`, `ERR_HTTP`, `ERR_GATED`, `ERR_DATASET_NOT_FOUND`, `ERR_INTEGRITY`, `ERR_IO`,
 *   `ERR_INVALID_ARGUMENT`; the signal's reason
 */
export async function resolveDataset(
  reference: string,
  options: FetchOptions = {},
  settings: HubSettings = hubSettings(),
): Promise<readonly string[]> {
  const dataset = datasetReference(reference)
  const run = async ({ names, listed, folder, get, lacking }: Commit): Promise<string[]> => {
    // A name with `..` is kept: it must be refused, not passed over.
    const isHidden = (name: string): boolean => /(^|\/)\.[^/.]/.test(name)
    const data = [...names].filter(name => isData(name) && !isHidden(name)).sort()
    const words = dataset.part.split('/').filter(word => word !== '')
    const files = data.filter(name => holdsWords(name, words))
    if (files.length === 0) {
      const there = data.length === 0 ? '' : ` (there are ${data.slice(0, 10).join(', ')})`
      throw lacking(`${dataset.part === '' ? 'data file' : `data file for ${dataset.part}`}${there}`)
    }
    if (!listed) {
      const missing = files.flatMap(siblings).find(name => !names.has(name))
      if (missing !== undefined) throw lacking(missing)
      const what = `${files.length} data ${files.length === 1 ? 'file' : 'files'} of ${reference}`
      process.emitWarning(`${what} come from the cache; whether the hub has more was not asked`, 'SurefootWarning')
    }
    await get(files)
    return files.map(name => join(folder, ...name.split('/')))
  }
  return fetchSnapshot(settings, dataset, { run, optional: [] }, options)
}

/** Whether a path, with `/` between its parts, ends as data does and is no metadata. */
export function isData(name: string): boolean {
  return DATA.test(name) && !METADATA.test(name)
}

/** Whether a path holds each of these as a word: `data/train-00000.parquet` holds `train`. */
export function holdsWords(name: string, words: readonly string[]): boolean {
  return words.every(word =>
    new RegExp(`(^|[\\W_])${word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}([\\W_]|$)`).test(name),
  )
}

/** The names of all parts of a file that is one of several: `x-00001-of-00003.parquet`. */
function siblings(name: string): string[] {
  const [, stem, of, rest] = /^(.*-)\d{5}(-of-(?:\d{5}))(.*)$/.exec(name) ?? []
  if (stem === undefined) return [name]
  const count = Math.min(Number(of!.slice(-5)), 10_000)
  return Array.from({ length: count }, (_, at) => `${stem}${String(at).padStart(5, '0')}${of}${rest}`)
}
