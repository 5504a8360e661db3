export { type Equivalence, type EquivalentOptions, equivalent, type Verdict } from './equivalent.ts'
export {
  type AnswerKind,
  type ExtractedAnswer,
  type ExtractedBy,
  type ExtractOptions,
  extractAnswer,
} from './extract.ts'
export { type AnswerClass, type GroupOptions, groupAnswers } from './group.ts'
export {
  expectedOverTies,
  majority,
  type Vote,
  type VotedClass,
  type WeightedVoteBy,
  type WeightedVoteOptions,
  weightedVote,
} from './vote.ts'
