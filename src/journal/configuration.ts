import { createHash } from 'node:crypto'

/** Plain JSON data that says what a run does; two runs with the same configuration do the same. */
export type Configuration = Readonly<Record<string, unknown>>

/** One key in which two configurations differ, `data.limit` for an inner one, and what each holds there. */
export interface Difference {
  readonly key: string
  readonly before: unknown
  readonly now: unknown
}

/** SHA-256 of a configuration, in hex; the order of the keys does not matter. */
export function hashConfiguration(configuration: Configuration): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(configuration)))
    .digest('hex')
}

/** The first key in which two configurations differ, in the order of the new one; null when they say the same. */
export function firstDifference(before: Configuration, now: Configuration): Difference | null {
  for (const key of new Set([...Object.keys(now), ...Object.keys(before)])) {
    const [old, current] = [before[key], now[key]]
    if (JSON.stringify(sorted(old)) === JSON.stringify(sorted(current))) continue
    const inner = isObject(old) && isObject(current) ? firstDifference(old, current) : null
    return inner ? { ...inner, key: `${key}.${inner.key}` } : { key, before: old, now: current }
  }
  return null
}

/** A difference in words: what the key was, and what it is. */
export function differenceText({ key, before, now }: Difference): string {
  return `${key} was ${show(before)} and is ${show(now)}`
}

function show(value: unknown): string {
  return value === undefined ? 'not set' : JSON.stringify(value)
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(key => [key, sorted(value[key])]),
  )
}

function isObject(value: unknown): value is Configuration {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
