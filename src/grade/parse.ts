import type { Token } from './lexer.ts'
import { determinant, matrixOperation } from './matrix.ts'
import { isInteger, type Rational, rational } from './rational.ts'
import type { Node, Operator } from './tree.ts'
import { FUNCTION_WORDS, SYMBOL_COMMANDS } from './vocabulary.ts'
import { numberWord } from './words.ts'
import { spend, TooComplex } from './work.ts'

/** The tokens are no expression. */
export class NotAnExpression extends Error {}

const MAX_DEPTH = 200
const CLOSERS: Readonly<Record<string, readonly string[]>> = {
  '(': [')'],
  '[': [']'],
  '\\{': ['\\}'],
  langle: ['rangle'],
}
const ACCENTS = new Set(
  'overline bar hat widehat vec overrightarrow tilde widetilde dot ddot underline mathbf boldsymbol bm mathbb mathcal mathit mathfrak'.split(
    ' ',
  ),
)
const STARTERS = new Set('frac sqrt binom pi infty lfloor lceil begin angle triangle prime lvert i'.split(' '))

export function number(value: Rational | number, decimals: number | null = null, significant = 0): Node {
  const exact = typeof value === 'number' ? rational(value) : value
  return { op: 'number', value: exact, digits: decimals === null ? null : { decimals, significant } }
}

export function node(op: Operator, ...args: Node[]): Node {
  return matrixOperation(op, args) ?? { op, args }
}

export const call = (name: string, ...args: Node[]): Node => ({ op: 'call', name, args })

/** Parses a whole expression. @throws NotAnExpression */
export function parse(tokens: readonly Token[]): Node {
  const parser = new Parser(tokens)
  const result = parser.expression()
  if (parser.position < tokens.length) throw new NotAnExpression(parser.peek()?.text)
  return result
}

class Parser {
  readonly tokens: Token[]
  position = 0
  #depth = 0
  #bars = 0

  constructor(tokens: readonly Token[]) {
    this.tokens = [...tokens]
  }

  peek(ahead = 0): Token | undefined {
    return this.tokens[this.position + ahead]
  }

