import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PRM } from '../../src/index.ts'
import { median, pause, progress, spread, sum, table } from './report.ts'
import { checkpoint, inRepository, type Setting, startTorch } from './setting.ts'
import { Texts, tokensOf } from './texts.ts'

/** A matrix product of a layer: `rows` x `inputs` times `inputs` x `outputs`. */
interface Product {
  readonly name: string
  readonly inputs: number
  readonly outputs: number
}

export interface Share {
  readonly shape: string
  readonly rows: number
  readonly products: readonly (Product & { readonly ours: number; readonly torch: number })[]
  /** GFLOP/s of the registers and GB/s of the memory, on all threads. */
  readonly peak: { readonly flops: number; readonly read: number }
  /** Tokens per second of scoring, of each round. */
  readonly scoring: readonly number[]
  /** Tokens per second if a forward were its matrix products alone, each at the better of both speeds. */
  readonly ceiling: number
}

/** What `--profile FILE` holds: where the seconds of scoring went. */
interface Profile {
  readonly tokens: number
  readonly operations: readonly {
    readonly name: string
    readonly seconds: number
    readonly flops?: number
    readonly bytes?: number
  }[]
}

const ROWS = 256

/** How much of the speed of bare matrix products is left when whole texts are scored. */
export async function share(setting: Setting): Promise<Share[]> {
  const results: Share[] = []
  for (const shape of setting.shapes) results.push(await ofShape(setting, shape))
  report(results)
  if (setting.profile !== undefined) roofline(setting.profile, results[0]!.peak)
  return results
}

async function ofShape(setting: Setting, shape: string): Promise<Share> {
  const folder = checkpoint(setting, shape)
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
  const { hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers } = config
  const keys = (hidden / config.num_attention_heads) * config.num_key_value_heads
  const products: Product[] = [
    { name: 'q, k and v', inputs: hidden, outputs: hidden + 2 * keys },
    { name: 'o', inputs: hidden, outputs: hidden },
    { name: 'gate and up', inputs: hidden, outputs: 2 * inner },
    { name: 'down', inputs: inner, outputs: hidden },
  ]
  const torch = await startTorch(folder)
  await using prm = await PRM.load(folder)
  await prm.score(new Texts(0).ragged(4))
  const scoring: number[] = []
  const theirs: number[][] = []
  const ours: number[][] = []
  let peak = { flops: 0, read: 0 }
  const rounds = setting.rounds ?? 3
  for (let round = 1; round <= rounds; round++) {
    const traces = new Texts(round).ragged(setting.texts)
    const start = performance.now()
    await prm.score(traces)
    scoring.push((tokensOf(traces) / (performance.now() - start)) * 1000)
    await pause()
    const shapes = products.map(({ inputs, outputs }) => [ROWS, inputs, outputs])
    theirs.push((await torch.ask<{ seconds: number[] }>({ do: 'matmul', shapes })).seconds)
    await pause()
    const gemm = kernels(products)
    ours.push(gemm.seconds)
    peak = { flops: Math.max(peak.flops, gemm.peak.flops), read: Math.max(peak.read, gemm.peak.read) }
    await pause()
    progress(`${shape} share ${round}/${rounds}: ${scoring.at(-1)!.toFixed(1)} tokens/s`)
  }
  torch.stop()
  const flops = (at: number): number => 2 * ROWS * products[at]!.inputs * products[at]!.outputs
  const timed = products.map((product, at) => ({
    ...product,
    ours: flops(at) / median(ours.map(seconds => seconds[at]!)) / 1e9,
    torch: flops(at) / median(theirs.map(seconds => seconds[at]!)) / 1e9,
  }))
  const second = sum(timed.map((product, at) => (layers * flops(at)) / Math.max(product.ours, product.torch) / 1e9))
  return { shape, rows: ROWS, products: timed, peak, scoring, ceiling: ROWS / second }
}

/** Runs crates/kernels/examples/gemm.rs on all shapes and reads its lines for bf16 weights and two threads. */
function kernels(products: readonly Product[]): { seconds: number[]; peak: Share['peak'] } {
  const shapes = products.map(({ inputs, outputs }) => `${inputs}x${outputs}`).join()
  const isa = process.env.SUREFOOT_ISA ?? ''
  const run = [
    'run',
    '--quiet',
    '--release',
    '-p',
    'surefoot-kernels',
    '--example',
    'gemm',
    '--',
    isa,
    shapes,
    `${ROWS}`,
  ]
  const output = execFileSync('cargo', run, { cwd: inRepository(), encoding: 'utf8' })
  const speeds = new Map<string, number>()
  for (const [, inputs, outputs, speed] of output.matchAll(/^ *(\d+) x (\d+) +\d+ +bf16 \|.*\| *([\d.]+)/gm)) {
    speeds.set(`${inputs}x${outputs}`, Number(speed))
  }
  const head = /peak .*?, (\d+) on 2; read [\d.]+ GB\/s, ([\d.]+)/.exec(output)
  if (!head || speeds.size !== products.length) throw new Error(`the example gemm printed something else:\n${output}`)
  const seconds = products.map(
    ({ inputs, outputs }) => (2 * ROWS * inputs * outputs) / speeds.get(`${inputs}x${outputs}`)! / 1e9,
  )
  return { seconds, peak: { flops: Number(head[1]), read: Number(head[2]) } }
}

function report(results: readonly Share[]): void {
  table(
    ['shape', 'product', 'K x N', 'rows', 'our GFLOP/s', "torch's", 'of the peak'],
    results.flatMap(({ shape, rows, products, peak }) =>
      products.map(({ name, inputs, outputs, ours, torch }) => [
        shape,
        name,
        `${inputs} x ${outputs}`,
        rows,
        ours.toFixed(0),
        torch.toFixed(0),
        `${((100 * ours) / peak.flops).toFixed(0)} %`,
      ]),
    ),
  )
  table(
    ['shape', 'scoring, tokens/s', 'its matrix products alone, at the better of both', 'share'],
    results.map(({ shape, scoring, ceiling }) => [
      shape,
      spread(scoring, 0),
      ceiling.toFixed(0),
      `${((100 * median(scoring)) / ceiling).toFixed(0)} %`,
    ]),
  )
}

function roofline(file: string, peak: Share['peak']): void {
  const { tokens, operations }: Profile = JSON.parse(readFileSync(file, 'utf8'))
  const total = sum(operations.map(({ seconds }) => seconds))
  const rate = (amount: number | undefined, seconds: number, best: number): string =>
    amount === undefined
      ? ''
      : `${(amount / seconds / 1e9).toFixed(1)} (${((100 * amount) / seconds / 1e9 / best).toFixed(0)} %)`
  table(
    ['operation', 'µs a token', 'share', `GFLOP/s (of ${peak.flops})`, `GB/s (of ${peak.read})`],
    operations.map(({ name, seconds, flops, bytes }) => [
      name,
      ((1e6 * seconds) / tokens).toFixed(1),
      `${((100 * seconds) / total).toFixed(1)} %`,
      rate(flops, seconds, peak.flops),
      rate(bytes, seconds, peak.read),
    ]),
  )
}
