import { onAbort } from '../abort.ts'
import { SurefootError } from '../errors.ts'
import type { Generator, Sample, SampleRequest } from '../generator/generator.ts'
import { groupAnswers } from '../grade/index.ts'
import { type StepScorer, scoreTraces } from '../scorer.ts'
import type { Child, Chosen, MachineEvent, Outcome, Request, SearchMachine } from './machine.ts'
import { hashOf, type Text, Texts } from './texts.ts'

/** What a search works with. */
export interface Setting {
  readonly problem: string
  readonly system: string | undefined
  readonly policy: Generator
  readonly prm: StepScorer | null
  readonly seed: number
  /** How continuations are sampled. */
  readonly sampling: Sampling
  readonly separator: string
  readonly extract: (solution: string) => string | null
  /** Requests under way at the same time, at most. */
  readonly concurrency: number
  /** Milliseconds after which nothing further is waited for. */
  readonly ms: number | undefined
}

export type Sampling = Pick<
  SampleRequest,
  'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty' | 'bans' | 'stop'
>

/** A continuation, as a journal keeps it. */
export interface Written extends Child {
  readonly raw: string
  readonly answer?: string | null
  /** Of its PRM tokens: those of the problem. */
  readonly problemTokens?: number
}

/** What came of a request, as a journal keeps it. */
export interface Told {
  readonly request: number
  readonly children: readonly Written[]
  /** Why nothing came, or less than was asked. */
  readonly failure?: { readonly code: string; readonly message: string }
  /** Milliseconds that it took. */
  readonly ms: number
}

/** What the machine was asked, and the requests that it gave. */
export interface Asked {
  readonly max: number
  readonly now: number
  readonly requests: readonly Request[]
}

/** What a driver did, as a journal keeps it. */
export type Entry =
  | ({ readonly type: 'ask' } & Asked)
  | ({ readonly type: 'tell' | 'fail' } & Told)
  | { readonly type: 'stop' }

/** Hears what a driver does, in order: of a tell and of a stop before the machine does. */
export interface Listener {
  did?(entry: Entry): void
  happened?(event: MachineEvent): void
}

/** A search that is driven: text, models and time around a {@link SearchMachine}, which sees numbers only. */
export class Driver {
  readonly texts: Texts
  readonly #machine: SearchMachine
  readonly #setting: Setting
  readonly #listener: Listener
  readonly #stop = new AbortController()
  readonly #underWay = new Map<number, Promise<void>>()
  /** Requests that a journal holds and nothing came of. */
  readonly #left = new Map<number, Request>()
  readonly #answers = new Map<number, string | null>()
  readonly #groups = new Map<string, number>()
  #ungrouped: (readonly [number, number | null])[] = []
  /** Tokens of the problem alone, which are computed once. */
  #promptIds: readonly number[] | null = null
  #promptPaid = false
  /** Requests under way of which it is open whether the problem is paid with them, in the order of asking. */
  readonly #undecided = new Map<number, { readonly decided: Promise<void>; readonly decide: () => void }>()
  #failure: unknown
  #started = 0
  /** The latest `now`. */
  #latest = 0

  constructor(machine: SearchMachine, setting: Setting, listener: Listener = {}) {
    this.#machine = machine
    this.#setting = setting
    this.#listener = listener
    this.texts = new Texts(setting.separator, setting.prm === null ? setting.separator : setting.prm.facts.split)
  }

  /** The answer of a finished node; null where it has none, undefined where it is not known. */
  answerOf(node: number): string | null | undefined {
    return this.#answers.get(node)
  }

