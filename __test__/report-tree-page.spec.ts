import { mkdtempSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { chromiumPath } from '../scripts/page/chromium.ts'
import { syntheticSolved } from '../scripts/page/tree-samples.ts'
import { beam, mcts, Policy, PRM, type Solved, type SolveOptions, type Strategy, solve } from '../src/index.ts'
import { CARD, layOut } from '../src/report/tree/layout.ts'
import { pathTo, rowsOf, shownOf } from '../src/report/tree/rows.ts'
import { type SearchTree, searchTree, treePage } from '../src/report/tree.ts'

const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. 8 frogs sit by it. How many fish swim there now?'
const folder = mkdtempSync(join(tmpdir(), 'surefoot-tree-page-'))
let browser: Browser | null = null
test.before(async () => {
  const executablePath = chromiumPath()
  if (executablePath !== null) browser = await chromium.launch({ executablePath })
})
test.after.always(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true, force: true })
})

let files = 0

async function searched(strategy: Strategy, more: Partial<SolveOptions> = {}): Promise<[string, Solved]> {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const journal = join(folder, `${files++}.jsonl`)
  const options = { policy, prm, strategy, sampling: { temperature: 1 }, seed: 3, journal, ...more }
  return [journal, await solve(problem, options)]
}

const hostile =
  '</script><script>window.hacked = 1</script> <img src="x" onerror="window.hacked = 1"> <!--<script> line\u2028separator \u202e override \ud800 half \0'

/** Opens a page; null, out loud, without a Chromium. */
async function visit(
  t: ExecutionContext,
  html: string,
  options: BrowserContextOptions & { hash?: string } = {},
): Promise<{ page: Page; noise: string[] } | null> {
  if (browser === null) {
    t.log('NOT RUN: no Chromium; install one or name it in CHROMIUM')
    t.pass()
    return null
  }
  const { hash = '', ...context } = options
  const file = join(folder, `${files++}.html`)
  await writeFile(file, html)
  const page = await browser.newPage({ reducedMotion: 'reduce', ...context })
  const noise: string[] = []
  page.on('console', message => noise.push(message.text()))
  page.on('pageerror', error => noise.push(String(error)))
  page.on('request', request => {
    if (!request.url().startsWith(pathToFileURL(file).href)) noise.push(request.url())
  })
  await page.goto(pathToFileURL(file).href + hash)
  await settled(page)
  return { page, noise }
}

const settled = (page: Page): Promise<unknown> =>
  page.evaluate(
    () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30)))),
  )
const selected = (page: Page) => page.locator('.detail h3').textContent({ timeout: 5_000 })
/** What the canvas shows, as one short text. */
const picture = (page: Page): Promise<string> =>
  page.evaluate(async () => {
    const canvas = document.querySelector('canvas')!
    const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height })
    const context = copy.getContext('2d', { willReadFrequently: true })!
    context.drawImage(canvas, 0, 0)
    const { data } = context.getImageData(0, 0, copy.width, copy.height)
    let hash = 0
    for (const [at, byte] of data.entries()) hash = (Math.imul(hash, 31) + byte * (1 + (at % 7))) | 0
    return `${canvas.width}x${canvas.height} ${hash} ${data.slice(0, 3)}`
  })

/** Where a row's card is on the canvas after the whole tree was fitted into it. */
async function placeOf(page: Page, tree: SearchTree, node: number): Promise<[number, number]> {
  const rows = rowsOf(tree.nodes)
  const layout = layOut(rows, shownOf(rows, { most: 10_000, kept: [], opened: 0, pruned: true }))
  const box = (await page.locator('canvas').boundingBox())!
  const zoom = Math.min(1.2, (box.width - 32) / layout.width, (box.height - 32) / layout.height)
  const place = rows.findIndex(row => row.node.node === node)
  const at = (from: number, edge: number, room: number, whole: number, half: number): number =>
    from + (room - whole * zoom) / 2 + (edge + half) * zoom
  return [
    at(box.x, layout.x[place]!, box.width, layout.width, CARD.width / 2),
    at(box.y, layout.y[place]!, box.height, layout.height, CARD.height / 2),
  ]
}

for (const width of [1240, 360]) {
  test.serial(`a tree opens quietly at ${width} px, in light, dark and print, and never scrolls sideways`, async t => {
    const [journal] = await searched(mcts({ simulations: 8 }), { budget: { policyTokens: 5000 } })
    const visited = await visit(t, await treePage(journal), { viewport: { width, height: 800 } })
    if (visited === null) return
    const { page, noise } = visited
    const pictures: string[] = []
    for (const media of [
      { colorScheme: 'light' },
      { colorScheme: 'dark' },
      { colorScheme: 'dark', media: 'print' },
    ] as const) {
      await page.emulateMedia(media)
      await settled(page)
      pictures.push((await picture(page)).split(' ').at(-1)!)
      if (!('media' in media)) {
        t.is(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0)
      }
    }
    t.deepEqual(pictures, ['255,255,255', '20,22,26', '255,255,255'])
    await page.emulateMedia({ colorScheme: 'light', media: null })
    await page.getByRole('button', { name: 'theme: auto' }).click()
    await page.getByRole('button', { name: 'theme: light' }).click()
    await settled(page)
    t.is((await picture(page)).split(' ').at(-1), '20,22,26')
    t.deepEqual(noise, [])
  })
}

