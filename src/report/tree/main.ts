/** The tree of a search in the browser: reads the data that the page carries and draws it. */
import { type Child, fill, h, quoted } from '../page/dom.ts'
import { facts } from '../page/facts.ts'
import { count, decimal, plural, score, seconds } from '../page/format.ts'
import { scoreRange, scoreScale } from '../page/steps.ts'
import { table } from '../page/table.ts'
import { themeButton } from '../page/theme.ts'
import type { SearchTree, SearchTreeNode } from '../tree.ts'
import { nameOf, nodeDetail } from './detail.ts'
import type { Scene } from './draw.ts'
import { layOut } from './layout.ts'
import { pathTo, type Row, rowsOf, shownOf } from './rows.ts'
import { type Stage, stage } from './stage.ts'

interface Data {
  readonly search: Omit<SearchTree, 'nodes'>
  readonly nodes: readonly SearchTreeNode[]
}

/** More nodes than that are folded: the layout and a frame stay fast. */
const MOST_DRAWN = 10_000

function start({ search, nodes }: Data): void {
  const rows = rowsOf(nodes)
  const end = rows.findIndex(({ node }) => node.node === search.chosen)
  const chosen = new Set(end < 0 ? [] : pathTo(rows, end))
  const range = scoreRange(nodes.map(({ scores }) => scores))
  const threshold = search.configuration.prm?.threshold ?? null
  const problem = search.configuration.problem ?? ''
  const all = { opened: 0, pruned: true }
  let options = all
  const sceneOf = (selected: number): Scene => {
    const kept = [...chosen].slice(-1).concat(selected >= 0 ? selected : [])
    const shown = shownOf(rows, { most: MOST_DRAWN, kept, ...options })
    return { rows, shown, layout: layOut(rows, shown), chosen, selected, problem }
  }
  let scene = sceneOf(end)

  const note = h('p', { class: 'status', role: 'status' })
  const spoken = h('p', { class: 'spoken', 'aria-live': 'polite' })
  const detail = h('div', { class: 'detail', tabindex: -1 })
  const everything = h('button', { type: 'button', click: () => change(all) }, 'show all again')
  const change = (next: typeof all): void => {
    options = next
    scene = sceneOf(scene.selected)
    view.show(scene)
    tellShown()
  }
  const tellShown = (): void => {
    const left = rows.length - scene.shown.count
    const text =
      left === 0
        ? plural(rows.length, 'node')
        : `${count(scene.shown.count)} of ${plural(rows.length, 'node')} are drawn; the others are folded into those marked +`
    fill(note, text)
    everything.hidden = options.opened === 0
  }
  const select = (place: number): void => {
    if (place >= 0 && !scene.shown.has[place]) {
      scene = sceneOf(place)
      tellShown()
    } else scene = { ...scene, selected: place }
    view.show(scene)
    if (place >= 0) view.reveal(place)
    fill(detail, place < 0 ? hint() : nodeDetail(place, { rows, range, threshold, chosen, goTo }))
    detail.scrollTop = 0
    fill(spoken, place < 0 ? 'no node is selected' : sentence(rows, place))
    location.replace(place < 0 ? '#' : `#node=${rows[place]!.node.node}`)
  }
  const goTo = (place: number): void => {
    select(place)
    view.element.focus({ preventScroll: true })
  }
  const view = stage({
    scene,
    range,
    onSelect: select,
    onOpen: place => {
      change({ ...options, opened: place })
      select(place)
    },
  })
  tellShown()
  fill(detail, end < 0 ? hint() : nodeDetail(end, { rows, range, threshold, chosen, goTo }))

  const pruned = h('input', {
    type: 'checkbox',
    checked: true,
    change: () => change({ ...options, pruned: pruned.checked }),
  })
  document.body.append(
    heading(search, rows),
    h(
      'main',
      {},
      h(
        'section',
        { id: 'tree', 'aria-label': 'The tree' },
        h(
          'div',
          { class: 'controls' },
          ...buttons(view),
          end < 0 ? null : h('button', { type: 'button', click: () => goTo(end) }, 'chosen'),
          rows.some(({ node }) => node.pruned) ? h('label', {}, pruned, 'pruned nodes') : null,
          note,
          everything,
        ),
        h('div', { class: 'stage' }, view.element, detail),
        legend(rows, scoreScale(range, threshold)),
        spoken,
      ),
      answers(rows, chosen, goTo),
    ),
  )
  const follow = (): void => {
    const id = /^#node=(\d+)$/.exec(location.hash)?.[1]
    const place = id === undefined ? -1 : rows.findIndex(({ node }) => node.node === Number(id))
    if (place >= 0 && place !== scene.selected) select(place)
  }
  window.addEventListener('hashchange', follow)
  requestAnimationFrame(follow)
}

