import { readFileSync } from 'node:fs'
import test from 'ava'
import { AgreementTally } from '../src/annotate/agreement.ts'
import type { Method } from '../src/annotate/annotation.ts'
import { checkJudges, consensus, type Decision, finalAnswerIsRight, type Rule } from '../src/annotate/consensus.ts'
import type { Judge } from '../src/annotate/judge.ts'
import { aslafChoices, aslafRule, presets } from '../src/annotate/presets.ts'
import { cohenKappa, fleissKappa, rawAgreement } from '../src/evaluate/metrics.ts'
import { randomNumbers } from '../src/evaluate/random.ts'
import { fromFunction } from '../src/generator/function.ts'
import { textScorer } from './helpers/evaluation.ts'

type Votes = readonly (number | null)[]

const invalid = (argument: string) => ({ code: 'ERR_INVALID_ARGUMENT', message: new RegExp(`^${argument}: `) })

function decide(votes: Votes, rule: Rule = {}, steps = 4, answerCorrect: boolean | null = null): Decision {
  return consensus(
    { votes: votes.map(firstError => ({ method: 'prm', firstError })), steps, answerCorrect },
    { answer: 'ignore', ...rule },
  )
}

/** What is kept as `first error: labels`, or why it is not. */
function shown(decision: Decision): string {
  if (!decision.kept) return decision.reason
  const { firstError, labels, agreement } = decision
  return `${firstError}: ${labels.map(label => label ?? '-').join('')} ${agreement.agreed}/${agreement.of}`
}

test('A solution is kept where enough judges name one step, and nothing behind the first error is labelled', t => {
  const cases: readonly (readonly [Votes, Rule, string])[] = [
    [[2, 2, 2], {}, '2: 110- 3/3'],
    [[-1, -1, -1], {}, '-1: 1111 3/3'],
    [[2, 2, 1], {}, 'location'],
    [[2, 2, -1], {}, 'correctness'],
    [[2, 2, null], {}, 'abstentions'],
    [[2, 2, 1], { agree: 2 }, '2: 110- 2/3'],
    [[2, 2, null], { agree: 2 }, '2: 110- 2/3'],
    [[2, null, null], { agree: 2 }, 'abstentions'],
    [[2, 1, -1], { agree: 2 }, 'location'],
    [[2, 1, 0], { agree: 2 }, 'location'],
    [[1, 1, 2, 2], { agree: 2 }, 'location'],
    [[1, 1, -1, -1], { agree: 2 }, 'correctness'],
    [[2, 2, null], { abstentions: 'ignore' }, '2: 110- 2/3'],
    [[2, 1, null], { abstentions: 'ignore' }, 'location'],
    [[2, null, null], { abstentions: 'ignore' }, 'abstentions'],
    [[null, null, null], { abstentions: 'ignore' }, 'abstentions'],
  ]
  for (const [votes, rule, expected] of cases) {
    t.is(shown(decide(votes, rule)), expected, `${votes} ${JSON.stringify(rule)}`)
  }
})

test('On correctness judges agree that it is wrong, and the steps that all of them call right are labelled', t => {
  const on = 'correctness'
  const cases: readonly (readonly [Votes, Rule, string])[] = [
    [[-1, -1, -1], { on }, '-1: 1111 3/3'],
    [[2, 2, 1], { on }, '2: 110- 3/3'],
    [[3, 2, 1], { on }, 'null: 1--- 3/3'],
    [[3, 2, 0], { on }, 'labels'],
    [[3, 2, -1], { on }, 'correctness'],
    [[3, 2, -1], { on, agree: 2 }, 'null: 11-- 2/3'],
    [[-1, 0, -1], { on, agree: 2 }, '-1: 1111 2/3'],
  ]
  for (const [votes, rule, expected] of cases) t.is(shown(decide(votes, rule)), expected, `${votes}`)
})

