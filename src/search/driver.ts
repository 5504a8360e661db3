import { onAbort } from '../abort.ts'
import type { SearchJob } from '../engine.ts'
import { SurefootError } from '../errors.ts'
import type { Generator, SampleRequest } from '../generator/generator.ts'
import { groupAnswers } from '../grade/index.ts'
import type { StepScorer } from '../scorer.ts'
import { Continuations } from './continuations.ts'
import type { EngineDrive, EngineEntry } from './engine.ts'
import type { Child, Chosen, MachineEvent, Outcome, Request, SearchMachine } from './machine.ts'
import { Texts } from './texts.ts'

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
  /** Whether an answer is right: for a strategy that makes labels. */
  readonly grade?: (answer: string | null) => boolean
  /** Requests under way at the same time, at most. */
  readonly concurrency: number
  /** Milliseconds after which nothing further is waited for. */
  readonly ms: number | undefined
  /** FLOPs of a token. @default 1 and 1 */
  readonly costs?: { readonly policy: number; readonly prm: number } | undefined
  /** Has the engine drive; without it, it is done here. */
  readonly engine?: EngineDrive | undefined
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
  #ungrouped: number[] = []
  readonly #continuations: Continuations
  /** Where the engine drives. */
  #job: SearchJob | null = null
  #failure: unknown
  #started = 0
  /** The latest `now`. */
  #latest = 0

  constructor(machine: SearchMachine, setting: Setting, listener: Listener = {}) {
    this.#machine = machine
    this.#setting = setting
    this.#listener = listener
    this.texts = new Texts(setting.separator, setting.prm === null ? setting.separator : setting.prm.facts.split)
    this.#continuations = new Continuations(setting, this.texts)
  }

  /** The answer of a finished node; null where it has none, undefined where it is not known. */
  answerOf(node: number): string | null | undefined {
    return this.#answers.get(node)
  }

  /** Ends the search with what is there: the outcome is `aborted`. */
  stop(): void {
    if (this.#stop.signal.aborted) return
    if (this.#job !== null) {
      this.#job.stop()
      return
    }
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
    const { engine } = this.#setting
    if (engine !== undefined && !this.#stop.signal.aborted) return this.#runInEngine(engine, signal)
    this.#started = performance.now() - this.#latest
    let reject = (_: unknown): void => {}
    const aborted = new Promise<never>((_, fail) => {
      reject = fail
    })
    aborted.catch(() => {})
    const timeUp = this.#timeUp()
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
        if (ask.type === 'done') return this.#done(ask.value)
        if (ask.type === 'requests') {
          for (const request of ask.value) this.#begin(request)
          continue
        }
        if (this.#underWay.size === 0) throw new SurefootError('ERR_INTERNAL', 'the search waits for nothing')
        await Promise.race([...this.#underWay.values(), aborted, timeUp])
        if (this.#failure !== undefined) throw this.#failure
      }
    } finally {
      release()
      this.#stop.abort(new DOMException('the search has ended', 'AbortError'))
      this.#tellEvents()
    }
  }

  /** The engine asks and tells the machine; what it did comes here after it. */
  async #runInEngine(engine: EngineDrive, signal: AbortSignal | undefined): Promise<Outcome> {
    this.#job = engine(
      {
        since: this.#latest,
        problemPaid: this.#continuations.promptPaid,
        known: this.texts.all(),
        concurrency: this.#setting.concurrency,
        ...(this.#setting.ms !== undefined && { ms: this.#setting.ms }),
        costs: this.#setting.costs ?? { policy: 1, prm: 1 },
      },
      ({ entries, events }) => {
        for (const entry of entries) this.#hear(entry)
        this.#group()
        this.#happened(events)
      },
    )
    const job = this.#job
    const release = onAbort(signal, reason => job.cancel(reason))
    try {
      await job.outcome
    } finally {
      release()
      this.#job = null
      this.#stop.abort(new DOMException('the search has ended', 'AbortError'))
    }
    const ask = this.#machine.ask(0, this.#latest)
    if (ask.type !== 'done') throw new SurefootError('ERR_INTERNAL', 'the engine left a search before its end')
    return this.#done(ask.value)
  }

  #hear(entry: EngineEntry): void {
    if (entry.type === 'stop' || entry.type === 'ask') {
      this.#listener.did?.(entry)
      if (entry.type === 'stop') return
      this.#latest = entry.now
      for (const request of entry.requests) {
        this.#cut(request)
        this.#left.set(request.id, request)
      }
      return
    }
    const { first, ...told } = entry
    const request = this.#left.get(told.request)!
    this.#left.delete(told.request)
    const prefix = this.texts.prefix(request.node)
    const children = told.children.map(child =>
      child.ended ? { ...child, answer: this.#setting.extract(prefix + child.raw) } : child,
    )
    this.#listener.did?.({ ...told, children })
    if (first !== undefined) this.#know(request, first, children)
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
        if (ask.type === 'done') return this.#done(ask.value)
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
    if (children.some(({ problemTokens }) => problemTokens !== undefined)) this.#continuations.promptPaid = true
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
    this.#happened(this.#machine.events())
  }

  #happened(events: readonly MachineEvent[]): void {
    // What is chosen is certain when all answers are grouped.
    for (const event of events) if (event.type !== 'chosen') this.#listener.happened?.(event)
  }

  #done(outcome: Outcome): Outcome {
    this.#listener.happened?.({ type: 'chosen', chosen: outcome.chosen })
    return outcome
  }

  #begin(request: Request): void {
    this.#cut(request)
    const settled = (): void => {
      this.#underWay.delete(request.id)
    }
    const work = this.#work(request).then(settled, error => {
      settled()
      if (!this.#stop.signal.aborted) this.#failure ??= error
    })
    this.#underWay.set(request.id, work)
  }

  async #work(request: Request): Promise<void> {
    const { signal } = this.#stop
    const started = performance.now()
    const { children, failure } = await this.#continuations.of(request, signal)
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
      children.map(({ raw, answer: _, problemTokens: _problem, ...child }) =>
        child.correct === undefined ? child : { ...child, prefixes: this.texts.prefixes(request.node, raw) },
      ),
    )
    this.#know(request, first, children)
    this.#group()
  }

  #know({ node: parent }: Request, first: number, children: Told['children']): void {
    for (const [index, { raw, ended, answer }] of children.entries()) {
      const node = first + index
      this.texts.set(node, parent, this.texts.textOf(raw, false))
      if (!ended) continue
      this.#answers.set(node, answer ?? null)
      this.#ungrouped.push(node)
    }
  }

  /** Groups the nodes that the search knows by now: tells are taken in the order of asking, and so are groups numbered. */
  #group(): void {
    const known = this.#ungrouped.filter(node => this.#machine.has(node)).sort((one, other) => one - other)
    if (known.length === 0) return
    this.#ungrouped = this.#ungrouped.filter(node => !this.#machine.has(node))
    this.#machine.group(known.map(node => [node, this.#groupOf(this.#answers.get(node) ?? null)]))
  }

  #groupOf(answer: string | null): number | null {
    if (answer === null) return null
    const { key } = groupAnswers([answer])[0]!
    const found = this.#groups.get(key) ?? this.#groups.size
    this.#groups.set(key, found)
    return found
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
