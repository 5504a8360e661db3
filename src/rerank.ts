import { invalidArgument } from './errors.ts'
import { type CheckedTrace, checkTrace, stepsOfText } from './problem.ts'
import type { ScoredStep, ScoredTrace } from './scorer.ts'

/** A solution offered for ranking: as text, or as its steps. */
export type Candidate = string | readonly string[]

export interface Ranked {
  /** Of the candidate in the given list. */
  readonly index: number
  /** The step scores as one number; `-Infinity` for a candidate without steps. */
  readonly score: number
  readonly steps: readonly ScoredStep[]
  /** The first step whose score is below the profile's threshold; null when there is none. */
  readonly firstWeakStep: number | null
  /** Tokens that were cut from the beginning of the prompt, where the call asked for it and there were too many. */
  readonly truncated?: number
}

/** Candidates → traces; null for a candidate without steps. */
export function toTraces(
  problem: string,
  candidates: readonly Candidate[],
  system: string | undefined,
  split: string | null,
): (CheckedTrace | null)[] {
  if (!Array.isArray(candidates)) invalidArgument('candidates', 'must be an array', candidates)
  return candidates.map((candidate: Candidate, index) => {
    if (typeof candidate !== 'string' && !Array.isArray(candidate)) {
      invalidArgument(`candidates[${index}]`, 'must be a string or an array of steps', candidate)
    }
    const steps = typeof candidate === 'string' ? stepsOfText(candidate, split) : candidate
    if (steps.length === 0) return null
    return checkTrace({ problem, steps, ...(system === undefined ? {} : { system }) }, split)
  })
}

/** Sorts candidates by score, best first; equal scores keep their order. `scored` has one entry per trace that is not null. */
export function rank(
  traces: readonly (CheckedTrace | null)[],
  scored: readonly ScoredTrace[],
  threshold: number | null,
): Ranked[] {
  const results = scored.values()
  return traces
    .map((trace, index): Ranked => {
      const result = trace && results.next().value
      if (!result) return { index, score: Number.NEGATIVE_INFINITY, steps: [], firstWeakStep: null }
      const { aggregate: score, steps, truncated } = result
      const cut = truncated === undefined ? {} : { truncated }
      return { index, score, steps, firstWeakStep: firstBelow(steps, threshold), ...cut }
    })
    .sort((a, b) => (a.score === b.score ? 0 : b.score - a.score))
}

function firstBelow(steps: readonly ScoredStep[], threshold: number | null): number | null {
  if (threshold === null) return null
  const index = steps.findIndex(step => step.score < threshold)
  return index < 0 ? null : index
}
