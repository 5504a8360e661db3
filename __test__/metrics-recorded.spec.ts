/** The published and recorded numbers of real candidates, and lighteval's own test cases. */
import test, { type ExecutionContext } from 'ava'
import { bestOf, type Candidate, gPassAtK, majority, mean, mgPassAtK, passAtK } from '../src/evaluate/metrics.ts'
import { openrRules } from '../src/evaluate/selection.ts'
import { equivalent, expectedOverTies, extractAnswer, majority as majorityVote } from '../src/grade/index.ts'
import { fixture, readJson } from './helpers/fixtures.ts'
import { readShared } from './helpers/shared.ts'

const lines = <T>(text: string): T[] =>
  text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))

const close = (t: ExecutionContext, actual: number, expected: number, tolerance: number): void => {
  t.true(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected}`)
}

test("OpenR's five rules choose as recorded on 100 of 100 problems each, and in expectation over ties differ from it on ties only.", t => {
  const text = readShared(t, 'candidates/math500-prm-scored/first100.json')
  if (text === null) return
  const problems = JSON.parse(text) as {
    groundtruth: string
    output: { text: string; value: number[] }[]
    result: Record<string, number>
  }[]
  const agreed = Object.fromEntries(Object.keys(openrRules).map(rule => [rule, 0]))
  for (const { groundtruth, output, result } of problems) {
    const answers = output.map(({ text }) => extractAnswer(text)?.text ?? null)
    const right = (answer: string): boolean => equivalent(groundtruth, answer).equal
    for (const [rule, choose] of Object.entries(openrRules)) {
      const vote = choose(
        answers,
        output.map(({ value }) => value),
      )
      const verdict = +(vote.answer !== null && right(vote.answer))
      agreed[rule]! += +(verdict === result[rule])
      if (vote.tied.length === 1) t.is(expectedOverTies(vote, right), verdict)
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

test('A solution without steps scores −1 under the rules of OpenR, so that it loses to any that has some.', t => {
  t.is(openrRules.prm_min_max(['1', '2'], [[], [0.01]]).answer, '2')
  t.is(openrRules.prm_last_vote(['1', '2'], [[], [0.01]]).answer, '2')
  t.is(openrRules.prm_last_max(['1', '2'], [[0.9, 0.2], [0.3]]).answer, '2')
  t.is(openrRules.prm_min_vote(['1', '2', '2'], [[0.9], [0.8, 0.5], [0.5]]).answer, '2')
})

test('Qwen2.5-Math on 50 problems: maj@8 and rm@8 by the recorded answers, verdicts and rewards.', t => {
  const text = readShared(t, 'candidates/math-rm-scored/first50.jsonl')
  if (text === null) return
  const problems = lines<{ pred: string[]; score: boolean[]; pred_score: number[][] }>(text)
  const pools = problems.map(({ pred, score }) => pred.map((answer, i): Candidate => ({ answer, correct: score[i]! })))
  const rm = problems.map(({ pred_score }, i) =>
    bestOf(
      pools[i]!,
      pred_score.map(([reward]) => reward!),
    ),
  )
  const expected = readJson<{ expected: { whole: [number, number] } }>(fixture('metrics/math-rm.json')).expected.whole
  t.deepEqual(expected, [0.96, 0.96])
  close(t, mean(pools.map(pool => majority(pool))), expected[0], 1e-12)
  close(t, mean(rm), expected[1], 1e-12)
})

test('Four models on 600 problems of GSM8K: random .3775, majority .4754, pass@4 .660, best single model .555.', t => {
  const text = readShared(t, 'candidates/gsm8k-four-models/first600.jsonl')
  if (text === null) return
  const models = ['6b_finetuning', '6b_verification', '175b_finetuning', '175b_verification'] as const
  type Row = Record<(typeof models)[number], { solution: string; is_correct: boolean }>
  const pools = lines<Row>(text).map(row =>
    models.map((model): Candidate => {
      const { solution, is_correct } = row[model]
      return { answer: extractAnswer(solution)?.text ?? null, correct: is_correct }
    }),
  )
  t.is(pools.length, 600)
  const over = (value: (pool: Candidate[]) => number): number => mean(pools.map(value))
  const right = (pool: Candidate[]): number => pool.filter(({ correct }) => correct).length
  close(
    t,
    over(pool => passAtK(4, right(pool), 1)),
    0.3775,
    5e-5,
  )
  close(
    t,
    over(pool => majority(pool, 1)),
    over(pool => right(pool.filter(({ answer }) => answer !== null)) / 4),
    1e-12,
  )
  close(
    t,
    over(pool => majority(pool)),
    0.4754,
    5e-5,
  )
  close(
    t,
    over(pool => passAtK(4, right(pool), 4)),
    0.66,
    5e-5,
  )
  const single = models.map((_, model) => over(pool => +pool[model]!.correct))
  close(t, Math.max(...single), 0.555, 5e-5)
})

interface LightevalCase {
  readonly name: string
  readonly metric_params: { readonly k?: number; readonly n?: number }
  readonly doc: { readonly choices: string[]; readonly gold_index: number | number[] }
  readonly model_response: { readonly text: string[] }
  readonly expected_output: Readonly<Record<string, number>>
  readonly tolerance: number
}

/** How each file of lighteval's cases judges a text: its own rule where it has one, so that the metric is what is tested. */
const lighteval: Readonly<Record<string, (gold: string, text: string) => boolean>> = {
  avg_at_k: exact,
  avg_at_k_math: math,
  exact_match: exact,
  expr_gold_metric: math,
  g_pass_at_k: exact,
  g_pass_at_k_latex: math,
  g_pass_at_k_math: math,
  gpqa_instruct_pass_at_k: letter,
  maj_at_k: exact,
  pass_at_k: exact,
  pass_at_k_letters: letter,
  pass_at_k_math: math,
}

/** Cases that rest on how lighteval reads an answer. */
const outOfScope: Readonly<Record<string, string>> = {
  'g_pass_at_k_math: G Pass At K Math - Mixed Correct and Incorrect':
    "lighteval's expression reader does not read x^2/2 outside of LaTeX, so that even the gold answer is wrong there",
  'g_pass_at_k_math: G Pass At K Math - High K Value':
    "lighteval's expression reader does not read n(n+1)/2 outside of LaTeX, so that even the gold answer is wrong there",
  'gpqa_instruct_pass_at_k: Gpqa Instruct Pass At K - Parentheses Format':
    'the letter of a multiple choice in parentheses; multiple choice is not graded here',
}

function exact(gold: string, text: string): boolean {
  return text.trim() === gold
}

function math(gold: string, text: string): boolean {
  return equivalent(gold, text, { strict: true }).equal
}

function letter(gold: string, text: string): boolean {
  return (extractAnswer(text)?.text ?? text) === gold
}

function value(name: string, { metric_params, model_response: { text } }: LightevalCase, right: boolean[]): number {
  const { k = text.length, n = text.length } = metric_params
  const correct = right.filter(Boolean).length
  const [, threshold] = /g-pass@\d+_(.+)$/.exec(name) ?? []
  if (threshold !== undefined) return gPassAtK(n, correct, k, Number(threshold))
  if (/g-pass/.test(name)) return mgPassAtK(n, correct, k)
  if (/pass@k/.test(name)) return passAtK(n, correct, k)
  // Of a tie lighteval takes the first answer, as the vote does; the expectation over ties would be another number.
  if (/maj@k/.test(name)) return +right[text.indexOf(majorityVote(text).answer!)]!
  // avg@k, exact match and extractive match: the share of the first k that are right.
  return mean(right.slice(0, k).map(Number))
}

for (const [file, judge] of Object.entries(lighteval)) {
  test(`lighteval's cases of ${file} pass.`, t => {
    const text = readShared(t, `metrics/lighteval/${file}.json`)
    if (text === null) return
    const { test_cases } = JSON.parse(text) as { test_cases: LightevalCase[] }
    t.true(test_cases.length > 0)
    for (const one of test_cases) {
      const [gold = 0] = [one.doc.gold_index].flat()
      const answer = judge === letter ? 'ABCDEFGHIJ'[gold]! : one.doc.choices[gold]!
      const right = one.model_response.text.map(text => judge(answer, text))
      const passes = Object.entries(one.expected_output).every(
        ([name, expected]) => Math.abs(value(name, one, right) - expected) <= one.tolerance,
      )
      const reason = outOfScope[`${file}: ${one.name}`]
      if (reason) t.log(`out of scope: ${one.name}: ${reason}`)
      t.is(passes, reason === undefined, `${file}: ${one.name}`)
    }
  })
}
