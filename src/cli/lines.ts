import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { invalidArgument, SurefootError, type SurefootErrorCode } from '../errors.ts'
import { inOrder } from '../ordered.ts'

/** Lines that are worked on at the same time: fills the engine's batches and bounds the memory. */
const WIDTH = 64

/** A line that could not be done, as it stands in the output. */
export interface BadLine {
  readonly id: unknown
  /** From 1. */
  readonly line: number
  readonly error: { readonly code: SurefootErrorCode; readonly message: string }
}

/** A line's object, and what came of it. */
export interface DoneLine<T> {
  readonly id: unknown
  readonly value: Record<string, unknown>
  readonly result: T
}

interface Line {
  readonly text: string
  /** From 1. */
  readonly line: number
}

/**
 * Reads JSON lines and works on them, several at a time; the results come in the order of the lines. Blank lines are
 * passed over. A line that fails becomes a {@link BadLine} in its place.
 */
async function* workOnLines<T>(
  lines: AsyncIterable<Line> | Iterable<Line>,
  signal: AbortSignal,
  work: (value: Record<string, unknown>) => Promise<T>,
): AsyncGenerator<DoneLine<T> | BadLine, void, undefined> {
  yield* inOrder(lines, WIDTH, async ({ text, line }): Promise<DoneLine<T> | BadLine> => {
    let id: unknown = null
    try {
      const value = parse(text)
      id = value.id ?? null
      return { id, value, result: await work(value) }
    } catch (error) {
      signal.throwIfAborted()
      if (!SurefootError.isInstance(error)) throw error
      return { id, line, error: { code: error.code, message: error.message } }
    }
  })
}

/**
 * Works on every line of `input`, or of standard input, or on one `problem`, and writes what comes of it, as JSON or for
 * people.
 *
 * @returns the exit code: 1 when a line failed
 */
export async function writeLines<T>(
  { input, json, problem }: { readonly input?: string; readonly json?: boolean; readonly problem?: string },
  signal: AbortSignal,
  work: (value: Record<string, unknown>) => Promise<T>,
  show: { json: (line: DoneLine<T>) => unknown; text: (line: DoneLine<T>) => string; bad: (line: BadLine) => string },
): Promise<number> {
  let exitCode = 0
  const lines = problem === undefined ? readLines(input, signal) : [{ text: JSON.stringify({ problem }), line: 1 }]
  for await (const line of workOnLines(lines, signal, work)) {
    if ('error' in line) {
      exitCode = 1
      await print(json ? JSON.stringify(line) : show.bad(line))
    } else {
      await print(json ? JSON.stringify(show.json(line)) : show.text(line))
    }
  }
  return exitCode
}

/** Writes to standard output and waits when the reader is slow. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain')
}

async function* readLines(input: string | undefined, signal: AbortSignal): AsyncGenerator<Line, void, undefined> {
  const stream = input === undefined ? process.stdin : createReadStream(input)
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY, signal })
  let failure: Error | undefined
  const fail = (error: Error): void => {
    failure = error
    lines.close()
  }
  stream.on('error', fail)
  lines.on('error', fail)
  let line = 0
  for await (const text of lines) {
    line += 1
    if (text.trim() !== '') yield { text, line }
  }
  signal.throwIfAborted()
  if (failure) {
    const path = input ?? 'standard input'
    throw new SurefootError('ERR_IO', `cannot read ${path}: ${failure.message}`, { data: { path }, cause: failure })
  }
}

function parse(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    invalidArgument('line', `is not JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    invalidArgument('line', 'must be a JSON object')
  }
  return value as Record<string, unknown>
}
