import { invalidArgument } from '../errors.ts'
import { requireCapabilities } from '../generator/generator.ts'
import type { Sampling } from '../search/driver.ts'
import { type Solved, solve } from '../search/solve.ts'
import { type Budget, type Strategy, strategyNames } from '../search/strategies.ts'
import { type DoneLine, writeLines } from './lines.ts'
import { loadModel, type ModelOptions } from './model.ts'
import { loadPolicy, type PolicyCommand, requestOf } from './policy.ts'
import { defined } from './run.ts'
import { badLineText, solvedText } from './text.ts'

export interface SolveCommand extends PolicyCommand, Pick<ModelOptions, 'prm' | 'head' | 'profile' | 'input' | 'json'> {
  /** One problem, instead of lines. */
  readonly problem?: string
  /** A name, or a JSON object. */
  readonly strategy: string
  readonly generations?: number
  readonly policyTokens?: number
  readonly prmTokens?: number
  readonly ms?: number
}

/** `surefoot solve`: the exit code, 1 when a problem failed. */
export async function solveLines(options: SolveCommand, signal: AbortSignal): Promise<number> {
  const strategy = strategyOf(options.strategy)
  const { generations, policyTokens, prmTokens, ms, concurrency, json } = options
  const budget: Budget = defined({ generations, policyTokens, prmTokens, ms })
  const policy = await loadPolicy(options, signal)
  if (!['bestOfN', 'majority', 'weightedVote'].includes(strategy.strategy)) {
    await policy.ready?.({ signal })
    requireCapabilities(policy, ['prefill'], strategy.strategy)
  }
  const { separator: _, ...modelOptions } = options
  await using prm = strategy.strategy === 'majority' ? null : await loadModel(modelOptions, signal)
  const { system, seed, separator, maxTokens, ...sampling } = requestOf(options)
  if (maxTokens !== undefined) invalidArgument('max-tokens', 'is a part of the strategy here: answerTokens, stepTokens')
  const work = async ({ problem, system: own }: Record<string, unknown>): Promise<Solved> =>
    solve(problem as string, {
      policy,
      ...(prm && { prm }),
      strategy,
      budget,
      sampling: sampling as Sampling,
      signal,
      ...defined({ system: (own as string | undefined) ?? system, seed, separator, concurrency }),
    })
  const show = {
    json: (line: DoneLine<Solved>) => solvedJson(line),
    text: ({ id, value, result }: DoneLine<Solved>) =>
      solvedText(id, String(value.problem), result, prm?.facts.threshold ?? null),
    bad: badLineText,
  }
  try {
    const { problem, input } = options
    return await writeLines({ ...defined({ input, json, problem }) }, signal, work, show)
  } finally {
    await policy[Symbol.asyncDispose]?.()
  }
}

function strategyOf(text: string): Strategy {
  if (!text.trimStart().startsWith('{')) {
    if (!strategyNames.includes(text as Strategy['strategy'])) {
      invalidArgument('strategy', `must be one of ${strategyNames.join(', ')}, or a JSON object`, text)
    }
    return { strategy: text } as Strategy
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    return invalidArgument('strategy', `is no JSON: ${(error as Error).message}`, text)
  }
}

function solvedJson({ id, result }: DoneLine<Solved>): object {
  const { answer, solution, finished, finish, limit, spent, solutions } = result
  return {
    ...(id !== null && { id }),
    answer,
    finished,
    finish,
    limit,
    score: solution?.score ?? null,
    steps: solution?.steps ?? [],
    solutions: solutions.map(({ answer, score, text }) => ({ answer, score, text })),
    spent,
  }
}
