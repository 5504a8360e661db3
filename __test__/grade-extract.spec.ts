import test from 'ava'
import { SurefootError } from '../src/errors.ts'
import { type AnswerKind, equivalent, extractAnswer } from '../src/grade/index.ts'
import { readShared } from './helpers/shared.ts'

const text = (solution: string, kind: AnswerKind = 'any') => extractAnswer(solution, { kind })?.text ?? null
const how = (solution: string) => extractAnswer(solution)?.how

test('The last balanced box is the answer, however deep its braces.', t => {
  t.is(text('First \\boxed{1}. Then, after a check, we find \\boxed{\\frac{1}{\\sqrt{2}}}.'), '\\frac{1}{\\sqrt{2}}')
  t.is(text('so \\boxed{\\{x \\mid x > 3\\}}'), '\\{x \\mid x > 3\\}')
  t.is(text('hence $\\fbox{7}$'), '7')
  t.is(text('hence \\boxed 9.'), '9')
  t.is(text('hence \\boxed{ 5 }'), '5')
  t.is(text('cut off: $\\boxed{\\frac{1}{2}$'), '\\frac{1}{2}')
  t.is(how('\\boxed{5}'), 'boxed')
})

test('Boxes joined by a comma or a conjunction are one answer; boxes apart are not.', t => {
  t.is(text('$\\boxed{-2}$ and $\\boxed{1}$'), '-2, 1')
  t.is(text('\\[\\boxed{-2} \\quad \\text{and} \\quad \\boxed{1}\\]'), '-2, 1')
  t.is(text('\\boxed{1},\\boxed{2},\\boxed{3}'), '1, 2, 3')
  t.is(text('\\boxed{840} and \\boxed{840}'), '840')
  t.is(text('\\boxed{1} thus but \\boxed{2}'), '2')
})

test('An empty box is passed over for the next rule.', t => {
  t.is(text('\\boxed{} The answer is 5.'), '5')
})

test('GSM8K’s marks and answer lines are read.', t => {
  t.is(text('She makes 9 * 2 = <<9*2=18>>18\n#### 18'), '18')
  t.is(text('#### 1,200\n'), '1,200')
  t.is(text('She makes 18\nA: 18'), '18')
  t.is(how('x\n#### 18'), 'hash')
})

test('A cue is followed to the end of its clause, and the last value in it is the answer.', t => {
  t.is(text('The answer is 5.'), '5')
  t.is(text('The final answer is $\\frac{1}{2}$. I hope it is correct.'), '\\frac{1}{2}')
  t.is(text('**Final Answer:** 42'), '42')
  t.is(text('Answer: **42**\n\nLet me know if you have questions.'), '42')
  t.is(text('Final Answer: The largest $n$ is 34.'), '34')
  t.is(text('Final Answer: The volume of $ABCD$ is 120. I hope it is correct.'), '120')
  t.is(text('Final Answer: Jane started growing Sphere 3 hours ago. I hope it is correct.'), '3')
  t.is(text('The answer is 3.5 meters.'), '3.5 meters')
  t.is(text('The answer is $4$ and $-4$.'), '$4$ and $-4$')
  t.is(text('The answer is (C).'), '(C)')
  t.is(text('The answer is Evelyn.'), 'Evelyn')
  t.is(text('答案是 42。'), '42')
  t.is(text('La respuesta es 7.'), '7')
  t.is(how('The answer is 5.'), 'cue')
})

test('Without a cue the last sentence is read.', t => {
  t.is(text('We have 3 apples. So the total is 12.'), '12')
  t.is(text('Therefore $x \\geq 5$ is the solution.'), 'x \\geq 5')
  t.is(text('P(A) = (1/2) * (4/3) P(A) = 2/3 Therefore, the probability that Alice wins the game is 2/3.'), '2/3')
  t.is(text('Thus\n\\[ x = 16 \\]'), 'x = 16')
  t.is(how('We add. So the total is 12.'), 'sentence')
})

test('A closing code fence is an answer, and with kind code the only one.', t => {
  t.is(text('Here it is\n```\n42\n```'), '42')
  t.is(text('First\n```js\nf()\n```\nthen \\boxed{3}\n```js\ng()\n```', 'code'), 'g()')
  t.is(text('The answer is 3', 'code'), null)
})

test('Thoughts and later turns are not answers, unless nothing else is.', t => {
  t.is(text('<think>The answer is 8.</think> The answer is 7.'), '7')
  t.is(text('<think>The answer is 8.</think>'), '8')
  t.is(text('The answer is 2/3. <|im_start|>user: what is 9?'), '2/3')
  t.is(
    text('Final Answer: The final answer is $5$. I hope it is correct.\n\nProblem: What is 1+1?\nThe answer is 2.'),
    '5',
  )
})

test('The kinds number and choice narrow the answer down.', t => {
  t.is(text('The answer is 3.5 meters.', 'number'), '3.5')
  t.is(text('The total is $1,200 dollars.', 'number')?.replace('$', ''), '1,200')
  t.is(text('The answer is (C) 12.', 'choice'), 'C')
  t.is(text('故选 B', 'choice'), 'B')
  t.is(text('\\boxed{\\text{(D)}}', 'choice'), 'D')
  t.is(text('no choice here', 'choice'), null)
})

test('Start and end locate the answer in the solution.', t => {
  for (const solution of [
    'So \\boxed{\\frac12}.',
    'The answer is $x=5$.',
    '#### 18',
    'Hence the total is 12 apples.',
  ]) {
    const found = extractAnswer(solution)!
    t.is(solution.slice(found.start, found.end), found.text)
  }
})

test('A text without an answer has none, and only a wrong type throws.', t => {
  t.is(extractAnswer(''), null)
  t.is(extractAnswer('   \n'), null)
  t.is(
    t.throws(() => extractAnswer(5 as unknown as string), { instanceOf: SurefootError })?.code,
    'ERR_INVALID_ARGUMENT',
  )
  t.is(t.throws(() => text('5', 'word' as AnswerKind), { instanceOf: SurefootError })?.code, 'ERR_INVALID_ARGUMENT')
})

test('The answer of every GSM8K training solution is found.', t => {
  const text = readShared(t, 'problems/gsm8k/train.jsonl')
  if (text === null) return
  const rows = text.trim().split('\n')
  t.is(rows.length, 7473)
  for (const row of rows) {
    const { answer } = JSON.parse(row) as { answer: string }
    const found = extractAnswer(answer)
    if (found?.text !== answer.split('#### ')[1]) t.fail(answer)
  }
})

test('The verdict of all 2,400 recorded GSM8K solutions is reproduced.', t => {
  const text = readShared(t, 'candidates/gsm8k-four-models/first600.jsonl')
  if (text === null) return
  type Row = { ground_truth: string } & Record<string, { solution: string; is_correct: boolean }>
  let agreed = 0
  for (const line of text.trim().split('\n')) {
    const row = JSON.parse(line) as Row
    for (const model of ['6b_finetuning', '6b_verification', '175b_finetuning', '175b_verification']) {
      const { solution, is_correct } = row[model]!
      if (equivalent(row.ground_truth, solution).equal === is_correct) agreed++
    }
  }
  t.is(agreed, 2400)
})
