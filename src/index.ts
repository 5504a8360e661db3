export { type Aggregate, aggregate, aggregates } from './aggregate.ts'
export { SurefootError, type SurefootErrorCode } from './errors.ts'
export { type ChatMessage, type ChatModel, type ChatModelOptions, fromChatModel } from './generator/chat-model.ts'
export { chatTemplate } from './generator/chat-template.ts'
export type { Dialect, Endpoint } from './generator/dialects.ts'
export {
  type FunctionContext,
  type FunctionOptions,
  type FunctionRequest,
  type FunctionSample,
  fromFunction,
  type SampleFunction,
} from './generator/function.ts'
export {
  type Capabilities,
  type Ended,
  type Generator,
  requireCapabilities,
  type Sample,
  type SampleOptions,
  type SampleRequest,
} from './generator/generator.ts'
export {
  fromLanguageModel,
  type LanguageModel,
  type LanguageModelCall,
  type LanguageModelOptions,
  type ProviderOptions,
} from './generator/language-model.ts'
export { type OpenAIGenerator, type OpenAIOptions, openai, type Prompt } from './generator/openai.ts'
export { Policy, type PolicyFacts, type PolicyOptions } from './generator/policy.ts'
export { type StreamOptions, stream, type TextStream } from './generator/stream.ts'
export type { DownloadProgress } from './hub/index.ts'
export type { ComputeOptions, Counters, Device, LoadProgress } from './model.ts'
export {
  type LoadOptions,
  type ModelFacts,
  PRM,
  type RerankOptions,
  type ScoreManyOptions,
  type ScoreOptions,
  type ScoreProgress,
  type SessionOptions,
  type WatchOptions,
} from './prm.ts'
export { type SolutionTrace, type StepsTrace, splitSteps, type Trace } from './problem.ts'
export type { Profile, ProfileChoice, Segment, Separator, Turn } from './profile.ts'
export type { Candidate, Ranked } from './rerank.ts'
export type { ScoredStep, ScoredTrace, ScorerFacts, Semantics, StepScorer, StepScores } from './scorer.ts'
export type {
  Ask,
  Child,
  Chosen,
  Limit,
  MachineEvent,
  Outcome,
  Request,
  SearchMachine,
  Spent,
  TreeNode,
} from './search/machine.ts'
export { type Missing, type Replayed, type ReplayOptions, replay } from './search/replay.ts'
export {
  type SearchEvent,
  type Solution,
  type Solved,
  type SolveOptions,
  type SolveRun,
  solve,
  type TraceNode,
} from './search/solve.ts'
export {
  type Beam,
  type BestOfN,
  type Budget,
  beam,
  bestOfN,
  type Choose,
  type Dvts,
  dvts,
  type Majority,
  type Mcts,
  majority,
  mcts,
  type Rebase,
  type Refine,
  rebase,
  refine,
  type Strategy,
  strategyNames,
  weightedVote,
} from './search/strategies.ts'
export type { AppendOptions, Session } from './session.ts'
export type { WatchedStep } from './watch.ts'
