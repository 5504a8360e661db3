import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { SurefootError, type SurefootErrorCode } from '../src/errors.ts'
import { firstDifference, hashConfiguration } from '../src/journal/configuration.ts'
import { RunFolder, readLines, readSummary, writePage } from '../src/journal/run-folder.ts'
import { withFolder } from './helpers/fixtures.ts'

const versions = { surefoot: '0.0.0' }
const configuration = { data: { sha256: 'aa', limit: null }, seed: 1 }

const begin = (path: string, options = {}): Promise<RunFolder> =>
  RunFolder.open(path, { configuration, versions, ...options })

async function lines(path: string): Promise<unknown[]> {
  const found = []
  for await (const line of readLines(path)) found.push(line)
  return found
}

async function refused(
  t: ExecutionContext,
  work: Promise<unknown>,
  code: SurefootErrorCode,
  message: RegExp,
): Promise<SurefootError | undefined> {
  const error = await t.throwsAsync(work, { instanceOf: SurefootError, message })
  t.is(error?.code, code)
  return error
}

test('A run folder holds the configuration with its hash, the lines in order, and the summary.', async t => {
  await withFolder(async root => {
    const path = join(root, 'runs', 'one')
    const folder = await begin(path)
    for (let id = 0; id < 3; id++) await folder.append({ id })
    await folder.writeSummary({ kind: 'labels' })
    await folder.close()
    await writePage(path, '<p>')
    t.deepEqual(readdirSync(path).toSorted(), ['config.json', 'problems.jsonl', 'report.html', 'summary.json'])
    const header = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))
    t.like(header, { schema: 1, configuration, versions, hash: hashConfiguration(configuration) })
    t.regex(header.hash, /^[0-9a-f]{64}$/)
    t.deepEqual(await lines(path), [{ id: 0 }, { id: 1 }, { id: 2 }])
    t.deepEqual(await readSummary(path), { kind: 'labels' })
  })
})

test('A folder with a run is not written again without resume, and the error says so.', async t => {
  await withFolder(async path => {
    await (await begin(path)).close()
    await refused(t, begin(path), 'ERR_INVALID_ARGUMENT', /holds a run already.*--resume/)
    await (await begin(path, { resume: true })).close()
  })
})

test('A run resumed under another configuration is refused by the key and both values.', async t => {
  await withFolder(async path => {
    await (await begin(path)).close()
    const changed = { data: { sha256: 'bb', limit: null }, seed: 1 }
    const error = await refused(
      t,
      begin(path, { configuration: changed, resume: true }),
      'ERR_INVALID_ARGUMENT',
      /data\.sha256 was "aa" and is "bb"/,
    )
    t.like(error?.data, { key: 'data.sha256', before: 'aa', now: 'bb' })
    const more = { ...configuration, threshold: 0.5 }
    await refused(
      t,
      begin(path, { configuration: more, resume: true }),
      'ERR_INVALID_ARGUMENT',
      /threshold was not set and is 0\.5/,
    )
    const { seed: _, ...less } = configuration
    await refused(
      t,
      begin(path, { configuration: less, resume: true }),
      'ERR_INVALID_ARGUMENT',
      /seed was 1 and is not set/,
    )
    await (await begin(path, { resume: true })).close()
  })
})

test('A torn last line is cut off on resume, at every place where it can be torn.', async t => {
  const whole = [
    { id: 'a', text: 'x'.repeat(70_000) },
    { id: 'b', text: 'ünï\n' },
  ]
  const text = whole.map(line => `${JSON.stringify(line)}\n`)
  const last = Buffer.from(text[1]!)
  for (const length of [1, 5, 17, 18, last.length - 1, last.length]) {
    await withFolder(async path => {
      await (await begin(path)).close()
      writeFileSync(join(path, 'problems.jsonl'), Buffer.concat([Buffer.from(text[0]!), last.subarray(0, length)]))
      t.deepEqual(
        await lines(path),
        length >= last.length - 1 ? whole : whole.slice(0, 1),
        'a reader leaves a torn line out',
      )
      const folder = await begin(path, { resume: true })
      const kept = length === last.length ? 2 : 1
      t.deepEqual(await lines(path), whole.slice(0, kept))
      await folder.append({ id: 'c' })
      await folder.close()
      t.deepEqual(await lines(path), [...whole.slice(0, kept), { id: 'c' }])
    })
  }
})

test('A file that is one torn line is emptied.', async t => {
  await withFolder(async path => {
    await (await begin(path)).close()
    writeFileSync(join(path, 'problems.jsonl'), 'y'.repeat(200_000))
    await (await begin(path, { resume: true })).close()
    t.is(readFileSync(join(path, 'problems.jsonl'), 'utf8'), '')
  })
})

