import type { Failed, Failure, Judged, Written } from './journal.ts'

/** What a run found and what it took. */
export interface Found {
  /** Solutions that have a line of their own: all but those without steps. */
  readonly solutions: number
  /** Solutions without steps. */
  readonly empty: number
  /** Solutions that failed, and problems of which none could be sampled: tried again on resuming. */
  readonly failed: number
  /** The first of them. */
  readonly failures: readonly ({ readonly id: string } & Failure)[]
  /** Solutions that the judge could say nothing of, by why. */
  readonly unjudged: Readonly<Record<string, number>>
  /** Steps by label: 1, 0, in between, none. */
  readonly labels: { readonly right: number; readonly wrong: number; readonly soft: number; readonly masked: number }
  /** Solutions in which no error was found, and those in which one was, by its step. */
  readonly firstErrors: { readonly none: number; readonly at: readonly number[] }
  readonly rollouts: {
    /** That the labels rest on. One that several solutions rest on counts for each of them. */
    readonly used: number
    /** That were sampled. */
    readonly sampled: number
    /** That the labels would rest on if no question stopped early; null for a judge that makes none. */
    readonly unstopped: number | null
    /** `unstopped / used`. */
    readonly saving: number | null
  }
  /** Tokens of policies and PRMs. */
  readonly tokens: {
    /** Of the solutions of problems. */
    readonly solutions: number
    /** Sampled for the labels. */
    readonly sampled: number
    /** That the labels rest on, as with rollouts. */
    readonly used: number
    /** That a PRM read. */
    readonly prm: number
    /** That the judge's policies have put through their layers, and found in the cache of prefixes; null where they do not say. */
    readonly computed: number | null
    readonly reused: number | null
  }
}

/** Failures that the summary shows. */
const EXAMPLES = 10

/** Adds up what was found. */
export class Counts {
  readonly #failures: ({ id: string } & Failure)[] = []
  readonly #unjudged: Record<string, number> = {}
  readonly #labels = { right: 0, wrong: 0, soft: 0, masked: 0 }
  readonly #at: number[] = []
  readonly #tokens = { solutions: 0, sampled: 0, used: 0, prm: 0 }
  readonly #rollouts = { used: 0, sampled: 0 }
  #unstopped: number | null = null
  #usage: { computed: number; reused: number } | null = null
  #none = 0
  #solutions = 0
  #empty = 0
  #failed = 0

  /** A record, with the line about its solutions where they were sampled. */
  addRecord(id: string, line: Written | Failed | null): void {
    if (line === null) return
    if ('error' in line) this.#fail(id, line.error)
    else for (const { tokens } of line.solutions) this.#tokens.solutions += tokens
  }

  /** A solution without steps. */
  addEmpty(): void {
    this.#empty++
  }

  add(line: Judged | Failed): void {
    this.#solutions++
    if ('error' in line) {
      this.#fail(line.id, line.error)
      return
    }
    const { judgement, usage } = line
    const { labels, firstError, failure, cost, sampled } = judgement
    for (const label of labels) {
      this.#labels[label === null ? 'masked' : label === 1 ? 'right' : label === 0 ? 'wrong' : 'soft']++
    }
    if (failure) this.#unjudged[failure.code] = (this.#unjudged[failure.code] ?? 0) + 1
    if (firstError === -1) this.#none++
    else if (firstError !== null) {
      while (this.#at.length <= firstError) this.#at.push(0)
      this.#at[firstError]!++
    }
    this.#rollouts.used += cost.rollouts
    this.#rollouts.sampled += sampled?.rollouts ?? cost.rollouts
    if (sampled) this.#unstopped = (this.#unstopped ?? 0) + sampled.unstopped
    this.#tokens.used += cost.policyTokens
    this.#tokens.sampled += sampled?.policyTokens ?? cost.policyTokens
    this.#tokens.prm += cost.prmTokens
    if (usage) {
      this.#usage ??= { computed: 0, reused: 0 }
      this.#usage.computed += usage.computed
      this.#usage.reused += usage.reused
    }
  }

  get found(): Found {
    const unstopped = this.#unstopped
    const { used } = this.#rollouts
    return {
      solutions: this.#solutions,
      empty: this.#empty,
      failed: this.#failed,
      failures: this.#failures,
      unjudged: this.#unjudged,
      labels: this.#labels,
      firstErrors: { none: this.#none, at: this.#at },
      rollouts: { ...this.#rollouts, unstopped, saving: unstopped === null || used === 0 ? null : unstopped / used },
      tokens: { ...this.#tokens, computed: this.#usage?.computed ?? null, reused: this.#usage?.reused ?? null },
    }
  }

  #fail(id: string, { code, message }: Failure): void {
    this.#failed++
    if (this.#failures.length < EXAMPLES) this.#failures.push({ id, code, message })
  }
}