function buttons({ zoomBy, fit }: Stage): HTMLElement[] {
  const button = (label: string, text: string, click: () => void): HTMLElement =>
    h('button', { type: 'button', 'aria-label': label, title: label, click }, text)
  return [
    button('zoom out', '−', () => zoomBy(0.8)),
    button('zoom in', '+', () => zoomBy(1.25)),
    button('fit the whole tree', 'fit', fit),
  ]
}

function hint(): HTMLElement {
  return h('p', { class: 'hint' }, 'Select a node to read its text, scores, visits, value, answer and its whole path.')
}

/** What a screen reader says of a node. */
function sentence(rows: readonly Row[], place: number): string {
  const { node, parent, children } = rows[place]!
  const siblings = rows[parent]?.children ?? [place]
  const parts = [
    `${nameOf(rows, place)}, ${siblings.indexOf(place) + 1} of ${siblings.length}`,
    node.value === null ? null : `value ${score(node.value)}`,
    node.visits === 0 ? null : plural(node.visits, 'visit'),
    node.finished ? `answer ${node.answer ?? 'none'}` : null,
    node.pruned ? 'pruned' : null,
    children.length === 0 ? null : `${children.length} below`,
    node.steps.at(-1) ?? null,
  ]
  return parts.filter(part => part !== null).join(', ')
}

function heading(search: Data['search'], rows: readonly Row[]): HTMLElement {
  const { problem, system, strategy, policy, prm, seed, ...rest } = search.configuration
  const name = strategy === undefined ? 'Search' : `Search: ${strategy?.strategy ?? 'one of your own'}`
  return h(
    'header',
    { class: 'top' },
    h('h1', {}, name),
    themeButton(),
    h('p', { class: 'byline' }, byline(search, rows)),
    problem === undefined ? null : h('div', { class: 'statement quoted', dir: 'auto', tabindex: 0 }, problem),
    h('p', { class: 'finding' }, ...finding(search)),
    spentTable(search),
    h(
      'details',
      { class: 'provenance' },
      h('summary', {}, 'What was run'),
      facts('Strategy', { ...strategy }),
      facts('Configuration', { policy, prm, system, seed, ...rest }),
    ),
  )
}

function byline({ configuration: { policy, seed } }: Data['search'], rows: readonly Row[]): string {
  const solutions = rows.filter(({ node }) => node.finished).length
  const parts = [
    plural(rows.length, 'node'),
    plural(solutions, 'solution'),
    policy && `policy ${policy.id}`,
    seed === undefined ? undefined : `seed ${seed}`,
  ]
  return parts.filter(part => part !== undefined).join(' · ')
}

function finding({ answer, finished, finish, limit }: Data['search']): Child[] {
  const end = {
    complete: 'The search is complete.',
    budget: `The budget ended it: ${limit === null ? '' : (MEASURES[limit]?.name ?? limit)}.`,
    aborted: 'It was stopped.',
  }
  const how = finish === null ? 'The journal was broken off: this is the search so far.' : end[finish]
  if (answer === null) return [finished ? 'The chosen solution has no answer. ' : 'No answer. ', how]
  return ['Answer ', quoted(answer, 'answer'), finished ? '. ' : ', of a path without an end. ', how]
}

type Measure = keyof SearchTree['spent']

/** What a search uses, and how it is written. */
const MEASURES: Readonly<Record<string, { readonly name: string; readonly write: (value: number) => string }>> = {
  generations: { name: 'generations', write: count },
  failures: { name: 'of these failed', write: count },
  cancelled: { name: 'cancelled', write: count },
  policyTokens: { name: 'policy tokens', write: count },
  prefillTokens: { name: 'prefill tokens', write: count },
  prmTokens: { name: 'PRM tokens', write: count },
  flops: { name: 'FLOPs', write: value => (value === 0 ? '0' : value.toExponential(2)) },
  ms: { name: 'seconds', write: seconds },
  overruns: { name: 'overruns', write: count },
}