test.serial('the head says problem, strategy, answer, budget and what was spent of it', async t => {
  const [journal, solved] = await searched(mcts({ simulations: 50 }), { budget: { generations: 30 } })
  const visited = await visit(t, await treePage(journal))
  if (visited === null) return
  const { page } = visited
  const head = (await page.locator('header.top').textContent())!
  t.is(solved.limit, 'generations')
  for (const text of ['Search: mcts', problem, `Answer ${solved.answer}`, 'The budget ended it: generations']) {
    t.true(head.includes(text), text)
  }
  const cells = await page.locator('.spent tbody tr').evaluateAll(rows => rows.map(row => row.textContent))
  t.is(cells.length, 3)
  t.true(cells[0]!.includes(String(solved.spent.policyTokens)) && cells[1]!.startsWith('budget30'))
  await page.locator('.provenance summary').click()
  t.true((await page.locator('.facts').first().textContent())!.includes('simulations'))
  const rows = await page.locator('#answers tbody tr').evaluateAll(rows => rows.map(row => row.textContent))
  const chosen = rows.find(row => row!.endsWith('chosen'))!
  const votes = solved.solutions.filter(({ answer }) => answer === solved.answer).length
  t.true(chosen.startsWith(`${solved.answer}${votes}`), chosen)
})

test.serial('keys go from node to node, and the address and the detail follow', async t => {
  const [journal] = await searched(beam({ width: 3 }))
  const tree = searchTree(journal)
  const rows = rowsOf(tree.nodes)
  const path = pathTo(
    rows,
    rows.findIndex(({ node }) => node.node === tree.chosen),
  )
  const name = (place: number): string => `Node ${rows[place]!.node.node}`
  const visited = await visit(t, await treePage(journal))
  if (visited === null) return
  const { page, noise } = visited
  t.is(await selected(page), name(path.at(-1)!))
  await page.locator('canvas').focus()
  const press = async (key: string): Promise<string | null> => {
    await page.keyboard.press(key)
    return selected(page)
  }
  t.is(await press('Home'), 'The problem')
  for (const place of path.slice(1)) {
    t.is(await press('ArrowRight'), name(place))
    t.is(await page.evaluate(() => location.hash), `#node=${rows[place]!.node.node}`)
  }
  t.is(await press('ArrowLeft'), name(path.at(-2)!))
  t.is(await press('End'), name(path.at(-1)!))
  await press('Home')
  await press('ArrowRight')
  const first = rows[0]!.children
  const at = first.indexOf(path[1]!)
  const next = first[at + 1] ?? first[at - 1]!
  t.is(await press(at + 1 < first.length ? 'ArrowDown' : 'ArrowUp'), name(next))
  t.regex((await page.locator('.spoken').textContent())!, new RegExp(`^${name(next)}, \\d+ of ${first.length}, value`))
  const { node } = rows[path.at(-1)!]!
  await press('End')
  const detail = (await page.locator('.detail').textContent())!
  for (const text of [...node.steps, node.answer!, 'value', 'policy tokens', 'PRM tokens', 'The whole path']) {
    t.true(detail.includes(text), text)
  }
  t.is(await page.locator('.part').count(), path.length - 1)
  await press('+')
  await settled(page)
  const still = await picture(page)
  await press('0')
  await settled(page)
  const whole = await picture(page)
  t.not(whole, still)
  await press('+')
  await settled(page)
  t.not(await picture(page), whole)
  await page.keyboard.press('Escape')
  t.is(await page.locator('.detail h3').count(), 0)
  await page.evaluate(() => location.replace('#node=1'))
  await page.locator('.detail h3').waitFor()
  t.is(await selected(page), 'Node 1')
  t.deepEqual(noise, [])
})

