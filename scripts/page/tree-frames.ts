/** Measures what a tree page takes in Chromium: `npx tsx scripts/page/tree-frames.ts` after `npm run build:ts`. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import { layOut } from '../../src/report/tree/layout.ts'
import { rowsOf, shownOf } from '../../src/report/tree/rows.ts'
import { searchTree, treePage } from '../../src/report/tree.ts'
import { chromiumPath } from './chromium.ts'
import { type Shape, syntheticSolved } from './tree-samples.ts'

const executablePath = chromiumPath()
if (executablePath === null) throw new Error('no Chromium found; set CHROMIUM to its path')
const folder = await mkdtemp(join(tmpdir(), 'surefoot-frames-'))
await using browser = await chromium.launch({ executablePath })
const samples: [number, Shape][] = [
  [500, 'tree'],
  [5000, 'tree'],
  [5000, 'flat'],
  [50_000, 'tree'],
]
console.log('nodes shape page-MB layout-ms open-ms frame-ms-median frame-ms-95')
for (const [count, shape] of samples) {
  const solved = syntheticSolved(count, shape)
  const html = await treePage(solved, { problem: 'made up' })
  const rows = rowsOf(searchTree(solved).nodes)
  const began = performance.now()
  layOut(rows, shownOf(rows, { most: 10_000, kept: [], opened: 0, pruned: true }))
  const layout = performance.now() - began
  const file = join(folder, 'tree.html')
  await writeFile(file, html)
  const page = await browser.newPage({ viewport: { width: 1240, height: 900 } })
  await page.goto(pathToFileURL(file).href)
  await page.locator('.detail h3').waitFor()
  const open = await page.evaluate(() => Math.round(performance.now()))
  // Drawing alone, as the drag and the wheel have it drawn, at every zoom from the whole tree to a few cards.
  const frames = await page.evaluate(async () => {
    const canvas = document.querySelector('canvas')!
    const times: number[] = []
    for (let turn = 0; turn < 80; turn++) {
      const deltaY = turn < 40 ? -60 : 60
      const wheel = new WheelEvent('wheel', { deltaY, clientX: 300, clientY: 500, cancelable: true })
      await new Promise<void>(done => {
        // Drawn is between the two; a pixel read back waits until it is.
        let began = 0
        requestAnimationFrame(() => {
          began = performance.now()
        })
        canvas.dispatchEvent(wheel)
        requestAnimationFrame(() => {
          canvas.getContext('2d')!.getImageData(0, 0, 1, 1)
          times.push(performance.now() - began)
          done()
        })
      })
    }
    return times.toSorted((a, b) => a - b)
  })
  const at = (share: number): string => frames[Math.floor(frames.length * share)]!.toFixed(1)
  console.log(count, shape, (html.length / 1e6).toFixed(1), layout.toFixed(0), open, at(0.5), at(0.95))
  await page.close()
}
await rm(folder, { recursive: true })
