/** Problems with their reference answers. */
import { boxes } from '../grade/boxes.ts'
import { compact, type Field } from './fields.ts'
import { type Format, idOf } from './format.ts'
import type { ProblemRecord } from './records.ts'

type Row = Readonly<Record<string, unknown>>

/** What stands in the last `\boxed{}` or `\fbox{}` of a text, trimmed; null without one. */
export function lastBox(text: string): string | null {
  const at = Math.max(text.lastIndexOf('\\boxed'), text.lastIndexOf('\\fbox'))
  const tail = at < 0 ? '' : text.slice(at)
  const [box] = boxes(tail)
  const inside = box ? tail.slice(box.from, box.to).trim() : ''
  return inside === '' ? null : inside
}

function boxed(field: Field): string {
  return lastBox(field.text()) ?? field.fail('a solution with its answer in \\boxed{}')
}

/** The answer after the last mark, as in GSM8K. */
export function answerAfter(field: Field, mark: string): { solution: string; answer: string } {
  const text = field.text()
  const at = text.lastIndexOf(mark)
  const answer = at < 0 ? '' : text.slice(at + mark.length).trim()
  if (answer === '') field.fail(`a solution with its answer after ${mark.trim()}`)
  return { solution: text.slice(0, at).trim(), answer }
}

/** A level that may be a number. */
const levelOf = (field: Field): string | undefined => field.optional(level => level.answer())

/** An answer, alone or in a box. */
const unboxed = (field: Field): string => {
  const answer = field.answer()
  return lastBox(answer) ?? answer
}

const gsm8k: Format<'problem'> = {
  name: 'gsm8k',
  kind: 'problem',
  source: 'openai/grade-school-math',
  seen: 'file',
  reads: 'The answer stands after `####`.',
  needs: ['question', 'answer'],
  uses: ['id'],
  fits: ({ answer }) => typeof answer === 'string' && answer.includes('####'),
  *read(row, context) {
    const { solution, answer } = answerAfter(row.at('answer'), '####')
    yield compact<ProblemRecord>({
      kind: 'problem',
      id: idOf(row.at('id'), context),
      problem: row.at('question').text(),
      answer,
      solution: solution === '' ? undefined : solution,
    })
  },
}

const math500: Format<'problem'> = {
  name: 'math-500',
  kind: 'problem',
  source: 'HuggingFaceH4/MATH-500, the test split of PRM800K',
  seen: 'schema',
  reads: '',
  needs: ['problem', 'answer', 'unique_id'],
  uses: ['solution', 'subject', 'level'],
  *read(row, context) {
    yield compact<ProblemRecord>({
      kind: 'problem',
      id: idOf(row.at('unique_id'), context),
      problem: row.at('problem').text(),
      answer: row.at('answer').answer(),
      solution: row.at('solution').optional(field => field.text()),
      subject: row.at('subject').optional(field => field.text()),
      level: levelOf(row.at('level')),
    })
  },
}

const math: Format<'problem'> = {
  name: 'math',
  kind: 'problem',
  source: 'hendrycks/math',
  seen: 'schema',
  reads: 'The answer stands in the last `\\boxed{}` of the solution.',
  needs: ['problem', 'solution', 'level', 'type'],
  uses: [],
  *read(row, context) {
    const solution = row.at('solution')
    yield compact<ProblemRecord>({
      kind: 'problem',
      id: context.place,
      problem: row.at('problem').text(),
      answer: boxed(solution),
      solution: solution.text(),
      subject: row.at('type').optional(field => field.text()),
      level: levelOf(row.at('level')),
    })
  },
}

const mathAnswers: Format<'problem'> = {
  name: 'math-answers',
  kind: 'problem',
  source: 'hendrycks/math, answers only',
  seen: 'file',
  reads: '',
  needs: ['problem', 'final_answer'],
  uses: [],
  fits: ({ final_answer }) => typeof final_answer === 'string',
  *read(row, context) {
    yield {
      kind: 'problem',
      id: context.place,
      problem: row.at('problem').text(),
      answer: row.at('final_answer').answer(),
    }
  },
}

const PROBLEM = 'problem | Problem | question | Question'

/** AIME and AMC are published under many names of the same fields. */
const contest = {
  needs: [PROBLEM, 'answer | Answer'],
  uses: ['solution', 'Solution', 'id', 'ID', 'url', 'Year', 'Problem Number'],
}

function contestRecord(row: Field, id: string, answer: string): ProblemRecord {
  return compact<ProblemRecord>({
    kind: 'problem',
    id,
    problem: row.at(...PROBLEM.split(' | ')).text(),
    answer,
    solution: row.at('solution', 'Solution').optional(field => field.text()),
  })
}

