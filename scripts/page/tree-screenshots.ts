/**
 * Runs searches on the embedded models, draws their trees and photographs them: `npx tsx scripts/page/tree-screenshots.ts FOLDER`
 * after `npm run build:ts`.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import { beam, bestOfN, dvts, mcts, Policy, PRM, refine, type Strategy, solve } from '../../src/index.ts'
import { treePage } from '../../src/report/tree.ts'
import { chromiumPath } from './chromium.ts'
import { syntheticSolved } from './tree-samples.ts'

const folder = resolve(process.argv[2] ?? 'screenshots')
await mkdir(folder, { recursive: true })

const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. 8 frogs sit by it. How many fish swim there now?'
const strategies: readonly Strategy[] = [
  mcts({ simulations: 16, children: 3 }),
  beam({ width: 3, expansions: 3 }),
  dvts({ trees: 3, expansions: 3 }),
  bestOfN({ n: 32 }),
  refine({ rounds: 4, samples: 2, threshold: 0.9 }),
]
const budget = { policyTokens: 100_000 }
const pages: Record<string, string> = {
  large: await treePage(syntheticSolved(5000), { problem, strategy: mcts(), budget }),
  huge: await treePage(syntheticSolved(50_000), { problem, strategy: mcts(), budget }),
  flat: await treePage(syntheticSolved(5000, 'flat'), { problem, strategy: bestOfN({ n: 5000 }), budget }),
}
const [policy, prm] = [await Policy.load(), await PRM.load()]
for (const strategy of strategies) {
  const journal = join(folder, `${strategy.strategy}.jsonl`)
  await rm(journal, { force: true })
  const limits = { policyTokens: 4000, ms: 60_000 }
  await solve(problem, { policy, prm, strategy, budget: limits, sampling: { temperature: 1.1 }, seed: 4, journal })
  pages[strategy.strategy] = await treePage(journal)
}
await Promise.all([policy.dispose(), prm.dispose()])

const views = [
  { name: 'light', colorScheme: 'light', viewport: { width: 1240, height: 900 } },
  { name: 'dark', colorScheme: 'dark', viewport: { width: 1240, height: 900 } },
  { name: 'wide', colorScheme: 'light', viewport: { width: 1920, height: 1080 } },
  { name: 'phone', colorScheme: 'light', viewport: { width: 360, height: 740 } },
  { name: 'guide', colorScheme: 'light', viewport: { width: 1100, height: 700 } },
] as const

const executablePath = chromiumPath()
if (executablePath === null) throw new Error('no Chromium found; set CHROMIUM to its path')
await using browser = await chromium.launch({ executablePath })
for (const [name, html] of Object.entries(pages)) {
  const file = join(folder, `tree-${name}.html`)
  await writeFile(file, html)
  for (const { name: view, ...options } of views) {
    const page = await browser.newPage(options)
    await page.goto(pathToFileURL(file).href)
    await page.waitForTimeout(400)
    await page.screenshot({ path: join(folder, `tree-${name}-${view}.png`), fullPage: true })
    if (name === 'mcts' && view === 'guide') {
      await page.locator('.stage').screenshot({ path: join(folder, 'report-tree.png') })
    }
    await page.close()
  }
}
