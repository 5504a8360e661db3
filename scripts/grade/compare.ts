/**
 * Compares surefoot with Math-Verify pair by pair:
 * `npx tsx scripts/grade/compare.ts pairs.jsonl math_verify.jsonl`. Prints one table and every disagreement.
 */
import { readFileSync } from 'node:fs'
import { equivalent } from '../../src/grade/index.ts'

const lines = (path: string) =>
  readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))

const [pairs, theirs] = [lines(process.argv[2]!), lines(process.argv[3]!)]
const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!.toFixed(3)
const rows: Record<string, Record<string, string | number>> = {}
for (const set of new Set<string>(pairs.map(pair => pair.set))) {
  const count = { pairs: 0, judged: 0, ours: 0, theirs: 0, ourFalse: 0, theirFalse: 0, disagree: 0 }
  const times: [number[], number[]] = [[], []]
  for (const [index, pair] of pairs.entries()) {
    if (pair.set !== set) continue
    const start = performance.now()
    const verdict = equivalent(pair.gold, pair.answer)
    times[0].push(performance.now() - start)
    const other = theirs[index]
    times[1].push(other.ms)
    count.pairs++
    if (pair.truth !== null) {
      count.judged++
      if (verdict.equal === pair.truth) count.ours++
      if (other.equal === pair.truth) count.theirs++
      if (verdict.equal && !pair.truth) count.ourFalse++
      if (other.equal && !pair.truth) count.theirFalse++
    }
    if (verdict.equal === other.equal) continue
    count.disagree++
    const said = pair.truth === null ? '?' : pair.truth ? '=' : '≠'
    console.log(
      `${set} ${pair.id} truth ${said} ours ${verdict.equal} (${verdict.how}) | ${verdict.gold} | ${verdict.answer}`,
    )
  }
  rows[set] = { ...count, 'ms ours': median(times[0]), 'ms theirs': median(times[1]) }
}
console.table(rows)
