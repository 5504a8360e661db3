export type { CandidateRecord, LabelRecord, RecordedCandidate, RejectedRow } from '../datasets/records.ts'
export type { ScorerFacts, StepScorer, StepScores } from '../scorer.ts'
export { Run, type RunProgress } from './live.ts'
export * from './metrics.ts'
export { type EvaluateOptions, evaluate, type Source } from './run.ts'
export type {
  CandidateResult,
  Comparison,
  Cost,
  Curve,
  FirstErrorResult,
  ProblemResult,
  RuleResult,
  ScoreResult,
  Summary,
  SurfaceResult,
} from './summary.ts'
