/** What the caller names → data files. */
import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'
import { invalidArgument, SurefootError } from '../errors.ts'
import { DATA, holdsWords, isData } from '../hub/index.ts'

/** A dataset's part by its hub id, `org/name@revision#config/split` → local files in the order in which they are read. */
export type Download = (reference: string, options: { signal?: AbortSignal }) => Promise<readonly string[]>

/** A file, and the short name by which ids call it. */
export interface NamedFile {
  readonly path: string
  readonly name: string
}

const HUB_ID = /^(hf:)?\w[\w.-]*\/\w[\w.-]*(@[^#]+)?(#.*)?$/

/**
 * The files of a source: the file itself, all data files under a folder in the order of their paths, those of a folder
 * that `#split` or `#config/split` names, or what `download` makes of a hub id. What ends as a data file is never one.
 */
export async function filesOf(
  source: string,
  download: Download,
  signal: AbortSignal | undefined,
): Promise<NamedFile[]> {
  if (typeof source !== 'string' || source === '') {
    invalidArgument('source', 'must be a file, a folder or a hub id', source)
  }
  if (existsSync(source)) return filesAt(source)
  const hash = source.lastIndexOf('#')
  const [folder, part] = hash > 0 ? [source.slice(0, hash), source.slice(hash + 1)] : [source, '']
  if (part !== '' && existsSync(folder)) return partOf(await filesAt(folder), folder, part)
  if (HUB_ID.test(source) && !DATA.test(source)) {
    return named(await download(source, { ...(signal && { signal }) }))
  }
  throw new SurefootError('ERR_IO', `${source} does not exist`, { data: { path: source } })
}

/** Files by what is left of their paths without the folder that they share. */
function named(paths: readonly string[]): NamedFile[] {
  const folders = paths.map(path => dirname(path).split(sep))
  const [first = []] = folders
  const differs = first.findIndex((part, depth) => folders.some(folder => folder[depth] !== part))
  const shared = (differs < 0 ? first : first.slice(0, differs)).join(sep)
  return paths.map(path => ({
    path,
    name: relative(shared || sep, path)
      .split(sep)
      .join('/'),
  }))
}

/** The data of a run, and a file that stands beside them. */
const RUNS = [
  ['candidates.jsonl', 'config.json'],
  ['annotations.jsonl', 'summary.json'],
] as const

async function filesAt(path: string): Promise<NamedFile[]> {
  if (!(await stat(path)).isDirectory()) return [{ path, name: basename(path) }]
  // Of a run of `surefoot generate` only the candidates are data, of `surefoot annotate` only what was kept.
  for (const [name, beside] of RUNS) {
    if (existsSync(join(path, name)) && existsSync(join(path, beside))) return [{ path: join(path, name), name }]
  }
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const paths = entries.map(entry => join(entry.parentPath, entry.name))
  const files: NamedFile[] = []
  for (const file of paths.sort()) {
    const name = relative(path, file).split(sep).join('/')
    const hidden = name.split('/').some(part => part.startsWith('.'))
    if (isData(name) && !hidden && (await stat(file)).isFile()) files.push({ path: file, name })
  }
  if (files.length > 0) return files
  return invalidArgument(
    'source',
    `${path} holds no .json, .jsonl, .ndjson or .parquet file, packed by gzip or not`,
    path,
  )
}

/** The files whose path holds each part of `config/split` as a word. */
function partOf(files: readonly NamedFile[], folder: string, part: string): NamedFile[] {
  const words = part.split('/')
  const found = files.filter(({ name }) => holdsWords(name, words))
  if (found.length > 0) return found
  const names = files.slice(0, 10).map(({ name }) => name)
  return invalidArgument('source', `no file in ${folder} is of ${part}; there are ${names.join(', ')}`, part)
}
