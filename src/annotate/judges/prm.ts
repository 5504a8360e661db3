import type { LabelRecord } from '../../datasets/records.ts'
import { invalidArgument } from '../../errors.ts'
import { bestThreshold, firstBelow, firstErrorF1 } from '../../evaluate/metrics.ts'
import { isSound, type StepScorer, scoreTraces } from '../../scorer.ts'
import type { Judge, Judgement } from '../judge.ts'
import { found, NO_COST, unable } from './judgement.ts'

export interface PrmJudgeOptions {
  /**
   * Names the PRM's weights: one PRM read with two thresholds is one judge. @default the hub id that it was loaded by
   */
  readonly id?: string
  /**
   * A step whose score is below it is wrong: of a probability, how likely the step is right; of a value, how often
   * solutions that go on from here succeed; a reward has no such number of its own. {@link calibrateThreshold} finds the
   * one that is best on labelled solutions. @default the PRM's own
   */
  readonly threshold?: number
  /**
   * `hard`: right before the first error, wrong there, none behind. `soft`: each step's score; a reward cannot.
   *
   * @default 'hard'
   */
  readonly labels?: 'hard' | 'soft'
}

/**
 * A PRM as a judge: the first error is the first step whose score is below a threshold (ProcessBench's reading,
 * arXiv 2412.06559). A solution that cannot be scored, as it is too long, is one that it cannot judge.
 *
 * @throws `ERR_INVALID_ARGUMENT` for an outcome model, which scores no steps; without an id or a threshold where the PRM
 *   has none; for a threshold that no score can be on either side of
 */
export function prmJudge(prm: StepScorer, options: PrmJudgeOptions = {}): Judge {
  const { facts } = prm
  const { id = (facts as { hubId?: string | null }).hubId, threshold = facts.threshold, labels = 'hard' } = options
  if (facts.split === null) {
    invalidArgument('prm', 'is an outcome model, which scores whole solutions: it cannot say which step is wrong')
  }
  if (typeof id !== 'string' || id === '') {
    invalidArgument('id', 'is missing: name the weights, so that a consensus can tell one judge from another', id)
  }
  if (threshold === null) {
    const how = 'pass one; calibrateThreshold finds it from labelled solutions'
    invalidArgument('threshold', `is missing, and a ${facts.semantics} has none of its own: ${how}`)
  }
  if (!isSound(threshold, facts.semantics)) {
    invalidArgument('threshold', `must be a ${facts.semantics}, got ${threshold}`, threshold)
  }
  if (labels !== 'hard' && labels !== 'soft') invalidArgument('labels', "must be 'hard' or 'soft'", labels)
  if (labels === 'soft' && facts.semantics === 'reward') {
    invalidArgument('labels', "must be 'hard': a reward is no number from 0 to 1", labels)
  }
  return {
    id: `prm:${id}`,
    method: 'prm',
    by: [id],
    settings: { prm: { ...facts }, threshold, labels },
    async judge({ problem, steps }, { signal } = {}): Promise<Judgement> {
      const [scoring] = await scoreTraces(prm, [{ problem, steps }], signal)
      const { scores, tokens, failure } = scoring!
      if (failure) return unable(failure.code, failure.message, steps.length)
      const cost = { ...NO_COST, prmTokens: tokens! }
      const judgement = found(firstBelow(scores!, threshold), steps.length, cost)
      return labels === 'soft' ? { ...judgement, labels: scores! } : judgement
    },
  }
}

/** What a threshold is worth on the solutions that it was chosen on: more than it will be elsewhere. */
export interface Calibration {
  readonly threshold: number
  /** ProcessBench's F1. */
  readonly f1: number
  /** Solutions that were scored. */
  readonly solutions: number
  /** Solutions that could not be scored, or whose first error is not known. */
  readonly leftOut: number
}

/** Solutions that are scored together. */
const TOGETHER = 64

/**
 * The threshold by which a PRM finds the first errors of labelled solutions best (`bestThreshold`, ProcessBench's second
 * rule). Take other solutions than those that are to be judged.
 *
 * @throws `ERR_INVALID_ARGUMENT` when there are not both right and wrong solutions; what the PRM throws; the signal's
 *   reason
 */
export async function calibrateThreshold(
  prm: StepScorer,
  solutions: Iterable<LabelRecord> | AsyncIterable<LabelRecord>,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<Calibration> {
  const scores: (readonly number[])[] = []
  const truth: number[] = []
  let leftOut = 0
  let batch: LabelRecord[] = []
  const scoreBatch = async (): Promise<void> => {
    const scorings = await scoreTraces(prm, batch, signal)
    for (const [index, scoring] of scorings.entries()) {
      if (scoring.scores === null) leftOut++
      else {
        scores.push(scoring.scores)
        truth.push(batch[index]!.firstError!)
      }
    }
    batch = []
  }
  for await (const solution of solutions) {
    signal?.throwIfAborted()
    if (solution.firstError === null) leftOut++
    else batch.push(solution)
    if (batch.length >= TOGETHER) await scoreBatch()
  }
  await scoreBatch()
  const threshold = bestThreshold(scores, truth)
  if (Number.isNaN(threshold)) {
    const right = truth.filter(at => at === -1).length
    const got = `${right} right and ${truth.length - right} wrong ones`
    invalidArgument('solutions', `a threshold needs both right and wrong solutions to choose by, got ${got}`)
  }
  const predicted = scores.map(steps => firstBelow(steps, threshold))
  return { threshold, f1: firstErrorF1(predicted, truth).f1, solutions: truth.length, leftOut }
}
