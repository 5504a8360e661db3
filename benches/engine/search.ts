import { PRM, type StepsTrace } from '../../src/index.ts'
import { largestGap, median, pause, progress, spread, sum, table } from './report.ts'
import { checkpoint, type Setting, startTorch } from './setting.ts'
import { distinctTokens, Texts, tokensOf } from './texts.ts'

const [PATHS, PROMPT, STEP] = [16, 200, 40]

export interface Search {
  readonly shape: string
  readonly depth: number
  readonly submitted: number
  readonly distinct: number
  readonly counters: { readonly hits: number; readonly computed: number; readonly recomputed: number }
  readonly peakBytes: number
  /** Milliseconds of the whole search, one for each round. */
  readonly reuse: readonly number[]
  readonly whole: readonly number[]
  /** Of transformers: read off a line through the depths in `sampled`. */
  readonly transformers: number
  readonly sampled: readonly number[]
  readonly gap: number
}

/**
 * A search of 16 paths of one problem: each depth appends a step to every path and scores all paths. Ours with the cache,
 * ours without it, and transformers, which reads all of every path each time.
 */
export async function search(setting: Setting): Promise<Search[]> {
  const results: Search[] = []
  for (const shape of setting.shapes) {
    for (const depth of setting.depths) results.push(await ofDepth(setting, shape, depth))
  }
  report(results)
  return results
}

async function ofDepth(setting: Setting, shape: string, depth: number): Promise<Search> {
  const folder = checkpoint(setting, shape)
  await using prm = await PRM.load(folder)
  await using plain = await PRM.load(folder, { reuse: false })
  const seen: StepsTrace[] = new Texts(99).ragged(2)
  for (const model of [prm, plain]) await model.score(seen)
  const rounds = setting.rounds ?? 3
  const [reuse, whole]: [number[], number[]] = [[], []]
  let [counters, distinct, last] = [{ hits: 0, computed: 0, recomputed: 0 }, 0, [] as number[][]]
  const paths = (seed: number): StepsTrace[] => new Texts(seed).candidates(PATHS, PROMPT, depth, STEP)
  for (let round = 1; round <= rounds; round++) {
    const grown = paths(round)
    const before = { ...prm.counters }
    const ours = await timed(prm, grown, depth)
    reuse.push(ours.milliseconds)
    counters = {
      hits: prm.counters.hits - before.hits,
      computed: prm.counters.computed - before.computed,
      recomputed: prm.counters.recomputed - before.recomputed,
    }
    distinct = distinctTokens([...seen, ...grown]) - distinctTokens(seen)
    seen.push(...grown)
    await pause()
    const theirs = await timed(plain, grown, depth)
    whole.push(theirs.milliseconds)
    await pause()
    if (largestGap(ours.scores, theirs.scores) !== 0) throw new Error('scores with and without the cache differ')
    last = ours.scores
    progress(
      `${shape} depth ${depth} ${round}/${rounds}: ${(ours.milliseconds / 1000).toFixed(1)} s with the cache, ${(theirs.milliseconds / 1000).toFixed(1)} s without`,
    )
  }
  const submitted = sum(Array.from({ length: depth }, (_, at) => tokensOf(upTo(paths(rounds), at + 1))))
  const rival = await transformers(folder, paths(rounds), depth, last)
  const { peakBytes } = prm.counters
  return { shape, depth, submitted, distinct, counters, peakBytes, reuse, whole, ...rival }
}

function upTo(paths: readonly StepsTrace[], depth: number): StepsTrace[] {
  return paths.map(({ problem, steps }) => ({ problem, steps: steps.slice(0, depth) }))
}

async function timed(prm: PRM, paths: readonly StepsTrace[], depth: number): Promise<Timed> {
  let [milliseconds, scores] = [0, [] as number[][]]
  for (let at = 1; at <= depth; at++) {
    const traces = upTo(paths, at)
    const start = performance.now()
    const scored = await prm.score(traces)
    milliseconds += performance.now() - start
    scores = scored.map(({ steps }) => steps.map(({ score }) => score))
  }
  return { milliseconds, scores }
}

interface Timed {
  readonly milliseconds: number
  readonly scores: number[][]
}

/** Times some depths, each at the better of one path at a time and all 16 as one batch, and the rest by interpolation. */
async function transformers(
  folder: string,
  paths: readonly StepsTrace[],
  depth: number,
  ours: readonly (readonly number[])[],
): Promise<Pick<Search, 'transformers' | 'sampled' | 'gap'>> {
  const torch = await startTorch(folder)
  const score = async (at: number, batch: number): Promise<{ seconds: number; scores: number[][] }> => {
    await torch.ask({ do: 'texts', traces: upTo(paths, at) })
    return torch.ask({ do: 'score', batch, sorted: false, dtype: 'float32' })
  }
  await score(1, 1)
  const [one, all] = [await score(1, 1), await score(1, PATHS)]
  const batch = one.seconds < all.seconds ? 1 : PATHS
  const sampled = [...new Set([1, Math.ceil(depth / 4), Math.ceil(depth / 2), Math.ceil((depth * 3) / 4), depth])]
  const milliseconds: number[] = []
  let gap = 0
  for (const at of sampled) {
    const { seconds, scores } = await score(at, batch)
    milliseconds.push(seconds * 1000)
    if (at === depth) gap = largestGap(ours, scores)
    progress(`transformers at depth ${at}: ${seconds.toFixed(1)} s`)
  }
  torch.stop()
  const total = sum(Array.from({ length: depth }, (_, at) => between(sampled, milliseconds, at + 1)))
  return { transformers: total, sampled, gap }
}

/** The value at `x` of the line from point to point. */
function between(xs: readonly number[], ys: readonly number[], x: number): number {
  const right = Math.max(
    1,
    xs.findIndex(value => value >= x),
  )
  const [x0, x1, y0, y1] = [xs[right - 1]!, xs[right] ?? xs[right - 1]!, ys[right - 1]!, ys[right] ?? ys[right - 1]!]
  return x1 === x0 ? y0 : y0 + ((y1 - y0) * (x - x0)) / (x1 - x0)
}

function report(results: readonly Search[]): void {
  table(
    ['shape', 'depth', 'cache on', 'cache off', 'less by', 'transformers', 'less by', 'its depths that were timed'],
    results.map(({ shape, depth, reuse, whole, transformers, sampled }) => [
      shape,
      depth,
      `${(median(reuse) / 1000).toFixed(2)} s`,
      `${(median(whole) / 1000).toFixed(2)} s`,
      spread(
        whole.map((value, at) => value / reuse[at]!),
        1,
      ),
      `${(transformers / 1000).toFixed(1)} s`,
      (transformers / median(reuse)).toFixed(1),
      sampled.length === depth ? 'all' : sampled.join(', '),
    ]),
  )
  table(
    ['shape', 'depth', 'submitted tokens', 'distinct', 'computed', 'recomputed', 'peak of pages', 'largest difference'],
    results.map(({ shape, depth, submitted, distinct, counters, peakBytes, gap }) => [
      shape,
      depth,
      submitted,
      distinct,
      counters.computed,
      counters.recomputed,
      `${(peakBytes / 2 ** 20).toFixed(0)} MiB`,
      gap.toExponential(1),
    ]),
  )
}
