/** Two cheap scorers of steps, to show what a PRM must do better than. Like the PRM they give a probability a step. */
import { logisticRegression } from '../../src/evaluate/logistic.ts'

/** Problem and steps → one score a step. */
export type Scorer = (problem: string, steps: readonly string[]) => readonly number[]

const equations = /(\d+) ([-+*/]) (\d+) = (\d+)/g

function parse(step: string): { a: number; operator: string; b: number; result: number }[] {
  return [...step.matchAll(equations)].map(([, a, operator, b, result]) => ({
    a: Number(a),
    operator: operator!,
    b: Number(b),
    result: Number(result),
  }))
}

function holds({ a, operator, b, result }: ReturnType<typeof parse>[number]): boolean {
  const value = { '+': a + b, '-': a - b, '*': a * b, '/': a / b }[operator]
  return value === result
}

/** 1 for a step whose equations all hold (also when it has none), else 0. */
export const equationChecker: Scorer = (_, steps) => steps.map(step => (parse(step).every(holds) ? 1 : 0))

/** What a reader sees without understanding the story: the numbers, operators and words, and where they come from. */
function features(problem: string, steps: readonly string[], words: readonly string[]): Float64Array[] {
  const given = (problem.match(/\d+/g) ?? []).map(Number)
  const sentences = problem.split(/[.?]/).length
  const unused = [...given]
  const used = { '+': 0, '-': 0, '*': 0, '/': 0 }
  const results: number[] = []
  let allHold = 1
  return steps.map((step, i) => {
    const found = parse(step)
    let fromGiven = 0
    let fromResults = 0
    for (const equation of found) {
      for (const operand of [equation.a, equation.b]) {
        const at = unused.indexOf(operand)
        if (at >= 0) unused.splice(at, 1)
        fromGiven += +given.includes(operand)
        fromResults += +results.includes(operand)
      }
      used[equation.operator as keyof typeof used]++
      if (!holds(equation)) allHold = 0
      results.push(equation.result)
    }
    const answer = /^A: (\d+)$/.exec(step)
    const result = results.at(-1) ?? 0
    const ends = +(answer !== null)
    const held = +found.every(holds)
    const share = unused.length / Math.max(1, given.length)
    return Float64Array.from([
      i,
      i / sentences,
      sentences,
      step.length / 20,
      held,
      allHold,
      found.length,
      fromGiven,
      fromResults,
      unused.length,
      share,
      Math.log1p(result),
      result % 2,
      +(result > given[0]!),
      results.length - new Set(results).size,
      ...Object.values(used),
      ends,
      ends * +(Number(answer?.[1]) === result),
      ends * unused.length,
      ends * share,
      ends * (i / sentences),
      ends * Math.log1p(result),
      ends * allHold,
      ...words.map(word => +step.includes(word)),
    ])
  })
}

/** Words that occur in at least one step in a thousand. */
function vocabulary(solutions: readonly (readonly string[])[]): string[] {
  const counts = new Map<string, number>()
  let total = 0
  for (const step of solutions.flat()) {
    total++
    for (const word of new Set(step.match(/[A-Za-z]+/g) ?? [])) counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  return [...counts]
    .filter(([, count]) => count > total / 1000)
    .map(([word]) => word)
    .sort()
}

/** Logistic regression with a small ridge, on the labels that the PRM learns from. */
export function surfaceRegression(
  rows: readonly { readonly problem: string; readonly steps: readonly string[]; readonly labels: readonly boolean[] }[],
): Scorer {
  const words = vocabulary(rows.map(({ steps }) => steps))
  const inputs = rows.flatMap(({ problem, steps }) => features(problem, steps, words))
  const labels = rows.flatMap(row => row.labels)
  const classify = logisticRegression(inputs, labels, 1)
  return (problem, steps) => features(problem, steps, words).map(classify)
}
