import { invalidArgument } from '../errors.ts'
import { boxes } from './boxes.ts'
import { isUnitWord } from './vocabulary.ts'

/** What kind of answer to look for: any, a number, a choice letter, or the content of the last code fence. */
export type AnswerKind = 'any' | 'number' | 'choice' | 'code'

export interface ExtractOptions {
  /** Default `'any'`. */
  readonly kind?: AnswerKind
}

/** Where an answer was found: the rules, in the order in which they are tried. */
export type ExtractedBy = 'boxed' | 'hash' | 'cue' | 'fence' | 'sentence' | 'last' | 'whole'

export interface ExtractedAnswer {
  /** The answer, without delimiters, markup and the full stop. Several boxes are joined by commas. */
  readonly text: string
  /** Where the answer starts in the solution, in UTF-16 units. */
  readonly start: number
  /** Where it ends, exclusive. */
  readonly end: number
  readonly how: ExtractedBy
}

const KINDS: readonly AnswerKind[] = ['any', 'number', 'choice', 'code']

/** An answer is looked for in the last so many characters. */
const MAX_READ = 100_000

/** A part of the solution: `text` is `solution.slice(start, end)` or, for several boxes, what they hold. */
interface Span {
  readonly text: string
  readonly start: number
  readonly end: number
}

/**
 * The final answer of a solution, or null when there is none.
 *
 * Tried in order: the last `\boxed{}` or `\fbox{}` (with the boxes that `and` or a comma joins to it), `#### x`, a cue
 * such as "the final answer is", "Answer:" or "答案是", a closing code fence, the last sentence. Thoughts in
 * `<think>…</think>` count only when nothing follows them; text after an end-of-turn token never counts, nor does
 * what precedes the last 100,000 characters.
 *
 * @throws `ERR_INVALID_ARGUMENT` when `solution` is no string or `kind` is unknown
 */
export function extractAnswer(solution: string, options: ExtractOptions = {}): ExtractedAnswer | null {
  if (typeof solution !== 'string') invalidArgument('solution', `must be a string, got ${typeof solution}`, solution)
  const kind = options.kind ?? 'any'
  if (!KINDS.includes(kind)) invalidArgument('kind', `must be one of ${KINDS.join(', ')}, got ${String(kind)}`, kind)
  const { thoughts, from, to } = spoken(solution)
  return (
    search(solution, from, to, kind) ??
    (thoughts > 0 ? search(solution, Math.max(0, thoughts - MAX_READ), thoughts, kind) : null)
  )
}

/** What a transcript says, [from, to), lies after its thoughts, which end at `thoughts`, and before the next turn. */
function spoken(solution: string): { thoughts: number; from: number; to: number } {
  const turn = /<\|(?:im_end|im_start|endoftext|eot_id|end_of_text|end)\|>|<\/s>|<eos>|<end_of_turn>/.exec(
    solution.slice(1),
  )
  const to = turn ? turn.index + 1 : solution.length
  const thoughts = solution.lastIndexOf('</think>', to)
  return { thoughts, from: Math.max(to - MAX_READ, thoughts < 0 ? 0 : thoughts + '</think>'.length), to }
}

function search(solution: string, from: number, to: number, kind: AnswerKind): ExtractedAnswer | null {
  const body: Span = { text: solution.slice(from, to), start: from, end: to }
  if (kind === 'code') return labelled(fence(body), 'fence')
  const rules: readonly [ExtractedBy, (body: Span) => Span | null][] = [
    ['boxed', boxed],
    ['hash', hash],
    ['cue', cue],
    ['fence', fence],
    ['sentence', sentence],
    ['last', lastValue],
    ['whole', whole],
  ]
  for (const [how, rule] of rules) {
    const span = rule(body)
    const narrowed = span && narrow(span, kind)
    if (narrowed && narrowed.text !== '') return labelled(narrowed, how)
  }
  return null
}

const labelled = (span: Span | null, how: ExtractedBy): ExtractedAnswer | null => span && { ...span, how }

function part(span: Span, from: number, to: number): Span {
  return { text: span.text.slice(from, to), start: span.start + from, end: span.start + to }
}

function boxed(body: Span): Span | null {
  const found = boxes(body.text)
  const last = found.at(-1)
  if (!last) return null
  const group = [last]
  for (let k = found.length - 2; k >= 0; k--) {
    const between = body.text.slice(found[k]!.close, group[0]!.open)
    if (!isConnector(between)) break
    group.unshift(found[k]!)
  }
  const texts = [...new Set(group.map(box => body.text.slice(box.from, box.to).trim()))].filter(text => text !== '')
  if (texts.length === 0) return null
  const [start, end] = [body.start + group[0]!.from, body.start + last.to]
  const only = texts.length === 1
  return only
    ? trimmed({ text: body.text.slice(last.from, last.to), start: body.start + last.from, end })
    : { text: texts.join(', '), start, end }
}

