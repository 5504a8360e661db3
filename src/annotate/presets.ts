import { invalidArgument } from '../errors.ts'
import type { Generator } from '../generator/generator.ts'
import type { StepScorer } from '../scorer.ts'
import { type BisectionJudgeOptions, bisectionJudge } from './bisection.ts'
import type { Rule } from './consensus.ts'
import type { Judge } from './judge.ts'
import { type GenerativeJudgeOptions, generativeJudge } from './judges/generative.ts'
import { type PrmJudgeOptions, prmJudge } from './judges/prm.ts'

export interface AslafOptions {
  /** Each rolls out as a judge of its own. */
  readonly policies?: readonly Generator[]
  readonly prm?: StepScorer
  readonly prmOptions?: PrmJudgeOptions
  /** Writes critiques. */
  readonly judge?: Generator
  readonly judgeOptions?: GenerativeJudgeOptions
  /** Judges at hand, such as one of recorded labels. */
  readonly others?: readonly Judge[]
  /** How policies roll out. */
  readonly rollouts?: Omit<BisectionJudgeOptions, 'policy' | 'source'>
}

/** Judges and the rule for what they say, ready for `annotateConsensus`. */
export interface Preset {
  readonly judges: readonly Judge[]
  readonly rule: Required<Rule>
  /** What the source leaves open, and what is taken here. */
  readonly choices: readonly Choice[]
}

export interface Choice {
  readonly open: string
  readonly taken: string
}

/** Three or more must agree on where the first error is; where the answer is right, rollouts say that there is none. */
export const aslafRule: Required<Rule> = {
  agree: 'all',
  on: 'location',
  granularity: 'instance',
  abstentions: 'disagree',
  answer: 'right',
}

/** What the paper does not say (arXiv 2506.00027, section on ASLAF). */
export const aslafChoices: readonly Choice[] = [
  {
    open: 'which models judge, and how many',
    taken: 'three or more that differ in weights or method: rollouts, a PRM, a critic. The paper says "all LLMs"',
  },
  { open: 'rollouts for each step', taken: 'binary search with 8 a test, and 16 fresh ones at the border it finds' },
  { open: 'from which share of rollouts on a step counts as right', taken: 'one success is enough (arXiv 2501.07301)' },
  { open: 'temperature of the rollouts', taken: '0.7' },
  { open: "the judge's prompt", taken: 'our own: a critique by paragraphs that ends with a verdict, at temperature 0' },
  {
    open: 'solutions with a right answer, where rollouts see no error',
    taken: 'rollouts say "no error"; a wrong way to a right answer, which the others may find, is dropped',
  },
  { open: 'solutions with a wrong answer in which nobody finds an error', taken: 'dropped' },
  { open: 'solutions of which a judge cannot say', taken: 'dropped' },
  { open: 'whether single steps or whole solutions are kept', taken: 'whole solutions, as in arXiv 2501.07301' },
  { open: 'steps behind the first error', taken: 'not labelled' },
  { open: 'where a step ends', taken: 'as the data says; a text without steps is cut at blank lines' },
  { open: 'how a solution in code is cut into steps', taken: 'not at all: code is not annotated' },
]

/**
 * Automatic Step-Level Annotation and Filtering (arXiv 2506.00027): rollouts with binary search, judges beside them, and
 * only what all agree on is kept.
 *
 * @throws `ERR_INVALID_ARGUMENT` for fewer than three judges; what the judges throw
 */
export function aslaf(options: AslafOptions): Preset {
  const { policies = [], prm, prmOptions, judge, judgeOptions, others = [], rollouts } = options
  const judges = [
    ...policies.map(policy => bisectionJudge({ ...rollouts, policy })),
    ...(prm ? [prmJudge(prm, prmOptions)] : []),
    ...(judge ? [generativeJudge(judge, judgeOptions)] : []),
    ...others,
  ]
  if (judges.length < 3) {
    invalidArgument('judges', `aslaf needs three or more: policies, a PRM, a critic or others; got ${judges.length}`)
  }
  return { judges, rule: aslafRule, choices: aslafChoices }
}

/** Pipelines of the literature. */
export const presets: { readonly aslaf: typeof aslaf } = { aslaf }
