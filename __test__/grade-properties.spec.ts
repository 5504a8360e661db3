import test from 'ava'
import fc from 'fast-check'
import { randomAnswer, seeded } from '../scripts/grade/random.ts'
import { equivalent, extractAnswer, groupAnswers } from '../src/grade/index.ts'

const SEED = 20261124
const check = (property: fc.IRawProperty<unknown>, runs = 300) =>
  fc.assert(property as fc.IProperty<unknown>, { seed: SEED, numRuns: runs })
const strictly = (a: string, b: string) => equivalent(a, b, { strict: true }).equal

const integer = fc.integer({ min: -9999, max: 9999 })
const natural = fc.integer({ min: 1, max: 99 })
const fraction = fc.tuple(integer, fc.integer({ min: 2, max: 99 }))
const place = fc.nat({ max: 1000 })

/** One of the ways to print n/d. */
function printFraction([n, d]: [number, number], style: number): string {
  const forms = [
    `\\frac{${n}}{${d}}`,
    `\\dfrac{${-n}}{${-d}}`,
    `${n}/${d}`,
    `$\\tfrac{${3 * n}}{${3 * d}}$`,
    `\\left(${n}\\right) \\div ${d}`,
    `{${n} \\over ${d}}`,
    `${n} \\cdot ${d}^{-1}`,
    `\\frac{${n} x}{${d} x}`,
    `\\frac{${100 * n}}{${d}}\\%`,
    `x = \\frac{${n}}{${d}}`,
  ]
  return forms[style % forms.length]!
}

/** One of the ways to print an integer. */
function printInteger(n: number, style: number): string {
  const grouped = Math.abs(n).toLocaleString('en-US')
  const sign = n < 0 ? '-' : ''
  const forms = [
    `${n}`,
    `${n}.0`,
    `${sign}${grouped}`,
    `${sign}${grouped.replace(',', '{,}')}`,
    `${sign}${grouped.replace(',', ',\\!')}`,
    `\\boxed{${n}}`,
    `$ ${n} $`,
    `\\text{${n}}`,
    `${n - 1} + 1`,
    `\\frac{${2 * n}}{2}`,
    `\\sqrt{${n * n}} \\cdot ${n < 0 ? -1 : 1}`,
  ]
  return forms[style % forms.length]!
}

/** a·x² + b·x + c in one of several orders and factorings. */
function printQuadratic(a: number, r: number, s: number, style: number): string {
  const [b, c] = [-a * (r + s), a * r * s]
  const forms = [
    `${a}x^2 + ${b}x + ${c}`,
    `${c} + ${b}x + ${a}x^{2}`,
    `${a}(x - ${r})(x - ${s})`.replaceAll('- -', '+ '),
    `${a}\\left(x^2 - ${r + s}x + ${r * s}\\right)`.replaceAll('- -', '+ '),
    `\\frac{${2 * a}x^2 + ${2 * b}x + ${2 * c}}{2}`,
    `x(${a}x + ${b}) + ${c}`,
  ]
  return forms[style % forms.length]!.replaceAll('+ -', '- ')
}

test('A fraction equals itself in every way of printing it, strictly too.', t => {
  check(
    fc.property(fraction, place, place, (value, i, j) => {
      const [a, b] = [printFraction(value, i), printFraction(value, j)]
      return equivalent(a, b).equal && strictly(a, b)
    }),
  )
  t.pass()
})

test('An integer equals itself in every way of printing it, and not its neighbour.', t => {
  check(
    fc.property(integer, place, place, fc.integer({ min: 1, max: 50 }), (n, i, j, step) => {
      return (
        equivalent(printInteger(n, i), printInteger(n, j)).equal &&
        !equivalent(printInteger(n, i), printInteger(n + step, j)).equal
      )
    }),
  )
  t.pass()
})

test('A fraction does not equal a perturbed one.', t => {
  check(
    fc.property(fraction, place, place, fc.integer({ min: 1, max: 5 }), ([n, d], i, j, step) => {
      return !equivalent(printFraction([n, d], i), printFraction([n + step, d], j)).equal || isPercent(n, d, step)
    }),
  )
  t.pass()
})

/** 50\% may mean 50: a perturbed numerator can meet that reading. */
const isPercent = (n: number, d: number, step: number): boolean =>
  [n / d, (100 * n) / d].some(x => [(n + step) / d, (100 * (n + step)) / d].some(y => Math.abs(x - y) < 1e-9))

test('A quadratic equals its expansions and factorings, and no other quadratic.', t => {
  const small = fc.integer({ min: -9, max: 9 })
  check(
    fc.property(natural, small, small, place, place, (a, r, s, i, j) => {
      const [p, q] = [printQuadratic(a, r, s, i), printQuadratic(a, r, s, j)]
      return strictly(p, q) && equivalent(p, q).equal && !equivalent(p, printQuadratic(a + 1, r, s, j)).equal
    }),
  )
  t.pass()
})

