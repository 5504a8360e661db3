/** How the rules look, alike in every plot: the colour says by which aggregate, line and mark say how it chooses. */

export interface RuleStyle {
  /** A CSS colour that follows light and dark. */
  readonly color: string
  /** SVG dash array; null for a solid line. */
  readonly dash: string | null
  readonly symbol: 'circle' | 'triangle' | 'square' | 'diamond' | 'times'
  readonly width: number
}

/** In the order of the colours `--series-0` to `--series-7` of the style sheet. */
const aggregates = ['last', 'min', 'product', 'mean', 'max', 'sum', 'softmin', 'reward']

const baselines: Readonly<Record<string, RuleStyle>> = {
  majority: { color: 'var(--ink)', dash: null, symbol: 'square', width: 2.2 },
  pass: { color: 'var(--quiet)', dash: '7,3', symbol: 'diamond', width: 1.5 },
  'mean of samples': { color: 'var(--quiet)', dash: '2,3', symbol: 'times', width: 1.5 },
}

const pattern = /^(best-of-n|weighted vote) \((?:softmax of )?(.+)\)$/

/** Whether a rule goes by scores: best-of-n and weighted votes do. */
export function usesScores(rule: string): boolean {
  return pattern.test(rule)
}

/** The style of each rule. One of no known kind gets a colour by its place among those. */
export function paletteOf(rules: readonly string[]): ReadonlyMap<string, RuleStyle> {
  const others = rules.filter(rule => !(rule in baselines) && styleByName(rule) === null)
  return new Map(
    rules.map(rule => [
      rule,
      baselines[rule] ??
        styleByName(rule) ?? {
          color: `var(--series-${others.indexOf(rule) % aggregates.length})`,
          dash: '8,3,2,3',
          symbol: 'diamond',
          width: 1.5,
        },
    ]),
  )
}

function styleByName(rule: string): RuleStyle | null {
  const [, family, by] = pattern.exec(rule) ?? []
  const series = aggregates.indexOf(by ?? '')
  if (series === -1) return null
  const color = `var(--series-${series})`
  return family === 'best-of-n'
    ? { color, dash: null, symbol: 'circle', width: 1.6 }
    : { color, dash: '5,3', symbol: 'triangle', width: 1.6 }
}
