import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { Candidate } from '../evaluate/metrics.ts'
import { advantage, baselines, type ScoredCandidate, type Selection, scoredRules } from '../evaluate/selection.ts'
import { Policy } from '../generator/policy.ts'
import { PRM } from '../prm.ts'
import { stepsOfText } from '../problem.ts'
import { packageFolder } from '../resolve.ts'
import { print } from './lines.ts'
import { oneLine, paint, rankingText } from './text.ts'

/** A bundled problem of the tiny task (demo/README.md). */
interface TinyProblem {
  readonly problem: string
  readonly answer: string
}

/** The same with the solutions that the policy has just sampled. */
interface Sampled extends TinyProblem {
  readonly candidates: readonly (Candidate & { readonly solution: string })[]
}

/** A bundled problem of GSM8K, with the solutions of four large language models. */
interface GsmProblem {
  readonly problem: string
  readonly candidates: readonly { readonly model: string; readonly solution: string; readonly correct: boolean }[]
}

/** How many problems are shown with all their steps, and how many candidates of each. */
const SHOWN = { problems: 3, candidates: 3 }

/** Solutions that are sampled of each problem, and how. */
const SAMPLES = { n: 16, temperature: 1, seed: 1, maxTokens: 200 }

/** `surefoot demo`: samples solutions with the embedded policy, scores and ranks them with the embedded PRM. The exit code. */
export async function demo(options: { readonly json?: boolean }, signal: AbortSignal): Promise<number> {
  await using policy = await Policy.load(undefined, { signal })
  await using prm = await PRM.load(undefined, { signal })
  const gsm = readLines<GsmProblem>(bundled('gsm8k.jsonl').toString())
  if (!options.json) await print(introduction(policy, prm))
  const sampling = await timed(() => sampleAll(policy, readTiny(), signal))
  const tiny = sampling.result.problems
  const scoring = await timed(() => scoreAll(prm, tiny, signal))
  const { scored } = scoring.result
  const rules = [...baselines(scored), ...scoredRules(scored)]
  const tokens = { sampled: sampling.result.tokens, scored: scoring.result.tokens }
  if (options.json) {
    const foreign = await rankGsm(prm, gsm, signal)
    const numbers = rules.map(({ rule, accuracy }) => ({ rule, ...accuracy }))
    await print(JSON.stringify({ problems: tiny.length, tokens, rules: numbers, gsm8k: foreign.map(f => f.chosen) }))
    return 0
  }
  for (const problem of tiny.filter(({ candidates }) => isTelling(candidates)).slice(0, SHOWN.problems)) {
    await print(await shownProblem(prm, problem, signal))
  }
  await print(tableText(rules, tiny))
  await print(costText(tokens, sampling.seconds, scoring.seconds))
  await print(gsmText(await rankGsm(prm, gsm, signal)))
  return 0
}

async function timed<T>(work: () => Promise<T>): Promise<{ result: T; seconds: number }> {
  const started = performance.now()
  return { result: await work(), seconds: (performance.now() - started) / 1000 }
}

/** All problems at once: the engine batches their samples. */
async function sampleAll(
  policy: Policy,
  problems: readonly TinyProblem[],
  signal: AbortSignal,
): Promise<{ problems: Sampled[]; tokens: number }> {
  const line = progressLine('sampling', problems.length)
  let [done, tokens] = [0, 0]
  const sampled = problems.map(async ({ problem, answer }): Promise<Sampled> => {
    const samples = await policy.sample({ problem, ...SAMPLES }, { signal })
    for (const sample of samples) tokens += sample.tokens
    line(++done)
    const candidates = samples.map(({ text }) => {
      const found = answerOf(text)
      return { solution: text, answer: found, correct: found === answer }
    })
    return { problem, answer, candidates }
  })
  return { problems: await Promise.all(sampled), tokens }
}

