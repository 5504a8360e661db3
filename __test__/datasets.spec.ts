import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { readDataset } from '../src/datasets/index.ts'
import { SurefootError } from '../src/errors.ts'
import { file, folder, lines, readAll, readRows } from './helpers/datasets.ts'
import { fixture } from './helpers/fixtures.ts'

const rows = [1, 2, 3].map(n => ({ problem: `${n}?`, answer: n }))
const answers = async (source: string, options: object = {}): Promise<(string | null)[]> =>
  (await readAll(source, { kind: 'problem', ...options })).records.map(({ answer }) => answer)

async function failure(t: ExecutionContext, source: string, options: object = {}): Promise<SurefootError> {
  const error = await t.throwsAsync(readAll(source, options))
  t.true(SurefootError.isInstance(error), String(error))
  return error as SurefootError
}

test('JSON, JSON Lines and gzip of either are told by their content', async t => {
  const json = JSON.stringify(rows, null, 2)
  for (const [name, content] of [
    ['a.json', json],
    ['a.jsonl', lines(rows)],
    ['a.json.gz', gzipSync(json)],
    ['a.jsonl.gz', gzipSync(lines(rows))],
    ['lines.json', lines(rows)],
    ['array.jsonl', json],
    ['a', gzipSync(lines(rows))],
    ['members.gz', Buffer.concat([gzipSync(lines(rows.slice(0, 2))), gzipSync(lines(rows.slice(2)))])],
  ] as const) {
    t.deepEqual(await answers(file(t, name, content)), ['1', '2', '3'], name)
  }
})

test('byte order marks, CRLF, blank lines and a missing last line end are no part of the rows', async t => {
  const text = `\ufeff\r\n${rows.map(row => JSON.stringify(row)).join('\r\n\r\n  \r\n')}`
  const { records, rejected } = await readAll(file(t, 'a.jsonl', text), { kind: 'problem' })
  t.deepEqual(
    records.map(({ id }) => id),
    ['a.jsonl:2', 'a.jsonl:5', 'a.jsonl:8'],
  )
  t.deepEqual(rejected, [])
  t.deepEqual(await answers(file(t, 'a.jsonl', `\ufeff${lines(rows)}`)), ['1', '2', '3'])
  t.deepEqual(await answers(file(t, 'a.json', `\ufeff \n\n${JSON.stringify(rows)}\n\n`)), ['1', '2', '3'])
})

test('an empty file, an empty array and an empty gzip hold nothing', async t => {
  for (const [name, content] of [
    ['a.jsonl', ''],
    ['a.jsonl', '\n \n'],
    ['a.json', '[]'],
    ['a.json', ' [ \n ] \n'],
    ['a.gz', gzipSync('')],
  ] as const) {
    t.deepEqual(await readAll(file(t, name, content)), { records: [], rejected: [], leftOut: [] }, name)
  }
})

test('broken lines are rejected with line and reason, and the run goes on', async t => {
  const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
  const text = [
    '{"problem": "1?", "answer": 1}',
    '{"problem": "2?", "answer": 2,}',
    '[1, 2]',
    '"text"',
    'null',
    '{"problem": "3?", "answer": NaN}',
    '{"problem": "4?"',
    deep,
    `{"problem": "lone \\ud800", "answer": 5}`,
    '{"problem": "6?", "answer": 6}',
  ].join('\n')
  const bytes = Buffer.concat([
    Buffer.from(`${text}\n{"problem": "`),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('", "answer": 7}\n'),
  ])
  const path = file(t, 'a.jsonl', bytes)
  const { records, rejected } = await readAll(path, { kind: 'problem' })
  t.deepEqual(
    records.map(({ answer }) => answer),
    ['1', '6'],
  )
  t.deepEqual(
    rejected.map(({ line, field, expected }) => [line, field, expected.split(' (')[0]]),
    [
      [2, '(row)', 'JSON'],
      [3, '(row)', 'an object'],
      [4, '(row)', 'an object'],
      [5, '(row)', 'an object'],
      [6, '(row)', 'JSON'],
      [7, '(row)', 'JSON'],
      [8, '(row)', rejected[6]!.expected.split(' (')[0]!],
      [9, 'problem', 'well-formed Unicode'],
      [11, '(row)', 'UTF-8'],
    ],
  )
  t.true(rejected.every(row => row.file === path && row.got.length < 100 && row.got.isWellFormed()))
})

