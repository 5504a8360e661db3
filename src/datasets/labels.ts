/** Solutions whose steps were judged. */
import { compact, type Field, Misfit } from './fields.ts'
import { type Format, idOf, type Neutral, type RowContext } from './format.ts'
import { type LabelRecord, methods, type Provenance, type Rollouts } from './records.ts'
import { apsPrefixPaths, apsRootValue, apsTreePaths, type MonteCarloStep } from './trees.ts'

type Labels = readonly (number | null)[]

/** Steps, none of them blank. */
const stepsOf = (field: Field): string[] => field.someItems('step').map(step => step.text())

/** Right before the first error, wrong there, not judged behind it. */
function labelsBy(firstError: number, count: number): Labels {
  return Array.from({ length: count }, (_, index) =>
    firstError < 0 || index < firstError ? 1 : index === firstError ? 0 : null,
  )
}

/** The first step labelled 0; −1 when all are labelled right; null when the labels do not say. */
function firstErrorBy(labels: Labels): number | null {
  const at = labels.findIndex(label => label !== 1)
  return at < 0 ? -1 : labels[at] === 0 ? at : null
}

/** A label as 0 to 1, true or false, or null. */
function labelOf(field: Field): number | null {
  if (field.value === null || typeof field.value === 'boolean') return field.value === null ? null : Number(field.value)
  if (typeof field.value !== 'number') field.fail('true, false, a number from 0 to 1, or null')
  return field.number(0, 1)
}

const processBench: Format<'labels'> = {
  name: 'processbench',
  kind: 'labels',
  source: 'Qwen/ProcessBench',
  seen: 'file',
  reads:
    '`label` is the index of the first wrong step or −1; steps behind it are not judged. The group is the subset, from the id: `gsm8k`.',
  needs: ['problem', 'steps', 'label'],
  uses: ['id', 'generator', 'final_answer_correct'],
  *read(row, context) {
    const steps = stepsOf(row.at('steps'))
    const firstError = row.at('label').integer(-1, steps.length - 1)
    const id = row.at('id')
    yield compact<LabelRecord>({
      kind: 'labels',
      id: idOf(id, context),
      problem: row.at('problem').text(),
      steps,
      labels: labelsBy(firstError, steps.length),
      firstError,
      answer: null,
      answerCorrect: row.at('final_answer_correct').optional(field => field.boolean()),
      group: /^(.+)-\d+$/.exec(String(id.value))?.[1] ?? context.stem,
      generator: row.at('generator').optional(field => field.text()),
    })
  },
}

const FINISH = ['solution', 'found_error', 'give_up', 'bad_problem'] as const

const prm800k: Format<'labels'> = {
  name: 'prm800k',
  kind: 'labels',
  source: 'openai/prm800k, phases 1 and 2',
  seen: 'file',
  reads:
    'The path is the chosen completion of each step, or the step that a human wrote (right unless rated). Phase 2 ends at the first error, which is the first completion of the last step; phase 1 ends before a step that nobody chose. −1 is wrong, 1 right, 0 by `neutral`, null not judged. Alternatives that were not chosen are not read. Screening and quality-control rows and bad problems are left out. The group is the phase.',
  needs: ['question', 'label'],
  uses: ['generation', 'is_quality_control_question', 'is_initial_screening_question'],
  fits: ({ label }) => typeof label === 'object' && label !== null && 'steps' in label,
  *read(row, context) {
    for (const name of ['is_initial_screening_question', 'is_quality_control_question']) {
      if (row.at(name).optional(field => field.boolean())) return context.leaveOut(name)
    }
    const label = row.at('label')
    const finish = label.at('finish_reason').oneOf(FINISH)
    if (finish === 'bad_problem') return context.leaveOut('finish_reason is bad_problem')
    const question = row.at('question')
    const phase = question.at('pre_generated_steps').missing && row.at('generation').missing ? 1 : 2
    const path = pathOf(label.at('steps').someItems('step'), phase)
    if (path.length === 0) return context.leaveOut('no step was chosen')
    const wrong = path.findIndex(({ rating }) => rating === -1)
    yield compact<LabelRecord>({
      kind: 'labels',
      id: context.place,
      problem: question.at('problem').text(),
      steps: path.map(({ text }) => text),
      labels: path.map(({ rating }) => labelOfRating(rating, context.neutral)),
      firstError: wrong >= 0 ? wrong : finish === 'solution' ? -1 : null,
      answer: question.at('ground_truth_answer').optional(field => field.answer()) ?? null,
      answerCorrect: finish === 'solution' ? true : undefined,
      group: `phase ${phase}`,
    })
  },
}

