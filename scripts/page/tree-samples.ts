/** Made-up results of searches, as large as one likes. */
import type { Solved, TraceNode } from '../../src/search/solve.ts'

/** How a made-up tree grows: a random tree, leaves of one root, or one path. */
export type Shape = 'tree' | 'flat' | 'path'

/** A made-up result with `count` nodes and its root; the same for the same seed. */
export function syntheticSolved(count: number, shape: Shape = 'tree', seed = 5): Solved {
  const random = numbers(seed)
  const draft = [{ parent: -1, depth: 0, pruned: false, children: 0 }]
  // Nodes that can still be gone on with.
  const open = [0]
  for (let node = 1; node <= count; node++) {
    const at = shape === 'flat' ? 0 : shape === 'path' ? node - 1 : open[Math.floor(random() * open.length)]!
    const parent = draft[at]!
    parent.children++
    draft.push({ parent: at, depth: parent.depth + 1, pruned: random() < 0.3, children: 0 })
    if (shape !== 'tree') continue
    const last = open.indexOf(at)
    if (parent.children >= 5) open.splice(last, 1)
    if (!draft[node]!.pruned && draft[node]!.depth < 14) open.push(node)
  }
  const trace = draft.map(({ parent, depth, pruned, children }, node): TraceNode => {
    const value = node === 0 ? null : Math.round(random() * 1000) / 1000
    const finished = node > 0 && children === 0 && !pruned && random() < 0.6
    const answer = finished ? String(10 + Math.floor(random() * 9)) : null
    const text = node === 0 ? '' : `Step ${depth}: node ${node} says ${node} + ${depth} = ${node + depth}.`
    return {
      node,
      parent: parent < 0 ? null : parent,
      text: `${text}\n`,
      steps: node === 0 ? [] : [text],
      scores: value === null ? [] : [value],
      score: value,
      value,
      visits: children,
      finished,
      pruned,
      answer,
    }
  })
  const best = trace.filter(({ finished }) => finished).toSorted((a, b) => b.value! - a.value!)[0]
  const solution = best === undefined ? null : solutionOf(trace, best)
  return {
    answer: best?.answer ?? null,
    solution,
    finished: best !== undefined,
    finish: 'budget',
    limit: 'policyTokens',
    spent: {
      generations: count,
      failures: 0,
      cancelled: 0,
      policyTokens: 17 * count,
      prefillTokens: 40,
      prmTokens: 18 * count,
      flops: 2.4e12,
      ms: 84_000,
      overruns: 0,
    },
    solutions: solution === null ? [] : [solution],
    trace,
  }
}

function solutionOf(trace: readonly TraceNode[], { node, answer, score }: TraceNode): Solved['solution'] {
  const steps: { text: string; score: number | null }[] = []
  for (let at: number | null = node; at !== null && at !== 0; at = trace[at]!.parent) {
    steps.unshift({ text: trace[at]!.steps[0]!, score: trace[at]!.value })
  }
  return { node, text: steps.map(({ text }) => `${text}\n`).join(''), answer, steps, score }
}

/** Numbers in [0, 1) that only look random (a linear congruential generator). */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
