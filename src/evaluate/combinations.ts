const logFactorials = [0]

function logFactorial(n: number): number {
  for (let i = logFactorials.length; i <= n; i++) logFactorials.push(logFactorials[i - 1]! + Math.log(i))
  return logFactorials[n]!
}

/** ln C(n, k), for whole 0 ≤ k ≤ n. */
export function logCombinations(n: number, k: number): number {
  return logFactorial(n) - logFactorial(k) - logFactorial(n - k)
}

/** C(n, k), for whole 0 ≤ k ≤ n: exact below 2^53. */
export function combinations(n: number, k: number): number {
  let count = 1
  for (let i = 1; i <= Math.min(k, n - k); i++) count = (count * (n - i + 1)) / i
  return count
}

/** The chance of each number of successes from 0 to `n` in as many trials of chance `p`, 0 < p < 1. */
export function binomial(n: number, p: number): number[] {
  return Array.from({ length: n + 1 }, (_, k) =>
    Math.exp(logCombinations(n, k) + k * Math.log(p) + (n - k) * Math.log1p(-p)),
  )
}
