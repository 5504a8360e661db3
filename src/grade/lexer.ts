import { type Numeral, readNumeral } from './numbers.ts'
import { FUNCTION_WORDS, isUnitWord } from './vocabulary.ts'
import { spend, TooComplex } from './work.ts'

/**
 * One token of a normalised answer. `command` carries no backslash; `letter` is one variable, `word` a run of letters
 * that is no product of variables, `text` the content of `\text{…}`; `mark` is a bracket, an operator or punctuation.
 * `spaced` tells that white space stood before it.
 */
export interface Token {
  readonly kind: 'number' | 'command' | 'letter' | 'word' | 'text' | 'mark'
  readonly text: string
  readonly spaced: boolean
  readonly number?: Numeral
}

const MAX_TOKENS = 4_000
const COMMAND = /\\(?:[a-zA-Z]+\*?|.)/sy
const LETTERS = /[a-zA-Z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff\u4e00-\u9fff]+/y
const RELATIONS = /<=|>=|=>|!=|==|<>|\+\/-|\+-|\*\*|:=/y
const BASE_DIGITS = /\d*[A-F][0-9A-F]*(?=\s*_\s*\{?\s*(?:1[1-9]|2\d|3[0-6])(?!\d))/y

export function tokenize(s: string): Token[] {
  const tokens: Token[] = []
  const spacious = /,\s/.test(s)
  let depth = 0
  for (let i = 0; i < s.length; ) {
    spend(1)
    if (tokens.length > MAX_TOKENS) throw new TooComplex('tokens')
    const start = i
    while (s[i] === ' ' || s[i] === '\n') i++
    if (i >= s.length) break
    const spaced = i > start
    const [token, end] =
      numberAt(s, i, spaced, depth === 0 || spacious) ?? commandAt(s, i, spaced) ?? markAt(s, i, spaced)
    if (token.kind === 'letter') {
      for (const [index, [kind, text]] of splitLetters(token.text, tokens.at(-1)).entries()) {
        tokens.push({ kind, text, spaced: spaced && index === 0 })
      }
    } else tokens.push(token)
    if (token.kind === 'mark' || token.kind === 'command') {
      if (/^(?:[([]|\\\{|langle)$/.test(token.text)) depth++
      else if (/^(?:[)\]]|\\\}|rangle)$/.test(token.text)) depth--
    }
    i = end
  }
  return tokens
}

type Read = readonly [token: Token, end: number]

const isDigit = (c: string): boolean => (c >= '0' && c <= '9') || c === '.'

function numberAt(s: string, i: number, spaced: boolean, commas: boolean): Read | null {
  const c = s[i]!
  if (!isDigit(c) && !(c >= 'A' && c <= 'F')) return null
  BASE_DIGITS.lastIndex = i
  const digits = s.includes('_') ? BASE_DIGITS.exec(s) : null
  if (digits) return [{ kind: 'word', text: digits[0], spaced }, i + digits[0].length]
  const number = isDigit(c) ? readNumeral(s, i, commas) : null
  return number && [{ kind: 'number', text: s.slice(i, i + number.length), spaced, number }, i + number.length]
}

function commandAt(s: string, i: number, spaced: boolean): Read | null {
  if (s[i] !== '\\') return null
  COMMAND.lastIndex = i
  const command = COMMAND.exec(s)?.[0]
  if (!command) return [{ kind: 'command', text: '\\', spaced }, i + 1]
  const name = command.slice(1)
  const end = i + command.length
  if (name === 'text') {
    const [content, close] = group(s, end)
    return [{ kind: 'text', text: content.trim(), spaced }, close]
  }
  if (/^[{}|]$/.test(name)) return [{ kind: 'mark', text: command, spaced }, end]
  return [{ kind: /^[a-zA-Z\\]/.test(name) ? 'command' : 'mark', text: name, spaced }, end]
}

/** A run of letters, still whole, or a mark. */
function markAt(s: string, i: number, spaced: boolean): Read {
  LETTERS.lastIndex = i
  const letters = LETTERS.exec(s)?.[0]
  if (letters) return [{ kind: 'letter', text: letters, spaced }, i + letters.length]
  RELATIONS.lastIndex = i
  const text = RELATIONS.exec(s)?.[0] ?? s[i]!
  return [{ kind: 'mark', text, spaced }, i + text.length]
}

/** The balanced `{…}` at or after `from`, or the one character there: its content and where it ends. */
export function group(s: string, from: number): [string, number] {
  let i = from
  while (s[i] === ' ') i++
  if (s[i] !== '{') return [s.slice(i, i + 1), Math.min(s.length, i + 1)]
  let depth = 0
  for (let j = i; j < s.length; j++) {
    if (s[j] === '\\') j++
    else if (s[j] === '{') depth++
    else if (s[j] === '}' && --depth === 0) return [s.slice(i + 1, j), j + 1]
  }
  return [s.slice(i + 1), s.length]
}

const SEPARATORS: Readonly<Record<string, string>> = {
  and: 'and',
  or: 'or',
  AND: 'and',
  OR: 'or',
  和: 'and',
  或: 'or',
  与: 'and',
  且: 'and',
  或者: 'or',
}
const NAMED: Readonly<Record<string, string>> = {
  pi: 'pi',
  Pi: 'pi',
  PI: 'pi',
  inf: 'infty',
  infty: 'infty',
  infinity: 'infty',
  Infinity: 'infty',
  oo: 'infty',
}

/** A run of letters: a separator, a function, a constant, a unit, a word, or a product of variables. */
function splitLetters(run: string, before: Token | undefined): [Token['kind'], string][] {
  if (SEPARATORS[run]) return [['command', SEPARATORS[run]]]
  const afterValue = before !== undefined && (before.kind === 'number' || /^[)}\]]$/.test(before.text))
  if (afterValue && isUnitWord(run)) return [['word', run]]
  if (FUNCTION_WORDS.has(run)) return [['command', run]]
  if (NAMED[run]) return [['command', NAMED[run]]]
  if (/^[a-zA-Z\u0370-\u03ff]$/.test(run)) return [['letter', run]]
  if (/^(?:sin|cos|tan|log|ln|sqrt|pi)/.test(run) && run.length <= 6) {
    const head = /^(?:sin|cos|tan|log|ln|sqrt|pi)/.exec(run)![0]
    return [['command', head], ...splitLetters(run.slice(head.length), undefined)]
  }
  if (/^.{1,2}pi$/.test(run)) return [...splitLetters(run.slice(0, -2), undefined), ['command', 'pi']]
  if (run.length > 3 || /[^a-zA-Z]/.test(run)) return [['word', run]]
  return [...run].map(letter => ['letter', letter])
}
