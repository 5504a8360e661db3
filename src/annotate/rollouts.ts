/** Monte-Carlo labels: what completions from the end of each step come to (Math-Shepherd, arXiv 2312.08935). */
import { invalidArgument } from '../errors.ts'
import type { Rollouts } from './annotation.ts'
import type { Judge, Solution } from './judge.ts'
import { checkAhead, Inquiry, type RolloutOptions, type RolloutSource, sourceOf } from './rollout-source.ts'
import { type Plan, type Ratio, type Stopping, samplingPlan } from './stopping.ts'

export interface RolloutJudgeOptions extends Partial<RolloutOptions> {
  /** Instead of a policy and how it samples: judges that have the same source share rollouts. */
  readonly source?: RolloutSource
  /** Rollouts a step: K, or K by how hard the problem is. @default 8 */
  readonly k?: number | Difficulty
  /**
   * - `hard`: 1 when more than the share `threshold` of K rollouts reaches the reference answer.
   * - `soft`: the share that does.
   * - `ratio`: 1 when that share is at least `ratio` times the share one step earlier, from the bare problem for the first
   *   step; 0 once the share was 0 (relative progress; GenPRM, arXiv 2504.00891).
   *
   * @default 'hard'
   */
  readonly label?: 'hard' | 'soft' | 'ratio'
  /** Of hard labels, and the share up to which a soft label names the first error. @default 0 */
  readonly threshold?: number
  /** @default 0.8 */
  readonly ratio?: number
  /**
   * When fewer rollouts are enough. `exact` and `posterior` are for hard labels only: the shares that they leave are biased,
   * while `soft` and `ratio` need unbiased ones.
   *
   * @default exact for hard labels, else fixed
   */
  readonly stopping?: Stopping
  /** No label, and no rollouts, behind the first step that is wrong. @default true */
  readonly maskAfterError?: boolean
  /**
   * Rollouts from one prefix that may be under way before it is known whether they are needed. More of them are faster,
   * and sampled in vain more often; labels do not depend on it.
   *
   * @default 1
   */
  readonly ahead?: number
}

/** K by the share of rollouts from the bare problem that reach the reference answer. */
export interface Difficulty {
  /** Rollouts from the bare problem. */
  readonly pilot: number
  /** By ascending share: the first band that the share lies below has the K. */
  readonly bands: readonly { readonly below: number; readonly k: number }[]
  /** K of the easiest problems. */
  readonly k: number
}

/** GenPRM's: 128 below 0.1, 64 below 0.9, else 32 (arXiv 2504.00891). The number of pilot rollouts is ours. */
export const byDifficulty: Difficulty = {
  pilot: 32,
  bands: [
    { below: 0.1, k: 128 },
    { below: 0.9, k: 64 },
  ],
  k: 32,
}

/**
 * Labels steps by rollouts. What it says of a step is how likely the policy is to come to the answer from there, not whether
 * the step is right: a policy that mends an error calls it right, one that fails calls right steps wrong. The last step of
 * a solution that has its answer is labelled by that answer, without rollouts.
 *
 * @throws `ERR_INVALID_ARGUMENT` for options that are wrong or do not go together
 */
export function rolloutJudge(options: RolloutJudgeOptions): Judge {
  const { k = 8, label = 'hard', threshold = 0, ratio = 0.8, maskAfterError = true, ahead = 1 } = options
  const source = sourceOf(options)
  const { stopping = { rule: label === 'hard' ? 'exact' : 'fixed' } } = options
  if (!['hard', 'soft', 'ratio'].includes(label)) invalidArgument('label', "must be 'hard', 'soft' or 'ratio'", label)
  if (label !== 'hard' && (stopping.rule === 'exact' || stopping.rule === 'posterior')) {
    const instead = "take 'fixed', or 'hits', whose estimate is unbiased"
    invalidArgument('stopping', `${stopping.rule} is for hard labels, not for ${label} ones: ${instead}`, stopping)
  }
  if (!(typeof ratio === 'number' && ratio > 0 && Number.isFinite(ratio))) {
    invalidArgument('ratio', 'must be a number above 0', ratio)
  }
  const plans = plansOf(k, most => samplingPlan({ k: most, threshold, stopping }))
  checkAhead(ahead)
  return {
    id: `rollouts:${source.policy.id}`,
    method: 'rollouts',
    by: [source.policy.id],
    settings: { ...source.settings, k, label, threshold, ratio, stopping, maskAfterError },
    usage: () => source.usage(),
    judge(solution, { signal } = {}) {
      const inquiry = new Inquiry(source, solution, ahead, signal)
      return inquiry.judge(async () => {
        const steps = new Steps(inquiry, solution, await plans(inquiry), source.isRight(solution))
        const labels: (number | null)[] = solution.steps.map(() => null)
        let firstError = -1
        if (!maskAfterError && label !== 'ratio') await steps.all()
        for (const step of labels.keys()) {
          labels[step] =
            label === 'hard'
              ? await steps.hard(step)
              : label === 'soft'
                ? await steps.soft(step)
                : await steps.ratio(step, ratio)
          const isWrong = label === 'soft' ? labels[step]! <= threshold : labels[step] === 0
          if (isWrong && firstError < 0) firstError = step
          if (isWrong && maskAfterError) break
        }
        return { firstError, labels, rollouts: steps.rollouts }
      })
    },
  }
}

