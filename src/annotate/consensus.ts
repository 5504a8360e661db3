/** Several judges of one solution → one set of labels, or none. */
import type { LabelRecord } from '../datasets/records.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import { type ExtractedBy, equivalent, extractAnswer } from '../grade/index.ts'
import type { Method } from './annotation.ts'
import { labelsFrom } from './judges/judgement.ts'

/** What is kept. The default keeps a solution when all judges name the same first error. */
export interface Rule {
  /** How many judges must say the same: `all`, or so many. Of two groups that are large enough the larger one counts. @default 'all' */
  readonly agree?: 'all' | number
  /**
   * What they must say the same of: where the first error is, or only whether there is one. Of judges that find a
   * solution wrong at different steps more than half decide where; without such a majority the steps that all of them
   * call right are labelled, and no other.
   *
   * @default 'location'
   */
  readonly on?: 'location' | 'correctness'
  /**
   * `instance`: a solution is kept whole or dropped. `step`: each step is labelled on which enough judges agree, and the
   * solution is dropped when there is none; a judge has no say on steps behind the first error that it names.
   *
   * @default 'instance'
   */
  readonly granularity?: 'instance' | 'step'
  /**
   * A judge that cannot say: one that does `disagree` with whatever the others say, or one to `ignore`, where `all` means
   * all that spoke, two at least. @default 'disagree'
   */
  readonly abstentions?: 'disagree' | 'ignore'
  /**
   * What the final answer has a say in, where it is known whether it is right.
   *
   * - `ignore`: nothing.
   * - `check`: a solution whose answer is wrong and in which no error was found is dropped.
   * - `blind`: besides, rollouts have no vote where the answer is right, for there the solution itself is a success of
   *   each of its steps: only others can find a wrong way to a right answer. The rest must agree.
   * - `right`: besides `check`, rollouts say "no error" where the answer is right, whatever they came to. So a wrong way
   *   to a right answer is dropped.
   *
   * @default 'check'
   */
  readonly answer?: 'ignore' | 'check' | 'blind' | 'right'
}

/** What one judge says of a solution: of a `Judgement`, what a consensus needs. */
export interface Vote {
  readonly method: Method
  /** Index of the first wrong step, −1 where there is none, null where the judge cannot say. */
  readonly firstError: number | null
}

/** A solution that judges have voted on. */
export interface Voted {
  /** One a judge, always in the same order. */
  readonly votes: readonly Vote[]
  /** How many steps it has. */
  readonly steps: number
  /** Whether its final answer is right; null where that is not known. */
  readonly answerCorrect: boolean | null
}

/**
 * Why a solution is dropped. `location`: enough judges find it wrong, and not enough at one step. `correctness`: not
 * enough agree whether it is wrong. `abstentions`: too few could say. `answer`: no error was found, and the answer is
 * wrong. `labels`: they agree that it is wrong, and on no step. Joined files have two more: `cut` where they cut the
 * solution into other steps, `alone` where only one holds it.
 */
export const dropReasons = ['location', 'correctness', 'abstentions', 'answer', 'labels', 'cut', 'alone'] as const

export type DropReason = (typeof dropReasons)[number]

export type Decision =
  | {
      readonly kept: true
      /** null where steps are labelled, and the first error is not known. */
      readonly firstError: number | null
      readonly labels: LabelRecord['labels']
      /** How many judges said so, and how many there are. By `step` the fewest that agreed on a label. */
      readonly agreement: { readonly agreed: number; readonly of: number }
    }
  | { readonly kept: false; readonly reason: DropReason }

/**
 * Decides by a rule what is kept of a solution.
 *
 * @throws `ERR_INVALID_ARGUMENT` for a rule that cannot be, fewer than two votes, or a vote for no step of the solution
 */
