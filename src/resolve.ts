import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { invalidArgument, SurefootError } from './errors.ts'

/** Where models/ and demo/ are. */
export const packageFolder: string = fileURLToPath(new URL('..', import.meta.url))

/** The PRM that comes with the package. */
export const embeddedPrm: string = join(packageFolder, 'models', 'tiny-prm')

const hubId = /^[\w.-]+\/[\w.-]+$/

/**
 * A model reference → the folder with its files: a folder, or a hub id that the shared Hugging Face cache holds.
 * Nothing is downloaded.
 *
 * @param ref undefined stands for {@link embeddedPrm}
 * @throws `ERR_INVALID_ARGUMENT`, `ERR_MODEL_NOT_FOUND`
 */
export function resolveModel(ref: string | undefined): string {
  if (ref === undefined) return embeddedPrm
  if (typeof ref !== 'string' || ref === '' || ref.includes('\0')) {
    invalidArgument('ref', 'must be a folder or a hub id', ref)
  }
  if (existsSync(ref) || !hubId.test(ref)) return resolve(ref)
  const snapshot = cachedSnapshot(ref)
  if (snapshot !== undefined) return snapshot
  throw new SurefootError(
    'ERR_MODEL_NOT_FOUND',
    `${ref} is neither a folder here nor in the Hugging Face cache; fetch it first: hf download ${ref}`,
    { data: { ref } },
  )
}

/** The snapshot that `main` names, in huggingface_hub's cache layout. */
function cachedSnapshot(id: string): string | undefined {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env
  const home = HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface')
  const repo = join(HF_HUB_CACHE ?? join(home, 'hub'), `models--${id.replace('/', '--')}`)
  const main = join(repo, 'refs', 'main')
  if (!existsSync(main)) return undefined
  const snapshot = join(repo, 'snapshots', readFileSync(main, 'utf8').trim())
  return existsSync(snapshot) ? snapshot : undefined
}
