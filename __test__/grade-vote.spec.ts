import test from 'ava'
import { SurefootError } from '../src/errors.ts'
import {
  equivalent,
  expectedOverTies,
  extractAnswer,
  groupAnswers,
  majority,
  weightedVote,
} from '../src/grade/index.ts'
import { readShared } from './helpers/shared.ts'

const near = (t: { true(value: boolean, message?: string): void }, a: number, b: number) =>
  t.true(Math.abs(a - b) < 1e-12, `${a} is not ${b}`)

test('Answers are grouped by what they mean, in the order of their first members.', t => {
  const classes = groupAnswers(['\\frac12', '3', '0.5', null, '1/2', 'x=3', '\\sqrt{9}', '50\\%'])
  t.deepEqual(
    classes.map(({ answer, indices }) => [answer, indices]),
    [
      ['\\frac12', [0, 2, 4, 7]],
      ['3', [1, 5, 6]],
    ],
  )
})

test('Units tell classes apart unless they are told not to.', t => {
  const answers = ['5', '5\\text{ cm}', '0.05\\text{ m}', '5\\%']
  t.deepEqual(
    groupAnswers(answers).map(({ indices }) => indices),
    [[0], [1, 2], [3]],
  )
  t.deepEqual(
    groupAnswers(answers, { units: false }).map(({ indices }) => indices),
    [[0, 1, 3], [2]],
  )
})

test('Sets, lists, intervals, equations and expressions have one class each, however they are written.', t => {
  for (const same of [
    ['\\{1,2\\}', '\\{2,1\\}', '\\{1, 2, 2\\}'],
    ['1,-2', '-2, 1', '-2 \\text{ and } 1', 'x=1 \\text{ or } x=-2'],
    ['[0,\\infty)', 'x \\ge 0', '0 \\le x', 'x\\in[0,\\infty)'],
    ['(-\\infty,3)\\cup(3,\\infty)', 'x\\ne 3', '\\mathbb{R}\\setminus\\{3\\}'],
    ['y=2x+3', '2x-y+3=0', '4x-2y=-6'],
    ['x^2-1', '(x-1)(x+1)', '\\frac{x^3-x}{x}'],
    ['\\sin^2 x', '1-\\cos^2 x'],
    ['\\sqrt8', '2\\sqrt2', '\\frac{4}{\\sqrt{2}}'],
    ['\\text{Yes}', 'yes', 'Yes.'],
    ['1:2', '2:4'],
    ['x+y>1', '2x+2y>2', '1<x+y'],
  ]) {
    t.is(groupAnswers(same).length, 1, same.join(' | '))
  }
  const apart = [
    '(1,2)',
    '(2,1)',
    '[1,2]',
    '1,2',
    '\\{1,2\\}',
    'x+1',
    'x-1',
    'x>1',
    'x\\ge 1',
    'x<1',
    '\\sqrt2',
    '1.41421356237',
  ]
  t.is(groupAnswers(apart).length, apart.length)
})

test('A hostile answer is grouped by how it is written.', t => {
  const classes = groupAnswers(['10^{10^{10}}', '10^{10^{10}}', '10^{10^{11}}'])
  t.deepEqual(
    classes.map(({ indices }) => indices),
    [[0, 1], [2]],
  )
})

test('Grouping costs one key per distinct answer.', t => {
  const answers = Array.from({ length: 20_000 }, (_, k) => `${k % 7}/${(k % 7) + 1}`)
  t.is(groupAnswers(answers).length, 7)
})

test('The majority is the largest class, and the first of equal ones.', t => {
  const vote = majority(['2', '3', '3.0', null, '2', '4'])
  t.is(vote.answer, '2')
  t.is(vote.vote, 2)
  t.deepEqual(
    vote.classes.map(({ answer, vote: votes }) => [answer, votes]),
    [
      ['2', 2],
      ['3', 2],
      ['4', 1],
    ],
  )
  t.is(vote.tied.length, 2)
  t.is(majority(['3', '2', '2']).answer, '2')
  t.deepEqual(majority([null, null]), { answer: null, vote: 0, classes: [], tied: [] })
})

test('The expectation over ties does not depend on the order of the candidates.', t => {
  const right = (answer: string) => equivalent('2', answer).equal
  t.is(expectedOverTies(majority(['2', '3']), right), 0.5)
  t.is(expectedOverTies(majority(['3', '2']), right), 0.5)
  t.is(expectedOverTies(majority(['3', '2', '2']), right), 1)
  t.is(expectedOverTies(majority([null]), right), 0)
})

