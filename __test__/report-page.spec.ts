import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { chromiumPath } from '../scripts/page/chromium.ts'
import { labelSample, type Sample, syntheticProblems, syntheticSample } from '../scripts/page/samples.ts'
import type { CandidateResult, ProblemResult, Summary } from '../src/evaluate/summary.ts'
import { filtersFor, scoredRules, searcher } from '../src/report/page/filters.ts'
import { paletteOf } from '../src/report/page/palette.ts'
import { renderReport, reportParts } from '../src/report/page.ts'
import { repository } from './helpers/fixtures.ts'

let small: Sample
let labelled: Sample
let browser: Browser | null = null
let folder = ''

test.before(async () => {
  small = await syntheticSample(40, 4)
  labelled = await labelSample(40)
  folder = await mkdtemp(join(tmpdir(), 'surefoot-page-'))
  const executablePath = chromiumPath()
  if (executablePath !== null) browser = await chromium.launch({ executablePath })
})

test.after.always(async () => {
  await browser?.close()
  await rm(folder, { recursive: true, force: true })
})

/** The data that a page carries. */
function dataIn(html: string): { summary: Summary; problems: ProblemResult[] } {
  return JSON.parse(/<script type="application\/json" id="data">([\s\S]*?)<\/script>/.exec(html)![1]!)
}

const hostile = [
  '</script><script>window.hacked = 1</script>',
  '<img src="x" onerror="window.hacked = 1">',
  '<!--<script>',
  '"><svg onload="window.hacked = 1">',
  'line\u2028separator\u2029paragraph',
  'right-to-left \u202e override and \u200f mark',
  '\ud800 half a character \0',
  '&lt;b&gt; & `',
]
const everything = hostile.join(' ')

function hostileSample(): Sample {
  const dirty = (candidate: CandidateResult): CandidateResult => ({
    ...candidate,
    steps: [everything, ...candidate.steps.slice(1)],
    answer: everything,
    failure: everything,
    generator: everything,
  })
  const problems = small.problems.map((problem, index) => ({
    ...problem,
    id: `${hostile[index % hostile.length]}${index}`,
    problem: everything,
    answer: everything,
    group: everything,
    recorded: { [everything]: 1 },
    candidates: problem.candidates.map(dirty),
  }))
  const row = { file: everything, line: 1, field: everything, expected: everything, got: everything }
  const summary: Summary = {
    ...small.summary,
    name: everything,
    warnings: [everything],
    configuration: { [everything]: everything, nested: { [everything]: [everything] } },
    versions: { [everything]: everything },
    rows: { ...small.summary.rows, rejected: 1, examples: [row] },
    recorded: [{ name: everything, rule: 'majority', agree: 1, count: 2 }],
    firstError: {
      rows: labelled.summary.firstError!.rows.map(row => ({ ...row, group: `${everything} ${row.group}` })),
    },
  }
  return { summary, problems }
}

test('a page carries all of its data, whatever the text', async t => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(...hostile),
    fc.constantFrom('</SCRIPT >', ']]>', '\\'),
  )
  await fc.assert(
    fc.asyncProperty(text, text, text, async (id, problem, step) => {
      const base = small.problems[0]!
      const candidates = [{ ...base.candidates[0]!, steps: [step] }]
      const sent = {
        summary: { ...small.summary, name: id },
        problems: [{ ...base, id, problem, candidates, choices: [] }],
      }
      t.deepEqual(dataIn(await renderReport(sent.summary, sent.problems)), JSON.parse(JSON.stringify(sent)))
    }),
    { numRuns: 60 },
  )
})

