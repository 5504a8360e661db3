/** The colours of the style sheet as a canvas takes them, as they are now: they follow light and dark. */
import { h } from '../page/dom.ts'
import { type Range, shareOf } from '../page/steps.ts'

export interface Colors {
  readonly paper: string
  readonly raised: string
  readonly ink: string
  readonly quiet: string
  readonly rule: string
  readonly accent: string
  /** Of a step's score; null: it has none. */
  readonly of: (score: number | null) => string
}

/** Shades between the two ends. */
const SHADES = 64

export function colorsNow(range: Range): Colors {
  const probe = h('i', { hidden: true })
  document.body.append(probe)
  const computed = (color: string): string => {
    probe.style.color = color
    return getComputedStyle(probe).color
  }
  const named = (name: string): string => computed(`var(--${name})`)
  const shades = Array.from({ length: SHADES + 1 }, (_, index) => {
    const share = (index / SHADES) * 2
    return share <= 1
      ? computed(`color-mix(in oklab, var(--score-low), var(--score-middle) ${share * 100}%)`)
      : computed(`color-mix(in oklab, var(--score-middle), var(--score-high) ${(share - 1) * 100}%)`)
  })
  const rule = named('rule')
  const colors: Colors = {
    paper: named('paper'),
    raised: named('raised'),
    ink: named('ink'),
    quiet: named('quiet'),
    rule,
    accent: named('accent'),
    of: score => (score === null ? rule : shades[Math.round(shareOf(score, range) * SHADES)]!),
  }
  probe.remove()
  return colors
}
