/**
 * `npx tsx benches/datasets.ts [FILE...]`: rows a second and peak memory of reading a million problems from JSON Lines, gzip
 * and a JSON array, each in a process of its own, and of any other files (a million rows of parquet:
 * fixtures/datasets/make.py).
 */
import { execFileSync } from 'node:child_process'
import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { createGzip } from 'node:zlib'
import { readDataset } from '../src/datasets/index.ts'

const MILLION = 1_000_000

function* text(open: string, between: string, close: string): Generator<string> {
  yield open
  for (let start = 0; start < MILLION; start += 1000) {
    const rows = Array.from({ length: 1000 }, (_, k) => {
      const n = start + k
      const solution = `We add ${n} to itself.\n\nThat makes \\boxed{${2 * n}}.`
      return JSON.stringify({ id: `row-${n}`, problem: `What is ${n} + ${n}?`, answer: 2 * n, solution })
    })
    yield (start > 0 ? between : '') + rows.join(between)
  }
  yield close
}

async function measure(path: string): Promise<void> {
  const before = process.resourceUsage().maxRSS
  const start = performance.now()
  let [records, rejected] = [0, 0]
  for await (const _ of readDataset(path, { onRejected: () => rejected++ })) records++
  const seconds = (performance.now() - start) / 1000
  const columns = [
    basename(path),
    `${(statSync(path).size / 1e6).toFixed(1)} MB`,
    `${records} records`,
    `${rejected} rejected`,
    `${seconds.toFixed(1)} s`,
    `${Math.round(records / seconds).toLocaleString('en')} rows/s`,
    `peak ${Math.round(process.resourceUsage().maxRSS / 1024)} MB, ${Math.round(before / 1024)} MB of it before`,
  ]
  console.log(columns.join(' · '))
}

const [given, ...others] = process.argv.slice(2)
if (given === '--one') {
  await measure(others[0]!)
} else {
  const folder = mkdtempSync(join(tmpdir(), 'surefoot-bench-'))
  const path = (name: string): string => join(folder, name)
  try {
    await pipeline(Readable.from(text('', '\n', '\n')), createWriteStream(path('million.jsonl')))
    await pipeline(Readable.from(text('', '\n', '\n')), createGzip(), createWriteStream(path('million.jsonl.gz')))
    await pipeline(Readable.from(text('[', ',\n', ']')), createWriteStream(path('million.json')))
    const files = [path('million.jsonl'), path('million.jsonl.gz'), path('million.json'), ...process.argv.slice(2)]
    const self = fileURLToPath(import.meta.url)
    for (const file of files) {
      execFileSync(process.execPath, ['--import=tsx', self, '--one', file], { stdio: 'inherit' })
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
