import test from 'ava'
import fc from 'fast-check'
import { KeyTable, normalised } from '../src/annotate/collect-keys.ts'
import { parseQuota } from '../src/annotate/collect-quotas.ts'
import { TestProblems, wordsOf } from '../src/annotate/contamination.ts'
import { failureOf } from './helpers/fixtures.ts'

const text = fc
  .array(fc.constantFrom('a', 'B', 'cd', '7', 'é', 'ß', '数', '学', ',', '$', '\\frac', '+', '\n'), { maxLength: 14 })
  .map(parts => parts.join(' '))

test('overlaps are those of the plain definition: n words in a row in common, or the same short problem', t => {
  const gramsOf = (whole: string, n: number): string[] => {
    const words = wordsOf(whole)
    return Array.from({ length: Math.max(0, words.length - n + 1) }, (_, at) => words.slice(at, at + n).join(' '))
  }
  const signs = (whole: string): string => whole.toLowerCase().replaceAll(/[^\p{L}\p{N}+]/gu, '')
  let found = 0
  const property = fc.property(
    fc.array(fc.tuple(text, fc.nat(31)), { maxLength: 4 }),
    text,
    fc.array(text, { maxLength: 3 }),
    fc.integer({ min: 1, max: 4 }),
    (tests, problem, steps, n) => {
      const problems = new TestProblems(n)
      let expected = 0
      const grams = gramsOf([problem, ...steps].join('\n'), n)
      for (const [one, set] of tests) {
        const short = wordsOf(one).length < n
        t.is(problems.add(one, set), short)
        const same = signs(one) !== '' && signs(one) === signs(problem) && wordsOf(problem).length < n
        const shared = gramsOf(one, n).some(gram => grams.includes(gram))
        if (short ? same : shared) expected |= 1 << set
      }
      const overlap = problems.overlap(problem, steps)
      t.is(overlap?.sets ?? 0, expected)
      if (overlap) found++
    },
  )
  t.notThrows(() => fc.assert(property, { numRuns: 4000, seed: 1 }))
  t.true(found > 400, `${found}`)
})

test('words are runs of letters and digits, in any script; where no blanks stand between words, characters', t => {
  t.deepEqual(wordsOf('Let $x_1 = \\frac{3}{4}$, i.e. "ÉTÉ" ﬁn.'), [
    'let',
    'x',
    '1',
    'frac',
    '3',
    '4',
    'i',
    'e',
    'été',
    'fin',
  ])
  t.deepEqual(wordsOf('求x的值。'), ['求', 'x', '的', '值'])
  t.deepEqual(wordsOf('сколько яблок?'), ['сколько', 'яблок'])
  t.deepEqual(wordsOf('?!'), [])
  const problems = new TestProblems(13)
  problems.add('小明有十九只羊，除了七只以外都跑了，还剩几只？', 0)
  t.is(problems.overlap('问：小明有十九只羊，除了七只以外都跑了。', [])?.sets, 1)
  t.is(problems.overlap('问：小红有二十只羊。', []), null)
})

test('normalised text is the same for what is the same to the eye', t => {
  for (const [a, b] of [
    [' Let  X\tbe\r\n1 ', 'let x be 1'],
    ['e\u0301', '\u00c9'],
    ['a\u200b\ufeffb', 'AB'],
    ['a\u00a0b', 'a b'],
  ] as const) {
    t.is(normalised(a), normalised(b))
  }
  for (const [a, b] of [
    ['x²', 'x2'],
    ['a-b', 'ab'],
    ['1+1', '1 + 1'],
  ] as const)
    t.not(normalised(a), normalised(b))
})

test('a table of keys numbers them as a map does', t => {
  const words = fc.array(fc.tuple(fc.nat(2 ** 20), fc.nat(3)), { maxLength: 3000 })
  const property = fc.property(words, keys => {
    const [table, map] = [new KeyTable(), new Map<string, number>()]
    for (const [high, low] of keys) {
      const name = `${high} ${low}`
      t.is(table.find(high, low), map.get(name) ?? -1)
      if (!map.has(name)) map.set(name, map.size)
      t.is(table.add(high, low), map.get(name)!)
    }
    t.is(table.size, map.size)
  })
  t.notThrows(() => fc.assert(property, { numRuns: 30, seed: 1 }))
})

test('quotas in words', async t => {
  t.deepEqual(parseQuota('source=400000'), { by: ['source'], most: 400_000 })
  t.deepEqual(parseQuota('total=5'), { by: [], most: 5 })
  t.deepEqual(parseQuota('source:org/name+topic+difficulty:0.2-0.4=7'), {
    by: ['topic'],
    where: { source: 'org/name', difficulty: '0.2-0.4' },
    most: 7,
  })
  t.deepEqual(parseQuota('topic:a=b+c: d=0'), { by: [], where: { topic: 'a=b+c: d' }, most: 0 })
  for (const text of ['source', 'source=', 'source=-1', 'source=1.5', '=3', 'size=3', 'source+size=3']) {
    t.regex(await failureOf((async () => parseQuota(text))()), /^ERR_INVALID_ARGUMENT: quota/, text)
  }
})
