/** Accuracy against what it cost. Budgets are above 0, of any unit; a curve holds each budget once, in any order. */
import { invalidArgument } from '../errors.ts'

/** A rule at one budget: tokens or milliseconds a problem, in the mean. */
export interface BudgetPoint {
  readonly budget: number
  readonly accuracy: number
}

/**
 * The accuracy at `budget`, on the straight line in log budget between the points beside it; null outside their range,
 * where nothing was measured.
 *
 * @throws `ERR_INVALID_ARGUMENT` when a budget is not above 0 and finite, or stands twice
 */
export function accuracyAt(curve: readonly BudgetPoint[], budget: number): number | null {
  return interpolate(ascending(curve), budget)
}

/**
 * The mean accuracy over log budget from the curve's first to its last point (the area under it divided by its width);
 * null with fewer than two points.
 *
 * @throws as {@link accuracyAt}
 */
export function areaUnderCurve(curve: readonly BudgetPoint[]): number | null {
  const points = ascending(curve)
  if (points.length < 2) return null
  let area = 0
  for (const [i, { budget, accuracy }] of points.entries()) {
    const before = points[i - 1]
    if (before) area += (Math.log(budget / before.budget) * (accuracy + before.accuracy)) / 2
  }
  return area / Math.log(points.at(-1)!.budget / points[0]!.budget)
}

/** Two rules over the budgets that both were measured at. */
export interface EqualBudget {
  readonly from: number
  readonly to: number
  /** Accuracy of the first less that of the second, in the mean over log budget. */
  readonly difference: number
}

/**
 * Compares two rules at equal budgets, over the range that both curves cover; null where the ranges do not meet.
 *
 * @throws as {@link accuracyAt}
 */
export function equalBudget(a: readonly BudgetPoint[], b: readonly BudgetPoint[]): EqualBudget | null {
  const curves = [ascending(a), ascending(b)] as const
  if (curves.some(({ length }) => length === 0)) return null
  const from = Math.max(...curves.map(points => points[0]!.budget))
  const to = Math.min(...curves.map(points => points.at(-1)!.budget))
  if (from > to) return null
  const budgets = new Set([from, to])
  for (const { budget } of curves.flat()) if (budget > from && budget < to) budgets.add(budget)
  const differences = [...budgets].map(budget => ({
    budget,
    accuracy: interpolate(curves[0], budget)! - interpolate(curves[1], budget)!,
  }))
  return { from, to, difference: areaUnderCurve(differences) ?? differences[0]!.accuracy }
}

/** Whether two budgets differ by at most `tolerance` of the larger. */
export function sameBudget(a: number, b: number, tolerance = 0.01): boolean {
  return Math.abs(a - b) <= tolerance * Math.max(a, b)
}

function ascending(curve: readonly BudgetPoint[]): BudgetPoint[] {
  const points = [...curve].sort((a, b) => a.budget - b.budget)
  for (const [i, { budget }] of points.entries()) {
    if (!(budget > 0 && budget < Infinity)) invalidArgument('curve', `budgets must be above 0, got ${budget}`, budget)
    if (budget === points[i + 1]?.budget) invalidArgument('curve', `holds the budget ${budget} twice`, budget)
  }
  return points
}

function interpolate(points: readonly BudgetPoint[], budget: number): number | null {
  const at = points.findIndex(point => point.budget >= budget)
  const next = points[at]
  if (!next) return null
  if (next.budget === budget) return next.accuracy
  const before = points[at - 1]
  if (!before) return null
  const share = Math.log(budget / before.budget) / Math.log(next.budget / before.budget)
  return before.accuracy + share * (next.accuracy - before.accuracy)
}
