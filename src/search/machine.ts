import { SurefootError } from '../errors.ts'
import { native, nativeError, type Search } from '../native.ts'
import type { Budget, LabelStrategy, Strategy } from './strategies.ts'

/** Decides what to write next: numbers only, the text stays with who drives it. The native strategies, or one of yours. */
export interface SearchMachine {
  /** Up to `max` requests that nobody was handed before; `now` in milliseconds on one clock. */
  ask(max: number, now: number): Ask
  /** What came of a request, in any order among requests. Returns the first of the nodes that its continuations are. */
  tell(request: number, children: readonly Child[]): number
  /** Nothing came of a request. */
  fail(request: number): void
  /** Says which finished nodes give equal answers, by a number for each answer; null: none. */
  group(groups: readonly (readonly [node: number, group: number | null])[]): void
  /** Ends the search with what was told by now. */
  abort(): void
  /** What would be the answer now. */
  best(): Chosen | null
  /** What has happened since the last call. */
  events(): MachineEvent[]
  /** Whether a node is there by now: what was told waits for what was asked before it. */
  has(node: number): boolean
  /** The nodes, in the order in which they were asked; the root comes first. */
  nodes(): TreeNode[]
}

export type Ask =
  | { readonly type: 'requests'; readonly value: readonly Request[] }
  | { readonly type: 'wait' }
  | { readonly type: 'done'; readonly value: Outcome }

/** Continuations to write and to score. */
export interface Request {
  readonly id: number
  /** The node that is gone on with; 0 is the root. */
  readonly node: number
  /** Where the node has no text yet: it is the first `steps` new steps of node `of`. */
  readonly stem: { readonly of: number; readonly steps: number } | null
  readonly count: number
  readonly until: 'step' | 'answer'
  /** Which new steps are scored. */
  readonly score: 'none' | 'last' | 'all'
  /** What is written beyond a continuation, greedily, for its scores alone. */
  readonly lookahead: 'none' | 'answer' | { readonly steps: number }
  /** Whether each continuation is told with its log-probability. */
  readonly priors: boolean
  readonly caps: {
    readonly policyTokens: number
    readonly aheadTokens: number
    readonly prmTokens: number | null
    readonly flops: number | null
  }
  /** Names the draws: unlike that of any other request. */
  readonly path: string
}

/** A continuation as it was written. */
export interface Child {
  readonly policyTokens: number
  readonly aheadTokens?: number
  /** Tokens of prompt and prefix that the policy had to compute for it. */
  readonly prefillTokens?: number
  readonly prmTokens?: number
  /** Steps that it adds. 0 ends its path. */
  readonly steps: number
  /** Of its new steps: none, the last, or all, as was asked. */
  readonly scores?: readonly number[]
  /** Of the steps that were looked ahead. */
  readonly ahead?: readonly number[]
  readonly rollout?: number
  readonly logPrior?: number
  readonly ended: boolean
  /** Whether a cap cut it. */
  readonly cut: boolean
  /** Whether its answer is right: for the strategies that make labels. */
  readonly correct?: boolean
  /** Hashes, below 2^53, of the whole text up to the end of each new step, by which these find a prefix again. */
  readonly prefixes?: readonly number[]
  /** A hash of its text, below 2^53: continuations of a node with equal hashes are the same. */
  readonly text?: number
}

/** What a search answers. */
export interface Chosen {
  readonly node: number
  readonly group: number | null
  readonly score: number | null
  /** What it won with: the sum of its group's scores, or its number of solutions; the score where nobody votes. */
  readonly vote: number
  /** Whether the path has an end; otherwise it is the best prefix there is. */
  readonly finished: boolean
}

export type Limit = 'generations' | 'policyTokens' | 'prmTokens' | 'flops' | 'ms'

