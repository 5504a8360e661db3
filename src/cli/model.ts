import type { Aggregate } from '../aggregate.ts'
import { invalidArgument } from '../errors.ts'
import { type Device, PRM } from '../prm.ts'
import type { ProfileChoice } from '../profile.ts'

/** The options that name a model, shared by the commands. */
export interface ModelOptions {
  readonly prm?: string
  readonly device: Device
  /** A name, or a JSON object of changes. */
  readonly profile?: string
  readonly separator?: string
  readonly aggregate?: Aggregate
  readonly onOverflow?: 'error' | 'truncate-left'
  readonly input?: string
  readonly json?: boolean
}

/** Loads the model that the options name. */
export function loadModel({ prm, device, profile, separator }: ModelOptions, signal: AbortSignal): Promise<PRM> {
  const choice: ProfileChoice = {
    ...(profile === undefined ? {} : profileChoice(profile)),
    ...(separator === undefined ? {} : { separator }),
  }
  return PRM.load(prm, { device, profile: choice, signal })
}

function profileChoice(text: string): ProfileChoice {
  if (!text.trimStart().startsWith('{')) return { name: text }
  try {
    return JSON.parse(text)
  } catch (error) {
    return invalidArgument('profile', `is no JSON: ${(error as Error).message}`, text)
  }
}
