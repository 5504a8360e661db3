import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Peer } from './peer.ts'
import { progress } from './report.ts'

const root: string = fileURLToPath(new URL('../..', import.meta.url))
const python: string = process.env.PYTHON ?? 'python3'

/** What a run of the benchmark was asked for. */
export interface Setting {
  readonly folder: string
  readonly shapes: readonly string[]
  /** Undefined: as many as the measure takes by itself. */
  readonly rounds: number | undefined
  readonly texts: number
  /** Of `distinct` and `candidates`. */
  readonly kinds: readonly string[]
  readonly depths: readonly number[]
  /** A folder that scripts/gguf/smollm2.sh and benches/smollm2_gguf.py filled. */
  readonly smollm2: string | undefined
  /** A JSON file with the seconds of each operation. */
  readonly profile: string | undefined
}

/** Threads of every side. */
export const threads: number = availableParallelism()

export function inRepository(...path: string[]): string {
  return join(root, ...path)
}

/** The folder of a shape's checkpoint, which is written when it is not there. */
export function checkpoint(setting: Setting, shape: string): string {
  const folder = join(setting.folder, shape)
  if (!existsSync(join(folder, 'tokenizer_config.json'))) {
    progress(`writing a checkpoint of shape ${shape} to ${folder}`)
    execFileSync(python, [inRepository('scripts', 'reference.py'), '--shape', shape, '--out', folder], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
  }
  return folder
}

export function startTorch(folder: string): Promise<Peer> {
  return Peer.start(python, [inRepository('benches', 'torch_rival.py'), folder, '--threads', String(threads)])
}