export interface Outcome {
  readonly finish: 'complete' | 'budget' | 'aborted'
  /** The limit that ended it. */
  readonly limit: Limit | null
  readonly chosen: Chosen | null
  /** Where nothing is chosen: each continuation failed, or none came in time. */
  readonly nothing: 'failed' | 'unasked' | null
  readonly spent: Spent
}

/** What a search has used. */
export interface Spent {
  readonly generations: number
  /** Of these: failed. */
  readonly failures: number
  /** Of these: out when the search ended. */
  readonly cancelled: number
  readonly policyTokens: number
  readonly prefillTokens: number
  readonly prmTokens: number
  readonly flops: number
  readonly ms: number
  /** Requests that brought more than their caps. */
  readonly overruns: number
}

export type MachineEvent =
  | { readonly type: 'expanded'; readonly request: number; readonly node: number; readonly count: number }
  | {
      readonly type: 'sampled'
      readonly request: number
      readonly node: number
      readonly parent: number
      readonly policyTokens: number
      readonly ended: boolean
      readonly cut: boolean
    }
  | { readonly type: 'scored'; readonly node: number; readonly value: number }
  | { readonly type: 'pruned'; readonly node: number }
  /** OmegaPRM: the rollout `node` is wrong from its own step `step` on, counted from 0; of `before` a rollout was right. */
  | {
      readonly type: 'firstError'
      readonly node: number
      readonly step: number
      readonly before: number
      /** The prefix that the wrong step ends; null where it is the last one. */
      readonly behind: number | null
    }
  | { readonly type: 'failed'; readonly request: number; readonly node: number; readonly count: number }
  | { readonly type: 'overrun'; readonly request: number; readonly limit: Limit }
  | { readonly type: 'budget'; readonly spent: Spent }
  | { readonly type: 'chosen'; readonly chosen: Chosen | null }

/** A node of the tree. */
export interface TreeNode {
  readonly node: number
  /** null: the root. */
  readonly parent: number | null
  /** Expansions between the root and the node. */
  readonly depth: number
  /** Policy tokens from the root to its end. */
  readonly tokens: number
  /** Of its own steps, as far as they were asked. */
  readonly scores: readonly number[]
  /** Of the whole path as one number; null where the PRM has not seen all of it. */
  readonly score: number | null
  /** What came up through it in mcts, else what it is ranked by; null without scores. */
  readonly value: number | null
  readonly visits: number
  readonly group: number | null
  readonly finished: boolean
  readonly pruned: boolean
}

/**
 * The native search of a strategy.
 *
 * @throws `ERR_INVALID_ARGUMENT` for a setting out of its range, and where neither strategy nor budget ends
 */
export function nativeSearch(strategy: Strategy | LabelStrategy, budget: Budget): SearchMachine {
  const { search, failure } = native().newSearch(JSON.stringify(strategy), JSON.stringify(budget))
  if (failure) throw nativeError(failure)
  const value = <T>(answer: { value?: string | null; failure?: Parameters<typeof nativeError>[0] | null }): T => {
    if (answer.failure) throw nativeError(answer.failure)
    if (answer.value === undefined || answer.value === null) throw new SurefootError('ERR_INTERNAL', 'no answer')
    return JSON.parse(answer.value)
  }
  const machine: SearchMachine = {
    ask: (max, now) => value(search!.ask(max, Math.max(0, Math.round(now)))),
    tell: (request, children) => value(search!.tell(request, JSON.stringify(children))),
    fail: request => value(search!.fail(request)),
    group: groups => value(search!.group(JSON.stringify(groups))),
    abort: () => search!.abort(),
    best: () => value(search!.best()),
    events: () => value(search!.events()),
    has: node => search!.has(node),
    nodes: () => value(search!.nodes()),
  }
  natives.set(machine, search!)
  return machine
}

const natives = new WeakMap<SearchMachine, Search>()

/** The native search that a machine stands for. */
export function nativeOfMachine(machine: SearchMachine): Search | undefined {
  return natives.get(machine)
}
