/**
 * Grades pairs of random strings of a LaTeX-like grammar: nothing may throw, and no pair may take long.
 * `npx tsx scripts/grade/fuzz.ts [pairs] [seed]`, by default 1,000,000 pairs.
 */
import { equivalent, extractAnswer, groupAnswers } from '../../src/grade/index.ts'
import { randomAnswer, seeded } from './random.ts'

const count = Number(process.argv[2] ?? 1_000_000)
const random = seeded(Number(process.argv[3] ?? 1))
const worst: { ms: number; gold: string; answer: string; how: string }[] = []
const verdicts = new Map<string, number>()
const start = performance.now()
let gold = randomAnswer(random)
for (let k = 0; k < count; k++) {
  const answer = random() < 0.1 ? gold : randomAnswer(random)
  const before = performance.now()
  const { how, equal } = equivalent(gold, answer)
  if (k % 4 === 0) {
    extractAnswer(answer)
    groupAnswers([gold, answer])
  }
  const ms = performance.now() - before
  if (answer === gold && !equal && how !== 'too complex')
    throw new Error(`not equal to itself: ${JSON.stringify(gold)}`)
  verdicts.set(how, (verdicts.get(how) ?? 0) + 1)
  if (worst.length < 10 || ms > worst.at(-1)!.ms) {
    worst.push({ ms, gold, answer, how })
    worst.sort((a, b) => b.ms - a.ms).splice(10)
  }
  gold = answer
}
console.log(`${count} pairs in ${((performance.now() - start) / 1000).toFixed(0)} s`)
console.log(Object.fromEntries(verdicts))
for (const { ms, gold: g, answer, how } of worst)
  console.log(`${ms.toFixed(1)} ms ${how}: ${g.slice(0, 200)} | ${answer.slice(0, 200)}`)
