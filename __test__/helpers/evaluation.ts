import { setTimeout as sleep } from 'node:timers/promises'
import type { CandidateRecord, LabelRecord, RecordedCandidate } from '../../src/datasets/records.ts'
import { SurefootError } from '../../src/errors.ts'
import type { Summary } from '../../src/evaluate/summary.ts'
import type { StepsTrace } from '../../src/problem.ts'
import type { ScorerFacts, StepScorer } from '../../src/scorer.ts'

export function candidates(
  id: string,
  answer: string | null,
  list: readonly (Partial<RecordedCandidate> & { readonly text: string })[],
): CandidateRecord {
  return { kind: 'candidates', id, problem: `problem ${id}`, answer, candidates: list }
}

export function labelled(id: string, labels: readonly (number | null)[], more: Partial<LabelRecord> = {}): LabelRecord {
  const first = labels.findIndex(label => label !== null && label < 0.5)
  return {
    kind: 'labels',
    id,
    problem: `problem ${id}`,
    steps: labels.map((label, index) => `step ${index} of ${id}, labelled ${label}`),
    labels,
    firstError: first,
    answer: null,
    ...more,
  }
}

/** A scorer that reads each step's score out of its text, `0.25` in "good 0.25", and fails where the text asks for it. */
export function textScorer(
  options: { facts?: Partial<ScorerFacts>; ms?: number } = {},
): StepScorer & { readonly calls: StepsTrace[][] } {
  const facts: ScorerFacts = {
    semantics: 'probability',
    threshold: 0.5,
    split: '\n\n',
    aggregate: 'min',
    ...options.facts,
  }
  const calls: StepsTrace[][] = []
  return {
    facts,
    calls,
    async score(traces, { signal } = {}) {
      calls.push([...traces])
      if (options.ms)
        await sleep(options.ms, undefined, { signal: signal as AbortSignal }).catch(() => signal?.throwIfAborted())
      signal?.throwIfAborted()
      return traces.map(({ steps }) => {
        if (steps.some(step => step.includes('too long'))) {
          throw new SurefootError('ERR_CONTEXT_OVERFLOW', '9000 tokens, the model reads 4096')
        }
        const scores = steps.map(text => ({ score: Number(/-?\d*\.\d+/.exec(text)?.[0]) }))
        return { steps: scores, tokens: steps.length * 10 }
      })
    },
  }
}

/** A summary without what is allowed to differ between two runs on the same data. */
export function withoutTimes(summary: Summary): unknown {
  return JSON.parse(
    JSON.stringify(summary, (key, value) => (key === 'made' || key === 'ms' || key === 'prmMs' ? undefined : value)),
  )
}
