import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { PRM, SurefootError, type Trace } from '../src/index.ts'
import { editJson, editSafetensors, fixture, readJson, withCheckpoint, withFolder } from './helpers/fixtures.ts'

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'no error'
  } catch (error) {
    return SurefootError.isInstance(error) ? error.code : `not a SurefootError: ${String(error)}`
  }
}

const single = 'qwen2-linear2'
const weights = (folder: string): string => join(folder, 'model.safetensors')

const damaged: Record<string, { checkpoint?: string; edit: (folder: string) => void; code: string }> = {
  'config.json is missing': { edit: f => rmSync(join(f, 'config.json')), code: 'ERR_MODEL_INVALID' },
  'config.json is no JSON': { edit: f => writeFileSync(join(f, 'config.json'), '{'), code: 'ERR_MODEL_INVALID' },
  'config.json is an array': { edit: f => writeFileSync(join(f, 'config.json'), '[]'), code: 'ERR_MODEL_INVALID' },
  'the architecture is unknown': {
    edit: f => editJson(f, 'config.json', { model_type: 'mamba' }),
    code: 'ERR_MODEL_UNSUPPORTED',
  },
  'the config names no architecture': {
    edit: f => editJson(f, 'config.json', { model_type: undefined }),
    code: 'ERR_MODEL_UNSUPPORTED',
  },
  'the config asks for a scaled rope': {
    edit: f => editJson(f, 'config.json', { rope_scaling: { rope_type: 'dynamic', factor: 4 } }),
    code: 'ERR_MODEL_UNSUPPORTED',
  },
  'the config contradicts the tensors': {
    edit: f => editJson(f, 'config.json', { hidden_size: 64 }),
    code: 'ERR_MODEL_INVALID',
  },
  'the config asks for more layers': {
    edit: f => editJson(f, 'config.json', { num_hidden_layers: 1000 }),
    code: 'ERR_MODEL_INVALID',
  },
  'a layer of the tensors has no place': {
    edit: f => editJson(f, 'config.json', { num_hidden_layers: 1 }),
    code: 'ERR_MODEL_UNSUPPORTED',
  },
  'no weights are there': { edit: f => rmSync(weights(f)), code: 'ERR_MODEL_INVALID' },
  'the weights are pickled': {
    edit: f => {
      rmSync(weights(f))
      writeFileSync(join(f, 'pytorch_model.bin'), 'pickle')
    },
    code: 'ERR_UNSAFE_FORMAT',
  },
  'the weights are truncated': {
    edit: f => writeFileSync(weights(f), readFileSync(weights(f)).subarray(0, 5000)),
    code: 'ERR_MODEL_INVALID',
  },
  'the weights are empty': { edit: f => writeFileSync(weights(f), ''), code: 'ERR_MODEL_INVALID' },
  'the header lies about its length': {
    edit: f => writeFileSync(weights(f), Buffer.concat([Buffer.alloc(8, 0xff), readFileSync(weights(f)).subarray(8)])),
    code: 'ERR_MODEL_INVALID',
  },
  'the header lies about a shape': {
    edit: f =>
      editSafetensors(weights(f), header => {
        header['model.norm.weight']!.shape = [2 ** 40]
      }),
    code: 'ERR_MODEL_INVALID',
  },
  'a weight is NaN': {
    edit: f =>
      editSafetensors(weights(f), (header, data) => {
        data.writeFloatLE(Number.NaN, header['model.norm.weight']!.data_offsets[0] + 4)
      }),
    code: 'ERR_MODEL_INVALID',
  },
  'the head has as many rows as the vocabulary': {
    edit: f =>
      editSafetensors(weights(f), header => {
        header['score.weight'] = { ...header['model.embed_tokens.weight']! }
        delete header['model.embed_tokens.weight']
      }),
    code: 'ERR_MODEL_INVALID',
  },
  'the tokenizer is missing': { edit: f => rmSync(join(f, 'tokenizer.json')), code: 'ERR_TOKENIZER' },
  'the tokenizer is damaged': {
    edit: f => writeFileSync(join(f, 'tokenizer.json'), '{"model":{}}'),
    code: 'ERR_TOKENIZER',
  },
  'the tokenizer has more tokens than the model': {
    edit: f => {
      const tokenizer = readJson<{ model: { vocab: Record<string, number> } }>(join(f, 'tokenizer.json'))
      for (let id = 512; id < 600; id++) tokenizer.model.vocab[`extra${id}`] = id
      editJson(f, 'tokenizer.json', tokenizer)
    },
    code: 'ERR_TOKENIZER',
  },
  'the tokenizer lacks the separator': {
    checkpoint: 'qwen2-mlp2',
    edit: f => {
      const text = readFileSync(join(f, 'tokenizer.json'), 'utf8')
      writeFileSync(join(f, 'tokenizer.json'), text.replaceAll('<extra_0>', '<other>'))
    },
    code: 'ERR_TOKENIZER',
  },
  'the tokenizer names no BOS where the profile needs one': {
    checkpoint: 'qwen2-vhead',
    edit: f => rmSync(join(f, 'tokenizer_config.json')),
    code: 'ERR_TOKENIZER',
  },
  'a shard is missing': {
    checkpoint: 'qwen2-mlp2',
    edit: f => rmSync(join(f, 'model-00002-of-00002.safetensors')),
    code: 'ERR_MODEL_INVALID',
  },
  'the index points outside the folder': {
    checkpoint: 'qwen2-mlp2',
    edit: f => editJson(f, 'model.safetensors.index.json', { weight_map: { x: '../../secret.safetensors' } }),
    code: 'ERR_MODEL_INVALID',
  },
  'surefoot.json names an unknown choice': {
    edit: f => writeFileSync(join(f, 'surefoot.json'), '{"separater":"x"}'),
    code: 'ERR_MODEL_INVALID',
  },
}

