import { invalidArgument } from '../errors.ts'
import { groupAnswers } from '../grade/index.ts'
import { Driver, type Setting, type Written } from '../search/driver.ts'
import { type Configuration, readJournal } from '../search/journal.ts'
import { nativeSearch, type SearchMachine } from '../search/machine.ts'
import { type Solved, type SolveOptions, solvedOf, type TraceNode } from '../search/solve.ts'
import { htmlPage, json } from './page/html.ts'

/** The tree of a search, and what is known of the search: the data of a {@link treePage}. */
export interface SearchTree {
  /** As far as it is known. */
  readonly configuration: Partial<Configuration>
  readonly answer: string | null
  /** Whether the chosen path has its end. */
  readonly finished: boolean
  /** null: the journal was broken off, and the search is not over. */
  readonly finish: Solved['finish'] | null
  readonly limit: Solved['limit']
  readonly spent: Solved['spent']
  /** The node that the chosen path ends in. */
  readonly chosen: number | null
  /** In the order in which they were asked; the root comes first. */
  readonly nodes: readonly SearchTreeNode[]
}

/** A node of a {@link SearchTree}. */
export interface SearchTreeNode extends Omit<TraceNode, 'text'> {
  /** Equal answers have the same number. */
  readonly group: number | null
  /** What it cost; null where only the result of the search is at hand. */
  readonly cost: NodeCost | null
}

/** What a node cost. */
export interface NodeCost {
  readonly policyTokens: number
  /** Tokens that were looked ahead of it. */
  readonly aheadTokens: number
  readonly prmTokens: number
  /** The request that it came with. */
  readonly request: number
  /** Milliseconds that the request took, with all that it brought. */
  readonly ms: number
}

/** What the page says of a search besides its result: the problem and the options that it was solved with. */
export type TreeOptions = { readonly problem?: string } & Partial<SolveOptions>

/**
 * The tree of a search as one HTML file, to be panned, zoomed and read node by node. It needs nothing else: it opens from a
 * disk without a network, and its content security policy allows neither a connection nor any script but its own.
 *
 * @param source the journal of a search, which may have been broken off, or its result
 * @param options of a result: what it was asked, `{ problem, ...options }` as `solve` had them
 * @throws as {@link searchTree}; `ERR_IO` when the page's script is not built
 */
export async function treePage(source: string | Solved, options: TreeOptions = {}): Promise<string> {
  const parts: string[] = []
  for await (const part of treeParts(searchTree(source, options))) parts.push(part)
  return parts.join('')
}

/** {@link treePage} piece by piece. */
export function treeParts(tree: SearchTree): AsyncGenerator<string, void, undefined> {
  const { problem = '' } = tree.configuration
  return htmlPage({
    title: `${[...problem.slice(0, 160)].slice(0, 80).join('')} – surefoot search`,
    styles: ['report-page.css', 'tree-page.css'],
    script: 'tree-page.js',
    noscript:
      'This page draws the tree of a search by a script of its own. The same data: surefoot report --format json.',
    data: pieces(tree),
  })
}

function* pieces({ nodes, ...rest }: SearchTree): Generator<string, void, undefined> {
  yield `{"search":${json(rest)},"nodes":[`
  for (const [index, node] of nodes.entries()) yield `${index === 0 ? '' : ','}\n${json(node)}`
  yield ']}'
}

/**
 * The tree of a search as plain data.
 *
 * @throws `ERR_INVALID_ARGUMENT` for a file that is no journal, for the journal of a search of your own, whose numbering of
 *   nodes is not recorded, and for a result whose trace is no tree; `ERR_IO`
 */
export function searchTree(source: string | Solved, options: TreeOptions = {}): SearchTree {
  if (typeof source === 'string') return recordedTree(source)
  if (!Array.isArray(source?.trace)) {
    invalidArgument('source', 'must be the file of a journal, or what solve() resolved with', source)
  }
  const { problem, system, strategy, budget, seed, sampling, separator, policy, prm } = options
  const configuration: { -readonly [Key in keyof Configuration]?: Configuration[Key] | undefined } = {
    problem,
    system,
    strategy: strategy === undefined || 'ask' in strategy ? null : strategy,
    budget,
    seed,
    sampling,
    separator: separator ?? policy?.separator,
    policy: policy && { id: policy.id, facts: null },
    prm: prm?.facts,
  }
  const known = Object.entries(configuration).filter(([, value]) => value !== undefined)
  return treeOf(source, source.finish, Object.fromEntries(known), new Map())
}