const isConnector = (between: string): boolean =>
  /^(?:\s|[,;$]|\\[()[\]]|\\q?quad|\\[,;:! ]|\\text\s*\{\s*(?:and|or|,)?\s*\}|and|or|或|和)*$/.test(between) &&
  (between.match(/\band\b|\bor\b/g)?.length ?? 0) <= 1 &&
  !/\n\s*\n/.test(between)

function hash(body: Span): Span | null {
  const found = [...body.text.matchAll(/####[ \t]*([^\n]*\S)/g)].at(-1)
  if (!found) return null
  const at = found.index + found[0].length - found[1]!.length
  return trimmed(part(body, at, at + found[1]!.length))
}

const CUE =
  /(?:final answers?|(?:correct |right |best |our |desired )?answers?|correct (?:option|choice)|result)(?:\s+to (?:the|this) (?:problem|question))?\s*(?:\*\*|\*)?\s*(?:(?:is|are|was|would be|should be|must be|will be)\s*(?:therefore |thus |simply |just |then |given by )?:?|[:：=])\s*|(?:^|\n)[ \t]*A:[ \t]*|最终答案\s*(?:是|为)?\s*[:：]?|答案\s*(?:是|为|应为)?\s*[:：]?|故选\s*[:：]?|(?:la respuesta|respuesta|la réponse|réponse|antwort|die antwort|resposta|ответ)\s*(?:final )?\s*(?:es|est|ist|é|lautet)?\s*[:：]?\s*/giu
const HAS_CUE = new RegExp(CUE.source, 'iu')

function cue(body: Span): Span | null {
  const limit = /\n[ \t]*(?:Problem|Question|Q)\s*[:.]/.exec(body.text)
  const reach = limit && HAS_CUE.test(body.text.slice(0, limit.index)) ? limit.index : body.text.length
  const found = [...body.text.slice(0, reach).matchAll(CUE)].reverse()
  for (const match of found) {
    const at = match.index + match[0].length
    const clause = firstClause(part(body, at, reach))
    const span = clause && refine(clause)
    if (span && span.text !== '') return span
  }
  return chosen(body)
}

const CHOSEN = /\b(?:option|choice|answer)\s+(\(?[A-J]\)?)\s+is\s+(?:the\s+)?(?:correct|right|best)\b/g

/** "Option C is correct." */
function chosen(body: Span): Span | null {
  const match = [...body.text.matchAll(CHOSEN)].at(-1)
  if (!match) return null
  const at = match.index + match[0].indexOf(match[1]!, 6)
  return part(body, at, at + match[1]!.length)
}

function fence(body: Span): Span | null {
  const found = [...body.text.matchAll(/```[^\n`]*\n([^`]*)```/g)].at(-1)
  if (!found) return null
  const at = found.index + found[0].length - 3 - found[1]!.length
  return trimmed(part(body, at, at + found[1]!.length))
}

/** The text up to the end of its sentence or line, mathematics included whole. */
function firstClause(span: Span): Span | null {
  const lead = /^(?:[\s:：*_]|\*\*)*/.exec(span.text)![0].length
  const rest = span.text.slice(lead)
  if (rest === '') return null
  const math = mathAt(rest, 0)
  if (math) return trimmed(part(span, lead, lead + mathRun(rest)))
  let end = rest.length
  for (let i = 0; i < rest.length; i++) {
    const inner = mathAt(rest, i)
    if (inner) {
      i = inner.close - 1
      continue
    }
    const stops =
      rest[i] === '\n' ||
      rest[i] === '。' ||
      ('.!?'.includes(rest[i]!) &&
        /^[.!?](?:\*\*)?(?:\s|$|["')\]])/.test(rest.slice(i, i + 4)) &&
        !isAbbreviation(rest, i))
    if (stops) {
      end = i
      break
    }
  }
  return trimmed(part(span, lead, lead + end))
}

const isAbbreviation = (text: string, stop: number): boolean =>
  /(?:\b[ap]\.?m|\b(?:sq|cu|approx|no|vs|St|Mr|Mrs|Dr))$/.test(text.slice(Math.max(0, stop - 7), stop)) &&
  /^\.\s*[a-z\d]/.test(text.slice(stop, stop + 3))

interface Math {
  readonly open: number
  readonly from: number
  readonly to: number
  readonly close: number
}

/** Delimited mathematics is at most this long. */
const MAX_MATH = 2_000

const DELIMITERS: readonly [string, string][] = [
  ['$$', '$$'],
  ['\\[', '\\]'],
  ['\\(', '\\)'],
  ['$', '$'],
]

/** The delimited mathematics that opens exactly at `at`, or null. A dollar before an amount may be money. */
function mathAt(text: string, at: number): Math | null {
  if (text[at] !== '$' && text[at] !== '\\') return null
  if (text[at - 1] === '\\') return null
  for (const [open, close] of DELIMITERS) {
    if (!text.startsWith(open, at)) continue
    const within = text.slice(at + open.length, at + MAX_MATH)
    let length = within.indexOf(close)
    while (length > 0 && within[length - 1] === '\\' && !close.startsWith('\\'))
      length = within.indexOf(close, length + 1)
    if (length < 0) return null
    const inside = within.slice(0, length)
    const end = at + open.length + length
    if (
      open === '$' &&
      (/\n\s*\n/.test(inside) || (/^\s*\d[\d,.]*\s+[a-z]{2,}\s/i.test(inside) && !inside.includes('\\')))
    )
      return null
    return { open: at, from: at + open.length, to: end, close: end + close.length }
  }
  return null
}

/** How far a run of mathematics joined by commas, `and`, units and percent signs reaches. */
function mathRun(text: string): number {
  let end = mathAt(text, 0)!.close
  for (;;) {
    const joint = /^(?:\s*(?:,|;|and|or|和|或|,\s*and|,\s*or)\s*)?/.exec(text.slice(end, end + 40))![0].length
    const next = joint > 0 ? mathAt(text, end + joint) : null
    if (!next) break
    end = next.close
  }
  const unit =
    /^(?:\s*(?:\\?%|percent\b|pct\b|°)|\s+(?:square |cubic )?([a-z]+)(?:\/[a-z]+|\^?\{?[23²³]\}?)?(?=[\s.,*]|$))/.exec(
      text.slice(end, end + 40),
    )
  return unit && (unit[1] === undefined || isUnitWord(unit[1])) ? end + unit[0].length : end
}

function mathSegments(text: string): Math[] {
  const found: Math[] = []
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '$' && text[i] !== '\\') continue
    const math = mathAt(text, i)
    if (!math) continue
    found.push(math)
    i = math.close - 1
  }
  return found
}

const COPULA =
  /(?:\b(?:is|are|was|were|be|equals?|gives?|get|gets|obtain|costs?|takes?|earns?|has|have|total(?:s|ing)?|becomes?|makes?|at|as)\b|=|为|是|等于|[:：])\s*(?:equal to |approximately |about |exactly |therefore |only |given by |simply |then |just |:)*/giu
const NUMBER = /-?(?:\\?\$|€|£|¥)?\s?-?\d[\d,]*(?:\.\d+)?(?:\s?\/\s?\d+)?(?:\s*(?:\\?%|percent\b|pct\b|€|°))?/g

/** What "is" may lead to without naming the answer: `$x \ge 5$ is the solution`. */
const POINTER =
  /^(?:(?:the|our|my) (?:\w+ )?(?:solution|answer|result|value)s?|it|this|that|them|true|correct|right|valid|possible)\b/i

/** The answer inside a clause: what follows the last "is" or "=", else its last mathematics, else its last number. */
function refine(span: Span): Span | null {
  const text = span.text
  if (isBare(text)) return trimmed(span)
  const math = mathSegments(text)
  const insideMath = (at: number) => math.some(({ open, close }) => at > open && at < close)
  const copulas = [...text.matchAll(COPULA)].filter(match => !insideMath(match.index))
  for (const match of copulas.reverse()) {
    const tail = trimmed(part(span, match.index + match[0].length, text.length))
    if (tail.text === '') continue
    if (mathAt(tail.text, 0)) return trimmed(part(tail, 0, mathRun(tail.text)))
    const says = !(math.length > 0 || /\d/.test(text)) || !POINTER.test(tail.text)
    if (says && isBare(tail.text)) return tail
  }
  const last = math.at(-1)
  const number = [...text.matchAll(NUMBER)].filter(match => !insideMath(match.index)).at(-1)
  if (last && (!number || number.index < last.open || !/\d/.test(text.slice(last.from, last.to)) === false)) {
    let first = last
    for (
      let k = math.length - 2;
      k >= 0 && /^\s*(?:,|and|or|,\s*and|,\s*or)\s*$/.test(text.slice(math[k]!.close, first.open));
      k--
    )
      first = math[k]!
    return trimmed(part(span, first.open, first.open + mathRun(text.slice(first.open))))
  }
  if (number) return trimmed(part(span, number.index, number.index + number[0].length))
  return text.length <= 60 ? trimmed(span) : null
}

/** Short enough, and free of prose, to be an answer by itself. */
const isBare = (text: string): boolean => text.trim() !== '' && text.length <= 400 && !hasProse(text.trim())

function hasProse(t: string): boolean {
  const prose = t
    .replace(/\$\$?[^$]*\$\$?|\\\([\s\S]*?\\\)|\\\[[\s\S]*?\\\]/g, ' ')
    .replace(/\\(?:text|mbox|mathrm|textbf|operatorname|begin|end|textit|mathbf)\s*\*?\{[^{}]*\}/g, ' ')
    .replace(/\\[a-zA-Z]+/g, ' ')
  const words = prose.match(/\p{L}{2,}/gu) ?? []
  const counted = words.filter(
    word => !/^(?:and|or|sin|cos|tan|log|ln|sqrt|pi|percent|pct|per|square|cubic|in|to|frac)$/i.test(word),
  )
  if (/\p{Script=Han}/u.test(prose)) return prose.replace(/\s/g, '').length > 12
  if (/\b(?:is|are|was|were|which|that|we|then|therefore|thus|so|hence|because|since|ago)\b/i.test(prose)) return true
  if (mathSegments(t).length > 0 && counted.length > 0) return counted.length > 2 || mathAt(t, 0) === null
  return counted.length > 5
}

function sentence(body: Span): Span | null {
  const lines = body.text.trimEnd()
  const sentences = [...lines.matchAll(/[^\n.!?。]+(?:[.!?](?!\s|$)[^\n.!?。]*)*[.!?。]?/g)].filter(match =>
    /[\d$\\]/.test(match[0]),
  )
  const math = mathSegments(lines).at(-1)
  const last = sentences.at(-1)
  if (!last) return null
  const at = math && math.close >= last.index + last[0].length - 2 && math.open < last.index ? math.open : last.index
  const span = trimmed(part(body, at, Math.max(last.index + last[0].length, at === math?.open ? math.close : 0)))
  if (isBare(span.text) && span.text.length === lines.trim().length) return null
  return refine(span)
}

function lastValue(body: Span): Span | null {
  if (isBare(body.text)) return null
  const math = mathSegments(body.text).at(-1)
  const number = [...body.text.matchAll(NUMBER)].at(-1)
  if (math && (!number || number.index < math.close)) return trimmed(part(body, math.open, math.close))
  return number ? trimmed(part(body, number.index, number.index + number[0].length)) : null
}

const whole = (body: Span): Span | null => (isBare(body.text) ? trimmed(body) : null)

/** How much white space, emphasis and punctuation ends a text; an ellipsis is no full stop. */
function closing(text: string): number {
  let end = text.length
  while (end > 0) {
    const c = text[end - 1]!
    if (/[\s,;:*。]/.test(c) || (c === '.' && text[end - 2] !== '.')) end--
    else if (c === '_' && text[end - 2] === '_') end -= 2
    else if (c === '\\' && text[end - 2] === '\\') end -= 2
    else break
  }
  return text.length - end
}

/** Without white space, emphasis, delimiters and closing punctuation around it. */
function trimmed(span: Span): Span {
  let { text, start, end } = span
  for (;;) {
    const lead = /^(?:\s|\*\*|__|[:：*])+/.exec(text)?.[0].length ?? 0
    const rest = text.slice(lead)
    const tail = closing(rest)
    const math = mathAt(rest.slice(0, rest.length - tail), 0)
    const inner = math && math.close === rest.length - tail ? math : null
    const [from, to] = inner ? [lead + inner.from, lead + inner.to] : [lead, text.length - tail]
    if (from === 0 && to === text.length) return { text, start, end }
    if (from >= to) return { text: '', start, end: start }
    ;[text, start, end] = [text.slice(from, to), start + from, start + to]
  }
}

const CHOICE = /(?:^|[^\p{L}\\])\(?([A-J])\)?(?=$|[^\p{L}'’])/gu

function narrow(span: Span, kind: AnswerKind): Span | null {
  if (kind === 'any') return span
  if (kind === 'choice') {
    const found = [...span.text.matchAll(CHOICE)]
    const match = found.at(span.text.length < 40 ? 0 : -1)
    if (!match) return null
    const at = match.index + match[0].lastIndexOf(match[1]!)
    return part(span, at, at + 1)
  }
  const numbers = [...span.text.matchAll(NUMBER)]
  const match = numbers.at(-1)
  return match ? trimmed(part(span, match.index, match.index + match[0].length)) : null
}

/**
 * The answer in a string that may be a bare answer or a whole solution: a solution is recognised by a box, `####`, a
 * cue, or mathematics inside prose.
 */
export function bareAnswer(source: string): string {
  const text = source.trim()
  if (/boxed|fbox|####/.test(text) || hasProse(text)) return extractAnswer(text)?.text ?? text
  return HAS_CUE.test(text) ? (extractAnswer(text)?.text ?? text) : text
}
