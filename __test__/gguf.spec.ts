import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { type LoadOptions, PRM } from '../src/index.ts'
import { failureOf, fixture, type ReferenceCase, readJson, repository, withFolder } from './helpers/fixtures.ts'

const family = (name: string): string => join(fixture('families'), name)
const gguf = (name: string): string => join(fixture(name), 'model.gguf')

async function scores(ref: string, options: LoadOptions, trace: ReferenceCase): Promise<number[]> {
  const prm = await PRM.load(ref, options)
  const { steps } = await prm.score(trace)
  await prm.dispose()
  return steps.map(({ score }) => score)
}

function cases(name: string): ReferenceCase[] {
  return readJson<{ cases: ReferenceCase[] }>(join(family(name), 'expected.json')).cases
}

test('a GGUF file scores as the folder of the same numbers does', async t => {
  for (const [file, profile] of [
    ['gguf-reasonflux', 'reasonflux'],
    ['gguf-math-shepherd', 'math-shepherd'],
    ['gguf-rlhflow-deepseek', 'rlhflow-deepseek'],
  ] as const) {
    const prm = await PRM.load(gguf(file), { profile })
    for (const { problem, steps, scores, ids, name } of cases(profile)) {
      const scored = await prm.score({ problem, steps })
      t.is(scored.tokens, ids.length, `${file}: ${name}`)
      for (const [i, { score }] of scored.steps.entries()) {
        t.true(Math.abs(score - scores[i]!) < 1e-4, `${file}: ${name}, step ${i}: ${score} for ${scores[i]}`)
      }
    }
    await prm.dispose()
  }
})

test('a head of its own goes on top of a GGUF file', async t => {
  const [trace] = cases('trl')
  const head = join(fixture('gguf-trl'), 'head.safetensors')
  const own = await scores(gguf('gguf-trl'), { head }, trace!)
  for (const [i, score] of own.entries()) t.true(Math.abs(score - trace!.scores[i]!) < 1e-4)
  t.regex(await failureOf(PRM.load(gguf('gguf-trl'))), /^ERR_INVALID_ARGUMENT: profile: .*lm-candidates/)
})

test('an adapter goes on top of its base, by name or by the base that it names', async t => {
  const expected = readJson<{ cases: ReferenceCase[] }>(join(fixture('lora-pure'), 'expected.json')).cases
  const [trace] = cases('pure')
  const base = await scores(family('pure'), { profile: 'pure' }, trace!)
  const merged = await scores(family('pure'), { profile: 'pure', head: fixture('lora-pure') }, trace!)
  t.true(
    base.some((score, i) => Math.abs(score - merged[i]!) > 1e-3),
    'the adapter changes scores',
  )
  t.deepEqual(await scores(fixture('lora-pure'), { profile: 'pure' }, trace!), merged)
  t.true(expected.length > 0)
})

test('a GGUF file is known by the name of its link, as the cache of the hub has it', async t => {
  await withFolder(async folder => {
    const snapshot = join(folder, 'models--Gen-Verse--ReasonFlux-PRM-7B', 'snapshots', '0a1b')
    const blobs = join(snapshot, '..', '..', 'blobs')
    mkdirSync(snapshot, { recursive: true })
    mkdirSync(blobs)
    copyFileSync(gguf('gguf-reasonflux'), join(blobs, 'abcdef'))
    symlinkSync('../../blobs/abcdef', join(snapshot, 'prm-F16.gguf'))
    const prm = await PRM.load(join(snapshot, 'prm-F16.gguf'))
    t.is(prm.facts.profile, 'reasonflux')
    t.is(prm.facts.hubId, 'Gen-Verse/ReasonFlux-PRM-7B')
    await prm.dispose()
  })
})

test('a head that is pickled, missing, of another shape, or an adapter of another kind is refused', async t => {
  await withFolder(async folder => {
    const pickle = join(folder, 'value_head.bin')
    writeFileSync(pickle, Buffer.from([0x80, 2]))
    t.regex(await failureOf(PRM.load(gguf('gguf-trl'), { head: pickle })), /^ERR_UNSAFE_FORMAT: .*value_head\.bin/)
    t.regex(await failureOf(PRM.load(gguf('gguf-trl'), { head: join(folder, 'none') })), /^ERR_MODEL_NOT_FOUND/)
    t.regex(
      await failureOf(PRM.load(gguf('gguf-trl'), { head: 7 as unknown as string })),
      /^ERR_INVALID_ARGUMENT: head/,
    )
    const twice = join(fixture('gguf-trl'), 'head.safetensors')
    t.regex(await failureOf(PRM.load(family('trl'), { head: twice })), /^ERR_MODEL_INVALID: .*score.* stands in/)
    const dora = join(folder, 'dora')
    cpSync(fixture('lora-pure'), dora, { recursive: true })
    const config = readJson<object>(join(dora, 'adapter_config.json'))
    writeFileSync(join(dora, 'adapter_config.json'), JSON.stringify({ ...config, use_dora: true }))
    t.regex(
      await failureOf(PRM.load(family('pure'), { head: dora, profile: 'pure' })),
      /^ERR_MODEL_UNSUPPORTED: .*use_dora/,
    )
  })
})

test('a GGUF file that is cut, or no GGUF file, is an error', async t => {
  await withFolder(async folder => {
    const whole = readFileSync(gguf('gguf-reasonflux'))
    for (const [name, bytes] of Object.entries({
      cut: whole.subarray(0, whole.length / 2),
      stub: whole.subarray(0, 3),
      text: Buffer.from('no model'),
      empty: Buffer.alloc(0),
    })) {
      const file = join(folder, `${name}.gguf`)
      writeFileSync(file, bytes)
      t.regex(await failureOf(PRM.load(file, { profile: 'reasonflux' })), /^ERR_MODEL_INVALID/, name)
    }
  })
})

test('the command line takes a GGUF file and a head', t => {
  const head = join(fixture('gguf-trl'), 'head.safetensors')
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(repository, 'dist', 'cli.mjs'), 'inspect', gguf('gguf-trl'), '--head', head, '--json'],
    { encoding: 'utf8' },
  )
  t.is(status, 0, stderr)
  t.like(JSON.parse(stdout), { family: 'qwen3', head: 'linear2', profile: 'trl' })
})
