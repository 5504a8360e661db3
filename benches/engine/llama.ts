/**
 * llama.cpp through node-llama-cpp, reading prompts beside surefoot: benches/engine.ts starts it and talks to it in lines
 * of JSON. `LLAMA` names a folder outside the repository where `npm install node-llama-cpp@3.22` was run.
 *
 *     {"do": "load", "file", "flash"}   another model, with or without flash attention
 *     {"do": "read", "text"}            answers {tokens, seconds}: the text as one prompt, in one batch, without any output
 *     {"do": "single", "text"}          answers {tokens, seconds}: the same, one token at a time
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { threads } from './setting.ts'

// What is used of node-llama-cpp, which is no dependency.
interface Llama {
  readonly systemInfo: string
  readonly llamaCppRelease: { readonly release: string }
  loadModel(options: object): Promise<Model>
}
interface Model extends AsyncDisposable {
  createContext(options: object): Promise<Context>
  tokenize(text: string): number[]
}
interface Context extends AsyncDisposable {
  readonly currentThreads: number
  getSequence(): Sequence
}
interface Sequence {
  clearHistory(): Promise<void>
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>
}
interface Request {
  readonly do: 'load' | 'read' | 'single'
  readonly file?: string
  readonly flash?: boolean
  readonly text?: string
}

const home = join(process.env.LLAMA ?? '', 'node_modules', 'node-llama-cpp')
const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'))
const { getLlama } = await import(pathToFileURL(join(home, 'dist', 'index.js')).href)
const llama: Llama = await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: 'error' })

let model: Model | undefined
let context: Context | undefined
let sequence: Sequence | undefined

async function load(file: string, flash: boolean): Promise<object> {
  await context?.[Symbol.asyncDispose]()
  await model?.[Symbol.asyncDispose]()
  model = await llama.loadModel({ modelPath: file, gpuLayers: 0 })
  const options = { contextSize: 1024, batchSize: 512, sequences: 1, flashAttention: flash }
  context = await model.createContext({ ...options, threads: { ideal: threads, min: threads } })
  sequence = context.getSequence()
  return {}
}

async function read(text: string, size: number): Promise<object> {
  const tokens = model!.tokenize(text)
  await sequence!.clearHistory()
  const start = performance.now()
  for (let at = 0; at < tokens.length; at += size) {
    await sequence!.evaluateWithoutGeneratingNewTokens(tokens.slice(at, at + size))
  }
  const seconds = (performance.now() - start) / 1000
  return { tokens: tokens.length, seconds, threads: context!.currentThreads }
}

function answer({ do: what, file, flash = false, text = '' }: Request): Promise<object> {
  if (what === 'load') return load(file!, flash)
  return read(text, what === 'read' ? 512 : 1)
}

const say = (value: object): void => console.log(JSON.stringify(value))
say({ nodeLlamaCpp: version, llamaCpp: llama.llamaCppRelease.release, systemInfo: llama.systemInfo, threads })
for await (const line of createInterface({ input: process.stdin })) say(await answer(JSON.parse(line)))
process.exit()
