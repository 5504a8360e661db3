/** The first error by binary search over the steps (OmegaPRM, arXiv 2406.06592), with a re-test at the border. */

import { invalidArgument } from '../errors.ts'
import type { Rollouts } from './annotation.ts'
import type { Judge } from './judge.ts'
import { labelsFrom, unable } from './judges/judgement.ts'
import { checkAhead, Inquiry, type RolloutOptions, type RolloutSource, sourceOf } from './rollout-source.ts'
import { type Stopping, samplingPlan } from './stopping.ts'

export interface BisectionJudgeOptions extends Partial<RolloutOptions> {
  /** Instead of a policy and how it samples: judges that have the same source share rollouts. */
  readonly source?: RolloutSource
  /** Rollouts a test: K. The re-test takes 2K fresh ones. @default 8 */
  readonly k?: number
  /** A prefix is good when more than this share of its rollouts reaches the reference answer. @default 0 */
  readonly threshold?: number
  /** When fewer rollouts are enough; not `hits`. @default exact */
  readonly stopping?: Stopping
  /** Whether the border is tested again. @default true */
  readonly retest?: boolean
  /** As of rollouts. @default 1 */
  readonly ahead?: number
}

/** Names the draws of re-tests. */
const AGAIN = 'again'

/**
 * Finds the first error in about log2 of the steps' number of tests: K rollouts from the middle of what is in question, and
 * on with the half behind it when it is good, else with the half before it. It takes for granted that what comes behind an
 * error is never good again.
 *
 * Tested are the prefixes from the bare problem to the solution without its last step, at most ceil(log2(T + 1)) of T + 1.
 * A prefix that the search ends at is tested again; when that says that it is good, the search goes on behind it. So at
 * most as many re-tests are made as there are tests that called a prefix bad, and an error is named too early only if 3K
 * rollouts from a prefix that is good all miss: with chance (1 − p)^3K for one hit in p.
 *
 * A right final answer is a success of every prefix: rollouts are blind there, so it is said to have no error without any.
 * Only judges of another kind find what is wrong on the way to a right answer (arXiv 2501.07301: in 5 to 43 % of them).
 * Where the bare problem is bad itself, the policy cannot solve it, and the judge cannot say. A solution that has no
 * answer yet may be without an error so far.
 *
 * @throws `ERR_INVALID_ARGUMENT` for options that are wrong
 */
export function bisectionJudge(options: BisectionJudgeOptions): Judge {
  const { k = 8, threshold = 0, stopping = { rule: 'exact' }, retest = true, ahead = 1 } = options
  const source = sourceOf(options)
  if (stopping.rule === 'hits')
    invalidArgument('stopping', 'hits is for soft labels: it names no first error', stopping)
  const first = samplingPlan({ k, threshold, stopping })
  const second = retest ? samplingPlan({ k: 2 * k, threshold, stopping }) : null
  checkAhead(ahead)
  return {
    id: `bisection:${source.policy.id}`,
    method: 'bisection',
    by: [source.policy.id],
    settings: { ...source.settings, k, threshold, stopping, retest },
    usage: () => source.usage(),
    judge(solution, { signal } = {}) {
      const inquiry = new Inquiry(source, solution, ahead, signal)
      const { length } = solution.steps
      return inquiry.judge(async () => {
        const isRight = source.isRight(solution)
        if (isRight) return { firstError: -1, labels: labelsFrom(-1, length) }
        const rollouts: (Rollouts | null)[] = solution.steps.map(() => null)
        const note = (steps: number, { hits, count }: Rollouts): void => {
          const before = rollouts[steps - 1]
          if (steps > 0) rollouts[steps - 1] = { hits: (before?.hits ?? 0) + hits, count: (before?.count ?? 0) + count }
        }
        const isGood = async (steps: number): Promise<boolean> => {
          const seen = await inquiry.after(steps, first)
          note(steps, seen)
          return first.label(seen) === 1
        }
        const isGoodAgain = async (steps: number): Promise<boolean> => {
          if (second === null) return false
          const seen = await inquiry.after(steps, second, AGAIN)
          note(steps, seen)
          return second.label(seen) === 1
        }
        // Of a wrong answer the whole solution is bad for certain; without one there may be nothing bad at all.
        const border = await findBorder(isRight === null ? length + 1 : length, isGood, isGoodAgain)
        if (border === 0) {
          const message = 'the policy does not come to the reference answer from the bare problem'
          return { ...unable('UNSOLVED', message, length), rollouts }
        }
        const firstError = border > length ? -1 : border - 1
        return { firstError, labels: labelsFrom(firstError, length), rollouts }
      })
    },
  }
}

/**
 * The first bad of the items 0, 1, …, `end`, of which `end` is bad and those behind a bad one are, by at most
 * ceil(log2(end + 1)) tests; where a re-test contradicts, some more.
 *
 * @param isGood tests an item
 * @param isGoodAgain tests the item that was found, unless it is `end`
 */
export async function findBorder(
  end: number,
  isGood: (item: number) => Promise<boolean>,
  isGoodAgain: (item: number) => Promise<boolean>,
): Promise<number> {
  let good = -1
  // Found bad, the first of them last.
  const bad = [end]
  for (;;) {
    while (bad.at(-1)! - good > 1) {
      const middle = Math.floor((good + bad.at(-1)!) / 2)
      if (await isGood(middle)) good = middle
      else bad.push(middle)
    }
    const found = bad.at(-1)!
    if (found === end || !(await isGoodAgain(found))) return found
    good = found
    bad.pop()
  }
}