test('a page is one script that its policy names by hash, and no data can add another', async t => {
  const { summary, problems } = hostileSample()
  const html = await renderReport(summary, problems)
  const scripts = [...html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/gi)]
  t.deepEqual(
    scripts.map(([, attributes]) => attributes),
    [' type="application/json" id="data"', ''],
  )
  const hash = createHash('sha256').update(scripts[1]![2]!).digest('base64')
  const policy = /<meta http-equiv="Content-Security-Policy" content="([^"]+)">/.exec(html)![1]!
  t.deepEqual(policy.split('; '), [
    "default-src 'none'",
    `script-src 'sha256-${hash}'`,
    "style-src 'unsafe-inline'",
    "base-uri 'none'",
    "form-action 'none'",
  ])
  const rest = scripts.reduce((text, [script]) => text.replace(script, ''), html)
  t.notRegex(rest, /<(link|img|iframe|base|script|svg)\b|@import|url\(|https?:/)
  t.is(/<title>([\s\S]*?)<\/title>/.exec(html)![1]!.match(/[<>"']/g), null)
})

test('the pieces of a page come one problem at a time', async t => {
  let asked = 0
  async function* lines(): AsyncGenerator<ProblemResult> {
    for (const problem of small.problems) {
      asked++
      yield problem
    }
  }
  const parts: string[] = []
  for await (const part of reportParts(small.summary, lines())) {
    parts.push(part)
    t.true(asked <= parts.length)
  }
  t.is(parts.join(''), await renderReport(small.summary, small.problems))
})

test('what is bundled is named with its licence, in dist and in every report', async t => {
  const notices = await readFile(join(repository, 'dist', 'THIRD_PARTY.txt'), 'utf8')
  const html = await renderReport(small.summary, [])
  const names = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')).dependencies
  for (const text of [notices, html]) {
    t.regex(text, /^@observablehq\/plot \d+\.\d+\.\d+ \(ISC\)$/m)
    t.regex(text, /^d3-scale \d+\.\d+\.\d+ \(ISC\)$/m)
    t.regex(text, /Copyright 2010-\d+ Mike Bostock/)
    t.regex(text, /Permission to use, copy, modify, and\/or distribute this software/)
  }
  for (const name of Object.keys(names)) t.notRegex(notices, new RegExp(`^${name} \\d`, 'm'))
})

function candidate(
  group: number | null,
  correct: boolean,
  scores: number[],
  labels?: (number | null)[],
): CandidateResult {
  const steps = scores.map((_, step) => `step ${step}`)
  const answer = group === null ? null : String(group)
  const base = { steps, scores, score: null, answer, group, correct, tokens: null, prmTokens: null, ms: null }
  return { ...base, ...(labels && { labels }) }
}

const prm = 'best-of-n (min)'

function problem(
  id: string,
  candidates: CandidateResult[],
  majority: [number[], number],
  own: [number[], number],
): ProblemResult {
  const choices = [
    { rule: 'majority', chosen: majority[0], right: majority[1] },
    { rule: prm, chosen: own[0], right: own[1] },
  ]
  return { id, problem: `the problem ${id}`, answer: '0', candidates, choices }
}

const right = candidate(0, true, [0.9, 0.9])
const wrong = candidate(1, false, [0.9, 0.2])
const cases = [
  problem('agree', [right, right, wrong], [[0], 1], [[1], 1]),
  problem('prm right', [wrong, wrong, right], [[0], 0], [[2], 1]),
  problem('prm wrong', [right, right, wrong], [[0], 1], [[2], 0]),
  problem('majority ties with it', [right, wrong], [[0, 1], 0.5], [[0], 1]),
  problem('prm ties without it', [right, wrong, candidate(2, false, [0.9])], [[0], 1], [[1, 2], 0]),
  problem('weak but right', [candidate(0, true, [0.1, 0.9])], [[0], 1], [[0], 1]),
  problem('labelled wrong', [candidate(0, true, [0.9, 0.9], [1, 0])], [[0], 1], [[0], 1]),
  problem('labelled right', [candidate(0, true, [0.1, 0.9], [1, 1])], [[0], 1], [[0], 1]),
  problem('hopeless', [wrong, candidate(null, false, [0.4])], [[0], 0], [[0], 0]),
]

function keptBy(summary: Summary, problems: readonly ProblemResult[]): Record<string, string[]> {
  const filters = filtersFor(summary, prm)
  return Object.fromEntries(filters.map(({ id, keeps }) => [id, problems.filter(keeps).map(({ id }) => id)]))
}

test('filters keep the problems that they say', t => {
  const { all, ...kept } = keptBy({ ...small.summary, scores: { ...small.summary.scores!, threshold: 0.5 } }, cases)
  t.is(all!.length, cases.length)
  t.deepEqual(kept, {
    disagree: ['prm right', 'prm wrong', 'prm ties without it'],
    'prm-wrong': ['prm wrong', 'prm ties without it'],
    'prm-right': ['prm right'],
    'bad-step': ['weak but right', 'labelled wrong'],
    'all-wrong': ['hopeless'],
  })
})

test('filters of labelled solutions hold the first weak step against the first wrong one', t => {
  const solution = (id: string, firstError: number, scores: number[]): ProblemResult => ({
    ...problem(id, [candidate(null, firstError === -1, scores)], [[], 0], [[], 0]),
    choices: [],
    firstError,
  })
  const { all, ...kept } = keptBy(labelled.summary, [
    solution('found', 1, [0.9, 0.1, 0.1]),
    solution('too late', 0, [0.9, 0.1]),
    solution('missed', 1, [0.9, 0.9]),
    solution('cried wolf', -1, [0.9, 0.1]),
    solution('right', -1, [0.9, 0.9]),
  ])
  t.is(all!.length, 5)
  t.deepEqual(kept, { found: ['found'], misplaced: ['too late'], missed: ['missed'], 'false-alarm': ['cried wolf'] })
})

test('a search finds problems by all of its words, anywhere and in any case', t => {
  const matches = searcher(cases)
  const found = (query: string): string[] => cases.filter(one => matches(one, query)).map(({ id }) => id)
  t.is(found('  ').length, cases.length)
  t.deepEqual(found('PRM  right'), ['prm right'])
  t.deepEqual(found('step hopeless'), ['hopeless'])
  t.deepEqual(found('nowhere'), [])
})

test('every rule has a look of its own, and keeps it whichever others there are', t => {
  const names = small.summary.curves.map(({ rule }) => rule)
  const looks = paletteOf(names)
  t.is(new Set([...looks.values()].map(look => JSON.stringify(look))).size, names.length)
  for (const name of names) t.deepEqual(paletteOf([name]).get(name), looks.get(name))
  t.is(looks.get('best-of-n (min)')!.color, looks.get('weighted vote (min)')!.color)
  t.deepEqual(scoredRules(small.summary, small.problems).length, 14)
})

interface Visit {
  readonly page: Page
  /** What the page said on its console, threw, or asked for beside itself. */
  readonly noise: string[]
}

/** Opens the report of a sample; null, out loud, without a Chromium. */
async function visit(
  t: ExecutionContext,
  { summary, problems }: Sample,
  options: BrowserContextOptions & { hash?: string } = {},
): Promise<Visit | null> {
  if (browser === null) {
    t.log('NOT RUN: no Chromium; install one or name it in CHROMIUM')
    t.pass()
    return null
  }
  const { hash = '', ...context } = options
  const file = join(folder, `${createHash('sha256').update(t.title).digest('hex')}.html`)
  await writeFile(file, await renderReport(summary, problems))
  const page = await browser.newPage(context)
  const noise: string[] = []
  page.on('console', message => noise.push(message.text()))
  page.on('pageerror', error => noise.push(String(error)))
  page.on('request', request => {
    if (!request.url().startsWith(pathToFileURL(file).href)) noise.push(request.url())
  })
  await page.goto(pathToFileURL(file).href + hash)
  await page.locator('figure svg').first().waitFor()
  return { page, noise }
}

const opened = (page: Page) => page.locator('article h3').textContent({ timeout: 5_000 })
const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)

for (const kind of ['candidates', 'labels'] as const) {
  for (const width of [1240, 360]) {
    test.serial(
      `a report on ${kind} opens quietly at ${width} px, in light, dark and print, and never scrolls sideways`,
      async t => {
        const sample = kind === 'labels' ? labelled : small
        const hash = `#problem=${encodeURIComponent(sample.problems[1]!.id)}`
        const visited = await visit(t, sample, { viewport: { width, height: 800 }, hash })
        if (visited === null) return
        const { page, noise } = visited
        const backgrounds: string[] = []
        for (const media of [
          { colorScheme: 'light' },
          { colorScheme: 'dark' },
          { colorScheme: 'dark', media: 'print' },
        ] as const) {
          await page.emulateMedia(media)
          backgrounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor))
          if (!('media' in media)) t.is(await overflow(page), 0)
        }
        t.is(backgrounds[2], backgrounds[0])
        t.not(backgrounds[1], backgrounds[0])
        t.false(await page.locator('#problems').isVisible())
        t.true(await page.locator('figure svg').first().isVisible())
        t.deepEqual(noise, [])
      },
    )
  }
}

