import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { invalidArgument, SurefootError } from '../errors.ts'
import { bootstrapMean, type Interval } from '../evaluate/metrics.ts'
import { drawToFront, randomNumbers } from '../evaluate/random.ts'
import { writeWhole } from '../journal/run-folder.ts'
import { type AnnotateOptions, type Entry, type Job, withJob } from './run.ts'

export interface EstimateOptions extends AnnotateOptions {
  /** Records that are annotated to learn what the others will take. @default 20 */
  readonly sample?: number
  /** Of the choice of records. @default 1 */
  readonly seed?: number
}

/** What a run will take, by what a sample of it took. Intervals are of 95 %, by the bootstrap over records. */
export interface Estimate {
  readonly records: number
  /** Records that were annotated for it: they are kept in the run. */
  readonly sample: number
  /** Of the whole run, the sample's among them. */
  readonly rollouts: Interval
  /** That policies sample and PRMs read. */
  readonly tokens: Interval
  /** Of work on this machine at the sample's rate of tokens, the sample's own among them. */
  readonly seconds: Interval
  /** What the sample took. */
  readonly spent: { readonly rollouts: number; readonly tokens: number; readonly seconds: number }
}

/** The file of the run that holds what was expected. */
export const ESTIMATE = 'estimate.json'

/**
 * Annotates records drawn at random, and says what all of them will take. What is done is kept in the run: `annotate` with
 * `resume` goes on from there. Of a run that has an estimate with the same sample, that one is read.
 *
 * @throws as `annotate`
 */
export function estimate({ sample = 20, seed = 1, ...options }: EstimateOptions): Promise<Estimate> {
  for (const [name, value] of Object.entries({ sample, seed })) {
    if (!(Number.isSafeInteger(value) && value >= 1)) invalidArgument(name, 'must be a whole number from 1', value)
  }
  return withJob(options, async job => {
    const path = join(job.path, ESTIMATE)
    const count = Math.min(sample, job.records)
    const known = await readIfThere(path)
    if (known?.seed === seed && known.estimate.sample === count) return known.estimate
    const found = await measure(job, drawn(job.records, count, seed), options.concurrency ?? 8)
    await writeWhole(path, `${JSON.stringify({ seed, estimate: found }, null, 2)}\n`)
    return found
  })
}

interface Kept {
  readonly seed: number
  readonly estimate: Estimate
}

async function measure(job: Job, sample: ReadonlySet<number>, concurrency: number): Promise<Estimate> {
  const begun = performance.now()
  await job.work(sample)
  let seconds = (performance.now() - begun) / 1000
  const rollouts: number[] = []
  const tokens: number[] = []
  let ms = 0
  for await (const entry of job.found(sample)) {
    const spent = spentOn(entry)
    rollouts.push(spent.rollouts)
    tokens.push(spent.tokens)
    ms += spent.ms
  }
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)
  // Of a sample that an earlier process has annotated in part, or whole.
  if (job.tokens > 0) seconds *= sum(tokens) / job.tokens
  else if (sum(tokens) > 0) seconds = ms / 1000 / concurrency
  const spent = { rollouts: sum(rollouts), tokens: sum(tokens), seconds }
  const all = total(tokens, job.records)
  // A token takes the time that one of the sample took; without any, a record does.
  const rate = spent.tokens > 0 ? seconds / spent.tokens : 0
  const time = ({ value, low, high }: Interval): Interval =>
    rate > 0 ? { value: value * rate, low: low * rate, high: high * rate } : flat((seconds * job.records) / sample.size)
  return {
    records: job.records,
    sample: sample.size,
    rollouts: total(rollouts, job.records),
    tokens: all,
    seconds: time(all),
    spent,
  }
}

/** What all records take when some of them took this: only what the others will take is not known. */
function total(of: readonly number[], records: number): Interval {
  const known = of.reduce((sum, number) => sum + number, 0)
  const left = records - of.length
  const { value, low, high } = bootstrapMean(of)
  return { value: known + left * value, low: known + left * low, high: known + left * high }
}

function flat(value: number): Interval {
  return { value, low: value, high: value }
}

function spentOn({ written, lines }: Entry): { rollouts: number; tokens: number; ms: number } {
  let [rollouts, tokens, ms] = [0, 0, 0]
  if (written && 'solutions' in written) for (const solution of written.solutions) tokens += solution.tokens
  for (const line of lines) {
    if (line === null || !('judgement' in line)) continue
    const { cost, sampled = cost } = line.judgement
    rollouts += sampled.rollouts
    tokens += sampled.policyTokens + cost.prmTokens
    ms += line.ms
  }
  return { rollouts, tokens, ms }
}

/** So many different numbers below `records`. */
function drawn(records: number, count: number, seed: number): Set<number> {
  const numbers = Array.from({ length: records }, (_, number) => number)
  drawToFront(numbers, count, randomNumbers(seed))
  return new Set(numbers.slice(0, count))
}

async function readIfThere(path: string): Promise<Kept | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new SurefootError('ERR_IO', `${path}: ${(error as Error).message}`, { data: { path }, cause: error })
  }
}
