import { type Token, tokenize } from './lexer.ts'
import { normalize } from './normalize.ts'
import { NotAnExpression, node, number, parse } from './parse.ts'
import { div, rational, sign, sub } from './rational.ts'
import { enclosed, expandPlusMinus, nesting, type Pieces, splitTop, straighten } from './split.ts'
import type { Answer, Node, Relation, Statement } from './tree.ts'
import { currencyOf, type Measure, measure } from './units.ts'
import { FUNCTION_WORDS, isUnitWord, PLAIN_WORDS, SYMBOL_COMMANDS } from './vocabulary.ts'
import { clockTime, fractionWords, numberWord, ordinalWord, textKey } from './words.ts'
import { spend, TooComplex } from './work.ts'

const MAX_DEPTH = 60

const text = (content: string): Answer => ({ kind: 'text', text: content.trim() })
const value = (of: Node, unit = '', digits = ''): Answer => ({ kind: 'value', node: of, unit, digits })
const list = (items: readonly Answer[], joined: 'and' | 'or' | ',' = ','): Answer =>
  items.length === 1 ? items[0]! : { kind: 'list', items, joined }

/**
 * The readings of an answer as written, the most usual first. `1,22` is a list before it is a decimal with a European
 * comma; `1,234` is a number before it is a list; `(B) 12` is 12 or the choice B.
 */
export function readings(source: string): Answer[] {
  const s = tidy(normalize(source))
  const found = [readString(s, 0)]
  if (/^[-+]?\d+,\d+(?!,)(?:\D|$)/.test(s) && !/^[-+]?[1-9]\d{0,2},\d{3}(?!\d)/.test(s))
    found.push(readString(s.replace(/^([-+]?\d+),/, '$1.'), 0))
  if (/^[-+]?\d{1,3}(?:,\d{3})+$/.test(s)) found.push(readString(s.replace(/,/g, ', '), 0))
  if (/\d,\d+\s*;/.test(s)) found.push(readString(s.replace(/(\d),(?=\d)/g, '$1.'), 0))
  const choice = /^\(?\s*(?:\\text\s*\{)?\s*\(?([A-Z])\s*[).:]\s*\}?\s*(?=\S)(?![)}.,]*$)(.+)$/s.exec(s)
  if (choice) found.push(text(choice[1]!), readString(choice[2]!, 0))
  const said = /^(yes|no|true|false)\s*[,.;:]/i.exec(s)
  if (said) found.push(text(said[1]!))
  const condition = /^(.*\S)\s*(?:\(\s*[a-zA-Z] ?\\in [^()]*\)|,?\s(?:for|where|with|when|if)\s.+)$/s.exec(s)
  if (condition) found.push(readString(condition[1]!, 0))
  const [first] = found
  if (first?.kind === 'list' && !isCondition(first.items[0]!)) {
    const kept = first.items.filter(item => !isCondition(item))
    if (kept.length < first.items.length) found.push(list(kept, first.joined))
  }
  const unit = /^(-?[\d.,]+) (in|m|g|s|h|L|l|N|J|W|V|A|C|K|\\Omega)$/.exec(s)
  if (unit) found.push(withUnit(readString(unit[1]!, 0), unit[2]!))
  return found
}

/** `k \in \mathbb{Z}` and `n \ge 1` beside an answer say what its letters range over. */
const isCondition = (answer: Answer): boolean => answer.kind === 'relation' && answer.relations.some(r => r !== '=')

const withUnit = (answer: Answer, unit: string): Answer => (answer.kind === 'value' ? { ...answer, unit } : answer)

/** Drops what surrounds an answer without being part of it. */
function tidy(s: string): string {
  let t = s.replace(/\b(?:percent|per cent|percentage points|pct)\b\.?/gi, '\\% ').replace(/\\%/g, '%')
  t = t
    .replace(/(\\text\s*\{\s*)%\s*\}/g, '%')
    .replace(/(\d|\})\s*\^?\s*\{?\\?(?:text)?\s*\{?\s*(?:st|nd|rd|th)\s*\}?\}?(?![a-zA-Z])/g, '$1')
  t = balanced(t)
    .trim()
    .replace(/^[=:]\s*/, '')
  for (let before = ''; before !== t; ) {
    before = t
    t = t.replace(/(?:(?<!\.)\.|[,;:]|\\\\?| |\\quad)$/, '').replace(/^(?:\\quad|[,;])\s*/, '')
  }
  return t
}

