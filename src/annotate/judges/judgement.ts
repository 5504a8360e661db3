/** What the judges here have in common. */
import type { Judgement } from '../judge.ts'

/**
 * Why a judge cannot say, beside the codes of `SurefootError`. `NO_VERDICT`: its text ends without one that can be read.
 * `CUT_OFF`: its text has no end. `TIE`: its samples are at odds. `NOT_RECORDED`, `CONTRADICTORY`: of recorded labels
 * there are none for this solution, or several that differ.
 */
export type Inability = 'NO_VERDICT' | 'CUT_OFF' | 'TIE' | 'NOT_RECORDED' | 'CONTRADICTORY'

export const NO_COST: Judgement['cost'] = { rollouts: 0, policyTokens: 0, prmTokens: 0 }

/** Right before the first error, wrong there, not judged behind it; nothing judged where it is not known. */
export function labelsFrom(firstError: number | null, steps: number): (number | null)[] {
  return Array.from({ length: steps }, (_, step) => {
    if (firstError === null) return null
    if (firstError < 0 || step < firstError) return 1
    return step === firstError ? 0 : null
  })
}

/** A judge found where the first error is. */
export function found(firstError: number, steps: number, cost: Judgement['cost'] = NO_COST): Judgement {
  return { firstError, labels: labelsFrom(firstError, steps), cost }
}

/** A judge cannot say. */
export function unable(code: string, message: string, steps: number, cost: Judgement['cost'] = NO_COST): Judgement {
  return { firstError: null, labels: labelsFrom(null, steps), failure: { code, message }, cost }
}
