import { PRM, type StepsTrace } from '../../src/index.ts'
import type { Peer } from './peer.ts'
import { largestGap, median, pause, progress, spread, table } from './report.ts'
import { checkpoint, type Setting, startTorch } from './setting.ts'
import { Texts, tokensOf } from './texts.ts'

/** How transformers is asked to score a list of texts. */
interface Way {
  readonly name: string
  readonly batch: number
  readonly sorted: boolean
  readonly dtype: string
}

/** Tokens per second of one round. */
type Round = Record<string, number>

export interface Throughput {
  readonly shape: string
  readonly rival: Readonly<Record<string, unknown>>
  readonly distinct: readonly Round[]
  readonly candidates: readonly Round[]
  /** Tokens computed of those submitted, by `counters`. */
  readonly computed: { readonly distinct: number; readonly candidates: number }
  /** Between our scores and those of transformers. */
  readonly gap: number
  /** Seconds of one text in f32 and bf16. */
  readonly probe: Readonly<Record<string, number>>
}

const BATCH = 16

/**
 * Distinct ragged texts, and 16 candidates of one problem, beside transformers at its best of one text at a time, batches
 * of four texts of like length, and batches of 16 as they come. New texts every round, so nothing comes from a cache but
 * what the texts of one round share.
 */
export async function throughput(setting: Setting): Promise<Throughput[]> {
  const results: Throughput[] = []
  for (const shape of setting.shapes) results.push(await ofShape(setting, shape))
  report(results)
  return results
}

async function ofShape(setting: Setting, shape: string): Promise<Throughput> {
  const folder = checkpoint(setting, shape)
  const torch = await startTorch(folder)
  await using prm = await PRM.load(folder)
  const probe = await torch.ask<Record<string, number>>({ do: 'probe', tokens: 128 })
  const dtypes = ['float32', ...(probe.bfloat16! < probe.float32! ? ['bfloat16'] : [])]
  const ways: Way[] = dtypes.flatMap(dtype => [
    { name: `one, ${dtype}`, batch: 1, sorted: false, dtype },
    { name: `sorted 4, ${dtype}`, batch: 4, sorted: true, dtype },
    { name: `padded ${BATCH}, ${dtype}`, batch: BATCH, sorted: false, dtype },
  ])
  const rounds = setting.rounds ?? 5
  const sides = { prm, torch, ways }
  await round(sides, new Texts(0).ragged(4), true)
  const distinct: Round[] = []
  const candidates: Round[] = []
  const computed = { distinct: 0, candidates: 0 }
  let gap = 0
  for (let at = 1; at <= rounds; at++) {
    const texts = new Texts(at)
    const kinds = [
      ['distinct', distinct, texts.ragged(setting.texts)],
      ['candidates', candidates, texts.candidates(16, 200, 10, 30)],
    ] as const
    for (const [kind, list, traces] of kinds.filter(([kind]) => setting.kinds.includes(kind))) {
      const before = prm.counters.computed
      const { speeds, gap: apart } = await round(sides, traces, at % 2 === 0)
      computed[kind] += (prm.counters.computed - before) / tokensOf(traces) / rounds
      gap = Math.max(gap, apart)
      list.push(speeds)
      progress(`${shape} ${kind} ${at}/${rounds}: ${JSON.stringify(speeds)}`)
    }
  }
  torch.stop()
  return { shape, rival: torch.hello, distinct, candidates, computed, gap, probe }
}

interface Sides {
  readonly prm: PRM
  readonly torch: Peer
  readonly ways: readonly Way[]
}

/** One turn of each side over the same texts. */
async function round(
  { prm, torch, ways }: Sides,
  traces: readonly StepsTrace[],
  rivalFirst: boolean,
): Promise<{ speeds: Round; gap: number }> {
  const tokens = tokensOf(traces)
  const speeds: Round = {}
  let ours: number[][] = []
  let theirs: number[][] = []
  const surefoot = async (): Promise<void> => {
    const start = performance.now()
    const scored = await prm.score(traces)
    speeds.surefoot = (tokens / (performance.now() - start)) * 1000
    const seen = scored.reduce((sum, result) => sum + result.tokens, 0)
    if (seen !== tokens) throw new Error(`${tokens} tokens were meant, the model read ${seen}`)
    ours = scored.map(({ steps }) => steps.map(({ score }) => score))
    await pause()
  }
  const rival = async (): Promise<void> => {
    const { tokens: seen } = await torch.ask<{ tokens: number[] }>({ do: 'texts', traces })
    if (seen.reduce((sum, value) => sum + value, 0) !== tokens) throw new Error(`torch read ${seen} tokens`)
    for (const { name, ...way } of ways) {
      const { seconds, scores } = await torch.ask<{ seconds: number; scores: number[][] }>({ do: 'score', ...way })
      speeds[name] = tokens / seconds
      if (way.dtype === 'float32') theirs = scores
      await pause()
    }
  }
  for (const turn of rivalFirst ? [rival, surefoot] : [surefoot, rival]) await turn()
  return { speeds, gap: largestGap(ours, theirs) }
}

/** The rival's way with the highest median, and our ratio to it in each round. */
function against(rounds: readonly Round[], only: (way: string) => boolean): { way: string; ratios: number[] } {
  const names = Object.keys(rounds[0]!).filter(name => name !== 'surefoot' && only(name))
  const speed = (name: string): number => median(rounds.map(round => round[name]!))
  const way = names.reduce((best, name) => (speed(name) > speed(best) ? name : best))
  return { way, ratios: rounds.map(round => round.surefoot! / round[way]!) }
}

function report(results: readonly Throughput[]): void {
  const rows = results.flatMap(({ shape, distinct, candidates, computed }) => {
    const line = (what: string, rounds: readonly Round[], share: number, only: (way: string) => boolean): string[] => {
      const { way, ratios } = against(rounds, only)
      const speed = (name: string): string => median(rounds.map(round => round[name]!)).toFixed(0)
      return [shape, what, speed('surefoot'), speed(way), way, spread(ratios, 2), `${(share * 100).toFixed(0)} %`]
    }
    return [
      ...(distinct.length > 0
        ? [
            line('distinct texts, its best way', distinct, computed.distinct, () => true),
            line('distinct texts, batch 16 padded', distinct, computed.distinct, way => way.startsWith('padded')),
          ]
        : []),
      ...(candidates.length > 0
        ? [line('16 candidates, its best way', candidates, computed.candidates, () => true)]
        : []),
    ]
  })
  table(['shape', 'texts', 'surefoot tokens/s', 'transformers', 'its way', 'ratio', 'computed'], rows)
  table(
    ['shape', 'largest difference of a score from transformers f32', '128 tokens in f32', 'in bf16'],
    results.map(({ shape, gap, probe }) => [
      shape,
      gap.toExponential(1),
      `${probe.float32!.toFixed(2)} s`,
      `${probe.bfloat16!.toFixed(2)} s`,
    ]),
  )
}
