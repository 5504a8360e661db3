import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'

/**
 * The text of ../shared/data/`path` beside the repository. Without that data the test passes, says NOT RUN out loud
 * (`.ci/run` fails when it says so though the data is there), and gets null.
 */
export function readShared(t: ExecutionContext, path: string): string | null {
  const file = fileURLToPath(new URL(`../../../shared/data/${path}`, import.meta.url))
  if (existsSync(file)) return readFileSync(file, 'utf8')
  t.log(`NOT RUN: needs ../shared/data/${path}`)
  t.pass()
  return null
}