test('broken elements of an array are rejected by number, and so is what stands behind it', async t => {
  const text =
    '[{"problem": "1?", "answer": 1}, {"problem": ]}, , {"problem": "4?", "answer": 4} x, {"problem": "]},[\\"", "answer": 5},] y'
  const { records, rejected } = await readAll(file(t, 'a.json', text), { kind: 'problem' })
  t.deepEqual(
    records.map(({ id, problem }) => [id, problem]),
    [
      ['a.json:1', '1?'],
      ['a.json:5', ']},["'],
    ],
  )
  t.deepEqual(
    rejected.map(({ line, got }) => [line, got]),
    [
      [2, '"{\\"problem\\": ]}"'],
      [3, 'nothing'],
      [4, '"{\\"problem\\": \\"4?\\", \\"answer\\": 4} x"'],
      [6, 'nothing'],
      [7, '"y"'],
    ],
  )
})

test('an array that breaks off gives the rows that are whole, and says that the rest is missing', async t => {
  for (const cut of ['[{"problem": "1?", "answer": 1}, {"problem": "2', '[{"problem": "1?", "answer": 1},']) {
    const { records, rejected } = await readAll(file(t, 'a.json', cut), { kind: 'problem' })
    t.is(records.length, 1, cut)
    t.like(rejected, [{ line: 2, field: '(row)', expected: 'the rest of the array' }])
  }
})

test('strict throws the first rejected row', async t => {
  const path = file(t, 'a.jsonl', `${lines(rows)}{"problem": "4?"}\n`)
  const error = await failure(t, path, { kind: 'problem', strict: true })
  t.is(error.code, 'ERR_INVALID_ARGUMENT')
  t.like(error.data, { row: { file: path, line: 4, got: 'nothing' } })
  t.true(error.message.startsWith(`${path}:4: answer`))
})

test('what holds no JSON, gzip or parquet at all is an error with path and reason', async t => {
  for (const [name, content] of [
    ['a.csv', 'problem,answer\n1?,1\n'],
    ['a.json', '"text"'],
    ['a.png', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0])],
    ['utf16.json', Buffer.from(`\ufeff${JSON.stringify(rows)}`, 'utf16le')],
    ['a.jsonl.gz', lines(rows)],
    ['a.parquet', lines(rows)],
  ] as const) {
    for (const options of [{ kind: 'problem' }, { format: 'generic' }]) {
      const path = file(t, name, content)
      const error = await failure(t, path, options)
      t.is(error.code, 'ERR_INVALID_ARGUMENT', name)
      t.true(error.message.startsWith(path), name)
    }
  }
})

test('what is cut off, corrupt or not there cannot be read', async t => {
  const packed = gzipSync(lines(rows))
  const corrupt = Buffer.from(packed)
  corrupt[12]! ^= 0xff
  const parquet = readFileSync(fixture('datasets/rows.zstd.parquet'))
  for (const path of [
    file(t, 'cut.jsonl.gz', packed.subarray(0, -10)),
    file(t, 'corrupt.jsonl.gz', corrupt),
    file(t, 'cut.parquet', parquet.subarray(0, 3000)),
    file(t, 'footer.parquet', Buffer.concat([parquet.subarray(0, 3000), Buffer.from('PAR1')])),
    join(folder(t), 'none.jsonl'),
    'org/name.jsonl',
    'no such folder',
    '/dev/null',
  ]) {
    const error = await failure(t, path)
    t.is(error.code, 'ERR_IO', path)
    t.true(error.message.startsWith(path), error.message)
  }
})

test('a format that cannot be told lists the formats and the fields that were seen', async t => {
  const path = file(t, 'a.jsonl', '{"spam": 1, "eggs": 2}\n')
  const error = await failure(t, path, { kind: 'labels' })
  t.is(error.code, 'ERR_INVALID_ARGUMENT')
  t.regex(error.message, /fields spam, eggs; .*math-shepherd \(input, label\).*processbench/)
  t.notRegex(error.message, /gsm8k/)
  t.like(error.data, { path, fields: ['spam', 'eggs'] })
  t.regex((await failure(t, path)).message, /gsm8k/)
})