interface RatedStep {
  readonly text: string
  readonly rating: number | null
}

function pathOf(steps: readonly Field[], phase: 1 | 2): RatedStep[] {
  const path: RatedStep[] = []
  for (const [index, step] of steps.entries()) {
    const completions = step.at('completions').optional(list => list.items()) ?? []
    const chosen = step.at('chosen_completion').optional(field => field.integer(0, completions.length - 1))
    const human = step.at('human_completion')
    if (chosen !== undefined) path.push(ratedStep(completions[chosen]!, null))
    else if (!human.missing) path.push(ratedStep(human, 1))
    else if (index < steps.length - 1) step.at('chosen_completion').fail('a choice: only the last step may have none')
    else if (phase === 2 && completions[0]) path.push(ratedStep(completions[0], null))
  }
  return path
}

function ratedStep(completion: Field, unrated: number | null): RatedStep {
  const rating = completion.at('rating', 'corrected_rating').optional(field => field.oneOf([-1, 0, 1]))
  return { text: completion.at('text').text(), rating: rating ?? unrated }
}

function labelOfRating(rating: number | null, neutral: Neutral): number | null {
  if (rating === null) return null
  if (rating !== 0) return rating === 1 ? 1 : 0
  return { right: 1, wrong: 0, masked: null }[neutral]
}

/** What ends each step in Math-Shepherd's input. */
const MARK = 'ки'

const mathShepherd: Format<'labels'> = {
  name: 'math-shepherd',
  kind: 'labels',
  source: 'peiyi9979/Math-Shepherd',
  seen: 'file',
  reads:
    '`label` is `input` with `+` or `-` in place of each `ки`. Steps keep their `Step 1:`; the problem stands before the first. The group is the task.',
  needs: ['input', 'label'],
  uses: ['task'],
  fits: ({ input, label }) => typeof input === 'string' && input.includes(MARK) && typeof label === 'string',
  *read(row, context) {
    const input: Field = row.at('input')
    const pieces = input.text().split(MARK)
    const labels = signsOf(row.at('label'), pieces)
    const [first, ...rest] = pieces.slice(0, -1)
    const start = (first ?? '').lastIndexOf('Step 1:')
    if (first === undefined || start < 0) input.fail(`a problem and steps from "Step 1:", each ended by ${MARK}`)
    if (pieces.at(-1)!.trim() !== '') input.fail(`${MARK} behind the last step`)
    const problem = first.slice(0, start).trim()
    const steps = [first.slice(start), ...rest].map(step => step.trim())
    if (problem === '') input.fail('a problem before "Step 1:"')
    if (steps.includes('')) input.fail(`a step before each ${MARK}`)
    yield compact<LabelRecord>({
      kind: 'labels',
      id: context.place,
      problem,
      steps,
      labels,
      firstError: firstErrorBy(labels),
      answer: null,
      group: row.at('task').optional(field => field.text()),
    })
  },
}

function signsOf(field: Field, pieces: readonly string[]): number[] {
  const label = field.text()
  const labels: number[] = []
  let at = 0
  for (const piece of pieces.slice(0, -1)) {
    if (!label.startsWith(piece, at)) field.fail(`the input's text up to step ${labels.length + 1}`)
    at += piece.length
    const sign = label[at++]
    if (sign !== '+' && sign !== '-') field.fail(`+ or - in place of ${MARK} ${labels.length + 1}`)
    labels.push(sign === '+' ? 1 : 0)
  }
  if (label.slice(at).trim() !== pieces.at(-1)!.trim()) field.fail(`as many signs as the input has ${MARK}`)
  return labels
}