const says = (row: Row, word: RegExp): boolean => [row.url, row.id, row.ID].some(value => word.test(String(value)))

const aime: Format<'problem'> = {
  name: 'aime',
  kind: 'problem',
  source: 'AI-MO/aimo-validation-aime, HuggingFaceH4/aime_2024, Maxwell-Jia/AIME_2024, di-zhang-fdu/AIME_1983_2024',
  seen: 'schema',
  reads:
    'The answer must be an integer from 0 to 999. Recognised by `AIME` in url or id, or by ids such as `2024-II-4`.',
  ...contest,
  fits: row =>
    says(row, /AIME/i) || /^\d{4}-(I{1,2}-)?\d{1,2}$/.test(String(row.ID)) || Object.hasOwn(row, 'Problem Number'),
  *read(row, context) {
    const field = row.at('answer', 'Answer')
    const answer = unboxed(field).replace(/\.0$/, '')
    if (!/^\d{1,3}$/.test(answer)) field.fail('an integer from 0 to 999')
    yield contestRecord(row, idOf(row.at('id', 'ID'), context), answer)
  },
}

const amc: Format<'problem'> = {
  name: 'amc',
  kind: 'problem',
  source: 'AI-MO/aimo-validation-amc, math-ai/amc23',
  seen: 'schema',
  reads: 'Answers are numbers: `142.0` becomes `142`. Recognised by `AMC` in url or id.',
  ...contest,
  fits: row => says(row, /AMC/i),
  *read(row, context) {
    const answer = unboxed(row.at('answer', 'Answer')).replace(/^(-?\d+)\.0$/, '$1')
    yield contestRecord(row, idOf(row.at('id', 'ID'), context), answer)
  },
}

const olympiadBench: Format<'problem'> = {
  name: 'olympiadbench',
  kind: 'problem',
  source: 'OpenBMB/OlympiadBench, Hothan/OlympiadBench',
  seen: 'schema',
  reads:
    'Several answers are joined by commas; proofs have none. The context stands before the question. Rows with an image are left out.',
  needs: ['question', 'final_answer', 'subfield | answer_type | is_multiple_answer'],
  uses: ['id', 'context', 'solution', 'difficulty', 'image_1'],
  *read(row, context) {
    if (!row.at('image_1').missing) return context.leaveOut('the problem needs an image')
    const given = row.at('context').optional(field => field.string().trim())
    const question = row.at('question').text()
    const final: Field = row.at('final_answer')
    if (final.value === undefined) final.fail('a list of answers, or null for a proof')
    const answers = final.optional(list =>
      list.someItems('answer').map(item => item.answer().replace(/^\$([^$]*)\$$/, '$1')),
    )
    yield compact<ProblemRecord>({
      kind: 'problem',
      id: idOf(row.at('id'), context),
      problem: given ? `${given}\n\n${question}` : question,
      answer: answers ? answers.join(', ') : null,
      solution: row.at('solution').optional(list =>
        list
          .items()
          .map(item => item.text())
          .join('\n\n'),
      ),
      subject: row.at('subfield').optional(field => field.text()),
      level: levelOf(row.at('difficulty')),
    })
  },
}

const QUESTION = 'problem | question | prompt | input | Problem | Question'
const ANSWER = 'answer | gt | ground_truth | groundtruth | final_answer | target | reference | Answer'

const generic: Format<'problem'> = {
  name: 'generic',
  kind: 'problem',
  source: 'any set of questions and answers',
  seen: 'file',
  reads: 'The answer is a text or a number; null says that there is none.',
  needs: [QUESTION, ANSWER],
  uses: ['id', 'idx', 'unique_id', 'solution', 'subject', 'type', 'level', 'difficulty'],
  *read(row, context) {
    const answer = row.at(...ANSWER.split(' | '))
    if (answer.value === undefined) answer.fail('an answer, or null for none')
    yield compact<ProblemRecord>({
      kind: 'problem',
      id: idOf(row.at('id', 'unique_id', 'idx'), context),
      problem: row.at(...QUESTION.split(' | ')).text(),
      answer: answer.optional(field => field.answer()) ?? null,
      solution: row.at('solution').optional(field => field.text()),
      subject: row.at('subject', 'type').optional(field => field.text()),
      level: levelOf(row.at('level', 'difficulty')),
    })
  },
}

/** The special ones first: the first that recognises most of the first rows reads the file. */
export const problemFormats: readonly Format<'problem'>[] = [
  gsm8k,
  math500,
  math,
  mathAnswers,
  olympiadBench,
  aime,
  amc,
  generic,
]
