import type { Aggregate } from '../aggregate.ts'

/** How the answer is picked from the solutions. `visits` and `value` are for mcts. */
export type Choose = 'best' | 'vote' | 'majority' | 'visits' | 'value'

interface Common {
  /** Requests that may be out at once. The tree depends on it, and on nothing else that runs beside it. */
  readonly batch?: number
  /** Policy tokens that an answer may have. */
  readonly answerTokens?: number
}

interface Scored extends Common {
  /** Step scores → score of a solution. @default the PRM's own */
  readonly aggregate?: Aggregate
}

interface Stepwise extends Scored {
  /** Steps deep, at most. */
  readonly depth?: number
  /** Policy tokens that a step may have. */
  readonly stepTokens?: number
  /** Step scores → what prefixes are ranked by. @default 'last' */
  readonly rank?: Aggregate
  /** @default 'vote' */
  readonly choose?: Choose
}

export interface BestOfN extends Scored {
  /** @default 8 */
  readonly n?: number
}

export interface Majority extends Common {
  /** @default 8 */
  readonly n?: number
}

export interface Beam extends Stepwise {
  /** Prefixes that survive a level. @default 4 */
  readonly width?: number
  /** Continuations of each. @default 4 */
  readonly expansions?: number
  /** Whether a continuation with the text of an earlier sibling is left out. @default true */
  readonly dedupe?: boolean
  /** Steps to look ahead before a continuation is scored. @default 0 */
  readonly lookahead?: number
}

export interface Dvts extends Stepwise {
  /** Independent subtrees. @default 4 */
  readonly trees?: number
  /** Continuations per step of a subtree. @default 4 */
  readonly expansions?: number
  readonly lookahead?: number
}

export interface Rebase extends Stepwise {
  /** Continuations of the first level; each finished path takes one away. @default 16 */
  readonly width?: number
  /** Of the softmax that shares them out. @default 0.2 */
  readonly temperature?: number
}

export interface Mcts extends Stepwise {
  /** Expansions at most. @default as many as the budget allows */
  readonly simulations?: number
  /** Continuations of an expansion. @default 4 */
  readonly children?: number
  /** @default { by: 'uct', c: 1 } */
  readonly select?:
    | { readonly by: 'uct'; readonly c?: number }
    | {
        readonly by: 'puct'
        readonly base?: number
        readonly init?: number
        /** Log-probabilities need a policy with the capability `logprobs`. */
        readonly prior?:
          | { readonly from: 'logProbability'; readonly temperature?: number }
          | { readonly from: 'uniform' }
      }
  /** How a child without a visit is valued. @default 'value' */
  readonly unvisited?: 'value' | 'first'
  /** A node may have ⌈factor · visits^exponent⌉ children, up to `most`. @default it is expanded once */
  readonly widening?: { readonly factor: number; readonly exponent: number; readonly most: number }
  /** What a selection makes of the simulations that are out. @default { by: 'wuUct' } */
  readonly parallel?:
    | { readonly by: 'wuUct' }
    | { readonly by: 'virtualLoss'; readonly count: number; readonly loss: number }
  /** A new node's first value: its PRM scores, or those of a rollout. @default 'prm' */
  readonly value?: 'prm' | 'rollout'
  /** What a simulation brings up: the values of the new children, or that of the node itself. @default 'children' */
  readonly leaf?: 'children' | 'own'
  /** @default 'mean' */
  readonly backup?: 'mean' | 'max'
  readonly dedupe?: boolean
}

export interface Refine extends Scored {
  /** How often a weak step is gone back to. @default 8 */
  readonly rounds?: number
  /** Continuations per round, and of the first. @default 1 */
  readonly samples?: number
  /** A step that scores below is weak. @default the PRM's threshold, else 0.5 */
  readonly threshold?: number
  readonly choose?: Choose
}