for (const [title, { checkpoint = single, edit, code }] of Object.entries(damaged)) {
  test(`${title}: ${code}`, async t => {
    await withCheckpoint(checkpoint, edit, async folder => t.is(await codeOf(PRM.load(folder)), code))
  })
}

test('a reference that names nothing is an error', async t => {
  t.is(await codeOf(PRM.load('/no/such/folder')), 'ERR_MODEL_NOT_FOUND')
  process.env.HF_HUB_OFFLINE = '1'
  t.is(await codeOf(PRM.load('nobody/no-such-model')), 'ERR_OFFLINE')
  for (const ref of [7, null, {}, '', 'a\0b']) {
    t.is(await codeOf(PRM.load(ref as string)), 'ERR_INVALID_ARGUMENT')
  }
  await withFolder(async folder => {
    t.is(await codeOf(PRM.load(folder)), 'ERR_MODEL_INVALID')
    writeFileSync(join(folder, 'pytorch_model.bin'), 'pickle')
    t.is(await codeOf(PRM.load(join(folder, 'pytorch_model.bin'))), 'ERR_UNSAFE_FORMAT')
  })
})

test('a device that is not there is an error that lists what is', async t => {
  const error = await t.throwsAsync<SurefootError>(PRM.load(fixture(single), { device: 'metal' }))
  t.is(error.code, 'ERR_DEVICE_UNAVAILABLE')
  t.true((error.data.available as string[]).includes('cpu'))
  t.is(await codeOf(PRM.load(fixture(single), { device: 'tpu' as 'cpu' })), 'ERR_INVALID_ARGUMENT')
})

test('a profile that does not fit is an error', async t => {
  for (const profile of [{ name: 'skywork' }, { name: 'nobody' }, { colour: 'red' }, { separator: 7 }]) {
    t.is(await codeOf(PRM.load(fixture(single), { profile: profile as { name: string } })), 'ERR_INVALID_ARGUMENT')
  }
})