test('By step every step is labelled on which enough judges agree, up to the first that is wrong or open', t => {
  const granularity = 'step'
  const cases: readonly (readonly [Votes, Rule, string])[] = [
    [[2, 2, 2], { granularity }, '2: 110- 3/3'],
    [[2, 3, -1], { granularity }, 'null: 11-- 3/3'],
    [[0, 3, -1], { granularity }, 'correctness'],
    [[0, 3, 3], { granularity }, 'location'],
    [[2, 3, 3], { granularity, agree: 2 }, '3: 1110 2/3'],
    [[2, 2, -1], { granularity, agree: 2 }, '2: 110- 2/3'],
    [[1, 2, 3], { granularity, agree: 2 }, 'null: 11-- 2/3'],
    [[-1, -1, 3], { granularity, agree: 2 }, '-1: 1111 2/3'],
    [[1, 1, 3, 3], { granularity, agree: 2 }, 'null: 1--- 4/4'],
  ]
  for (const [votes, rule, expected] of cases) t.is(shown(decide(votes, rule)), expected, `${votes}`)
})

test('Step labels are those of which enough judges hold each, in every small case', t => {
  const values = [null, -1, 0, 1, 2]
  for (let code = 0; code < values.length ** 3; code++) {
    const votes = [code % 5, Math.floor(code / 5) % 5, Math.floor(code / 25)].map(i => values[i]!)
    for (const agree of [2, 3]) {
      const decision = decide(votes, { granularity: 'step', agree }, 3)
      const held = (step: number, label: number): number =>
        votes.filter(at => at !== null && (label === 0 ? at === step : at === -1 || at > step)).length
      const expected: (number | null)[] = []
      for (let step = 0; step < 3; step++) {
        const open = expected.every(label => label === 1)
        expected.push(open && held(step, 1) >= agree ? 1 : open && held(step, 0) >= agree ? 0 : null)
      }
      t.deepEqual(decision.kept ? decision.labels : [null, null, null], expected, `${votes} ${agree}`)
    }
  }
})

test('The final answer is held against the labels as the rule says', t => {
  const votes = (rollouts: number | null, ...others: Votes) => [
    { method: 'bisection' as Method, firstError: rollouts },
    ...others.map(firstError => ({ method: 'generative' as Method, firstError })),
  ]
  const run = (given: ReturnType<typeof votes>, answer: Required<Rule>['answer'], right: boolean | null): string =>
    shown(consensus({ votes: given, steps: 3, answerCorrect: right }, { answer }))
  t.is(run(votes(-1, -1, -1), 'check', false), 'answer', 'a wrong answer without an error')
  t.is(run(votes(-1, -1, -1), 'ignore', false), '-1: 111 3/3')
  t.is(run(votes(-1, -1, -1), 'check', true), '-1: 111 3/3')
  t.is(run(votes(-1, -1, -1), 'check', null), '-1: 111 3/3')
  t.is(run(votes(1, 1, 1), 'check', true), '1: 10- 3/3', 'a wrong way to a right answer')
  t.is(run(votes(-1, 1, 1), 'check', true), 'correctness')
  t.is(run(votes(-1, 1, 1), 'blind', true), '1: 10- 2/3', 'rollouts are blind there')
  t.is(run(votes(-1, 1, 1), 'blind', false), 'correctness', 'and nowhere else')
  t.is(run(votes(-1, 1, 1), 'right', true), 'correctness')
  t.is(run(votes(2, -1, -1), 'right', true), '-1: 111 3/3', 'whatever they came to')
  t.is(run(votes(null, -1, -1), 'right', true), '-1: 111 3/3')
  t.is(run(votes(2, -1), 'blind', true), 'abstentions', 'never on the word of one')
  t.is(run(votes(-1, -1, -1), 'blind', false), 'answer')
})

test('Whether the final answer is right is as recorded, else as it is graded', t => {
  const of = (steps: readonly string[], answer: string | null, answerCorrect?: boolean) =>
    finalAnswerIsRight({ steps, answer, ...(answerCorrect !== undefined && { answerCorrect }) })
  t.true(of(['So', 'it is \\boxed{\\frac{1}{2}}.'], '0.5'))
  t.false(of(['The answer is 3.'], '4'))
  t.false(of(['The answer is 4.'], '4', false))
  t.is(of(['The answer is 4.'], null), null)
  t.is(of(['2 + 2 = 4'], '4'), null, 'no text says that this is its answer')
})

