import { createHash } from 'node:crypto'
import { unlessAborted } from '../abort.ts'
import { invalidArgument, SurefootError, type SurefootErrorCode } from '../errors.ts'
import { checkRequest, type Generator, requireCapabilities, type SampleRequest } from '../generator/generator.ts'
import { type ExtractedBy, equivalent, extractAnswer } from '../grade/index.ts'
import type { Counters } from '../model.ts'
import type { Rollouts } from './annotation.ts'
import type { Judgement, Solution, Usage } from './judge.ts'
import { unable } from './judges/judgement.ts'
import type { Plan } from './stopping.ts'

/** How rollouts are sampled. */
export interface RolloutOptions {
  readonly policy: Generator
  /** @default temperature 0.7, seed 1 where the policy is native */
  readonly request?: Omit<SampleRequest, 'problem' | 'prefix' | 'n' | 'until' | 'path' | 'logprobs'>
  /**
   * Takes the final answer out of a solution; null where it has none.
   *
   * @default `extractAnswer` of surefoot/grade
   */
  readonly extract?: (solution: string) => string | null
  /** Prefixes whose rollouts are remembered; those that were asked for least recently are forgotten. @default 50000 */
  readonly remembered?: number
}

/** One completion of a prefix. */
interface Outcome {
  /** It came to an end, and to the reference answer. */
  readonly hit: boolean
  readonly tokens: number
}

/** What of the solution's own text says that it has its final answer, wherever that is not told. */
const EXPLICIT: readonly ExtractedBy[] = ['boxed', 'hash', 'cue']

/** What fails for one solution and not for others. */
const OWN: readonly SurefootErrorCode[] = ['ERR_CACHE_BUDGET', 'ERR_CONTEXT_OVERFLOW', 'ERR_INVALID_ARGUMENT']

/**
 * Rollouts by one policy. Those from one prefix, which is a problem and steps whatever solution they stand in, are one
 * sequence, drawn by its own names and sampled as far as somebody asks: judges that share a source share rollouts, and
 * with a policy that heeds seeds nothing but the request decides them.
 */
export class RolloutSource {
  readonly policy: Generator
  /** All that decides what is sampled. */
  readonly settings: Readonly<Record<string, unknown>>
  readonly #request: Omit<SampleRequest, 'problem'>
  readonly #extract: RolloutOptions['extract']
  readonly #remembered: number
  /** By content; the one that was asked for least recently comes first. */
  readonly #prefixes = new Map<string, Prefix>()

  /** @throws `ERR_INVALID_ARGUMENT` */
  constructor({ policy, request = {}, extract, remembered = 50_000 }: RolloutOptions) {
    const {
      problem: _,
      prefix: _prefix,
      n: _n,
      until: _until,
      ...checked
    } = checkRequest({ ...request, problem: 'any' })
    if (!(Number.isSafeInteger(remembered) && remembered >= 1)) {
      invalidArgument('remembered', 'must be a whole number from 1', remembered)
    }
    this.policy = policy
    this.settings = {
      policy: { id: policy.id, ...(policy as { facts?: object }).facts },
      request: { ...checked, separator: request.separator ?? policy.separator ?? null },
      ...(extract && { extract: 'own' }),
    }
    this.#request = { ...request }
    this.#extract = extract
    this.#remembered = remembered
  }

