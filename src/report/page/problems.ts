/** The problems: a list that can be filtered and searched, and the one that is open. */
import type { ProblemResult, Summary } from '../../evaluate/summary.ts'
import { problemDetail, type View } from './candidates.ts'
import { fill, h, quoted } from './dom.ts'
import { type Filter, filtersFor, odds, scoredRules, searcher, thresholdOf } from './filters.ts'
import { count, plural } from './format.ts'
import type { RuleStyle } from './palette.ts'
import { scoreRange } from './steps.ts'

/** Links in the list at one time: the page stays as light with ten thousand problems as with ten. */
const PAGE = 25

/** So many characters of a problem stand in the list. */
const EXCERPT = 120

export interface Problems {
  readonly element: HTMLElement
  /** Opens the problem that the address names, if it names one. */
  readonly followAddress: () => void
  /** Answers a key; whether it meant something here. */
  readonly press: (key: string) => boolean
}

export function problemSection(
  summary: Summary,
  problems: readonly ProblemResult[],
  palette: ReadonlyMap<string, RuleStyle>,
): Problems {
  const rules = scoredRules(summary, problems)
  const view: View = {
    threshold: thresholdOf(summary),
    range: scoreRange(problems.flatMap(({ candidates }) => candidates.map(({ scores }) => scores ?? []))),
    palette,
  }
  const matches = searcher(problems)
  const byId = new Map(problems.toReversed().map(problem => [problem.id.toWellFormed(), problem]))

  let rule = rules[0] ?? null
  let filters = filtersFor(summary, rule)
  let filter = filters[0]!
  let query = ''
  let kept = problems
  let page = 0
  let open: ProblemResult | null = null

  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'filters' })
  const search = h('input', {
    type: 'search',
    placeholder: 'words in problems, steps, answers',
    'aria-label': 'search the problems',
    'aria-keyshortcuts': '/',
  })
  const status = h('p', { role: 'status', class: 'status' })
  const hint = h('p', { class: 'hint' })
  const list = h('ol', { class: 'list' })
  const pages = h('div', { class: 'pages' })
  const detail = h('div', { class: 'detail' })

  const showFilters = (): void => {
    filters = filtersFor(summary, rule)
    filter = filters.find(({ id }) => id === filter.id) ?? filters[0]!
    fill(chips, ...filters.map(filterChip))
  }
  const filterChip = (own: Filter): HTMLElement =>
    h(
      'button',
      {
        type: 'button',
        class: 'chip',
        title: own.hint,
        'data-filter': own.id,
        'aria-pressed': String(own.id === filter.id),
        click: () => {
          filter = own
          for (const chip of chips.children) {
            chip.setAttribute('aria-pressed', String(chip.getAttribute('data-filter') === own.id))
          }
          keep()
        },
      },
      own.title,
      h('span', { class: 'count' }, count(problems.filter(own.keeps).length)),
    )
  const keep = (): void => {
    kept = problems.filter(problem => filter.keeps(problem) && matches(problem, query))
    page = Math.max(0, open === null ? 0 : Math.floor(kept.indexOf(open) / PAGE))
    status.textContent = `${count(kept.length)} of ${plural(problems.length, 'problem')}`
    hint.textContent = `${filter.hint[0]!.toUpperCase()}${filter.hint.slice(1)}.`
    showPage()
  }
  const showPage = (): void => {
    const start = page * PAGE
    list.start = start + 1
    fill(list, ...kept.slice(start, start + PAGE).map(problem => h('li', {}, link(problem, problem === open, rule))))
    const last = Math.max(0, Math.ceil(kept.length / PAGE) - 1)
    const turn = (title: string, to: number): HTMLElement =>
      h('button', { type: 'button', disabled: to < 0 || to > last, click: () => turnTo(to) }, title)
    fill(
      pages,
      ...(last > 0 ? [turn('‹ previous', page - 1), `page ${page + 1} of ${last + 1}`, turn('next ›', page + 1)] : []),
    )
  }
  const turnTo = (to: number): void => {
    page = to
    showPage()
  }
  const show = (problem: ProblemResult): void => {
    if (problem === open) return
    open = problem
    const index = kept.indexOf(problem)
    if (index !== -1) page = Math.floor(index / PAGE)
    showPage()
    fill(detail, problemDetail(problem, view))
  }
  /** Opens a neighbour in the list; the address follows, without a new entry in the history for each. */
  const move = (by: number): void => {
    const from = open === null ? -1 : kept.indexOf(open)
    const to = from === -1 ? (by > 0 ? 0 : kept.length - 1) : from + by
    const problem = kept[to]
    if (problem === undefined) return
    const focused = list.contains(document.activeElement)
    show(problem)
    location.replace(addressOf(problem.id))
    const current = list.querySelector<HTMLElement>('[aria-current]')
    if (focused) current?.focus()
    else current?.scrollIntoView({ block: 'nearest' })
  }
  search.addEventListener('input', () => {
    query = search.value
    keep()
  })
  search.addEventListener('keydown', event => {
    if (event.key === 'Escape') search.blur()
    if (event.key === 'Enter') move(open !== null && kept.includes(open) ? 0 : 1)
  })
  list.addEventListener('keydown', event => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
    event.preventDefault()
    move(event.key === 'ArrowDown' ? 1 : -1)
  })

  showFilters()
  keep()
  const element = h(
    'section',
    { id: 'problems', 'aria-labelledby': 'problems-title' },
    h('h2', { id: 'problems-title' }, 'Problems'),
    h(
      'div',
      { class: 'finder' },
      chips,
      rules.length > 1
        ? ruleChoice(rules, name => {
            rule = name
            showFilters()
            keep()
          })
        : null,
      h('div', { class: 'controls' }, search, status),
      hint,
      h(
        'p',
        { class: 'hint keys' },
        h('kbd', {}, 'j'),
        ' ',
        h('kbd', {}, 'k'),
        ' next and previous problem, ',
        h('kbd', {}, '/'),
        ' search',
      ),
    ),
    h('div', { class: 'browser' }, h('nav', { 'aria-label': 'problems' }, list, pages), detail),
  )
  return {
    element,
    followAddress: () => {
      const id = idIn(location.hash)
      if (id === null) return
      const problem = byId.get(id)
      if (problem) show(problem)
      else {
        open = null
        showPage()
        fill(detail, h('p', { class: 'absent' }, 'No problem is called ', quoted(id), '.'))
      }
      detail.scrollIntoView({ block: 'nearest' })
    },
    press: key => {
      if (key === '/') search.focus()
      else if (key === 'j') move(1)
      else if (key === 'k') move(-1)
      else return false
      return true
    },
  }
}