export function consensus({ votes, steps, answerCorrect }: Voted, rule: Rule = {}): Decision {
  const checked = checkRule(rule, votes.length)
  const odd = votes.find(({ firstError: at }) => at !== null && !(Number.isInteger(at) && at >= -1 && at < steps))
  if (odd)
    invalidArgument('votes', `must be null, -1 or the index of one of ${steps} steps, got ${odd.firstError}`, odd)
  const counted = countedVotes(votes, answerCorrect, checked.answer)
  const spoke = counted.filter(at => at !== null)
  const need = neededOf(checked, counted.length, spoke.length)
  if (spoke.length < need) return { kept: false, reason: 'abstentions' }
  const decision =
    checked.granularity === 'step'
      ? bySteps(spoke, steps, need, votes.length)
      : bySolution(spoke, steps, need, votes.length, checked.on)
  const contradicted = decision.kept && decision.firstError === -1 && answerCorrect === false
  return contradicted && checked.answer !== 'ignore' ? { kept: false, reason: 'answer' } : decision
}

/** The rule with its defaults. @throws `ERR_INVALID_ARGUMENT` where it cannot be kept by so many judges */
export function checkRule(rule: Rule, judges: number): Required<Rule> {
  const checked: Required<Rule> = {
    agree: rule.agree ?? 'all',
    on: rule.on ?? 'location',
    granularity: rule.granularity ?? 'instance',
    abstentions: rule.abstentions ?? 'disagree',
    answer: rule.answer ?? 'check',
  }
  oneOf('on', checked.on, ['location', 'correctness'])
  oneOf('granularity', checked.granularity, ['instance', 'step'])
  oneOf('abstentions', checked.abstentions, ['disagree', 'ignore'])
  oneOf('answer', checked.answer, ['ignore', 'check', 'blind', 'right'])
  const { agree } = checked
  if (judges < 2) invalidArgument('judges', `a consensus needs two or more, got ${judges}`, judges)
  if (agree !== 'all' && !(Number.isInteger(agree) && agree >= 2 && agree <= judges)) {
    invalidArgument('agree', `must be 'all', or a whole number from 2 to the ${judges} judges, got ${agree}`, agree)
  }
  if (checked.granularity === 'step' && checked.on === 'correctness') {
    invalidArgument('on', "must be 'location' where steps are labelled one by one", checked.on)
  }
  return checked
}

function oneOf<T extends string>(name: string, value: T, known: readonly T[]): void {
  if (!known.includes(value)) invalidArgument(name, `must be one of ${known.join(', ')}, got ${value}`, value)
}

/** Rollouts in whatever order: their methods are one. */
const ROLLOUTS: readonly Method[] = ['rollouts', 'bisection', 'omega']

export function isByRollouts(method: Method): boolean {
  return ROLLOUTS.includes(method)
}

/** What each judge that has a say says. */
function countedVotes(
  votes: readonly Vote[],
  answerCorrect: boolean | null,
  answer: Required<Rule>['answer'],
): (number | null)[] {
  if (answerCorrect !== true || answer === 'ignore' || answer === 'check') return votes.map(vote => vote.firstError)
  if (answer === 'right') return votes.map(vote => (isByRollouts(vote.method) ? -1 : vote.firstError))
  return votes.filter(vote => !isByRollouts(vote.method)).map(vote => vote.firstError)
}

/** How many votes must agree; never one alone. */
function neededOf({ agree, abstentions }: Required<Rule>, having: number, spoke: number): number {
  const all = abstentions === 'ignore' ? spoke : having
  return Math.max(2, agree === 'all' ? all : Math.min(agree, having))
}

function bySolution(
  votes: readonly number[],
  steps: number,
  need: number,
  of: number,
  on: Required<Rule>['on'],
): Decision {
  const verdict = mostOf(votes.map(at => at === -1))
  const agreeOnVerdict = verdict !== null && verdict.count >= need
  if (on === 'location') {
    const place = mostOf(votes)
    if (place === null || place.count < need)
      return { kept: false, reason: agreeOnVerdict ? 'location' : 'correctness' }
    const labels = labelsFrom(place.value, steps)
    return { kept: true, firstError: place.value, labels, agreement: { agreed: place.count, of } }
  }
  if (!agreeOnVerdict) return { kept: false, reason: 'correctness' }
  const agreement = { agreed: verdict.count, of }
  const places = votes.filter(at => (at === -1) === verdict.value)
  const place = mostOf(places)
  if (place !== null && place.count * 2 > places.length) {
    return { kept: true, firstError: place.value, labels: labelsFrom(place.value, steps), agreement }
  }
  const earliest = Math.min(...places)
  if (earliest === 0) return { kept: false, reason: 'labels' }
  const labels = Array.from({ length: steps }, (_, step) => (step < earliest ? 1 : null))
  return { kept: true, firstError: null, labels, agreement }
}

