import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { AgreementStatistics } from '../annotate/agreement.ts'
import type { Rule } from '../annotate/consensus.ts'
import { annotateConsensus, type JudgeProgress } from '../annotate/consensus-live.ts'
import {
  type ConsensusProgress,
  type ConsensusSummary,
  DROPPED,
  type JudgementSource,
} from '../annotate/consensus-run.ts'
import type { Judge } from '../annotate/judge.ts'
import { generativeJudge } from '../annotate/judges/generative.ts'
import { calibrateThreshold, prmJudge } from '../annotate/judges/prm.ts'
import { aslafChoices, aslafRule } from '../annotate/presets.ts'
import { ANNOTATIONS } from '../annotate/run.ts'
import { resolveDataset } from '../datasets/index.ts'
import { readDataset } from '../datasets/read.ts'
import { invalidArgument } from '../errors.ts'
import type { Interval } from '../evaluate/metrics.ts'
import { print } from './lines.ts'
import { loadModel } from './model.ts'
import { loadPolicy, type PolicyCommand, requestOf } from './policy.ts'
import { defined, duration, ProgressLine, resumeCommand, runFolder } from './run.ts'

export interface ConsensusCommand extends PolicyCommand {
  /** Files of judgements: `SOURCE`, or `NAME=SOURCE`. */
  readonly judgements: readonly string[]
  readonly preset?: 'aslaf'
  readonly agree?: number
  readonly on?: Required<Rule>['on']
  readonly granularity?: Required<Rule>['granularity']
  readonly abstentions?: Required<Rule>['abstentions']
  readonly answer?: Required<Rule>['answer']
  /** What live judges judge. @default the first file of judgements */
  readonly solutions?: string
  /** A PRM as a judge; true: the embedded one. */
  readonly prm?: string | true
  readonly head?: string
  readonly profile?: string
  readonly threshold?: number
  /** Labelled solutions that the threshold is chosen on. */
  readonly calibrate?: string
  /** Critiques of each solution, by the policy at `--base-url` or `--policy`. */
  readonly samples?: number
  readonly name?: string
  readonly run?: string
  readonly resume?: boolean
  readonly limit?: number
  readonly strict?: boolean
  readonly window?: number
  readonly seed?: number
  readonly resamples?: number
  readonly json?: boolean
  readonly quiet?: boolean
}

/** `surefoot annotate consensus`: the exit code. */
export async function consensusFiles(options: ConsensusCommand, signal: AbortSignal): Promise<number> {
  const files = options.judgements.map(judgementsOf)
  const solutions = options.solutions ?? files[0]?.source
  if (typeof solutions !== 'string') invalidArgument('judgements', 'name a file of judgements, or --solutions')
  const run = runFolder(solutions, { name: 'consensus', ...defined({ run: options.run, name: options.name }) })
  const opened: AsyncDisposable[] = []
  const progress = options.quiet ? null : new ProgressLine<Shown>(progressText)
  const { resume, limit, strict, window, seed, resamples, concurrency, preset } = options
  try {
    const judges = await liveJudges(options, opened, signal)
    const summary = await annotateConsensus({
      judges: [...judges, ...files],
      rule: ruleOf(options, files.length + judges.length),
      run,
      ...(judges.length > 0 && { solutions }),
      setup: { preset: preset ?? null },
      download: resolveDataset,
      signal,
      ...(progress && { onProgress: event => progress.show(phased(event)) }),
      ...defined({ resume, limit, strict, window, seed, resamples, concurrency }),
    })
    progress?.clear()
    await print(options.json ? JSON.stringify(summary) : consensusText(summary, run, preset === 'aslaf'))
    return 0
  } catch (error) {
    progress?.clear()
    if (signal.aborted && existsSync(run)) {
      process.stderr.write(`surefoot: what was judged is in ${run}; go on with: ${resumeCommand()}\n`)
    }
    throw error
  } finally {
    for (const model of opened) await model[Symbol.asyncDispose]()
  }
}

