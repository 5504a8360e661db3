import { SurefootError } from './errors.ts'
import {
  type Done,
  type Engine,
  type Model,
  native,
  nativeError,
  type Search,
  type Submitted,
  type Text,
} from './native.ts'
import type { CheckedTrace } from './problem.ts'

/** What the engine made of a trace. */
export interface Outcome {
  /** One score per step. */
  readonly scores: readonly number[]
  /** Tokens that the model read. */
  readonly tokens: number
  /** Tokens that were cut from the beginning. */
  readonly truncated: number
}

/** Work in the engine's hands. */
export interface Job<T> {
  readonly outcome: Promise<T>
  /** Stops the work and rejects the outcome with `reason`; nothing happens when it is settled already. */
  cancel(reason: unknown): void
}

/** A search in the engine's hands. */
export type SearchJob = Stoppable<void>

interface Stoppable<T> extends Job<T> {
  /** Ends a search with what is there. */
  stop(): void
}

interface Waiter {
  resolve(done: Done): void
  reject(reason: unknown): void
  /** Hears what comes before the job is done. */
  readonly onMore: ((done: Done) => void) | undefined
}

type OnText = (text: string, index: number) => void

/**
 * Submits work to the native engine of this JavaScript thread and drives it, one `step()` after the other, for as long as
 * somebody waits. All callers of a thread share it, so their traces and texts are batched together.
 */
class Pump {
  readonly #engine: Engine = new (native().Engine)()
  readonly #waiting = new Map<number, Waiter>()
  #running = false

  job<T>(submit: (engine: Engine) => Submitted, outcomeOf: (done: Done) => T, onMore?: Waiter['onMore']): Stoppable<T> {
    const { id, failure } = submit(this.#engine)
    if (failure) throw nativeError(failure)
    if (id === undefined) throw new SurefootError('ERR_INTERNAL', 'a job without an id')
    const done = new Promise<Done>((resolve, reject) => this.#waiting.set(id, { resolve, reject, onMore }))
    void this.#run()
    return {
      outcome: done.then(outcomeOf),
      cancel: reason => {
        this.#engine.cancel(id)
        this.#settle(id)?.reject(reason)
      },
      stop: () => this.#engine.stop(id),
    }
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    try {
      while (this.#waiting.size > 0) {
        for (const done of await this.#engine.step()) this.#hear(done)
      }
    } catch (error) {
      for (const waiter of this.#waiting.values()) waiter.reject(error)
      this.#waiting.clear()
    } finally {
      this.#running = false
    }
  }

  #hear(done: Done): void {
    const { id, fresh, progress, failure } = done
    if (fresh || progress !== undefined) {
      const waiter = this.#waiting.get(id)
      try {
        waiter?.onMore?.(done)
      } catch (error) {
        // Whoever listens stops its own work by throwing, and nobody else's.
        this.#engine.cancel(id)
        this.#settle(id)?.reject(error)
      }
      return
    }
    const waiter = this.#settle(id)
    if (failure) waiter?.reject(nativeError(failure))
    else waiter?.resolve(done)
  }

  #settle(id: number): Waiter | undefined {
    const waiter = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiter
  }
}

let pump: Pump | undefined
let callers = 0

/** The number of a new caller. The engine serves callers in turn, however many jobs each of them has. */
export function newCaller(): number {
  callers += 1
  return callers
}

/** Hands a trace to this thread's engine. `truncate`: a trace that is too long loses its first tokens. */
export function submit(model: Model, caller: number, trace: CheckedTrace, truncate: boolean): Job<Outcome> {
  const { problem, steps, system } = trace
  pump ??= new Pump()
  return pump.job(
    engine => engine.submit(model, caller, problem, steps, system, truncate),
    ({ scores, tokens, truncated }) => ({ scores: scores!, tokens: tokens!, truncated: truncated! }),
  )
}

/** Hands texts to write to this thread's engine. `onText` hears them while they are written. */
export function submitTexts(model: Model, caller: number, request: object, onText?: OnText): Job<Text[]> {
  const json = JSON.stringify(request)
  pump ??= new Pump()
  return pump.job(
    engine => engine.submitTexts(model, caller, json, onText !== undefined),
    ({ texts }) => texts!,
    onText && (({ fresh }) => onText(fresh!.text, fresh!.index)),
  )
}

/** Has this thread's engine drive a search. `onProgress` hears, as JSON, what it did. */
export function submitSearch(
  search: Search,
  policy: Model,
  prm: Model | null,
  setting: object,
  onProgress: (json: string) => void,
): SearchJob {
  const json = JSON.stringify(setting)
  pump ??= new Pump()
  return pump.job(
    engine => engine.solve(search, policy, prm, newCaller(), json),
    () => {},
    ({ progress }) => onProgress(progress!),
  )
}