const mathAps: Format<'labels'> = {
  name: 'math-aps',
  kind: 'labels',
  source: 'openreasoner/MATH-APS, prefixes',
  seen: 'file',
  reads:
    'One record for each prefix that no other prefix continues; its steps are what each prefix adds. Labels are `mc_value`, the share of rollouts that reach the answer; the first error is the first step at 0. The value of the question alone is the pass rate.',
  needs: ['question', 'reasoning_steps'],
  uses: ['final_answer', 'question_id'],
  fits: ({ reasoning_steps }) => Array.isArray(reasoning_steps),
  read: (row, context) =>
    apsRecords(row, context, apsPrefixPaths(row.at('reasoning_steps'), row.at('question').text())),
}

const mathApsTree: Format<'labels'> = {
  name: 'math-aps-tree',
  kind: 'labels',
  source: 'openreasoner/MATH-APS, trees',
  seen: 'file',
  reads: 'One record for each leaf; labels as in `math-aps`. The root is the question, and its value the pass rate.',
  needs: ['question', 'reasoning_steps'],
  uses: ['final_answer', 'question_id'],
  fits: ({ reasoning_steps: root }) => typeof root === 'object' && root !== null && !Array.isArray(root),
  read: (row, context) => apsRecords(row, context, apsTreePaths(row.at('reasoning_steps'))),
}

function* apsRecords(
  row: Field,
  context: RowContext,
  paths: Iterable<readonly MonteCarloStep[] | Misfit>,
): Generator<LabelRecord, void, undefined> {
  const id = idOf(row.at('question_id'), context)
  const problem = row.at('question').text()
  const answer = row.at('final_answer').optional(field => field.answer()) ?? null
  const passRate = apsRootValue(row.at('reasoning_steps'), problem)
  let number = 0
  for (const path of paths) {
    if (path instanceof Misfit) {
      context.reject(path)
      continue
    }
    yield compact<LabelRecord>({
      kind: 'labels',
      id: `${id}/${number++}`,
      problem,
      steps: path.map(({ text }) => text),
      labels: path.map(({ value }) => value),
      firstError: path.findIndex(({ value }) => value === 0),
      answer,
      passRate,
    })
  }
}

const trl: Format<'labels'> = {
  name: 'trl',
  kind: 'labels',
  source: "TRL's stepwise supervision",
  seen: 'schema',
  reads: 'Labels are true and false, or numbers from 0 to 1.',
  needs: ['prompt', 'completions', 'labels'],
  uses: ['id'],
  *read(row, context) {
    const steps = row
      .at('completions')
      .someItems('completion')
      .map(step => step.text())
    const labels = row.at('labels').itemsFor(steps.length, 'completions').map(labelOf)
    yield {
      kind: 'labels',
      id: idOf(row.at('id'), context),
      problem: row.at('prompt').text(),
      steps,
      labels,
      firstError: firstErrorBy(labels),
      answer: null,
    }
  },
}

const bigBenchMistake: Format<'labels'> = {
  name: 'bigbench-mistake',
  kind: 'labels',
  source: 'WHGTyen/BIG-Bench-Mistake',
  seen: 'file',
  reads:
    '`mistake_index` null says that there is no mistake; steps behind it are not judged. The answer is right when it equals the target. The group is the task, from the name of the file.',
  needs: ['input', 'steps', 'mistake_index'],
  uses: ['target', 'answer'],
  *read(row, context) {
    const steps = stepsOf(row.at('steps'))
    const mistake = row.at('mistake_index')
    if (mistake.value === undefined) mistake.fail('an index, or null for no mistake')
    const firstError = mistake.optional(field => field.integer(0, steps.length - 1)) ?? -1
    const target = row.at('target').optional(field => field.answer())
    const answer = row.at('answer').optional(field => field.answer())
    yield compact<LabelRecord>({
      kind: 'labels',
      id: context.place,
      problem: row.at('input').text(),
      steps,
      labels: labelsBy(firstError, steps.length),
      firstError,
      answer: target ?? null,
      answerCorrect: target === undefined ? undefined : answer === target,
      group: context.stem,
    })
  },
}

