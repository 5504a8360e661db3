import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web'
import { onAbort } from './abort.ts'
import { invalidArgument } from './errors.ts'
import { splitSteps } from './problem.ts'
import type { ScoredStep, ScoredTrace } from './scorer.ts'
import type { Grower } from './session.ts'

/** A step of a solution that is still being written. */
export interface WatchedStep extends ScoredStep {
  readonly index: number
  /** Whether the score is below the profile's threshold; false where the profile has none. */
  readonly weak: boolean
  /** The scores so far as one number. */
  readonly aggregate: number
  /** Tokens that were cut from the beginning of the prompt, where the call asked for it and there were too many. */
  readonly truncated?: number
}

/** What a watch needs to know of the profile. */
export interface Watching {
  readonly split: string
  readonly threshold: number | null
  readonly signal: AbortSignal | undefined
}

/** Closed steps that may wait for the consumer before the source is left waiting too. */
const LOOK_AHEAD = 64

/** How long a consumer that stops waits for a source to close: in the middle of a piece, it may never do so. */
const PATIENCE_MS = 1000

/**
 * Cuts a text that arrives in pieces into the steps that {@link splitSteps} finds in the whole, wherever the pieces end.
 */
export class Splitter {
  readonly #separator: string
  /** The open step so far: no separator is in it. */
  #open: string[] = []
  /** The end of it, where a separator may have begun. */
  #end = ''

  constructor(separator: string) {
    this.#separator = separator
  }

  /** Takes a piece and returns the steps that it closes. */
  push(piece: string): string[] {
    const seen = this.#end + piece
    if (!seen.includes(this.#separator)) {
      if (piece !== '') this.#open.push(piece)
      this.#end = this.#endOf(seen)
      return []
    }
    const text = this.#open.join('') + piece
    const rest = text.split(this.#separator).at(-1)!
    this.#open = [rest]
    this.#end = this.#endOf(rest)
    return splitSteps(text.slice(0, text.length - rest.length), this.#separator)
  }

  /** The step that the end of the text closes, if it is one. */
  end(): string[] {
    return splitSteps(this.#open.join(''), this.#separator)
  }

  #endOf(text: string): string {
    return text.slice(Math.max(0, text.length - this.#separator.length + 1))
  }
}

/** Scores each step of `source` as soon as it is closed. */
export async function* watch(
  grower: Grower,
  source: AsyncIterable<string>,
  { split, threshold, signal }: Watching,
): AsyncGenerator<WatchedStep, void, undefined> {
  signal?.throwIfAborted()
  if (typeof source?.[Symbol.asyncIterator] !== 'function') {
    invalidArgument('source', 'must be an async iterable of text', source)
  }
  const pieces = source[Symbol.asyncIterator]()
  const splitter = new Splitter(split)
  const stop = new AbortController()
  let ended = false
  let steps: readonly string[] = []
  let before: Promise<unknown> = Promise.resolve()

  const score = (text: string): Promise<WatchedStep> => {
    const index = steps.length
    steps = [...steps, ...grower.check({ solution: text })]
    const scored = grower.score(steps, before, stop.signal)
    before = scored
    return scored.then(trace => watchedStep(trace, index, threshold))
  }
  let queue!: ReadableStreamDefaultController<Promise<WatchedStep>>
  const put = (step: Promise<WatchedStep>): void => {
    step.catch(() => {})
    queue.enqueue(step)
  }
  const read = async (): Promise<IteratorResult<string>> => {
    try {
      return await pieces.next()
    } catch (error) {
      ended = true
      throw error
    }
  }
  /** Reads until a step closes, or the source ends. */
  const pull = async (): Promise<void> => {
    try {
      for (let closed: string[] = []; closed.length === 0 && !ended; ) {
        const { done, value } = await read()
        ended = done === true
        if (stop.signal.aborted) return
        closed = ended ? splitter.end() : splitter.push(checkPiece(value))
        for (const step of closed) put(score(step))
      }
      if (ended) queue.close()
    } catch (error) {
      if (stop.signal.aborted) return
      put(Promise.reject(error))
      queue.close()
    }
  }
  const start = (controller: typeof queue): void => {
    queue = controller
  }
  const scored = new ReadableStream({ start, pull }, { highWaterMark: LOOK_AHEAD })

  const release = onAbort(signal, reason => {
    stop.abort(reason)
    queue.error(reason)
  })
  let failed = false
  try {
    for await (const step of scored) yield await step
  } catch (error) {
    failed = true
    throw error
  } finally {
    release()
    stop.abort(new DOMException('the consumer stopped', 'AbortError'))
    const closing = ended ? undefined : close(pieces)
    if (failed) closing?.catch(() => {})
    else await withPatience(closing)
  }
}

function checkPiece(piece: unknown): string {
  if (typeof piece !== 'string') {
    invalidArgument('source', `its pieces must be strings, got ${piece === null ? 'null' : typeof piece}`, piece)
  }
  return piece
}

function watchedStep(trace: ScoredTrace, index: number, threshold: number | null): WatchedStep {
  const { aggregate, truncated } = trace
  const { text, score } = trace.steps[index]!
  const weak = threshold !== null && score < threshold
  return { index, text, score, weak, aggregate, ...(truncated === undefined ? {} : { truncated }) }
}

async function close(pieces: AsyncIterator<string>): Promise<void> {
  await pieces.return?.()
}

async function withPatience(closing: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, PATIENCE_MS)
  })
  try {
    await Promise.race([closing, late])
  } finally {
    clearTimeout(timer)
  }
}
