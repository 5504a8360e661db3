import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { SurefootError } from '../errors.ts'

interface Owner {
  readonly pid: number
  readonly host: string
  /** When the process started, in ticks of its system; null where the system does not say. Tells reused ids apart. */
  readonly started: string | null
}

/** Sole right to write a run folder: the file `lock` in it names the process that has it. */
export class Lock {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /**
   * Takes the lock. One that a dead process of this machine left behind is taken over.
   *
   * @throws `ERR_IO` when a process has it, or one of another machine, which cannot be asked whether it lives
   */
  static async take(folder: string): Promise<Lock> {
    const path = join(folder, 'lock')
    const mine = `${path}.${randomUUID()}`
    const owner: Owner = { pid: process.pid, host: hostname(), started: startOf(process.pid) }
    await writeFile(mine, JSON.stringify(owner))
    try {
      // A link appears with its content, or not at all.
      while (!(await linked(mine, path))) {
        const other = await readOwner(path)
        if (other && isAlive(other)) throw inUse(folder, path, other)
        if (other) await discard(path, other)
      }
      return new Lock(path)
    } finally {
      await rm(mine, { force: true })
    }
  }

  async release(): Promise<void> {
    await rm(this.#path, { force: true })
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Removes the lock that `dead` left. Whoever took it over meanwhile gets theirs back. */
async function discard(path: string, dead: Owner): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const taken = await readOwner(aside)
  if (JSON.stringify(taken) === JSON.stringify(dead)) await rm(aside, { force: true })
  else await rename(aside, path)
}

/** Null when there is none. */
async function readOwner(path: string): Promise<Owner | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Owner
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function isAlive({ pid, host, started }: Owner): boolean {
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const now = startOf(pid)
  return started === null || now === null || started === now
}

/** Field 22 of /proc/PID/stat, which Linux has. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

function inUse(folder: string, path: string, { pid, host }: Owner): SurefootError {
  const fix = host === hostname() ? 'wait for it, or end it' : `if it is no longer running, remove ${path}`
  return new SurefootError('ERR_IO', `${folder} is being written by process ${pid} on ${host}; ${fix}`, {
    data: { path: folder, pid, host },
  })
}
