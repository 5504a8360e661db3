/** What the commands that make a run folder have in common. */
import { basename, join } from 'node:path'
import { invalidArgument } from '../errors.ts'

/** The folder that `--run` names, or runs/NAME; the name by default is that of the data. */
export function runFolder(source: string, { run, name = nameOf(source) }: { run?: string; name?: string }): string {
  if (run !== undefined) return run
  if (['', '.', '..'].includes(name) || /[\\/\0]/.test(name)) {
    invalidArgument('name', 'must be the name of a folder; pass --name or --run', name)
  }
  return join('runs', name)
}

/** `data/first100.json` → `first100`; `org/name#config/split` → `name-config-split`. */
function nameOf(source: string): string {
  const [path, ...split] = source.split('#')
  const file = basename(path!)
    .replace(/\.gz$/i, '')
    .replace(/\.(?:jsonl?|ndjson|parquet)$/i, '')
  return [file, ...split].join('-').replaceAll(/[\\/:*?"<>|@]+/g, '-')
}

/** The entries that are not undefined. */
export function defined<T extends object>(entries: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as never
}

/** How often a line of progress is written: on a terminal, and elsewhere. */
const EVERY_MS = { terminal: 100, elsewhere: 10_000 }

/** Progress on standard error: one line that is rewritten on a terminal, plain lines now and then elsewhere. */
export class ProgressLine<Progress extends { readonly phase: string }> {
  readonly #terminal = process.stderr.isTTY === true
  readonly #text: (progress: Progress, seconds: number) => string
  #started = performance.now()
  #shown = Number.NEGATIVE_INFINITY
  #phase = ''

  /** @param text the line, from how far the work is and the seconds since its phase began */
  constructor(text: (progress: Progress, seconds: number) => string) {
    this.#text = text
  }

  show(progress: Progress): void {
    const now = performance.now()
    const due = now - this.#shown >= (this.#terminal ? EVERY_MS.terminal : EVERY_MS.elsewhere)
    if (!due && progress.phase === this.#phase) return
    if (progress.phase !== this.#phase) this.#started = now
    this.#shown = now
    this.#phase = progress.phase
    const line = this.#text(progress, (now - this.#started) / 1000)
    process.stderr.write(this.#terminal ? `\r\x1b[K${line}` : `${line}\n`)
  }

  clear(): void {
    if (this.#terminal) process.stderr.write('\r\x1b[K')
  }
}

export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  if (seconds < 5400) return `${Math.ceil(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}

/** The command that goes on with an interrupted run, ready to be pasted. */
export function resumeCommand(parameters: readonly string[] = process.argv.slice(2)): string {
  const words = parameters.includes('--resume') ? parameters : [...parameters, '--resume']
  return ['surefoot', ...words.map(quoted)].join(' ')
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
