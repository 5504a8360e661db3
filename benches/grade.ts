/** `npx tsx benches/grade.ts`: the time to grade one pair, and to extract and group answers. */
import { readFileSync } from 'node:fs'
import { bench, do_not_optimize, run, summary } from 'mitata'
import { equivalent, extractAnswer, groupAnswers } from '../src/grade/index.ts'

const cases = readFileSync(new URL('../fixtures/grade/cases.tsv', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .slice(1)
  .map(line => line.split('\t') as [kind: string, verdict: string, gold: string, answer: string])

const ascending = (values: number[]) => values.sort((a, b) => a - b)

/** The median of 21 calls, so that a call during which another process ran does not count. */
function timeOf(gold: string, answer: string): number {
  const calls = Array.from({ length: 21 }, () => {
    const start = performance.now()
    equivalent(gold, answer)
    return performance.now() - start
  })
  return ascending(calls)[10]!
}

for (const [, , gold, answer] of cases) equivalent(gold, answer)
const times = ascending(cases.map(([, , gold, answer]) => timeOf(gold, answer)))
const at = (share: number) => `${(times[Math.floor(share * (times.length - 1))]! * 1000).toFixed(1)} µs`
console.log(`${cases.length} pairs of fixtures/grade/cases.tsv: median ${at(0.5)}, p95 ${at(0.95)}, worst ${at(1)}`)

const solution = `${'We add 7 and 5 and get $12$, and so on. '.repeat(40)}Hence $x = \\boxed{\\frac{1}{2}}$.`
const answers = Array.from({ length: 256 }, (_, k) => cases[(k * 7) % 64]![2])

summary(() => {
  bench('equivalent: two integers', () => do_not_optimize(equivalent('42', '42.0')))
  bench('equivalent: two radicals', () =>
    do_not_optimize(equivalent('\\frac{10}{\\sqrt{3}}', '\\frac{10\\sqrt{3}}{3}')),
  )
  bench('equivalent: two polynomials', () => do_not_optimize(equivalent('(x+1)(x+2)', 'x^2+3x+2')))
  bench('equivalent: two identities', () => do_not_optimize(equivalent('\\sin 2x', '2\\sin x\\cos x')))
  bench('extractAnswer: a box after 1,600 characters', () => do_not_optimize(extractAnswer(solution)))
  bench('groupAnswers: 256 answers, 64 distinct', () => do_not_optimize(groupAnswers(answers)))
})

await run()
