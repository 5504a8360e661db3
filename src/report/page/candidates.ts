/** One opened problem: its candidates side by side, their steps coloured by score. */
import type { ProblemResult } from '../../evaluate/summary.ts'
import { fill, h, quoted } from './dom.ts'
import { firstBelow } from './filters.ts'
import { NONE, percent, plural, score, seconds } from './format.ts'
import type { RuleStyle } from './palette.ts'
import { type Range, scoreScale, stepItem } from './steps.ts'
import { table } from './table.ts'

/** What the page knows of all problems when it shows one. */
export interface View {
  /** A score below it marks a weak step; null where there is none. */
  readonly threshold: number | null
  /** The scores that get the colours of the two ends. */
  readonly range: Range
  readonly palette: ReadonlyMap<string, RuleStyle>
}

/** So many candidates are shown at first; the rest when asked for. */
const SHOWN = 16

/** A problem opened. */
export function problemDetail(result: ProblemResult, view: View): HTMLElement {
  const { candidates } = result
  const list = h('div', { class: 'candidates', tabindex: 0, role: 'region', 'aria-label': 'candidates side by side' })
  const more = h('p')
  let shown = 0
  const show = (until: number): void => {
    for (; shown < Math.min(until, candidates.length); shown++) list.append(candidateCard(result, shown, view))
    const left = candidates.length - shown
    if (left === 0) fill(more)
    else {
      const label = `Show ${Math.min(SHOWN, left)} more of ${plural(left, 'candidate')}`
      fill(more, h('button', { type: 'button', click: () => show(shown + SHOWN) }, label))
    }
  }
  const goTo = (index: number): void => {
    show(index + 1)
    const card = list.children[index] as HTMLElement
    card.focus({ preventScroll: true })
    card.scrollIntoView({ block: 'nearest', inline: 'start' })
  }
  show(SHOWN)
  return h(
    'article',
    { class: 'problem' },
    h('h3', {}, quoted(result.id)),
    h('div', { class: 'statement quoted', dir: 'auto' }, result.problem),
    result.group === undefined ? null : h('p', {}, 'Group: ', quoted(result.group)),
    typeof result.firstError === 'number' ? h('p', {}, firstErrorText(result.firstError)) : null,
    result.answer === null
      ? h('p', { class: 'absent' }, 'No reference answer.')
      : h('p', {}, 'Reference answer: ', quoted(result.answer, 'answer')),
    candidates.every(({ group }) => group === null) ? null : answerTable(result, view, goTo),
    choiceDetails(result, view, goTo),
    recordedTable(result),
    candidates.every(({ scores }) => scores === null) ? null : scoreScale(view.range, view.threshold),
    list,
    more,
  )
}

function firstErrorText(index: number): string {
  return index === -1 ? 'No step is wrong.' : `The first wrong step is step ${index + 1}.`
}

/** The letter of an answer group: A to Z, then numbers. */
function letter(group: number | null): string {
  if (group === null) return NONE
  return group < 26 ? String.fromCodePoint(65 + group) : String(group + 1)
}

function links(indices: readonly number[], goTo: (index: number) => void): HTMLElement {
  return h(
    'span',
    { class: 'links' },
    ...indices.map(index => h('button', { type: 'button', class: 'link', click: () => goTo(index) }, `#${index + 1}`)),
  )
}

function answerTable({ candidates, choices }: ProblemResult, view: View, goTo: (index: number) => void): HTMLElement {
  const groups = new Map<number | null, number[]>()
  for (const [index, { group }] of candidates.entries()) groups.set(group, [...(groups.get(group) ?? []), index])
  const rows = [...groups].toSorted((a, b) => b[1].length - a[1].length)
  const chosenBy = (members: readonly number[]): string[] =>
    choices.filter(({ chosen }) => chosen.some(index => members.includes(index))).map(({ rule }) => rule)
  return table(
    rows,
    [
      { title: 'group', align: 'left', cell: ([group]) => letter(group) },
      {
        title: 'answer',
        align: 'left',
        cell: ([group, members]) =>
          group === null ? 'no answer' : quoted(candidates[members[0]!]!.answer ?? NONE, 'answer'),
      },
      { title: 'verdict', align: 'left', cell: ([, members]) => verdict(candidates[members[0]!]!.correct) },
      { title: 'votes', cell: ([, members]) => members.length },
      { title: 'candidates', align: 'left', cell: ([, members]) => links(members, goTo) },
      ...(choices.length > 0
        ? [
            {
              title: 'chosen by',
              align: 'left' as const,
              cell: ([, members]: [number | null, number[]]) => ruleList(chosenBy(members), view),
            },
          ]
        : []),
    ],
    { caption: 'Answer groups' },
  )
}

