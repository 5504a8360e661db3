import { SurefootError } from '../errors.ts'
import type { Sample, SampleRequest } from '../generator/generator.ts'
import { isAboutTrace, type StepScorer, scoreTraces } from '../scorer.ts'
import type { Setting, Told, Written } from './driver.ts'
import type { Request } from './machine.ts'
import { hashOf, type Text, type Texts } from './texts.ts'

/** A sample with its text and what was looked ahead from it. */
interface Sampled {
  readonly sample: Sample
  readonly text: Text
  readonly ahead: { readonly tokens: number; readonly steps: readonly string[] } | null
}

type Worked = Pick<Told, 'children' | 'failure'>
type Scored = Pick<Written, 'scores' | 'ahead' | 'prmTokens' | 'problemTokens'>

/** Has continuations written and scored, each within the caps of its request. */
export class Continuations {
  readonly #setting: Setting
  readonly #texts: Texts
  /** Tokens of the problem alone, which are computed once. */
  #promptIds: readonly number[] | null = null
  /** Whether they are counted already. */
  promptPaid = false
  /** Requests under way of which it is open whether the problem is paid with them, in the order of asking. */
  readonly #undecided = new Map<number, { readonly decided: Promise<void>; readonly decide: () => void }>()

  constructor(setting: Setting, texts: Texts) {
    this.#setting = setting
    this.#texts = texts
  }

  /**
   * What comes of a request. One failed continuation costs its path.
   *
   * @throws what is not about one continuation; the signal's reason
   */
  async of(request: Request, signal: AbortSignal): Promise<Worked> {
    let decide = (): void => {}
    const decided = new Promise<void>(resolve => {
      decide = resolve
    })
    this.#undecided.set(request.id, { decided, decide })
    try {
      return await this.#score(request, await this.#sample(request, signal), signal)
    } catch (error) {
      if (signal.aborted || !isAboutOne(error)) throw error
      return { children: [], failure: error }
    } finally {
      this.#decide(request)
    }
  }

