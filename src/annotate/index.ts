/** Step labels: collected, made, and agreed upon. */
export { type Annotation, type Method, methods, type Provenance, type Rollouts } from './annotation.ts'
export {
  type CollectCounts,
  type CollectedSource,
  type CollectOptions,
  type CollectProgress,
  type CollectSummary,
  collect,
  type TestSetResult,
} from './collect.ts'
export { type Dimension, dimensions, parseQuota, type Quota, type QuotaResult } from './collect-quotas.ts'
export type { Judge, Judgement, Solution } from './judge.ts'
export {
  annotationsOf,
  type LabelOptions,
  type OmegaOptions,
  type OmegaPrefix,
  type OmegaResult,
  type OmegaSolution,
  type OmegaTree,
  omega,
} from './omega.ts'
