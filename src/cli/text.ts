import { styleText } from 'node:util'
import type { Aggregate } from '../aggregate.ts'
import type { ModelFacts } from '../prm.ts'
import type { Ranked } from '../rerank.ts'
import type { ScoredStep, ScoredTrace } from '../scorer.ts'
import type { Solved } from '../search/solve.ts'
import type { Checked } from './inspect.ts'
import type { BadLine } from './lines.ts'

type Style = Parameters<typeof styleText>[0]

/** Colours `text` where standard output shows colours; NO_COLOR and FORCE_COLOR are honoured. */
export function paint(style: Style, text: string): string {
  return colours() ? styleText(style, text) : text
}

function colours(): boolean {
  if (process.env.NO_COLOR) return false
  if (process.env.FORCE_COLOR) return process.env.FORCE_COLOR !== '0'
  return process.stdout.isTTY === true && process.stdout.hasColors()
}

/** A scored solution, one step a line. */
export function traceText(id: unknown, problem: string, scored: ScoredTrace, by: Aggregate, facts: ModelFacts): string {
  const total = `${by} ${number(scored.aggregate)}  ${scored.semantics}  ${scored.tokens} tokens`
  return [
    heading(id, problem),
    ...scored.steps.map(step => stepText(step, facts)),
    paint('dim', `  ${total}`),
    '',
  ].join('\n')
}

/** Candidates, best first. */
export function rankingText(id: unknown, problem: string, ranking: readonly Ranked[], facts: ModelFacts): string {
  const candidates = ranking.flatMap(({ index, score, steps }, place) => [
    `${paint('bold', `${place + 1}.`)} candidate ${index}  ${paint('bold', number(score))}`,
    ...steps.map(step => stepText(step, facts)),
  ])
  return [heading(id, problem), ...candidates, ''].join('\n')
}

/** A solved problem: the chosen solution, and what it cost. */
export function solvedText(id: unknown, problem: string, solved: Solved, threshold: number | null): string {
  const { answer, solution, finished, finish, limit, spent, solutions } = solved
  const votes = new Map<string, number>()
  for (const { answer } of solutions) if (answer !== null) votes.set(answer, (votes.get(answer) ?? 0) + 1)
  const others = [...votes].sort(([, a], [, b]) => b - a).map(([answer, count]) => `${oneLine(answer)} (${count})`)
  const steps = (solution?.steps ?? []).map(({ text, score }) =>
    score === null ? `  ${oneLine(text)}` : stepText({ text, score }, { semantics: 'probability', threshold }),
  )
  const cost = `${spent.generations} generations, ${spent.policyTokens} + ${spent.prmTokens} tokens, ${spent.ms} ms`
  return [
    heading(id, problem),
    ...steps,
    `→ ${paint('bold', answer === null ? 'no answer' : oneLine(answer))}${finished ? '' : ', not finished'}`,
    ...(others.length > 1
      ? [paint('dim', `  among ${solutions.length} solutions: ${others.slice(0, 8).join(', ')}`)]
      : []),
    paint('dim', `  ${finish === 'budget' ? `the budget ended it (${limit})` : finish}: ${cost}`),
    '',
  ].join('\n')
}

export function badLineText({ id, line, error }: BadLine): string {
  const name = id === null ? `line ${line}` : `line ${line} (${String(id)})`
  return `${paint('red', `${name}: ${error.code}`)}: ${error.message}\n`
}

/** A published example beside ours. */
export function checkText({ source, published, scores, difference, tolerance, agrees }: Checked): string {
  const verdict = agrees ? paint('green', 'agrees') : paint('red', 'differs')
  return [
    `${verdict}: ${source}, largest difference ${difference.toFixed(4)} (tolerance ${tolerance})`,
    `  published ${published.map(number).join(' ')}`,
    `  here      ${scores.map(number).join(' ')}`,
  ].join('\n')
}

export function factsText(facts: ModelFacts): string {
  return Object.entries({
    family: [facts.family, ...facts.architectures].join(', '),
    head: `${facts.head}, by ${facts.evidence}`,
    profile: facts.profile,
    parameters: facts.parameters.toLocaleString('en'),
    dtype: facts.dtype,
    device: [facts.device, facts.isa, facts.precision].filter(Boolean).join(', '),
    context: `${facts.context} tokens`,
    semantics: facts.semantics,
    threshold: facts.threshold ?? 'none',
    labels: facts.labels,
    'split at': facts.split === null ? 'nowhere: it scores whole solutions' : JSON.stringify(facts.split),
    separator: `${JSON.stringify(facts.separator)} ${JSON.stringify(facts.separatorIds)}`,
    recipe: facts.source,
    aggregate: facts.aggregate,
  })
    .map(([name, value]) => `${paint('dim', name.padEnd(12))} ${value}`)
    .join('\n')
}

/** A step's score as a bar of ten, coloured, and its text. */
export function stepText(
  { text, score }: ScoredStep,
  { semantics, threshold }: Pick<ModelFacts, 'semantics' | 'threshold'>,
): string {
  const style = stepStyle(score, threshold)
  const bar = semantics === 'reward' ? '' : `${'█'.repeat(Math.round(score * 10)).padEnd(10, '·')} `
  return `  ${paint(style, `${bar}${number(score)}`)}  ${oneLine(text)}`
}

function stepStyle(score: number, threshold: number | null): Style {
  if (threshold === null) return 'cyan'
  if (score < threshold) return 'red'
  return score < (1 + threshold) / 2 ? 'yellow' : 'green'
}

function heading(id: unknown, problem: string): string {
  return paint('bold', `${id === null ? '' : `${String(id)}  `}${oneLine(problem)}`)
}

/** Control characters of foreign text never reach the terminal. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').trim()
}

function number(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3) : '–'
}
