/**
 * Runs `task` on each item with at most `width` under way and yields the results in the order of the items. Memory
 * stays flat: an item is taken only when a place is free.
 *
 * @param onStop called when the consumer stops early or a task fails, while others are still under way
 */
export async function* inOrder<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  width: number,
  task: (item: T, index: number) => Promise<R>,
  onStop: (reason: unknown) => void = () => {},
): AsyncGenerator<R, void, undefined> {
  const underWay: Promise<R>[] = []
  let index = 0
  let reason: unknown = new DOMException('the consumer stopped', 'AbortError')
  try {
    for await (const item of items) {
      const result = task(item, index++)
      result.catch(() => {})
      underWay.push(result)
      if (underWay.length >= width) yield await underWay.shift()!
    }
    while (underWay.length > 0) yield await underWay.shift()!
  } catch (error) {
    reason = error
    throw error
  } finally {
    if (underWay.length > 0) onStop(reason)
  }
}
