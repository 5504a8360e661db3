/** A generator of numbers in [0, 1): mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const ATOMS =
  'x y n a i e 0 1 2 3 7 10 12 100 999 0.5 .25 1,000 1{,}5 0.\\overline{3} \\pi \\infty \\alpha 10^{10^{10}} 99999999 \\% ! ! ^\\circ \\text{cm} \\text{and} and or , ; : = < \\le \\in \\cup \\pm \\sqrt \\frac \\binom \\log_2 \\sin \\left( \\right) ( ) [ ] \\{ \\} { } | ^ _ + - * / \\cdot \\times \\\\ & $ \\begin{pmatrix} \\end{pmatrix} \\boxed{ } \\emptyset \\mathbb{R} percent answer is the #### five'.split(
    ' ',
  )

/** A random answer: half the time an expression of a grammar, else tokens in no order, some of them hostile. */
export function randomAnswer(random: () => number): string {
  if (random() < 0.5) return expression(random, 1 + Math.floor(random() * 4))
  const length = 1 + Math.floor(random() ** 3 * (random() < 0.01 ? 400 : 24))
  let text = ''
  for (let k = 0; k < length; k++) text += (random() < 0.3 ? ' ' : '') + ATOMS[Math.floor(random() * ATOMS.length)]
  return text
}

function expression(random: () => number, depth: number): string {
  const inner = () => expression(random, depth - 1)
  const pick = (...choices: (() => string)[]) => choices[Math.floor(random() * choices.length)]!()
  if (depth <= 0) {
    return pick(
      () => `${Math.floor(random() * 10 ** Math.floor(random() * 12))}`,
      () => 'xyznab'[Math.floor(random() * 6)]!,
      () => `${Math.floor(random() * 100)}.${Math.floor(random() * 1000)}`,
      () =>
        pick(
          () => '\\pi',
          () => 'e',
          () => 'i',
        ),
    )
  }
  return pick(
    () => `${inner()} + ${inner()}`,
    () => `${inner()} - ${inner()}`,
    () => `(${inner()})(${inner()})`,
    () => `\\frac{${inner()}}{${inner()}}`,
    () => `\\sqrt{${inner()}}`,
    () => `\\sqrt[3]{${inner()}}`,
    () => `(${inner()})^{${inner()}}`,
    () => `\\sin(${inner()})`,
    () => `\\log_{${inner()}} (${inner()})`,
    () => `(${inner()})!`,
    () => `\\binom{${inner()}}{${inner()}}`,
    () => `(${inner()}, ${inner()})`,
    () => `\\{${inner()}, ${inner()}\\}`,
    () => `[${inner()}, ${inner()}) \\cup (${inner()}, \\infty)`,
    () => `x = ${inner()}`,
    () => `${inner()} \\le ${inner()} < ${inner()}`,
    () => `\\begin{pmatrix} ${inner()} & ${inner()} \\\\ ${inner()} & ${inner()} \\end{pmatrix}^{${inner()}}`,
    () => `|${inner()}|`,
    () => `${inner()} \\pm ${inner()}`,
    () => `${inner()}\\%`,
  )
}