function ruleList(rules: readonly string[], view: View): HTMLElement | null {
  return rules.length === 0 ? null : h('ul', { class: 'rules' }, ...rules.map(rule => h('li', {}, named(rule, view))))
}

function choiceDetails(result: ProblemResult, view: View, goTo: (index: number) => void): HTMLElement | null {
  if (result.choices.length === 0) return null
  const choices = table(
    result.choices,
    [
      { title: 'rule', align: 'left', cell: ({ rule }) => named(rule, view) },
      { title: 'chose', align: 'left', cell: ({ chosen }) => (chosen.length === 0 ? NONE : links(chosen, goTo)) },
      {
        title: 'verdict',
        align: 'left',
        cell: ({ right, chosen }) =>
          right === 1 || right === 0 || chosen.length === 0
            ? verdict(right === 1)
            : `tie: right in ${percent(right, 0)} %`,
      },
    ],
    { caption: 'What each rule chose' },
  )
  return h('details', {}, h('summary', {}, 'Rule by rule'), choices)
}

/** Verdicts of rules that were recorded with the candidates. */
function recordedTable({ recorded }: ProblemResult): HTMLElement | null {
  const rows = Object.entries(recorded ?? {})
  if (rows.length === 0) return null
  return table(
    rows,
    [
      { title: 'recorded as', align: 'left', cell: ([name]) => quoted(name) },
      {
        title: 'verdict',
        align: 'left',
        cell: ([, value]) => (value === 0 || value === 1 ? verdict(value === 1) : value),
      },
    ],
    { caption: 'Verdicts recorded with the data' },
  )
}

/** The name of a rule with the colour that it has in the plots. */
function named(rule: string, { palette }: View): HTMLElement {
  const key = h('i', { class: 'key', 'aria-hidden': 'true' })
  key.style.setProperty('--key', palette.get(rule)?.color ?? 'var(--quiet)')
  return h('span', { class: 'keyed' }, key, rule)
}

function verdict(correct: boolean): HTMLElement {
  return h('span', { class: correct ? 'verdict right' : 'verdict wrong' }, correct ? '✓ right' : '✗ wrong')
}

function candidateCard(result: ProblemResult, index: number, view: View): HTMLElement {
  const candidate = result.candidates[index]!
  const chosenBy = result.choices.filter(({ chosen }) => chosen.includes(index)).map(({ rule }) => rule)
  const costs = [
    candidate.tokens === null ? null : plural(candidate.tokens, 'token'),
    candidate.prmTokens === null ? null : plural(candidate.prmTokens, 'PRM token'),
    candidate.ms === null ? null : `${seconds(candidate.ms)} s`,
    typeof candidate.prmMs === 'number' ? `scored in ${seconds(candidate.prmMs)} s` : null,
  ].filter(text => text !== null)
  const weak = candidate.scores === null || view.threshold === null ? -1 : firstBelow(candidate.scores, view.threshold)
  return h(
    'section',
    {
      class: candidate.correct ? 'candidate right' : 'candidate wrong',
      tabindex: -1,
      'aria-label': `candidate ${index + 1}`,
    },
    h(
      'header',
      {},
      h('h4', {}, `#${index + 1} `, verdict(candidate.correct)),
      candidate.labels !== undefined && candidate.answer === null
        ? null
        : h(
            'p',
            {},
            `Group ${letter(candidate.group)}: `,
            candidate.answer === null ? 'no answer' : quoted(candidate.answer, 'answer'),
          ),
      candidate.failure === undefined ? null : h('p', { class: 'failure' }, quoted(candidate.failure)),
      candidate.score === null ? null : h('p', {}, `Outcome score ${score(candidate.score)}`),
      h(
        'p',
        { class: 'costs' },
        candidate.generator === undefined ? null : quoted(candidate.generator),
        `${candidate.generator !== undefined && costs.length > 0 ? ' · ' : ''}${costs.join(' · ')}`,
      ),
      ruleList(chosenBy, view),
    ),
    h(
      'ol',
      { class: 'steps' },
      ...candidate.steps.map((text, step) =>
        stepItem(text, candidate.scores?.[step] ?? null, view.range, {
          label: candidate.labels?.[step],
          weak: weak === step,
        }),
      ),
    ),
    candidate.steps.length === 0 ? h('p', { class: 'absent' }, 'No steps.') : null,
  )
}
