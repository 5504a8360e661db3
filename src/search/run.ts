/**
 * Work under way: await it for its result, or iterate over what happens in it, from the beginning and without loss. It goes
 * on whether or not anybody looks. What fails fails in both.
 */
export class Run<Result, Event> implements PromiseLike<Result>, AsyncIterable<Event> {
  readonly #result: Promise<Result>
  readonly #events: Event[] = []
  #ended = false
  #wake: (() => void)[] = []

  constructor(work: (report: (event: Event) => void) => Promise<Result>) {
    this.#result = work(event => {
      this.#events.push(event)
      this.#wakeAll()
    })
    const end = (): void => {
      this.#ended = true
      this.#wakeAll()
    }
    this.#result.then(end, end)
  }

  // biome-ignore lint/suspicious/noThenProperty: a run can be awaited
  then<Fulfilled = Result, Rejected = never>(
    onFulfilled?: ((result: Result) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return this.#result.then(onFulfilled, onRejected)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, undefined> {
    for (let next = 0; ; ) {
      if (next < this.#events.length) yield this.#events[next++]!
      else if (this.#ended) break
      else await new Promise<void>(resolve => this.#wake.push(resolve))
    }
    await this.#result
  }

  #wakeAll(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }
}
