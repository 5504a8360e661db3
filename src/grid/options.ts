import type { Download } from '../datasets/index.ts'
import type { ProblemRecord } from '../datasets/records.ts'
import type { Generator } from '../generator/generator.ts'
import type { StepScorer } from '../scorer.ts'
import type { Sampling } from '../search/driver.ts'
import type { Strategy } from '../search/strategies.ts'
import type { GridBudget, Typical } from './cells.ts'
import type { Source } from './models.ts'

export interface GridOptions {
  /** Problems with their answers: a file, a folder or a hub id; or records at hand. One without an answer is rejected. */
  readonly problems: string | readonly ProblemRecord[]
  /**
   * What writes; or a function that loads it, which is called for every block and whose models are disposed after it. With a
   * model at hand a cell may find what another has computed: times then flatter the later one.
   */
  readonly policy: Source<Generator>
  /** What scores, likewise; not needed by majority. */
  readonly prm?: Source<StepScorer>
  /** By name, or with settings. What sets their size and is not given follows from the budget: see `sized`. */
  readonly strategies: readonly (Strategy['strategy'] | Strategy)[]
  /** Each of one search; a number counts generations. */
  readonly budgets: readonly (GridBudget | number)[]
  /** Of the draws; every cell is searched with each. @default [1] */
  readonly seeds?: readonly number[]
  /** Strategies, by their names in the report, that all others are held against. @default majority and bestOfN, where they are in the grid */
  readonly against?: readonly string[]
  /** How continuations are sampled. @default temperature 0.7 */
  readonly sampling?: Sampling
  readonly system?: string
  /** What ends a step. @default the policy's */
  readonly separator?: string
  /** Takes the final answer out of a solution; null where it has none. @default `extractAnswer` of surefoot/grade */
  readonly extract?: (solution: string) => string | null
  /** What else made the models, such as a template: a part of the configuration. */
  readonly setup?: Readonly<Record<string, unknown>>
  /** What an answer takes, by which strategies are sized. @default measured on some of the problems, and kept in the run */
  readonly typical?: Typical
  /** The run's folder; it is made. */
  readonly run: string
  /** @default the last part of the folder's path */
  readonly name?: string
  /** Go on with the run in the folder, if one is there: it must have been begun with the same options and data. */
  readonly resume?: boolean
  /** Searches under way at the same time. With more than one, times say nothing about a search alone. @default 1 */
  readonly searches?: number
  /** Requests of one search under way at the same time, at most. @default 64 */
  readonly concurrency?: number
  /** Problems of a block. @default 32 */
  readonly block?: number
  /** Only the first so many problems. */
  readonly limit?: number
  /** The dataset's format, where it is not to be recognised. */
  readonly format?: string
  /** Fail at the first row that does not fit, instead of counting it. */
  readonly strict?: boolean
  /** Gets the files of a hub id. */
  readonly download?: Download
  /** Draws of the bootstrap; those of curves are at most 2000. @default 10000 */
  readonly resamples?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: GridProgress) => void
}

/** How far the work is. */
export interface GridProgress {
  /** `pilot`: answers are sampled to size the strategies by. */
  readonly phase: 'read' | 'pilot' | 'search' | 'summarise'
  /** Searches so far, those of an earlier run among them; while reading, rows. */
  readonly done: number
  readonly total: number
  /** Searches that are taken over from the run that is resumed. */
  readonly resumed: number
  /** Searches that failed in this process. */
  readonly failed: number
  readonly problems: number
}
