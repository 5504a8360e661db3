/** How far a run is. */
export interface RunProgress {
  /** `read`: the data is looked through; `work`: problems are scored and graded; `summarise`: the numbers are made. */
  readonly phase: 'read' | 'work' | 'summarise'
  /** Records so far in this phase, those of an earlier run that is resumed among them. */
  readonly done: number
  /** Records in all; null while they are being read. */
  readonly total: number | null
  /** Records taken over from the run that is resumed. */
  readonly resumed: number
  /** Tokens that the PRM has read so far in this process. */
  readonly tokens: number
}

/**
 * Work under way: await it for its result, or iterate over it to see how far it is. It goes on whether or not anybody
 * looks; a consumer that is slow sees the newest progress and misses those in between. What fails fails in both.
 */
export class Run<Result> implements PromiseLike<Result>, AsyncIterable<RunProgress> {
  readonly #result: Promise<Result>
  #latest: RunProgress | null = null
  #count = 0
  #ended = false
  #news: Signal = signal()

  constructor(work: (report: (progress: RunProgress) => void) => Promise<Result>) {
    this.#result = work(progress => {
      this.#latest = progress
      this.#count++
      this.#wake()
    })
    const end = (): void => {
      this.#ended = true
      this.#wake()
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

  async *[Symbol.asyncIterator](): AsyncGenerator<RunProgress, void, undefined> {
    let seen = 0
    for (;;) {
      const news = this.#news.promise
      if (this.#latest && this.#count > seen) {
        seen = this.#count
        yield this.#latest
      } else if (this.#ended) {
        await this.#result
        return
      } else {
        await news
      }
    }
  }

  #wake(): void {
    this.#news.resolve()
    this.#news = signal()
  }
}

/** A promise that is resolved from outside. */
interface Signal {
  readonly promise: Promise<void>
  readonly resolve: () => void
}

function signal(): Signal {
  let resolve = (): void => {}
  const promise = new Promise<void>(settle => {
    resolve = settle
  })
  return { promise, resolve }
}
