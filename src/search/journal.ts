import { closeSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { invalidArgument, SurefootError } from '../errors.ts'
import { differenceText, firstDifference } from '../journal/configuration.ts'
import type { ScorerFacts } from '../scorer.ts'
import type { Entry, Sampling } from './driver.ts'
import type { Outcome } from './machine.ts'
import type { Budget, LabelStrategy, Strategy } from './strategies.ts'

/** What a search was set to do: the first line of its journal. Two searches with the same do the same. */
export interface Configuration<Of = Strategy> {
  /** As filled in with what the PRM says of its scores; null: a search of the user's own. */
  readonly strategy: Of | null
  readonly budget: Budget
  readonly problem: string
  readonly system: string | null
  readonly seed: number
  readonly sampling: Sampling
  readonly separator: string
  readonly policy: { readonly id: string; readonly facts: object | null }
  readonly prm: ScorerFacts | null
}

/** What a journal's file holds. */
export interface Recorded {
  readonly configuration: Configuration
  readonly entries: readonly Entry[]
  /** The outcome was written, too. */
  readonly ended: boolean
}

const SCHEMA = 1

/**
 * The journal of one search: JSON lines, the configuration first. A line is handed to the system whole before the search hears
 * of what it says, so a killed process loses nothing that the search knew. A torn last line is cut off on resuming.
 */
export class Journal implements Disposable {
  /** What was there when it was opened. */
  readonly entries: readonly Entry[]
  readonly #path: string
  readonly #file: number
  readonly #ended: boolean

  private constructor(path: string, file: number, { entries, ended }: Pick<Recorded, 'entries' | 'ended'>) {
    this.#path = path
    this.#file = file
    this.entries = entries
    this.#ended = ended
  }

  /**
   * Begins a journal, or goes on with the one that is there.
   *
   * @throws `ERR_INVALID_ARGUMENT` when there is a file and `resume` is not set, or its search was begun with another
   *   configuration: the message names the first key that differs and both values; `ERR_IO`
   */
  static open(path: string, configuration: Configuration<Strategy | LabelStrategy>, resume = false): Journal {
    const first = Buffer.from(`${JSON.stringify({ schema: SCHEMA, configuration })}\n`)
    const there = io(path, () => readIfThere(path))
    if (there !== null && !resume) {
      invalidArgument('journal', `${path} exists already; go on with it by resume, or name another file`, path)
    }
    // Killed within the first line: whatever else has no line break is not ours to overwrite.
    if (there === null || (there.length < first.length && first.subarray(0, there.length).equals(there))) {
      const file = io(path, () => openSync(path, there === null ? 'ax' : 'w'))
      io(path, () => writeFileSync(file, first))
      return new Journal(path, file, { entries: [], ended: false })
    }
    const recorded = parse(path, there)
    const difference = firstDifference({ ...recorded.configuration }, JSON.parse(first.toString()).configuration)
    if (difference) {
      throw new SurefootError(
        'ERR_INVALID_ARGUMENT',
        `journal: ${path} was begun with another configuration: ${differenceText(difference)}; ` +
          'resume it as it was, or name another file',
        { data: { argument: 'journal', path, ...difference } },
      )
    }
    return io(path, () => {
      truncateSync(path, there.lastIndexOf(10) + 1)
      return new Journal(path, openSync(path, 'a'), recorded)
    })
  }

  append(entry: Entry): void {
    this.#write(entry)
  }

  /** Writes what came of it, unless that is there. */
  end(outcome: Outcome, answer: string | null): void {
    if (!this.#ended) this.#write({ type: 'outcome', answer, ...outcome })
  }

  [Symbol.dispose](): void {
    closeSync(this.#file)
  }

  #write(line: object): void {
    io(this.#path, () => writeFileSync(this.#file, `${JSON.stringify(line)}\n`))
  }
}

/** Reads a journal; a torn last line is left out. @throws `ERR_IO`; `ERR_INVALID_ARGUMENT` for a file that is none */
export function readJournal(path: string): Recorded {
  return parse(
    path,
    io(path, () => readFileSync(path)),
  )
}

function parse(path: string, bytes: Buffer): Recorded {
  const lines = bytes
    .subarray(0, bytes.lastIndexOf(10) + 1)
    .toString()
    .split('\n')
    .slice(0, -1)
  const value = (text: string): Values | null => {
    try {
      const line = JSON.parse(text)
      return isObject(line) ? line : null
    } catch {
      return null
    }
  }
  const [first = '', ...texts] = lines
  const header = value(first)
  if (typeof header?.schema !== 'number' || !isObject(header.configuration)) {
    invalidArgument('journal', `${path} is no journal of a search`, path)
  }
  if (header.schema !== SCHEMA) {
    invalidArgument('journal', `${path} is of version ${header.schema}; this surefoot reads ${SCHEMA}`, path)
  }
  const rest = texts.map(value)
  const strange = rest.findIndex((line, at) => {
    return line?.type === 'outcome' ? at < rest.length - 1 : line === null || !isEntry(line)
  })
  // The first line is the header.
  if (strange >= 0) damaged(path, strange + 2)
  const ended = rest.at(-1)?.type === 'outcome'
  const entries = (ended ? rest.slice(0, -1) : rest) as unknown as Entry[]
  return { configuration: header.configuration as unknown as Configuration, entries, ended }
}

function isEntry({ type, max, now, requests, request, children }: Values): boolean {
  if (type === 'stop') return true
  if (type === 'ask') return isCount(max) && isCount(now) && areAll(requests, ({ caps }) => isObject(caps))
  if (type !== 'tell' && type !== 'fail') return false
  return isCount(request) && areAll(children, ({ raw }) => typeof raw === 'string')
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function areAll(list: unknown, sound: (value: Values) => boolean): boolean {
  return Array.isArray(list) && list.every(value => isObject(value) && sound(value))
}

function damaged(path: string, line: number): never {
  throw new SurefootError('ERR_IO', `${path}: line ${line} is damaged`, { data: { path, line } })
}

type Values = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Runs `work`; what the system refuses becomes `ERR_IO`. */
function io<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new SurefootError('ERR_IO', `${path}: ${(error as Error).message}`, { data: { path }, cause: error })
  }
}
