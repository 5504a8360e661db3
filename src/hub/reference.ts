/** What the caller calls a repository, and which names are safe to make a path of. */
import { invalidArgument } from '../errors.ts'

/** A repository of the hub at a revision. */
export interface Repository {
  readonly kind: 'model' | 'dataset'
  /** `org/name` */
  readonly id: string
  /** A branch, a tag, `refs/pr/N` or a commit. */
  readonly revision: string
}

export interface ModelReference extends Repository {
  /** The GGUF file that is meant, by its path in the repository. */
  readonly file?: string
}

export interface DatasetReference extends Repository {
  /** `split` or `config/split`; empty: all of it. */
  readonly part: string
}

const NAME = String.raw`\w(?:[\w.-]*\w)?`
const MODEL = new RegExp(`^(${NAME}/${NAME})(?:/([^@]+\\.gguf))?(?:@(.+))?$`, 'i')
const DATASET = new RegExp(`^(${NAME}/${NAME})(?:@([^#]+))?(?:#(.*))?$`)

/** `[hf:]org/name[/path/to/file.gguf][@revision]`; undefined for what can only be a path. */
export function modelReference(text: string): ModelReference | undefined {
  const forced = text.startsWith('hf:')
  const [, id, file, revision = 'main'] = MODEL.exec(forced ? text.slice(3) : text) ?? []
  if (isRepositoryId(id) && isSafePath(revision) && (file === undefined || isSafePath(file))) {
    return { kind: 'model', id, revision, ...(file !== undefined && { file }) }
  }
  if (forced) invalidArgument('ref', 'must be hf:org/name[/file.gguf][@revision]', text)
  return undefined
}

/**
 * `[hf:]org/name[@revision][#split]` or `…#config/split`
 *
 * @throws `ERR_INVALID_ARGUMENT`
 */
export function datasetReference(text: string): DatasetReference {
  const [, id, revision = 'main', part = ''] = DATASET.exec(text.replace(/^hf:/, '')) ?? []
  if (isRepositoryId(id) && isSafePath(revision)) return { kind: 'dataset', id, revision, part }
  return invalidArgument('reference', 'must be org/name[@revision][#config/split]', text)
}

/** The rules of the hub; `--` is what the cache writes for `/`. */
function isRepositoryId(id: string | undefined): id is string {
  return id !== undefined && id.length <= 192 && !/--|\.\.|\.git$/.test(id)
}

/** Whether a path with `/` stays below the folder that it is joined to, on every system. */
export function isSafePath(path: string): boolean {
  if (path.length > 1024) return false
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  return path.split('/').every(part => /^[^\\:*?"<>|\x00-\x1f\x7f]{1,255}$/.test(part) && !/^\.+$|[. ]$/.test(part))
}

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text)
}

/** How messages name a repository. */
export function named({ id, revision }: Repository): string {
  return revision === 'main' ? id : `${id}@${revision}`
}
