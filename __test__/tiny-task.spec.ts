import test from 'ava'
import fc from 'fast-check'
import { equationChecker, surfaceRegression } from '../scripts/tiny/rivals.ts'
import {
  answerOf,
  drawProblems,
  evaluate,
  type Fault,
  judge,
  type Problem,
  problem,
  worked,
  write,
} from '../scripts/tiny/task.ts'

const stories = fc.integer({ min: 0, max: 100_000 }).map(id => problem(99, id))
const author = fc.integer({ min: 0, max: 1_000 })
const several = Array.from({ length: 4_000 }, (_, id) => problem(5, id))

/** Only a mistake of the other kinds makes a step wrong; an unfinished solution just lacks its end. */
const wrongFaults = (faults: readonly Fault[]): Fault[] => faults.filter(({ kind }) => kind !== 'unfinished')

test('a problem depends on its seed and id alone', t => {
  const { text, answer } = problem(1, 0)
  t.is(
    text,
    'In a pond swim 38 fish. A heron takes 8. 2 herons take 6 each. Then they become twice as many. 9 swim in from the river. How many fish swim there now?',
  )
  t.is(answer, '45')
  problem(2, 7)
  t.deepEqual(problem(1, 0), problem(1, 0))
  t.not(problem(1, 1).text, text)
  t.not(problem(2, 0).text, text)
})

test('a problem has three to six calculations that come out even, on small numbers', t => {
  fc.assert(
    fc.property(stories, ({ plan, answer }) => {
      t.true(plan.length >= 3 && plan.length <= 6)
      for (const calculation of plan) {
        const { a, operator, b } = calculation
        if (operator === '/') t.is(a % b, 0)
        if (operator === '-') t.true(a > b)
        t.true(evaluate(calculation) >= 1 && evaluate(calculation) <= 80)
      }
      t.is(String(evaluate(plan.at(-1)!)), answer)
    }),
  )
})

test('all families occur, and up to two wordings that authors misread', t => {
  t.deepEqual([...new Set(several.map(({ family }) => family))].sort(), ['bakery', 'bus', 'marbles', 'pond', 'savings'])
  const traps = several.map(({ events }) => events.filter(({ wording }) => wording.misreading).length)
  t.deepEqual([...new Set(traps)].sort(), [0, 1, 2])
})

test('the worked solution is right at every step, in the style of any author', t => {
  fc.assert(
    fc.property(stories, author, (story, name) => {
      const steps = worked(story, name)
      const { labels, answer, correct } = judge(story, steps)
      t.is(labels.length, story.plan.length + 1)
      t.true(labels.every(Boolean) && correct)
      t.is(answer, story.answer)
    }),
  )
})

test('every kind of fault is labelled at the step where it was made, and all that follows is false', t => {
  const seen = new Map<Fault['kind'], number>()
  for (const story of several) {
    const { steps, faults } = write(story, 0)
    const { labels, answer } = judge(story, steps)
    const first = wrongFaults(faults)[0]
    if (first) seen.set(first.kind, (seen.get(first.kind) ?? 0) + 1)
    // What is left out at the very end of an unfinished solution leaves no step to be wrong.
    const expected = first && first.step < steps.length ? first.step : -1
    t.is(labels.indexOf(false), expected, `${story.text}\n${steps.join('\n')}`)
    if (expected >= 0) t.true(labels.slice(expected).every(label => !label))
    t.is(
      answer === null,
      faults.some(({ kind }) => kind === 'unfinished'),
    )
    if (answer === null) seen.set('unfinished', (seen.get('unfinished') ?? 0) + 1)
  }
  for (const kind of ['misreading', 'result', 'operand', 'dropped', 'unfinished'] as const)
    t.true(seen.get(kind)! > 5, kind)
})

test('a misreading is held by its share of the authors', t => {
  const held = new Map<string, { share: number; told: number; misread: number }>()
  for (const story of several) {
    const traps = story.events.filter(({ wording }) => wording.misreading)
    if (traps.length !== 1) continue
    const { wording } = traps[0]!
    const count = held.get(wording.text) ?? { share: wording.misreading!.heldBy, told: 0, misread: 0 }
    held.set(wording.text, count)
    count.told++
    count.misread += +write(story, 0).faults.some(({ kind }) => kind === 'misreading')
  }
  t.true(held.size >= 30)
  for (const [text, { share, told, misread }] of held) {
    t.true(Math.abs(misread / told - share) < 4 * Math.sqrt((share * (1 - share)) / told), text)
  }
})