function ruleChoice(rules: readonly string[], choose: (rule: string) => void): HTMLElement {
  const select = h('select', {}, ...rules.map(rule => h('option', { value: rule }, rule)))
  select.addEventListener('change', () => choose(select.value))
  return h('label', { class: 'controls' }, 'PRM chooses by', select)
}

/** An entry of the list: an ordinary link, so that it can be copied, opened beside, and reached by Tab. */
function link({ id, problem, candidates, ...rest }: ProblemResult, current: boolean, rule: string | null): HTMLElement {
  const right = candidates.filter(({ correct }) => correct).length
  const marks = ['majority', rule].flatMap(name => {
    const choice = rest.choices.find(other => other.rule === name)
    if (choice === undefined) return []
    const chance = odds({ id, problem, candidates, ...rest }, choice.rule)
    const mark = chance > 0 ? '✓' : chance < 0 ? '✗' : '½'
    const style = chance > 0 ? 'right' : chance < 0 ? 'wrong' : ''
    return [h('span', { class: style }, `${choice.rule} ${mark}`)]
  })
  return h(
    'a',
    { href: addressOf(id), 'aria-current': current ? 'true' : null },
    h('span', { class: 'id' }, quoted(id)),
    h('span', { class: 'excerpt', dir: 'auto' }, excerpt(problem)),
    h(
      'span',
      { class: 'outcome' },
      h(
        'span',
        {},
        candidates.length === 1 ? (right === 1 ? 'right' : 'wrong') : `${right} of ${candidates.length} right`,
      ),
      ...marks,
    ),
  )
}

/** The beginning of a text, not cut inside a character. */
function excerpt(text: string): string {
  const characters = [...text.slice(0, 2 * EXCERPT).replaceAll(/\s+/g, ' ')]
  return characters.length > EXCERPT ? `${characters.slice(0, EXCERPT).join('')}…` : characters.join('')
}

function addressOf(id: string): string {
  return `#problem=${encodeURIComponent(id.toWellFormed())}`
}

function idIn(hash: string): string | null {
  const value = /^#problem=(.*)$/s.exec(hash)?.[1]
  if (value === undefined) return null
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
