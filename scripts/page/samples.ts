/** Runs to draw the report with: recorded candidates, and made-up ones of any size. The same every time. */
import type { CandidateRecord } from '../../src/datasets/records.ts'
import { evaluateCandidates } from '../../src/evaluate/candidates.ts'
import { type Plan, planFor } from '../../src/evaluate/plan.ts'
import { summarise } from '../../src/evaluate/summarise.ts'
import type { CandidateResult, ProblemResult, Summary } from '../../src/evaluate/summary.ts'
import type { StepScorer } from '../../src/scorer.ts'

/** A run as the report takes it. */
export interface Sample {
  readonly summary: Summary
  readonly problems: readonly ProblemResult[]
}

/** The first hundred MATH-500 problems with four scored solutions each: `../shared/data/candidates/math500-prm-scored`. */
export async function recordedSample(text: string): Promise<Sample> {
  interface Row {
    readonly question: string
    readonly groundtruth: string
    readonly output: readonly {
      readonly text: string
      readonly value: readonly number[]
      readonly completion_tokens: number
    }[]
  }
  const plan = planOf('candidates', 'recorded')
  const problems: ProblemResult[] = []
  for (const [index, { question, groundtruth, output }] of (JSON.parse(text) as Row[]).entries()) {
    const record: CandidateRecord = {
      kind: 'candidates',
      id: `math500/${index}`,
      problem: question,
      answer: groundtruth,
      candidates: output.map(({ text, value, completion_tokens: tokens }) => ({
        text,
        steps: text.split('\n\n').slice(0, value.length),
        scores: value,
        tokens,
      })),
    }
    problems.push((await evaluateCandidates(record, plan)).problem)
  }
  return { problems, summary: await summaryOf('MATH-500, first hundred', problems, plan) }
}

/** A made-up run: {@link syntheticProblems} and what is found in them. */
export async function syntheticSample(count: number, candidates: number): Promise<Sample> {
  const problems = syntheticProblems(count, candidates)
  return { problems, summary: await summaryOf('Synthetic trains', problems, planOf('candidates', 'by a PRM')) }
}

/** `count` made-up problems with `candidates` solutions each, whose scores know a little of what is right. */
export function syntheticProblems(count: number, candidates: number): ProblemResult[] {
  const random = generator(7)
  const { rules } = planOf('candidates', 'by a PRM')
  return Array.from({ length: count }, (_, index): ProblemResult => {
    const ease = random()
    const right = 10 + (index % 90)
    const solutions = Array.from({ length: candidates }, () => solution(random, right, random() < 0.15 + 0.7 * ease))
    return {
      id: `synthetic/${String(index).padStart(3, '0')}`,
      problem: `Problem ${index}: a train leaves at $t = ${index}$ and arrives after $\\frac{${index}}{${1 + (index % 7)}}$ hours. When?`,
      answer: String(right),
      candidates: solutions,
      choices: rules.flatMap(({ name, choose, chance }) =>
        choose ? [{ rule: name, chosen: choose(solutions), right: chance(solutions, candidates) }] : [],
      ),
    }
  })
}

function solution(random: () => number, right: number, correct: boolean): CandidateResult {
  const off = correct ? 0 : 1 + Math.floor(random() * 3)
  const length = 2 + Math.floor(random() * 9)
  const weak = correct ? length : Math.floor(random() * length)
  const scores = Array.from({ length }, (_, step) => near(step >= weak ? 0.5 : 0.72, random))
  const steps = scores.map(
    (_, step) => `Step ${step + 1}: $x_{${step + 1}} = x_{${step}} + ${step}$, which holds for every $n \\ge ${step}$.`,
  )
  const tokens = 30 * length + Math.floor(random() * 60)
  return {
    steps: [...steps.slice(0, -1), `So the answer is \\boxed{${right + off}}.`],
    scores,
    score: null,
    answer: String(right + off),
    group: off,
    correct,
    tokens,
    prmTokens: tokens + 40,
    ms: tokens * 12,
    prmMs: tokens * 3,
  }
}

/** Made-up labelled solutions of two groups. */
export async function labelSample(count: number): Promise<Sample> {
  const random = generator(11)
  const problems = Array.from({ length: count }, (_, index): ProblemResult => {
    const length = 3 + Math.floor(random() * 6)
    const firstError = random() < 0.5 ? -1 : Math.floor(random() * length)
    const wrongFrom = firstError === -1 ? length : firstError
    const steps = Array.from({ length }, (_, step) => `Step ${step + 1}: ${index} + ${step} = ${index + step}.`)
    return {
      id: `labelled/${index}`,
      problem: `Labelled problem ${index}: what is $${index} + ${index}$?`,
      answer: String(2 * index),
      group: index % 2 === 0 ? 'qwen2' : 'llama-3.1',
      firstError,
      choices: [],
      candidates: [
        {
          steps,
          scores: steps.map((_, step) => near(step >= wrongFrom ? 0.4 : 0.75, random)),
          score: null,
          answer: null,
          group: null,
          correct: firstError === -1,
          labels: steps.map((_, step) => (step < wrongFrom ? 1 : step === wrongFrom ? 0 : null)),
          tokens: null,
          prmTokens: 40 * length,
          ms: null,
        },
      ],
    }
  })
  return { problems, summary: await summaryOf('Labelled sums', problems, planOf('labels', 'by a PRM')) }
}

/** A run whose scores were recorded, or came from a PRM whose cost counts. */
function planOf(kind: Summary['kind'], scored: 'recorded' | 'by a PRM'): Plan {
  const steps = scored === 'recorded' ? 'probability' : null
  const survey = { records: 1, withScores: steps !== null, withReward: false, steps, reward: null } as const
  return planFor(kind, { threshold: 0.5, ...(scored === 'by a PRM' && { prm }) }, survey)
}

/** The made-up candidates come with its scores. */
const prm: StepScorer = {
  facts: { semantics: 'probability', threshold: 0.5, split: '\n\n', aggregate: 'min' },
  score: () => Promise.reject(new Error('everything is scored')),
}

async function summaryOf(name: string, problems: readonly ProblemResult[], plan: Plan): Promise<Summary> {
  async function* lines(): AsyncGenerator<ProblemResult> {
    yield* problems
  }
  return await summarise(lines(), {
    name,
    plan,
    made: '2026-11-24T12:00:00.000Z',
    versions: { surefoot: '0.1.0' },
    configuration: { candidates: name, aggregates: plan.aggregates, seed: 1, resamples: 200 },
    hash: '0'.repeat(64),
    warnings: [],
    rows: {
      rejected: 1,
      examples: [{ file: 'sample.jsonl', line: 3, field: 'output[2].value', expected: 'numbers', got: '"none"' }],
    },
    seed: 1,
    resamples: 200,
  })
}

/** A number within 0.3 of `middle`, and inside (0, 1). */
function near(middle: number, random: () => number): number {
  return Math.min(0.999, Math.max(0.001, middle + (random() - 0.5) * 0.6))
}

/** Numbers in [0, 1) that only look random (a linear congruential generator). */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
