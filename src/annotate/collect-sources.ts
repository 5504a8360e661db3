/** Data sources of any kind → solutions, each with what else is known of its problem. */
import { basename } from 'node:path'
import type { Neutral } from '../datasets/format.ts'
import { type ReadOptions, readDataset } from '../datasets/read.ts'
import type { DataRecord, LabelRecord, RecordedCandidate } from '../datasets/records.ts'
import { invalidArgument } from '../errors.ts'
import { equivalent, extractAnswer } from '../grade/index.ts'
import { splitSteps } from '../problem.ts'
import { KeyTable, keyOf, normalised } from './collect-keys.ts'

/** Where solutions come from. */
export interface CollectSource {
  /** A file, a folder or a hub id. */
  readonly source: string
  /** How quotas, ids and the summary call it. @default the name of the file or folder, or the hub id */
  readonly name?: string
  /** The data's format, where it is not to be recognised. */
  readonly format?: string
  /** What PRM800K's neutral ratings become. @default 'right' */
  readonly neutral?: Neutral
}

export interface NamedSource extends CollectSource {
  readonly name: string
}

/** @throws `ERR_INVALID_ARGUMENT` */
export function namedSources(sources: readonly (string | CollectSource)[]): NamedSource[] {
  if (!Array.isArray(sources) || sources.length === 0)
    invalidArgument('sources', 'must name at least one source', sources)
  const named = sources.map(source => {
    const whole = typeof source === 'string' ? { source } : source
    return { ...whole, name: whole.name ?? nameOf(whole.source) }
  })
  for (const [index, { name }] of named.entries()) {
    if (name === '') invalidArgument('sources', 'must have names that are not empty', name)
    if (named.findIndex(other => other.name === name) < index) {
      invalidArgument('sources', `two of them are called ${name}; give one another name: NAME=SOURCE`, name)
    }
  }
  return named
}

/** `data/train.jsonl.gz` → `train`; of a hub id all but `hf:`. */
function nameOf(source: string): string {
  if (typeof source !== 'string' || source === '')
    invalidArgument('sources', 'must be files, folders or hub ids', source)
  const data = /\.(?:jsonl?|ndjson|parquet)(?:\.gz)?$/i
  if (!data.test(source) && /^(?:hf:)?\w[\w.-]*\/\w[\w.-]*(?:@[^#]+)?(?:#.*)?$/.test(source))
    return source.replace(/^hf:/, '')
  return basename(source).replace(data, '')
}

/** What is known of a problem beside its text. */
export type Facts = Pick<LabelRecord, 'subject' | 'level' | 'passRate'> & { readonly answer?: string }

/** Facts by the normalised text of the problem. */
export class ProblemFacts {
  readonly #keys = new KeyTable()
  readonly #facts: Facts[] = []

  get size(): number {
    return this.#facts.length
  }

  /** What an earlier record said of the problem stays. */
  add(record: DataRecord): void {
    const [high, low] = keyOf(normalised(record.problem))
    const number = this.#keys.add(high!, low!)
    this.#facts[number] = { ...factsOf(record), ...this.#facts[number] }
  }

  of(problem: string): Facts | undefined {
    if (this.#facts.length === 0) return undefined
    const [high, low] = keyOf(normalised(problem))
    return this.#facts[this.#keys.find(high!, low!)]
  }
}

function factsOf(record: DataRecord): Facts {
  const facts: { -readonly [Name in keyof Facts]: Facts[Name] } = {}
  if ('answer' in record && record.answer !== null) facts.answer = record.answer
  if ('subject' in record && record.subject !== undefined) facts.subject = record.subject
  if ('level' in record && record.level !== undefined) facts.level = record.level
  const passRate = record.kind === 'candidates' ? shareRight(record.candidates, record.answer) : undefined
  if (record.kind === 'labels' && record.passRate !== undefined) facts.passRate = record.passRate
  if (passRate !== undefined) facts.passRate = passRate
  return facts
}

/** By the recorded verdicts; candidates without one are graded. */
function shareRight(candidates: readonly RecordedCandidate[], reference: string | null): number | undefined {
  const verdicts = candidates.map(({ correct, answer, text }) => {
    if (correct !== undefined || reference === null) return correct
    const found = answer === undefined ? (extractAnswer(text)?.text ?? null) : answer
    return found !== null && equivalent(reference, found).equal
  })
  const known = verdicts.filter(verdict => verdict !== undefined)
  return known.length === 0 ? undefined : known.filter(Boolean).length / known.length
}

export type SolutionOptions = Pick<
  ReadOptions,
  'strict' | 'limit' | 'download' | 'onRejected' | 'onRead' | 'signal'
> & {
  /** Called with why a record, or a part of it, makes no solution. */
  readonly onLeftOut?: (reason: string) => void
}

/** The solutions of a source: judged ones, and candidates and worked solutions, whose steps nobody judged. */
export async function* solutionsOf(
  { source, format, neutral }: CollectSource,
  facts: ProblemFacts,
  { onLeftOut = () => {}, ...options }: SolutionOptions,
): AsyncGenerator<LabelRecord, void, undefined> {
  const records: AsyncIterable<DataRecord> = readDataset(source, {
    ...options,
    onLeftOut: ({ reason }) => onLeftOut(reason),
    ...(format !== undefined && { format }),
    ...(neutral !== undefined && { neutral }),
  })
  for await (const record of records) {
    const known = facts.of(record.problem)
    for (const solution of solutionsIn(record, onLeftOut)) {
      yield known ? joined(solution, known) : solution
    }
  }
}

/** What the solution's own record says stays. */
function joined(solution: LabelRecord, { answer, ...facts }: Facts): LabelRecord {
  const more = Object.entries(facts).filter(([name]) => solution[name as keyof LabelRecord] === undefined)
  return { ...solution, answer: solution.answer ?? answer ?? null, ...Object.fromEntries(more) }
}

function* solutionsIn(record: DataRecord, leaveOut: (reason: string) => void): Generator<LabelRecord, void, undefined> {
  if (record.kind === 'labels') yield record
  else if (record.kind === 'code') leaveOut('a programming problem')
  else if (record.kind === 'problem') {
    const { id, problem, answer, solution, subject, level } = record
    const steps = stepsOf(solution ?? '')
    if (steps.length === 0) return leaveOut('a problem without a solution')
    const facts = { ...(subject !== undefined && { subject }), ...(level !== undefined && { level }) }
    yield { ...unjudged(id, problem, steps, answer), answerCorrect: true, ...facts }
  } else {
    const { id, problem, answer, candidates } = record
    for (const [index, { text, steps, correct, generator }] of candidates.entries()) {
      const cut = steps ?? stepsOf(text)
      if (cut.length === 0) {
        leaveOut('a candidate without text')
        continue
      }
      const more = {
        ...(correct !== undefined && { answerCorrect: correct }),
        ...(generator !== undefined && { generator }),
      }
      yield { ...unjudged(`${id}/${index}`, problem, cut, answer), ...more }
    }
  }
}

function unjudged(id: string, problem: string, steps: readonly string[], answer: string | null): LabelRecord {
  return { kind: 'labels', id, problem, steps, labels: steps.map(() => null), firstError: null, answer }
}

/** At blank lines; a text without any at its line breaks. */
function stepsOf(text: string): string[] {
  const paragraphs = splitSteps(text, '\n\n')
  return paragraphs.length > 1 ? paragraphs : splitSteps(text, '\n')
}
