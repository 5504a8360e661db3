import type { Aggregate } from '../aggregate.ts'
import { type Device, PRM, type ProfileChoice } from '../prm.ts'

/** The options that name a model, shared by the commands. */
export interface ModelOptions {
  readonly prm?: string
  readonly device: Device
  readonly profile?: string
  readonly separator?: string
  readonly aggregate?: Aggregate
  readonly input?: string
  readonly json?: boolean
}

/** Loads the model that the options name. */
export function loadModel({ prm, device, profile, separator }: ModelOptions, signal: AbortSignal): Promise<PRM> {
  const choice: ProfileChoice = {
    ...(profile === undefined ? {} : { name: profile }),
    ...(separator === undefined ? {} : { separator }),
  }
  return PRM.load(prm, { device, profile: choice, signal })
}