test('A rule or a vote that cannot be is refused', t => {
  t.throws(() => decide([1, 1], { agree: 3 }), invalid('agree'))
  t.throws(() => decide([1, 1], { agree: 1 }), invalid('agree'))
  t.throws(() => decide([1, 1, 1], { agree: 2.5 }), invalid('agree'))
  t.throws(() => decide([1]), invalid('judges'))
  t.throws(() => decide([1, 1], { on: 'place' as never }), invalid('on'))
  t.throws(() => decide([1, 1], { on: 'correctness', granularity: 'step' }), invalid('on'))
  t.throws(() => decide([1, 4]), invalid('votes'))
  t.throws(() => decide([1, -2]), invalid('votes'))
  t.throws(() => decide([1, 0.5]), invalid('votes'))
})

test('Judges that are one in weights and method are refused', t => {
  const name = (method: Method, ...by: readonly string[]) => ({ id: `${method}:${by.join('+')}`, method, by })
  t.notThrows(() =>
    checkJudges([name('rollouts', 'a'), name('rollouts', 'b'), name('generative', 'a'), name('prm', 'a')]),
  )
  const refused = [
    [name('rollouts', 'a'), name('prm', 'p'), name('rollouts', 'a')],
    [name('rollouts', 'a'), { ...name('bisection', 'a'), id: 'another seed' }],
    [name('omega', 'a'), name('rollouts', 'a')],
    [
      { id: 'same', method: 'prm' as const },
      { id: 'same', method: 'generative' as const },
    ],
    [name('consensus', 'prm:p', 'rollouts:a'), name('prm', 'p')],
    [name('consensus', 'prm:p', 'rollouts:a'), name('consensus', 'rollouts:a', 'generative:g')],
    [name('recorded', 'x', 'y'), name('recorded', 'y', 'x')],
  ]
  for (const judges of refused) {
    const error = t.throws(() => checkJudges(judges), invalid('judges')) as unknown as { data: { value: string[] } }
    t.is(error.data.value.length, 2)
  }
})

test('Agreement is what the metrics say of all votes', t => {
  const random = randomNumbers(5)
  const rows = Array.from({ length: 150 }, () => Array.from({ length: 3 }, () => Math.floor(random() * 4) - 1))
  const tally = new AgreementTally(3)
  for (const [index, votes] of rows.entries()) tally.add(String(index), votes, 3, index % 3 === 0)
  const { location, correctness, solutions, complete } = tally.statistics({ resamples: 50 })
  const near = (got: { value: number } | null, expected: number): void => {
    t.true(Math.abs(got!.value - expected) < 1e-12, `${got?.value} ${expected}`)
  }
  t.deepEqual([solutions, complete], [150, 150])
  near(location.fleiss, fleissKappa(rows))
  near(location.fleissWithMissing, fleissKappa(rows))
  near(correctness.fleiss, fleissKappa(rows.map(votes => votes.map(at => at === -1))))
  for (const { judges, raw, cohen } of location.pairs) {
    const [a, b] = judges.map(judge => rows.map(votes => votes[judge]!)) as [number[], number[]]
    near(raw, rawAgreement(a, b))
    near(cohen, cohenKappa(a, b))
  }
  near(tally.retention({ resamples: 50 }), 1 / 3)
})

interface Expected {
  readonly resamples: number
  readonly seed: number
  readonly kept: Record<'location' | 'correctness', Record<string, boolean[]>>
}