test('A damaged line in the middle is an error that names it, never passed over.', async t => {
  await withFolder(async path => {
    await (await begin(path)).close()
    appendFileSync(join(path, 'problems.jsonl'), '{"id":1}\n{"id":\n{"id":3}\n')
    await refused(t, lines(path), 'ERR_IO', /problems\.jsonl: line 2 is damaged/)
  })
})

test('Only one process at a time has a run, and a dead one leaves nothing in the way.', async t => {
  await withFolder(async path => {
    const folder = await begin(path)
    await refused(t, begin(path, { resume: true }), 'ERR_IO', new RegExp(`being written by process ${process.pid} `))
    await folder.close()
    t.deepEqual(readdirSync(path).toSorted(), ['config.json', 'problems.jsonl'])

    const { pid } = spawnSync(process.execPath, ['-e', ''])
    const lock = join(path, 'lock')
    writeFileSync(lock, JSON.stringify({ pid, host: hostname(), started: '1' }))
    await (await begin(path, { resume: true })).close()
    t.false(existsSync(lock))

    writeFileSync(lock, JSON.stringify({ pid: 1, host: 'another machine', started: null }))
    await refused(
      t,
      begin(path, { resume: true }),
      'ERR_IO',
      /on another machine; if it is no longer running, remove .*lock/,
    )
  })
})

test('A process id that was given to another process does not hold a lock for ever.', async t => {
  if (process.platform !== 'linux') return t.pass()
  await withFolder(async path => {
    await (await begin(path)).close()
    writeFileSync(join(path, 'lock'), JSON.stringify({ pid: process.pid, host: hostname(), started: '1' }))
    await t.notThrowsAsync(async () => (await begin(path, { resume: true })).close())
  })
})

test('Of many who take an orphaned lock at once, one gets it.', async t => {
  await withFolder(async path => {
    await (await begin(path)).close()
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    writeFileSync(join(path, 'lock'), JSON.stringify({ pid, host: hostname(), started: '1' }))
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => begin(path, { resume: true })))
    const folders = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    t.is(folders.length, 1)
    await folders[0]!.close()
    t.deepEqual(readdirSync(path).toSorted(), ['config.json', 'problems.jsonl'])
  })
})

test('A takeover that was interrupted does not hold a lock for ever.', async t => {
  await withFolder(async path => {
    await (await begin(path)).close()
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    writeFileSync(join(path, 'lock'), JSON.stringify({ pid, host: hostname(), started: '1' }))
    writeFileSync(join(path, 'lock.discard'), '')
    utimesSync(join(path, 'lock.discard'), 0, 0)
    await t.notThrowsAsync(async () => (await begin(path, { resume: true })).close())
    t.deepEqual(readdirSync(path).toSorted(), ['config.json', 'problems.jsonl'])
  })
})

test('What the disk refuses is ERR_IO with the path.', async t => {
  await withFolder(async root => {
    const file = join(root, 'file')
    writeFileSync(file, '')
    await refused(t, begin(join(file, 'run')), 'ERR_IO', /file/)
    await refused(t, readSummary(root), 'ERR_IO', /no run is there/)
    await refused(t, lines(join(root, 'none')), 'ERR_IO', /problems\.jsonl/)
    await (await begin(join(root, 'begun'))).close()
    await refused(t, readSummary(join(root, 'begun')), 'ERR_IO', /not finished; go on with --resume/)
    mkdirSync(join(root, 'stray'))
    writeFileSync(join(root, 'stray', 'problems.jsonl'), '')
    await refused(t, begin(join(root, 'stray')), 'ERR_IO', /problems\.jsonl and no config\.json/)
    if (process.getuid?.() === 0) return
    chmodSync(root, 0o500)
    await refused(t, begin(join(root, 'new')), 'ERR_IO', /new/)
    chmodSync(root, 0o700)
  })
})

test('The hash of a configuration does not depend on the order of its keys, and differs whenever a value does.', t => {
  const leaf = fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null), fc.array(fc.integer()))
  const object = fc.dictionary(fc.string(), fc.oneof(leaf, fc.dictionary(fc.string(), leaf)))
  const shuffled = (value: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(value).toReversed())
  fc.assert(
    fc.property(object, object, (a, b) => {
      t.is(hashConfiguration(shuffled(a)), hashConfiguration(a))
      t.is(firstDifference(a, shuffled(a)), null)
      t.is(firstDifference(a, b) === null, hashConfiguration(a) === hashConfiguration(b))
    }),
  )
})
