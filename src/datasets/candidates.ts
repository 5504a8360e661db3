/** Problems with sampled solutions. */
import { splitSteps } from '../problem.ts'
import { compact, Field } from './fields.ts'
import { type Format, idOf } from './format.ts'
import { answerAfter, lastBox } from './problems.ts'
import type { CandidateRecord, RecordedCandidate } from './records.ts'

const own: Format<'candidates'> = {
  name: 'candidates',
  kind: 'candidates',
  source: 'surefoot',
  seen: 'file',
  reads: 'A `CandidateRecord` as JSON; see below.',
  needs: ['problem', 'candidates'],
  uses: ['id', 'answer', 'recorded'],
  *read(row, context) {
    const answer = row.at('answer').optional(field => field.answer()) ?? null
    yield compact<CandidateRecord>({
      kind: 'candidates',
      id: idOf(row.at('id'), context),
      problem: row.at('problem').text(),
      answer,
      candidates: row
        .at('candidates')
        .someItems('candidate')
        .map(field => candidateOf(field, answer !== null)),
      recorded: row.at('recorded').optional(verdictsOf),
    })
  },
}

function candidateOf(field: Field, graded: boolean): RecordedCandidate {
  const steps = field.at('steps').optional(list => list.someItems('step').map(step => step.text()))
  const text = field.at('text')
  const scores = field.at('scores')
  const answer = field.at('answer')
  const correct = field.at('correct')
  if (!graded && correct.missing) correct.fail('true or false, as the problem has no answer to grade by')
  return compact<RecordedCandidate>({
    text: steps && text.missing ? steps.join('\n\n') : text.string(),
    steps,
    scores: scores.optional(list =>
      (steps ? list.itemsFor(steps.length, 'steps') : list.someItems('score')).map(score => score.number()),
    ),
    score: field.at('score').optional(score => score.number()),
    answer: answer.value === null ? null : answer.optional(value => value.answer()),
    correct: correct.optional(value => value.boolean()),
    tokens: field.at('tokens').optional(value => value.integer(0)),
    ms: field.at('ms').optional(value => value.number(0)),
    generator: field.at('generator').optional(value => value.text()),
  })
}

/** Verdicts by rule. */
function verdictsOf(field: Field): Record<string, number> {
  return Object.fromEntries(field.entries().map(([rule, verdict]) => [rule, verdict.oneOf([0, 1])]))
}

const openr: Format<'candidates'> = {
  name: 'openr',
  kind: 'candidates',
  source: "OpenR's record.jsonl",
  seen: 'file',
  reads:
    'One `value` for each step; steps end at a blank line. The answer is the last `\\boxed{}` of `groundtruth`, or all of it. Verdicts in `result` are kept by rule.',
  needs: ['question', 'groundtruth', 'output'],
  uses: ['result'],
  *read(row, context) {
    const truth = row.at('groundtruth').answer()
    yield compact<CandidateRecord>({
      kind: 'candidates',
      id: context.place,
      problem: row.at('question').text(),
      answer: lastBox(truth) ?? truth,
      candidates: row.at('output').someItems('solution').map(openrCandidate),
      recorded: row.at('result').optional(result => {
        const { total_completion_tokens: _, ...verdicts } = result.object()
        return verdictsOf(new Field(verdicts, result.path))
      }),
    })
  },
}

function openrCandidate(field: Field): RecordedCandidate {
  const text = field.at('text').text()
  const steps = splitSteps(text, '\n\n')
  const values = field.at('value').optional(list => (list.items().length === 0 ? undefined : list))
  return compact<RecordedCandidate>({
    text,
    steps,
    scores: values?.itemsFor(steps.length, 'steps').map(value => value.number()),
    tokens: field.at('completion_tokens').optional(tokens => tokens.integer(0)),
  })
}

const qwenMath: Format<'candidates'> = {
  name: 'qwen-math',
  kind: 'candidates',
  source: "Qwen2.5-Math's evaluation",
  seen: 'file',
  reads:
    '`pred` is the answer (none where it is empty), `score` the verdict. `pred_score` is an outcome reward where all its lists hold one number, else one score for each step.',
  needs: ['question', 'gt', 'code', 'pred', 'score'],
  uses: ['idx', 'pred_score'],
  *read(row, context) {
    const texts = row.at('code').someItems('solution')
    const answers = row.at('pred').itemsFor(texts.length, 'solutions')
    const verdicts = row.at('score').itemsFor(texts.length, 'solutions')
    const scores = row.at('pred_score').optional(list => {
      const lists = list.itemsFor(texts.length, 'solutions').map(item => item.someItems('score').map(s => s.number()))
      return { lists, outcome: lists.every(({ length }) => length === 1) }
    })
    yield {
      kind: 'candidates',
      id: idOf(row.at('idx'), context),
      problem: row.at('question').text(),
      answer: row.at('gt').answer(),
      candidates: texts.map((text, index) =>
        compact<RecordedCandidate>({
          text: text.text(),
          scores: scores && !scores.outcome ? scores.lists[index] : undefined,
          score: scores?.outcome ? scores.lists[index]![0] : undefined,
          answer: answerOrNone(answers[index]!),
          correct: verdicts[index]!.boolean(),
        }),
      ),
    }
  },
}

const answerOrNone = (field: Field): string | null =>
  field.missing || (typeof field.value === 'string' && field.value.trim() === '') ? null : field.answer()

const gradeSchoolMath: Format<'candidates'> = {
  name: 'grade-school-math',
  kind: 'candidates',
  source: 'openai/grade-school-math, example_model_solutions',
  seen: 'file',
  reads: 'Each of four fields holds the solution of one model and its verdict; the reference answer stands after `A:`.',
  needs: ['question', 'ground_truth', '6b_finetuning | 6b_verification | 175b_finetuning | 175b_verification'],
  uses: [],
  *read(row, context) {
    const models = row.entries().filter(([name]) => /^\d+b_(finetuning|verification)$/.test(name))
    yield {
      kind: 'candidates',
      id: context.place,
      problem: row.at('question').text(),
      answer: answerAfter(row.at('ground_truth'), 'A: ').answer,
      candidates: models.map(([generator, field]) => ({
        text: field.at('solution').text(),
        correct: field.at('is_correct').boolean(),
        generator,
      })),
    }
  },
}

/** The special ones first: the first that recognises most of the first rows reads the file. */
export const candidateFormats: readonly Format<'candidates'>[] = [own, openr, qwenMath, gradeSchoolMath]