/** OmegaPRM (Luo et al., arXiv 2406.06592), with the paper's settings. */
export interface OmegaPrm {
  /** Rollouts from each prefix. @default 8 */
  readonly rollouts?: number
  /** Wrong rollouts that are searched for their first error, at most. @default 100 */
  readonly searches?: number
  /** α of Q = α^(1 − MC) · β^(tokens / length). @default 0.5 */
  readonly alpha?: number
  /** @default 0.9 */
  readonly beta?: number
  /** @default 500 */
  readonly length?: number
  /** Of U = c · √(selections) / (1 + selections of the prefix). @default 0.125 */
  readonly c?: number
  /** Fresh rollouts from behind a first error before it is told; 0: none. @default twice `rollouts` */
  readonly retest?: number
  /** Policy tokens that an answer may have. @default 2048 */
  readonly answerTokens?: number
}

/** A strategy that makes step labels, not an answer: each continuation is told right or wrong. */
export type LabelStrategy = { readonly strategy: 'omega' } & OmegaPrm

/** A strategy as plain data: what `--strategy` takes as JSON and a journal keeps. */
export type Strategy =
  | ({ readonly strategy: 'bestOfN' } & BestOfN)
  | ({ readonly strategy: 'majority' } & Majority)
  | ({ readonly strategy: 'weightedVote' } & BestOfN)
  | ({ readonly strategy: 'beam' } & Beam)
  | ({ readonly strategy: 'dvts' } & Dvts)
  | ({ readonly strategy: 'rebase' } & Rebase)
  | ({ readonly strategy: 'mcts' } & Mcts)
  | ({ readonly strategy: 'refine' } & Refine)

export const strategyNames: readonly Strategy['strategy'][] = [
  'bestOfN',
  'majority',
  'weightedVote',
  'beam',
  'dvts',
  'rebase',
  'mcts',
  'refine',
]

/** `n` whole answers; the one with the highest score. */
export const bestOfN = (options: BestOfN = {}): Strategy => ({ strategy: 'bestOfN', ...options })
/** `n` whole answers; the one that most of them give. The PRM is never asked (Wang et al., arXiv 2203.11171). */
export const majority = (options: Majority = {}): Strategy => ({ strategy: 'majority', ...options })
/** `n` whole answers; the one whose solutions have the most score together (arXiv 2408.03314). */
export const weightedVote = (options: BestOfN = {}): Strategy => ({ strategy: 'weightedVote', ...options })
/** The best `width` prefixes of each level go on (Snell et al., arXiv 2408.03314; search-and-learn). */
export const beam = (options: Beam = {}): Strategy => ({ strategy: 'beam', ...options })
/** Diverse verifier tree search: `trees` beams of width 1 that never mix (search-and-learn). */
export const dvts = (options: Dvts = {}): Strategy => ({ strategy: 'dvts', ...options })
/** Continuations shared out by the softmax of the scores (Wu et al., arXiv 2408.00724). */
export const rebase = (options: Rebase = {}): Strategy => ({ strategy: 'rebase', ...options })
/** Monte-Carlo tree search by UCT or PUCT. */
export const mcts = (options: Mcts = {}): Strategy => ({ strategy: 'mcts', ...options })
/** Goes back to the first weak step of the best answer and writes on from there. */
export const refine = (options: Refine = {}): Strategy => ({ strategy: 'refine', ...options })

/** What a search may use. What is left out has no limit. */
export interface Budget {
  /** Continuations that are asked, those that fail included. */
  readonly generations?: number
  /** Tokens that the policy samples. */
  readonly policyTokens?: number
  /** Tokens that the PRM has to compute: a path's own, and the prompt once. */
  readonly prmTokens?: number
  /** Milliseconds. */
  readonly ms?: number
  /** costs.policy · tokens of the policy + costs.prm · tokens of the PRM. */
  readonly flops?: number
  /** FLOPs of a token: about twice the parameters. @default that, where policy and PRM are native */
  readonly costs?: { readonly policy: number; readonly prm: number }
  /** The part of each limit that is kept to bring one path to its end, as long as none is there. @default 0.2 */
  readonly reserve?: number
}
