import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SurefootError } from '../../src/errors.ts'

/** The repository, without a trailing separator. */
export const repository: string = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '')

/** The checkpoints that scripts/reference.py wrote. */
export const checkpoints = [
  'qwen2-mlp2',
  'qwen2-linear2',
  'qwen2-vhead',
  'llama-mlp2',
  'llama-linear2',
  'llama-vhead',
] as const

export interface ReferenceCase {
  readonly name: string
  readonly problem: string
  readonly steps: string[]
  readonly ids: number[]
  readonly scores: number[]
  /** Instead of the checkpoint's own separator. */
  readonly separator?: string
}

export function fixture(name: string): string {
  return join(repository, 'fixtures', name)
}

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T
}

/** What transformers computes for a checkpoint, with its own separator. */
export function referenceCases(name: string): ReferenceCase[] {
  const { cases } = readJson<{ cases: ReferenceCase[] }>(join(fixture(name), 'expected.json'))
  return cases.filter(({ separator }) => separator === undefined)
}

/** Runs `use` in a new folder and removes it. */
export async function withFolder<T>(use: (folder: string) => Promise<T> | T): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'surefoot-test-'))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs `use` on a copy of a checkpoint that `edit` has changed. */
export function withCheckpoint<T>(
  name: string,
  edit: (folder: string) => void,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  return withFolder(folder => {
    cpSync(fixture(name), folder, { recursive: true })
    edit(folder)
    return use(folder)
  })
}

/** Changes fields of a JSON file in a folder; undefined removes one. */
export function editJson(folder: string, file: string, changes: Record<string, unknown>): void {
  const path = join(folder, file)
  writeFileSync(path, JSON.stringify({ ...readJson<Record<string, unknown>>(path), ...changes }))
}

/** Changes a safetensors file: `edit` may change the header and the data in place. */
export function editSafetensors(
  path: string,
  edit: (
    header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>,
    data: Buffer,
  ) => void,
): void {
  const bytes = readFileSync(path)
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString())
  const data = bytes.subarray(8 + length)
  edit(header, data)
  const text = Buffer.from(JSON.stringify(header))
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(path, Buffer.concat([prefix, text, data]))
}

/** The largest difference of two lists of the same length. */
export function largestDifference(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) throw new Error(`${a.length} numbers against ${b.length}`)
  return Math.max(0, ...a.map((value, index) => Math.abs(value - b[index]!)))
}

/** How a promise fails: code and message of a SurefootError, the text of another error, or `no error`. */
export async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'no error'
  } catch (error) {
    return SurefootError.isInstance(error) ? `${error.code}: ${error.message}` : String(error)
  }
}