const prmBench: Format<'labels'> = {
  name: 'prmbench',
  kind: 'labels',
  source: 'hitsmy/PRMBench_Preview',
  seen: 'schema',
  reads:
    'The modified process; `error_steps` count from 1 and all others are right. As in its own evaluation, the original process of rows on redundancy is read too, as right in every step. The group is the classification.',
  needs: ['modified_question', 'modified_process', 'error_steps'],
  uses: ['idx', 'classification', 'original_question', 'original_process'],
  *read(row, context) {
    const category = row.at('classification').optional(field => field.text()) ?? 'unclassified'
    const number = idOf(row.at('idx'), context)
    const steps = stepsOf(row.at('modified_process'))
    const errors = row
      .at('error_steps')
      .items()
      .map(item => item.integer(1, steps.length) - 1)
    const wrong = new Set(errors)
    yield {
      kind: 'labels',
      id: `${category}_${number}`,
      problem: row.at('modified_question').text(),
      steps,
      labels: steps.map((_, index) => (wrong.has(index) ? 0 : 1)),
      firstError: steps.findIndex((_, index) => wrong.has(index)),
      answer: null,
      group: category,
    }
    if (category !== 'redundency') return
    const original = stepsOf(row.at('original_process'))
    yield {
      kind: 'labels',
      id: `correct_${number}`,
      problem: row.at('original_question').text(),
      steps: original,
      labels: original.map(() => 1),
      firstError: -1,
      answer: null,
      group: 'correct',
    }
  },
}

const own: Format<'labels'> = {
  name: 'labels',
  kind: 'labels',
  source: 'surefoot',
  seen: 'file',
  reads: 'A `LabelRecord` as JSON; see below. Without `firstError` it is the first label 0.',
  needs: ['problem', 'steps', 'labels'],
  uses: [
    'id',
    'firstError',
    'answer',
    'answerCorrect',
    'group',
    'generator',
    'subject',
    'level',
    'passRate',
    'provenance',
    'rollouts',
    'failure',
  ],
  *read(row, context) {
    const steps = stepsOf(row.at('steps'))
    const labels = row.at('labels').itemsFor(steps.length, 'steps').map(labelOf)
    const first = row.at('firstError')
    yield compact<LabelRecord>({
      kind: 'labels',
      id: idOf(row.at('id'), context),
      problem: row.at('problem').text(),
      steps,
      labels,
      firstError:
        first.value === undefined
          ? firstErrorBy(labels)
          : (first.optional(f => f.integer(-1, steps.length - 1)) ?? null),
      answer: row.at('answer').optional(field => field.answer()) ?? null,
      answerCorrect: row.at('answerCorrect').optional(field => field.boolean()),
      group: row.at('group').optional(field => field.text()),
      generator: row.at('generator').optional(field => field.text()),
      subject: row.at('subject').optional(field => field.text()),
      level: row.at('level').optional(field => field.answer()),
      passRate: row.at('passRate').optional(field => field.number(0, 1)),
      provenance: row.at('provenance').optional(provenanceOf),
      rollouts: row.at('rollouts').optional(list => list.itemsFor(steps.length, 'steps').map(rolloutsOf)),
      failure: row
        .at('failure')
        .optional(failure => ({ code: failure.at('code').text(), message: failure.at('message').string() })),
    })
  },
}

function provenanceOf(field: Field): Provenance {
  return compact<Provenance>({
    method: field.at('method').oneOf(methods),
    by: field
      .at('by')
      .items()
      .map(name => name.text()),
    rollouts: field.at('rollouts').optional(count => count.integer(0)),
    tokens: field.at('tokens').optional(count => count.integer(0)),
    agreement: field.at('agreement').optional(agreement => {
      const of = agreement.at('of').integer(1)
      return { agreed: agreement.at('agreed').integer(0, of), of }
    }),
  })
}

function rolloutsOf(field: Field): Rollouts | null {
  if (field.missing) return null
  const count = field.at('count').integer(0)
  return { hits: field.at('hits').integer(0, count), count }
}

/** The special ones first: the first that recognises most of the first rows reads the file. */
export const labelFormats: readonly Format<'labels'>[] = [
  prm800k,
  mathShepherd,
  mathAps,
  mathApsTree,
  bigBenchMistake,
  prmBench,
  trl,
  own,
  processBench,
]