/** `NAME=SOURCE` names who judged, unless it is a file itself. */
function judgementsOf(text: string): JudgementSource {
  const named = existsSync(text) ? null : /^([\w.:@/-]+)=(.+)$/s.exec(text)
  return named ? { by: named[1]!, source: named[2]! } : { source: text }
}

function ruleOf({ preset, agree, on, granularity, abstentions, answer }: ConsensusCommand, judges: number): Rule {
  const own = defined({ agree, on, granularity, abstentions, answer })
  if (preset === undefined) return own
  const [changed] = Object.keys(own)
  if (changed) invalidArgument(changed, `is decided by the preset ${preset}; leave out one of them`)
  if (judges < 3) invalidArgument('judgements', `aslaf needs three judges or more, got ${judges}`, judges)
  return aslafRule
}

/** The judges that are asked here: a PRM by `--prm`, a critic by `--policy` or `--base-url`. */
async function liveJudges(options: ConsensusCommand, opened: AsyncDisposable[], signal: AbortSignal): Promise<Judge[]> {
  const judges: Judge[] = []
  const { prm: ref, threshold: given, calibrate, policy, baseUrl, samples } = options
  if (ref !== undefined) {
    const { separator: _, prm: _prm, ...model } = options
    const prm = await loadModel({ ...model, ...(ref !== true && { prm: ref }) }, signal)
    opened.push(prm)
    const id = prm.facts.hubId ?? (ref === true ? 'embedded' : ref)
    const found =
      calibrate === undefined
        ? undefined
        : await calibrateThreshold(prm, readDataset(calibrate, { kind: 'labels', signal }), { signal })
    judges.push(prmJudge(prm, { id, ...defined({ threshold: given ?? found?.threshold }) }))
  }
  if (policy !== undefined || baseUrl !== undefined) {
    const generator = await loadPolicy(options, signal)
    if (generator[Symbol.asyncDispose]) opened.push(generator as AsyncDisposable)
    const { separator: _, ...request } = requestOf(options)
    judges.push(generativeJudge(generator, { request, ...defined({ samples }) }))
  }
  return judges
}

type Progress = ConsensusProgress | JudgeProgress

interface Shown {
  readonly phase: string
  readonly event: Progress
}

/** A judge's work is a phase of its own. */
function phased(event: Progress): Shown {
  return { phase: 'judge' in event ? `${event.judge} ${event.phase}` : event.phase, event }
}

function progressText({ event }: Shown, seconds: number): string {
  const rate = (done: number): number => done / Math.max(seconds, 1e-3)
  if ('judge' in event) {
    const { judge, phase, solutions, total, resumed, failed } = event
    if (phase !== 'judge') return `${judge}: ${phase} ${total} solutions`
    const now = rate(solutions - resumed)
    const left = now > 0 ? `, ${duration((total - solutions) / now)} left` : ''
    const lost = failed > 0 ? `, ${failed} failed` : ''
    return `${judge}: ${solutions} of ${total} solutions${lost}, ${now.toFixed(1)}/s${left}`
  }
  if (event.phase === 'measure') return 'measuring the agreement'
  return `${event.solutions} solutions joined, ${event.kept} kept: ${Math.round(rate(event.solutions))}/s`
}

