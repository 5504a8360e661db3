import { type ReadOptions, readDataset } from '../../datasets/index.ts'
import type { LabelRecord } from '../../datasets/records.ts'
import { invalidArgument } from '../../errors.ts'
import { isRight } from '../../evaluate/labels.ts'
import { solutionKey } from '../join.ts'
import type { Judge, Judgement } from '../judge.ts'
import { NO_COST, unable } from './judgement.ts'

export interface RecordedJudgeOptions
  extends Pick<ReadOptions, 'format' | 'strict' | 'neutral' | 'download' | 'signal'> {
  /** Names who labelled. @default the source; records at hand have none */
  readonly id?: string
}

/**
 * The labels of a dataset as a judge. A solution is found by its text, whatever the white space; of several records of
 * one text the one with the solution's id counts. It is not judged where it is not recorded, where it is cut into other
 * steps, or where records of the same text differ and no id decides.
 *
 * Of each record its labels and some 150 bytes are kept. To join large files that are in the same order, see `joinConsensus`.
 *
 * @param source a file, a folder or a hub id; or records at hand
 * @throws `ERR_INVALID_ARGUMENT` without an id or without a record; what `readDataset` throws
 */
export async function recordedJudge(
  source: string | Iterable<LabelRecord> | AsyncIterable<LabelRecord>,
  options: RecordedJudgeOptions = {},
): Promise<Judge> {
  const { id = typeof source === 'string' ? source : undefined, ...read } = options
  if (id === undefined || id === '') invalidArgument('id', 'is missing: name who labelled the records', id)
  const labels = new Map<string, Recorded[]>()
  const records = typeof source === 'string' ? readDataset(source, { kind: 'labels', ...read }) : source
  for await (const record of records) {
    read.signal?.throwIfAborted()
    const { key, cut } = solutionKey(record)
    const those = labels.get(key)
    const recorded = { id: record.id, firstError: firstErrorOf(record), labels: record.labels, cut }
    if (those) those.push(recorded)
    else labels.set(key, [recorded])
  }
  if (labels.size === 0) invalidArgument('source', `${id} holds no labelled solution`)
  return {
    id: `recorded:${id}`,
    method: 'recorded',
    by: [id],
    settings: { records: labels.size, neutral: read.neutral ?? null, format: read.format ?? null },
    async judge(solution, { signal } = {}): Promise<Judgement> {
      signal?.throwIfAborted()
      const { steps } = solution
      const { key, cut } = solutionKey(solution)
      const those = labels.get(key)
      if (those === undefined) return unable('NOT_RECORDED', `${id} has no such solution`, steps.length)
      const own = those.find(recorded => recorded.id === solution.id)
      const [first, ...others] = own ? [own] : those
      if (others.some(other => other.firstError !== first!.firstError || other.cut !== first!.cut)) {
        const all = those.map(recorded => recorded.id).join(', ')
        return unable('CONTRADICTORY', `the records ${all} of this text differ`, steps.length)
      }
      if (first!.cut !== cut) {
        return unable('NOT_RECORDED', `${first!.id} cuts this text into other steps`, steps.length)
      }
      if (first!.firstError === null) {
        const silent = unable('NOT_RECORDED', `${first!.id} does not say where the first error is`, steps.length)
        return { ...silent, labels: first!.labels }
      }
      return { firstError: first!.firstError, labels: first!.labels, cost: NO_COST }
    },
  }
}

interface Recorded {
  readonly id: string
  readonly firstError: number | null
  readonly labels: LabelRecord['labels']
  readonly cut: string
}

/**
 * Where the first error of a record is: as it says; else the first step labelled wrong, soft labels below one half among
 * them, if all before it are labelled right. null where that is not known.
 */
export function firstErrorOf({ firstError, labels }: Pick<LabelRecord, 'firstError' | 'labels'>): number | null {
  if (firstError !== null) return firstError
  const at = labels.findIndex(label => label === null || !isRight(label))
  return at >= 0 && labels[at] === null ? null : at
}