/** The step with its result changed by one. */
const spoil = (step: string): string => step.replace(/(\d+)(\.?)$/, (_, result, stop) => `${Number(result) + 1}${stop}`)

test('a spoiled step is wrong, and so is all that follows it', t => {
  fc.assert(
    fc.property(stories, author, fc.nat(), (story, name, pick) => {
      const steps = [...worked(story, name)]
      const at = pick % steps.length
      steps[at] = spoil(steps[at]!)
      t.deepEqual(
        judge(story, steps).labels,
        steps.map((_, i) => i < at),
      )
    }),
  )
})

test('swapped operands of + and * are right, of - and / are wrong', t => {
  fc.assert(
    fc.property(stories, author, fc.nat(), (story, name, pick) => {
      const steps = [...worked(story, name)]
      const at = pick % story.plan.length
      const { a, b, operator } = story.plan[at]!
      steps[at] = steps[at]!.replace(/\d+ (.) \d+/, `${b} $1 ${a}`)
      t.is(judge(story, steps).labels[at], operator === '+' || operator === '*' || a === b)
    }),
  )
})

test('a solution that stops early has right steps, no answer, and counts as wrong', t => {
  fc.assert(
    fc.property(stories, author, fc.nat(), (story, name, pick) => {
      const steps = worked(story, name).slice(0, pick % (story.plan.length + 1))
      t.deepEqual(judge(story, steps), { labels: steps.map(() => true), answer: null, correct: false })
    }),
  )
})

test('a step left out or said twice is wrong in its place, and nothing may follow the answer', t => {
  fc.assert(
    fc.property(stories, author, (story, name) => {
      const steps = worked(story, name)
      t.false(judge(story, steps.toSpliced(0, 1)).labels[0])
      t.deepEqual(judge(story, [steps[0]!, ...steps]).labels.slice(0, 2), [true, false])
      const after = judge(story, [...steps, 'That is all.'])
      t.is(after.labels.indexOf(false), steps.length)
      t.is(after.answer, null)
    }),
  )
})

test('any lines at all are judged: one label each, never right again after a wrong one', t => {
  const line = fc.oneof(fc.string(), fc.constantFrom('A: 7', 'That makes 3 + 4 = 7.', '', ' '))
  fc.assert(
    fc.property(stories, fc.array(line, { maxLength: 8 }), ({ ...story }: Problem, lines) => {
      const { labels, correct, answer } = judge(story, lines)
      t.is(labels.length, lines.length)
      t.false(labels.some((label, i) => i > 0 && label && !labels[i - 1]))
      t.is(correct, answer === story.answer)
    }),
  )
})

test('only a last line in the form "A: 7" is an answer', t => {
  t.is(answerOf('A: 7'), '7')
  t.is(answerOf(' A: 12 '), '12')
  for (const line of ['A:7', 'A: 7.', 'A: -7', 'A: seven', 'So A: 7', '', undefined]) t.is(answerOf(line), null)
})

test('no fresh problem has a text that came before', t => {
  const seen = new Set<string>()
  const training = drawProblems('prm', seen)
  const fresh = drawProblems('test', seen)
  const all = [...training, ...fresh].map(({ text }) => text)
  t.is(fresh.length, 500)
  t.is(new Set(all).size, all.length)
  t.is(seen.size, all.length)
  const known = new Set([fresh[0]!.text])
  t.false(drawProblems('test', known).some(({ text }) => text === fresh[0]!.text))
})

test('the equation checker sees wrong sums and nothing else', t => {
  t.deepEqual(
    equationChecker('', ['That makes 3 + 4 = 7.', 'Left are 7 - 2 = 4.', 'That takes 9 / 2 = 4.', 'A: 9']),
    [1, 0, 0, 1],
  )
})

test('the surface regression learns what the surface tells', t => {
  const rows = several.slice(0, 300).map((story, i) => {
    const steps = [...worked(story, 0)]
    if (i % 2 === 1) steps[1] = spoil(steps[1]!)
    return { problem: story.text, steps, labels: judge(story, steps).labels }
  })
  const scorer = surfaceRegression(rows.slice(0, 200))
  for (const { problem: text, steps, labels } of rows.slice(200)) {
    t.deepEqual(
      scorer(text, steps).map(score => score > 0.5),
      labels,
    )
  }
})
