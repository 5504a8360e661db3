import { invalidArgument } from './errors.ts'

/** A problem and the steps of one solution. */
export interface StepsTrace {
  readonly problem: string
  /** At least one; none of them blank. They reach the model as they are. */
  readonly steps: readonly string[]
  /** Replaces the profile's system text, where its prompt has one. */
  readonly system?: string
}

/** A problem and one solution as running text; the model's profile says where a step ends. */
export interface SolutionTrace {
  readonly problem: string
  readonly solution: string
  readonly system?: string
}

/** What a PRM scores. */
export type Trace = StepsTrace | SolutionTrace

/** A trace whose every text is known to be sound. */
export interface CheckedTrace {
  readonly problem: string
  readonly steps: string[]
  readonly system: string | undefined
}

/**
 * Splits a solution at `separator`. Steps are trimmed and blank ones dropped, so a trailing separator adds no step.
 *
 * @param separator the profile's `split`: `"\n\n"` or `"\n"`
 */
export function splitSteps(solution: string, separator: string): string[] {
  return solution
    .split(separator)
    .map(step => step.trim())
    .filter(step => step !== '')
}

/** The steps of a solution as text; an outcome model (`split` null) takes it as one. */
export function stepsOfText(solution: string, split: string | null): string[] {
  if (split !== null) return splitSteps(solution, split)
  return solution.trim() === '' ? [] : [solution]
}

/**
 * Checks a trace from outside and splits its solution.
 *
 * @param split the profile's; null for an outcome model, for which steps are joined by a blank line
 * @throws `ERR_INVALID_ARGUMENT` for what is missing, no string, not well-formed Unicode, blank, or given twice
 */
export function checkTrace(trace: Trace, split: string | null): CheckedTrace {
  if (typeof trace !== 'object' || trace === null) invalidArgument('trace', 'must be an object', trace)
  const { problem, steps, solution, system } = trace as Partial<StepsTrace & SolutionTrace>
  checkPrompt(problem, system)
  if ((steps === undefined) === (solution === undefined)) {
    invalidArgument('trace', 'needs either steps or solution, and not both')
  }
  const checked = steps === undefined ? stepsOf(solution, split) : checkSteps(steps)
  return { problem, steps: split === null ? [checked.join('\n\n')] : checked, system }
}

/** Checks what stands before the steps, as {@link checkTrace} does. */
export function checkPrompt(problem: unknown, system: unknown): asserts problem is string {
  checkText('problem', problem)
  if (system !== undefined) checkText('system', system)
}

function stepsOf(solution: unknown, split: string | null): string[] {
  checkText('solution', solution)
  const steps = stepsOfText(solution, split)
  if (steps.length === 0) invalidArgument('solution', 'holds no step', solution)
  return steps
}

function checkSteps(steps: unknown): string[] {
  if (!Array.isArray(steps)) invalidArgument('steps', 'must be an array of strings', steps)
  if (steps.length === 0) invalidArgument('steps', 'a trace needs at least one step', steps)
  for (const [index, step] of steps.entries()) {
    checkText(`steps[${index}]`, step)
    if (step.trim() === '') invalidArgument(`steps[${index}]`, 'is blank; leave it out', step)
  }
  return [...steps]
}

function checkText(name: string, text: unknown): asserts text is string {
  if (typeof text !== 'string')
    invalidArgument(name, `must be a string, got ${text === null ? 'null' : typeof text}`, text)
  if (!text.isWellFormed()) {
    invalidArgument(name, 'holds a lone surrogate, which no tokenizer can read; repair it with toWellFormed()')
  }
}