function spentTable({ spent, configuration: { budget } }: Data['search']): HTMLElement {
  const limits = (budget ?? {}) as Partial<Record<string, number>>
  const shown = Object.entries(MEASURES).filter(([name]) => (spent[name as Measure] ?? 0) > 0 || name in limits)
  const write = (name: string, value: number | undefined): string =>
    value === undefined ? '' : MEASURES[name]!.write(value)
  const line = (title: string, of: (name: string) => string) => ({ title, of })
  const rows = [
    line('spent', name => write(name, spent[name as Measure])),
    line('budget', name => write(name, limits[name])),
    line('share, %', name => {
      const limit = limits[name]
      return limit === undefined || limit === 0 ? '' : decimal((100 * (spent[name as Measure] ?? 0)) / limit, 1)
    }),
  ]
  const bounded = shown.some(([name]) => name in limits)
  return table(
    bounded ? rows : rows.slice(0, 1),
    [
      { title: '', align: 'left', cell: ({ title }) => title },
      ...shown.map(([name, measure]) => ({
        title: measure.name,
        cell: ({ of }: (typeof rows)[number]) => of(name),
      })),
    ],
    { caption: bounded ? 'Budget' : 'Spent, without a budget', class: 'spent' },
  )
}

/** What the marks of the drawing mean. */
function legend(rows: readonly Row[], scale: HTMLElement): HTMLElement {
  const has = (test: (node: SearchTreeNode) => boolean): boolean => rows.some(({ node }) => test(node))
  const entry = (kind: string, text: string): HTMLElement =>
    h('li', {}, h('i', { class: `sample ${kind}`, 'aria-hidden': 'true' }), text)
  return h(
    'div',
    { class: 'legend' },
    has(({ scores }) => scores.length > 0) ? scale : null,
    h(
      'ul',
      {},
      entry('chosen', 'chosen path'),
      has(({ finished }) => finished) ? entry('finished', 'finished, → its answer') : null,
      has(({ pruned }) => pruned) ? entry('pruned', 'pruned') : null,
      h('li', {}, has(({ visits }) => visits > 0) ? '0.93 ×12: value and visits' : '0.93: value'),
    ),
    h(
      'p',
      { class: 'keys hint', id: 'tree-keys' },
      'Drag to pan, wheel or pinch to zoom. Keys: arrows go from node to node, with shift they pan; ',
      ...['+', '−', '0', 'Home', 'End', 'Enter', 'Esc'].flatMap((key, index) => [
        h('kbd', {}, key),
        [' ', ' zoom, ', ' fit, ', ' the problem, ', ' the chosen end, ', ' opens what is folded, ', ' lets go.'][
          index
        ],
      ]),
    ),
  )
}

interface Answer {
  readonly answer: string | null
  readonly places: number[]
}

/** The answers of the solutions, the most frequent first. */
function answers(rows: readonly Row[], chosen: ReadonlySet<number>, goTo: (place: number) => void): HTMLElement | null {
  const groups = new Map<number | null, Answer>()
  for (const [place, { node }] of rows.entries()) {
    if (!node.finished) continue
    const found = groups.get(node.group)
    if (found) found.places.push(place)
    else groups.set(node.group, { answer: node.answer, places: [place] })
  }
  if (groups.size === 0) return null
  const scoreOf = (place: number): number => rows[place]!.node.score ?? Number.NEGATIVE_INFINITY
  const best = ({ places }: Answer): number => places.reduce((a, b) => (scoreOf(b) > scoreOf(a) ? b : a))
  const sum = ({ places }: Answer): number | null =>
    places.every(place => rows[place]!.node.score === null)
      ? null
      : places.reduce((sum, place) => sum + (rows[place]!.node.score ?? 0), 0)
  const sorted = [...groups.values()].toSorted((a, b) => b.places.length - a.places.length)
  const shown = sorted.slice(0, MOST_ANSWERS)
  return h(
    'section',
    { id: 'answers', 'aria-labelledby': 'answers-title' },
    h('h2', { id: 'answers-title' }, 'Answers'),
    table(
      shown,
      [
        {
          title: 'answer',
          align: 'left',
          cell: ({ answer }) => (answer === null ? 'no answer' : quoted(answer, 'answer')),
        },
        { title: 'solutions', sort: ({ places }) => places.length, cell: ({ places }) => count(places.length) },
        { title: 'sum of scores', sort: one => sum(one) ?? Number.NaN, cell: one => score(sum(one)) },
        { title: 'best score', sort: one => scoreOf(best(one)), cell: one => score(rows[best(one)]!.node.score) },
        {
          title: 'best node',
          align: 'left',
          cell: one =>
            h(
              'button',
              { type: 'button', class: 'link', click: () => goTo(best(one)) },
              `node ${rows[best(one)]!.node.node}`,
            ),
        },
        { title: '', align: 'left', cell: ({ places }) => (places.some(at => chosen.has(at)) ? 'chosen' : '') },
      ],
      {
        caption: 'Equal answers count together',
        ...(sorted.length > shown.length && {
          notes: [`The ${shown.length} most frequent of ${count(sorted.length)} answers.`],
        }),
      },
    ),
  )
}

const MOST_ANSWERS = 50

start(JSON.parse(document.getElementById('data')!.textContent!))