  get #separator(): string {
    return this.#request.separator ?? this.policy.separator ?? '\n\n'
  }

  /** @throws `ERR_CAPABILITY` for a policy that cannot go on from a prefix */
  async ready(signal?: AbortSignal): Promise<void> {
    await this.policy.ready?.({ ...(signal && { signal }) })
    requireCapabilities(this.policy, ['prefill'], 'a rollout from a step')
  }

  /** What the policy has read so far; nothing where it does not count. */
  usage(): Usage {
    const { hits = 0, computed = 0, recomputed = 0 } = (this.policy as { counters?: Counters }).counters ?? {}
    return { computed: computed + recomputed, reused: hits }
  }

  /** Whether a solution comes to the reference answer; null where it has no end yet, or none that can be told. */
  isRight({ steps, answer, answerCorrect }: Solution): boolean | null {
    if (answerCorrect !== undefined) return answerCorrect
    const text = steps.join(this.#separator)
    if (this.#extract) {
      const given = this.#extract(text)
      return given === null ? null : isAnswer(answer, given)
    }
    const found = extractAnswer(text)
    return found !== null && EXPLICIT.includes(found.how) ? isAnswer(answer, found.text) : null
  }

  /** The rollouts after the first `steps` steps of a solution. @param stream sets apart rollouts that shall be fresh */
  after({ problem, answer, steps: all }: Solution, steps: number, stream: string): Prefix {
    const separator = this.#separator
    const begun = all.slice(0, steps).join(separator)
    // Behind the last step the solution may be at its end: the policy says whether it goes on.
    const prefix = steps === 0 || steps === all.length ? begun : begun + separator
    const key = createHash('sha256')
      .update(JSON.stringify([problem, answer, prefix, stream]))
      .digest('base64')
    const known = this.#prefixes.get(key)
    this.#prefixes.delete(key)
    const found =
      known ?? new Prefix((index, signal) => this.#sample({ problem, answer, prefix, stream, index }, signal))
    this.#prefixes.set(key, found)
    if (this.#prefixes.size > this.#remembered) this.#prefixes.delete(this.#prefixes.keys().next().value!)
    return found
  }

  async #sample(
    {
      problem,
      answer,
      prefix,
      stream,
      index,
    }: Pick<Solution, 'problem' | 'answer'> & Record<'prefix' | 'stream', string> & { index: number },
    signal: AbortSignal | undefined,
  ): Promise<Outcome> {
    const path = `${stream} ${index}`
    const request = { ...this.#request, problem, prefix, path, n: 1 }
    const [sample] = await this.policy.sample(request, { ...(signal && { signal }) })
    const { text, ended, tokens } = sample!
    if (ended === 'length') return { hit: false, tokens }
    const given = this.#extract ? this.#extract(prefix + text) : (extractAnswer(prefix + text)?.text ?? null)
    return { hit: given !== null && isAnswer(answer, given), tokens }
  }
}

function isAnswer(reference: string | null, given: string): boolean {
  return reference !== null && equivalent(reference, given).equal
}

/** The rollouts from one prefix, in order. */
class Prefix {
  readonly #sample: (index: number, signal: AbortSignal | undefined) => Promise<Outcome>
  /** By index: twice the tokens, and one more for a hit. */
  readonly #known: number[] = []
  readonly #underWay = new Map<
    number,
    { readonly outcome: Promise<Outcome>; readonly signal: AbortSignal | undefined }
  >()

  constructor(sample: (index: number, signal: AbortSignal | undefined) => Promise<Outcome>) {
    this.#sample = sample
  }

  /** @param onSampled hears of it when it is sampled for this call */
  async outcome(
    index: number,
    signal: AbortSignal | undefined,
    onSampled: (outcome: Outcome) => void,
  ): Promise<Outcome> {
    for (;;) {
      signal?.throwIfAborted()
      const known = this.#known[index]
      if (known !== undefined) return { hit: known % 2 === 1, tokens: Math.floor(known / 2) }
      const other = this.#underWay.get(index)
      if (other === undefined) break
      try {
        return await unlessAborted(other.outcome, signal)
      } catch (error) {
        // Whoever had begun it has given up; this call has not.
        if (!other.signal?.aborted) throw error
      }
    }
    const outcome = this.#sample(index, signal)
    this.#underWay.set(index, { outcome, signal })
    try {
      const { hit, tokens } = await outcome
      this.#known[index] = 2 * tokens + Number(hit)
      onSampled({ hit, tokens })
      return { hit, tokens }
    } finally {
      this.#underWay.delete(index)
    }
  }
}

/** The rollouts that one judgement asks for, and what they come to. */
export class Inquiry {
  readonly #source: RolloutSource
  readonly #solution: Solution
  readonly #ahead: number
  readonly #signal: AbortSignal | undefined
  readonly #cost = { rollouts: 0, policyTokens: 0, prmTokens: 0 }
  readonly #sampled = { rollouts: 0, policyTokens: 0, unstopped: 0 }

  /** @param ahead rollouts from a prefix that may be under way before it is known whether they are needed */
  constructor(source: RolloutSource, solution: Solution, ahead: number, signal: AbortSignal | undefined) {
    this.#source = source
    this.#solution = solution
    this.#ahead = ahead
    this.#signal = signal
  }

  /** Rolls out from behind the first `steps` steps until the plan says that it is enough. */
  async after(steps: number, plan: Plan, stream = ''): Promise<Rollouts> {
    const prefix = this.#source.after(this.#solution, steps, stream)
    const open: Promise<Outcome>[] = []
    const onSampled = ({ tokens }: Outcome): void => {
      this.#sampled.rollouts++
      this.#sampled.policyTokens += tokens
    }
    this.#sampled.unstopped += plan.k
    let seen: Rollouts = { count: 0, hits: 0 }
    try {
      for (let more = plan.more(seen); more > 0; more = plan.more(seen)) {
        const end = Math.min(plan.k, seen.count + Math.max(more, this.#ahead))
        while (seen.count + open.length < end) {
          const outcome = prefix.outcome(seen.count + open.length, this.#signal, onSampled)
          outcome.catch(() => {})
          open.push(outcome)
        }
        const { hit, tokens } = await open.shift()!
        seen = { count: seen.count + 1, hits: seen.hits + Number(hit) }
        this.#cost.rollouts++
        this.#cost.policyTokens += tokens
      }
    } finally {
      await Promise.allSettled(open)
    }
    return seen
  }

  /** What was found, or why nothing can be. @throws what is not about this one solution; the signal's reason */
  async judge(find: () => Promise<Omit<Judgement, 'cost' | 'sampled'>>): Promise<Judgement> {
    const { steps, answer } = this.#solution
    let judgement: Omit<Judgement, 'cost' | 'sampled'>
    if (steps.length === 0) {
      judgement = unable('NO_STEPS', 'the solution has no steps', 0)
    } else if (answer === null) {
      judgement = unable('NO_ANSWER', 'there is no reference answer to hold rollouts against', steps.length)
    } else {
      await this.#source.ready(this.#signal)
      try {
        judgement = await find()
      } catch (error) {
        this.#signal?.throwIfAborted()
        if (!SurefootError.isInstance(error) || !OWN.includes(error.code)) throw error
        judgement = unable(error.code, error.message, steps.length)
      }
    }
    return { ...judgement, cost: this.#cost, sampled: this.#sampled }
  }
}

/** The source that options of a judge name: one that is shared, or a new one. */
export function sourceOf(options: Partial<RolloutOptions> & { readonly source?: RolloutSource }): RolloutSource {
  const { source, policy, request, extract, remembered } = options
  if (source === undefined) {
    if (policy === undefined) invalidArgument('policy', 'is missing: name what rolls out')
    return new RolloutSource({
      policy,
      ...(request && { request }),
      ...(extract && { extract }),
      ...(remembered !== undefined && { remembered }),
    })
  }
  for (const [name, value] of Object.entries({ policy, request, extract, remembered })) {
    if (value !== undefined) invalidArgument(name, 'belongs to the source, which has its own', value)
  }
  return source
}

/** How many rollouts may be speculative. @throws `ERR_INVALID_ARGUMENT` */
export function checkAhead(ahead: number): number {
  if (Number.isSafeInteger(ahead) && ahead >= 1) return ahead
  return invalidArgument('ahead', 'must be a whole number from 1', ahead)
}
