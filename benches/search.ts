/**
 * What the TypeScript driver of a search costs by itself: policy and PRM answer at once, so what is left of an expansion is
 * the driver, the binding and the search.
 *
 *   npx tsx benches/search.ts                     every strategy, three sizes
 *   npx tsx benches/search.ts -- --rounds 9 --json FILE
 *
 * An expansion is a request: one answer of best-of-n, four steps of a beam or a tree. The first run warms up; of the others it is
 * the median.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { omega } from '../src/annotate/omega.ts'
import type { Generator } from '../src/generator/generator.ts'
import { beam, bestOfN, dvts, majority, mcts, rebase, type Strategy, solve } from '../src/index.ts'
import type { StepScorer } from '../src/scorer.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, json: { type: 'string' } } })
const rounds = Number(values.rounds)

/** Requests that the policy had. */
let expansions = 0

const policy: Generator = {
  id: 'at once',
  separator: '\n',
  capabilities: { prefill: true, n: true, stopReason: true, logprobs: true, seed: true },
  sample: ({ n = 1, until, path }) => {
    expansions++
    const sample = (index: number): Awaited<ReturnType<Generator['sample']>>[number] => ({
      // No two alike, and of every second answer another.
      text: until === 'step' ? `${path} ${index}` : `${path} ${index}\nA: ${index % 2}`,
      ended: until === 'step' ? 'step' : 'answer',
      promptTokens: 20,
      tokens: 20,
    })
    return Promise.resolve(Array.from({ length: n }, (_, index) => sample(index)))
  },
}

const prm: StepScorer = {
  facts: { semantics: 'probability', threshold: 0.5, split: '\n', aggregate: 'last' },
  score: traces => {
    const score = (text: string): number => ((text.charCodeAt(0) * 31 + text.charCodeAt(text.length >> 1)) % 101) / 100
    const scored = traces.map(({ steps }) => ({ steps: steps.map(text => ({ score: score(text) })), tokens: 20 }))
    return Promise.resolve(scored)
  },
}

const strategies: Readonly<Record<string, (expansions: number) => Strategy>> = {
  'best of n': n => bestOfN({ n, batch: 8 }),
  majority: n => majority({ n, batch: 8 }),
  beam: n => beam({ width: 8, depth: Math.ceil(n / 8), answerTokens: 1_000_000 }),
  dvts: n => dvts({ trees: 8, depth: Math.ceil(n / 8), answerTokens: 1_000_000 }),
  rebase: n => rebase({ width: 32, depth: Math.ceil(n / 32) + 1, answerTokens: 1_000_000 }),
  'mcts by uct': n => mcts({ simulations: n }),
}

interface Measured {
  readonly strategy: string
  readonly nodes: number
  readonly expansions: number
  /** Microseconds of an expansion, without and with a journal. */
  readonly us: number
  readonly journalled: number
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!

const folder = mkdtempSync(join(tmpdir(), 'surefoot-bench-'))
let files = 0

/** Microseconds of an expansion, and how large the tree grew. */
async function once(
  strategy: Strategy,
  journalled: boolean,
): Promise<{ us: number; nodes: number; expansions: number }> {
  const journal = join(folder, `${files++}.jsonl`)
  expansions = 0
  const begun = performance.now()
  const { trace } = await solve('Count.', { policy, prm, strategy, ...(journalled && { journal }) })
  const us = (1000 * (performance.now() - begun)) / expansions
  return { us, nodes: trace.length, expansions }
}

async function measure(strategy: string, size: number): Promise<Measured> {
  const made = strategies[strategy]!(size)
  const first = await once(made, true)
  const [plain, kept]: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    plain.push((await once(made, false)).us)
    kept.push((await once(made, true)).us)
  }
  return { strategy, nodes: first.nodes, expansions: first.expansions, us: median(plain), journalled: median(kept) }
}

/** Microseconds of a request of OmegaPRM, eight graded rollouts each, where every rollout is wrong at its last step or right. */
async function measureOmega(searches: number): Promise<Measured> {
  const run = async (): Promise<{ us: number; nodes: number; requests: number }> => {
    expansions = 0
    const begun = performance.now()
    const problems = [{ kind: 'problem', id: '1', problem: 'Count.', answer: '0' } as const]
    let nodes = 0
    for await (const { tree } of omega(problems, { policy, strategy: { searches } })) {
      nodes = tree!.prefixes.length + tree!.spent.generations
    }
    return { us: (1000 * (performance.now() - begun)) / expansions, nodes, requests: expansions }
  }
  const { nodes, requests } = await run()
  const all: number[] = []
  for (let round = 0; round < rounds; round++) all.push((await run()).us)
  return { strategy: 'omega', nodes, expansions: requests, us: median(all), journalled: Number.NaN }
}

const measured: Measured[] = []
const show = (one: Measured): void => {
  measured.push(one)
  const { strategy, nodes, us, journalled } = one
  const with_ = Number.isNaN(journalled) ? '' : `, ${journalled.toFixed(0)} with a journal`
  console.log(`${strategy}, ${one.expansions} expansions, ${nodes} nodes: ${us.toFixed(0)} µs an expansion${with_}`)
}

console.log(`${cpus()[0]!.model}, node ${process.version}, load ${loadavg()[0]!.toFixed(2)}, ${rounds} rounds`)
try {
  for (const strategy of Object.keys(strategies)) {
    for (const size of [16, 256, 2048]) show(await measure(strategy, size))
  }
  for (const searches of [4, 64]) show(await measureOmega(searches))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(`load ${loadavg()[0]!.toFixed(2)}`)
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(measured, null, 2)}\n`)