test.serial('every plot says what it shows and has its numbers as a table with heads', async t => {
  const visited = await visit(t, small)
  if (visited === null) return
  const { page } = visited
  const figures = page.locator('figure')
  const ids = await figures.evaluateAll(all => all.map(({ id }) => id))
  t.deepEqual(ids, [
    'differences',
    'curve-n',
    'curve-tokens',
    'curve-time',
    'reliability',
    'by-position',
    'first-weak',
    'surface',
    'agreement',
  ])
  for (const id of ids) {
    const figure = page.locator(`#${id}`)
    t.regex((await figure.getByRole('img').first().getAttribute('aria-label')) ?? '', /\w{5}/)
    t.true(await figure.locator('svg').first().isVisible(), id)
    await figure.locator('summary').click()
    await figure.locator('tbody tr').first().waitFor()
  }
  const bad = await page
    .locator('table')
    .evaluateAll(tables =>
      tables
        .filter(
          table =>
            !table.querySelector('caption')?.textContent ||
            [...table.querySelectorAll('th')].some(head => !head.hasAttribute('scope')),
        )
        .map(table => table.textContent),
    )
  t.deepEqual(bad, [])
})

test.serial('the headline table says the numbers of the summary and marks unequal budgets', async t => {
  const visited = await visit(t, small)
  if (visited === null) return
  const { page } = visited
  const row = page.locator('table.headline tbody tr').filter({ hasText: 'best-of-n (last)' })
  const { accuracy } = small.summary.rules.find(({ rule, n }) => rule === 'best-of-n (last)' && n === 4)!
  const shown = (share: number): string => (share * 100).toFixed(1)
  t.true(
    (await row.textContent())!.includes(`${shown(accuracy.value)} [${shown(accuracy.low)}, ${shown(accuracy.high)}]`),
  )
  const { budgets } = small.summary.comparisons.find(({ rule, n }) => rule === 'best-of-n (last)' && n === 4)!
  t.is(await row.locator('.unequal').textContent(), `≠ ${(budgets[0]! / budgets[1]!).toFixed(2)}×`)
  const first = () => page.locator('table.headline tbody th').first().textContent()
  t.is(await first(), 'pass')
  await page.getByRole('button', { name: 'accuracy, %' }).click()
  await page.getByRole('button', { name: 'accuracy, %' }).click()
  t.not(await first(), 'pass')
  t.is(await page.locator('th[aria-sort]').getAttribute('aria-sort'), 'ascending')
})

