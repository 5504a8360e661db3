import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { invalidArgument } from './errors.ts'
import type { FetchOptions, ModelReference } from './hub/index.ts'

/** Where models/ and demo/ are. */
export const packageFolder: string = fileURLToPath(new URL('..', import.meta.url))

/** The PRM that comes with the package. */
export const embeddedPrm: string = join(packageFolder, 'models', 'tiny-prm')

/** The policy that comes with it. */
export const embeddedPolicy: string = join(packageFolder, 'models', 'tiny-policy')

/**
 * A model reference → the folder with its files, or a GGUF file. What exists here wins; else
 * `[hf:]org/name[/file.gguf][@revision]` is fetched from the hub into the shared Hugging Face cache.
 *
 * @throws `ERR_INVALID_ARGUMENT` and what fetching throws; the signal's reason
 */
export async function resolveModel(ref: string, options: FetchOptions = {}): Promise<string> {
  return resolveReference(ref, async reference => (await import('./hub/index.ts')).fetchModel(reference, options))
}

/** The same for a model's tokenizer and chat template: of the hub nothing else is fetched. */
export async function resolveTokenizer(ref: string, options: FetchOptions = {}): Promise<string> {
  return resolveReference(ref, async reference => (await import('./hub/index.ts')).fetchTokenizer(reference, options))
}

async function resolveReference(ref: string, fetch: (reference: ModelReference) => Promise<string>): Promise<string> {
  if (typeof ref !== 'string' || ref === '' || ref.includes('\0')) {
    invalidArgument('ref', 'must be a folder, a GGUF file or a hub id', ref)
  }
  if (existsSync(ref)) return resolve(ref)
  // What most calls do not need is not loaded with the package.
  const { modelReference } = await import('./hub/index.ts')
  const reference = modelReference(ref)
  return reference === undefined ? resolve(ref) : fetch(reference)
}
