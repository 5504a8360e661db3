import { invalidArgument } from './errors.ts'
import type { ScoredStep, ScoredTrace } from './scorer.ts'

export interface AppendOptions {
  readonly signal?: AbortSignal
}

/**
 * A solution that grows, for a search of your own.
 *
 * An appended step is scored in the trace that it ends, and costs its own tokens only: what stands before it is found in
 * the model's cache, also when another session or call put it there.
 */
export interface Session {
  /** Those that are scored, in order. */
  readonly steps: readonly ScoredStep[]
  /**
   * Adds a step, or several at once, and scores them. They reach the model as they are.
   *
   * Appends that overlap are queued in order. One that fails leaves the session as it was, and those queued behind it,
   * which would have stood on it, fail with its error.
   *
   * @throws `ERR_INVALID_ARGUMENT`, `ERR_CONTEXT_OVERFLOW`, `ERR_CACHE_BUDGET`, `ERR_NOT_FINITE`, `ERR_DISPOSED`; the
   *   signal's reason
   */
  append(step: string, options?: AppendOptions): Promise<ScoredStep>
  append(steps: readonly string[], options?: AppendOptions): Promise<ScoredStep[]>
  /** A session that goes on from here by itself, with appends that are under way here before its own. */
  branch(): Session
  /**
   * The trace of all steps, as `prm.score` gives it, once no append is under way. Those that fail are not in it.
   *
   * @throws `ERR_INVALID_ARGUMENT` while there is no step; `ERR_DISPOSED`
   */
  score(): Promise<ScoredTrace>
}

/** What a growing solution asks of its PRM. */
export interface Grower {
  assertUsable(): void
  /** The steps, if they are sound. */
  check(added: { readonly steps: readonly string[] } | { readonly solution: string }): readonly string[]
  /** Scores the solution so far once `before` is fulfilled; rejects if that does. */
  score(steps: readonly string[], before: Promise<unknown>, signal: AbortSignal | undefined): Promise<ScoredTrace>
}

/** A solution as an append leaves it. */
interface Growth {
  readonly steps: readonly string[]
  readonly scored: Promise<ScoredTrace>
  /** Once it is scored. */
  trace?: ScoredTrace
  failed?: boolean
  /** What it grew from, as long as it is not scored; null at the root. */
  before: Growth | null
}

export function openSession(grower: Grower): Session {
  return new Branch(grower, null)
}

class Branch implements Session {
  readonly #grower: Grower
  #last: Growth | null

  constructor(grower: Grower, last: Growth | null) {
    this.#grower = grower
    this.#last = last
  }

  get steps(): readonly ScoredStep[] {
    return this.#chain().find(({ trace }) => trace)?.trace?.steps ?? []
  }

  append(step: string, options?: AppendOptions): Promise<ScoredStep>
  append(steps: readonly string[], options?: AppendOptions): Promise<ScoredStep[]>
  async append(given: string | readonly string[], options: AppendOptions = {}): Promise<ScoredStep | ScoredStep[]> {
    this.#grower.assertUsable()
    options.signal?.throwIfAborted()
    const several = isMany(given)
    const added = [...this.#grower.check({ steps: several ? given : [given] })]
    const { steps } = await this.#grow(added, options.signal)
    return several ? steps.slice(-added.length) : steps.at(-1)!
  }

  branch(): Session {
    this.#grower.assertUsable()
    return new Branch(this.#grower, this.#standing())
  }

  async score(): Promise<ScoredTrace> {
    this.#grower.assertUsable()
    for (const { scored } of this.#chain()) {
      const trace = await scored.catch(() => null)
      this.#grower.assertUsable()
      if (trace) return trace
    }
    return invalidArgument('session', 'has no step yet; append one')
  }

  #grow(added: readonly string[], signal: AbortSignal | undefined): Promise<ScoredTrace> {
    const before = this.#standing()
    const steps = before ? [...before.steps, ...added] : added
    const scored = this.#grower.score(steps, before?.scored ?? Promise.resolve(), signal)
    const growth: Growth = { steps, scored, before }
    this.#last = growth
    return scored.then(
      trace => {
        growth.trace = trace
        growth.before = null
        return trace
      },
      error => {
        growth.failed = true
        throw error
      },
    )
  }

  /** The last growth that has not failed and did not grow from one that has. */
  #standing(): Growth | null {
    for (const { failed, before } of this.#chain()) if (failed) this.#last = before
    return this.#last
  }

  /** The growths under way, the last one first, and the one that is scored. */
  #chain(): Growth[] {
    const chain: Growth[] = []
    for (let at = this.#last; at; at = at.before) chain.push(at)
    return chain
  }
}

function isMany(given: string | readonly string[]): given is readonly string[] {
  return Array.isArray(given)
}
