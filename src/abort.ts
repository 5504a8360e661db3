import { setMaxListeners } from 'node:events'

/**
 * Calls `heard` with the signal's reason when it aborts. Any number of calls may hear the same signal.
 *
 * @returns what stops the listening
 */
export function onAbort(signal: AbortSignal | undefined, heard: (reason: unknown) => void): () => void {
  if (!signal) return () => {}
  const abort = (): void => heard(signal.reason)
  setMaxListeners(0, signal)
  signal.addEventListener('abort', abort, { once: true })
  return () => signal.removeEventListener('abort', abort)
}

/** The promise's value, or a rejection with the signal's reason as soon as it aborts; `late` sees a value too late. */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  late: (value: T) => void,
): Promise<T> {
  if (!signal) return promise
  return new Promise<T>((resolve, reject) => {
    const release = onAbort(signal, reason => {
      reject(reason)
      promise.then(late, () => {})
    })
    promise.then(resolve, reject).finally(release)
  })
}
