/**
 * The story families: how each event is told, what it means, and how authors misread it.
 *
 * A number that runs through the story (`x`) starts at a given value and every event moves it. One wording has one
 * right reading; some have a misreading that a share of the authors holds. The same calculation is right under one
 * wording and wrong under another ("keeps a third", "loses a third"), so no step can be judged without its story.
 */

export type Operator = '+' | '-' | '*' | '/'

/** What the result of a step is said to be; {@link phrases} says it in words. */
export type Claim = 'left' | 'total' | 'taken' | 'coming' | 'sharers' | 'each' | 'other'

/** One calculation: `claim` is `a operator b`. */
export interface Calculation {
  readonly claim: Claim
  readonly a: number
  readonly operator: Operator
  readonly b: number
}

/** The numbers that a sentence tells: `a` amount, `n` count of people or packs, `k` the share's denominator. */
export interface Told {
  readonly a: number
  readonly n: number
  readonly k: number
}

/** How one event is worked out from the running number; no calculation means that the event changes nothing. */
export type Reading = (x: number, told: Told) => readonly Calculation[]

export interface Wording {
  readonly text: string
  readonly right: Reading
  readonly misreading?: { readonly reading: Reading; readonly heldBy: number }
}

export interface Family {
  readonly name: string
  readonly opening: string
  readonly question: string
  readonly wordings: readonly Wording[]
}

/** Both ways in which authors say what a result is. */
export const phrases: Record<Claim, readonly [string, string]> = {
  left: ['That leaves', 'Left are'],
  total: ['That makes', 'Now there are'],
  taken: ['That takes', 'Gone are'],
  coming: ['New are', 'That brings'],
  sharers: ['They share by', 'Sharing are'],
  each: ['Each gets', 'One part is'],
  other: ['The other has', 'The other one has'],
}

const step = (claim: Claim, a: number, operator: Operator, b: number): Calculation => ({ claim, a, operator, b })

/** A distractor: the event changes nothing. */
export const nothing: Reading = () => []
const gain: Reading = (x, { a }) => [step('total', x, '+', a)]
const loss: Reading = (x, { a }) => [step('left', x, '-', a)]
const keepShare: Reading = (x, { k }) => [step('left', x, '/', k)]
const loseShare: Reading = (x, { k }) => [step('taken', x, '/', k), step('left', x, '-', Math.floor(x / k))]
const gainEach: Reading = (x, { a, n }) => [step('coming', n, '*', a), step('total', x, '+', n * a)]
const loseEach: Reading = (x, { a, n }) => [step('taken', n, '*', a), step('left', x, '-', n * a)]
const gainPairs: Reading = (x, { a }) => [step('coming', a, '*', 2), step('total', x, '+', a * 2)]
const double: Reading = x => [step('total', x, '*', 2)]
const gainDouble: Reading = x => [step('coming', x, '*', 2), step('total', x, '+', x * 2)]
const shareWith: Reading = (x, { n }) => [step('sharers', n, '+', 1), step('each', x, '/', n + 1)]
const shareAmong: Reading = (x, { n }) => [step('each', x, '/', n)]
const otherLess: Reading = (x, { a }) => [step('other', x, '-', a)]
const otherMore: Reading = (x, { a }) => [step('other', x, '+', a)]

const plain = (text: string, right: Reading): Wording => ({ text, right })
const trap = (text: string, right: Reading, reading: Reading, heldBy: number): Wording => ({
  text,
  right,
  misreading: { reading, heldBy },
})

