// A scorer of your own in place of a PRM: a rule that recomputes what each step says. A beam search follows it.
import { beam, Policy, type StepScorer, solve } from 'surefoot'

/** 1 where every `a + b = c` in a step is right, 0 where one is wrong, 0.5 where there is none. */
function check(step: string): number {
  const sums = [...step.matchAll(/(\d+)\s*([-+*/])\s*(\d+)\s*=\s*(-?\d+)/g)]
  const right = sums.map(([, a, sign, b, c]) => {
    const [x, y] = [Number(a), Number(b)]
    return { '+': x + y, '-': x - y, '*': x * y, '/': x / y }[sign!] === Number(c)
  })
  return right.length === 0 ? 0.5 : Number(right.every(Boolean))
}

const arithmetic: StepScorer = {
  facts: { semantics: 'probability', threshold: 0.5, split: '\n', aggregate: 'min' },
  // One score for each step of each trace. A rule reads no tokens, so it costs the budget none.
  score: async traces => traces.map(({ steps }) => ({ steps: steps.map(step => ({ score: check(step) })), tokens: 0 })),
}

const policy = await Policy.load()
const problem = 'Ben has 13 marbles. He finds 2 more. He gives away a third of them. How many marbles in the end?'
const { solution, trace } = await solve(problem, {
  policy,
  prm: arithmetic,
  strategy: beam({ width: 2, rank: 'min' }),
  sampling: { temperature: 1.2 },
})
for (const { text, score } of solution!.steps) console.log(score, text)
const wrong = trace.filter(({ scores }) => scores.includes(0))
console.log(wrong.length, 'of', trace.length - 1, 'continuations calculate wrongly, such as:', wrong[0]?.text.trim())
await policy.dispose()
