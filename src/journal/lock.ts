import { randomUUID } from 'node:crypto'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { SurefootError } from '../errors.ts'
import { discardLock, isAlive, type Owner, thisProcess } from '../owner.ts'

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
    await writeFile(mine, JSON.stringify(thisProcess()))
    try {
      // A link appears with its content, or not at all.
      while (!(await linked(mine, path))) {
        const other = await readOwner(path)
        if (other && isAlive(other)) throw inUse(folder, path, other)
        if (other) await discardLock(path, async () => JSON.stringify(await readOwner(path)) === JSON.stringify(other))
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

/** Null when there is none. */
async function readOwner(path: string): Promise<Owner | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Owner
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function inUse(folder: string, path: string, { pid, host }: Owner): SurefootError {
  const fix = host === hostname() ? 'wait for it, or end it' : `if it is no longer running, remove ${path}`
  return new SurefootError('ERR_IO', `${folder} is being written by process ${pid} on ${host}; ${fix}`, {
    data: { path: folder, pid, host },
  })
}
