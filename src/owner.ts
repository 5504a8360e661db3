import { readFileSync } from 'node:fs'
import { open, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout } from 'node:timers/promises'

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

/** Milliseconds after which whoever was about to discard a lock is taken to have died over it. */
const patience = 10_000

/**
 * Removes the lock that a dead process left, unless another does so already; then it comes back after a moment. Only one
 * at a time may: between a look at the lock and its removal nobody else can have removed it and a third taken it.
 *
 * @param isDeads whether the lock is still the dead one's
 */
export async function discardLock(path: string, isDeads: () => Promise<boolean>): Promise<void> {
  const guard = `${path}.discard`
  try {
    await (await open(guard, 'wx')).close()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const since = await stat(guard).then(
      ({ mtimeMs }) => mtimeMs,
      () => Date.now(),
    )
    if (Date.now() - since > patience) await rm(guard, { force: true })
    await setTimeout(5)
    return
  }
  try {
    if (await isDeads()) await rm(path, { force: true })
  } finally {
    await rm(guard, { force: true })
  }
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