  /** Ends the search with what is there: the outcome is `aborted`. */
  stop(): void {
    if (this.#stop.signal.aborted) return
    this.#listener.did?.({ type: 'stop' })
    this.#left.clear()
    this.#machine.abort()
    this.#stop.abort(new DOMException('the search was stopped', 'AbortError'))
  }

  best(): Chosen | null {
    return this.#machine.best()
  }

  /** @throws what the policy and the PRM throw that is not about one continuation; the signal's reason */
  async run(signal: AbortSignal | undefined): Promise<Outcome> {
    signal?.throwIfAborted()
    this.#started = performance.now() - this.#latest
    let reject = (_: unknown): void => {}
    const aborted = new Promise<never>((_, fail) => {
      reject = fail
    })
    aborted.catch(() => {})
    const release = onAbort(signal, reason => {
      this.#stop.abort(reason)
      reject(reason)
    })
    try {
      for (;;) {
        for (const [id, request] of this.#left) {
          if (this.#underWay.size >= this.#setting.concurrency) break
          this.#left.delete(id)
          this.#begin(request)
        }
        const max = Math.max(0, this.#setting.concurrency - this.#underWay.size - this.#left.size)
        const now = this.#now()
        const ask = this.#machine.ask(max, now)
        this.#listener.did?.({ type: 'ask', max, now, requests: ask.type === 'requests' ? ask.value : [] })
        this.#tellEvents()
        if (ask.type === 'done') return ask.value
        if (ask.type === 'requests') {
          for (const request of ask.value) this.#begin(request)
          continue
        }
        if (this.#underWay.size === 0) throw new SurefootError('ERR_INTERNAL', 'the search waits for nothing')
        await Promise.race([...this.#underWay.values(), aborted, this.#timeUp()])
        if (this.#failure !== undefined) throw this.#failure
      }
    } finally {
      release()
      this.#stop.abort(new DOMException('the search has ended', 'AbortError'))
      this.#tellEvents()
    }
  }

  /**
   * Goes the way of a journal: the machine is asked and told the same. `run` goes on from there.
   *
   * @param adapt what the machine is told, of what was told then
   * @returns the outcome, where the journal goes as far
   * @throws `ERR_IO` where the machine asks for something else than it did then
   */
  retrace(entries: readonly Entry[], adapt: (told: Told, of: Request) => Told = told => told): Outcome | null {
    for (const [index, entry] of entries.entries()) {
      if (entry.type === 'stop') {
        this.#machine.abort()
        this.#left.clear()
      } else if (entry.type === 'ask') {
        this.#latest = entry.now
        const ask = this.#machine.ask(entry.max, entry.now)
        this.#tellEvents()
        if (ask.type === 'done') return ask.value
        const requests = ask.type === 'requests' ? ask.value : []
        if (course(requests) !== course(entry.requests)) throw strayed(index)
        for (const request of requests) this.#left.set(request.id, request)
      } else {
        const of = this.#left.get(entry.request)
        if (of === undefined) throw strayed(index)
        this.take(adapt(entry, of), of)
      }
    }
    return null
  }

  /** The requests of a journal that nothing came of. */
  get left(): readonly Request[] {
    return [...this.#left.values()]
  }

  /** The text that a request goes on from. */
  prefix(request: Request): string {
    this.#cut(request)
    return this.texts.prefix(request.node)
  }

  /** Takes what is known of a request, instead of working on it. */
  take({ request, children }: Told, of: Request): void {
    this.#left.delete(request)
    this.#cut(of)
    if (children.some(({ problemTokens }) => problemTokens !== undefined)) this.#promptPaid = true
    this.#tell(of, children)
  }

  #cut({ node, stem }: Request): void {
    if (stem && !this.texts.has(node)) this.texts.cut(node, stem)
  }

  /** Whole milliseconds: what a journal keeps is what the machine was given. */
  #now(): number {
    this.#latest = Math.max(this.#latest, Math.round(performance.now() - this.#started))
    return this.#latest
  }

  /** Resolves when the time of the budget is over, and never without one. */
  #timeUp(): Promise<void> {
    const { ms } = this.#setting
    if (ms === undefined || this.#stop.signal.aborted) return new Promise(() => {})
    return new Promise(resolve => {
      const timer = setTimeout(resolve, Math.max(0, ms - this.#now()) + 1)
      this.#stop.signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
    })
  }

  #tellEvents(): void {
    for (const event of this.#machine.events()) this.#listener.happened?.(event)
  }

  #begin(request: Request): void {
    this.#cut(request)
    let decide = (): void => {}
    const decided = new Promise<void>(resolve => {
      decide = resolve
    })
    this.#undecided.set(request.id, { decided, decide })
    const settled = (): void => {
      this.#decide(request)
      this.#underWay.delete(request.id)
    }
    const work = this.#work(request).then(settled, error => {
      settled()
      if (!this.#stop.signal.aborted) this.#failure ??= error
    })
    this.#underWay.set(request.id, work)
  }

  #decide({ id }: Request): void {
    this.#undecided.get(id)?.decide()
    this.#undecided.delete(id)
  }

  /** Waits until it is certain who pays for the problem: the first in the order of asking, not of arrival. */
  async #turn(request: Request): Promise<void> {
    for (const [id, { decided }] of this.#undecided) {
      if (this.#promptPaid || id >= request.id) return
      await decided
    }
  }

  async #work(request: Request): Promise<void> {
    const { signal } = this.#stop
    const started = performance.now()
    let failure: SurefootError | undefined
    let children: Told['children'] = []
    try {
      const samples = await this.#sample(request, signal)
      const scored = await this.#score(request, samples, signal)
      children = scored.children
      failure = scored.failure
    } catch (error) {
      if (signal.aborted || !isAboutOne(error)) throw error
      failure = error
    }
    if (signal.aborted) return
    const told: Told = {
      request: request.id,
      children,
      ...(failure && { failure: { code: failure.code, message: failure.message } }),
      ms: Math.round(performance.now() - started),
    }
    this.#listener.did?.({ type: children.length === 0 ? 'fail' : 'tell', ...told })
    this.#tell(request, children)
  }

  /** Tells the machine what came of a request, or that nothing did. */
  #tell(request: Request, children: Told['children']): void {
    if (children.length === 0) this.#machine.fail(request.id)
    else this.#add(request, children)
    this.#tellEvents()
  }

  #add(request: Request, children: Told['children']): void {
    const first = this.#machine.tell(
      request.id,
      children.map(({ raw: _, answer: _answer, problemTokens: _problem, ...child }) => child),
    )
    for (const [index, { raw, ended, answer }] of children.entries()) {
      const node = first + index
      this.texts.set(node, request.node, this.texts.textOf(raw, false))
      if (!ended) continue
      this.#answers.set(node, answer ?? null)
      this.#ungrouped.push([node, this.#groupOf(answer ?? null)])
    }
    this.#group()
  }

  /** Groups the nodes that the search knows by now: tells are taken in the order of asking. */
  #group(): void {
    const ready = this.#ungrouped.filter(([node]) => this.#machine.has(node))
    this.#ungrouped = this.#ungrouped.filter(([node]) => !this.#machine.has(node))
    if (ready.length > 0) this.#machine.group(ready)
  }

