import { type SearchJob, submitSearch } from '../engine.ts'
import { nativeRequest } from '../generator/policy.ts'
import { type NativeModel, nativeOf } from '../model.ts'
import type { Setting, Told } from './driver.ts'
import { type MachineEvent, nativeOfMachine, type Request, type SearchMachine } from './machine.ts'

/** Where the engine sets in. */
export interface EngineStart {
  /** Milliseconds that the search has taken before. */
  readonly since: number
  /** Whether the PRM's tokens of the problem are counted already. */
  readonly problemPaid: boolean
  readonly known: readonly (readonly [node: number, parent: number, raw: string])[]
  readonly concurrency: number
  readonly ms?: number
  readonly costs: { readonly policy: number; readonly prm: number }
}

/** What the engine's driver did, and what happened in the search. */
export interface EngineProgress {
  readonly entries: readonly EngineEntry[]
  readonly events: readonly MachineEvent[]
}

/** As a journal keeps it; of a tell also the first of its nodes. The answers are not taken out yet. */
export type EngineEntry =
  | { readonly type: 'ask'; readonly max: number; readonly now: number; readonly requests: readonly Request[] }
  | ({ readonly type: 'tell' | 'fail'; readonly first?: number } & Told)
  | { readonly type: 'stop' }

export type EngineDrive = (start: EngineStart, onProgress: (progress: EngineProgress) => void) => SearchJob

/** Has the engine drive a search, where policy, PRM and machine are native; elsewhere undefined. */
export function engineDrive(
  machine: SearchMachine,
  { problem, system, policy, prm, seed, sampling, separator }: Omit<Setting, 'engine'>,
): EngineDrive | undefined {
  const search = nativeOfMachine(machine)
  const writes = nativeOf(policy)
  const scores = prm === null ? null : nativeOf(prm)
  if (search === undefined || writes === undefined || scores === undefined) return undefined
  const about = { problem, ...(system !== undefined && { system }) }
  const texts = nativeRequest({ ...sampling, ...about, separator, seed }, separator)
  return (start, onProgress) => {
    const job = submitSearch(search, writes.model, scores?.model ?? null, { texts, ...start }, json =>
      onProgress(JSON.parse(json)),
    )
    for (const model of scores === null ? [writes] : [writes, scores]) holdWhile(job, model)
    return job
  }
}

/** A model that is disposed takes the search with it. */
function holdWhile(job: SearchJob, { underWay }: NativeModel): void {
  underWay.add(job)
  const release = (): boolean => underWay.delete(job)
  job.outcome.then(release, release)
}
