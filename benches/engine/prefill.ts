import { join } from 'node:path'
import { PRM } from '../../src/index.ts'
import { Peer } from './peer.ts'
import { median, pause, progress, spread, table } from './report.ts'
import { inRepository, type Setting } from './setting.ts'
import { Texts } from './texts.ts'

const LENGTHS = [128, 300, 512]
const FILES = ['bf16', 'f16', 'f32']

export interface Prefill {
  readonly rival: Readonly<Record<string, unknown>>
  /** Tokens per second of each round, by who and by length. */
  readonly speeds: Readonly<Record<string, Readonly<Record<number, readonly number[]>>>>
  /** Tokens per second of llama.cpp fed one token at a time: far below, so the others are batches. */
  readonly single: number
}

/** Prompts of SmolLM2 135M, ours beside llama.cpp's on the same BF16 file, and llama.cpp's on the same numbers in other types. */
export async function prefill(setting: Setting): Promise<Prefill> {
  if (setting.smollm2 === undefined || process.env.LLAMA === undefined) {
    throw new Error(
      `prefill needs --smollm2 FOLDER, made by
  scripts/gguf/smollm2.sh FOLDER && python benches/smollm2_gguf.py FOLDER
and the variable LLAMA with a folder outside the repository, made by
  mkdir -p LLAMA && cd LLAMA && npm init -y && npm install node-llama-cpp@3.22`,
    )
  }
  const folder = setting.smollm2
  const file = (type: string): string => join(folder, `${type}.gguf`)
  await using prm = await PRM.load(file('bf16'), { head: join(folder, 'head.safetensors'), profile: 'trl' })
  const llama = await Peer.start(process.execPath, ['--import=tsx', inRepository('benches', 'engine', 'llama.ts')])
  const rounds = setting.rounds ?? 5
  const kinds = FILES.flatMap(type => [
    { name: `llama.cpp ${type}`, type, flash: false },
    { name: `llama.cpp ${type}, flash attention`, type, flash: true },
  ])
  const speeds: Record<string, Record<number, number[]>> = {}
  const note = (name: string, length: number, speed: number): void => {
    speeds[name] ??= {}
    speeds[name][length] ??= []
    speeds[name][length].push(speed)
  }
  const texts = new Texts(1)
  const ours = async (length: number): Promise<number> => {
    const trace = texts.trace(length)
    const start = performance.now()
    const { tokens } = await prm.score(trace)
    const speed = (tokens / (performance.now() - start)) * 1000
    if (tokens !== length) throw new Error(`${length} tokens were meant, surefoot read ${tokens}`)
    return speed
  }
  const theirs = async (length: number, how = 'read'): Promise<number> => {
    const { problem, steps } = texts.trace(length)
    const text = `${problem}${steps.join('\n')}\n`
    const answer = await llama.ask<{ tokens: number; seconds: number }>({ do: how, text })
    if (answer.tokens !== length) throw new Error(`${length} tokens were meant, llama.cpp read ${answer.tokens}`)
    return answer.tokens / answer.seconds
  }
  await ours(128)
  for (let round = 1; round <= rounds; round++) {
    for (const { name, type, flash } of kinds) {
      await llama.ask({ do: 'load', file: file(type), flash })
      await theirs(64)
      for (const length of LENGTHS) {
        note(name, length, await theirs(length))
        await pause()
      }
    }
    for (const length of LENGTHS) {
      note('surefoot', length, await ours(length))
      await pause()
    }
    progress(`prefill ${round}/${rounds}`)
  }
  await llama.ask({ do: 'load', file: file('bf16'), flash: true })
  const single = await theirs(64, 'single')
  llama.stop()
  const result = { rival: llama.hello, speeds, single }
  report(result)
  return result
}

function report({ rival, speeds, single }: Prefill): void {
  const { surefoot, ...rest } = speeds
  const of = (name: string, length: number): number => median(speeds[name]![length]!)
  table(
    ['tokens per second of a prompt', ...LENGTHS.map(length => `${length} tokens`)],
    Object.entries(speeds).map(([name, by]) => [name, ...LENGTHS.map(length => spread(by[length]!, 0))]),
  )
  const best = (length: number, names: readonly string[]): number => Math.max(...names.map(name => of(name, length)))
  const bf16 = Object.keys(rest).filter(name => name.includes('bf16'))
  const ratio = (names: readonly string[]): string[] =>
    LENGTHS.map(length => (median(surefoot![length]!) / best(length, names)).toFixed(2))
  table(
    ['ratio to llama.cpp', ...LENGTHS.map(length => `${length} tokens`)],
    [
      ['on the same BF16 file, the better of its attentions', ...ratio(bf16)],
      ['at its best type', ...ratio(Object.keys(rest))],
    ],
  )
  console.log(`llama.cpp one token at a time: ${single.toFixed(0)} tokens/s; systemInfo: ${rival.systemInfo}\n`)
}
