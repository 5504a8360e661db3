import { Field, Misfit } from './fields.ts'
import type { Kind, RecordOf } from './records.ts'

/** What a dataset's rows look like, and how a record is read from one. */
export interface Format<K extends Kind = Kind> {
  /** How `format` names it. */
  readonly name: string
  readonly kind: K
  /** Where the set comes from. */
  readonly source: string
  /** `file`: written against a real file, or the format is ours. `schema`: only against the set's own description. */
  readonly seen: 'file' | 'schema'
  /** What is done with a row, in a sentence or two. */
  readonly reads: string
  /** The fields by which a row is recognised; `a | b` where either will do. */
  readonly needs: readonly string[]
  /** The other fields that are read. */
  readonly uses: readonly string[]
  /** Whether a row with all that it `needs` is of this format after all. */
  fits?(row: Readonly<Record<string, unknown>>): boolean
  /** The records of one row, lazily: a tree of solutions has many. */
  read(row: Field, context: RowContext): Iterable<RecordOf[K]>
}

/** How PRM800K's neutral ratings are labelled. */
export type Neutral = 'right' | 'wrong' | 'masked'

/** What a format is told of a row, and may say of it. */
export interface RowContext {
  /** Names the row where it has no id of its own: `file:line`. */
  readonly place: string
  /** Name of the file without folder and extension. */
  readonly stem: string
  readonly neutral: Neutral
  /** Reports that a part of the row does not fit, and goes on. */
  reject(misfit: Misfit): void
  /** Says why a sound row makes no record. */
  leaveOut(reason: string): void
}

/** The id in a field, or the row's place. */
export function idOf(field: Field, { place }: RowContext): string {
  return field.missing || field.value === '' ? place : field.answer()
}

/** All columns that a format reads. */
export function fieldsOf({ needs, uses }: Format): string[] {
  return [...needs, ...uses].flatMap(name => name.split(' | '))
}

export function recognises(format: Format, row: Readonly<Record<string, unknown>>): boolean {
  const has = (names: string): boolean => names.split(' | ').some(name => Object.hasOwn(row, name))
  return format.needs.every(has) && (format.fits?.(row) ?? true)
}

/** The records of one row; what does not fit goes to `context.reject`. */
export function* recordsOf<K extends Kind>(
  format: Format<K>,
  row: Readonly<Record<string, unknown>>,
  context: RowContext,
): Generator<RecordOf[K], void, undefined> {
  try {
    yield* format.read(new Field(row), context)
  } catch (error) {
    if (!(error instanceof Misfit)) throw error
    context.reject(error)
  }
}