test.serial('rules and kinds of tokens can be chosen for the curves', async t => {
  const visited = await visit(t, small)
  if (visited === null) return
  const { page } = visited
  const lines = () => page.locator('#curve-tokens [aria-label=line] path').count()
  const before = await lines()
  await page.locator('.legend').getByRole('button', { name: 'best-of-n (max)', exact: true }).click()
  t.is(await lines(), before + 1)
  const ticks = () => page.locator('#curve-tokens [aria-label="x-axis tick label"]').textContent()
  const counted = await ticks()
  await page.locator('#curve-tokens').getByLabel('PRM').uncheck()
  t.not(await ticks(), counted)
  t.true(await page.locator('#curve-tokens').getByLabel('prefill').isDisabled())
})

test.serial('keys go through the problems, and the address follows', async t => {
  const visited = await visit(t, small)
  if (visited === null) return
  const { page } = visited
  const ids = small.problems.map(({ id }) => id)
  for (const [key, index] of [
    ['j', 0],
    ['j', 1],
    ['k', 0],
    ['k', 0],
  ] as const) {
    await page.keyboard.press(key)
    t.is(await opened(page), ids[index]!)
    t.is(await page.evaluate(() => location.hash), `#problem=${encodeURIComponent(ids[index]!)}`)
  }
  await page.locator('.list a').first().focus()
  for (let i = 0; i < 26; i++) await page.keyboard.press('ArrowDown')
  t.is(await opened(page), ids[26]!)
  t.is(
    await page.evaluate(() => document.activeElement?.getAttribute('href')),
    `#problem=${encodeURIComponent(ids[26]!)}`,
  )
  t.not(await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle), 'none')
  await page.keyboard.press('/')
  await page.keyboard.type('SYNTHETIC/007 nowhere')
  t.is(await page.locator('[role=status]').textContent(), '0 of 40 problems')
  for (let i = 0; i < 7; i++) await page.keyboard.press('Backspace')
  await page.keyboard.press('Enter')
  t.is(await opened(page), ids[7]!)
  await page.keyboard.press('Escape')
  t.is(await page.evaluate(() => document.activeElement?.tagName), 'BODY')
})

