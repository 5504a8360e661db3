import type { Aggregate } from '../aggregate.ts'
import { invalidArgument } from '../errors.ts'
import { requireCapabilities } from '../generator/generator.ts'
import type { Sampling } from '../search/driver.ts'
import { readJournal } from '../search/journal.ts'
import { type Missing, replay } from '../search/replay.ts'
import { type Solved, solve } from '../search/solve.ts'
import { type Budget, type Choose, type Strategy, strategyNames } from '../search/strategies.ts'
import { type DoneLine, print, writeLines } from './lines.ts'
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
  readonly journal?: string
  readonly resume?: boolean
}

export interface ReplayCommand {
  readonly journal: string
  /** A name, or a JSON object. */
  readonly strategy?: string
  readonly aggregate?: Aggregate
  readonly choose?: Choose
  readonly json?: boolean
}

/** `surefoot solve`: the exit code, 1 when a problem failed. */
export async function solveLines(options: SolveCommand, signal: AbortSignal): Promise<number> {
  const strategy = strategyOf(options.strategy)
  const { generations, policyTokens, prmTokens, ms, concurrency, json, journal, resume } = options
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
      ...defined({ system: (own as string | undefined) ?? system, seed, separator, concurrency, journal, resume }),
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

/** `surefoot replay`: the exit code, 1 when the journal does not hold what is needed. */
export async function replayJournal({ journal, strategy, aggregate, choose, json }: ReplayCommand): Promise<number> {
  const asked = { strategy: strategy === undefined ? undefined : strategyOf(strategy), aggregate, choose }
  const result = await replay(journal, defined(asked))
  if (!result.complete) {
    await print(json ? JSON.stringify({ missing: result.missing }) : result.missing.map(missingText).join('\n'))
    return 1
  }
  const { problem, prm } = readJournal(journal).configuration
  const { solved } = result
  const shown = json
    ? JSON.stringify(solvedJson({ id: null, value: { problem }, result: solved }))
    : solvedText(null, problem, solved, prm?.threshold ?? null)
  await print(shown)
  return 0
}

function missingText(missing: Missing): string {
  if (missing.what === 'time') return `missing: what another search would come to in ${missing.ms} ms`
  const { node, prefix } = missing
  const where = node === 0 ? 'the problem' : `node ${node} (${JSON.stringify(prefix)})`
  if (missing.what === 'logPrior')
    return `missing: the log-probability of ${JSON.stringify(missing.text)} after ${where}`
  if (missing.what === 'scores') {
    return `missing: scores after ${where} of ${missing.steps.map(step => JSON.stringify(step)).join(', ')}`
  }
  const end = missing.until === 'step' ? 'of a step' : 'to the end of the answer'
  return `missing: ${missing.count} further continuations ${end} after ${where}`
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
