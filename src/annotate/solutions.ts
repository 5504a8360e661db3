/** Records and sampled texts → solutions to be judged → annotations. */
import type { CandidateRecord, LabelRecord, ProblemRecord } from '../datasets/records.ts'
import { stepsOf } from '../evaluate/candidates.ts'
import { equivalent, extractAnswer } from '../grade/index.ts'
import type { Annotation } from './annotation.ts'
import type { Failed, Judged, SampledText } from './journal.ts'
import type { Judge, Solution } from './judge.ts'

/** A solution, and what of its record goes into the annotation. */
export type Labelled = Solution & Pick<LabelRecord, 'group' | 'generator'>

/** How many solutions a record has. @param n those that are sampled of a problem */
export function countOf(record: ProblemRecord | CandidateRecord | LabelRecord, n = 8): number {
  return record.kind === 'labels' ? 1 : record.kind === 'candidates' ? record.candidates.length : n
}

/** The solutions of a record; those of a problem are the texts that were sampled. */
export function solutionsOf(
  record: ProblemRecord | CandidateRecord | LabelRecord,
  texts: readonly SampledText[],
  separator: string,
  sampling?: { readonly policy: { readonly id: string }; readonly extract?: (solution: string) => string | null },
): Labelled[] {
  const { id, problem, answer } = record
  if (record.kind === 'labels') {
    const { steps, answerCorrect, group, generator } = record
    return [defined({ id, problem, steps, answer, answerCorrect, group, generator })]
  }
  if (record.kind === 'candidates') {
    return record.candidates.map((candidate, index) => {
      const { answer: given, correct, generator } = candidate
      const answerCorrect = correct ?? (given === undefined ? undefined : isAnswer(answer, given))
      const steps = stepsOf(candidate, separator)
      return defined({ id: `${id}/${index}`, problem, steps, answer, answerCorrect, generator })
    })
  }
  const extract = sampling?.extract ?? (text => extractAnswer(text)?.text ?? null)
  return texts.map(({ text, ended }, index) => {
    const steps = stepsOf({ text }, separator)
    // A text that was cut off has no answer yet.
    const answerCorrect = ended === 'length' ? undefined : isAnswer(answer, extract(text))
    return defined({ id: `${id}/${index}`, problem, steps, answer, answerCorrect, generator: sampling?.policy.id })
  })
}

/** undefined where there is no reference answer. */
function isAnswer(reference: string | null, given: string | null): boolean | undefined {
  return reference === null ? undefined : given !== null && equivalent(reference, given).equal
}

function defined(solution: { [Key in keyof Labelled]: Labelled[Key] | undefined }): Labelled {
  return Object.fromEntries(Object.entries(solution).filter(([, value]) => value !== undefined)) as unknown as Labelled
}

/** A line of annotations.jsonl. */
export function annotationOf(
  solution: Labelled,
  judge: Pick<Judge, 'id' | 'method' | 'by'>,
  line: Judged | Failed,
): Annotation {
  const { id, problem, steps, answer, ...rest } = solution
  const judgement = 'judgement' in line ? line.judgement : null
  const failure = 'error' in line ? line.error : judgement?.failure
  const { rollouts, policyTokens, prmTokens } = judgement?.cost ?? { rollouts: 0, policyTokens: 0, prmTokens: 0 }
  return {
    kind: 'labels',
    id,
    problem,
    steps,
    labels: judgement?.labels ?? steps.map(() => null),
    firstError: judgement?.firstError ?? null,
    answer,
    ...rest,
    provenance: {
      method: judge.method,
      by: judge.by ?? [judge.id],
      ...(rollouts > 0 && { rollouts }),
      tokens: policyTokens + prmTokens,
    },
    ...(judgement?.rollouts && { rollouts: judgement.rollouts }),
    ...(failure && { failure }),
  }
}
