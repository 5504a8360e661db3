import { createHash } from 'node:crypto'
import type { Generator, SampleRequest } from '../../src/generator/generator.ts'

export interface TablePolicy extends Generator {
  /** All that was asked, in order. */
  readonly requests: SampleRequest[]
}

/**
 * A policy whose chance to answer 42 is known for every prefix, by the number of its steps. Draws depend on their names
 * alone. A sample takes as many tokens as its index among the draws says, so that sums tell which ones were counted.
 */
export function tablePolicy(
  chance: (steps: number, request: SampleRequest) => number,
  before: (request: SampleRequest) => Promise<void> | void = () => {},
): TablePolicy {
  const requests: SampleRequest[] = []
  return {
    id: 'table',
    separator: '\n',
    capabilities: { prefill: true, n: true, stopReason: true, logprobs: false, seed: true },
    requests,
    async sample(request, { signal } = {}) {
      signal?.throwIfAborted()
      requests.push(request)
      await before(request)
      signal?.throwIfAborted()
      const { problem, prefix = '', path = '', seed = 1, n = 1 } = request
      const steps = prefix.split('\n').filter(step => step !== '').length
      return Array.from({ length: n }, (_, index) => {
        const bytes = createHash('sha256')
          .update(JSON.stringify([seed, problem, prefix, path, index]))
          .digest()
        const hit = bytes.readUInt32BE(0) / 2 ** 32 < chance(steps, request)
        return {
          text: `so it is\nThe answer is ${hit ? 42 : 7}`,
          ended: 'answer' as const,
          promptTokens: 10,
          tokens: 5 + (bytes[4]! % 4),
        }
      })
    },
  }
}

/** A solution of so many steps whose end is told by `answerCorrect`. */
export function solutionOf(
  steps: number,
  answerCorrect?: boolean,
  problem = 'What is 6 times 7?',
): { id: string; problem: string; steps: string[]; answer: string; answerCorrect?: boolean } {
  return {
    id: problem,
    problem,
    steps: Array.from({ length: steps }, (_, step) => `step ${step}`),
    answer: '42',
    ...(answerCorrect !== undefined && { answerCorrect }),
  }
}
