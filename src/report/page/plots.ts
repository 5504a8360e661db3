/** Where labels and ticks go. */

/** Moves labels apart until neighbours are at least `gap` from each other, the whole stack as near to its place as it goes. */
export function spread<Label extends { readonly y: number }>(labels: readonly Label[], gap: number): Label[] {
  const stacks: { labels: Label[]; middle: number }[] = []
  for (const label of labels.toSorted((a, b) => a.y - b.y)) {
    let stack = { labels: [label], middle: label.y }
    for (let below = stacks.at(-1); below && overlap(below, stack, gap); below = stacks.at(-1)) {
      stacks.pop()
      const both = [...below.labels, ...stack.labels]
      stack = { labels: both, middle: both.reduce((sum, { y }) => sum + y, 0) / both.length }
    }
    stacks.push(stack)
  }
  return stacks.flatMap(stack =>
    stack.labels.map((label, i) => ({ ...label, y: stack.middle + (i - (stack.labels.length - 1) / 2) * gap })),
  )
}

function overlap(
  below: { labels: unknown[]; middle: number },
  above: { labels: unknown[]; middle: number },
  gap: number,
): boolean {
  return above.middle - below.middle < ((below.labels.length + above.labels.length) / 2) * gap
}

/** As many of the values as have room, the largest among them. */
export function thinned(values: readonly number[], width: number): number[] {
  const sorted = values.toSorted((a, b) => b - a)
  const kept: number[] = []
  const room = Math.log(sorted[0]! / sorted.at(-1)!) / Math.max(1, width / 44)
  for (const value of sorted) if (kept.length === 0 || Math.log(kept.at(-1)! / value) >= room) kept.push(value)
  return kept
}

/** 1, 2 and 5 times the powers of ten from `low` to `high`, and both ends where those are fewer than three. */
export function logTicks(low: number, high: number, width: number): number[] {
  const ticks: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of [1, 2, 5]) {
      const tick = factor * 10 ** power
      if (tick >= low && tick <= high) ticks.push(tick)
    }
  }
  return thinned(ticks.length < 3 ? [...new Set([low, ...ticks, high])] : ticks, width)
}
