import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'

/** A rival in a process of its own that answers each line of JSON with one, so that its loading is in no time. */
export class Peer {
  /** What it said of itself when it was ready. */
  readonly hello: Readonly<Record<string, unknown>>
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, hello: Record<string, unknown>) {
    this.#child = child
    this.#lines = lines
    this.hello = hello
  }

  /** Starts a program and waits for its first line. */
  static async start(command: string, args: readonly string[]): Promise<Peer> {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const started = new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
    await started
    const reader: Interface = createInterface({ input: child.stdout! })
    const lines = reader[Symbol.asyncIterator]()
    return new Peer(child, lines, await answer(lines, command))
  }

  async ask<T>(request: object): Promise<T> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`)
    return (await answer(this.#lines, this.#child.spawnfile)) as T
  }

  stop(): void {
    this.#child.stdin!.end()
  }
}

async function answer(lines: AsyncIterator<string>, name: string): Promise<Record<string, unknown>> {
  const { value, done } = await lines.next()
  if (done) throw new Error(`${name} ended; what it said is above`)
  return JSON.parse(value)
}
