/**
 * `npx tsx benches/collect.ts [ROWS]`: solutions a second and peak memory of collecting from generated rows in two formats,
 * with duplicates, a test set and quotas, and of converting what was collected; 300,000 rows and 1,200,000 rows, each in a
 * process of its own: memory that grew with the text would be four times as much.
 */
import { execFileSync } from 'node:child_process'
import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { collect } from '../src/annotate/collect.ts'
import { convert } from '../src/datasets/write.ts'
import { randomNumbers } from '../src/evaluate/random.ts'

const WORDS =
  'the number of apples that remain after each child takes some is half what was there before we add them'.split(' ')

/** A problem of about 40 words and steps of about 25: what a chain of GSM8K or MATH has. */
function* solutions(rows: number, seed: number): Generator<{ problem: string; steps: string[]; labels: number[] }> {
  const random = randomNumbers(seed)
  const words = (count: number): string =>
    Array.from({ length: count }, () =>
      random() < 0.2 ? Math.floor(1000 * random()) : WORDS[Math.floor(WORDS.length * random())],
    ).join(' ')
  let problem = ''
  let last: { problem: string; steps: string[]; labels: number[] } | undefined
  for (let row = 0; row < rows; row++) {
    if (row % 16 === 0) problem = `${words(40)}?`
    if (last && random() < 0.05) {
      yield last
      continue
    }
    const steps = Array.from({ length: 3 + Math.floor(5 * random()) }, () => `${words(25)}.`)
    last = { problem, steps, labels: steps.map(() => Number(random() < 0.7)) }
    yield last
  }
}

function* shepherd(rows: number): Generator<string> {
  for (const { problem, steps, labels } of solutions(rows, 1)) {
    const text = (mark: (index: number) => string): string =>
      `${problem} ${steps.map((step, index) => `Step ${index + 1}: ${step} ${mark(index)}`).join('\n')}`
    yield `${JSON.stringify({ input: text(() => 'ки'), label: text(index => (labels[index] ? '+' : '-')), task: rows % 2 ? 'MATH' : 'GSM8K' })}\n`
  }
}

function* trl(rows: number): Generator<string> {
  for (const { problem, steps, labels } of solutions(rows, 2)) {
    yield `${JSON.stringify({ prompt: problem, completions: steps, labels: labels.map(Boolean) })}\n`
  }
}

function* testSet(): Generator<string> {
  let row = 0
  for (const { problem } of solutions(160_000, 1))
    if (row++ % 320 === 0) yield `${JSON.stringify({ problem, answer: 1 })}\n`
}

async function measure(folder: string, rows: number): Promise<void> {
  const path = (name: string): string => join(folder, name)
  const before = process.resourceUsage().maxRSS
  let heap = 0
  const look = (): void => {
    heap = Math.max(heap, process.memoryUsage().heapUsed)
  }
  const show = (what: string, start: number, more: string): void => {
    const seconds = (performance.now() - start) / 1000
    const peak = Math.round(process.resourceUsage().maxRSS / 1024)
    console.log(
      `${what} · ${rows.toLocaleString('en')} rows · ${seconds.toFixed(0)} s · ${Math.round(rows / seconds).toLocaleString('en')} rows/s · peak ${peak} MB, ${Math.round(before / 1024)} MB of it before; heap at most ${Math.round(heap / 2 ** 20)} MB · ${more}`,
    )
  }
  let start = performance.now()
  const { duplicates, contaminated, overQuota, kept } = await collect({
    sources: [path('shepherd.jsonl'), path('trl.jsonl')],
    tests: [path('test.jsonl')],
    quotas: [{ by: ['source'], most: Math.round(0.4 * rows) }],
    run: path('run'),
    onProgress: look,
  })
  show(
    'collect',
    start,
    `${duplicates} duplicates, ${contaminated} contaminated, ${overQuota} over quota, ${kept} kept`,
  )
  start = performance.now()
  heap = 0
  const converted = await convert({
    from: path('run/annotations.jsonl'),
    to: 'math-shepherd',
    out: path('out.jsonl'),
    onProgress: look,
  })
  show('convert', start, `${converted.written} written as Math-Shepherd`)
}

const [first, folder, count] = process.argv.slice(2)
if (first === '--one') {
  await measure(folder!, Number(count))
} else {
  for (const rows of first ? [Number(first)] : [300_000, 1_200_000]) {
    const folder = mkdtempSync(join(tmpdir(), 'surefoot-bench-'))
    try {
      const write = (name: string, lines: Iterable<string>): Promise<void> =>
        pipeline(Readable.from(lines), createWriteStream(join(folder, name)))
      await write('shepherd.jsonl', shepherd(rows / 2))
      await write('trl.jsonl', trl(rows / 2))
      await write('test.jsonl', testSet())
      const size = ['shepherd.jsonl', 'trl.jsonl'].reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
      console.log(`${rows.toLocaleString('en')} rows, ${(size / 1e9).toFixed(2)} GB`)
      const self = fileURLToPath(import.meta.url)
      execFileSync(process.execPath, ['--import=tsx', self, '--one', folder, String(rows)], { stdio: 'inherit' })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
}
