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
  ProblemRecord,
  RecordedCandidate,
  RecordOf,
  RejectedRow,
} from './records.ts'
export type { Download } from './source.ts'
