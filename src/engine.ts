import { setMaxListeners } from 'node:events'
import { type Engine, type Model, native, nativeError } from './native.ts'
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

/** A trace in the engine's hands. */
export interface Job {
  readonly outcome: Promise<Outcome>
  /** Stops the work and rejects the outcome with `reason`; nothing happens when it is settled already. */
  cancel(reason: unknown): void
}

interface Waiter {
  resolve(outcome: Outcome): void
  reject(reason: unknown): void
}

/**
 * Submits traces to the native engine of this JavaScript thread and drives it, one `step()` after the other, for as
 * long as somebody waits. All callers of a thread share it, so their traces are batched together.
 */
class Pump {
  readonly #engine: Engine = new (native().Engine)()
  readonly #waiting = new Map<number, Waiter>()
  #running = false

  submit(model: Model, caller: number, { problem, steps, system }: CheckedTrace, truncate: boolean): Job {
    const id = this.#engine.submit(model, caller, problem, steps, system, truncate)
    const outcome = new Promise<Outcome>((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
    void this.#run()
    return {
      outcome,
      cancel: reason => {
        this.#engine.cancel(id)
        this.#settle(id)?.reject(reason)
      },
    }
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    try {
      while (this.#waiting.size > 0) {
        for (const { id, scores, tokens, truncated, failure } of await this.#engine.step()) {
          const waiter = this.#settle(id)
          if (failure) waiter?.reject(nativeError(failure))
          else waiter?.resolve({ scores: scores!, tokens: tokens!, truncated: truncated! })
        }
      }
    } catch (error) {
      for (const waiter of this.#waiting.values()) waiter.reject(error)
      this.#waiting.clear()
    } finally {
      this.#running = false
    }
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
export function submit(model: Model, caller: number, trace: CheckedTrace, truncate: boolean): Job {
  pump ??= new Pump()
  return pump.submit(model, caller, trace, truncate)
}

/**
 * Calls `heard` with the signal's reason when it aborts. Any number of calls may hear the same signal.
 *
 * @returns what stops the listening
 */
export function onAbort(signal: AbortSignal | undefined, heard: (reason: unknown) => void): () => void {
  if (!signal) return () => {}
  const abort = (): void => heard(signal.reason)
  setMaxListeners(0, signal)
  signal.addEventListener('abort', abort, { once: true })
  return () => signal.removeEventListener('abort', abort)
}