test('the format is that of most of the first rows', async t => {
  const { records, rejected } = await readRows(t, [{ spam: 1 }, 'x', ...rows], { kind: 'problem' })
  t.is(records.length, 3)
  t.is(rejected.length, 2)
})

test('unknown kinds, formats and options are errors that say what is known', async t => {
  const path = file(t, 'a.jsonl', lines(rows))
  t.regex((await failure(t, path, { kind: 'poems' })).message, /labels, candidates, code, problem, got poems/)
  t.regex((await failure(t, path, { format: 'gsm9k' })).message, /gsm8k, .*got gsm9k/)
  t.regex((await failure(t, path, { kind: 'labels', format: 'gsm8k' })).message, /processbench.*, got gsm8k/)
  for (const options of [{ limit: -1 }, { limit: 1.5 }, { neutral: 'maybe' }]) {
    t.is((await failure(t, path, options)).code, 'ERR_INVALID_ARGUMENT')
  }
  t.is((await failure(t, '')).code, 'ERR_INVALID_ARGUMENT')
})

test('a folder is all its data files in order, also below it and behind links; other files are not read', async t => {
  const root = folder(t)
  const put = (name: string, content: string | Buffer): void => {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), content)
  }
  put('main/train-00001.jsonl', lines(rows.slice(1, 2)))
  put('main/train-00000.jsonl.gz', gzipSync(lines(rows.slice(0, 1))))
  put('main/test.json', JSON.stringify(rows.slice(2)))
  put('socratic/train.jsonl', lines(rows.slice(2)))
  put('dataset_info.json', '{"description": "spam"}')
  put('README.md', '# Set')
  put('.cache/x.jsonl', 'spam')
  const blob = file(t, 'blob', lines([{ problem: '9?', answer: 9 }]))
  symlinkSync(blob, join(root, 'z.jsonl'))
  t.deepEqual(await answers(root), ['3', '1', '2', '3', '9'])
  t.deepEqual(await answers(`${root}#train`), ['1', '2', '3'])
  t.deepEqual(await answers(`${root}#main/train`), ['1', '2'])
  t.deepEqual(await answers(`${root}#test.json`), ['3'])
  const { records } = await readAll(`${root}#main/test`, { kind: 'problem' })
  t.is(records[0]!.id, 'main/test.json:1')
  t.regex((await failure(t, `${root}#dev`)).message, /no file in .* is of dev; there are main\/test\.json/)
  t.regex((await failure(t, folder(t))).message, /holds no \.json/)
})

test('a hub id is what download makes of it, and its files are named below the folder that they share', async t => {
  const root = folder(t)
  const paths = ['main/train.jsonl', 'socratic/train.jsonl'].map(name => join(root, name))
  for (const path of paths) {
    mkdirSync(dirname(path))
    writeFileSync(path, lines(rows.slice(0, 1)))
  }
  const asked: string[] = []
  const download = async (reference: string): Promise<string[]> => {
    asked.push(reference)
    return reference.startsWith('hf:') ? paths.slice(1) : paths
  }
  const ids = async (source: string): Promise<string[]> =>
    (await readAll(source, { download })).records.map(({ id }) => id)
  t.deepEqual(await ids('openai/gsm8k@v1#main/train'), ['main/train.jsonl:1', 'socratic/train.jsonl:1'])
  t.deepEqual(await ids('hf:openai/gsm8k'), ['train.jsonl:1'])
  t.deepEqual(asked, ['openai/gsm8k@v1#main/train', 'hf:openai/gsm8k'])
  t.deepEqual(await ids(paths[0]!), ['train.jsonl:1'])
  for (const path of ['no such file', 'org/name.parquet', 'org/name/more', '../name']) {
    t.is((await failure(t, path, { download })).code, 'ERR_IO')
  }
  t.is(asked.length, 2)
})

