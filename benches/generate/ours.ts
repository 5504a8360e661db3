/**
 * Tokens per second that surefoot writes with SmolLM2 135M, greedily, as one line of JSON in the shape of
 * benches/generate/torch_rival.py:
 *
 *   npx tsx benches/generate/ours.ts FOLDER [--batches 1,8,32] [--tokens 64] [--rounds 3] [--precision exact]
 *
 * `prefill` is the rate until each row has its first token, `decode` that of the tokens behind it, by the difference of
 * two calls that share nothing. `siblings`: how long `tokens` tokens of 32 continuations of one prompt take, in times of
 * one, both at temperature 1, the prompt read each time.
 */
import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Policy, type SampleRequest } from '../../src/index.ts'
import { median } from '../engine/report.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    batches: { type: 'string', default: '1,8,32' },
    tokens: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    precision: { type: 'string', default: 'exact' },
  },
})
const [folder] = positionals
if (folder === undefined) throw new Error('usage: npx tsx benches/generate/ours.ts FOLDER')
const [tokens, rounds] = [Number(values.tokens), Number(values.rounds)]
const before = loadavg()[0]!
const prompts: { text: string; ids: number[] }[] = JSON.parse(readFileSync(join(folder, 'prompts.json'), 'utf8'))
const precision = values.precision as 'exact' | 'fast'
const policy = await Policy.load(join(folder, 'bf16.gguf'), { prompt: 'plain', reuse: false, precision })

/** Milliseconds for `maxTokens` tokens of each request. */
async function seconds(requests: readonly SampleRequest[], maxTokens: number): Promise<number> {
  const started = performance.now()
  const samples = await Promise.all(
    requests.map(request => policy.sample({ ...request, maxTokens, bans: policy.facts.stopIds })),
  )
  const taken = (performance.now() - started) / 1000
  for (const sample of samples.flat()) {
    if (sample.promptTokens !== prompts[0]!.ids.length || sample.tokens !== maxTokens) {
      throw new Error(`${sample.promptTokens} and ${sample.tokens} tokens`)
    }
  }
  return taken
}

const requestOf = (row: number): SampleRequest => ({ problem: '', prefix: prompts[row]!.text, temperature: 0 })
const runs = []
for (const batch of values.batches.split(',').map(Number)) {
  const requests = Array.from({ length: batch }, (_, row) => requestOf(row))
  await seconds(requests, 4)
  const results: { prefill: number; decode: number; seconds: number }[] = []
  for (let round = 0; round < rounds; round++) {
    const [first, all] = [await seconds(requests, 1), await seconds(requests, tokens)]
    const read = batch * prompts[0]!.ids.length
    results.push({ prefill: read / first, decode: (batch * (tokens - 1)) / (all - first), seconds: all })
  }
  runs.push({
    type: precision,
    batch,
    prefill: Number(median(results.map(result => result.prefill)).toFixed(1)),
    decode: Number(median(results.map(result => result.decode)).toFixed(1)),
    seconds: [Math.min, Math.max].map(end => Number(end(...results.map(result => result.seconds)).toFixed(3))),
  })
}
const siblings = []
for (let round = 0; round < rounds; round++) {
  const request = { ...requestOf(round), temperature: 1 }
  siblings.push((await seconds([{ ...request, n: 32 }], tokens)) / (await seconds([request], tokens)))
}
console.log(
  JSON.stringify({
    rival: 'surefoot',
    isa: policy.facts.isa,
    load: [before, loadavg()[0]],
    prompt: prompts[0]!.ids.length,
    tokens,
    runs,
    siblings: Number(median(siblings).toFixed(2)),
  }),
)
await policy.dispose()
