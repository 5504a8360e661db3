/** Reading the fields of a row: what does not fit says where it stands, what was expected and what stood there. */

/** A field that does not fit. It never leaves the datasets: the reader makes a rejected row of it. */
export class Misfit extends Error {
  readonly field: string
  readonly expected: string
  readonly got: string

  constructor(field: string, expected: string, got: string) {
    super(`${field}: expected ${expected}, got ${got}`)
    this.field = field
    this.expected = expected
    this.got = got
  }
}

/** What is shown of a value, at most about 80 characters. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return JSON.stringify(shortened(value.toWellFormed()))
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value !== 'object' || value === null) return String(value)
  const names = Object.keys(value)
  return names.length === 0 ? 'an empty object' : `an object with ${shortened(names.join(', ').toWellFormed())}`
}

/** The start of a text. */
export function shortened(text: string, length = 60): string {
  return text.length <= length ? text : `${text.slice(0, length).toWellFormed()}…`
}

/** One value of a row and the path to it. Every reading method throws {@link Misfit}. */
export class Field {
  readonly value: unknown
  readonly path: string

  constructor(value: unknown, path = '(row)') {
    this.value = value
    this.path = path
  }

  /** Whether nothing or null stands here. */
  get missing(): boolean {
    return this.value === undefined || this.value === null
  }

  /** The field by the first of these names that holds something. */
  at(...names: readonly string[]): Field {
    const row = this.object()
    const name = names.find(name => Object.hasOwn(row, name) && row[name] !== null && row[name] !== undefined)
    if (name !== undefined) return new Field(row[name], this.#below(name))
    const empty = names.find(name => Object.hasOwn(row, name))
    if (empty !== undefined) return new Field(row[empty], this.#below(empty))
    return new Field(undefined, names.map(name => this.#below(name)).join(' | '))
  }

  /** What `read` makes of this field; undefined where nothing or null stands. */
  optional<T>(read: (field: Field) => T): T | undefined {
    return this.missing ? undefined : read(this)
  }

  object(): Readonly<Record<string, unknown>> {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value)) this.fail('an object')
    return this.value as Record<string, unknown>
  }

  /** The fields of an object, with their names. */
  entries(): [name: string, field: Field][] {
    return Object.entries(this.object()).map(([name, value]) => [name, new Field(value, this.#below(name))])
  }

  items(): Field[] {
    if (!Array.isArray(this.value)) this.fail('an array')
    return this.value.map((value, index) => new Field(value, `${this.path}[${index}]`))
  }

  /** At least one item. */
  someItems(what: string): Field[] {
    const items = this.items()
    return items.length > 0 ? items : this.fail(`at least one ${what}`)
  }

  /** One item for each of `count` others. */
  itemsFor(count: number, others: string): Field[] {
    const items = this.items()
    return items.length === count ? items : this.fail(`one for each of ${count} ${others}`)
  }

  string(): string {
    if (typeof this.value !== 'string') this.fail('a string')
    if (!this.value.isWellFormed()) this.fail('well-formed Unicode')
    return this.value
  }

  /** A string that is not blank, as it stands. */
  text(): string {
    const text = this.string()
    return text.trim() === '' ? this.fail('a text that is not blank') : text
  }

  /** A text, or a number as text, trimmed. */
  answer(): string {
    if (typeof this.value !== 'number') return this.text().trim()
    if (!Number.isFinite(this.value)) this.fail('a finite number')
    if (Number.isInteger(this.value) && !Number.isSafeInteger(this.value)) {
      this.fail('an integer below 2^53, or a string that holds all its digits')
    }
    return String(this.value)
  }

  number(low: number = Number.NEGATIVE_INFINITY, high: number = Number.POSITIVE_INFINITY): number {
    const { value } = this
    if (typeof value !== 'number' || !Number.isFinite(value) || value < low || value > high) {
      this.fail(`a number${rangeText(low, high)}`)
    }
    return value
  }

  integer(low: number = Number.MIN_SAFE_INTEGER, high: number = Number.MAX_SAFE_INTEGER): number {
    const { value } = this
    if (!Number.isSafeInteger(value) || (value as number) < low || (value as number) > high) {
      this.fail(`an integer${rangeText(low, high)}`)
    }
    return value as number
  }

  boolean(): boolean {
    return typeof this.value === 'boolean' ? this.value : this.fail('true or false')
  }

  /** One of these values. */
  oneOf<T extends string | number | null>(values: readonly T[]): T {
    if (!values.includes(this.value as T)) this.fail(values.map(value => shown(value)).join(' or '))
    return this.value as T
  }

  /** JSON inside a string: arrays and objects that are stored as text. */
  json(): Field {
    let value: unknown
    try {
      value = JSON.parse(this.string())
    } catch (error) {
      if (error instanceof Misfit) throw error
      this.fail('JSON in a string')
    }
    return new Field(value, this.path)
  }

  fail(expected: string): never {
    throw new Misfit(this.path, expected, shown(this.value))
  }

  #below(name: string): string {
    const step = /^[\w$-]+$/.test(name) ? name : JSON.stringify(shortened(name.toWellFormed()))
    return this.path === '(row)' ? step : `${this.path}.${step}`
  }
}

function rangeText(low: number, high: number): string {
  const [least, most] = [low > Number.MIN_SAFE_INTEGER, high < Number.MAX_SAFE_INTEGER]
  if (least && most) return ` from ${low} to ${high}`
  return least ? ` from ${low}` : most ? ` up to ${high}` : ''
}

/** The object without the fields that are undefined. */
export function compact<T extends object>(fields: { [Name in keyof T]: T[Name] | undefined }): T {
  const kept: Record<string, unknown> = {}
  for (const name of Object.keys(fields)) {
    const value = fields[name as keyof T]
    if (value !== undefined) kept[name] = value
  }
  return kept as T
}