/** In the texts: {who} and {pal} are names, {x} {a} {n} numbers, {part} is "half", "a third" and so on. */
export const families: readonly Family[] = [
  {
    name: 'marbles',
    opening: '{who} has {x} marbles.',
    question: 'How many marbles in the end?',
    wordings: [
      plain('{who} finds {a} more.', gain),
      plain('{who} loses {a} of them.', loss),
      plain('{who} wins {n} bags of {a}.', gainEach),
      trap('{who} keeps {part} of them.', keepShare, loseShare, 0.6),
      trap('{who} gives away {part} of them.', loseShare, keepShare, 0.36),
      trap('{n} friends bring {a} each.', gainEach, gain, 0.4),
      trap('{n} friends bring {a} in all.', gain, gainEach, 0.57),
      trap('{pal} shows {a} marbles too.', nothing, gain, 0.45),
      trap('That is {a} more than {pal} has. Go on with those of {pal}.', otherLess, otherMore, 0.58),
    ],
  },
  {
    name: 'bus',
    opening: 'A bus sets out with {x} people.',
    question: 'How many people are on it now?',
    wordings: [
      plain('{a} get on.', gain),
      plain('{a} get off.', loss),
      plain('At each of {n} stops {a} get off.', loseEach),
      trap('Only {part} stay on.', keepShare, loseShare, 0.42),
      trap('All but {part} stay on.', loseShare, keepShare, 0.62),
      trap('Then twice as many get on as are in it.', gainDouble, double, 0.6),
      trap('Then the number in it doubles.', double, gainDouble, 0.33),
      trap('{a} wait for the next bus.', nothing, gain, 0.38),
      trap('{a} couples get on.', gainPairs, gain, 0.56),
    ],
  },
  {
    name: 'bakery',
    opening: '{who} bakes {x} rolls.',
    question: 'How many rolls does that come to?',
    wordings: [
      plain('{a} more come out of the oven.', gain),
      plain('{a} are eaten.', loss),
      plain('{n} guests eat {a} each.', loseEach),
      trap('{part} of them are burnt.', loseShare, keepShare, 0.34),
      trap('{part} of them are not burnt.', keepShare, loseShare, 0.61),
      trap('{n} trays of {a} are added.', gainEach, gain, 0.37),
      trap('{n} trays with {a} on them in total are added.', gain, gainEach, 0.42),
      trap('A shop nearby sells {a}.', nothing, loss, 0.57),
      trap('{who} shares them with {n} friends and looks at one part.', shareWith, shareAmong, 0.59),
      trap('{who} shares them among {n} friends and looks at one part.', shareAmong, shareWith, 0.34),
    ],
  },
  {
    name: 'savings',
    opening: '{who} saves {x} coins.',
    question: 'How many coins is that at last?',
    wordings: [
      plain('{who} earns {a}.', gain),
      plain('{who} pays {a}.', loss),
      plain('{who} works {n} days for {a} a day.', gainEach),
      trap('{who} is left with {part}.', keepShare, loseShare, 0.39),
      trap('{who} is left without {part}.', loseShare, keepShare, 0.63),
      trap('{who} buys {n} pens at {a}.', loseEach, loss, 0.56),
      trap('{who} buys {n} pens for {a} together.', loss, loseEach, 0.38),
      trap('A coat for {a} stays in the shop.', nothing, loss, 0.41),
      trap('{pal} has {a} fewer. Go on with those of {pal}.', otherLess, otherMore, 0.3),
      trap('That is {a} fewer than {pal} has. Go on with those of {pal}.', otherMore, otherLess, 0.6),
    ],
  },
  {
    name: 'pond',
    opening: 'In a pond swim {x} fish.',
    question: 'How many fish swim there now?',
    wordings: [
      plain('{a} swim in from the river.', gain),
      plain('A heron takes {a}.', loss),
      plain('{n} herons take {a} each.', loseEach),
      trap('{part} of them survive the winter.', keepShare, loseShare, 0.58),
      trap('{part} of them die in winter.', loseShare, keepShare, 0.35),
      trap('Then twice as many come as are there.', gainDouble, double, 0.57),
      trap('Then they become twice as many.', double, gainDouble, 0.4),
      trap('{a} frogs sit by it.', nothing, gain, 0.35),
      trap('{a} pairs of fish are let in.', gainPairs, gain, 0.6),
    ],
  },
]

export const names: readonly string[] = ['Ada', 'Ben', 'Eva', 'Ivo', 'Lea', 'Max', 'Mia', 'Tom']
export const parts: Readonly<Record<number, string>> = { 2: 'half', 3: 'a third', 4: 'a quarter', 5: 'a fifth' }