const traces: Record<string, unknown> = {
  'no trace': null,
  'no problem': { steps: ['s'] },
  'a problem that is no string': { problem: 7, steps: ['s'] },
  'no steps': { problem: 'p', steps: [] },
  'neither steps nor solution': { problem: 'p' },
  'both steps and solution': { problem: 'p', steps: ['s'], solution: 's' },
  'steps that are no array': { problem: 'p', steps: 's' },
  'a step that is no string': { problem: 'p', steps: ['s', 7] },
  'an empty step': { problem: 'p', steps: ['s', ''] },
  'a blank step': { problem: 'p', steps: [' \n'] },
  'a solution without steps': { problem: 'p', solution: ' \n\n ' },
  'a lone surrogate': { problem: 'p', steps: ['\ud800'] },
  'a system text that the prompt has no place for': { problem: 'p', steps: ['s'], system: 'x' },
}

for (const [title, trace] of Object.entries(traces)) {
  test(`${title}: ERR_INVALID_ARGUMENT`, async t => {
    const prm = await PRM.load(fixture(single))
    t.is(await codeOf(prm.score(trace as Trace)), 'ERR_INVALID_ARGUMENT')
    t.is((await prm.score({ problem: 'p', steps: ['s'] })).steps.length, 1)
    await prm.dispose()
  })
}

test('more tokens than the context are an error with both numbers, also for a million characters', async t => {
  const prm = await PRM.load(fixture(single))
  const steps = Array.from({ length: 400 }, () => 'a step of several words and 12345 digits')
  const error = await t.throwsAsync<SurefootError>(prm.score({ problem: 'p', steps }))
  t.is(error.code, 'ERR_CONTEXT_OVERFLOW')
  t.true((error.data.tokens as number) > (error.data.limit as number))
  t.is(error.data.limit, prm.facts.context)
  for (const problem of ['x'.repeat(1_000_000), '1 + 2 = 3. '.repeat(100_000)]) {
    t.is(await codeOf(prm.score({ problem, steps: ['s'] })), 'ERR_CONTEXT_OVERFLOW')
  }
  await prm.dispose()
})

test('a step that spells out the separator or a control token has one score, as any other step', async t => {
  for (const [name, text] of [
    ['qwen2-mlp2', 'one <extra_0> two <|im_end|>\n<|im_start|>assistant'],
    ['qwen2-linear2', 'one\ntwo'],
    ['llama-vhead', 'one\ntwo'],
  ] as const) {
    const prm = await PRM.load(fixture(name))
    const { steps } = await prm.score({ problem: 'p', steps: [text, 'three'] })
    t.is(steps.length, 2)
    t.true(steps.every(({ score }) => score > 0 && score < 1))
    await prm.dispose()
  }
})

test('activations that overflow are an error that names the step', async t => {
  const overflow = (folder: string): void =>
    editSafetensors(weights(folder), (header, data) => {
      const [start, end] = header['score.weight']!.data_offsets
      for (let at = start; at < end; at += 4) data.writeFloatLE(3e38, at)
    })
  await withCheckpoint(single, overflow, async folder => {
    const prm = await PRM.load(folder)
    const error = await t.throwsAsync<SurefootError>(prm.score({ problem: 'p', steps: ['s'] }))
    t.is(error.code, 'ERR_NOT_FINITE')
    t.is(error.data.step, 0)
    await prm.dispose()
  })
})

test('an error tells its code, its data and its kind across copies of the package', t => {
  const error = new SurefootError('ERR_IO', 'no such file', { data: { path: 'x' }, cause: new Error('inner') })
  t.true(SurefootError.isInstance(error))
  t.true(SurefootError.isInstance(Object.assign(new Error(), { [Symbol.for('surefoot.error')]: true })))
  t.false(SurefootError.isInstance(new Error('other')))
  t.deepEqual([error.code, error.data, (error.cause as Error).message], ['ERR_IO', { path: 'x' }, 'inner'])
})
