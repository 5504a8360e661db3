/** Checks that the metrics share. */
import { invalidArgument } from '../errors.ts'

export function sameLength(name: string, values: ArrayLike<unknown>, others: ArrayLike<unknown>): void {
  if (values.length !== others.length) invalidArgument(name, `must hold ${others.length} items, got ${values.length}`)
}

export function wholeNumber(name: string, value: number, low: number, high: number = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isInteger(value) || value < low || value > high) {
    invalidArgument(name, `must be a whole number from ${low} to ${high}, got ${value}`, value)
  }
}

/** Every value is a number in [0, 1]. */
export function probabilities(name: string, values: readonly number[]): void {
  const bad = values.findIndex(value => !(value >= 0 && value <= 1))
  if (bad >= 0) invalidArgument(name, `must lie in [0, 1], got ${values[bad]} at ${bad}`, values[bad])
}
