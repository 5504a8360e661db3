import type { Aggregate } from '../aggregate.ts'
import { invalidArgument } from '../errors.ts'
import type { Device, LoadProgress } from '../model.ts'
import { PRM } from '../prm.ts'
import type { ProfileChoice } from '../profile.ts'

/** The options that name a model, shared by the commands. */
export interface ModelOptions {
  readonly prm?: string
  readonly device: Device
  readonly precision?: 'exact' | 'fast'
  readonly cacheBytes?: number
  readonly head?: string
  /** A name, or a JSON object of changes. */
  readonly profile?: string
  readonly separator?: string
  readonly aggregate?: Aggregate
  readonly onOverflow?: 'error' | 'truncate-left'
  readonly input?: string
  readonly json?: boolean
}

/** Loads the model that the options name. */
export function loadModel(options: ModelOptions, signal: AbortSignal): Promise<PRM> {
  const { prm, device, precision, cacheBytes, head, profile, separator } = options
  const choice: ProfileChoice = {
    ...(profile === undefined ? {} : profileChoice(profile)),
    ...(separator === undefined ? {} : { separator }),
  }
  const download = new DownloadLine()
  return PRM.load(prm, {
    device,
    ...(precision === undefined ? {} : { precision }),
    ...(cacheBytes === undefined ? {} : { cacheBytes }),
    ...(head === undefined ? {} : { head }),
    profile: choice,
    signal,
    onProgress: event => download.show(event),
  })
}

function profileChoice(text: string): ProfileChoice {
  if (!text.trimStart().startsWith('{')) return { name: text }
  try {
    return JSON.parse(text)
  } catch (error) {
    return invalidArgument('profile', `is no JSON: ${(error as Error).message}`, text)
  }
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? '?' : (bytes / 1e6).toLocaleString('en', { maximumFractionDigits: 1 })
}

/** Says on standard error what is being fetched: one line that changes on a terminal, a line a file elsewhere. */
export class DownloadLine {
  readonly #terminal = process.stderr.isTTY === true
  #file = ''
  #shown = 0

  show(event: LoadProgress): void {
    if (event.phase !== 'download') {
      if (this.#terminal && this.#file !== '') process.stderr.write('\r\x1b[K')
      this.#file = ''
      return
    }
    const { file, loaded, total, all } = event
    const now = performance.now()
    if (file === this.#file && (!this.#terminal || (now - this.#shown < 100 && loaded !== total))) return
    this.#file = file
    this.#shown = now
    const share = !all.total ? 100 : Math.floor((100 * all.loaded) / all.total)
    const text = `fetching ${file} (${megabytes(loaded)} of ${megabytes(total)} MB), ${share} % of all`
    process.stderr.write(this.#terminal ? `\r\x1b[K${text}` : `surefoot: ${text}\n`)
  }
}
