/** Trees of solutions whose nodes carry Monte Carlo values, as paths from the question to a leaf. */
import { type Field, Misfit } from './fields.ts'

export interface MonteCarloStep {
  readonly text: string
  /** Share of rollouts from here that reach the answer. */
  readonly value: number
}

interface Node {
  readonly field: Field
  readonly depth: number
}

/**
 * The paths of `{ text, mc_value, children }`, depth first. A path with a node that does not fit is given as the misfit,
 * once for each such node.
 */
export function* apsTreePaths(root: Field): Generator<readonly MonteCarloStep[] | Misfit, void, undefined> {
  const stack: Node[] = childrenOf(root, 0)
  if (stack.length === 0) root.at('children').fail('at least one step')
  const path: MonteCarloStep[] = []
  for (let node = stack.pop(); node; node = stack.pop()) {
    path.length = node.depth
    try {
      path.push({ text: node.field.at('text').text().trim(), value: node.field.at('mc_value').number(0, 1) })
      const children = childrenOf(node.field, node.depth + 1)
      if (children.length === 0) yield [...path]
      stack.push(...children)
    } catch (error) {
      if (!(error instanceof Misfit)) throw error
      yield error
    }
  }
}

/** Last child first, so that the first is taken from the stack first. */
function childrenOf(field: Field, depth: number): Node[] {
  const children = field.at('children').optional(list => list.items()) ?? []
  return children.map(child => ({ field: child, depth })).reverse()
}

interface Prefix {
  readonly field: Field
  readonly text: string
  readonly value: number
}

/**
 * The paths of `[{ solution_prefix, mc_value }]`: prefixes in alphabetical order stand behind those that they continue.
 * The prefix that is the question alone is the root.
 */
export function* apsPrefixPaths(
  list: Field,
  question: string,
): Generator<readonly MonteCarloStep[] | Misfit, void, undefined> {
  const prefixes: Prefix[] = []
  for (const field of list.someItems('prefix')) {
    try {
      const prefix = prefixOf(field, question)
      if (prefix.text !== '') prefixes.push(prefix)
    } catch (error) {
      if (!(error instanceof Misfit)) throw error
      yield error
    }
  }
  prefixes.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
  const path: Prefix[] = []
  for (const [index, prefix] of prefixes.entries()) {
    while (path.length > 0 && !prefix.text.startsWith(path.at(-1)!.text)) path.pop()
    if (path.at(-1)?.text === prefix.text) path.pop()
    path.push(prefix)
    if (!prefixes[index + 1]?.text.startsWith(prefix.text)) yield stepsOf(path)
  }
}

function prefixOf(field: Field, question: string): Prefix {
  const prefix = field.at('solution_prefix')
  const text = prefix.text()
  if (!text.startsWith(question)) prefix.fail('a text that starts with the question')
  return { field: prefix, text: text.slice(question.length).trim(), value: field.at('mc_value').number(0, 1) }
}

function stepsOf(path: readonly Prefix[]): MonteCarloStep[] {
  return path.map(({ text, value }, index) => ({ text: text.slice(path[index - 1]?.text.length ?? 0).trim(), value }))
}

/** The value of the question alone, in either form; undefined where the row does not say. */
export function apsRootValue(steps: Field, question: string): number | undefined {
  const root = Array.isArray(steps.value)
    ? steps.items().find(item => {
        const prefix = (item.value as { readonly solution_prefix?: unknown } | null)?.solution_prefix
        return typeof prefix === 'string' && prefix.trim() === question.trim()
      })
    : steps
  const value = (root?.value as { readonly mc_value?: unknown } | null | undefined)?.mc_value
  return typeof value === 'number' && value >= 0 && value <= 1 ? value : undefined
}
