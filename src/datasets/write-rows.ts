/** Solutions with step labels → rows of the formats that others read. */
import type { LabelRecord } from './records.ts'
import { ROW_BYTES } from './scan.ts'

/** The formats that can be written. */
export const writtenFormats = ['labels', 'trl', 'math-shepherd', 'prm800k', 'math-aps', 'math-aps-tree'] as const

export type WrittenFormat = (typeof writtenFormats)[number]

/** What a format's rows can hold, and how one is made. */
export interface RowWriter {
  readonly name: WrittenFormat
  /** Whether a label may lie between 0 and 1. */
  readonly soft: boolean
  /** Whether a step may be without a label. */
  readonly unjudged: boolean
  /** Whether a solution ends at its first wrong step. */
  readonly endsAtError: boolean
  /** What it cannot hold, in words. */
  readonly lacks: string
  /** The problem and a step as its reader gives them back. */
  readonly problem: (text: string) => string
  readonly step: (text: string, index: number) => string
  /** The row of these solutions, of one problem, as JSON: of one only, unless `together`. */
  readonly row: (records: readonly LabelRecord[]) => string
  /** Set where one row holds several solutions: how many characters a solution adds to it. */
  readonly together?: (record: LabelRecord) => number
}

const asIs = (text: string): string => text
const trimmed = (text: string): string => text.trim()

const own: RowWriter = {
  name: 'labels',
  soft: true,
  unjudged: true,
  endsAtError: false,
  lacks: 'nothing',
  problem: asIs,
  step: asIs,
  row: ([record]) => JSON.stringify(record),
}

const trl: RowWriter = {
  name: 'trl',
  soft: false,
  unjudged: false,
  endsAtError: false,
  lacks: 'soft labels, steps that were not judged, and whatever else is no problem, step or label',
  problem: asIs,
  step: asIs,
  row: ([record]) => {
    const { problem, steps, labels } = record!
    return JSON.stringify({ prompt: problem, completions: steps, labels: labels.map(label => label === 1) })
  },
}

const mathShepherd: RowWriter = {
  name: 'math-shepherd',
  soft: false,
  unjudged: false,
  endsAtError: false,
  lacks:
    'what `trl` lacks, except the group, which is its task; `ки` in a text; blanks around a text; steps without `Step 1:`, which is put before them; `Step 1:` inside the first step',
  problem: trimmed,
  step: (text, index) => {
    const step = text.trim()
    const named = index === 0 ? step.startsWith('Step 1:') : /^Step \d+:/.test(step)
    return named ? step : `Step ${index + 1}: ${step}`
  },
  row: ([record]) => {
    const { problem, steps, labels, group } = record!
    const named = steps.map(mathShepherd.step)
    const text = (mark: (index: number) => string): string =>
      `${problem.trim()} ${named.map((step, index) => `${step} ${mark(index)}`).join('\n')}`
    return JSON.stringify({
      input: text(() => 'ки'),
      label: text(index => (labels[index] === 1 ? '+' : '-')),
      ...(group !== undefined && { task: group }),
    })
  },
}

const prm800k: RowWriter = {
  name: 'prm800k',
  soft: false,
  unjudged: true,
  endsAtError: true,
  lacks:
    'soft labels, labels behind the first wrong step, ids, groups, generators, pass rates, rollouts; whether the answer is right where a step is wrong',
  problem: asIs,
  step: asIs,
  row: ([record]) => {
    const { problem, steps, labels, firstError, answer, answerCorrect, provenance } = record!
    const wrong = labels.indexOf(0)
    const solved = firstError === -1 && answerCorrect !== false
    return JSON.stringify({
      labeler: provenance?.by.join(', ') ?? null,
      timestamp: null,
      generation: null,
      is_quality_control_question: false,
      is_initial_screening_question: false,
      question: {
        problem,
        ground_truth_solution: null,
        ground_truth_answer: answer,
        pre_generated_steps: steps,
        pre_generated_answer: null,
        pre_generated_verifier_score: null,
      },
      label: {
        steps: steps.map((text, index) => ({
          completions: [{ text, rating: RATINGS.get(labels[index]!), flagged: null }],
          human_completion: null,
          chosen_completion: index === wrong ? null : 0,
        })),
        total_time: null,
        finish_reason: wrong >= 0 ? 'found_error' : solved ? 'solution' : 'give_up',
      },
    })
  },
}

