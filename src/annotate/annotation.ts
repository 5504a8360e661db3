import type { LabelRecord, Provenance } from '../datasets/records.ts'

export { type Method, methods, type Provenance, type Rollouts } from '../datasets/records.ts'

/** A solution with step labels and where they come from: one line of annotations.jsonl. */
export interface Annotation extends LabelRecord {
  readonly provenance: Provenance
}
