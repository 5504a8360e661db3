/** Which problems are worth a look, as pure functions over what the run recorded. */
import type { CandidateResult, ProblemResult, Summary } from '../../evaluate/summary.ts'
import { usesScores } from './palette.ts'

export interface Filter {
  readonly id: string
  readonly title: string
  /** What exactly is kept. */
  readonly hint: string
  readonly keeps: (problem: ProblemResult) => boolean
}

/** A score below it marks a weak step; null where the run has none. */
export function thresholdOf(summary: Summary): number | null {
  return summary.firstError?.rows.find(({ rule }) => rule === 'fixed')?.threshold ?? summary.scores?.threshold ?? null
}

/** The rules by scores that choose in these problems, the most accurate at its largest n first. */
export function scoredRules(summary: Summary, problems: readonly ProblemResult[]): string[] {
  const names = new Set(problems.flatMap(({ choices }) => choices.map(({ rule }) => rule)))
  return [...names].filter(usesScores).toSorted((a, b) => accuracyOf(summary, b) - accuracyOf(summary, a))
}

function accuracyOf(summary: Summary, rule: string): number {
  const results = summary.rules.filter(result => result.rule === rule).toSorted((a, b) => b.n - a.n)
  return results[0]?.accuracy.value ?? Number.NEGATIVE_INFINITY
}

/** The filters that make sense of such a run; `rule` is the one by scores that is held against the majority. */
export function filtersFor(summary: Summary, rule: string | null): Filter[] {
  const threshold = thresholdOf(summary)
  const all = { id: 'all', title: 'all', hint: 'every problem', keeps: () => true }
  return summary.kind === 'labels' ? [all, ...firstErrorFilters(threshold)] : [all, ...choiceFilters(rule, threshold)]
}

function choiceFilters(rule: string | null, threshold: number | null): Filter[] {
  const filters: Filter[] = [
    { id: 'disagree', title: 'rules disagree', hint: 'two rules chose answers with none in common', keeps: disagree },
  ]
  if (rule !== null) {
    filters.push(
      {
        id: 'prm-wrong',
        title: 'PRM wrong, majority right',
        hint: `${rule} is more likely wrong than right, the majority more likely right than wrong`,
        keeps: problem => odds(problem, rule) < 0 && odds(problem, 'majority') > 0,
      },
      {
        id: 'prm-right',
        title: 'PRM right, majority wrong',
        hint: `${rule} is more likely right than wrong, the majority more likely wrong than right`,
        keeps: problem => odds(problem, rule) > 0 && odds(problem, 'majority') < 0,
      },
    )
  }
  filters.push(
    {
      id: 'bad-step',
      title: 'right answer, bad step',
      hint: `a candidate with a right answer has a step labelled wrong${threshold === null ? '' : ` or, without labels, scored below ${threshold}`}`,
      keeps: ({ candidates }) =>
        candidates.some(candidate => candidate.correct && firstBadStep(candidate, threshold) !== -1),
    },
    {
      id: 'all-wrong',
      title: 'all wrong',
      hint: 'no candidate has a right answer',
      keeps: ({ candidates }) => candidates.every(({ correct }) => !correct),
    },
  )
  return filters
}

function firstErrorFilters(threshold: number | null): Filter[] {
  if (threshold === null) return []
  const kept = (test: (named: number, truth: number) => boolean) => {
    return ({ candidates, firstError }: ProblemResult): boolean =>
      candidates.some(candidate => {
        const truth = firstError ?? firstLabelledError(candidate)
        return candidate.scores !== null && truth !== null && test(firstBelow(candidate.scores, threshold), truth)
      })
  }
  return [
    {
      id: 'found',
      title: 'error found',
      hint: 'the first weak step is the first wrong step',
      keeps: kept((named, truth) => truth !== -1 && named === truth),
    },
    {
      id: 'misplaced',
      title: 'error misplaced',
      hint: 'another step than the first wrong one was named',
      keeps: kept((named, truth) => truth !== -1 && named !== -1 && named !== truth),
    },
    {
      id: 'missed',
      title: 'error missed',
      hint: 'no step of a wrong solution was named',
      keeps: kept((named, truth) => truth !== -1 && named === -1),
    },
    {
      id: 'false-alarm',
      title: 'false alarm',
      hint: 'a step of a right solution was named',
      keeps: kept((named, truth) => truth === -1 && named !== -1),
    },
  ]
}

/** Whether two rules chose answers of which none is the same. */
function disagree({ candidates, choices }: ProblemResult): boolean {
  const answers = choices
    .filter(({ chosen }) => chosen.length > 0)
    .map(({ chosen }) => new Set(chosen.map(index => candidates[index]?.group ?? null)))
  return answers.some((one, i) => answers.slice(i + 1).some(other => ![...one].some(group => other.has(group))))
}

/** Above 0: the rule's choice is more likely right than wrong. 0: even, or the rule chose nothing. */
export function odds({ choices }: ProblemResult, rule: string): number {
  const choice = choices.find(other => other.rule === rule)
  return choice === undefined ? 0 : choice.right - 0.5
}

/** The first step labelled wrong; without labels, the first scored below the threshold; −1 for none. */
function firstBadStep(candidate: CandidateResult, threshold: number | null): number {
  const labelled = firstLabelledError(candidate)
  if (labelled !== null) return labelled
  return candidate.scores === null || threshold === null ? -1 : firstBelow(candidate.scores, threshold)
}

/** Index of the first step whose label leans to wrong, −1 for none, null without labels. */
function firstLabelledError({ labels }: CandidateResult): number | null {
  if (labels === undefined || labels.every(label => label === null)) return null
  return labels.findIndex(label => label !== null && label < 0.5)
}

/** Index of the first score below `threshold`, −1 for none. */
export function firstBelow(scores: readonly number[], threshold: number): number {
  return scores.findIndex(score => score < threshold)
}

/** Whether the words of `query` all occur in what a problem and its candidates say, in any case. */
export function searcher(problems: readonly ProblemResult[]): (problem: ProblemResult, query: string) => boolean {
  const texts = new Map<ProblemResult, string>()
  const textOf = (problem: ProblemResult): string => {
    let text = texts.get(problem)
    if (text === undefined) {
      const solutions = problem.candidates.flatMap(({ steps, answer, generator }) => [...steps, answer, generator])
      text = [problem.id, problem.problem, problem.answer, problem.group, ...solutions]
        .filter(Boolean)
        .join('\n')
        .toLowerCase()
      if (problems.length <= CACHED) texts.set(problem, text)
    }
    return text
  }
  return (problem, query) => {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean)
    return words.length === 0 || words.every(word => textOf(problem).includes(word))
  }
}

/** Up to so many problems their lower-case text is kept, so that every key of a search answers at once. */
const CACHED = 5_000
