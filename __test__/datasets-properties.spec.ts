import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import { Misfit } from '../src/datasets/fields.ts'
import { type RowContext, recordsOf } from '../src/datasets/format.ts'
import { formats } from '../src/datasets/formats.ts'
import type { DataRecord } from '../src/datasets/index.ts'
import { ArrayScanner, LineScanner, type Scanner } from '../src/datasets/scan.ts'
import { SurefootError } from '../src/errors.ts'
import { folder, readAll, samples } from './helpers/datasets.ts'

const objects = fc.array(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), { maxLength: 8 })
const layout = fc.constantFrom('', ' ', '\n', '\r\n\t ')

/** The values of a text that comes in pieces of these lengths, over and over. */
function scan(scanner: Scanner, text: string, cuts: readonly number[]): unknown[] {
  const bytes = Buffer.from(text)
  const rows = []
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const length = cuts[n % cuts.length]!
    rows.push(...scanner.push(bytes.subarray(at, at + length)))
    at += length
  }
  return [...rows, ...scanner.end()].map(row => ('value' in row ? row.value : row))
}

const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replaceAll(/\\u[dD][89a-fA-F]../g, '?'))

test('the array scanner equals JSON.parse, wherever the chunks end', t => {
  const property = fc.property(
    objects,
    layout,
    fc.integer({ min: 0, max: 3 }),
    cuts,
    (values, blank, indent, lengths) => {
      const elements = values.map(value => JSON.stringify(plain(value), null, indent))
      const text = `${blank}[${blank}${elements.join(`${blank},${blank}`)}${blank}]${blank}`
      return isDeepStrictEqual(scan(new ArrayScanner(), text, lengths), JSON.parse(text))
    },
  )
  t.notThrows(() => fc.assert(property, { numRuns: 400, seed: 1 }))
})

test('the line scanner equals JSON.parse of each line, wherever the chunks end', t => {
  const property = fc.property(objects, fc.constantFrom('\n', '\r\n', '\n\n \n'), cuts, (values, between, lengths) => {
    const text = values.map(value => JSON.stringify(plain(value))).join(between)
    return isDeepStrictEqual(scan(new LineScanner(), text, lengths), values.map(plain))
  })
  t.notThrows(() => fc.assert(property, { numRuns: 400, seed: 1 }))
})

/** Puts a value somewhere into a copy of a row: `path` picks among the keys at each depth. */
function mutated(row: unknown, path: readonly number[], value: unknown): unknown {
  const [step, ...rest] = path
  if (typeof row !== 'object' || row === null || step === undefined) return value
  const keys = Object.keys(row)
  if (keys.length === 0) return value
  const key = keys[step % keys.length]!
  const inner = (row as Record<string, unknown>)[key]
  if (Array.isArray(row)) return row.map((item, index) => (String(index) === key ? mutated(inner, rest, value) : item))
  return { ...row, [key]: mutated(inner, rest, value) }
}

function soundness(record: DataRecord): boolean {
  const text = (value: unknown): boolean => typeof value === 'string' && value.trim() !== '' && value.isWellFormed()
  if (!text(record.problem) || record.id === '') return false
  if (record.kind === 'problem') return record.answer === null || text(record.answer)
  if (record.kind === 'code') return record.solutions.every(text) && text(record.language)
  if (record.kind === 'labels') {
    const { steps, labels, firstError } = record
    const fits = firstError === null || (Number.isInteger(firstError) && firstError >= -1 && firstError < steps.length)
    const range = labels.every(label => label === null || (label >= 0 && label <= 1))
    return fits && range && steps.length > 0 && steps.length === labels.length && steps.every(text)
  }
  return record.candidates.every(
    ({ text: words, steps, scores, correct }) =>
      text(words) &&
      (!steps || !scores || scores.length === steps.length) &&
      (scores ?? []).every(Number.isFinite) &&
      (record.answer !== null || correct !== undefined),
  )
}

const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(null, '', ' ', 0, -1, 1.5, 2 ** 60, '\ud800', [], {}, true, 'ки', '####', '\\boxed{'),
)

test('a row with anything anywhere gives sound records or says what does not fit, and throws nothing', t => {
  const names = fc.constantFrom(...formats)
  const path = fc.array(fc.nat(20), { maxLength: 6 })
  const property = fc.property(names, path, value, path, value, (format, first, one, second, two) => {
    const row = mutated(mutated(samples[format.name], first, one), second, two)
    if (typeof row !== 'object' || row === null || Array.isArray(row)) return
    const misfits: Misfit[] = []
    const context: RowContext = {
      place: 'rows:1',
      stem: 'rows',
      neutral: 'masked',
      reject: misfit => misfits.push(misfit),
      leaveOut: () => {},
    }
    for (const record of recordsOf(format, row as Record<string, unknown>, context)) {
      t.true(soundness(record), JSON.stringify(record))
    }
    for (const misfit of misfits) {
      t.true(misfit instanceof Misfit)
      t.true(misfit.field.length > 0 && misfit.got.length < 100, misfit.message)
    }
  })
  t.notThrows(() => fc.assert(property, { numRuns: 5000, seed: 1 }))
})

test('a file of anything at all gives records, rejected rows or a SurefootError', async t => {
  const root = folder(t)
  const content = fc.oneof(
    fc.json().map(Buffer.from),
    fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
    fc
      .array(fc.oneof(fc.json(), fc.string({ unit: 'binary' })), { maxLength: 6 })
      .map(rows => Buffer.from(rows.join('\n'))),
    fc.uint8Array({ maxLength: 60 }).map(bytes => Buffer.concat([Buffer.from('PAR1'), bytes, Buffer.from('PAR1')])),
    fc
      .tuple(fc.json(), fc.nat(40), fc.nat(255))
      .map(([text, at, byte]) => gzipSync(text).map((old, index) => (index === at + 2 ? byte : old)))
      .map(Buffer.from),
  )
  const names = fc.constantFrom('a.json', 'a.jsonl.gz', 'a.parquet')
  let errors = 0
  const property = fc.asyncProperty(content, names, async (bytes, name) => {
    writeFileSync(join(root, name), bytes)
    try {
      await readAll(join(root, name))
    } catch (error) {
      errors++
      t.true(SurefootError.isInstance(error), String(error))
    }
  })
  await t.notThrowsAsync(fc.assert(property, { numRuns: 600, seed: 1 }))
  t.true(errors > 100)
})
