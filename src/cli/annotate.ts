import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { bisectionJudge } from '../annotate/bisection.ts'
import { type Estimate, estimate } from '../annotate/estimate.ts'
import type { Judge } from '../annotate/judge.ts'
import { RolloutSource } from '../annotate/rollout-source.ts'
import { byDifficulty, rolloutJudge } from '../annotate/rollouts.ts'
import {
  ANNOTATIONS,
  type AnnotateOptions,
  type AnnotateProgress,
  type AnnotateSummary,
  annotate,
} from '../annotate/run.ts'
import type { Stopping } from '../annotate/stopping.ts'
import { invalidArgument } from '../errors.ts'
import type { Interval } from '../evaluate/metrics.ts'
import type { Generator } from '../generator/generator.ts'
import { resolveDataset } from '../hub/index.ts'
import { print } from './lines.ts'
import { loadPolicy, type PolicyCommand, requestOf } from './policy.ts'
import { defined, duration, ProgressLine, resumeCommand, runFolder } from './run.ts'

export interface LabelCommand extends PolicyCommand {
  readonly problems?: string
  readonly solutions?: string
  readonly method: 'rollouts' | 'bisection'
  /** Solutions that are sampled of each problem. */
  readonly n?: number
  readonly k?: number | 'difficulty'
  readonly label?: 'hard' | 'soft' | 'ratio'
  readonly threshold?: number
  readonly ratio?: number
  readonly stopping?: Stopping['rule']
  /** Of `posterior`. */
  readonly error?: number
  readonly prior?: readonly [number, number]
  /** Of `hits`. */
  readonly hits?: number
  /** Also behind the first error. */
  readonly all?: boolean
  /** false: the border of a bisection is not tested again. */
  readonly retest?: boolean
  readonly ahead?: number
  /** Only a sample, and what all will take; true: of 20 records. */
  readonly estimate?: true | number
  readonly name?: string
  readonly run?: string
  readonly resume?: boolean
  readonly limit?: number
  readonly dataFormat?: string
  readonly strict?: boolean
  readonly json?: boolean
  readonly quiet?: boolean
}

/** `surefoot annotate label`: the exit code, 1 when a solution failed. */
export async function labelFile(options: LabelCommand, signal: AbortSignal): Promise<number> {
  const source = options.problems ?? options.solutions
  if (source === undefined) invalidArgument('problems', 'or --solutions must name the data')
  const run = runFolder(source, options)
  const policy = await loadPolicy(options, signal)
  const progress = options.quiet ? null : new ProgressLine(annotateText)
  try {
    const work = {
      ...workOf(options, policy),
      run,
      signal,
      ...(progress && { onProgress: (event: AnnotateProgress) => progress.show(event) }),
    }
    if (options.estimate !== undefined) {
      const sample = options.estimate === true ? undefined : options.estimate
      const expected = await estimate({ ...work, ...defined({ sample }) })
      progress?.clear()
      await print(options.json ? JSON.stringify(expected) : estimateText(expected))
      return 0
    }
    const summary = await annotate(work)
    progress?.clear()
    await print(options.json ? JSON.stringify(summary) : summaryText(summary, run))
    return summary.failed > 0 ? 1 : 0
  } catch (error) {
    progress?.clear()
    if (signal.aborted && existsSync(run)) {
      process.stderr.write(`surefoot: what was done is in ${run}; go on with: ${resumeCommand()}\n`)
    }
    throw error
  } finally {
    await policy[Symbol.asyncDispose]?.()
  }
}

function workOf(options: LabelCommand, policy: Generator): Omit<AnnotateOptions, 'run'> {
  const { problems, solutions, n, resume, concurrency, limit, dataFormat: format, strict, endpoint, template } = options
  const request = requestOf(options)
  return {
    judge: judgeOf(options, new RolloutSource({ policy, request })),
    ...(problems !== undefined && { sampling: { policy, request, ...defined({ n }) } }),
    separator: options.separator ?? policy.separator ?? '\n\n',
    setup: defined({ endpoint, template }),
    download: resolveDataset,
    ...defined({ problems, solutions, resume, concurrency, limit, format, strict }),
  }
}

/** What each method does not know. */
const OTHERS = {
  rollouts: ['retest'],
  bisection: ['label', 'ratio', 'all', 'hits'],
} as const