test.serial('an address opens its problem, and one that names none says so', async t => {
  const visited = await visit(t, small, { hash: `#problem=${encodeURIComponent(small.problems[30]!.id)}` })
  if (visited === null) return
  const { page, noise } = visited
  t.is(await opened(page), small.problems[30]!.id)
  t.is(await page.locator('.list [aria-current]').count(), 1)
  for (const hash of ['#problem=%E0%A4', '#problem=constructor']) {
    await page.evaluate(to => location.replace(to), hash)
    await page.getByText('No problem is called').waitFor()
  }
  t.deepEqual(noise, [])
})

test.serial('filters show as many problems as they say', async t => {
  const visited = await visit(t, small)
  if (visited === null) return
  const { page } = visited
  const rule = scoredRules(small.summary, small.problems)[0]!
  let some = 0
  for (const { id, keeps } of filtersFor(small.summary, rule)) {
    const expected = small.problems.filter(keeps).length
    const chip = page.locator(`[data-filter=${id}]`)
    await chip.click()
    t.is(await chip.locator('.count').textContent(), String(expected), id)
    t.is(await page.locator('[role=status]').textContent(), `${expected} of 40 problems`, id)
    t.is(await page.locator('.list a').count(), Math.min(25, expected), id)
    if (expected > 0 && expected < 40) some++
  }
  t.true(some >= 3)
  await page.getByLabel('PRM chooses by').selectOption('best-of-n (max)')
  const kept = filtersFor(small.summary, 'best-of-n (max)').find(({ id }) => id === 'prm-wrong')!
  const expected = String(small.problems.filter(kept.keeps).length)
  t.is(await page.locator('[data-filter=prm-wrong] .count').textContent(), expected)
})

test.serial('hostile text is shown as text and runs nothing', async t => {
  const sample = hostileSample()
  const visited = await visit(t, sample, { viewport: { width: 360, height: 740 } })
  if (visited === null) return
  const { page, noise } = visited
  for (let i = 0; i < hostile.length; i++) await page.keyboard.press('j')
  t.is(await opened(page), sample.problems[hostile.length - 1]!.id.toWellFormed())
  await page.locator('.provenance > summary').click()
  for (const figure of await page.locator('figure summary').all()) await figure.click()
  t.is(await page.evaluate(() => 'hacked' in window), false)
  t.is(await page.locator('img, iframe, object, script:not(#data):not(:last-of-type)').count(), 0)
  t.true((await page.locator('.step .quoted').first().textContent())!.includes('<img src="x" onerror='))
  t.is(await overflow(page), 0)
  t.deepEqual(noise, [])
})

test.serial('the policy stops every connection', async t => {
  const visited = await visit(t, small)
  if (visited === null) return
  const blocked = await visited.page.evaluate(async () => {
    const violation = new Promise<string>(resolve => {
      document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective))
    })
    await fetch('https://example.invalid/').catch(() => {})
    return await violation
  })
  t.is(blocked, 'connect-src')
})

test.serial('the page stays small with 500 problems of 16 candidates', async t => {
  const problems = syntheticProblems(500, 16)
  const visited = await visit(t, { summary: small.summary, problems })
  if (visited === null) return
  const { page, noise } = visited
  const nodes = () => page.evaluate(() => document.querySelectorAll('*').length)
  const closed = await nodes()
  t.true(closed < 4_000, `${closed} elements`)
  for (const index of [3, 20]) {
    await page.locator('.list a').nth(index).click()
    t.is(await opened(page), problems[index]!.id)
    t.is(await page.locator('.candidate').count(), 16)
    const added = (await nodes()) - closed
    t.true(added < 2_000, `${added} elements more`)
  }
  await page.getByRole('button', { name: 'next ›' }).click()
  t.is(await page.locator('.list a').count(), 25)
  t.true((await page.locator('.list a').first().textContent())!.includes(problems[25]!.id))
  t.deepEqual(noise, [])
})
