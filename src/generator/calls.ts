/** What generators have in common that write one sample a call: places, seeds, and a text that is cut where it ends. */
import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { onAbort, unlessAborted } from '../abort.ts'
import { invalidArgument } from '../errors.ts'
import {
  type CheckedRequest,
  type Ended,
  firstOf,
  lacking,
  type Sample,
  type SampleOptions,
  type SampleRequest,
} from './generator.ts'

/** Calls under way at the same time unless the user says otherwise. */
export const CONCURRENCY = 8

/** So many calls may be under way; who comes later waits, in order. */
export class Places {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    if (!Number.isSafeInteger(count) || count < 1) {
      invalidArgument('concurrency', `must be a whole number from 1, got ${count}`, count)
    }
    this.#free = count
  }

  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await unlessAborted(new Promise<void>(resolve => this.#waiting.push(resolve)), signal, () => this.#giveBack())
    try {
      signal.throwIfAborted()
      return await unlessAborted(work(), signal)
    } finally {
      this.#giveBack()
    }
  }

  #giveBack(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}

/** Writes sample `index`; the signal fires when it is no longer wanted. */
export type Call = (index: number, signal: AbortSignal, hear: (text: string) => void) => Promise<Sample>

/** The samples of a request by one call each, in order. The first that fails stops the others. */
export async function sampleByCalls(
  { n }: CheckedRequest,
  { signal, onText }: SampleOptions,
  places: Places,
  call: Call,
): Promise<Sample[]> {
  signal?.throwIfAborted()
  const stop = new AbortController()
  setMaxListeners(0, stop.signal)
  const release = onAbort(signal, reason => stop.abort(reason))
  const samples: Sample[] = new Array(n)
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < n) {
      const index = next++
      const hear = (text: string): void => {
        if (!stop.signal.aborted) onText?.(text, index)
      }
      samples[index] = await places.run(stop.signal, () => call(index, stop.signal, hear))
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(n, LANES) }, lane))
    return samples
  } catch (error) {
    stop.abort(error)
    throw error
  } finally {
    release()
  }
}

/** Calls of one request that wait for a place at the same time. */
const LANES = 256

/**
 * The text of one sample as it arrives. It looks for the texts that end the sample, wherever the pieces are cut: what
 * {@link firstOf} finds in the whole is found. The listener hears what can no longer turn out to belong to such a text.
 */
export class Draft {
  readonly #stops: readonly string[]
  readonly #hear: (text: string) => void
  readonly #done: string[] = []
  /** The end of the text so far, which may belong to a text that ends it. */
  #open = ''
  #stop: string | null = null

  constructor({ stop, until, separator }: CheckedRequest, hear: (text: string) => void) {
    this.#stops = until === 'step' ? [...stop, separator] : stop
    this.#hear = hear
  }

  /** Without the text that ended it. */
  get text(): string {
    return this.#done.join('')
  }

  /** The text that ended it. */
  get stop(): string | null {
    return this.#stop
  }

  /** Takes a piece and tells whether the sample has ended; what comes after that is passed over. */
  push(piece: string): boolean {
    if (this.#stop !== null) return true
    this.#open += piece
    const found = firstOf(this.#open, this.#stops)
    const begun = this.#begun()
    if (found && found.at < begun) return this.#cut(found)
    this.#tell(begun)
    return false
  }

  /** Says that all pieces are there. */
  close(): void {
    if (this.#stop !== null) return
    const found = firstOf(this.#open, this.#stops)
    if (found) this.#cut(found)
    else this.#tell(this.#open.length)
  }

  #cut({ at, stop }: { at: number; stop: string }): true {
    this.#tell(at)
    this.#stop = stop
    return true
  }

  /** Where, at the end of the open text, the first of the texts may have begun, or a character is cut in two. */
  #begun(): number {
    const { length } = this.#open
    const longest = Math.max(0, ...this.#stops.map(stop => stop.length))
    for (let at = Math.max(0, length - longest + 1); at < length; at++) {
      const end = this.#open.slice(at)
      if (this.#stops.some(stop => stop.length > end.length && stop.startsWith(end))) return at
    }
    return /[\ud800-\udbff]$/.test(this.#open) ? length - 1 : length
  }

  #tell(length: number): void {
    const text = this.#open.slice(0, length).toWellFormed()
    this.#open = this.#open.slice(length)
    if (text === '') return
    this.#done.push(text)
    this.#hear(text)
  }
}

/** What a call says of a sample besides its text. */
export interface Said {
  /** Why it ended, where no text of the request ended it. */
  readonly ended: Ended | null
  readonly promptTokens?: number | undefined
  readonly tokens?: number | undefined
}

/** The sample of a draft; numbers of tokens that nobody said are estimated. */
export function sampleOf(draft: Draft, request: CheckedRequest, { ended, promptTokens, tokens }: Said): Sample {
  const { text, stop } = draft
  const { problem, system = '', prefix, until, separator } = request
  return {
    text,
    ...(stop === null
      ? { ended }
      : until === 'step' && stop === separator
        ? { ended: 'step' as const }
        : { ended: 'stop' as const, stop }),
    promptTokens: promptTokens ?? estimateTokens(system + problem + prefix),
    tokens: tokens ?? estimateTokens(text + (stop ?? '')),
    ...((promptTokens === undefined || tokens === undefined) && { estimated: true as const }),
  }
}

/** A guess by the length: four bytes a token, and the one that ends the text or stands before it. */
export function estimateTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 4) + 1
}

/** The seed of one of several calls; undefined where the request has none. Servers take 31 bits. */
export function seedOf({ seed, path = '' }: Pick<SampleRequest, 'seed' | 'path'>, index: number): number | undefined {
  if (seed === undefined) return undefined
  if (path === '') return ((seed % 2 ** 31) + index) % 2 ** 31
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, path, index]))
    .digest()
  return digest.readUInt32BE(0) >>> 1
}

/** What of a setting means that it is not used. */
const UNUSED: Readonly<Record<string, (value: unknown) => boolean>> = {
  topP: value => value === 1,
  minP: value => value === 0,
  repetitionPenalty: value => value === 1,
  bans: value => (value as readonly unknown[]).length === 0,
  logprobs: value => value === false,
}

/** Settings that the request asks for by name, not by default. */
export function named(request: SampleRequest, settings: readonly (keyof SampleRequest)[]): (keyof SampleRequest)[] {
  return settings.filter(name => request[name] !== undefined && !UNUSED[name]?.(request[name]))
}

/**
 * @param request as it was given, without defaults
 * @throws `ERR_CAPABILITY` for the first of the settings that the request asks for by name
 */
export function refuse(
  id: string,
  request: SampleRequest,
  settings: readonly (keyof SampleRequest)[],
  instead: string,
): void {
  const [setting] = named(request, settings)
  if (setting !== undefined) throw lacking(id, setting, `the request sets ${setting}`, instead)
}
