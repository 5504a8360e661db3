/** What is known of one node: its text, numbers, neighbours, and the whole path to it. */
import { type Child, h, quoted } from '../page/dom.ts'
import { count, NONE, plural, score, seconds } from '../page/format.ts'
import { type Range, stepItem } from '../page/steps.ts'
import { pathTo, type Row, stepScores } from './rows.ts'

export interface DetailOptions {
  readonly rows: readonly Row[]
  readonly range: Range
  readonly threshold: number | null
  readonly chosen: ReadonlySet<number>
  readonly goTo: (place: number) => void
}

/** So many links to children at first. */
const LINKS = 24

/** A node opened. */
export function nodeDetail(place: number, options: DetailOptions): HTMLElement {
  const { rows, chosen } = options
  const { node, parent, children, depth } = rows[place]!
  const states = [
    chosen.has(place) ? 'on the chosen path' : null,
    node.finished ? 'finished' : null,
    node.pruned ? 'pruned' : null,
  ].filter(text => text !== null)
  return h(
    'article',
    { class: 'node', 'aria-label': nameOf(rows, place) },
    h('h3', {}, nameOf(rows, place)),
    h('p', { class: 'states' }, states.join(' · ')),
    numbers(rows, place),
    h(
      'p',
      { class: 'links' },
      parent < 0 ? null : h('span', {}, 'parent: ', link(parent, options)),
      h('span', {}, `depth ${count(depth)}`),
      h('span', {}, plural(children.length, 'child').replace('childs', 'children')),
    ),
    childLinks(children, options),
    parent < 0 ? null : steps(place, options),
    parent < 0 || depth === 1 ? null : wholePath(place, options),
  )
}

/** `node 12`, `the problem`. */
export function nameOf(rows: readonly Row[], place: number): string {
  const { node, parent } = rows[place]!
  return parent < 0 ? 'The problem' : `Node ${node.node}`
}

function numbers(rows: readonly Row[], place: number): HTMLElement {
  const { node, parent } = rows[place]!
  const { cost } = node
  const entries: [string, Child][] = [
    ['answer', node.answer === null ? (node.finished ? 'none' : null) : quoted(node.answer, 'answer')],
    ['value', parent < 0 && node.value === null ? null : score(node.value)],
    ['visits', node.visits === 0 ? null : count(node.visits)],
    ['score of the path', node.score === null ? null : score(node.score)],
    ['policy tokens', cost && `${count(cost.policyTokens)}, ${count(pathTokens(rows, place))} with the path`],
    ['looked ahead', cost && cost.aheadTokens > 0 ? plural(cost.aheadTokens, 'token') : null],
    ['PRM tokens', cost && count(cost.prmTokens)],
    ['request', cost && `${cost.request}, ${seconds(cost.ms)} s`],
  ]
  const known = entries.filter(([, value]) => value !== null)
  return h('dl', { class: 'numbers' }, ...known.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]))
}

function pathTokens(rows: readonly Row[], place: number): number {
  return pathTo(rows, place).reduce((sum, at) => sum + (rows[at]!.node.cost?.policyTokens ?? 0), 0)
}

function steps(place: number, options: DetailOptions): HTMLElement {
  const { node } = options.rows[place]!
  return h(
    'section',
    {},
    h('h4', {}, node.steps.length === 1 ? 'Its step' : 'Its steps'),
    node.steps.length === 0
      ? h('p', { class: 'absent' }, 'No steps.')
      : stepList(place, weakest(pathTo(options.rows, place), options), options),
  )
}

function wholePath(place: number, options: DetailOptions): HTMLElement {
  const path = pathTo(options.rows, place).slice(1)
  const weak = weakest(path, options)
  const parts = path.map(at => h('div', { class: 'part' }, link(at, options), stepList(at, weak, options)))
  return h('section', {}, h('h4', {}, 'The whole path'), ...parts)
}

interface Weak {
  readonly place: number
  readonly step: number
}

/** The first step of a path that scores below the threshold. */
function weakest(path: readonly number[], { rows, threshold }: DetailOptions): Weak | null {
  if (threshold === null) return null
  for (const place of path) {
    const step = stepScores(rows[place]!.node).findIndex(score => score !== null && score < threshold)
    if (step >= 0) return { place, step }
  }
  return null
}

function stepList(place: number, weak: Weak | null, { rows, range }: DetailOptions): HTMLElement {
  const { node } = rows[place]!
  const scores = stepScores(node)
  const items = node.steps.map((text, step) =>
    stepItem(text, scores[step]!, range, { weak: weak?.place === place && weak.step === step }),
  )
  return h('ol', { class: 'steps' }, ...items)
}

function childLinks(children: readonly number[], options: DetailOptions): HTMLElement | null {
  if (children.length === 0) return null
  const list = h('p', { class: 'links children' })
  let shown = 0
  const more = h('button', { type: 'button', class: 'link', click: () => show() })
  const show = (): void => {
    const until = Math.min(children.length, shown + LINKS)
    for (; shown < until; shown++) list.insertBefore(link(children[shown]!, options, true), more)
    more.hidden = shown === children.length
    more.textContent = `${count(children.length - shown)} more`
  }
  list.append(more)
  show()
  return list
}

function link(place: number, { rows, chosen, goTo }: DetailOptions, withValue = false): HTMLElement {
  const { node, parent } = rows[place]!
  const value = withValue ? ` (${node.value === null ? NONE : score(node.value)})` : ''
  return h(
    'button',
    { type: 'button', class: chosen.has(place) ? 'link chosen' : 'link', click: () => goTo(place) },
    parent < 0 ? 'the problem' : `node ${node.node}${value}`,
  )
}
