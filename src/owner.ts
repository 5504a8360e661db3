import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { hostname } from 'node:os'

/** The process that a lock file names. */
export interface Owner {
  readonly pid: number
  readonly host: string
  /** When the process started, in ticks of its system; null where the system does not say. Tells reused ids apart. */
  readonly started: string | null
}

export function thisProcess(): Owner {
  return { pid: process.pid, host: hostname(), started: startOf(process.pid) }
}

/** Whether the process runs; one of another machine, which cannot be asked, counts as running. */
export function isAlive({ pid, host, started }: Owner): boolean {
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const now = startOf(pid)
  return started === null || now === null || started === now
}

/**
 * Removes the lock that a dead process left. Whoever took it over meanwhile gets theirs back.
 *
 * @param isDeads whether the lock, moved to this path, is still the dead one's
 */
export async function discardLock(path: string, isDeads: (aside: string) => Promise<boolean>): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (await isDeads(aside)) await rm(aside, { force: true })
  else await rename(aside, path)
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