function judgeOf(options: LabelCommand, source: RolloutSource): Judge {
  const { method, k, label, threshold, ratio, all, retest, ahead } = options
  const other = OTHERS[method].find(name => options[name] !== undefined && !(name === 'retest' && options[name]))
  if (other) invalidArgument(other, `is not for --method ${method}`, options[other])
  const shared = { source, ...defined({ threshold, ahead, stopping: stoppingOf(options) }) }
  if (method === 'rollouts') {
    const maskAfterError = all ? false : undefined
    return rolloutJudge({
      ...shared,
      ...defined({ k: k === 'difficulty' ? byDifficulty : k, label, ratio, maskAfterError }),
    })
  }
  if (k === 'difficulty') invalidArgument('k', 'by difficulty is not for --method bisection', k)
  return bisectionJudge({ ...shared, ...defined({ k, retest }) })
}

function stoppingOf({ stopping, error, prior, hits }: LabelCommand): Stopping | undefined {
  const of = { posterior: { error, prior }, hits: { hits } }
  for (const [rule, settings] of Object.entries(of)) {
    for (const [name, value] of Object.entries(settings)) {
      if (value !== undefined && stopping !== rule) invalidArgument(name, `is for --stopping ${rule}`, value)
    }
  }
  if (stopping === undefined || stopping === 'fixed' || stopping === 'exact') return stopping && { rule: stopping }
  if (stopping === 'hits') return { rule: 'hits', hits: hits ?? 2 }
  return { rule: 'posterior', ...defined({ error, prior: prior && { a: prior[0], b: prior[1] } }) }
}

/** How far the work is, at what rate, and how long it will go on. */
export function annotateText(progress: AnnotateProgress, seconds: number): string {
  const { phase, records, solutions, total, resumed, failed, rollouts, tokens } = progress
  if (phase === 'read') return `reading: ${records} records`
  if (phase === 'write') return `writing ${solutions} annotations`
  const per = (count: number): number => count / Math.max(seconds, 1e-3)
  const rate = per(solutions - resumed)
  const left = rate > 0 ? `, ${duration((total - solutions) / rate)} left` : ''
  const taken = resumed > 0 ? `, ${resumed} of them from before` : ''
  const lost = failed > 0 ? `, ${failed} failed` : ''
  const work = `${rate.toFixed(1)} solutions/s, ${Math.round(per(rollouts))} rollouts/s, ${Math.round(per(tokens))} tokens/s`
  return `${solutions} of ${total} solutions${taken}${lost}: ${work}${left}`
}

const count = (value: number): string => Math.round(value).toLocaleString('en')

/** What a run will take. */
export function estimateText({ records, sample, rollouts, tokens, seconds, spent }: Estimate): string {
  const range = ({ value, low, high }: Interval, text: (value: number) => string): string =>
    `${text(value)} (95 %: ${text(low)} to ${text(high)})`
  return [
    `${count(records)} records will take ${range(seconds, duration)}:`,
    `  ${range(rollouts, count)} rollouts`,
    `  ${range(tokens, count)} tokens`,
    `from ${count(sample)} records, which took ${duration(spent.seconds)}, ${count(spent.tokens)} tokens, and are kept`,
    'begin with the same command with --resume and without --estimate',
  ].join('\n')
}

function summaryText(summary: AnnotateSummary, run: string): string {
  const { records, solutions, empty, failed, failures, unjudged, labels, firstErrors, rollouts, tokens, rows } = summary
  const wrong = firstErrors.at.reduce((sum, number) => sum + number, 0)
  const [first] = failures
  const saved = rollouts.saving === null ? '' : `, ${rollouts.saving.toFixed(2)} times as many without stopping early`
  const soft = labels.soft > 0 ? `, ${count(labels.soft)} in between` : ''
  const cached =
    tokens.computed === null || tokens.reused === null
      ? ''
      : `; ${count(tokens.computed)} computed, ${count(tokens.reused)} reused`
  return [
    `${count(records)} records, ${count(solutions)} solutions: ${count(wrong)} with an error, ${count(firstErrors.none)} without`,
    `steps: ${count(labels.right)} right, ${count(labels.wrong)} wrong${soft}, ${count(labels.masked)} without a label`,
    `labels rest on ${count(rollouts.used)} rollouts${saved}; ${count(rollouts.sampled)} were sampled`,
    `${count(tokens.sampled)} tokens sampled for labels, ${count(tokens.solutions)} for solutions${cached}`,
    ...Object.entries(unjudged).map(([code, number]) => `${count(number)} solutions not judged: ${code}`),
    ...(empty > 0 ? [`${count(empty)} solutions have no steps`] : []),
    ...(rows.rejected > 0 ? [`${count(rows.rejected)} rows of the data do not fit`] : []),
    ...(first ? [`${count(failed)} failed; the first, ${first.id}: ${first.code}: ${first.message}`] : []),
    ...(first ? [`try them again with: ${resumeCommand()}`] : []),
    `annotations: ${join(run, ANNOTATIONS)}`,
  ].join('\n')
}
