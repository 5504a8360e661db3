import { invalidArgument } from '../errors.ts'
import { DEFAULT_STEPS } from './equivalent.ts'
import { bareAnswer } from './extract.ts'
import { keyOf } from './key.ts'
import { readings } from './read.ts'
import type { Answer, Node } from './tree.ts'
import { TooComplex, withSteps } from './work.ts'

export interface GroupOptions {
  /**
   * Whether units, currencies, percent and degree signs tell answers apart: with `false`, `5 cm`, `5` and `5\%` are one
   * class, which suits the answers to one question. Default true.
   */
  readonly units?: boolean
  /** The most steps spent on one answer; beyond them it is grouped by how it is written. Default 200,000. */
  readonly steps?: number
}

/** Answers that are strictly equal. */
export interface AnswerClass {
  /** The first of them, as given. */
  readonly answer: string
  /** Where they stand among the answers, ascending. */
  readonly indices: readonly number[]
  /** The canonical key they share. */
  readonly key: string
}

/**
 * Groups answers into classes, in the order of their first members. `null` (no answer) belongs to no class.
 *
 * Two answers share a class when their canonical keys are equal: the relation of `equivalent(a, b, { strict: true })`,
 * symmetric and transitive, at a cost linear in the number of distinct answers. Rational numbers, polynomials and
 * fractions have exact keys; other numbers are named by eleven digits, other expressions by eight digits at four points.
 *
 * @throws `ERR_INVALID_ARGUMENT` when an answer is neither a string nor null
 */
export function groupAnswers(answers: readonly (string | null)[], options: GroupOptions = {}): AnswerClass[] {
  if (!Array.isArray(answers)) invalidArgument('answers', 'must be an array of strings and nulls', answers)
  const steps = options.steps ?? DEFAULT_STEPS
  const keys = new Map<string, string>()
  const classes = new Map<string, { answer: string; indices: number[]; key: string }>()
  for (const [index, answer] of answers.entries()) {
    if (answer === null) continue
    if (typeof answer !== 'string') {
      invalidArgument('answers', `must hold strings and nulls, got ${typeof answer} at ${index}`, answer)
    }
    let key = keys.get(answer)
    if (key === undefined) {
      key = canonicalKey(answer, options.units ?? true, steps)
      keys.set(answer, key)
    }
    const found = classes.get(key)
    if (found) found.indices.push(index)
    else classes.set(key, { answer, indices: [index], key })
  }
  return [...classes.values()]
}

function canonicalKey(source: string, units: boolean, steps: number): string {
  const answer = bareAnswer(source)
  try {
    return withSteps(steps, () => {
      const reading = readings(answer)[0]!
      return keyOf(units ? reading : unmarked(reading))
    })
  } catch (error) {
    if (error instanceof TooComplex) return `written:${answer}`
    throw error
  }
}

/** The answer without its units and the percent and degree signs at its top. */
function unmarked(answer: Answer): Answer {
  switch (answer.kind) {
    case 'value':
      return { ...answer, node: unsigned(answer.node), unit: '' }
    case 'list':
    case 'set':
    case 'sequence':
    case 'ratio':
      return { ...answer, items: answer.items.map(unmarked) }
    case 'relation':
      return { ...answer, sides: answer.sides.map(unmarked) }
    default:
      return answer
  }
}

const unsigned = (node: Node): Node => (node.op === 'percent' || node.op === 'degrees' ? node.args[0]! : node)