/** What the last line gives as the answer (`A: 7` → `7`), or null. */
function answerOf(solution: string): string | null {
  return /(?:^|\n)A: (\d+)$/.exec(solution)?.[1] ?? null
}

function introduction(policy: Policy, prm: PRM): string {
  const millions = (parameters: number): string => (parameters / 1e6).toFixed(1)
  return `${paint('bold', 'surefoot demo')}: the embedded policy (${millions(policy.facts.parameters)} million parameters) writes solutions, here and now, and the
embedded process reward model (${millions(prm.facts.parameters)} million parameters, ${prm.facts.family}, head ${prm.facts.head}) scores every step of them:
the chance that the step is right. Bars: ${paint('green', 'sound')}, ${paint('yellow', 'doubtful')}, ${paint('red', `below ${prm.facts.threshold}`)}.
`
}

/** Scores each different solution once. */
async function scoreAll(
  prm: PRM,
  problems: readonly Sampled[],
  signal: AbortSignal,
): Promise<{ scored: ScoredCandidate[][]; tokens: number }> {
  const traces = new Map<string, { problem: string; steps: string[] }>()
  const key = (problem: string, solution: string): string => JSON.stringify([problem, solution])
  for (const { problem, candidates } of problems) {
    for (const { solution } of candidates) {
      const steps = stepsOfText(solution, prm.facts.split)
      if (steps.length > 0) traces.set(key(problem, solution), { problem, steps })
    }
  }
  const line = progressLine('scoring', traces.size)
  const results = await prm.score([...traces.values()], { signal, onProgress: ({ done }) => line(done) })
  const scores = new Map([...traces.keys()].map((key, index) => [key, results[index]!.steps.map(step => step.score)]))
  const scored = problems.map(({ problem, candidates }) =>
    candidates.map(({ solution, answer, correct }) => {
      return { answer, correct, scores: scores.get(key(problem, solution)) ?? [] }
    }),
  )
  return { scored, tokens: results.reduce((sum, result) => sum + result.tokens, 0) }
}

/** Says on a terminal how far the work is. */
function progressLine(what: string, total: number): (done: number) => void {
  if (!process.stderr.isTTY) return () => {}
  return done => {
    if (done % 10 === 0 || done === total) {
      process.stderr.write(`\r\x1b[K${done === total ? '' : `${what} ${done} of ${total}`}`)
    }
  }
}

/** Whether the choice matters: some candidates are right, and most are not. */
function isTelling(candidates: readonly Candidate[]): boolean {
  const right = candidates.filter(candidate => candidate.correct).length
  return right >= 3 && right < candidates.length / 2
}

async function shownProblem(prm: PRM, { problem, answer, candidates }: Sampled, signal: AbortSignal): Promise<string> {
  const answered = candidates.filter(candidate => candidate.answer !== null)
  const different = [...new Map(answered.map(candidate => [candidate.answer, candidate])).values()]
  const ranking = await prm.rerank(
    problem,
    different.map(candidate => candidate.solution),
    { signal },
  )
  const chosen = different[ranking[0]!.index]!
  const verdict = chosen.correct ? paint('green', 'right') : paint('red', `wrong, it is ${answer}`)
  const right = candidates.filter(candidate => candidate.correct).length
  return [
    rankingText(null, problem, ranking.slice(0, SHOWN.candidates), prm.facts).trimEnd(),
    `→ of ${different.length} different answers the PRM chooses ${paint('bold', String(chosen.answer))}: ${verdict}` +
      ` (${right} of ${candidates.length} samples were right)\n`,
  ].join('\n')
}