  #groupOf(answer: string | null): number | null {
    if (answer === null) return null
    const { key } = groupAnswers([answer])[0]!
    const found = this.#groups.get(key) ?? this.#groups.size
    this.#groups.set(key, found)
    return found
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
    const prefix = this.texts.prefix(request.node)
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

  async #score(
    request: Request,
    samples: readonly Sample[],
    signal: AbortSignal,
  ): Promise<{ children: Told['children']; failure?: SurefootError }> {
    const written = await Promise.all(
      samples.map(async sample => {
        const text = this.texts.textOf(sample.text, sample.ended === 'step')
        const ahead = await this.#lookAhead(request, sample, text, signal)
        return { sample, text, ahead }
      }),
    )
    const before = this.texts.steps(request.node)
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
      const whole = ended ? this.texts.prefix(request.node) + text.raw : ''
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
        ...(ended && { answer: this.#setting.extract(whole) }),
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
    let [tokens, prefix] = [0, this.texts.prefix(request.node) + text.raw]
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
      const more = this.texts.textOf(next!.text, next!.ended === 'step')
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
    written: readonly { readonly text: Text; readonly ahead: { readonly steps: readonly string[] } | null }[],
    signal: AbortSignal,
  ): Promise<(Pick<Written, 'scores' | 'ahead' | 'prmTokens' | 'problemTokens'> | SurefootError)[]> {
    const { prm } = this.#setting
    if (request.score === 'none' || prm === null) return written.map(() => ({}))
    const traces = written.map(({ text, ahead }) => ({
      ...this.#about,
      steps: joined(prm, [...before, ...text.steps, ...(ahead?.steps ?? [])]),
    }))
    const costs = this.#costs(request, traces)
    if (costs !== null) await this.#turn(request)
    let left = request.caps.prmTokens ?? Number.POSITIVE_INFINITY
    const paid: { prmTokens?: number; problemTokens?: number }[] = []
    const fits = written.map(({ text }, index) => {
      if (text.steps.length === 0) return false
      if (costs === null) return true
      const problemTokens = this.#promptPaid ? 0 : costs.problem
      const prmTokens = costs.own[index]! + problemTokens
      if (prmTokens > left) return false
      left -= prmTokens
      this.#promptPaid = true
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
      if (!fits[index]) return {}
      const { scores, tokens, failure } = results[at++]!
      if (failure) return failure
      const own = prm.facts.split === null ? scores! : scores!.slice(before.length, before.length + text.steps.length)
      const beyond = prm.facts.split === null ? [] : scores!.slice(before.length + text.steps.length)
      return {
        scores: request.score === 'last' ? own.slice(-1) : own,
        ...(ahead !== null && { ahead: request.score === 'last' ? beyond.slice(-1) : beyond }),
        prmTokens: tokens!,
        ...paid[index],
      }
    })
  }

  /**
   * Tokens that the PRM has to compute for each trace: those that its parent's trace does not begin with; and those of the
   * problem, once for the whole search. Known before scoring where the PRM tells its tokens; else null.
   */
  #costs(
    request: Request,
    traces: readonly { problem: string; system?: string; steps: string[] }[],
  ): { own: number[]; problem: number } | null {
    const { prm } = this.#setting
    const encode = prm?.encode?.bind(prm)
    if (encode === undefined) return null
    const about = this.#about
    if (this.#promptIds === null) {
      const [a, b] = [encode({ ...about, steps: ['0'] }), encode({ ...about, steps: ['a'] })]
      this.#promptIds = a.slice(0, common(a, b))
    }
    const before = this.texts.steps(request.node)
    const parent = before.length === 0 ? this.#promptIds : encode({ ...about, steps: joined(prm!, before) })
    const own = traces.map(trace => {
      if (trace.steps.length === 0) return 0
      const ids = encode(trace)
      return ids.length - common(ids, parent)
    })
    return { own, problem: this.#promptIds.length }
  }
}

/** What requests do to the tree: the same text for the same. */
function course(requests: readonly Request[]): string {
  const course = ({ score: _, caps: { policyTokens, aheadTokens }, ...request }: Request): object => {
    return { ...request, policyTokens, aheadTokens }
  }
  return JSON.stringify(requests.map(course))
}

function strayed(index: number): SurefootError {
  // The first line is the configuration.
  const line = index + 2
  return new SurefootError('ERR_IO', `line ${line} of the journal does not follow from what stands before it`, {
    data: { line },
  })
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
