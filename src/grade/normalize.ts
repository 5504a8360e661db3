import { SUBSCRIPTS, SUPERSCRIPTS, SYMBOLS, VULGAR_FRACTIONS } from './symbols.ts'
import { isKnownCommand } from './vocabulary.ts'
import { TooComplex } from './work.ts'

const MAX_LENGTH = 10_000

/**
 * Rewrites the many ways to write one thing into one: Unicode into LaTeX, spacing commands into spaces, `\dfrac` into
 * `\frac`, `\mathrm{…}` into `\text{…}`, dollar delimiters away. What it returns is still LaTeX and says the same.
 */
export function normalize(source: string): string {
  if (source.length > MAX_LENGTH) throw new TooComplex('length')
  let s = source.replace(/\r/g, '').replace(/\\{5,}/g, run => (run.length % 2 === 1 ? '\\' : '\\\\'))
  if (/[^\x20-\x7e\n]/.test(s)) s = fromUnicode(s)
  s = unescapeTwice(s)
  s = dollars(s)
  if (s.includes('{')) s = s.replace(/ ?\{\s*([,.])\s*\} ?/g, '{$1}')
  if (s.includes('\\')) s = commands(s)
  if (s.includes('mod')) s = s.replace(/(?<![\\a-zA-Z])mod(?= ?\d)/g, '\\mod ').replace(/\(\s*(\\mod[^()]*)\)/g, ' $1')
  return s
    .replace(/`|^\s*\*+|\*+\s*$/g, ' ')
    .replace(/[\s~]+/g, ' ')
    .trim()
}

function fromUnicode(source: string): string {
  let s = source.replace(/[\u00bc-\u00be\u2150-\u215e]/g, c => VULGAR_FRACTIONS[c] ?? c)
  s = s.replace(/[⁰¹²³⁴-⁹⁺⁻ⁿⁱ]+/g, run => `^{${[...run].map(c => SUPERSCRIPTS[c] ?? c).join('')}}`)
  s = s.replace(/[₀-₉₊₋]+/g, run => `_{${[...run].map(c => SUBSCRIPTS[c] ?? c).join('')}}`)
  s = s.replace(/[^\x20-\x7e\n]/g, c => SYMBOLS[c] ?? c)
  return s.normalize('NFKC').replace(/[\u200b-\u200f\u2060\ufeff]/g, '')
}

/** `\\frac` in a string that was escaped once too often is `\frac`; a row break before a command stays one. */
function unescapeTwice(s: string): string {
  if (!s.includes('\\\\')) return s
  const inRows = s.includes('\\begin') && !s.includes('\\\\begin')
  if (inRows) return s
  return s.replace(/(?<!\\)\\\\(?:([a-zA-Z]+)|([()[\]{}%$,;:! ]))/g, (whole, word?: string, mark?: string) => {
    if (mark !== undefined) return `\\${mark}`
    return word && isKnownCommand(word) ? `\\${word}` : whole
  })
}

/** Math delimiters become spaces; a dollar that stands before an amount becomes a currency mark. */
function dollars(s: string): string {
  let t = s.replace(/\\[()[\]]/g, (mark, at: number) => (s[at - 1] === '\\' ? mark : ' ')).replace(/\\\$/g, '\\dollar ')
  t = t.replace(/\bUSD?\s*(?=\\dollar)/g, '')
  const marks = t.match(/\$/g)?.length ?? 0
  if (marks === 1) t = t.replace(/\$(?=\s*-?[\d.])/, '\\dollar ')
  return t.replace(/\$/g, ' ')
}

const SPACES =
  /(?<=(?:^|[^\\])(?:\\\\)*)\\(?:,|;|:|>|!| |\n|q?quad(?=[a-zA-Z])|(?:thin|med|thick|en|neg)space(?![a-zA-Z])|[hv]space\*?\{[^{}]{0,40}\})/g
const DROPPED =
  /\\(?:left|right|middle|displaystyle|textstyle|scriptstyle|limits|nolimits|[bB]igg?[lrm]?|mathstrut|strut|rm|bf|it|large|Large|small|nonumber|notag|allowbreak|mathop|mathrel|mathbin|mathord|ensuremath|hfill|centering|scriptscriptstyle|par)(?![a-zA-Z])\.?/g

const RENAMED: Readonly<Record<string, string>> = {
  dfrac: 'frac',
  tfrac: 'frac',
  cfrac: 'frac',
  sfrac: 'frac',
  nicefrac: 'frac',
  dbinom: 'binom',
  tbinom: 'binom',
  leq: 'le',
  leqslant: 'le',
  leqq: 'le',
  geq: 'ge',
  geqslant: 'ge',
  geqq: 'ge',
  neq: 'ne',
  lt: 'less',
  gt: 'greater',
  ast: 'cdot',
  bullet: 'cdot',
  land: 'and',
  wedge: 'and',
  lor: 'or',
  vee: 'or',
  varnothing: 'emptyset',
  empty: 'emptyset',
  degree: 'degrees',
  lbrace: '{',
  rbrace: '}',
  lbrack: '[',
  rbrack: ']',
  lparen: '(',
  rparen: ')',
  smallsetminus: 'setminus',
  backslash: 'setminus',
  colon: ':',
  lvert: 'vert',
  rvert: 'vert',
  mid: 'vert',
  lVert: 'vert',
  rVert: 'vert',
  Vert: 'vert',
  operatorname: 'text',
  'operatorname*': 'text',
  mathrm: 'text',
  textrm: 'text',
  textnormal: 'text',
  textbf: 'text',
  textit: 'text',
  texttt: 'text',
  textsf: 'text',
  textsc: 'text',
  textup: 'text',
  mathsf: 'text',
  mathtt: 'text',
  mbox: 'text',
  hbox: 'text',
  emph: 'text',
  inf: 'infty',
  isin: 'in',
  arcsinh: 'arsinh',
  arccosh: 'arcosh',
  arctanh: 'artanh',
  asin: 'arcsin',
  acos: 'arccos',
  atan: 'arctan',
  arctg: 'arctan',
  tg: 'tan',
  ctg: 'cot',
  cosec: 'csc',
  lg: 'log',
  varepsilon: 'epsilon',
  vartheta: 'theta',
  varphi: 'phi',
  pounds: 'pound',
  textdollar: 'dollar',
  textdegree: 'degrees',
  iff: 'Leftrightarrow',
  to: 'rightarrow',
  doteq: '=',
  equals: '=',
  simeq: 'approx',
  thickapprox: 'approx',
  cong: 'approx',
  ldots: 'dots',
  cdots: 'dots',
}

const MARKS = new Set([':', '(', ')', '[', ']', '='])

function commands(source: string): string {
  let s = source.replace(/([,.])\s*\\!\s*(?=\d)/g, '$1').replace(/\\\\\s*\[-?[\d.]+ ?[a-z]{2}\]/g, '\\\\')
  s = s.replace(SPACES, mark => (mark === '\\!' ? '' : mark.startsWith('\\q') ? '\\quad ' : ' '))
  s = s.replace(/\\(?:h|v)?phantom\s*\{[^{}]*\}|\\(?:tag|label)\s*\{[^{}]*\}/g, ' ')
  s = s.replace(DROPPED, ' ')
  s = s.replace(/\\qquad(?![a-zA-Z])/g, '\\quad ')
  s = s.replace(/\\([a-zA-Z]+\*?)/g, (whole, name: string) => {
    const to = RENAMED[name]
    if (to === undefined) return whole
    return MARKS.has(to) ? to : `\\${to}`
  })
  s = s.replace(/\\(?:R|reals|Reals)(?![a-zA-Z])/g, '\\mathbb{R}').replace(/\\Z(?![a-zA-Z])/g, '\\mathbb{Z}')
  s = s
    .replace(/\\[pb]mod(?![a-zA-Z])/g, '\\mod ')
    .replace(/\\not\s*=/g, '\\ne ')
    .replace(/\\not\s*\\in/g, '\\notin ')
  s = s.replace(
    /\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))(?:\s*\\text\s*\{\s*C\s*\})?|\\degrees(?![a-zA-Z])/g,
    '\\degrees ',
  )
  s = s.replace(/\{\s*\}/g, ' ')
  return s.replace(/\\text\s*\{\s*(and|or|y|und|et|oder|ou)\s*\}/gi, (_, word: string) =>
    /^(or|oder|ou)$/i.test(word) ? '\\or ' : '\\and ',
  )
}
