/** Text in chunks → rows, each by itself: what is broken in one row does not reach the next. */
import { isUtf8 } from 'node:buffer'
import { shortened, shown } from './fields.ts'

/** A row of a file, before any format has looked at it. */
export type RawRow = SoundRow | BrokenRow

export interface SoundRow {
  /** From 1: the line; in an array or a parquet file, the row. */
  readonly line: number
  readonly value: Readonly<Record<string, unknown>>
}

/** A row that is no JSON object. */
export interface BrokenRow {
  readonly line: number
  readonly expected: string
  readonly got: string
}

export interface Scanner {
  /** The rows that this chunk ends. */
  push(chunk: Buffer): Generator<RawRow, void, undefined>
  /** The row that the end of the file ends. */
  end(): Generator<RawRow, void, undefined>
}

/** The longest row that is read; the bytes of a longer one are let go as they come. */
export const ROW_BYTES: number = 64 * 2 ** 20

const [LINE_FEED, QUOTE, COMMA, OPEN, BACKSLASH, CLOSE, OPEN_BRACE, CLOSE_BRACE] = [
  0x0a, 0x22, 0x2c, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d,
]

/** Blanks, line ends, and the three bytes of a byte order mark. */
const insignificant = new Set([0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf])

/** The bytes of the row in hand. */
class RowBytes {
  #parts: Buffer[] = []
  #size = 0

  add(part: Buffer): void {
    this.#size += part.length
    if (this.#size > ROW_BYTES) this.#parts = []
    else if (part.length > 0) this.#parts.push(part)
  }

  /** The row as text, and starts the next; null for one that is too long. */
  take(): { text: string; sound: boolean } | null {
    const [parts, size] = [this.#parts, this.#size]
    this.#parts = []
    this.#size = 0
    if (size > ROW_BYTES) return null
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    const text = bytes.toString()
    return { text, sound: !text.includes('\ufffd') || isUtf8(bytes) }
  }
}

function rowOf(line: number, taken: ReturnType<RowBytes['take']>): RawRow {
  if (taken === null) return { line, expected: `at most ${ROW_BYTES} bytes`, got: 'more' }
  const { text, sound } = taken
  if (!sound) return { line, expected: 'UTF-8', got: shown(text.trim()) }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const [reason] = error instanceof SyntaxError ? error.message.split(/, ?(?="|\.\.\.)/) : ['nested too deep']
    return {
      line,
      expected: `JSON (${shortened(reason!, 100)})`,
      got: text.trim() === '' ? 'nothing' : shown(text.trim()),
    }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { line, expected: 'an object', got: shown(value) }
  }
  return { line, value: value as Record<string, unknown> }
}

/** JSON Lines. Blank lines are skipped. */
export class LineScanner implements Scanner {
  readonly #row = new RowBytes()
  #line = 0;

  *push(chunk: Buffer): Generator<RawRow, void, undefined> {
    let from = 0
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      this.#row.add(chunk.subarray(from, end))
      from = end + 1
      yield* this.end()
    }
    this.#row.add(chunk.subarray(from))
  }

  *end(): Generator<RawRow, void, undefined> {
    this.#line++
    const taken = this.#row.take()
    if (taken && this.#line === 1) taken.text = taken.text.replace(/^\ufeff/, '')
    if (taken?.text.trim() !== '') yield rowOf(this.#line, taken)
  }
}

/**
 * The elements of one JSON array. It looks for the commas between them, outside strings and brackets, and leaves the
 * parsing to JSON.parse.
 */
export class ArrayScanner implements Scanner {
  readonly #row = new RowBytes()
  #state: 'before' | 'inside' | 'after' | 'beyond' = 'before'
  #rows = 0
  #depth = 0
  #quoted = false
  #escaped = false;

  *push(chunk: Buffer): Generator<RawRow, void, undefined> {
    let at = 0
    if (this.#state === 'before') {
      at = chunk.indexOf(OPEN) + 1
      if (at === 0) return
      this.#state = 'inside'
    }
    let from = at
    for (; at < chunk.length && this.#state === 'inside'; at++) {
      if (this.#quoted) {
        at = this.#endOfString(chunk, at)
        continue
      }
      const byte = chunk[at]!
      if (byte === QUOTE) this.#quoted = true
      else if (byte === OPEN_BRACE || byte === OPEN) this.#depth++
      else if (this.#depth > 0) this.#depth -= Number(byte === CLOSE_BRACE || byte === CLOSE)
      else if (byte === COMMA || byte === CLOSE) {
        this.#row.add(chunk.subarray(from, at))
        from = at + 1
        yield* this.#element(byte === CLOSE)
      }
    }
    if (this.#state === 'inside') this.#row.add(chunk.subarray(from))
    else yield* this.#behind(chunk.subarray(at))
  }

  *end(): Generator<RawRow, void, undefined> {
    if (this.#state !== 'inside') return
    const text = this.#row.take()?.text.trim()
    yield {
      line: this.#rows + 1,
      expected: 'the rest of the array',
      got: text ? `the end after ${shown(text)}` : 'the end',
    }
  }

  /** Index of the quote that ends the string, or of the chunk's last byte. */
  #endOfString(chunk: Buffer, start: number): number {
    let at = start
    for (; at < chunk.length; at++) {
      if (this.#escaped) this.#escaped = false
      else if (chunk[at] === BACKSLASH) this.#escaped = true
      else if (chunk[at] === QUOTE) {
        this.#quoted = false
        return at
      }
    }
    return at
  }

  *#element(last: boolean): Generator<RawRow, void, undefined> {
    if (last) this.#state = 'after'
    const taken = this.#row.take()
    if (last && this.#rows === 0 && taken?.text.trim() === '') return
    yield rowOf(++this.#rows, taken)
  }

  *#behind(rest: Buffer): Generator<RawRow, void, undefined> {
    const at = this.#state === 'after' ? rest.findIndex(byte => !insignificant.has(byte)) : -1
    if (at < 0) return
    this.#state = 'beyond'
    yield { line: this.#rows + 1, expected: 'nothing behind the array', got: shown(rest.subarray(at).toString()) }
  }
}

/** An array where the first significant byte opens one, else lines. */
export class TextScanner implements Scanner {
  readonly #lines = new LineScanner()
  #chosen: Scanner | null = null;

  *push(chunk: Buffer): Generator<RawRow, void, undefined> {
    if (this.#chosen === null) {
      const first = chunk.find(byte => !insignificant.has(byte))
      if (first !== undefined) this.#chosen = first === OPEN ? new ArrayScanner() : this.#lines
    }
    yield* (this.#chosen ?? this.#lines).push(chunk)
  }

  *end(): Generator<RawRow, void, undefined> {
    yield* (this.#chosen ?? this.#lines).end()
  }
}