/** The summary as tables. */
export function consensusText(summary: ConsensusSummary, run: string, withChoices = false): string {
  const { judges, rule, solutions, kept, retention, dropped, labels, agreement } = summary
  const agree = rule.agree === 'all' ? `all ${judges.length}` : `${rule.agree} of ${judges.length}`
  const lost = Object.entries(dropped).filter(([, { count }]) => count > 0)
  const rejected = judges.reduce((sum, judge) => sum + judge.rejected, 0)
  return [
    `${count(solutions)} solutions, kept where ${agree} judges agree on ${rule.on}, by ${rule.granularity}: ${count(kept)} (${percent(retention)} %)`,
    ...lost.map(
      ([reason, { count: times, examples }]) =>
        `  dropped, ${WHY[reason]}: ${count(times)} (${examples.join(', ')}${times > examples.length ? ', …' : ''})`,
    ),
    `  kept steps: ${count(labels.right)} right, ${count(labels.wrong)} wrong, ${count(labels.masked)} without a label; solutions: ${count(labels.withoutError)} without an error, ${count(labels.withError)} with one${labels.partly > 0 ? `, ${count(labels.partly)} in part` : ''}`,
    '',
    table(
      ['', 'judge', 'could say', 'finds no error', 'in no other file'],
      judges.map(({ id, alone }, index) => {
        const { spoke, right } = agreement.judges[index]!
        return [
          letter(index),
          id,
          count(spoke),
          spoke > 0 ? `${((100 * right) / spoke).toFixed(1)} %` : '',
          count(alone),
        ]
      }),
    ),
    '',
    table(['agreement', 'on location', 'on right or wrong'], agreementRows(agreement)),
    '',
    table(
      ['step', 'pairs of judges', 'agree, %'],
      agreement.byStep
        .slice(0, 12)
        .map(({ step, pairs, agreement: share }) => [String(step), count(pairs), percent(share)]),
    ),
    '',
    table(
      ['from the first error', 'votes', 'share, %'],
      agreement.byOffset
        .filter(({ votes }) => votes > 0)
        .map(({ offset, votes, share }) => [offsetText(offset), count(votes), percent(share)]),
    ),
    '',
    ...(rejected > 0 ? [`${count(rejected)} rows do not fit their format: see summary.json`] : []),
    ...(withChoices ? ['what the paper leaves open, and what is done here:', ...choiceLines(), ''] : []),
    'brackets: 95 %, bootstrap over problems',
    `kept: ${join(run, ANNOTATIONS)}`,
    `dropped: ${join(run, DROPPED)}`,
  ].join('\n')
}

const WHY: Readonly<Record<string, string>> = {
  location: 'at odds where the error is',
  correctness: 'at odds whether there is one',
  abstentions: 'too few could say',
  answer: 'no error found, and the answer is wrong',
  labels: 'an error, and no step on which they agree',
  cut: 'cut into other steps',
  alone: 'in one file only',
}

function agreementRows({ location, correctness }: AgreementStatistics): string[][] {
  const row = (name: string, a: Interval | null, b: Interval | null, show = percent): string[] => [
    name,
    show(a),
    show(b),
  ]
  return [
    row('pairs that agree, %', location.raw, correctness.raw),
    row('all agree, %', location.unanimous, correctness.unanimous),
    row("Fleiss' kappa, all could say", location.fleiss, correctness.fleiss, number),
    row("Fleiss' kappa, with missing", location.fleissWithMissing, correctness.fleissWithMissing, number),
    ...location.pairs.map(({ judges: [a, b], cohen }, index) =>
      row(`Cohen's kappa ${letter(a)}-${letter(b)}`, cohen, correctness.pairs[index]!.cohen, number),
    ),
  ]
}

function choiceLines(): string[] {
  return aslafChoices.map(({ open, taken }) => `  ${open}: ${taken}`)
}

function offsetText(offset: number | null): string {
  if (offset === null) return 'no error'
  if (Math.abs(offset) === 5) return offset < 0 ? '5 or more before' : '5 or more behind'
  return offset === 0 ? 'the step itself' : `${Math.abs(offset)} ${offset < 0 ? 'before' : 'behind'}`
}

function letter(judge: number): string {
  return judge < 26 ? String.fromCharCode(65 + judge) : String(judge + 1)
}

function count(value: number): string {
  return value.toLocaleString('en')
}

function percent(share: Interval | null): string {
  return bracketed(share && { value: 100 * share.value, low: 100 * share.low, high: 100 * share.high }, 1)
}

function number(value: Interval | null): string {
  return bracketed(value, 3)
}

function bracketed(interval: Interval | null, digits: number): string {
  if (interval === null) return '-'
  const { value, low, high } = interval
  return `${value.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`
}

/** Columns of text, the first two to the left. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map(row => row[column]!.length)))
  return [head, ...rows]
    .map(row =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