test('Weights vote by their sum, maximum, mean or softmax.', t => {
  const answers = ['1', '2', '1.0', '3', null]
  const weights = [0.3, 0.5, 0.3, 0.1, 9]
  const by = (rule: 'sum' | 'max' | 'mean' | 'softmax', temperature = 1) =>
    weightedVote(answers, weights, { by: rule, temperature })
  t.is(by('sum').answer, '1')
  near(t, by('sum').vote, 0.6)
  t.is(by('max').answer, '2')
  near(t, by('max').vote, 0.5)
  t.is(by('mean').answer, '2')
  near(t, by('mean').classes[1]!.vote, 0.3)
  const total = 2 * Math.exp(0.3) + Math.exp(0.5) + Math.exp(0.1)
  near(t, by('softmax').vote, (2 * Math.exp(0.3)) / total)
  t.is(by('softmax', 0.1).answer, '2')
  near(
    t,
    by('softmax').classes.reduce((sum, { vote }) => sum + vote, 0),
    1,
  )
})

test('Negative weights take votes away under sum and not under softmax.', t => {
  const answers = ['1', '1', '2']
  t.is(weightedVote(answers, [-1, -1, -1.5]).answer, '2')
  t.is(weightedVote(answers, [-1, -1, -1.5], { by: 'softmax' }).answer, '1')
})

test('Votes refuse weights that do not fit.', t => {
  const code = (f: () => unknown) => t.throws(f, { instanceOf: SurefootError })?.code
  t.is(
    code(() => weightedVote(['1'], [])),
    'ERR_INVALID_ARGUMENT',
  )
  t.is(
    code(() => weightedVote(['1'], [Number.NaN])),
    'ERR_INVALID_ARGUMENT',
  )
  t.is(
    code(() => weightedVote(['1'], [1], { by: 'median' as 'sum' })),
    'ERR_INVALID_ARGUMENT',
  )
  t.is(
    code(() => weightedVote(['1'], [1], { by: 'softmax', temperature: 0 })),
    'ERR_INVALID_ARGUMENT',
  )
  t.is(
    code(() => majority([1 as unknown as string])),
    'ERR_INVALID_ARGUMENT',
  )
  t.is(
    code(() => majority('1' as unknown as string[])),
    'ERR_INVALID_ARGUMENT',
  )
})

test('The five recorded selection rules of 100 PRM-scored MATH-500 problems are reproduced.', t => {
  const text = readShared(t, 'candidates/math500-prm-scored/first100.json')
  if (text === null) return
  const problems = JSON.parse(text) as {
    groundtruth: string
    output: { text: string; value: number[] }[]
    result: Record<string, number>
  }[]
  const agreed = { majority_vote: 0, prm_min_max: 0, prm_min_vote: 0, prm_last_max: 0, prm_last_vote: 0 }
  for (const { groundtruth, output, result } of problems) {
    const answers = output.map(({ text }) => extractAnswer(text)?.text ?? null)
    // The recording scores a solution without steps −1.
    const least = output.map(({ value }) => value.reduce((a, b) => Math.min(a, b), value.length > 0 ? 1 : -1))
    const last = output.map(({ value }) => value.at(-1) ?? -1)
    const picked = {
      majority_vote: majority(answers).answer,
      prm_min_max: weightedVote(answers, least, { by: 'max' }).answer,
      prm_min_vote: weightedVote(answers, least).answer,
      prm_last_max: weightedVote(answers, last, { by: 'max' }).answer,
      prm_last_vote: weightedVote(answers, last).answer,
    }
    for (const rule of Object.keys(agreed) as (keyof typeof agreed)[]) {
      const answer = picked[rule]
      const verdict = answer !== null && equivalent(groundtruth, answer).equal ? 1 : 0
      if (verdict === result[rule]) agreed[rule]++
    }
  }
  t.deepEqual(agreed, {
    majority_vote: 100,
    prm_min_max: 100,
    prm_min_vote: 100,
    prm_last_max: 100,
    prm_last_vote: 100,
  })
})

test('The recorded verdict of all 400 predictions scored by a reward model is reproduced.', t => {
  const text = readShared(t, 'candidates/math-rm-scored/first50.jsonl')
  if (text === null) return
  let agreed = 0
  for (const line of text.trim().split('\n')) {
    const row = JSON.parse(line) as { gt: string; pred: string[]; code: string[]; score: boolean[] }
    for (const [k, prediction] of row.pred.entries()) {
      const extracted = extractAnswer(row.code[k]!)?.text ?? ''
      if (equivalent(row.gt, prediction).equal === row.score[k] && equivalent(row.gt, extracted).equal === row.score[k])
        agreed++
    }
  }
  t.is(agreed, 400)
})
