/**
 * Tokens per second that llama.cpp writes through node-llama-cpp with SmolLM2 135M, greedily, as one line of JSON.
 *
 *     python benches/generate/prompts.py FOLDER
 *     mkdir LLAMA && cd LLAMA && npm init -y && npm install node-llama-cpp@3.22.1   # anywhere outside the repository
 *     LLAMA=… node benches/generate/llama_rival.mjs FOLDER [--threads 2] [--batches 1,8,32] [--tokens 64] [--rounds 3]
 *         [--file bf16.gguf]
 *
 * {rival, versions, date, cpu, threads, load, prompt, tokens, runs}, as benches/generate/torch_rival.py has it. The rows
 * are sequences of one context, computed in one batch of llama.cpp per token: `batches` is how many a round took at most,
 * `least` how many it needs. Each number of rows runs without and with flash attention.
 *
 * `prefill` is the rate of all tokens of the prompts but their last, read without output; `decode` that of the tokens written
 * from there on, the first among them.
 */
import { readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string', default: '2' },
    batches: { type: 'string', default: '1,8,32' },
    tokens: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    file: { type: 'string', default: 'bf16.gguf' },
  },
})
const [folder] = positionals
if (!folder || !process.env.LLAMA) throw new Error('usage: LLAMA=… node benches/generate/llama_rival.mjs FOLDER')
const threads = Number(values.threads)
const tokens = Number(values.tokens)
const rounds = Number(values.rounds)

const prompts = JSON.parse(readFileSync(join(folder, 'prompts.json'), 'utf8')).map(prompt => prompt.ids)
const home = join(process.env.LLAMA, 'node_modules', 'node-llama-cpp')
const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'))
const { getLlama } = await import(pathToFileURL(join(home, 'dist', 'index.js')).href)
const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: 'error' })
const model = await llama.loadModel({ modelPath: join(folder, values.file), gpuLayers: 0 })

const before = loadavg()[0]
const runs = []
for (const batch of values.batches.split(',').map(Number)) {
  for (const flash of [false, true]) runs.push({ file: values.file, flash, batch, ...(await measure(batch, flash)) })
}
console.log(
  JSON.stringify({
    rival: 'node-llama-cpp',
    versions: { nodeLlamaCpp: version, llamaCpp: llama.llamaCppRelease.release, node: process.version },
    date: new Date().toISOString().slice(0, 10),
    cpu: { model: cpus()[0].model, flags: llama.systemInfo },
    threads,
    load: [before, loadavg()[0]],
    prompt: prompts[0].length,
    tokens,
    runs,
  }),
)
process.exit()

async function measure(batch, flash) {
  let batches = 0
  let waits = 0
  const context = await model.createContext({
    sequences: batch,
    contextSize: 256,
    batchSize: batch * prompts[0].length,
    flashAttention: flash,
    threads: { ideal: threads, min: threads },
    batching: {
      // All rows go into one batch. Some ask for their next token a few microtasks after the others: nothing is chosen
      // until then, but not forever.
      itemPrioritizationStrategy({ items }) {
        if (items.length < batch && waits++ < 1000) return []
        waits = 0
        batches++
        return items.map(item => ({ item, processAmount: item.tokens.length }))
      },
    },
  })
  const sequences = Array.from({ length: batch }, () => context.getSequence())
  const results = []
  for (let round = 0; round <= rounds; round++) {
    await Promise.all(sequences.map(sequence => sequence.clearHistory()))
    batches = 0
    const start = performance.now()
    await Promise.all(
      sequences.map((sequence, row) => sequence.evaluateWithoutGeneratingNewTokens(prompts[row].slice(0, -1))),
    )
    const read = performance.now()
    const written = await Promise.all(sequences.map((sequence, row) => write(sequence, prompts[row].at(-1))))
    const end = performance.now()
    if (written.some(ids => ids.length !== tokens)) throw new Error('a row ended early')
    if (context.currentThreads !== threads) throw new Error(`${context.currentThreads} threads, not ${threads}`)
    // The first round warms up.
    if (round > 0) results.push({ prefill: (read - start) / 1000, decode: (end - read) / 1000, batches })
  }
  await context.dispose()
  return {
    prefill: rates(results.map(result => (batch * (prompts[0].length - 1)) / result.prefill)),
    decode: rates(results.map(result => (batch * tokens) / result.decode)),
    batches: Math.max(...results.map(result => result.batches)),
    least: tokens + 1,
  }
}

async function write(sequence, last) {
  const ids = []
  for await (const id of sequence.evaluate([last], { temperature: 0, yieldEogToken: true })) {
    ids.push(id)
    if (ids.length === tokens) break
  }
  return ids
}

function rates(values) {
  const sorted = values.map(value => Number(value.toFixed(1))).sort((a, b) => a - b)
  const median = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
  return { median: Number(median.toFixed(1)), least: sorted[0], most: sorted.at(-1) }
}
