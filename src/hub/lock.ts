import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rm, stat, utimes } from 'node:fs/promises'
import { dirname } from 'node:path'
import { discardLock, isAlive, type Owner, thisProcess } from '../owner.ts'
import { pause } from './http.ts'

/** Milliseconds. */
export interface LockTimes {
  /** Between two signs of life of the owner. */
  readonly heartbeat: number
  /** Without a sign of life, after which an owner counts as dead. */
  readonly patience: number
  /** Between two looks at a lock that is taken. */
  readonly poll: number
}

const times: LockTimes = { heartbeat: 5_000, patience: 30_000, poll: 100 }

/** A lock as a waiting process sees it: as long as nothing of it changes, its owner gave no sign of life. */
interface Seen {
  readonly text: string
  readonly modified: number
}

/**
 * Runs `use` while no other holder of `path` does, in this process or another one. The lock is a file that names its
 * owner. One whose owner is dead on this machine, or gives no sign of life anywhere, is taken over.
 *
 * @param onWait called again and again while somebody else has it
 * @throws the signal's reason when it aborts while waiting
 */
export async function withLock<T>(
  path: string,
  use: () => Promise<T>,
  options: { signal?: AbortSignal | undefined; onWait?: () => Promise<void>; times?: LockTimes } = {},
): Promise<T> {
  const { heartbeat, patience, poll } = options.times ?? times
  await mkdir(dirname(path), { recursive: true })
  const mine = JSON.stringify({ ...thisProcess(), id: randomUUID() })
  let last: Seen | undefined
  let since = performance.now()
  while (!(await created(path, mine))) {
    const seen = await look(path)
    if (seen?.text !== last?.text || seen?.modified !== last?.modified) since = performance.now()
    last = seen
    if (seen && (isDead(seen.text) || performance.now() - since > patience))
      await discardLock(path, async () => (await look(path))?.text === seen.text)
    else {
      await options.onWait?.()
      await pause(poll, options.signal)
    }
  }
  const alive = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => {})
  }, heartbeat).unref()
  try {
    return await use()
  } finally {
    clearInterval(alive)
    if ((await look(path))?.text === mine) await rm(path, { force: true })
  }
}

async function created(path: string, text: string): Promise<boolean> {
  try {
    await using file = await open(path, 'wx')
    await file.writeFile(text)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function look(path: string): Promise<Seen | undefined> {
  try {
    return { text: await readFile(path, 'utf8'), modified: (await stat(path)).mtimeMs }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function isDead(text: string): boolean {
  const owner = ownerOf(text)
  return owner !== undefined && !isAlive(owner)
}

/** Undefined while the owner is still writing it. */
function ownerOf(text: string): Owner | undefined {
  try {
    const { pid, host, started = null } = JSON.parse(text)
    return Number.isInteger(pid) && typeof host === 'string' ? { pid, host, started } : undefined
  } catch {
    return undefined
  }
}
