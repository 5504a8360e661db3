import { createRequire } from 'node:module'
import type * as Binding from '../native/index.cjs'
import { SurefootError, type SurefootErrorCode } from './errors.ts'

export type { Done, Engine, Failure, Loaded, Model, Search, Submitted, Text } from '../native/index.cjs'

let binding: typeof Binding | undefined

/**
 * The native binding, loaded when it is first needed: importing the package stays cheap.
 *
 * @throws `ERR_NATIVE_BINDING` when no binary for this platform is installed
 */
export function native(): typeof Binding {
  binding ??= load()
  return binding
}

function load(): typeof Binding {
  try {
    return createRequire(import.meta.url)('../native/index.cjs')
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`
    throw new SurefootError(
      'ERR_NATIVE_BINDING',
      `no native binary for ${platform} could be loaded; install surefoot without --omit=optional, or build it with npm run build`,
      { data: { platform }, cause },
    )
  }
}

/** The error that Rust reports as data. */
export function nativeError(failure: Binding.Failure): SurefootError {
  return new SurefootError(failure.code as SurefootErrorCode, failure.message, { data: JSON.parse(failure.data) })
}