test.serial('a click selects, a drag moves the tree, and a wheel and a pinch zoom about where they are', async t => {
  const tree = searchTree(syntheticSolved(40))
  const visited = await visit(t, await treePage(syntheticSolved(40)), { hasTouch: true })
  if (visited === null) return
  const { page, noise } = visited
  const fitWhole = async (): Promise<void> => {
    await page.getByRole('button', { name: 'fit the whole tree' }).click()
    await settled(page)
  }
  await fitWhole()
  for (const node of [0, 7, 23, 40]) {
    await page.mouse.click(...(await placeOf(page, tree, node)))
    t.is(await selected(page), node === 0 ? 'The problem' : `Node ${node}`)
    await settled(page)
    await fitWhole()
  }
  const [x, y] = await placeOf(page, tree, 23)
  const click = async (x: number, y: number): Promise<string | null> => {
    await page.mouse.click(x, y)
    return (await page.locator('.detail h3').count()) === 0 ? null : selected(page)
  }
  const box = (await page.locator('canvas').boundingBox())!
  t.is(await click(box.x + 4, box.y + 4), null)
  await fitWhole()
  await page.mouse.move(x, y)
  await page.mouse.down()
  await page.mouse.move(x - 30, y - 60, { steps: 4 })
  await page.mouse.up()
  await settled(page)
  const moved = await picture(page)
  t.is(await page.locator('.detail h3').count(), 0)
  t.is(await click(x - 30, y - 60), 'Node 23')

  await fitWhole()
  await page.mouse.move(x, y)
  await page.mouse.wheel(0, -300)
  await settled(page)
  t.not(await picture(page), moved)
  t.is(await click(x, y), 'Node 23')
  await page.keyboard.press('Escape')

  await fitWhole()
  const before = await picture(page)
  const session = await page.context().newCDPSession(page)
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', apart: number | null) => {
    const touchPoints = apart === null ? [] : [x - apart, x + apart].map((x, id) => ({ x, y, id }))
    return session.send('Input.dispatchTouchEvent', { type, touchPoints })
  }
  await touch('touchStart', 20)
  for (const apart of [24, 30, 38]) await touch('touchMove', apart)
  await touch('touchEnd', null)
  await settled(page)
  t.not(await picture(page), before)
  t.is(await page.locator('.detail h3').count(), 0)
  t.is(await click(x, y), 'Node 23')
  t.deepEqual(noise, [])
})

test.serial('hostile text is shown as text and runs nothing, and no connection is made', async t => {
  const solved = syntheticSolved(12)
  const all = hostile
  const trace = solved.trace.map(node => ({ ...node, steps: [all], answer: all, finished: true }))
  const strategy = { strategy: all } as never
  const html = await treePage(
    { ...solved, trace, answer: all },
    { problem: all, strategy, budget: { [all]: 1 } as never },
  )
  const visited = await visit(t, html, { viewport: { width: 360, height: 740 } })
  if (visited === null) return
  const { page, noise } = visited
  await page.locator('.provenance summary').click()
  await page.locator('canvas').focus()
  for (const key of ['Home', 'ArrowRight', 'End']) await page.keyboard.press(key)
  await settled(page)
  t.is(await page.evaluate(() => 'hacked' in window), false)
  t.is(await page.locator('img, iframe, object, script:not(#data):not(:last-of-type)').count(), 0)
  t.true((await page.locator('.step .quoted').first().textContent())!.includes('<img src="x" onerror='))
  t.is(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0)
  t.deepEqual(noise, [])
  const blocked = await page.evaluate(async () => {
    const violation = new Promise<string>(resolve => {
      document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective))
    })
    await fetch('https://example.invalid/').catch(() => {})
    return await violation
  })
  t.is(blocked, 'connect-src')
})

test.serial('of 50,000 nodes those that are folded are opened when asked for, and the page stays small', async t => {
  const solved = syntheticSolved(50_000)
  const rows = rowsOf(searchTree(solved).nodes)
  const shown = shownOf(rows, { most: 10_000, kept: [solved.solution!.node], opened: 0, pruned: true })
  const hidden = shown.has.lastIndexOf(false)
  const visited = await visit(t, await treePage(solved, { problem }), { hash: `#node=${hidden}` })
  if (visited === null) return
  const { page, noise } = visited
  t.is(await selected(page), `Node ${hidden}`)
  t.regex(
    (await page.locator('[role=status]').textContent())!,
    /^10,00\d of 50,001 nodes are drawn; the others are folded/,
  )
  t.true((await page.evaluate(() => document.querySelectorAll('*').length)) < 500)
  // All of its children are folded.
  const folded = rows.findIndex(
    ({ children }, place) => shown.has[place] && children.length > 1 && children.every(child => !shown.has[child]),
  )
  await page.evaluate(to => location.replace(`#node=${to}`), folded)
  await page.getByRole('heading', { name: `Node ${folded}`, exact: true }).waitFor()
  await page.locator('canvas').focus()
  await page.keyboard.press('ArrowRight')
  t.is(await selected(page), `Node ${folded}`)
  t.false(await page.getByRole('button', { name: 'show all again' }).isVisible())
  await page.keyboard.press('Enter')
  await page.keyboard.press('ArrowRight')
  t.is(await selected(page), `Node ${rows[folded]!.children[0]}`)
  await page.getByRole('button', { name: 'show all again' }).click()
  t.regex((await page.locator('[role=status]').textContent())!, /^10,00\d of 50,001/)
  t.deepEqual(noise, [])
})

test.serial('5,000 nodes are drawn, all of them, on a page with few elements', async t => {
  const visited = await visit(t, await treePage(syntheticSolved(5000, 'flat'), { problem }))
  if (visited === null) return
  const { page, noise } = visited
  t.is(await page.locator('[role=status]').textContent(), '5,001 nodes')
  t.true((await page.evaluate(() => document.querySelectorAll('*').length)) < 500)
  const before = await picture(page)
  await page.getByLabel('pruned nodes').uncheck()
  await settled(page)
  t.not(await picture(page), before)
  t.regex((await page.locator('[role=status]').textContent())!, /^3,\d{3} of 5,001 nodes are drawn/)
  t.deepEqual(noise, [])
})
