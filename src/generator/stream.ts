import { onAbort } from '../abort.ts'
import { invalidArgument } from '../errors.ts'
import type { Generator, Sample, SampleRequest } from './generator.ts'

export interface StreamOptions {
  readonly signal?: AbortSignal
}

/**
 * The text of one sample as it is written: a source for `prm.watch(problem, stream(policy, { problem }))`. The work
 * begins with the first `next()`; leaving the loop, or `return()`, stops it. The sample is the iterator's return value.
 *
 * @throws `ERR_INVALID_ARGUMENT` for a request of several samples; while it is read: what the generator throws, and the
 *   signal's reason
 */
export function stream(
  generator: Generator,
  request: Omit<SampleRequest, 'n'>,
  { signal }: StreamOptions = {},
): TextStream {
  const { n = 1 } = (request ?? {}) as SampleRequest
  if (n !== 1) invalidArgument('n', 'must be 1: a stream is of one sample', n)
  return new Reader(generator, request, signal)
}

/** Pieces of text, and the sample at the end. */
export type TextStream = AsyncIterableIterator<string, Sample | undefined, void>

type Result = IteratorResult<string, Sample | undefined>

class Reader implements TextStream {
  readonly #start: () => void
  readonly #stop = new AbortController()
  /** Text that nobody has asked for yet. */
  #text = ''
  /** How it ended: with the sample, with an error, or by a consumer that left. */
  #end: (() => Result) | null = null
  #started = false
  #wake: () => void = () => {}
  #turn: Promise<unknown> = Promise.resolve()

  constructor(generator: Generator, request: SampleRequest, signal: AbortSignal | undefined) {
    this.#start = () => {
      this.#started = true
      const release = onAbort(signal, reason => this.#fail(reason))
      if (signal?.aborted) this.#fail(signal.reason)
      else void this.#write(generator, request).finally(release)
    }
  }

  next(): Promise<Result> {
    const turn = this.#turn.then(() => this.#next())
    this.#turn = turn.catch(() => {})
    return turn
  }

  async return(): Promise<Result> {
    this.#started = true
    this.#text = ''
    this.#finish(done)
    this.#stop.abort(new DOMException('the consumer stopped', 'AbortError'))
    return done()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async #next(): Promise<Result> {
    if (!this.#started) this.#start()
    while (this.#text === '' && this.#end === null) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    if (this.#text !== '') {
      const value = this.#text
      this.#text = ''
      return { done: false, value }
    }
    const end = this.#end!
    this.#end = done
    return end()
  }

  async #write(generator: Generator, request: SampleRequest): Promise<void> {
    let heard = false
    const hear = (text: string): void => {
      if (this.#end !== null) return
      heard ||= text !== ''
      this.#text += text
      this.#wake()
    }
    try {
      const [sample] = await generator.sample({ ...request, n: 1 }, { signal: this.#stop.signal, onText: hear })
      if (!heard) hear(sample!.text)
      this.#finish(() => ({ done: true, value: sample }))
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Text that waits is of no use to whoever hears of a failure. */
  #fail(reason: unknown): void {
    if (this.#end !== null) return
    this.#text = ''
    this.#finish(() => {
      throw reason
    })
    this.#stop.abort(reason)
  }

  #finish(end: () => Result): void {
    this.#end ??= end
    this.#wake()
  }
}

function done(): Result {
  return { done: true, value: undefined }
}