  #decide({ id }: Request): void {
    this.#undecided.get(id)?.decide()
    this.#undecided.delete(id)
  }

  /** Waits until it is certain who pays for the problem: the first in the order of asking, not of arrival. */
  async #turn(request: Request): Promise<void> {
    for (const [id, { decided }] of this.#undecided) {
      if (this.promptPaid || id >= request.id) return
      await decided
    }
  }

  /** What policy and PRM are told of the problem. */
  get #about(): { readonly problem: string; readonly system?: string } {
    const { problem, system } = this.#setting
    return { problem, ...(system !== undefined && { system }) }
  }

  /** What all requests to the policy have in common. */
  get #common(): SampleRequest {
    const { sampling, separator, seed } = this.#setting
    return { ...sampling, ...this.#about, separator, seed }
  }

  #sample(request: Request, signal: AbortSignal): Promise<Sample[]> {
    const prefix = this.#texts.prefix(request.node)
    return this.#setting.policy.sample(
      {
        ...this.#common,
        ...(prefix !== '' && { prefix }),
        n: request.count,
        until: request.until,
        maxTokens: request.caps.policyTokens,
        path: request.path,
        ...(request.priors && { logprobs: true }),
      },
      { signal },
    )
  }

  async #score(request: Request, samples: readonly Sample[], signal: AbortSignal): Promise<Worked> {
    const written = await Promise.all(
      samples.map(async sample => {
        const text = this.#texts.textOf(sample.text, sample.ended === 'step')
        const ahead = await this.#lookAhead(request, sample, text, signal)
        return { sample, text, ahead }
      }),
    )
    const before = this.#texts.steps(request.node)
    const scored = await this.#scores(request, before, written, signal)
    const children: Written[] = []
    let failure: SurefootError | undefined
    for (const [index, { sample, text, ahead }] of written.entries()) {
      const of = scored[index]!
      if (SurefootError.isInstance(of)) {
        failure = of
        continue
      }
      const ended = sample.ended === 'answer' || sample.ended === null || sample.ended === 'stop'
      const { extract, grade } = this.#setting
      const answer = ended ? extract(this.#texts.prefix(request.node) + text.raw) : null
      children.push({
        raw: text.raw,
        policyTokens: sample.tokens,
        prefillTokens: request.id === 0 && index === 0 ? sample.promptTokens : 0,
        steps: text.steps.length,
        ended,
        cut: sample.ended === 'length',
        text: hashOf(text.raw),
        ...(ahead !== null && { aheadTokens: ahead.tokens }),
        ...(request.priors && { logPrior: meanOf(sample.logprobs) }),
        ...of,
        ...(ended && { answer }),
        ...(grade && { correct: ended && grade(answer) }),
      })
    }
    return { children, ...(failure && { failure }) }
  }

  /** What follows a continuation by greedy steps, or to the end of the answer. */
  async #lookAhead(
    request: Request,
    sample: Sample,
    text: Text,
    signal: AbortSignal,
  ): Promise<{ tokens: number; steps: readonly string[] } | null> {
    const { lookahead } = request
    if (lookahead === 'none') return null
    if (sample.ended !== 'step') return { tokens: 0, steps: [] }
    let [tokens, prefix] = [0, this.#texts.prefix(request.node) + text.raw]
    const steps: string[] = []
    const most = lookahead === 'answer' ? 1 : lookahead.steps
    for (let step = 0; step < most && tokens < request.caps.aheadTokens; step++) {
      const [next] = await this.#setting.policy.sample(
        {
          ...this.#common,
          prefix,
          temperature: 0,
          until: lookahead === 'answer' ? 'answer' : 'step',
          maxTokens: request.caps.aheadTokens - tokens,
          path: `${request.path} ahead ${step}`,
        },
        { signal },
      )
      const more = this.#texts.textOf(next!.text, next!.ended === 'step')
      tokens += next!.tokens
      prefix += more.raw
      steps.push(...more.steps)
      if (next!.ended !== 'step') break
    }
    return { tokens, steps }
  }

  /** The scores of each continuation and what they cost, or why there are none. */
  async #scores(
    request: Request,
    before: readonly string[],
    written: readonly Sampled[],
    signal: AbortSignal,
  ): Promise<(Scored | SurefootError)[]> {
    const { prm } = this.#setting
    if (request.score === 'none' || prm === null) return written.map(() => ({}))
    const traces = written.map(({ text, ahead }) => ({
      ...this.#about,
      steps: joined(prm, [...before, ...text.steps, ...(ahead?.steps ?? [])]),
    }))
    const costs = this.#costs(request, traces)
    if (costs !== null) await this.#turn(request)
    let left = Math.min(request.caps.prmTokens ?? Number.POSITIVE_INFINITY, this.#affordable(request, written))
    const paid: { prmTokens?: number; problemTokens?: number }[] = []
    const fits = written.map(({ text }, index) => {
      if (text.steps.length === 0) return false
      if (costs === null) return true
      const own = costs.own[index]!
      if (typeof own !== 'number') return false
      const problemTokens = this.promptPaid ? 0 : costs.problem
      const prmTokens = own + problemTokens
      if (prmTokens > left) return false
      left -= prmTokens
      this.promptPaid = true
      paid[index] = { prmTokens, ...(problemTokens > 0 && { problemTokens }) }
      return true
    })
    this.#decide(request)
    const results = await scoreTraces(
      prm,
      traces.filter((_, index) => fits[index]),
      signal,
    )
    let at = 0
    return written.map(({ text, ahead }, index) => {
      const own = costs?.own[index] ?? 0
      if (!fits[index]) return typeof own === 'number' ? {} : own
      const { scores, tokens, failure } = results[at++]!
      if (failure) return failure
      const added = prm.facts.split === null ? scores! : scores!.slice(before.length, before.length + text.steps.length)
      const beyond = prm.facts.split === null ? [] : scores!.slice(before.length + text.steps.length)
      return {
        scores: request.score === 'last' ? added.slice(-1) : added,
        ...(ahead !== null && { ahead: request.score === 'last' ? beyond.slice(-1) : beyond }),
        prmTokens: tokens!,
        ...paid[index],
      }
    })
  }

  /** Tokens that the PRM may compute of what the policy has left of a request's FLOPs. */
  #affordable({ id, caps: { flops } }: Request, written: readonly Sampled[]): number {
    if (flops === null) return Number.POSITIVE_INFINITY
    const { policy, prm } = this.#setting.costs ?? { policy: 1, prm: 1 }
    const sampled = written.reduce((sum, { sample, ahead }) => sum + sample.tokens + (ahead?.tokens ?? 0), 0)
    const read = id === 0 ? (written[0]?.sample.promptTokens ?? 0) : 0
    return Math.max(0, Math.floor((flops - (sampled + read) * policy) / prm))
  }

  /**
   * Tokens that the PRM has to compute for each trace: those that its parent's trace does not begin with; and those of the
   * problem, once for the whole search. Known before scoring where the PRM tells its tokens; else null. An error is that
   * of one trace.
   */
  #costs(
    request: Request,
    traces: readonly { problem: string; system?: string; steps: string[] }[],
  ): { own: (number | SurefootError)[]; problem: number } | null {
    const { prm } = this.#setting
    const encode = prm?.encode?.bind(prm)
    if (encode === undefined) return null
    const about = this.#about
    if (this.#promptIds === null) {
      const [a, b] = [encode({ ...about, steps: ['0'] }), encode({ ...about, steps: ['a'] })]
      this.#promptIds = a.slice(0, common(a, b))
    }
    const before = this.#texts.steps(request.node)
    const parent = before.length === 0 ? this.#promptIds : encode({ ...about, steps: joined(prm!, before) })
    const own = traces.map(trace => {
      if (trace.steps.length === 0) return 0
      try {
        const ids = encode(trace)
        return ids.length - common(ids, parent)
      } catch (error) {
        if (isAboutTrace(error)) return error
        throw error
      }
    })
    return { own, problem: this.#promptIds.length }
  }
}

/** Whether an error is that of one continuation, which costs its path and not the search. */
function isAboutOne(error: unknown): error is SurefootError {
  const codes = ['ERR_HTTP', 'ERR_CONTEXT_OVERFLOW', 'ERR_CACHE_BUDGET', 'ERR_NOT_FINITE', 'ERR_TEMPLATE']
  return SurefootError.isInstance(error) && codes.includes(error.code)
}

/** An outcome model takes a solution as one step. */
function joined(prm: StepScorer, steps: readonly string[]): string[] {
  return prm.facts.split === null && steps.length > 0 ? [steps.join('\n\n')] : [...steps]
}

function common(a: readonly number[], b: readonly number[]): number {
  const differs = a.findIndex((id, at) => id !== b[at])
  return differs < 0 ? a.length : differs
}

function meanOf(logprobs: readonly number[] | undefined): number {
  if (logprobs === undefined || logprobs.length === 0) return 0
  return logprobs.reduce((sum, value) => sum + value, 0) / logprobs.length
}
