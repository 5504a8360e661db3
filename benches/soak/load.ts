import { setTimeout as wait } from 'node:timers/promises'
import { type PRM, type StepsTrace, SurefootError } from '../../src/index.ts'
import { Texts } from '../engine/texts.ts'
import { type Case, type Cases, type Kind, load } from './cases.ts'

/** A model under load. */
export interface Target {
  readonly kind: Kind
  readonly prm: PRM
  readonly cases: Cases
}

/** What was done so far. */
export interface Tally {
  calls: number
  scores: number
  aborted: number
}

const CALLERS = 6

/** Callers that do all that the API offers, at random, and hold each score against that of the quiet run. */
export class Load {
  readonly tally: Tally = { calls: 0, scores: 0, aborted: 0 }
  readonly #callers: readonly Caller[]
  #stopped = true
  #running: Promise<unknown> = Promise.resolve()

  constructor(seed: number) {
    this.#callers = Array.from({ length: CALLERS }, (_, at) => new Caller(seed * CALLERS + at, this.tally))
  }

  start(targets: readonly Target[]): void {
    this.#stopped = false
    const run = async (caller: Caller): Promise<void> => {
      while (!this.#stopped) await caller.act(targets)
    }
    this.#running = Promise.all(this.#callers.map(run))
    // Whoever waits for `stop` hears of it.
    this.#running.catch(() => {})
  }

  /** Waits until all calls are settled; rejects if one went wrong. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** Rejects when a call goes wrong. */
  get running(): Promise<unknown> {
    return this.#running
  }
}

class Caller {
  readonly #texts: Texts
  readonly #tally: Tally

  constructor(seed: number, tally: Tally) {
    this.#texts = new Texts(seed)
    this.#tally = tally
  }

  async act(targets: readonly Target[]): Promise<void> {
    const acts = [
      { weight: 30, act: this.#score },
      { weight: 20, act: this.#rerank },
      { weight: 20, act: this.#session },
      { weight: 15, act: this.#watch },
      { weight: 25, act: this.#abort },
      { weight: 10, act: this.#stream },
      { weight: 4, act: this.#dispose },
      { weight: 1, act: this.#many },
    ].flatMap(({ weight, act }) => Array.from({ length: weight }, () => act))
    const act = this.#one(acts)
    this.#tally.calls++
    await act.call(this, this.#one(targets))
  }

  async #score({ prm, cases }: Target): Promise<void> {
    const chosen = this.#some(cases, this.#count(1, 12))
    const scored = await prm.score(chosen.map(({ trace }) => trace))
    for (const [at, { steps }] of scored.entries()) this.#check(chosen[at]!, steps)
  }

  async #many({ prm, cases }: Target): Promise<void> {
    const chosen = this.#some(cases, 200)
    const scored = await prm.score(chosen.map(({ trace }) => trace))
    for (const [at, { steps }] of scored.entries()) this.#check(chosen[at]!, steps)
  }

  async #rerank({ prm, cases }: Target): Promise<void> {
    const candidates = this.#one(cases.problems)
    const solutions = candidates.map(({ trace }) => trace.steps)
    const ranked = await prm.rerank(candidates[0]!.trace.problem, solutions)
    for (const { index, steps } of ranked) this.#check(candidates[index]!, steps)
  }

  async #session({ prm, cases }: Target): Promise<void> {
    const { trace, scores } = this.#one(this.#one(cases.problems))
    const session = prm.session(trace.problem)
    const parting = this.#count(1, trace.steps.length)
    for (const step of trace.steps.slice(0, parting)) await session.append(step)
    const branch = session.branch()
    const rest = trace.steps.slice(parting)
    if (rest.length > 0) {
      await Promise.all([session.append(rest), ...rest.map(step => branch.append(step))])
      this.#check({ trace, scores }, branch.steps)
    }
    this.#check({ trace, scores }, (await session.score()).steps)
  }

  async #watch({ prm, cases }: Target): Promise<void> {
    const { trace, scores } = this.#one(this.#one(cases.problems))
    const last = this.#count(1, trace.steps.length)
    const text = trace.steps.join(prm.facts.split!)
    const texts = this.#texts
    async function* pieces(): AsyncGenerator<string> {
      for (let at = 0; at < text.length; ) {
        const size = 1 + Math.floor(texts.random() * 20)
        yield text.slice(at, at + size)
        at += size
      }
    }
    const seen = []
    for await (const step of prm.watch(trace.problem, pieces())) {
      seen.push(step)
      if (seen.length === last) break
    }
    this.#check({ trace: { ...trace, steps: trace.steps.slice(0, last) }, scores }, seen)
  }

  async #abort({ prm, cases }: Target): Promise<void> {
    const chosen = this.#some(cases, this.#count(1, 30))
    const reason = new Error('enough')
    const controller = new AbortController()
    const scoring = prm.score(
      chosen.map(({ trace }) => trace),
      { signal: controller.signal },
    )
    const stop = wait(this.#texts.random() ** 2 * 200).then(() => controller.abort(reason))
    try {
      for (const [at, { steps }] of (await scoring).entries()) this.#check(chosen[at]!, steps)
    } catch (error) {
      if (error !== reason) throw error
      this.#tally.aborted++
    }
    await stop
  }

  async #stream({ prm, cases }: Target): Promise<void> {
    const chosen = this.#some(cases, this.#count(1, 40))
    const last = this.#count(1, chosen.length)
    let at = 0
    const traces = chosen.map(({ trace }) => trace)
    for await (const { steps } of prm.scoreMany(traces, { width: this.#count(1, 16) })) {
      this.#check(chosen[at]!, steps)
      at++
      if (at === last) break
    }
  }

  /** Another handle of the same model, disposed in the middle of its work. */
  async #dispose({ kind, cases }: Target): Promise<void> {
    const prm = await load(kind)
    const chosen = this.#some(cases, 10)
    const scoring = prm.score(chosen.map(({ trace }) => trace))
    const stop = wait(this.#texts.random() * 30).then(() => prm.dispose())
    try {
      for (const [at, { steps }] of (await scoring).entries()) this.#check(chosen[at]!, steps)
    } catch (error) {
      if (!SurefootError.isInstance(error) || error.code !== 'ERR_DISPOSED') throw error
      this.#tally.aborted++
    }
    await stop
  }

  /** Traces of any problems, each cut after some step. */
  #some({ problems }: Cases, count: number): Case[] {
    return Array.from({ length: count }, () => {
      const { trace, scores } = this.#one(this.#one(problems))
      const steps = trace.steps.slice(0, this.#count(1, trace.steps.length))
      return { trace: { ...trace, steps }, scores }
    })
  }

  #check({ trace, scores }: Case, steps: readonly { readonly score: number }[]): void {
    check(trace, scores, steps)
    this.#tally.scores += steps.length
  }

  #one<T>(items: readonly T[]): T {
    return items[Math.floor(this.#texts.random() * items.length)]!
  }

  #count(low: number, high: number): number {
    return low + Math.floor(this.#texts.random() * (high - low + 1))
  }
}

/** Throws unless every step has, to the last bit, the score of the quiet run. */
export function check(
  trace: StepsTrace,
  scores: readonly number[],
  steps: readonly { readonly score: number }[],
): void {
  if (steps.length !== trace.steps.length) throw new Error(`${steps.length} scores for ${trace.steps.length} steps`)
  for (const [at, { score }] of steps.entries()) {
    if (!Object.is(score, scores[at])) {
      throw new Error(`step ${at} of ${JSON.stringify(trace)} was ${scores[at]} in the quiet run and is ${score}`)
    }
  }
}
