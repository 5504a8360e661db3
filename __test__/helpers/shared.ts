import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The absolute path of ../shared/data/`path` beside the repository, or null where that data is not at hand. */
export function sharedData(path: string): string | null {
  const file = fileURLToPath(new URL(`../../../shared/data/${path}`, import.meta.url))
  return existsSync(file) ? file : null
}