const RATINGS: ReadonlyMap<number | null, number | null> = new Map([
  [1, 1],
  [0, -1],
  [null, null],
])

const apsLacks =
  'steps that were not judged; a first error that is not the first step at 0; blanks around a step; groups, generators, provenance, the number of rollouts'

const mathAps: RowWriter = {
  name: 'math-aps',
  soft: true,
  unjudged: false,
  endsAtError: false,
  lacks: `${apsLacks}; two steps of a problem that begin alike and differ in value, except in rows of their own`,
  problem: asIs,
  step: trimmed,
  together: ({ problem, steps }) => {
    let [size, prefix] = [0, problem.length]
    for (const step of steps) {
      prefix += 2 + step.length
      size += prefix
    }
    return size
  },
  row: records => {
    const { problem, passRate } = records[0]!
    const prefixes = passRate === undefined ? [] : [{ solution_prefix: problem, mc_value: passRate }]
    for (const [number, { steps, labels }] of records.entries()) {
      const shared = sharedSteps(records[number - 1], records[number]!)
      let prefix = problem
      for (const [index, step] of steps.entries()) {
        prefix += `\n\n${step.trim()}`
        if (index >= shared) prefixes.push({ solution_prefix: prefix, mc_value: labels[index]! })
      }
    }
    return JSON.stringify({ ...apsQuestion(records[0]!), reasoning_steps: prefixes })
  },
}

const mathApsTree: RowWriter = {
  name: 'math-aps-tree',
  soft: true,
  unjudged: false,
  endsAtError: false,
  lacks: apsLacks,
  problem: asIs,
  step: trimmed,
  together: ({ steps }) => steps.reduce((size, step) => size + step.length + 40, 0),
  // Text by text, since JSON.stringify cannot go as deep as a solution may be long.
  row: records => {
    const { problem, passRate } = records[0]!
    const parts = [JSON.stringify(apsQuestion(records[0]!)).slice(0, -1), ',"reasoning_steps":']
    parts.push(nodeStart(problem, passRate ?? null))
    let depth = 0
    for (const [number, { steps, labels }] of records.entries()) {
      const shared = sharedSteps(records[number - 1], records[number]!)
      parts.push(']}'.repeat(depth - shared), number > 0 ? ',' : '')
      for (let index = shared; index < steps.length; index++) {
        parts.push(nodeStart(steps[index]!.trim(), labels[index]!))
      }
      depth = steps.length
    }
    parts.push(']}'.repeat(depth + 1), '}')
    return parts.join('')
  },
}

function nodeStart(text: string, value: number | null): string {
  return `{"text":${JSON.stringify(text)},"mc_value":${JSON.stringify(value)},"children":[`
}

function apsQuestion({ id, problem, answer }: LabelRecord): Record<string, unknown> {
  const name = apsQuestionId(id)
  return {
    question: problem,
    final_answer: answer,
    question_id: String(Number(name)) === name ? Number(name) : name,
  }
}

/** The question of a solution: `3` of `3/0`, and of `3/0@file:1`, which is what a repeated id becomes. */
export function apsQuestionId(id: string): string {
  return id.replace(/\/\d+(@.*)?$/s, '')
}

/** How many of the first steps are the same, with the same labels; at least the last one of each is its own. */
function sharedSteps(before: LabelRecord | undefined, now: LabelRecord): number {
  if (before === undefined) return 0
  const most = Math.min(before.steps.length, now.steps.length) - 1
  let shared = 0
  while (
    shared < most &&
    before.steps[shared]!.trim() === now.steps[shared]!.trim() &&
    before.labels[shared] === now.labels[shared]
  ) {
    shared++
  }
  return shared
}

/** The longest row that is tried: a reader takes no longer one. */
export const ROW_CHARACTERS: number = ROW_BYTES / 2

/** By name. */
export const rowWriters: Readonly<Record<WrittenFormat, RowWriter>> = {
  labels: own,
  trl,
  'math-shepherd': mathShepherd,
  prm800k,
  'math-aps': mathAps,
  'math-aps-tree': mathApsTree,
}
