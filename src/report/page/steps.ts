/** Steps coloured by score, and the legend of the colours. */
import { h } from './dom.ts'
import { score } from './format.ts'

/** The scores that get the colours of the two ends. */
export type Range = readonly [low: number, high: number]

/** [0, 1] where all scores are in it; else from the least to the greatest. */
export function scoreRange(lists: Iterable<readonly (number | null)[]>): Range {
  let low = 0
  let high = 1
  for (const scores of lists) {
    for (const score of scores) {
      if (score === null) continue
      if (score < low) low = score
      if (score > high) high = score
    }
  }
  return [low, high]
}

/** Where a score lies between the ends: 0 to 1. */
export function shareOf(value: number, [low, high]: Range): number {
  return high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 1
}

/** The legend of the colours. `threshold`: a score below it marks a weak step; null where there is none. */
export function scoreScale(range: Range, threshold: number | null): HTMLElement {
  return h(
    'p',
    { class: 'scale' },
    'Steps by score: ',
    h('span', { class: 'number' }, score(range[0])),
    h('span', { class: 'ramp', 'aria-hidden': 'true' }),
    h('span', { class: 'number' }, score(range[1])),
    threshold === null ? null : `▸ first step below ${threshold}`,
  )
}

/** One step of a list. `weak`: it is the first below the threshold. */
export function stepItem(
  text: string,
  value: number | null,
  range: Range,
  { label, weak }: { readonly label?: number | null | undefined; readonly weak: boolean },
): HTMLElement {
  const item = h(
    'li',
    { class: value === null ? 'step' : 'step scored' },
    h(
      'span',
      { class: 'marks' },
      value === null ? null : h('span', { class: 'number', title: `score ${value}` }, score(value)),
      weak ? h('span', { class: 'weak', title: 'first weak step' }, '▸') : null,
      typeof label === 'number' ? labelMark(label) : null,
    ),
    h('div', { class: 'quoted', dir: 'auto' }, text),
  )
  if (value !== null) item.style.setProperty('--share', `${(shareOf(value, range) * 100).toFixed(1)}%`)
  return item
}

function labelMark(label: number): HTMLElement {
  const text = label === 1 ? '✓' : label === 0 ? '✗' : label.toFixed(2)
  return h('span', { class: label < 0.5 ? 'label wrong' : 'label right', title: `label ${label}` }, `${text} label`)
}
