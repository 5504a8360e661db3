/** A recorded problem with its candidates → one line of the run: graded, grouped, scored, and what each rule chose. */
import type { CandidateRecord, RecordedCandidate } from '../datasets/records.ts'
import type { SurefootError } from '../errors.ts'
import { equivalent, extractAnswer, groupAnswers } from '../grade/index.ts'
import { type StepsTrace, splitSteps } from '../problem.ts'
import { isSound, type Scoring, type Semantics, type StepScorer, scoreTraces } from '../scorer.ts'
import type { Rule, Voter } from './rules.ts'
import type { CandidateResult, ProblemResult } from './summary.ts'

/** What is in the way of evaluating a record. */
export interface Flaw {
  /** Path inside the record. */
  readonly field: string
  readonly expected: string
  readonly got: string
}

/** What of a run's plan decides how a record is read. */
export interface CandidatePlan {
  readonly scorer: StepScorer | null
  /** Whether the scorer gives one number for a whole solution. */
  readonly outcome: boolean
  /** Where texts without steps are split. */
  readonly split: string
  readonly rules: readonly Rule[]
}

/** The first thing in a record that keeps it from being evaluated; null when it is sound. */
export function flawOf(record: CandidateRecord, plan: Pick<CandidatePlan, 'scorer' | 'split'>): Flaw | null {
  for (const [index, candidate] of record.candidates.entries()) {
    const field = `candidates[${index}]`
    if (candidate.correct === undefined && record.answer === null) {
      const expected = 'a verdict, or a reference answer to grade by'
      return { field: `${field}.correct`, expected, got: 'neither' }
    }
    const odd = candidate.scores?.findIndex(score => !Number.isFinite(score)) ?? -1
    if (odd >= 0)
      return { field: `${field}.scores[${odd}]`, expected: 'a finite number', got: `${candidate.scores![odd]}` }
    if (candidate.score !== undefined && !Number.isFinite(candidate.score)) {
      return { field: `${field}.score`, expected: 'a finite number', got: `${candidate.score}` }
    }
    if (plan.scorer || !candidate.scores) continue
    const steps = stepsOf(candidate, plan.split).length
    if (candidate.scores.length !== steps) {
      return {
        field: `${field}.scores`,
        expected: `one score for each of ${steps} steps`,
        got: `${candidate.scores.length}`,
      }
    }
  }
  return null
}

/** What came of one problem, and of its candidates that could not be scored. */
export interface EvaluatedProblem {
  readonly problem: ProblemResult
  readonly failures: readonly SurefootError[]
}

/**
 * Evaluates one record; what it does not hold is made: steps by splitting the text, the answer by extraction, the verdict
 * by grading against the reference answer, the scores by the scorer.
 */
export async function evaluateCandidates(
  record: CandidateRecord,
  plan: CandidatePlan,
  signal?: AbortSignal,
): Promise<EvaluatedProblem> {
  const { candidates } = record
  const steps = candidates.map(candidate => stepsOf(candidate, plan.split))
  const scored = plan.outcome ? candidates.map(({ text }) => (text.trim() === '' ? [] : [text])) : steps
  const scorings = plan.scorer ? await scoreAll(record.problem, scored, plan.scorer, signal) : candidates.map(recorded)
  const answers = candidates.map(({ answer, text }) =>
    answer === undefined ? (extractAnswer(text)?.text ?? null) : answer,
  )
  const groups = groupNumbers(answers)
  const verdict = grader(record.answer)
  const results = candidates.map((candidate, index): CandidateResult => {
    const { scores, tokens, ms, failure } = scorings[index]!
    const answer = answers[index]!
    return {
      steps: steps[index]!,
      scores: plan.outcome ? null : scores,
      score: plan.outcome ? (scores?.[0] ?? null) : (candidate.score ?? null),
      answer,
      group: groups[index]!,
      correct: candidate.correct ?? (answer !== null && verdict(answer)),
      tokens: candidate.tokens ?? null,
      prmTokens: tokens,
      ms: candidate.ms ?? null,
      ...(plan.scorer && { prmMs: ms }),
      ...(failure && { failure: `${failure.code}: ${failure.message}` }),
      ...(candidate.generator !== undefined && { generator: candidate.generator }),
    }
  })
  return {
    problem: {
      id: record.id,
      problem: record.problem,
      answer: record.answer,
      candidates: results,
      choices: choicesOf(results, plan.rules),
      ...(record.recorded && { recorded: record.recorded }),
    },
    failures: scorings.flatMap(({ failure }) => failure ?? []),
  }
}

