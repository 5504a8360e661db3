/**
 * The subject of the tiny models: multi-step arithmetic told in words, its authors, and the judge of their steps.
 *
 * All is a function of seeds. The judge is exact because it works from the hidden structure of a story, not from the
 * text of other solutions: it knows every right way to write the next step.
 */
import { type Random, random } from './random.ts'
import {
  type Calculation,
  type Family,
  families,
  names,
  nothing,
  parts,
  phrases,
  type Told,
  type Wording,
} from './stories.ts'

interface Event extends Told {
  readonly wording: Wording
}

export interface Problem {
  readonly seed: number
  readonly id: number
  readonly family: string
  readonly text: string
  readonly start: number
  readonly events: readonly Event[]
  /** The right calculations in order. */
  readonly plan: readonly Calculation[]
  readonly answer: string
}

/** What made a solution wrong at `step` (0-based). An unfinished one lacks its answer and states nothing wrong. */
export interface Fault {
  readonly kind: 'misreading' | 'result' | 'operand' | 'dropped' | 'unfinished'
  readonly step: number
}

export interface Written {
  readonly steps: readonly string[]
  /** In the order in which the author made them. */
  readonly faults: readonly Fault[]
}

export interface Verdict {
  /** Per step: this step and all before it are right. So the first error decides, and all after it is false. */
  readonly labels: readonly boolean[]
  /** What the last step gives as the answer, or null where the solution ends without one. */
  readonly answer: string | null
  /** Whether `answer` is the right one, whatever led to it. */
  readonly correct: boolean
}

/** Rates of the independent slips, per calculation or event, and of solutions that stop before the answer. */
const slipRates = { result: 0.01, operand: 0.005, dropped: 0.006, unfinished: 0.01 }

const largest = 80
const calculations = { least: 3, most: 6 }

/** The result as the authors work it out: whole numbers, none below zero. */
export function evaluate({ a, operator, b }: Calculation): number {
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return Math.max(0, a - b)
    case '*':
      return a * b
    case '/':
      return Math.floor(a / b)
  }
}

/** Problem `id` of the stream `seed`: 3 to 6 calculations, up to two wordings that authors misread. */
export function problem(seed: number, id: number): Problem {
  const draw = random(seed, id)
  for (;;) {
    const family = draw.pick(families)
    const wordings = outline(family, draw)
    for (let attempt = 0; attempt < 60; attempt++) {
      const start = draw.int(4, 40)
      const events = wordings.map(wording => ({ wording, a: draw.int(2, 9), n: draw.int(2, 5), k: draw.int(2, 5) }))
      if (new Set(events.map(({ a }) => a)).size < events.length || !everyBeliefIsSound(start, events)) continue
      const plan = work(start, events, () => false)!
      return {
        seed,
        id,
        family: family.name,
        text: tell(family, start, events, draw),
        start,
        events,
        plan,
        answer: String(plan.reduce((_, calculation) => evaluate(calculation), start)),
      }
    }
  }
}

function outline(family: Family, draw: Random): Wording[] {
  const traps = family.wordings.filter(wording => wording.misreading)
  const plain = family.wordings.filter(wording => !wording.misreading)
  const chosen = shuffle(traps, draw).slice(0, draw.pick([0, 1, 1, 1, 1, 1, 2, 2, 2, 2]))
  const sentences = draw.int(3, 4)
  while (chosen.length < sentences) chosen.push(draw.pick(plain))
  return shuffle(chosen, draw)
}

