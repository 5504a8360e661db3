import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ANNOTATIONS, type CollectProgress, type CollectSummary, collect } from '../annotate/collect.ts'
import { parseQuota } from '../annotate/collect-quotas.ts'
import type { CollectSource } from '../annotate/collect-sources.ts'
import type { Neutral } from '../datasets/index.ts'
import { resolveDataset } from '../hub/index.ts'
import { print } from './lines.ts'
import { defined, duration, ProgressLine, runFolder } from './run.ts'

export interface CollectCommand {
  /** `SOURCE` or `NAME=SOURCE`. */
  readonly sources: readonly string[]
  readonly problems?: readonly string[]
  readonly test?: readonly string[]
  readonly ngram?: number
  readonly quota?: readonly string[]
  readonly bins?: readonly number[]
  readonly seed?: number
  readonly neutral?: Neutral
  readonly name?: string
  readonly run?: string
  readonly limit?: number
  readonly dataFormat?: string
  readonly strict?: boolean
  readonly json?: boolean
  readonly quiet?: boolean
}

/** `surefoot annotate collect`: the exit code. */
export async function collectFiles(options: CollectCommand, signal: AbortSignal): Promise<number> {
  const { problems, test, ngram, quota, bins, seed, neutral, limit, dataFormat: format, strict } = options
  const run = runFolder('annotations', options)
  const progress = options.quiet ? null : new ProgressLine(collectText)
  try {
    const summary = await collect({
      sources: options.sources.map(source => ({ ...sourceOf(source), ...defined({ neutral, format }) })),
      run,
      download: resolveDataset,
      signal,
      ...(progress && { onProgress: event => progress.show(event) }),
      ...(test && { tests: test.map(sourceOf) }),
      ...(quota && { quotas: quota.map(parseQuota) }),
      ...defined({ problems, ngram, bins, seed, limit, strict }),
    })
    progress?.clear()
    await print(options.json ? JSON.stringify(summary) : summaryText(summary, run))
    return 0
  } catch (error) {
    progress?.clear()
    throw error
  }
}

/** `NAME=SOURCE` or a source alone; a path that is there is never taken for a name. */
function sourceOf(text: string): CollectSource {
  const parts = existsSync(text) ? null : /^([\w.-]+)=(.+)$/s.exec(text)
  return parts ? { name: parts[1]!, source: parts[2]! } : { source: text }
}

const what = {
  problems: 'reading what is known of problems',
  tests: 'reading test sets',
  read: 'reading',
  write: 'writing',
}

/** How far the work is, at what rate, and how long it will go on. */
export function collectText({ phase, records, share }: CollectProgress, seconds: number): string {
  const rate = Math.round(records / Math.max(seconds, 1e-3))
  const left = share > 0 ? `, ${Math.floor(100 * share)} %, ${duration((seconds * (1 - share)) / share)} left` : ''
  return `${what[phase]}: ${records} records, ${rate} records/s${left}`
}

function summaryText(summary: CollectSummary, run: string): string {
  const count = (value: number): string => value.toLocaleString('en')
  const gone = ({ duplicates, contradictions, contaminated, overQuota }: CollectSummary['sources'][number]): string =>
    [
      `${count(duplicates)} duplicates${contradictions > 0 ? ` (${count(contradictions)} with other labels)` : ''}`,
      `${count(contaminated)} contaminated`,
      `${count(overQuota)} over quota`,
    ].join(', ')
  const sources = summary.sources.flatMap(source => [
    `${source.name}: ${count(source.kept)} of ${count(source.read)} kept; ${gone(source)}`,
    ...(source.rejected > 0 ? [`  ${count(source.rejected)} rows do not fit`] : []),
    ...Object.entries(source.leftOut).map(([reason, times]) => `  ${count(times)} left out: ${reason}`),
  ])
  const tests = summary.tests.map(
    ({ name, problems, contaminated, examples }) =>
      `test set ${name}: ${count(problems)} problems, ${count(contaminated)} solutions overlap${
        examples[0] ? `; the first, ${examples[0].id}: ${examples[0].words}` : ''
      }`,
  )
  const unused = summary.quotas.filter(({ cells }) => cells.length === 0)
  return [
    ...sources,
    ...tests,
    ...unused.map(({ where, by }) => `no solution is of the quota ${JSON.stringify({ where, by })}`),
    ...(summary.unlabelled > 0 ? [`${count(summary.unlabelled)} of the solutions have no labels yet`] : []),
    `${count(summary.kept)} solutions: ${join(run, ANNOTATIONS)}`,
  ].join('\n')
}