/** The table of selection rules, with the gain over majority. */
function tableText(rules: readonly Selection[], problems: readonly Sampled[]): string {
  const sampled = problems[0]!.candidates.length
  const majority = rules.find(({ rule }) => rule === `majority@${sampled}`)!
  const scored = rules.filter(({ rule }) => rule.startsWith('best-of') || rule.startsWith('weighted'))
  const named = (rule: string): Selection => scored.find(selection => selection.rule === rule)!
  const gains = [named(`best-of@${sampled} min`), named(`weighted vote@${sampled} min`)].map(rule => {
    const { value, low, high } = advantage(rule, majority)
    return `  ${rule.rule} over ${majority.rule}: ${points(value)} points (${points(low)} to ${points(high)})`
  })
  return [
    paint('bold', `${problems.length} problems x ${sampled} sampled solutions: share of right choices`),
    `  ${'rule'.padEnd(28)}right   95 % interval`,
    ...rules.map(row),
    paint('bold', 'gain, paired over problems, with 95 % interval'),
    ...gains,
  ].join('\n')
}

function costText(tokens: { sampled: number; scored: number }, sampling: number, scoring: number): string {
  const rate = (count: number, seconds: number): string =>
    `${count} tokens in ${seconds.toFixed(1)} s (${Math.round(count / seconds)} a second)`
  const text = `  sampled ${rate(tokens.sampled, sampling)}, scored ${rate(tokens.scored, scoring)}; more in models/README.md\n`
  return paint('dim', text)
}

function row({ rule, accuracy: { value, low, high } }: Selection): string {
  const bar = '█'.repeat(Math.round(value * 30))
  const range = `${percent(low)} to ${percent(high)}`
  return `  ${rule.padEnd(28)}${percent(value)}  ${range}  ${paint('cyan', bar)}`
}

interface GsmRanking {
  readonly problem: string
  readonly candidates: readonly { readonly model: string; readonly score: number; readonly correct: boolean }[]
  readonly chosen: { readonly model: string; readonly score: number; readonly correct: boolean }
}

async function rankGsm(prm: PRM, problems: readonly GsmProblem[], signal: AbortSignal): Promise<GsmRanking[]> {
  return Promise.all(
    problems.map(async ({ problem, candidates }) => {
      const solutions = candidates.map(candidate => candidate.solution)
      const ranking = await prm.rerank(problem, solutions, { signal })
      const ranked = ranking.map(({ index, score }) => {
        const { model, correct } = candidates[index]!
        return { model, score, correct }
      })
      return { problem, candidates: ranked, chosen: ranked[0]! }
    }),
  )
}

function gsmText(rankings: readonly GsmRanking[]): string {
  const right = rankings.filter(({ chosen }) => chosen.correct).length
  const all = rankings.flatMap(({ candidates }) => candidates)
  const rate = all.filter(({ correct }) => correct).length / all.length
  const lines = rankings.map(({ problem, candidates }) => {
    const marks = candidates.map(
      ({ score, correct }) => `${correct ? paint('green', '✓') : paint('red', '✗')} ${score.toFixed(3)}`,
    )
    return `  ${oneLine(problem).slice(0, 48).padEnd(50)}${marks.join('  ')}`
  })
  return [
    paint('bold', 'ten problems of GSM8K, each solved by four large language models, ranked (✓ right, ✗ wrong)'),
    ...lines,
    `  chosen right: ${right} of ${rankings.length}; a random choice: ${(rate * rankings.length).toFixed(1)}`,
    paint(
      'yellow',
      '  The tiny model was made for its own small world of stories, not for such text: these ranks mean nothing.',
    ),
    '  For real problems name a public PRM: PRM.load("Qwen/Qwen2.5-Math-PRM-7B") fetches it once.',
    paint('dim', '  Solutions: openai/grade-school-math (MIT), Cobbe et al., arXiv 2110.14168.'),
  ].join('\n')
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1).padStart(5)}`
}

function points(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(100 * value).toFixed(1)}`
}

function bundled(name: string): Buffer {
  return readFileSync(join(packageFolder, 'demo', name))
}

function readTiny(): TinyProblem[] {
  return readLines(gunzipSync(bundled('tiny.jsonl.gz')).toString())
}

function readLines<T>(text: string): T[] {
  return text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
}
