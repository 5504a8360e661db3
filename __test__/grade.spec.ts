import { readFileSync } from 'node:fs'
import test from 'ava'
import { SurefootError } from '../src/errors.ts'
import { equivalent } from '../src/grade/index.ts'
import { readShared } from './helpers/shared.ts'

const cases = readFileSync(new URL('../fixtures/grade/cases.tsv', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .slice(1)
  .map(line => line.split('\t') as [kind: string, verdict: '=' | '≠', gold: string, answer: string])

for (const kind of new Set(cases.map(([name]) => name))) {
  test(`Answers written as ${kind} are graded as the hand-made cases say.`, t => {
    for (const [, verdict, gold, answer] of cases.filter(([name]) => name === kind)) {
      const { equal, how } = equivalent(gold, answer)
      t.is(equal, verdict === '=', `${gold} ${verdict} ${answer} (${how})`)
    }
  })
}

test('A row of the field’s own test suites is graded as its source says, but for one whose sources disagree.', t => {
  const text = readShared(t, 'grading/answer_equivalence.jsonl')
  if (text === null) return
  const rows = text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { id: number; gold: string; pred: string; expected: boolean; strict?: boolean })
  const missed = rows.filter(
    row => equivalent(row.gold, row.pred, { strict: row.strict ?? false }).equal !== row.expected,
  )
  // Row 270 (hendrycks/math) wants the order of `4, .1, 2` kept; rows of Math-Verify want it ignored.
  t.deepEqual(
    missed.map(row => row.id),
    [270],
  )
})

test('All 60 hand cases of the shared data are graded as expected.', t => {
  const text = readShared(t, 'grading/hand_cases.json')
  if (text === null) return
  const rows = JSON.parse(text) as [string, string, string, boolean][]
  t.is(rows.length, 60)
  for (const [, gold, answer, expected] of rows) t.is(equivalent(gold, answer).equal, expected, `${gold} | ${answer}`)
})

test('Strict equality forgives no unit, percent sign, name, order or rounding.', t => {
  const equal = (gold: string, answer: string) => equivalent(gold, answer, { strict: true }).equal
  t.true(equal('\\frac12', '0.5'))
  t.true(equal('50\\%', '0.5'))
  t.true(equal('100\\text{ cm}', '1\\text{ m}'))
  t.true(equal('90^\\circ', '\\frac{\\pi}{2}'))
  t.true(equal('x^2-1', '(x-1)(x+1)'))
  t.true(equal('\\sqrt{8}', '2\\sqrt2'))
  t.true(equal('\\sqrt{3+2\\sqrt2}', '1+\\sqrt2'))
  t.true(equal('x=5', '5'))
  t.false(equal('50\\%', '50'))
  t.false(equal('5\\text{ cm}', '5'))
  t.false(equal('90^\\circ', '90'))
  t.false(equal('(1,2)', '1,2'))
  t.false(equal('1.414', '\\sqrt2'))
  t.false(equal('\\sqrt2', '1.41421356237'))
  t.false(equal('2516_8', '2516'))
  t.false(equal('f(x)', 'f(y)'))
})

test('Each leniency can be switched off by itself.', t => {
  t.false(equivalent('50\\%', '50', { percent: false }).equal)
  t.true(equivalent('50\\%', '0.5', { percent: false }).equal)
  t.false(equivalent('5\\text{ cm}', '5', { units: false }).equal)
  t.false(equivalent('90^\\circ', '90', { units: false }).equal)
  t.false(equivalent('33.3', '\\frac{100}{3}', { rounding: false }).equal)
  t.true(equivalent('1.50', '\\frac32', { rounding: false }).equal)
})

test('A verdict says how it was reached and what was compared.', t => {
  t.deepEqual(equivalent('\\frac12', 'The answer is $0.5$.'), {
    equal: true,
    how: 'exact',
    gold: '\\frac12',
    answer: '0.5',
  })
  const how = (gold: string, answer: string) => equivalent(gold, answer).how
  t.is(how('7', '7'), 'identical')
  t.is(how('7', '8'), 'different')
  t.is(how('\\sin 2x', '2\\sin x\\cos x'), 'numeric')
  t.is(how('33.3', '\\frac{100}{3}'), 'decimal')
  t.is(how('50\\%', '50'), 'percent')
  t.is(how('5\\text{ cm}', '5'), 'unit')
  t.is(how('\\text{Yes}', 'yes'), 'text')
  t.is(how('7', ''), 'empty')
})

const HOSTILE: readonly (readonly [name: string, text: string])[] = [
  ['a tower of powers', '10^{10^{10}}'],
  ['a tower of nines', '9^{9^{9^{9}}}'],
  ['a huge factorial', '999999999!'],
  ['a factorial of a factorial', '((100!)!)!'],
  ['a huge binomial', '\\binom{999999999999}{499999999999}'],
  ['deep parentheses', `${'('.repeat(5000)}1${')'.repeat(5000)}`],
  ['deep fractions', `${'\\frac{1}{1+'.repeat(800)}1${'}'.repeat(800)}`],
  ['deep braces', `${'{'.repeat(9000)}`],
  ['a million digits', '7'.repeat(1_000_000)],
  ['many digits', '7'.repeat(9_000)],
  ['a high power of a sum', '(1+\\sqrt2+\\sqrt3+\\sqrt5+\\sqrt7)^{64}'],
  ['a long list', Array.from({ length: 2000 }, (_, k) => `${k}^{${k}}`).join(', ')],
  ['a wide matrix', `\\begin{pmatrix}${'1 & '.repeat(3000)}1\\end{pmatrix}^{2}`],
  ['a symbolic matrix power', '\\begin{pmatrix}a&b&c\\\\d&e&f\\\\g&h&k\\end{pmatrix}^{16}'],
  ['a long sum of signs', `${'-'.repeat(5000)}1`],
  ['plus-minus upon plus-minus', `${'\\pm 1 '.repeat(300)}`],
  ['a huge exponent', '1e999999'],
  ['open boxes', '\\boxed{'.repeat(3000)],
  ['dollars', '$'.repeat(8001)],
  ['backslashes', '\\'.repeat(8001)],
  ['cues', 'the answer is '.repeat(700)],
  ['nested sets', `${'\\{'.repeat(500)}1${'\\}'.repeat(500)}`],
  ['bars', '|'.repeat(3000)],
  ['a product of unknown factors', Array.from({ length: 400 }, (_, k) => `(x+${k})`).join('')],
]

for (const [name, text] of HOSTILE) {
  test(`A hostile string (${name}) is unequal to 1, and never throws.`, t => {
    t.false(equivalent('1', text).equal)
    t.false(equivalent(text, '1').equal)
    t.notThrows(() => equivalent(text, `${text} + 1`))
  })
}

test('What exceeds the step limit is not equal, and says so.', t => {
  t.is(equivalent('1', '10^{10^{10}}').how, 'too complex')
  t.is(equivalent('1', '999999999!').how, 'too complex')
  t.is(equivalent('x^2-1', '(x-1)(x+1)', { steps: 5 }).how, 'too complex')
  t.is(equivalent('x^2-1', '(x-1)(x+1)').how, 'exact')
})

test('Only an argument of the wrong type throws.', t => {
  for (const [gold, answer, options] of [
    [1, '1', {}],
    ['1', null, {}],
    ['1', '1', { steps: 0 }],
    ['1', '1', { steps: 'many' }],
  ]) {
    const error = t.throws(() => equivalent(gold as string, answer as string, options as object), {
      instanceOf: SurefootError,
    })
    t.is(error?.code, 'ERR_INVALID_ARGUMENT')
  }
})
