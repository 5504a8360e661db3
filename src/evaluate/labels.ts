/** A solution with judged steps → one line of the run, scored. */
import type { LabelRecord } from '../datasets/records.ts'
import { type StepScorer, scoreTraces } from '../scorer.ts'
import type { EvaluatedProblem, Flaw } from './candidates.ts'

/** The first thing in a record that keeps it from being evaluated; null when it is sound. */
export function flawOfLabels({ steps, labels, firstError }: LabelRecord): Flaw | null {
  if (steps.length === 0) return { field: 'steps', expected: 'at least one step', got: 'none' }
  if (labels.length !== steps.length) {
    return { field: 'labels', expected: `one label for each of ${steps.length} steps`, got: String(labels.length) }
  }
  if (firstError !== null && !(Number.isInteger(firstError) && firstError >= -1 && firstError < steps.length)) {
    return { field: 'firstError', expected: `-1 or the index of one of ${steps.length} steps`, got: String(firstError) }
  }
  return null
}

/** Scores the steps of one record. */
export async function evaluateLabels(
  { id, problem, steps, labels, firstError, answer, group }: LabelRecord,
  scorer: StepScorer,
  signal?: AbortSignal,
): Promise<EvaluatedProblem> {
  const [scoring] = await scoreTraces(scorer, [{ problem, steps }], signal)
  const { scores, tokens, failure } = scoring!
  const first = firstError ?? firstWrong(labels)
  return {
    problem: {
      id,
      problem,
      answer,
      candidates: [
        {
          steps,
          scores,
          score: null,
          answer: null,
          group: null,
          correct: first === -1,
          labels,
          tokens: null,
          prmTokens: tokens,
          ms: null,
          ...(failure && { failure: `${failure.code}: ${failure.message}` }),
        },
      ],
      choices: [],
      ...(group !== undefined && { group }),
      firstError: first,
    },
    failures: failure ? [failure] : [],
  }
}

/** Where the first step judged wrong stands, −1 when all were judged right; null when the labels do not say. */
function firstWrong(labels: readonly (number | null)[]): number | null {
  const at = labels.findIndex(label => label === null || !isRight(label))
  return at >= 0 && labels[at] === null ? null : at
}

/** A soft label of one half or more calls the step right. */
export function isRight(label: number): boolean {
  return label >= 0.5
}
