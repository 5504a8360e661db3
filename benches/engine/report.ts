import { setTimeout as wait } from 'node:timers/promises'

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** `1.32 (1.28 to 1.35)`: the median of several rounds and their range. */
export function spread(values: readonly number[], digits: number): string {
  const [low, high] = [Math.min(...values), Math.max(...values)].map(value => value.toFixed(digits))
  return values.length > 1 ? `${median(values).toFixed(digits)} (${low} to ${high})` : values[0]!.toFixed(digits)
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`
}

/** The largest distance between two lists of lists of scores; throws where their shapes differ. */
export function largestGap(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number {
  if (a.length !== b.length || a.some((row, at) => row.length !== b[at]!.length)) {
    throw new Error(`the rival scored ${b.map(row => row.length)} steps, surefoot ${a.map(row => row.length)}`)
  }
  return Math.max(...a.flatMap((row, at) => row.map((score, step) => Math.abs(score - b[at]![step]!))))
}

/** Lets the threads of who had the turn before go to sleep. */
export async function pause(): Promise<void> {
  await wait(300)
}

/** Prints a table as docs/measurements/engine.md has it. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`
  console.log([line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n'), '\n')
}

export function progress(text: string): void {
  console.error(`${new Date().toTimeString().slice(0, 8)} ${text}`)
}
