import { fileURLToPath } from 'node:url'
import { PRM, type StepsTrace } from '../../src/index.ts'
import { Texts } from '../engine/texts.ts'

/** A model, and a cache that holds only a part of what is scored. */
export interface Kind {
  readonly name: string
  readonly ref: string | undefined
  readonly cacheBytes: number
}

/** A trace and the scores of a quiet run: one trace at a time, without the cache, nothing else under way. */
export interface Case {
  readonly trace: StepsTrace
  readonly scores: readonly number[]
}

/** Of one model: candidates by problem, and a trace that fills most of the cache. */
export interface Cases {
  readonly problems: readonly (readonly Case[])[]
  readonly long: Case
}

export const kinds: readonly Kind[] = [
  { name: 'embedded', ref: undefined, cacheBytes: 6 << 20 },
  {
    name: 'qwen2-mlp2',
    ref: fileURLToPath(new URL('../../fixtures/qwen2-mlp2', import.meta.url)),
    cacheBytes: 640 << 10,
  },
]

export function load({ ref, cacheBytes }: Kind): Promise<PRM> {
  return PRM.load(ref, { cacheBytes })
}

export async function quietCases(kind: Kind, seed: number): Promise<Cases> {
  await using prm = await PRM.load(kind.ref, { reuse: false })
  const score = async (trace: StepsTrace): Promise<Case> => {
    const { steps } = await prm.score(trace)
    return { trace, scores: steps.map(step => step.score) }
  }
  const texts = new Texts(seed)
  const between = (low: number, high: number): number => low + Math.floor(texts.random() * (high - low + 1))
  const problems: Case[][] = []
  for (let problem = 0; problem < 24; problem++) {
    const traces = texts.candidates(8, between(20, 200), between(2, 12), between(5, 40))
    const cases: Case[] = []
    for (const trace of traces) cases.push(await score(trace))
    problems.push(cases)
  }
  const long = await score({ problem: texts.digits(300), steps: texts.steps(30, 40) })
  return { problems, long }
}