function recordedTree(path: string): SearchTree {
  const { configuration, entries } = readJournal(path)
  const { strategy, budget, problem, separator, policy, prm } = configuration
  if (typeof problem !== 'string' || typeof separator !== 'string' || typeof policy?.id !== 'string') {
    invalidArgument('journal', `${path} is no journal of a search`, path)
  }
  if (strategy === null) {
    invalidArgument(
      'journal',
      `${path} is that of a search of your own: which nodes it made is not known here; ` +
        'make the page of what solve() resolved with: treePage(solved, { problem })',
      path,
    )
  }
  const costs = new Map<number, NodeCost>()
  let told = { request: 0, ms: 0 }
  const search = nativeSearch(strategy, budget)
  const machine: SearchMachine = {
    ...search,
    tell: (request, children) => {
      const first = search.tell(request, children)
      for (const [index, child] of children.entries()) {
        const { policyTokens, aheadTokens = 0, prmTokens = 0 } = child
        costs.set(first + index, { policyTokens, aheadTokens, prmTokens, ...told })
      }
      return first
    },
  }
  const none = (): never => {
    throw new TypeError('a journal is read without a model')
  }
  const capabilities = { prefill: true, n: true, stopReason: true, logprobs: true, seed: true }
  const setting: Setting = {
    problem,
    system: configuration.system ?? undefined,
    policy: { id: policy.id, capabilities, sample: none },
    prm: prm && { facts: prm, score: none },
    seed: configuration.seed,
    sampling: configuration.sampling,
    separator,
    extract: none,
    concurrency: 1,
    ms: undefined,
  }
  const driver = new Driver(machine, setting)
  const outcome = driver.retrace(entries, (entry: typeof told & { readonly children: readonly Written[] }) => {
    told = { request: entry.request, ms: entry.ms }
    return entry
  })
  if (outcome !== null) return treeOf(solvedOf(outcome, machine, driver), outcome.finish, configuration, costs)
  machine.abort()
  const ask = machine.ask(
    0,
    entries.reduce((latest, entry) => (entry.type === 'ask' ? entry.now : latest), 0),
  )
  if (ask.type !== 'done') invalidArgument('journal', `${path} holds a search that cannot be ended`, path)
  return treeOf(solvedOf(ask.value, machine, driver), null, configuration, costs)
}

function treeOf(
  { trace, answer, finished, limit, spent, solution }: Solved,
  finish: SearchTree['finish'],
  configuration: Partial<Configuration>,
  costs: ReadonlyMap<number, NodeCost>,
): SearchTree {
  const groups = new Map<number, number>()
  for (const [group, { indices }] of groupAnswers(trace.map(({ answer }) => answer ?? null)).entries()) {
    for (const index of indices) groups.set(index, group)
  }
  const root: TraceNode = {
    node: 0,
    parent: null,
    text: '',
    steps: [],
    scores: [],
    score: null,
    value: null,
    visits: 0,
    finished: false,
    pruned: false,
    answer: null,
  }
  const nodes: SearchTreeNode[] = trace.map(({ text, ...node }, index) => ({
    ...node,
    // A node without a step of its own still has what was written.
    steps: node.steps.length > 0 || text.trim() === '' ? node.steps : [text.trim()],
    group: groups.get(index) ?? null,
    cost: costs.get(node.node) ?? null,
  }))
  if (trace[0]?.parent !== null) {
    const { text: _, ...bare } = root
    nodes.unshift({ ...bare, group: null, cost: null })
  }
  const known = new Set<number>()
  for (const { node, parent } of nodes) {
    const sound = parent === null ? known.size === 0 : known.has(parent)
    if (!sound || known.has(node)) {
      const wrong = known.has(node) ? 'is there twice' : `stands before its parent, ${parent}, or has none`
      invalidArgument('trace', `node ${node} ${wrong}`, node)
    }
    known.add(node)
  }
  return { configuration, answer, finished, finish, limit, spent, chosen: solution?.node ?? null, nodes }
}
