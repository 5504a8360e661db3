export { resolveDataset } from '../hub/index.ts'
export type { Neutral } from './format.ts'
export { type DatasetFormat, datasetFormats } from './formats.ts'
export { type ReadOptions, readDataset } from './read.ts'
export type {
  CandidateRecord,
  CodeRecord,
  DataRecord,
  Kind,
  LabelRecord,
  LeftOutRow,
  Method,
  ProblemRecord,
  Provenance,
  RecordedCandidate,
  RecordOf,
  RejectedRow,
  Rollouts,
} from './records.ts'
export type { Download } from './source.ts'
export { type Account, type ConvertOptions, type ConvertProgress, type ConvertSummary, convert } from './write.ts'
export { type WrittenFormat, writtenFormats } from './write-rows.ts'
