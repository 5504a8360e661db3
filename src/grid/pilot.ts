import type { ProblemRecord } from '../datasets/records.ts'
import { invalidArgument, SurefootError } from '../errors.ts'
import type { Generator, Sample } from '../generator/generator.ts'
import { splitSteps } from '../problem.ts'
import type { Typical } from './cells.ts'
import type { GridOptions } from './options.ts'

/** Problems that are answered, and answers of each. */
const PILOT = { problems: 8, answers: 4 }

/**
 * What an answer takes, in the mean over some answers to the first problems: steps, tokens and milliseconds. It decides how
 * large strategies are, and is kept in the run, so that a resumed one has the same.
 *
 * @throws `ERR_INVALID_ARGUMENT` where no answer comes, with the last reason
 */
export async function measureTypical(
  policy: Generator,
  records: readonly ProblemRecord[],
  { sampling = {}, system, separator = policy.separator ?? '\n\n', seeds = [1] }: GridOptions,
  signal: AbortSignal,
): Promise<Typical> {
  const answers: Sample[] = []
  let ms = 0
  let failure: unknown
  for (const { problem } of records.slice(0, PILOT.problems)) {
    const request = { ...sampling, problem, n: PILOT.answers, separator, seed: seeds[0]!, path: 'pilot' }
    const begun = performance.now()
    try {
      answers.push(...(await policy.sample({ ...request, ...(system !== undefined && { system }) }, { signal })))
      ms += performance.now() - begun
    } catch (error) {
      signal.throwIfAborted()
      failure = error
    }
  }
  if (answers.length === 0) {
    if (SurefootError.isInstance(failure)) throw failure
    const message = failure instanceof Error ? failure.message : String(failure)
    invalidArgument('policy', `wrote no answer to any of the first problems: ${message}`)
  }
  const mean = (of: (answer: Sample) => number): number =>
    answers.reduce((sum, answer) => sum + of(answer), 0) / answers.length
  return {
    steps: Math.max(1, rounded(mean(({ text }) => splitSteps(text, separator).length))),
    tokens: Math.max(1, rounded(mean(({ tokens }) => tokens))),
    ms: Math.max(0.01, rounded(ms / answers.length)),
  }
}

const rounded = (value: number): number => Math.round(value * 100) / 100
