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

/**
 * The promise's value, or a rejection with the signal's reason as soon as it aborts.
 *
 * @param late sees a value that comes after that
 */
export function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  late?: (value: T) => void,
): Promise<T> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    let gone = false
    const leave = (reason: unknown): void => {
      gone = true
      reject(reason)
    }
    const release = onAbort(signal, leave)
    if (signal.aborted) leave(signal.reason)
    promise.then(
      value => {
        release()
        if (gone) late?.(value)
        resolve(value)
      },
      error => {
        release()
        reject(error)
      },
    )
  })
}