  #is(text: string, ahead = 0): boolean {
    const token = this.peek(ahead)
    return token !== undefined && token.text === text && token.kind !== 'text'
  }

  #eat(text: string): boolean {
    if (!this.#is(text)) return false
    this.position++
    return true
  }

  #need(...texts: readonly string[]): void {
    if (!texts.some(text => this.#eat(text))) throw new NotAnExpression(`needs ${texts[0]}`)
  }

  expression(): Node {
    spend(1)
    if (++this.#depth > MAX_DEPTH) throw new TooComplex('nesting')
    const terms = [this.#term()]
    for (;;) {
      if (this.#eat('+')) terms.push(this.#term())
      else if (this.#eat('-')) terms.push(node('neg', this.#term()))
      else break
    }
    this.#depth--
    let result = terms.length === 1 ? terms[0]! : node('add', ...terms)
    if (this.#eat('choose')) result = node('binomial', result, this.expression())
    if (this.#eat('over')) result = node('div', result, this.expression())
    return result
  }

  #term(): Node {
    let result = this.#signed()
    for (;;) {
      if (this.#eat('*') || this.#eat('cdot') || this.#eat('times')) result = node('mul', result, this.#signed())
      else if (this.#eat('/') || this.#eat('div')) result = node('div', result, this.#signed())
      else if (this.#startsFactor()) result = node('mul', result, this.#power())
      else return result
    }
  }

  #signed(): Node {
    let negative = false
    for (let turns = 0; ; turns++) {
      if (turns > MAX_DEPTH) throw new TooComplex('signs')
      if (this.#eat('-')) negative = !negative
      else if (!this.#eat('+')) break
    }
    const value = this.#mixed() ?? this.#power()
    return negative ? node('neg', value) : value
  }

  /** `2\frac{1}{2}` and `2 1/2` are 2 + 1/2. */
  #mixed(): Node | null {
    const whole = this.peek()
    if (whole?.kind !== 'number' || !whole.number || whole.number.decimals !== 0) return null
    const start = this.position
    this.position++
    if (this.#is('frac')) {
      const fraction = this.#atom()
      if ('args' in fraction && fraction.op === 'div' && fraction.args.every(isCount)) {
        return this.#postfix(node('add', number(whole.number.value), fraction))
      }
    } else if (
      this.peek()?.kind === 'number' &&
      this.peek()!.spaced &&
      this.#is('/', 1) &&
      this.peek(2)?.kind === 'number'
    ) {
      const [top, bottom] = [this.peek()!.number!, this.peek(2)!.number!]
      if (top.decimals === 0 && bottom.decimals === 0) {
        this.position += 3
        return this.#postfix(
          node('add', number(whole.number.value), node('div', number(top.value), number(bottom.value))),
        )
      }
    }
    this.position = start
    return null
  }

  #startsFactor(): boolean {
    const token = this.peek()
    if (!token) return false
    if (token.kind === 'letter' || token.kind === 'word') return true
    if (token.kind === 'number') return this.tokens[this.position - 1]?.kind !== 'number'
    if (token.kind === 'mark') {
      return token.text === '(' || token.text === '[' || token.text === '{' || (token.text === '|' && this.#bars === 0)
    }
    if (token.kind === 'text') return token.text === 'i' || token.text === 'e'
    if (token.text === 'vert') return this.#bars === 0
    return (
      FUNCTION_WORDS.has(token.text) ||
      SYMBOL_COMMANDS.has(token.text) ||
      ACCENTS.has(token.text) ||
      STARTERS.has(token.text)
    )
  }

  #power(): Node {
    let base = this.#postfix(this.#atom())
    while (this.#eat('^') || this.#eat('**')) {
      base = this.#postfix(node('pow', base, this.#script()))
    }
    return base
  }

  #postfix(inner: Node): Node {
    let result = inner
    for (;;) {
      if (this.#eat('!')) result = this.#eat('!') ? doubleFactorial(result) : node('factorial', result)
      else if (this.#eat('%')) result = node('percent', result)
      else if (this.#eat('permille')) result = node('div', result, number(1000))
      else if (this.#eat('degrees')) result = node('degrees', result)
      else return result
    }
  }

  /** What follows `^`: a group, a signed atom or one atom. */
  #script(): Node {
    if (this.#is('{')) return this.#group()
    if (this.#eat('-')) return node('neg', this.#script())
    if (this.#eat('+')) return this.#script()
    return this.#atom()
  }

  #group(): Node {
    this.#need('{')
    const bars = this.#bars
    this.#bars = 0
    const inner = this.expression()
    this.#bars = bars
    this.#need('}')
    return inner
  }

  /** The argument of `\frac` and its like: a group, or one digit of a longer number. */
  #argument(): Node {
    if (this.#is('{')) return this.#group()
    const token = this.peek()
    if (token?.kind === 'number' && /^\d{2,}$/.test(token.text)) {
      const [head, tail] = [token.text[0]!, token.text.slice(1)]
      this.tokens[this.position] = {
        ...token,
        text: tail,
        spaced: false,
        number: { value: rational(BigInt(tail)), decimals: 0, significant: tail.length, length: tail.length },
      }
      return number(Number(head))
    }
    return this.#atom()
  }

  #atom(): Node {
    spend(1)
    const token = this.peek()
    if (!token) throw new NotAnExpression('end')
    this.position++
    if (token.kind === 'number') return this.#numeral(token)
    if (token.kind === 'letter') {
      if (token.text === 'e' && !this.#is('_')) return { op: 'constant', name: 'e' }
      if (token.text === 'i' && !this.#is('_')) return { op: 'constant', name: 'i' }
      return this.#variable(token.text)
    }
    if (token.kind === 'word') return this.#word(token.text)
    if (token.kind === 'text') {
      if (token.text === 'i' || token.text === 'e') return { op: 'constant', name: token.text }
      const name = /^(?:[a-zA-Z]+)$/.test(token.text) && FUNCTION_WORDS.has(token.text) ? token.text : null
      if (name) return this.#function(name)
      return this.#variable(token.text)
    }
    if (token.kind === 'mark') return this.#bracket(token.text)
    return this.#command(token.text)
  }

  #numeral(token: Token): Node {
    const { value, decimals, significant } = token.number!
    if (this.#is('_') && isInteger(value)) {
      this.position++
      return inBase(token.text, this.#baseName())
    }
    return decimals === 0 ? number(value) : number(value, decimals, significant)
  }

  #word(text: string): Node {
    if (/^\d*[A-F][0-9A-F]*$/.test(text) && this.#eat('_')) return inBase(text, this.#baseName())
    const value = numberWord(text)
    return value === null ? this.#variable(text) : number(value)
  }

  #baseName(): number {
    const braced = this.#eat('{')
    let name = ''
    while (this.peek() && !(braced ? this.#is('}') : name !== '')) name += this.tokens[this.position++]!.text
    if (braced) this.#need('}')
    const base = /^\d+$/.test(name) ? Number(name) : Number(numberWord(name.replace(/base/, '').trim()) ?? Number.NaN)
    if (!(base >= 2 && base <= 36)) throw new NotAnExpression('base')
    return base
  }

  /** A name with its subscript and primes. */
  #variable(letter: string): Node {
    let name = letter
    if (this.#eat('_')) {
      const braced = this.#eat('{')
      let depth = 0
      let subscript = ''
      while (this.peek() && (braced ? depth > 0 || !this.#is('}') : subscript === '')) {
        const { text } = this.tokens[this.position++]!
        depth += text === '{' ? 1 : text === '}' ? -1 : 0
        subscript += text
      }
      if (braced) this.#need('}')
      name += `_${subscript}`
    }
    while (this.#eat("'") || this.#eat('prime')) name += "'"
    return { op: 'variable', name }
  }

  #bracket(open: string): Node {
    if (open === '{') {
      this.position--
      return this.#group()
    }
    if (open === '|') return this.#absolute('|')
    const numeral = this.peek()
    if (open === '(' && numeral && this.#is(')', 1) && this.#is('_', 2)) {
      this.position += 3
      return inBase(numeral.text, this.#baseName())
    }
    const closers = CLOSERS[open]
    if (!closers) throw new NotAnExpression(open)
    const bars = this.#bars
    this.#bars = 0
    const inner = this.expression()
    this.#bars = bars
    this.#need(...closers)
    return inner
  }

  #absolute(bar: string): Node {
    this.#bars++
    const inner = this.expression()
    this.#bars--
    this.#need(bar)
    return call('abs', inner)
  }

  #command(name: string): Node {
    if (FUNCTION_WORDS.has(name)) return this.#function(name)
    if (SYMBOL_COMMANDS.has(name)) return this.#variable(name)
    if (ACCENTS.has(name)) return this.#accent(name)
    switch (name) {
      case 'pi':
        return this.#is('_') ? this.#variable('pi') : { op: 'constant', name: 'pi' }
      case 'infty':
        return { op: 'constant', name: 'infinity' }
      case 'frac':
        return node('div', this.#argument(), this.#argument())
      case 'binom':
        return node('binomial', this.#argument(), this.#argument())
      case 'vert':
        return this.#absolute('vert')
      case 'lfloor':
      case 'lceil': {
        const inner = this.expression()
        this.#need(name === 'lfloor' ? 'rfloor' : 'rceil')
        return call(name === 'lfloor' ? 'floor' : 'ceil', inner)
      }
      case 'langle':
        return this.#bracket('langle')
      case 'angle':
      case 'triangle':
        return this.#figure(name)
      case 'begin':
        return this.#environment()
      default:
        throw new NotAnExpression(name)
    }
  }

  /** `\angle ABC` is one quantity. */
  #figure(name: string): Node {
    let label = name
    while (this.peek()?.kind === 'letter' || this.peek()?.kind === 'word') label += this.tokens[this.position++]!.text
    return { op: 'variable', name: label }
  }

  #accent(name: string): Node {
    const braced = this.#eat('{')
    let label = ''
    while (this.peek() && (braced ? !this.#is('}') : label === '')) label += this.tokens[this.position++]!.text
    if (braced) this.#need('}')
    if (/^\d+$/.test(label)) return number(rational(BigInt(label)))
    if (name === 'overline' && /^[A-Z]{2}$/.test(label))
      return node('mul', ...[...label].map(letter => this.#variable(letter)))
    if (name === 'mathbb') return { op: 'variable', name: `${label}-set` }
    return this.#variable(/^math(?:it|cal|frak)$/.test(name) || !/^[ije]$/.test(label) ? label : `${label}-vector`)
  }

  #function(name: string): Node {
    if (name === 'sqrt') return this.#root()
    if (name === 'cbrt') return node('root', this.#operand(), number(3))
    let exponent: Node | null = null
    let base: Node | null = null
    while (this.#is('^') || this.#is('_')) {
      const up = this.#eat('^')
      if (!up) this.#need('_')
      if (up) exponent = this.#script()
      else base = this.#logBase()
    }
    const args = this.#arguments()
    const inverse = exponent?.op === 'neg' && exponent.args[0]?.op === 'number' && exponent.args[0].value.n === 1n
    if (inverse && /^(?:sin|cos|tan|cot|sec|csc)$/.test(name)) return call(`arc${name}`, ...args)
    const value = base ? call('log', args[0]!, base) : call(name, ...args)
    return exponent ? node('pow', value, exponent) : value
  }

  /** In `\log_28` the base is 2: an unbraced subscript is one digit when nothing else is left to be the argument. */
  #logBase(): Node {
    const token = this.peek()
    if (token?.kind === 'number' && /^\d{2,}$/.test(token.text)) {
      const next = this.peek(1)
      if (!next || next.kind === 'mark') return this.#argument()
    }
    return this.#script()
  }

  #root(): Node {
    let degree: Node | null = null
    if (this.#eat('[')) {
      degree = this.expression()
      this.#need(']')
    }
    const radicand = this.#is('{') ? this.#group() : this.#atom()
    return degree ? node('root', radicand, degree) : node('root', radicand)
  }

  /** `(x)`, `(a, b)`, `{x}` or the product that follows: `\sin 2x`. */
  #arguments(): Node[] {
    if (this.#is('(') || this.#is('[')) {
      const open = this.tokens[this.position++]!.text
      const args = [this.expression()]
      while (this.#eat(',')) args.push(this.expression())
      this.#need(...CLOSERS[open]!)
      return args
    }
    return [this.#operand()]
  }

  #operand(): Node {
    if (this.#is('{')) return this.#group()
    if (this.#is('(')) return this.#atom()
    let result = this.#eat('-') ? node('neg', this.#power()) : this.#power()
    while (this.#startsFactor() && !this.#is('(') && !this.#is('[')) {
      const token = this.peek()!
      if (token.kind === 'command' && FUNCTION_WORDS.has(token.text) && token.text !== 'sqrt') break
      result = node('mul', result, this.#power())
    }
    if (this.#is('/') && this.peek(1)?.kind === 'number') {
      this.position++
      result = node('div', result, this.#power())
    }
    return result
  }

  #environment(): Node {
    const name = this.#environmentName()
    if (!/matrix|array/.test(name)) throw new NotAnExpression(name)
    if (name === 'array' && this.#eat('{')) while (this.peek() && !this.#eat('}')) this.position++
    const rows: Node[][] = [[]]
    for (;;) {
      if (this.#eat('\\')) {
        if (rows.at(-1)!.length > 0) rows.push([])
      } else if (this.#eat('end')) break
      else if (!this.#eat('&') && !this.#eat('hline')) rows.at(-1)!.push(this.expression())
      if (this.position >= this.tokens.length) throw new NotAnExpression('matrix')
    }
    this.#environmentName()
    if (rows.at(-1)!.length === 0) rows.pop()
    if (rows.length === 0 || rows.some(row => row.length !== rows[0]!.length)) throw new NotAnExpression('matrix')
    if (name === 'vmatrix') {
      const value = determinant(rows)
      if (!value) throw new NotAnExpression(name)
      return value
    }
    return { op: 'matrix', rows }
  }

  #environmentName(): string {
    this.#need('{')
    let name = ''
    while (this.peek() && !this.#is('}')) name += this.tokens[this.position++]!.text
    this.#need('}')
    return name
  }
}

const isCount = (n: Node): boolean => n.op === 'number' && isInteger(n.value) && n.value.n > 0n

function inBase(digits: string, base: number): Node {
  spend(digits.length)
  let value = 0n
  for (const digit of digits.replace(/[ ,]/g, '')) {
    const n = Number.parseInt(digit, 36)
    if (!(n < base)) throw new NotAnExpression('digit beyond the base')
    value = value * BigInt(base) + BigInt(n)
  }
  return number(rational(value))
}

function doubleFactorial(inner: Node): Node {
  if (inner.op !== 'number' || !isInteger(inner.value) || inner.value.n < 0n) throw new NotAnExpression('!!')
  if (inner.value.n > 1000n) throw new TooComplex('factorial')
  let product = 1n
  for (let k = inner.value.n; k > 1n; k -= 2n) product *= k
  return number(rational(product))
}
