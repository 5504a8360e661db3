import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import type { Generator, Sample } from '../src/generator/generator.ts'
import {
  type Budget,
  beam,
  bestOfN,
  dvts,
  majority,
  mcts,
  rebase,
  refine,
  type Solved,
  type SolveOptions,
  type Strategy,
  SurefootError,
  solve,
  weightedVote,
} from '../src/index.ts'
import type { StepScorer } from '../src/scorer.ts'

const folder = mkdtempSync(join(tmpdir(), 'surefoot-resume-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const newFile = (): string => join(folder, `${files++}.jsonl`)

/** Kills of each strategy. */
const KILLS = 200

/** The same numbers in [0, 1) for the same words. */
function draw(...words: readonly (string | number)[]): number {
  let hash = 0x811c9dc5
  for (const unit of `${words.join(' ')}!`) hash = Math.imul(hash ^ unit.charCodeAt(0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39)
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32
}

/** Writes by what a request is named; one request in eight fails, one step in six ends the answer, some are empty or alike. */
function writing(pause: (path: string) => number = () => 0, onCall: () => void = () => {}): Generator {
  return {
    id: 'by name',
    separator: '\n',
    capabilities: { prefill: true, n: true, stopReason: true, logprobs: true, seed: true },
    async sample({ n = 1, until, path, maxTokens, logprobs }): Promise<Sample[]> {
      onCall()
      const ms = pause(path!)
      if (ms > 0) await new Promise(resolve => setTimeout(resolve, ms))
      if (draw(path!, 'fails') < 1 / 8) throw new SurefootError('ERR_HTTP', 'the server is down')
      return Array.from({ length: n }, (_, index) => {
        const word = (at: number): string => `step ${Math.floor(9 * draw(path!, index, at))}`
        const length = until === 'step' ? 1 : 1 + Math.floor(3 * draw(path!, index, 'length'))
        const steps = draw(path!, index, 'empty') < 1 / 30 ? [] : Array.from({ length }, (_, at) => word(at))
        const ends = until === 'answer' || draw(path!, index, 'ends') < 1 / 6
        if (ends) steps.push(`A: ${Math.floor(4 * draw(path!, index, 'answer'))}`)
        const tokens = Math.min(1 + 5 * steps.length, maxTokens!)
        return {
          text: steps.join('\n'),
          ended: ends ? 'answer' : 'step',
          promptTokens: 12,
          tokens,
          ...(logprobs && { logprobs: Array.from({ length: tokens }, (_, at) => -draw(path!, index, at, 'log')) }),
        }
      })
    },
  }
}

const prm: StepScorer = {
  facts: { semantics: 'probability', threshold: 0.5, split: '\n', aggregate: 'min' },
  score: async traces =>
    traces.map(({ steps }) => ({
      steps: steps.map((_, index) => ({ score: Math.fround(draw(...steps.slice(0, index + 1))) })),
      tokens: 6 * steps.length,
    })),
}

const strategies: Readonly<Record<string, readonly [Strategy, Budget]>> = {
  bestOfN: [bestOfN({ n: 16, batch: 5 }), {}],
  majority: [majority({ n: 16, batch: 5 }), {}],
  weightedVote: [weightedVote({ n: 16, batch: 5 }), {}],
  beam: [beam({ depth: 6 }), {}],
  'beam, looking ahead': [beam({ width: 2, lookahead: 1, depth: 6 }), {}],
  dvts: [dvts({ depth: 6 }), {}],
  rebase: [rebase({ depth: 6, batch: 3 }), {}],
  'mcts by uct': [mcts({ simulations: 24 }), {}],
  'mcts by puct': [mcts({ simulations: 24, select: { by: 'puct' }, batch: 7 }), {}],
  'mcts with rollouts that widens': [
    mcts({ simulations: 24, children: 2, value: 'rollout', widening: { factor: 1.5, exponent: 0.5, most: 6 } }),
    {},
  ],
  refine: [refine({ rounds: 12, samples: 2, threshold: 0.95 }), {}],
  'mcts with a limit of tokens': [mcts({ stepTokens: 20 }), { policyTokens: 900 }],
}

/** All of a result but the time that it took. */
function timeless({ spent: { ms: _, ...spent }, ...solved }: Solved): object {
  return { ...solved, spent }
}

const run = async (options: Partial<SolveOptions>, policy = writing()): Promise<Solved> =>
  solve('Count.', { policy, prm, ...options } as SolveOptions)

for (const [name, [strategy, budget]] of Object.entries(strategies)) {
  test(`${name}: killed at ${KILLS} bytes of its journal, a search goes on to the result of an unbroken one`, async t => {
    const journal = newFile()
    const whole = await run({ strategy, budget, journal })
    t.true(whole.trace.length > 5)
    const bytes = await readFile(journal)
    const torn = newFile()
    for (let kill = 0; kill < KILLS; kill++) {
      const point = Math.floor(draw(name, 'kill', kill) * (bytes.length + 1))
      await writeFile(torn, bytes.subarray(0, point))
      const concurrency = 1 + (kill % 9)
      const solved = await run({ strategy, budget, concurrency, journal: torn, resume: true })
      t.deepEqual(timeless(solved), timeless(whole), `cut at ${point}`)
    }
  })

  test(`${name}: the tree is the same whatever arrives first and however many are under way`, async t => {
    const alone = await run({ strategy, budget, concurrency: 1 })
    for (const concurrency of [2, 5, 100]) {
      for (const seed of [1, 2]) {
        const pausing = writing(path => Math.floor(3 * draw(path, seed, 'pause')))
        const solved = await run({ strategy, budget, concurrency }, pausing)
        t.deepEqual(timeless(solved), timeless(alone), `${concurrency} at once`)
      }
    }
  })

  test(`${name}: aborted at any call it rejects with the reason and is gone on with; stopped, it has its best`, async t => {
    let most = 0
    const whole = await run(
      { strategy, budget },
      writing(undefined, () => most++),
    )
    for (let at = 1; at <= most; at++) {
      const [stop, reason, journal] = [new AbortController(), new Error('enough'), newFile()]
      let calls = 0
      const aborting = writing(undefined, () => {
        if (++calls === at) stop.abort(reason)
      })
      const aborted = run({ strategy, budget, concurrency: 3, journal, signal: stop.signal }, aborting)
      t.is(await t.throwsAsync(aborted), reason)
      const solved = await run({ strategy, budget, journal, resume: true })
      t.deepEqual(timeless(solved), timeless(whole), `aborted at call ${at}`)

      calls = 0
      const search = solve('Count.', {
        policy: writing(undefined, () => {
          if (++calls === at) search.stop()
        }),
        prm,
        strategy,
        budget,
        concurrency: 3,
      })
      const stopped = await search
      t.is(stopped.finish, 'aborted')
      t.is(stopped.solution === null, stopped.trace.length === 1)
      const there = new Set(whole.trace.map(({ text }) => text))
      t.true(stopped.trace.every(({ text }) => there.has(text)))
    }
  })
}
