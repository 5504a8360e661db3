import { execFile } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createGzip } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { ROW_BYTES } from '../src/datasets/scan.ts'
import { folder } from './helpers/datasets.ts'

const child = fileURLToPath(new URL('./helpers/datasets-child.ts', import.meta.url))
const MB = 2 ** 20

/** Writes a file piece by piece and reads it in a process whose heap may hold 64 MB. */
async function read(t: ExecutionContext, name: string, pieces: Iterable<string>) {
  const path = join(folder(t), name)
  const stages = name.endsWith('.gz') ? [createGzip({ level: 1 })] : []
  await pipeline([Readable.from(pieces), ...stages, createWriteStream(path)])
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--max-old-space-size=64',
    '--import=tsx',
    child,
    path,
  ])
  return JSON.parse(stdout) as { records: number; rejected: number; peak: number }
}

const ROWS = 200_000
const solution = 'We add two and two and get four, as everyone knows who has ever counted. '.repeat(2)

/** 43 MB of text, and twice that as records: more than the buffers and the heap may hold. */
function* manyRows(open: string, between: string, close: string): Generator<string> {
  yield open
  for (let start = 0; start < ROWS; start += 1000) {
    const rows = Array.from({ length: 1000 }, (_, n) =>
      JSON.stringify({ id: `row-${start + n}`, problem: `${start + n}?`, answer: n, solution }),
    )
    yield (start > 0 ? between : '') + rows.join(between)
  }
  yield close
}

test.serial('two hundred thousand rows of JSON Lines in gzip pass in flat memory', async t => {
  const { records, rejected, peak } = await read(t, 'rows.jsonl.gz', manyRows('', '\n', '\n'))
  t.deepEqual([records, rejected], [ROWS, 0])
  t.true(peak < 32 * MB, `${peak} bytes`)
})

test.serial('two hundred thousand rows of a JSON array pass in flat memory', async t => {
  const { records, rejected, peak } = await read(t, 'rows.json', manyRows('[', ',\n', ']'))
  t.deepEqual([records, rejected], [ROWS, 0])
  t.true(peak < 32 * MB, `${peak} bytes`)
})

test.serial('a gzip bomb of one endless row is rejected in flat memory, and the rows around it are read', async t => {
  const row = '{"problem": "1?", "answer": 1}'
  function* bomb(): Generator<string> {
    yield `${row}\n{"problem": "`
    for (let size = 0; size < ROW_BYTES + 16 * MB; size += MB) yield 'x'.repeat(MB)
    yield `"}\n${row}\n`
  }
  const { records, rejected, peak } = await read(t, 'bomb.jsonl.gz', bomb())
  t.deepEqual([records, rejected], [2, 1])
  t.true(peak < 2 * ROW_BYTES, `${peak} bytes`)
})