test('every record has its own id: repeated ones get their place, missing ones are the place', async t => {
  const ids = [7, '7', '', null, 'a', 'a', undefined, 'ä', 'b']
  const given = ids.map(id => ({ problem: 'Q?', answer: 1, ...(id !== undefined && { id }) }))
  const { records } = await readRows(t, given)
  const place = (line: number) => `rows.jsonl:${line}`
  t.deepEqual(
    records.map(({ id }) => id),
    ['7', `7@${place(2)}`, place(3), place(4), 'a', `a@${place(6)}`, place(7), 'ä', 'b'],
  )
  const many = await readRows(
    t,
    Array.from({ length: 3000 }, (_, n) => ({ id: `id-${n % 2000}`, problem: 'Q?', answer: n })),
  )
  t.is(new Set(many.records.map(({ id }) => id)).size, 3000)
  t.is(many.records.filter(({ id }) => id.includes('@')).length, 1000)
})

test('parquet in every codec gives the records of the rows it was written from', async t => {
  const expected = await readAll(fixture('datasets/rows.jsonl'), { kind: 'candidates' })
  t.is(expected.records.length, 10)
  const files = readdirSync(fixture('datasets')).filter(name => name.endsWith('.parquet'))
  t.is(files.length, 6)
  for (const name of files) {
    const { records, rejected } = await readAll(fixture(`datasets/${name}`), { kind: 'candidates' })
    t.deepEqual(records, expected.records, name)
    t.deepEqual(rejected, [])
  }
  const folderful = await readAll(`${fixture('datasets')}#zstd`, { kind: 'candidates' })
  t.is(folderful.records.length, 10)
})

test('parquet without the fields of a format says which it has, and a named format rejects its rows', async t => {
  const path = fixture('datasets/rows.snappy.parquet')
  const error = await failure(t, path, { kind: 'code' })
  t.regex(error.message, /has the fields id, problem, answer, candidates, left;/)
  t.deepEqual(error.data.fields, ['id', 'problem', 'answer', 'candidates', 'left'])
  const { records, rejected } = await readAll(path, { format: 'trl' })
  t.deepEqual([records.length, rejected.length], [0, 10])
  t.like(rejected[9], { line: 10, field: 'completions', got: 'nothing' })
})

test('limit ends the reading, and 0 reads nothing', async t => {
  const path = file(t, 'a.jsonl', `${lines(rows)}broken`)
  t.deepEqual(await answers(path, { limit: 2 }), ['1', '2'])
  t.deepEqual(await answers(path, { limit: 0 }), [])
  t.deepEqual(await answers(path, { limit: 9 }), ['1', '2', '3'])
})

test('an abort rejects with its reason: before the start, between two rows, and while the hub is asked', async t => {
  const path = file(t, 'a.jsonl', lines(rows))
  const reason = new Error('enough')
  const early = await t.throwsAsync(readAll(path, { signal: AbortSignal.abort(reason) }))
  t.is(early, reason)
  for (const source of [
    path,
    file(t, 'a.json.gz', gzipSync(JSON.stringify(rows))),
    fixture('datasets/rows.gzip.parquet'),
  ]) {
    const stop = new AbortController()
    const seen: string[] = []
    const late = await t.throwsAsync(async () => {
      for await (const { id } of readDataset(source, { signal: stop.signal })) {
        seen.push(id)
        stop.abort(reason)
      }
    })
    t.is(late, reason)
    t.is(seen.length, 1)
  }
  const stop = new AbortController()
  const download = (_: string, { signal }: { signal?: AbortSignal }): Promise<string[]> =>
    new Promise((_, reject) => signal!.addEventListener('abort', () => reject(signal!.reason)))
  const asked = readAll('org/name', { download, signal: stop.signal })
  stop.abort(reason)
  t.is(await t.throwsAsync(asked), reason)
})

test('what a caller throws in a callback, or stops early, ends the reading and closes the file', async t => {
  const path = file(t, 'a.jsonl', `${lines(rows)}broken\n${lines(rows)}`)
  const mine = new Error('mine')
  const onRejected = (): never => {
    throw mine
  }
  const error = await t.throwsAsync(readAll(path, { kind: 'problem', onRejected }))
  t.is(error, mine)
  for await (const { id } of readDataset(file(t, 'b.jsonl.gz', gzipSync(lines(rows))))) {
    t.is(id, 'b.jsonl.gz:1')
    break
  }
})