function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/annotate/${name}`, import.meta.url), 'utf8'))
}

test('Agreement of recorded judgements is what an independent script computes, to 1e-12, intervals too', t => {
  const { judges, rows } = fixture<{ judges: string[]; rows: { problem: number; steps: number; votes: Votes }[] }>(
    'consensus-votes.json',
  )
  const { resamples, seed, kept, ...expected } = fixture<Expected & Record<string, unknown>>('consensus-expected.json')
  const tally = new AgreementTally(judges.length)
  for (const { problem, steps, votes } of rows) tally.add(String(problem), votes, steps, true)
  const got = tally.statistics({ resamples, seed }) as unknown as Record<string, unknown>
  let numbers = 0
  const compare = (a: unknown, b: unknown, path: string): void => {
    if (typeof b === 'number') {
      numbers++
      t.true(typeof a === 'number' && Math.abs(a - b) <= 1e-12, `${path}: ${a} ${b}`)
    } else if (typeof b === 'object' && b !== null && typeof a === 'object' && a !== null) {
      t.deepEqual(Object.keys(a).sort(), Object.keys(b).sort(), path)
      for (const [key, value] of Object.entries(b))
        compare((a as Record<string, unknown>)[key], value, `${path}.${key}`)
    } else t.is(a, b, path)
  }
  compare(got, expected, '')
  t.true(numbers > 200)
  for (const on of ['location', 'correctness'] as const) {
    for (const [need, keep] of Object.entries(kept[on])) {
      const decided = rows.map(({ votes, steps }) => decide(votes, { on, agree: Number(need) }, steps))
      const keeps = decided.map(decision => decision.kept || decision.reason === 'labels')
      t.deepEqual(keeps, keep, `${on} ${need}`)
    }
  }
})

test('What does not exist is null: kappa of judges that all say the same, agreement of none', t => {
  const same = new AgreementTally(3)
  for (let i = 0; i < 7; i++) same.add(String(i), [-1, -1, -1], 2, true)
  const { location, correctness } = same.statistics()
  t.is(location.fleiss, null)
  t.is(correctness.pairs[0]!.cohen, null)
  t.is(location.raw?.value, 1)
  const none = new AgreementTally(2)
  t.is(none.retention(), null)
  t.is(none.statistics().location.raw, null)
  none.add('a', [null, 1], 2, false)
  const silent = none.statistics()
  t.is(silent.location.raw, null)
  t.is(silent.location.unanimous?.value, 0)
  t.is(silent.location.fleissWithMissing, null)
})

test('Above 4,096 problems groups of them are resampled, and the interval keeps its width', t => {
  const widthOf = (problems: number): number => {
    const random = randomNumbers(3)
    const tally = new AgreementTally(2)
    for (let i = 0; i < problems; i++) tally.add(`p${i}`, [-1, random() < 0.5 ? 0 : -1], 3, true)
    const { value, low, high } = tally.statistics({ resamples: 300 }).location.raw!
    t.true(low < 0.5 && 0.5 < high && Math.abs(value - 0.5) < 0.03)
    return (high - low) * Math.sqrt(problems)
  }
  const expected = 2 * 1.96 * 0.5
  for (const problems of [4000, 20_000]) {
    const width = widthOf(problems)
    t.true(Math.abs(width - expected) < 0.25 * expected, `${problems}: ${width}`)
  }
})

test('The preset aslaf takes rollouts by binary search, a PRM and a critic, and says what the paper leaves open', t => {
  const policy = (id: string) => fromFunction(() => 'FIRST ERROR: none', { id, capabilities: { prefill: true } })
  const { judges, rule, choices } = presets.aslaf({
    policies: [policy('small'), policy('large')],
    prm: textScorer(),
    prmOptions: { id: 'text' },
    judge: policy('critic'),
  })
  t.deepEqual(
    judges.map(({ id }: Judge) => id),
    ['bisection:small', 'bisection:large', 'prm:text', 'generative:critic'],
  )
  t.notThrows(() => checkJudges(judges))
  t.is(rule, aslafRule)
  t.deepEqual(rule, { agree: 'all', on: 'location', granularity: 'instance', abstentions: 'disagree', answer: 'right' })
  t.is(choices, aslafChoices)
  t.throws(() => presets.aslaf({ policies: [policy('small')], prm: textScorer(), prmOptions: { id: 'text' } }), {
    message: /^judges: aslaf needs three or more/,
  })
})