/** What each rule chooses among all candidates. */
function choicesOf(voters: readonly Voter[], rules: readonly Rule[]): ProblemResult['choices'] {
  return rules.flatMap(({ name, choose, chance }) =>
    choose ? { rule: name, chosen: choose(voters), right: chance(voters, voters.length) } : [],
  )
}

/** The steps of a candidate: as recorded, or its text split; none for an empty text. */
export function stepsOf({ steps, text }: Pick<RecordedCandidate, 'steps' | 'text'>, split: string): readonly string[] {
  return steps ?? splitSteps(text, split)
}

/** Scores all candidates that have steps in one call. */
async function scoreAll(
  problem: string,
  steps: readonly (readonly string[])[],
  scorer: StepScorer,
  signal: AbortSignal | undefined,
): Promise<Scoring[]> {
  const traces = steps.flatMap((steps): StepsTrace[] => (steps.length === 0 ? [] : [{ problem, steps }]))
  const scorings = (await scoreTraces(scorer, traces, signal)).values()
  return steps.map(({ length }) =>
    length === 0 ? { scores: [], tokens: 0, ms: 0, failure: null } : scorings.next().value!,
  )
}

function recorded({ scores }: RecordedCandidate): Scoring {
  return { scores: scores ?? null, tokens: null, ms: null, failure: null }
}

/** The number of each answer's class, by first appearance; units do not tell apart the answers to one question. */
function groupNumbers(answers: readonly (string | null)[]): (number | null)[] {
  const numbers = new Array<number | null>(answers.length).fill(null)
  for (const [number, { indices }] of groupAnswers(answers, { units: false }).entries()) {
    for (const index of indices) numbers[index] = number
  }
  return numbers
}

/** Grades each different answer once. */
function grader(reference: string | null): (answer: string) => boolean {
  const verdicts = new Map<string, boolean>()
  return answer => {
    let verdict = verdicts.get(answer)
    if (verdict === undefined) {
      verdict = reference !== null && equivalent(reference, answer).equal
      verdicts.set(answer, verdict)
    }
    return verdict
  }
}

/** What was recorded in a whole set of candidates, gathered before any of them is judged. */
export interface CandidateSurvey {
  readonly records: number
  readonly withScores: boolean
  readonly withReward: boolean
  /** What the recorded numbers can be: probabilities when all lie in [0, 1], else rewards. */
  readonly steps: Semantics | null
  readonly reward: Semantics | null
}

/** Adds up {@link CandidateSurvey}. */
export class Surveyor {
  #records = 0
  #scores = { seen: false, probabilities: true }
  #rewards = { seen: false, probabilities: true }

  add({ candidates }: CandidateRecord): void {
    this.#records++
    for (const { scores, score } of candidates) {
      if (scores) note(this.#scores, scores)
      if (score !== undefined) note(this.#rewards, [score])
    }
  }

  get survey(): CandidateSurvey {
    const semantics = ({ seen, probabilities }: Range): Semantics | null =>
      seen ? (probabilities ? 'probability' : 'reward') : null
    return {
      records: this.#records,
      withScores: this.#scores.seen,
      withReward: this.#rewards.seen,
      steps: semantics(this.#scores),
      reward: semantics(this.#rewards),
    }
  }
}

interface Range {
  seen: boolean
  probabilities: boolean
}

function note(range: Range, scores: readonly number[]): void {
  range.seen = true
  if (scores.some(score => !isSound(score, 'probability'))) range.probabilities = false
}
