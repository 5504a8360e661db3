/** Programming problems. */
import { compact, type Field } from './fields.ts'
import { type Format, idOf } from './format.ts'
import type { CodeRecord } from './records.ts'

type Case = NonNullable<CodeRecord['cases']>[number]

const humanEval: Format<'code'> = {
  name: 'humaneval',
  kind: 'code',
  source: 'openai/human-eval',
  seen: 'file',
  reads: 'The tests end with the call of `check` on the entry point.',
  needs: ['task_id', 'prompt', 'entry_point', 'test'],
  uses: ['canonical_solution'],
  *read(row, context) {
    const prompt = row.at('prompt').text()
    const entryPoint = row.at('entry_point').text()
    yield {
      kind: 'code',
      id: idOf(row.at('task_id'), context),
      problem: prompt,
      prompt,
      entryPoint,
      solutions: row.at('canonical_solution').optional(field => [field.text()]) ?? [],
      tests: `${row.at('test').text().trimEnd()}\n\ncheck(${entryPoint})\n`,
      language: 'python',
    }
  },
}

const humanEvalX: Format<'code'> = {
  name: 'humaneval-x',
  kind: 'code',
  source: 'THUDM/humaneval-x',
  seen: 'file',
  reads:
    'The language stands before the slash of the id: `JavaScript/0`. Only the JavaScript part was read from a file.',
  needs: ['task_id', 'prompt', 'declaration', 'test'],
  uses: ['canonical_solution'],
  *read(row, context) {
    const id = row.at('task_id')
    const language = /^([A-Za-z]+)\/\d+$/.exec(id.text())?.[1] ?? id.fail('a language and a number: JavaScript/0')
    const prompt = row.at('prompt').text()
    yield {
      kind: 'code',
      id: idOf(id, context),
      problem: prompt,
      prompt,
      solutions: row.at('canonical_solution').optional(field => [field.text()]) ?? [],
      tests: row.at('test').text(),
      language: language.toLowerCase(),
    }
  },
}

const mbpp: Format<'code'> = {
  name: 'mbpp',
  kind: 'code',
  source: 'google-research/mbpp, also sanitized',
  seen: 'file',
  reads:
    'The tests are the set-up and `test_list`; `challenge_test_list` is not read. The sanitized form (`prompt`, `test_imports`) was written from its schema.',
  needs: ['text | prompt', 'code', 'test_list'],
  uses: ['task_id', 'test_setup_code', 'test_imports'],
  *read(row, context) {
    const imports = row.at('test_imports').optional(list => list.items().map(item => item.string())) ?? []
    const setup = row.at('test_setup_code').optional(field => field.string()) ?? ''
    const asserts = row
      .at('test_list')
      .someItems('test')
      .map(item => item.text())
    yield {
      kind: 'code',
      id: idOf(row.at('task_id'), context),
      problem: row.at('text', 'prompt').text(),
      solutions: [row.at('code').text()],
      tests: `${[...imports, setup, ...asserts].filter(line => line !== '').join('\n')}\n`,
      language: 'python',
    }
  },
}

/** APPS and TACO keep solutions and cases as JSON in strings. */
function* appsRecords(row: Field, id: string): Generator<CodeRecord, void, undefined> {
  const io = jsonOrEmpty(row.at('input_output'))
  const entryPoint = io?.at('fn_name').optional(field => field.text())
  const starter = row.at('starter_code').optional(field => field.string())
  yield compact<CodeRecord>({
    kind: 'code',
    id,
    problem: row.at('question').text(),
    prompt: starter?.trim() ? starter : undefined,
    entryPoint,
    solutions: listOf(row.at('solutions')).map(item => item.text()),
    cases: io && casesOf(io, 'inputs', 'outputs', entryPoint !== undefined),
    language: 'python',
    level: row.at('difficulty').optional(field => field.text()),
  })
}

const appsReads =
  '`solutions` and `input_output` are JSON in strings. Cases given as lists of lines are joined; with `fn_name` they are JSON.'

