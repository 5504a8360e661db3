const marker = Symbol.for('surefoot.error')

/**
 * What can go wrong. A code is part of the public API and never changes its meaning; a message may.
 *
 * | code | meaning |
 * | --- | --- |
 * | `ERR_INVALID_ARGUMENT` | a value passed by the caller has the wrong type, shape or content |
 * | `ERR_MODEL_NOT_FOUND` | the reference names nothing here, and no repository, revision or file of the hub |
 * | `ERR_DATASET_NOT_FOUND` | the hub has no such dataset, revision or file |
 * | `ERR_GATED` | the hub's repository asks for terms to be accepted, or for a token that has access |
 * | `ERR_OFFLINE` | the hub may not be asked or cannot be reached, and the cache does not hold what is needed |
 * | `ERR_HTTP` | the hub, or the server or model behind a policy, refused, failed or gave an answer that cannot be used |
 * | `ERR_INTEGRITY` | a downloaded file has not the size or the hash that the hub announced |
 * | `ERR_MODEL_INVALID` | a checkpoint file is missing, truncated, contradictory or holds NaN |
 * | `ERR_MODEL_UNSUPPORTED` | a sound checkpoint of a kind that surefoot does not score |
 * | `ERR_UNSAFE_FORMAT` | the weights are pickled; only safetensors are read |
 * | `ERR_TOKENIZER` | the tokenizer does not fit the model or its profile |
 * | `ERR_TEMPLATE` | the checkpoint's chat template is broken, costs too much or leaves out parts of the prompt |
 * | `ERR_CONTEXT_OVERFLOW` | more tokens than the model's context |
 * | `ERR_CACHE_BUDGET` | a trace needs more memory for keys and values than `cacheBytes` allows |
 * | `ERR_DEVICE_UNAVAILABLE` | the device, or the instruction set that `SUREFOOT_ISA` names, does not exist here |
 * | `ERR_NOT_FINITE` | the model gave NaN or infinity for a step |
 * | `ERR_SEARCH` | a search was told what it did not ask, twice, or what is no number; its tree is as before |
 * | `ERR_DISPOSED` | the object was used after `dispose()` |
 * | `ERR_CAPABILITY` | the policy cannot do what is asked of it; the message says what to use instead |
 * | `ERR_NATIVE_BINDING` | the native binary for this platform is not installed |
 * | `ERR_IO` | a file could not be read or written |
 * | `ERR_INTERNAL` | a bug in surefoot; the process goes on |
 */
export type SurefootErrorCode =
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_MODEL_NOT_FOUND'
  | 'ERR_DATASET_NOT_FOUND'
  | 'ERR_GATED'
  | 'ERR_OFFLINE'
  | 'ERR_HTTP'
  | 'ERR_INTEGRITY'
  | 'ERR_MODEL_INVALID'
  | 'ERR_MODEL_UNSUPPORTED'
  | 'ERR_UNSAFE_FORMAT'
  | 'ERR_TOKENIZER'
  | 'ERR_TEMPLATE'
  | 'ERR_CONTEXT_OVERFLOW'
  | 'ERR_CACHE_BUDGET'
  | 'ERR_DEVICE_UNAVAILABLE'
  | 'ERR_NOT_FINITE'
  | 'ERR_SEARCH'
  | 'ERR_DISPOSED'
  | 'ERR_CAPABILITY'
  | 'ERR_NATIVE_BINDING'
  | 'ERR_IO'
  | 'ERR_INTERNAL'

/**
 * The one error class of surefoot. Aborts are not of this class: they reject with the signal's reason.
 * Test with {@link SurefootError.isInstance}, which also knows errors from another copy of the package.
 */
export class SurefootError extends Error {
  override readonly name = 'SurefootError'
  readonly code: SurefootErrorCode
  /** The offending values, by name: `{ path: '…' }`, `{ step: 3 }`, `{ tokens: 5000, limit: 4096 }`. */
  readonly data: Readonly<Record<string, unknown>>

  constructor(
    code: SurefootErrorCode,
    message: string,
    options: { data?: Readonly<Record<string, unknown>>; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.data = options.data ?? {}
    Object.defineProperty(this, marker, { value: true })
  }

  static isInstance(value: unknown): value is SurefootError {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[marker] === true
  }
}

/** Throws `ERR_INVALID_ARGUMENT` for the argument `name`. */
export function invalidArgument(name: string, message: string, value?: unknown): never {
  throw new SurefootError('ERR_INVALID_ARGUMENT', `${name}: ${message}`, { data: { argument: name, value } })
}
