import type { Token } from './lexer.ts'

const OPENERS = new Set(['(', '[', '{', '\\{', 'langle', 'lfloor', 'lceil', 'begin'])
const CLOSERS = new Set([')', ']', '}', '\\}', 'rangle', 'rfloor', 'rceil', 'end'])

/** +1 for a token that opens a bracket, −1 for one that closes it. */
export function nesting(token: Token): number {
  if (token.kind !== 'mark' && token.kind !== 'command') return 0
  return OPENERS.has(token.text) ? 1 : CLOSERS.has(token.text) ? -1 : 0
}

export interface Pieces {
  readonly parts: readonly (readonly Token[])[]
  readonly separators: readonly Token[]
}

/** Splits at the separators that stand outside every bracket. */
export function splitTop(tokens: readonly Token[], isSeparator: (token: Token, index: number) => boolean): Pieces {
  const parts: Token[][] = [[]]
  const separators: Token[] = []
  let depth = 0
  for (const [index, token] of tokens.entries()) {
    if (depth === 0 && isSeparator(token, index)) {
      separators.push(token)
      parts.push([])
      continue
    }
    depth = Math.max(0, depth + nesting(token))
    parts.at(-1)!.push(token)
  }
  return { parts, separators }
}

/** The tokens between the first and the last when those are one matching pair of brackets, else null. */
export function enclosed(tokens: readonly Token[]): readonly Token[] | null {
  if (tokens.length < 2 || nesting(tokens[0]!) !== 1 || nesting(tokens.at(-1)!) !== -1) return null
  let depth = 0
  for (const [index, token] of tokens.entries()) {
    depth += nesting(token)
    if (depth === 0) return index === tokens.length - 1 ? tokens.slice(1, -1) : null
  }
  return null
}

/** French intervals `]a,b[` are written `(a,b)`. */
export function straighten(tokens: readonly Token[]): readonly Token[] {
  if (!tokens.some(token => token.kind === 'mark' && (token.text === '[' || token.text === ']'))) return tokens
  const result: Token[] = []
  const open: { bracket: string; comma: boolean }[] = []
  for (const [index, token] of tokens.entries()) {
    const next = tokens[index + 1]
    const ends = !next || /^(?:cup|cap|setminus|,|;|and|or)$/.test(next.text)
    const top = open.at(-1)
    if (token.kind === 'mark' && token.text === ']' && open.length === 0) {
      open.push({ bracket: ']', comma: false })
      result.push({ ...token, text: '(' })
    } else if (token.kind === 'mark' && token.text === '[' && top?.comma && ends && /[[\]]/.test(top.bracket)) {
      open.pop()
      result.push({ ...token, text: ')' })
    } else {
      if (nesting(token) === 1) open.push({ bracket: token.text, comma: false })
      if (nesting(token) === -1) open.pop()
      if (top && (token.text === ',' || token.text === ';')) top.comma = true
      result.push(token)
    }
  }
  return result
}

/** Replaces every ± by each sign (and ∓ by the other); null when there is none. */
export function expandPlusMinus(tokens: readonly Token[]): readonly (readonly Token[])[] | null {
  const places = tokens.flatMap((token, index) =>
    /^(?:pm|mp|\+\/-|\+-)$/.test(token.text) && token.kind !== 'text' ? [index] : [],
  )
  if (places.length === 0) return null
  const joint = places.length > 3 || places.some(place => tokens[place]!.text === 'mp')
  const choices = joint ? 2 : 2 ** places.length
  return Array.from({ length: choices }, (_, choice) =>
    tokens.map((token, index) => {
      const place = places.indexOf(index)
      if (place < 0) return token
      const minus = joint ? choice === 1 : ((choice >> place) & 1) === 1
      const flipped = token.text === 'mp'
      return { kind: 'mark' as const, text: minus !== flipped ? '-' : '+', spaced: token.spaced }
    }),
  )
}
