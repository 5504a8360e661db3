import { type BootstrapOptions, bootstrap, type Interval, mean } from '../evaluate/metrics.ts'

/** Statistics of the means of many columns over the same problems: each is taken of the same draws of problems. */
export class Resampled {
  readonly #count: number
  readonly #options: BootstrapOptions
  /** The means of the columns, of each draw and at last of all problems. */
  readonly #means: Float64Array[] = []

  /** @param columns of each as many numbers as there are problems */
  constructor(columns: readonly Float64Array[], options: BootstrapOptions) {
    this.#count = columns[0]!.length
    this.#options = options
    bootstrap(
      this.#count,
      weights => {
        this.#means.push(Float64Array.from(columns, column => mean(column, weights)))
        return 0
      },
      options,
    )
  }

  /** The means over all problems. */
  get whole(): Float64Array {
    return this.#means.at(-1)!
  }

  /** A statistic with its 95 % percentile interval, from the means of the columns; draws in which it is null are left out. */
  interval(statistic: (means: Float64Array) => number | null): Interval | null {
    let draw = 0
    const next = (): number => statistic(this.#means[draw++]!) ?? Number.NaN
    const interval = bootstrap(this.#count, next, this.#options)
    return Object.values(interval).every(Number.isFinite) ? interval : null
  }
}
