// A strategy of your own: the best open node grows, and now and then another, so that a wrong score is no dead end.
import {
  type Ask,
  type Child,
  type Chosen,
  Policy,
  PRM,
  type Request,
  type SearchMachine,
  type Spent,
  solve,
  type TreeNode,
} from 'surefoot'

type Node = { -readonly [Key in keyof TreeNode]: TreeNode[Key] }

/** Epsilon-greedy best-first search. It sees numbers; text and models stay with `solve`. */
class EpsilonGreedy implements SearchMachine {
  readonly #tree: Node[] = [blank(0, null)]
  readonly #open = [0]
  #spent: Spent = nothing
  #requests = 0
  #asked: Request | null = null
  #stopped = false
  readonly #epsilon: number
  readonly #expansions: number

  constructor(epsilon: number, expansions: number) {
    this.#epsilon = epsilon
    this.#expansions = expansions
  }

  /** The decision: which node grows next. */
  #next(): number | undefined {
    const worth = (node: number): number => this.#tree[node]!.value ?? 1
    const explores = this.#requests % Math.round(1 / this.#epsilon) === 0
    return explores ? this.#open[0] : this.#open.toSorted((a, b) => worth(b) - worth(a))[0]
  }

  ask(max: number, now: number): Ask {
    this.#spent = { ...this.#spent, ms: now }
    if (this.#asked !== null || max === 0) return { type: 'wait' }
    const node = this.#requests < this.#expansions && !this.#stopped ? this.#next() : undefined
    if (node === undefined) {
      const finish = this.#stopped ? 'aborted' : 'complete'
      const chosen = this.best()
      const nothing = chosen === null ? 'failed' : null
      return { type: 'done', value: { finish, limit: null, chosen, nothing, spent: this.#spent } }
    }
    this.#open.splice(this.#open.indexOf(node), 1)
    const caps = { policyTokens: 64, aheadTokens: 0, prmTokens: null, flops: null }
    const how = { stem: null, count: 3, until: 'step', score: 'last', lookahead: 'none', priors: false } as const
    this.#asked = { id: this.#requests, node, ...how, caps, path: `${this.#requests}` }
    this.#requests++
    return { type: 'requests', value: [this.#asked] }
  }

  tell(_request: number, children: readonly Child[]): number {
    const { node: parent } = this.#asked!
    this.#asked = null
    const first = this.#tree.length
    for (const { scores = [], ended, cut, policyTokens, prmTokens = 0 } of children) {
      const { depth, tokens } = this.#tree[parent]!
      const node = this.#tree.length
      const value = scores.at(-1) ?? null
      const finished = ended || cut
      const own = { depth: depth + 1, tokens: tokens + policyTokens, scores, score: value, value, finished }
      this.#tree.push({ ...blank(node, parent), ...own })
      if (!finished) this.#open.push(node)
      const { generations, policyTokens: written, prmTokens: read } = this.#spent
      const spent = { generations: generations + 1, policyTokens: written + policyTokens, prmTokens: read + prmTokens }
      this.#spent = { ...this.#spent, ...spent }
    }
    return first
  }

  fail(): void {
    this.#spent = { ...this.#spent, failures: this.#spent.failures + this.#asked!.count }
    this.#asked = null
  }

  group(groups: readonly (readonly [node: number, group: number | null])[]): void {
    for (const [node, group] of groups) this.#tree[node]!.group = group
  }

  abort(): void {
    this.#stopped = true
    this.#asked = null
  }

  best(): Chosen | null {
    const ends = this.#tree.filter(({ finished, group }) => finished && group !== null)
    const rest = this.#tree.slice(1)
    const [best] = (ends.length > 0 ? ends : rest).toSorted((a, b) => (b.value ?? 0) - (a.value ?? 0))
    if (best === undefined) return null
    const { node, group, score, finished } = best
    return { node, group, score, vote: score ?? 0, finished }
  }

  events(): [] {
    return []
  }

  has(node: number): boolean {
    return node < this.#tree.length
  }

  nodes(): TreeNode[] {
    return this.#tree
  }
}

function blank(node: number, parent: number | null): Node {
  const numbers = { depth: 0, tokens: 0, scores: [], score: null, value: null, visits: 0 }
  return { node, parent, ...numbers, group: null, finished: false, pruned: false }
}

const counts = { generations: 0, failures: 0, cancelled: 0, overruns: 0, flops: 0, ms: 0 }
const nothing: Spent = { ...counts, policyTokens: 0, prefillTokens: 0, prmTokens: 0 }

const [policy, prm] = await Promise.all([Policy.load(), PRM.load()])
const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. How many fish swim there now?'
const { answer, solution, spent, trace } = await solve(problem, {
  policy,
  prm,
  strategy: new EpsilonGreedy(0.25, 12),
  sampling: { temperature: 1 },
})
for (const { text, score } of solution!.steps) console.log(score?.toFixed(3), text)
console.log(answer, 'from', trace.length, 'nodes and', spent.policyTokens, 'tokens')
await Promise.all([policy.dispose(), prm.dispose()])