function bySteps(votes: readonly number[], steps: number, need: number, of: number): Decision {
  const labels: (number | null)[] = []
  let agreed = of
  for (let step = 0; step < steps; step++) {
    const right = votes.filter(at => at === -1 || at > step).length
    const wrong = votes.filter(at => at === step).length
    const most = Math.max(right, wrong)
    const decided = most >= need && right !== wrong
    labels.push(decided ? Number(right > wrong) : null)
    if (decided) agreed = Math.min(agreed, most)
    if (!decided || wrong > right) break
  }
  const judged = labels.filter(label => label !== null).length
  if (judged === 0) return { kept: false, reason: votes.every(at => at >= 0) ? 'location' : 'correctness' }
  const firstError = labels.includes(0) ? labels.indexOf(0) : judged === steps ? -1 : null
  while (labels.length < steps) labels.push(null)
  return { kept: true, firstError, labels, agreement: { agreed, of } }
}

/** The value that occurs most often; null when two do. */
function mostOf<T>(values: readonly T[]): { readonly value: T; readonly count: number } | null {
  const counts = new Map<T, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  const [first, second] = [...counts].sort(([, a], [, b]) => b - a)
  return first === undefined || second?.[1] === first[1] ? null : { value: first[0], count: first[1] }
}

/** Who judges: the method, and the ids of the weights or of those who labelled. */
export interface JudgeName {
  readonly id: string
  readonly method: Method
  /** @default the id */
  readonly by?: readonly string[]
}

/**
 * Refuses judges that are one: judges of a consensus differ in weights or in method. Rollouts of one policy are one judge,
 * whatever their seeds and in whatever order they were made; so are a consensus and a judge that has had a say in it.
 *
 * @throws `ERR_INVALID_ARGUMENT` that names both
 */
export function checkJudges(judges: readonly JudgeName[]): void {
  for (const [index, judge] of judges.entries()) {
    const other = judges.slice(0, index).find(earlier => areOne(earlier, judge))
    if (!other) continue
    const both = other.id === judge.id ? `${judge.id} twice` : `${other.id} and ${judge.id}`
    throw new SurefootError(
      'ERR_INVALID_ARGUMENT',
      `judges: ${both}: these have the same weights and method, so they are one judge; take another model or method`,
      { data: { argument: 'judges', value: [other.id, judge.id] } },
    )
  }
}

function areOne(a: JudgeName, b: JudgeName): boolean {
  if (a.id === b.id) return true
  const [byA, byB] = [a.by ?? [a.id], b.by ?? [b.id]]
  if (a.method === 'consensus' || b.method === 'consensus') {
    return [a.id, ...byA].some(name => name === b.id || byB.includes(name))
  }
  const sameMethod = a.method === b.method || (isByRollouts(a.method) && isByRollouts(b.method))
  return sameMethod && byA.length === byB.length && byA.every(name => byB.includes(name))
}

/** What of a solution's text says that it is its final answer, and not just its last number. */
const EXPLICIT: readonly ExtractedBy[] = ['boxed', 'hash', 'cue']

/**
 * Whether the final answer of a solution is right: as it was recorded; else the answer that its text names as such, held
 * against the reference answer; null where there is neither.
 */
export function finalAnswerIsRight({
  steps,
  answer,
  answerCorrect,
}: Pick<LabelRecord, 'steps' | 'answer' | 'answerCorrect'>): boolean | null {
  if (answerCorrect !== undefined) return answerCorrect
  if (answer === null) return null
  const given = extractAnswer(steps.join('\n\n'))
  return given !== null && EXPLICIT.includes(given.how) ? equivalent(answer, given.text).equal : null
}