/** Closes the braces that the end of the text left open. */
function balanced(s: string): string {
  const bare = s.replace(/\\[{}\\]/g, '')
  const open = bare.split('{').length - bare.split('}').length
  return open > 0 && open < 20 ? s + '}'.repeat(open) : s
}

function readString(s: string, depth: number): Answer {
  spend(1)
  if (depth > MAX_DEPTH) throw new TooComplex('nesting')
  const wrapped = /^\\text\s*\{([^{}]*)\}$/.exec(s)
  if (wrapped) return readString(tidy(wrapped[1]!.trim()), depth + 1)
  const worded = readWords(s)
  if (worded) return worded
  const tokens = straighten(tokenize(s))
  try {
    return readTokens(tokens, depth)
  } catch (error) {
    if (error instanceof NotAnExpression) return text(s)
    throw error
  }
}

/** Answers in plain words: numbers, fractions, ordinals, times, dates, names; null when the string is mathematics. */
function readWords(s: string): Answer | null {
  if (s.length > 200 || /[\\{}^_=<>|]/.test(s)) return null
  const clock = clockTime(s)
  if (clock?.half) return text(s)
  if (!/\p{L}/u.test(s)) return /^\d{4}-\d{1,2}-\d{1,2}$/.test(s) ? text(s) : null
  const n = numberWord(s) ?? ordinalWord(s)
  if (n !== null) return value(number(n))
  const fraction = fractionWords(s)
  if (fraction) return value(node('div', number(fraction[0]), number(fraction[1])))
  if (textKey(s).startsWith('date:')) return text(s)
  const counted = /^([a-z-]+(?: hundred| thousand)?) ([a-z][a-z ]*)$/i.exec(s)
  const count = counted && numberWord(counted[1]!)
  if (counted && count !== null) return value(number(count!), counted[2]!)
  if (!/^[\p{L}\p{M}\s,.;'"&()/-]+$/u.test(s)) return null
  const letters = s.replace(/[^\p{L}]/gu, '')
  if (/[()/]/.test(s.replace(/^\([A-Za-z]\)$/, '')) && !/\p{L}{4,}/u.test(s)) return null
  const parts = s.split(/\s*(?:,|;|&|\band\b|\bor\b)\s*/).filter(part => part !== '')
  if (parts.length > 1 && parts.length < 40) {
    if (/^(?:[a-z],\s*)*[a-z]$/.test(s)) return null
    return list(parts.map(part => readWords(part) ?? readString(part, MAX_DEPTH - 2)))
  }
  if (letters.length === 1) return null
  if (/[-/]/.test(s) && !/\p{L}{3,}/u.test(s)) return null
  const bare = s.replace(/[.'"()]/g, '').trim()
  if (PLAIN_WORDS.has(bare.toLowerCase())) return text(bare)
  if (/^(?:infinity|inf|oo|pi|i|e)$/i.test(bare)) return null
  const isProduct =
    /^[a-zA-Z]{2}$/.test(bare) ||
    (/^[a-z]{3}$/.test(bare) && !/[aeiou].|.[aeiou]/.test(bare.slice(1))) ||
    /^(?:abc|xyz|abd)$/.test(bare)
  return isProduct ? null : text(bare)
}

const isSeparator = (token: Token): boolean =>
  (token.kind === 'mark' && (token.text === ',' || token.text === ';')) ||
  (token.kind === 'command' && (token.text === 'and' || token.text === 'or' || token.text === 'quad')) ||
  (token.kind === 'text' && /^(?:and|or|,|;|\s)*$/i.test(token.text))

const RELATIONS: Readonly<Record<string, Relation>> = {
  '=': '=',
  '==': '=',
  ':=': '=',
  equiv: '=',
  ne: '!=',
  '!=': '!=',
  '<>': '!=',
  '<': '<',
  less: '<',
  '>': '>',
  greater: '>',
  le: '<=',
  '<=': '<=',
  '=>': '>=',
  ge: '>=',
  '>=': '>=',
  in: 'in',
}
const isRelation = (token: Token): boolean =>
  token.kind !== 'text' &&
  token.kind !== 'word' &&
  token.kind !== 'letter' &&
  (RELATIONS[token.text] !== undefined || token.text === 'approx')

function readTokens(source: readonly Token[], depth: number): Answer {
  spend(1 + source.length / 8)
  if (depth > MAX_DEPTH) throw new TooComplex('nesting')
  const tokens = unwrap(source)
  if (tokens.length === 0) return text('')
  const implied = splitTop(
    tokens,
    token => token.kind === 'command' && /^(?:Right|Leftright)arrow$|^implies$/.test(token.text),
  )
  if (implied.parts.length > 1 && implied.parts.at(-1)!.length > 0) return readTokens(implied.parts.at(-1)!, depth + 1)
  return (
    readCases(tokens, depth) ??
    readPoints(tokens, depth) ??
    readList(tokens, depth) ??
    readRelation(tokens, depth) ??
    readRatio(tokens, depth) ??
    readSetOperation(tokens, depth) ??
    readBracket(tokens, depth) ??
    readPoint(tokens, depth) ??
    readSigns(tokens, depth) ??
    readValue(tokens)
  )
}

function unwrap(source: readonly Token[]): readonly Token[] {
  let tokens = source
  for (;;) {
    const last = tokens.at(-1)
    if (last && (last.kind === 'mark' || last.kind === 'command') && /^(?:[.,;:]|quad|\\)$/.test(last.text))
      tokens = tokens.slice(0, -1)
    else if (tokens[0]?.text === '{' && tokens[0].kind === 'mark') {
      const inner = enclosed(tokens)
      if (!inner) return tokens
      tokens = inner
    } else return tokens
  }
}

/** The lines of `cases` and `aligned` are a list. */
function readCases(tokens: readonly Token[], depth: number): Answer | null {
  const braced = tokens[0]?.text === '\\{' && !enclosed(tokens)
  const first = braced ? 1 : 0
  const name = tokens[first + 2]?.text ?? ''
  if (tokens[first]?.text !== 'begin' || /matrix/.test(name) || (name === 'array' && !braced)) return null
  const end = tokens.findLastIndex(token => token.text === 'end')
  if (end < tokens.length - 6) return null
  let start = tokens.findIndex(token => token.text === '}') + 1
  if (name === 'array' && tokens[start]?.text === '{')
    start = tokens.findIndex((token, k) => k > start && token.text === '}') + 1
  const lines = splitTop(
    tokens.slice(start, end).filter(token => token.text !== '&'),
    token => token.text === '\\',
  ).parts
  const items = lines.filter(line => line.length > 0).map(line => readTokens(line, depth + 1))
  return items.length > 0 ? list(items, 'and') : null
}

function readList(tokens: readonly Token[], depth: number): Answer | null {
  const semicolons = splitTop(tokens, token => token.kind === 'mark' && token.text === ';')
  const pieces = semicolons.parts.length > 1 && depth > 0 ? semicolons : splitTop(tokens, isSeparator)
  if (pieces.parts.length < 2) return null
  const items = itemsOf(pieces, depth)
  if (items.length === 0) return null
  const total = summed(items)
  if (total) return total
  const joined = pieces.separators.some(token => /or/i.test(token.text))
    ? 'or'
    : pieces.separators.some(token => /and/i.test(token.text))
      ? 'and'
      : ','
  return list(items, joined)
}

/** `x=2, y=3 or x=3, y=2` are two points. */
function readPoints(tokens: readonly Token[], depth: number): Answer | null {
  const { parts } = splitTop(tokens, token => token.kind !== 'letter' && token.kind !== 'word' && token.text === 'or')
  if (parts.length < 2 || !parts.every(part => part.some(token => token.text === ','))) return null
  const points = parts.map(part => readTokens(part, depth + 1))
  const order = namesIn(points[0]!)
  const sorted = [...order].sort().join()
  if (new Set(order).size < 2 || points.some(point => namesIn(point).sort().join() !== sorted)) return null
  const coordinates = points.map(point => {
    const { items } = point as Extract<Answer, { kind: 'list' }>
    return order.map(name => items.find(item => item.kind === 'relation' && item.name === name) as Statement)
  })
  return list(
    coordinates.map(items => ({
      kind: 'sequence',
      left: '(',
      right: ')',
      items: items.map(item => item.sides[item.held]!),
    })),
    'or',
  )
}

/** The names of a list of statements, none for other answers. */
function namesIn(answer: Answer): string[] {
  if (answer.kind !== 'list') return []
  const names = answer.items.map(item => (item.kind === 'relation' && item.held >= 0 ? item.name : ''))
  return names.includes('') ? [] : names
}

/** The items between separators; those that are themselves lists (±) join in. */
function itemsOf({ parts }: Pieces, depth: number): Answer[] {
  return parts
    .filter(part => part.length > 0)
    .map(part => readTokens(part, depth + 1))
    .flatMap(item => (item.kind === 'list' ? item.items : [item]))
}

function readRelation(tokens: readonly Token[], depth: number): Answer | null {
  const { parts, separators } = splitTop(tokens, isRelation)
  if (separators.length === 0) return null
  const cut = separators.findIndex(
    (token, index) => token.text === 'approx' && index + parts[0]!.length > 0 && index > 0,
  )
  const approximated = separators[0]!.text === 'approx' && parts[0]!.length > 0 && !isName(parts[0]!)
  if (approximated) return readTokens(parts[0]!, depth + 1)
  const kept = cut < 0 ? parts : parts.slice(0, cut + 1)
  const relations = separators.slice(0, kept.length - 1).map(token => RELATIONS[token.text] ?? '=')
  if (kept[0]!.length === 0) return kept.length === 2 && kept[1]!.length > 0 ? readTokens(kept[1]!, depth + 1) : null
  if (kept.some(part => part.length === 0)) throw new NotAnExpression('relation')
  const variants = expandPlusMinus(kept.at(-1)!)
  if (variants && relations.length === 1 && relations[0] === '=' && isName(kept[0]!)) {
    return list(variants.map(variant => relation(['='], [kept[0]!, variant], depth)))
  }
  return relation(relations, kept, depth)
}

function relation(relations: readonly Relation[], parts: readonly (readonly Token[])[], depth: number): Answer {
  const sides = parts.map(part => readTokens(part, depth + 1))
  const states = relations.every(r => r === '=' || r === 'in')
  const [first, last] = [parts[0]!, parts.at(-1)!]
  let held = -1
  let name = ''
  if (states && isName(first)) [held, name] = [sides.length - 1, nameOf(first)]
  else if (states && sides.length === 2 && relations[0] === '=' && isName(last)) [held, name] = [0, nameOf(last)]
  return { kind: 'relation', relations, sides, name, held }
}

const nameOf = (tokens: readonly Token[]): string => tokens.map(token => token.text).join('')

/** Whether the tokens name a quantity: `x`, `x_1`, `f(x)`, `AB`, `\frac{NO}{BO}`, `V_1:V_2`, `(x, y)`, `\sin A`. */
function isName(tokens: readonly Token[]): boolean {
  if (tokens.length > 40) return false
  const inner = enclosed(tokens)
  if (inner && tokens[0]!.text === '(') return splitTop(inner, isSeparator).parts.every(part => isName(part))
  let letters = 0
  let lower = 0
  let inSubscript = 0
  for (const [index, token] of tokens.entries()) {
    const previous = tokens[index - 1]
    if (token.text === 'm' && tokens[index + 1]?.text === 'angle') continue
    if (previous?.text === '_' && previous.kind === 'mark') {
      inSubscript = token.text === '{' ? 1 : 0
      if (inSubscript === 0) continue
    }
    if (inSubscript > 0) {
      if (index > 0 && token.text === '}') inSubscript = 0
      continue
    }
    if (token.kind === 'text' || token.kind === 'word') letters++
    else if (token.kind === 'letter') {
      letters++
      if (/[a-z]/.test(token.text)) lower++
    } else if (token.kind === 'number') return false
    else if (token.kind === 'mark') {
      if (token.text === '(') return letters === 1 && enclosed(tokens.slice(index)) !== null
      if (!/^[_{}:|']$/.test(token.text)) return false
    } else if (SYMBOL_COMMANDS.has(token.text)) {
      letters++
      lower++
    } else if (FUNCTION_WORDS.has(token.text)) {
      if (token.text === 'sqrt' || index > 0) return false
    } else if (
      !/^(?:frac|angle|triangle|overline|vec|hat|bar|vert|mathbf|mathcal|mathbb|boldsymbol|prime|measuredangle|text)$/.test(
        token.text,
      )
    )
      return false
  }
  return letters === 1 || (letters > 1 && lower === 0)
}

function readRatio(tokens: readonly Token[], depth: number): Answer | null {
  const { parts } = splitTop(tokens, token => token.kind === 'mark' && token.text === ':')
  if (parts.length < 2 || parts.some(part => part.length === 0)) return null
  return { kind: 'ratio', items: parts.map(part => readTokens(part, depth + 1)) }
}

const SET_OPERATIONS = { cup: 'union', cap: 'intersection', setminus: 'difference' } as const

function readSetOperation(tokens: readonly Token[], depth: number): Answer | null {
  for (const name of ['cup', 'cap', 'setminus'] as const) {
    const isUnion = (token: Token) => token.kind === 'command' && token.text === name
    const { parts } = splitTop(
      tokens,
      token =>
        isUnion(token) ||
        (name === 'cup' &&
          token.kind === 'letter' &&
          token.text === 'U' &&
          tokens.some(t => t.text === ')' || t.text === ']')),
    )
    if (parts.length < 2 || parts.some(part => part.length === 0)) continue
    return { kind: SET_OPERATIONS[name], parts: parts.map(part => readTokens(part, depth + 1)) }
  }
  const minus = splitTop(tokens, token => token.text === '-')
  if (minus.parts.length === 2 && minus.parts[1]!.at(-1)?.text === '\\}' && minus.parts[0]!.length > 0) {
    return { kind: 'difference', parts: minus.parts.map(part => readTokens(part, depth + 1)) }
  }
  if (tokens.length === 1 && tokens[0]!.text === 'emptyset') return { kind: 'set', items: [] }
  return null
}

function readBracket(tokens: readonly Token[], depth: number): Answer | null {
  const inner = enclosed(tokens)
  if (!inner) return null
  const [left, right] = [tokens[0]!.text, tokens.at(-1)!.text]
  if (left === '\\{') return readSet(inner, depth)
  if (!/^(?:[([]|langle)$/.test(left) || !/^(?:[)\]]|rangle)$/.test(right)) return null
  const pieces = splitTop(inner, token => token.kind === 'mark' && (token.text === ',' || token.text === ';'))
  if (pieces.parts.length < 2) {
    const only = readTokens(inner, depth + 1)
    return only.kind === 'value' && left !== '[' ? null : only
  }
  const signs = left === '(' && right === ')' ? expandPlusMinus(tokens) : null
  if (signs) return list(signs.map(variant => readTokens(variant, depth + 1)))
  return {
    kind: 'sequence',
    left: left === '[' ? '[' : '(',
    right: right === ']' ? ']' : ')',
    items: pieces.parts.filter(part => part.length > 0).map(part => readTokens(part, depth + 1)),
  }
}

/** `A(1,2)` is the point. */
function readPoint(tokens: readonly Token[], depth: number): Answer | null {
  const [label, ...rest] = tokens
  if (label?.kind !== 'letter' || !/[A-Z]/.test(label.text) || rest[0]?.text !== '(') return null
  const point = readBracket(rest, depth)
  return point?.kind === 'sequence' ? point : null
}

function readSet(inner: readonly Token[], depth: number): Answer {
  if (inner.length === 0) return { kind: 'set', items: [] }
  const builder = splitTop(inner, token => token.text === 'vert' || token.text === '|' || token.text === ':')
  if (builder.parts.length === 2 && builder.parts[0]!.length > 0) return readTokens(builder.parts[1]!, depth + 1)
  return { kind: 'set', items: itemsOf(splitTop(inner, isSeparator), depth) }
}

function readSigns(tokens: readonly Token[], depth: number): Answer | null {
  const variants = expandPlusMinus(tokens)
  return variants && list(variants.map(variant => readTokens(variant, depth + 1)))
}

const APPROXIMATELY =
  /^(?:approximately|about|roughly|around|nearly|exactly|approx|option|choice|answer|the|is|of|a|an|only)$/i

/** One expression, with the currency before it and the unit after it. */
function readValue(source: readonly Token[]): Answer {
  let tokens = source
  let unit = ''
  const first = tokens.findIndex(
    token =>
      !(token.kind === 'word' && APPROXIMATELY.test(token.text)) && !(token.kind === 'text' && tokens.length > 1),
  )
  if (first > 0 && tokens.slice(first).some(token => token.kind !== 'mark')) tokens = tokens.slice(first)
  const at = tokens[0]?.text === '-' ? 1 : 0
  const currency = tokens[at]?.kind === 'command' ? currencyOf(tokens[at]!.text) : undefined
  if (currency) {
    unit = currency
    tokens = tokens.filter((_, index) => index !== at)
  }
  if (tokens.length === 0) throw new NotAnExpression('empty')
  const { expression, rest } = beforeUnit(tokens)
  if (rest.length === 0) return value(parse(expression), unit, baseDigits(expression))
  return readUnit(expression, rest, unit)
}

/** The digits of a numeral with a base. */
function baseDigits(tokens: readonly Token[]): string {
  const [sign, rest] = tokens[0]?.text === '-' ? ['-', tokens.slice(1)] : ['', tokens]
  const inner = enclosed(rest.slice(0, 3)) ?? rest.slice(0, 1)
  const head = inner[0]
  const after = rest[enclosed(rest.slice(0, 3)) ? 3 : 1]
  return head && after?.text === '_' && (head.kind === 'number' || /^[0-9A-F]+$/.test(head.text))
    ? `${sign}${head.text}`
    : ''
}

/** Splits before the first word, text or currency that follows a complete value. */
function beforeUnit(tokens: readonly Token[]): { expression: readonly Token[]; rest: readonly Token[] } {
  let depth = 0
  for (const [index, token] of tokens.entries()) {
    if (depth === 0 && index > 0) {
      const previous = tokens[index - 1]!
      const complete =
        previous.kind === 'number' ||
        previous.kind === 'letter' ||
        /^(?:[)\]}%!]|pi|degrees|infty)$/.test(previous.text)
      const isScript = previous.text === '_' || previous.text === '^'
      const named =
        token.kind === 'text'
          ? !isScript && !/^[ie]$/.test(token.text) && !(FUNCTION_WORDS.has(token.text) && index + 1 < tokens.length)
          : token.kind === 'word'
      if (
        complete &&
        (named || (token.kind === 'command' && (token.text === 'mod' || currencyOf(token.text) !== undefined)))
      ) {
        return { expression: tokens.slice(0, index), rest: tokens.slice(index) }
      }
      if (previous.text === 'degrees' && token.kind === 'letter' && /[CF]/.test(token.text)) {
        return { expression: tokens.slice(0, index), rest: [] }
      }
    }
    depth += nesting(token)
  }
  return { expression: tokens, rest: [] }
}

const MULTIPLES: Readonly<Record<string, number>> = {
  hundred: 100,
  thousand: 1000,
  million: 1_000_000,
  billion: 1_000_000_000,
  trillion: 1_000_000_000_000,
}

function readUnit(expression: readonly Token[], rest: readonly Token[], currency: string): Answer {
  const words = rest
    .map(token => (token.kind === 'command' ? (currencyOf(token.text) ?? token.text) : token.text))
    .join(' ')
    .trim()
  const base = /^(?:in )?base[ -]?(\w+)/i.exec(words)
  if (base) {
    const inner = [...expression, mark('_'), mark('{'), word(base[1]!), mark('}')]
    return value(parse(inner), '', baseDigits(inner))
  }
  const times = /^(?:hundred|thousand|million|billion|trillion)(?![a-z])/i.exec(words)
  if (times) {
    const scaled = node('mul', parse(expression), number(rational(MULTIPLES[times[0].toLowerCase()]!)))
    return value(scaled, words.slice(times[0].length).trim() || currency)
  }
  const parsed = parse(expression)
  if (/^deg(?:ree)?s?(?![a-z])(?! ?(?:C|F|celsius|fahrenheit))/i.test(words)) return value(node('degrees', parsed))
  const compound = rest.findIndex(
    (token, index) => index > 0 && token.kind === 'number' && !/^(?:\^|\{|mod)$/.test(rest[index - 1]!.text),
  )
  if (compound > 0) return readCompound(parsed, rest, compound)
  return value(parsed, words || currency)
}

/** `5 dollars and 50 cents`: measures of one dimension in ever smaller units are one measure. */
function summed(items: readonly Answer[]): Answer | null {
  const [first] = items
  if (first?.kind !== 'value' || !first.unit) return null
  const parts: Node[] = []
  let before: Measure | null = null
  for (const item of items) {
    const size = item.kind === 'value' && item.unit ? measure(item.unit) : null
    const smaller =
      size && (before === null || (size.dimensions === before.dimensions && sign(sub(before.size, size.size)) > 0))
    if (!smaller || item.kind !== 'value') return null
    parts.push(node('mul', item.node, number(div(size.size, measure(first.unit)!.size))))
    before = size
  }
  return value(node('add', ...parts), first.unit)
}

/** `3 hours 20 minutes` is 10/3 hours; units that do not add up make a list. */
function readCompound(head: Node, rest: readonly Token[], at: number): Answer {
  const joined = rest
    .slice(0, at)
    .map(token => token.text)
    .join(' ')
  const unit = joined.replace(/ (?:and|,)$/, '')
  const tail = readValue(rest.slice(at))
  const items = [value(head, unit), ...(tail.kind === 'list' ? tail.items : [tail])]
  return summed(items) ?? list(items, 'and')
}

const mark = (t: string): Token => ({ kind: 'mark', text: t, spaced: false })
const word = (t: string): Token => ({ kind: isUnitWord(t) ? 'word' : 'text', text: t, spaced: false })