const apps: Format<'code'> = {
  name: 'apps',
  kind: 'code',
  source: 'codeparrot/apps',
  seen: 'schema',
  reads: `${appsReads} The starter code is the prompt.`,
  needs: ['problem_id', 'question', 'solutions', 'input_output'],
  uses: ['difficulty', 'starter_code'],
  read: (row, context) => appsRecords(row, idOf(row.at('problem_id'), context)),
}

const taco: Format<'code'> = {
  name: 'taco',
  kind: 'code',
  source: 'BAAI/TACO',
  seen: 'schema',
  reads: appsReads,
  needs: ['question', 'solutions', 'input_output', 'difficulty'],
  uses: ['starter_code'],
  read: (row, context) => appsRecords(row, context.place),
}

function jsonOrEmpty(field: Field): Field | undefined {
  return field.missing || field.value === '' ? undefined : typeof field.value === 'string' ? field.json() : field
}

const listOf = (field: Field): Field[] => jsonOrEmpty(field)?.items() ?? []

function casesOf(io: Field, inputs: string, outputs: string, asJson: boolean): Case[] {
  const given = io.at(inputs).items()
  const wanted = io.at(outputs).itemsFor(given.length, inputs)
  const textOf = asJson ? jsonText : linesOf
  return given.map((input, index) => ({ input: textOf(input), output: textOf(wanted[index]!) }))
}

function linesOf(field: Field): string {
  return Array.isArray(field.value)
    ? field
        .items()
        .map(line => (line.value === '' ? '' : line.answer()))
        .join('\n')
    : field.string()
}

/** A value as JSON again; digits that a double cannot hold were lost when it was read. */
function jsonText(field: Field): string {
  const exact = (_: string, value: unknown): unknown =>
    typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)
      ? field.fail('integers below 2^53')
      : value
  try {
    return JSON.stringify(field.value, exact)
  } catch (error) {
    if (error instanceof RangeError) field.fail('a value that is not nested so deep')
    throw error
  }
}

/** PYTHON3 in CodeContests' enumeration of languages (contest_problem.proto), by number and by name. */
const PYTHON3: readonly unknown[] = [3, 'PYTHON3']

/** The start of its enumeration of difficulties; the letters are those of Codeforces. */
const DIFFICULTIES = ['', 'EASY', 'MEDIUM', 'HARD', 'HARDER', 'HARDEST', 'EXTERNAL', ...'ABCDEFGHIJK']

function difficultyOf(field: Field): string | undefined {
  const difficulty = field.answer()
  const name = DIFFICULTIES[Number(difficulty)] ?? difficulty
  return name === '' ? undefined : name
}

const codeContests: Format<'code'> = {
  name: 'codecontests',
  kind: 'code',
  source: 'deepmind/code_contests',
  seen: 'schema',
  reads: 'The public, private and generated tests, in that order, and the right solutions in Python 3.',
  needs: ['name', 'description', 'public_tests'],
  uses: ['private_tests', 'generated_tests', 'solutions', 'difficulty'],
  *read(row, context) {
    const tests = ['public_tests', 'private_tests', 'generated_tests'].map(name => row.at(name))
    yield compact<CodeRecord>({
      kind: 'code',
      id: idOf(row.at('name'), context),
      problem: row.at('description').text(),
      solutions: row.at('solutions').optional(python3) ?? [],
      cases: tests.flatMap(field => field.optional(io => casesOf(io, 'input', 'output', false)) ?? []),
      language: 'python',
      level: row.at('difficulty').optional(difficultyOf),
    })
  },
}

function python3(field: Field): string[] {
  const texts = field.at('solution').items()
  const languages = field.at('language').itemsFor(texts.length, 'solutions')
  return texts.filter((_, index) => PYTHON3.includes(languages[index]!.value)).map(text => text.text())
}

/** The special ones first: the first that recognises most of the first rows reads the file. */
export const codeFormats: readonly Format<'code'>[] = [humanEval, humanEvalX, mbpp, apps, taco, codeContests]