test('A radical equals its simplified form, and not a perturbed one.', t => {
  check(
    fc.property(natural, natural, place, (k, n, style) => {
      const forms = [
        `${k}\\sqrt{${n}}`,
        `\\sqrt{${k * k * n}}`,
        `\\frac{${k * n}}{\\sqrt{${n}}}`,
        `${k} \\cdot ${n}^{1/2}`,
      ]
      const [a, b] = [forms[style % 4]!, forms[(style >> 2) % 4]!]
      return strictly(a, b) && !equivalent(a, `\\sqrt{${k * k * n + 1}}`).equal
    }),
  )
  t.pass()
})

test('A set equals its permutations, a point only itself.', t => {
  check(
    fc.property(fc.uniqueArray(integer, { minLength: 2, maxLength: 6 }), items => {
      const reversed = [...items].reverse()
      return (
        equivalent(`\\{${items.join(', ')}\\}`, `\\{${reversed.join(',')}\\}`).equal &&
        equivalent(items.join(', '), reversed.join(' \\text{ and } ')).equal &&
        equivalent(`(${items.join(',')})`, `\\left(${items.join(', ')}\\right)`).equal &&
        !equivalent(`(${items.join(',')})`, `(${reversed.join(',')})`).equal
      )
    }),
  )
  t.pass()
})

test('A unit of length converts, and another value of it does not equal.', t => {
  check(
    fc.property(fc.integer({ min: 1, max: 9999 }), n => {
      return (
        equivalent(`${n}\\text{ cm}`, `${n / 100}\\text{ m}`, { strict: true }).equal &&
        !equivalent(`${n}\\text{ cm}`, `${n}\\text{ m}`).equal
      )
    }),
  )
  t.pass()
})

const written = fc.oneof(
  fc.tuple(fraction, place).map(([value, style]) => printFraction(value, style)),
  fc.tuple(fc.integer({ min: -3, max: 3 }), place).map(([n, style]) => printInteger(n, style)),
  fc.nat({ max: 100_000 }).map(seed => randomAnswer(seeded(seed))),
)

test('Strict equality is reflexive, symmetric and transitive, and groups are its classes.', t => {
  check(
    fc.property(fc.array(written, { minLength: 3, maxLength: 8 }), answers => {
      const classes = groupAnswers(answers)
      const classOf = (index: number) => classes.findIndex(({ indices }) => indices.includes(index))
      return answers.every((a, i) =>
        answers.every((b, j) => {
          const equal = strictly(a, b)
          const complex = equivalent(a, b, { strict: true }).how === 'too complex'
          return equal === strictly(b, a) && (complex || a === '' || equal === (classOf(i) === classOf(j)))
        }),
      )
    }),
    150,
  )
  t.pass()
})

test('extractAnswer finds what was wrapped.', t => {
  const wrappers: readonly ((x: string) => string)[] = [
    x => `We compute 7 + 5 = 12 first. Hence $\\boxed{${x}}$.`,
    x => `Step 1: 3 apples.\n#### ${x}`,
    x => `There are 3 cases. The answer is $${x}$.`,
    x => `Some prose with 17.\n\n**Final Answer:** $${x}$`,
    x => `Therefore, the final answer is \\(${x}\\). I hope it is correct.`,
    x => `<think>Maybe 99? \\boxed{99}</think>\nSo \\[\\boxed{${x}}\\]`,
    x => `After 12 steps,\n\\[ ${x} \\]`,
    x => `计算得 12。答案是 $${x}$。`,
  ]
  const inner = fc.oneof(
    fc.tuple(fraction, fc.nat({ max: 2 })).map(([value, style]) => printFraction(value, style)),
    integer.map(String),
    fc.tuple(natural, natural).map(([a, b]) => `(${a}, \\sqrt{${b}})`),
    fc.tuple(natural, natural).map(([a, b]) => `${a}x^{${b}} + \\frac{1}{2}`),
  )
  check(
    fc.property(inner, fc.constantFrom(...wrappers), (x, wrap) => {
      const found = extractAnswer(wrap(x))
      return found?.text === x && wrap(x).slice(found.start, found.end) === x
    }),
  )
  t.pass()
})

test('20,000 pairs of random strings of a LaTeX-like grammar neither throw nor differ from themselves.', t => {
  const random = seeded(SEED)
  for (let k = 0; k < 20_000; k++) {
    const [a, b] = [randomAnswer(random), randomAnswer(random)]
    equivalent(a, b)
    extractAnswer(a)
    if (k % 20 === 0) t.not(equivalent(a, a).how, 'different', a)
  }
})