/** The plan of a problem. */
function plansOf(k: number | Difficulty, planOf: (k: number) => Plan): (inquiry: Inquiry) => Promise<Plan> {
  if (typeof k === 'number') {
    const plan = planOf(k)
    return async () => plan
  }
  const { pilot, bands, k: easiest } = k
  const shares = bands.map(({ below }) => below)
  if (!shares.every((below, index) => below > (shares[index - 1] ?? 0) && below <= 1)) {
    invalidArgument('k.bands', 'must be of ascending shares, above 0 and at most 1', bands)
  }
  const first = samplingPlan({ k: pilot, stopping: { rule: 'fixed' } })
  const plans = [...bands.map(band => planOf(band.k)), planOf(easiest)]
  return async inquiry => {
    const { hits, count } = await inquiry.after(0, first)
    const band = bands.findIndex(({ below }) => hits / count < below)
    return plans.at(band)!
  }
}

/** What rollouts say of the steps of one solution, made when they are asked for. */
class Steps {
  /** One a step, as far as rollouts were made. */
  readonly rollouts: (Rollouts | null)[]
  readonly #inquiry: Inquiry
  readonly #plan: Plan
  readonly #isRight: boolean | null
  /** A chance was 0. */
  #isLost = false

  constructor(inquiry: Inquiry, { steps }: Solution, plan: Plan, isRight: boolean | null) {
    this.rollouts = steps.map(() => null)
    this.#inquiry = inquiry
    this.#plan = plan
    this.#isRight = isRight
  }

  /** Asks for all at once. */
  async all(): Promise<void> {
    const asked = await Promise.allSettled(this.rollouts.map((_, step) => this.#after(step)))
    for (const outcome of asked) if (outcome.status === 'rejected') throw outcome.reason
  }

  async hard(step: number): Promise<number> {
    const seen = await this.#after(step)
    return seen === null ? Number(this.#isRight) : this.#plan.label(seen)
  }

  async soft(step: number): Promise<number> {
    const { top, bottom } = await this.#chance(step)
    return top / bottom
  }

  /** Of the steps in order: what comes behind a chance of 0 needs no rollouts. */
  async ratio(step: number, least: number): Promise<number> {
    if (this.#isLost) return 0
    const before = await this.#chance(step - 1)
    this.#isLost = before.top === 0
    return this.#isLost ? 0 : ratioLabel(before, await this.#chance(step), least)
  }

  async #chance(step: number): Promise<Ratio> {
    const seen = step < 0 ? await this.#inquiry.after(0, this.#plan) : await this.#after(step)
    return seen === null ? { top: Number(this.#isRight), bottom: 1 } : this.#plan.chance(seen)!
  }

  /** null: the solution ends here, so that its own answer says it. */
  async #after(step: number): Promise<Rollouts | null> {
    if (step === this.rollouts.length - 1 && this.#isRight !== null) return null
    this.rollouts[step] ??= await this.#inquiry.after(step + 1, this.#plan)
    return this.rollouts[step]
  }
}

/**
 * Whether the chance after a step is at least `least` times the one before it, 0 where that was 0. Both are ratios of whole
 * numbers, so theirs is one division, which is rounded correctly: what equals `least` is found equal.
 */
export function ratioLabel(before: Ratio, after: Ratio, least: number): 0 | 1 {
  if (before.top === 0) return 0
  return (after.top * before.bottom) / (after.bottom * before.top) >= least ? 1 : 0
}