function shuffle<T>(items: readonly T[], draw: Random): T[] {
  return items
    .map(item => ({ item, key: draw.unit() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item)
}

/** Whoever misreads whatever, all divisions come out even and all numbers stay between 1 and {@link largest}. */
function everyBeliefIsSound(start: number, events: readonly Event[]): boolean {
  const traps = events.filter(event => event.wording.misreading)
  for (let beliefs = 0; beliefs < 2 ** traps.length; beliefs++) {
    if (!work(start, events, event => ((beliefs >> traps.indexOf(event)) & 1) === 1)) return false
  }
  const count = work(start, events, () => false)!.length
  return count >= calculations.least && count <= calculations.most
}

function work(start: number, events: readonly Event[], misreads: (event: Event) => boolean): Calculation[] | null {
  const plan: Calculation[] = []
  let x = start
  for (const event of events) {
    for (const calculation of read(event, x, misreads(event))) {
      const { a, operator, b } = calculation
      if ((operator === '/' && a % b !== 0) || (operator === '-' && a <= b)) return null
      x = evaluate(calculation)
      if (x > largest) return null
      plan.push(calculation)
    }
  }
  return plan
}

function read(event: Event, x: number, misread: boolean): readonly Calculation[] {
  const { right, misreading } = event.wording
  return (misread && misreading ? misreading.reading : right)(x, event)
}

function tell(family: Family, start: number, events: readonly Event[], draw: Random): string {
  const who = draw.pick(names)
  const pal = draw.pick(names.filter(name => name !== who))
  const fill = (text: string, told: Partial<Told>): string => {
    const values: Record<string, unknown> = { who, pal, x: start, ...told, part: parts[told.k ?? 0] }
    const filled = text.replace(/\{(\w+)\}/g, (_, slot: string) => String(values[slot]))
    return filled.charAt(0).toUpperCase() + filled.slice(1)
  }
  return [fill(family.opening, {}), ...events.map(event => fill(event.wording.text, event)), family.question].join(' ')
}

function sentence({ claim, a, operator, b }: Calculation, result: number, style: 0 | 1): string {
  return `${phrases[claim][style]} ${a} ${operator} ${b} = ${result}.`
}

/** The worked solution without a fault, in the wording style of author `author`. */
export function worked(problem: Problem, author: number): readonly string[] {
  const draw = random(problem.seed, problem.id, author)
  return [
    ...problem.plan.map(calculation => sentence(calculation, evaluate(calculation), draw.pick([0, 1] as const))),
    `A: ${problem.answer}`,
  ]
}

/**
 * The solution of author `author`, who holds each misreading with its share and slips now and then.
 * An author who has gone wrong goes on from the wrong number.
 */
export function write(problem: Problem, author: number): Written {
  const draw = random(problem.seed, problem.id, author, 1)
  const steps: string[] = []
  const faults: Fault[] = []
  let x = problem.start
  for (const event of problem.events) {
    const fault = (kind: Fault['kind']): void => void faults.push({ kind, step: steps.length })
    const misread = draw.chance(event.wording.misreading?.heldBy ?? 0)
    const calculations = read(event, x, misread)
    if (draw.chance(slipRates.dropped) && event.wording.right !== nothing) {
      fault('dropped')
      continue
    }
    if (misread) fault('misreading')
    let carried: number | undefined
    for (const calculation of calculations) {
      let { a, b } = { ...calculation, b: carried ?? calculation.b }
      if (draw.chance(slipRates.operand)) {
        fault('operand')
        b += draw.pick([1, 2])
      }
      carried = evaluate({ ...calculation, a, b })
      if (draw.chance(slipRates.result)) {
        fault('result')
        carried += carried > 10 ? draw.pick([-10, -2, -1, 1, 2, 10]) : draw.pick([1, 2])
      }
      steps.push(sentence({ ...calculation, a, b }, carried, draw.pick([0, 1] as const)))
    }
    x = carried ?? x
  }
  if (draw.chance(slipRates.unfinished)) faults.push({ kind: 'unfinished', step: steps.length })
  else steps.push(`A: ${x}`)
  return { steps, faults }
}

/** What a line gives as the answer (`A: 7` → `7`), or null. */
export function answerOf(line: string | undefined): string | null {
  return /^A: (\d+)$/.exec(line?.trim() ?? '')?.[1] ?? null
}

/**
 * Judges any steps against the story. A step is right when all before it are, and it is one of the right ways to write
 * the next calculation of the story (either phrase, and the operands of + and * in either order), or the right answer
 * in its place. ProcessBench's question, the index of the first error, is the first `false` (arXiv 2412.06559).
 */
export function judge(problem: Problem, steps: readonly string[]): Verdict {
  let sound = true
  const labels = steps.map((step, i) => {
    sound &&= rightWays(problem, i).includes(step.trim())
    return sound
  })
  const answer = answerOf(steps.at(-1))
  return { labels, answer, correct: answer === problem.answer }
}

function rightWays({ plan, answer }: Problem, index: number): string[] {
  const calculation = plan[index]
  if (!calculation) return index === plan.length ? [`A: ${answer}`] : []
  const { a, operator, b } = calculation
  const forms = operator === '+' || operator === '*' ? [calculation, { ...calculation, a: b, b: a }] : [calculation]
  return forms.flatMap(form => ([0, 1] as const).map(style => sentence(form, evaluate(form), style)))
}

/** Each split draws from a stream of its own; `test` and `demo` also leave out every text that training has seen. */
export const splits = {
  worked: { seed: 1, count: 48_000 },
  prm: { seed: 2, count: 2_500 },
  test: { seed: 3, count: 500 },
  demo: { seed: 4, count: 200 },
} as const

export type Split = keyof typeof splits

/** The problems of a split, none twice and, for `test` and `demo`, none whose text is in `seen`. Adds to `seen`. */
export function drawProblems(split: Split, seen: Set<string>): Problem[] {
  const { seed, count } = splits[split]
  const drawn: Problem[] = []
  for (let id = 0; drawn.length < count; id++) {
    const candidate = problem(seed, id)
    if (seen.has(candidate.text)) continue
    seen.add(candidate.text)
    drawn.push(candidate)
  }
  return drawn
}
