/**
 * Draws the sample reports and photographs them: `npx tsx scripts/page/screenshots.ts FOLDER` after `npm run build:ts`.
 * The recorded run needs ../shared/data beside the repository.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import { renderReport } from '../../src/report/page.ts'
import { chromiumPath } from './chromium.ts'
import { labelSample, recordedSample, syntheticSample } from './samples.ts'

const folder = resolve(process.argv[2] ?? 'screenshots')
await mkdir(folder, { recursive: true })

const recorded = new URL('../../../shared/data/candidates/math500-prm-scored/first100.json', import.meta.url)
const samples = {
  recorded: await recordedSample(await readFile(recorded, 'utf8')),
  synthetic: await syntheticSample(500, 16),
  labels: await labelSample(80),
}

const views = [
  { name: 'light', colorScheme: 'light', viewport: { width: 1240, height: 900 } },
  { name: 'dark', colorScheme: 'dark', viewport: { width: 1240, height: 900 } },
  { name: 'print', colorScheme: 'dark', viewport: { width: 794, height: 1123 } },
  { name: 'phone', colorScheme: 'light', viewport: { width: 360, height: 740 } },
] as const

const executablePath = chromiumPath()
if (executablePath === null) throw new Error('no Chromium found; set CHROMIUM to its path')
await using browser = await chromium.launch({ executablePath })
for (const [sample, { summary, problems }] of Object.entries(samples)) {
  const file = join(folder, `${sample}.html`)
  await writeFile(file, await renderReport(summary, problems))
  const address = `${pathToFileURL(file).href}#problem=${encodeURIComponent(problems[2]!.id)}`
  for (const { name, ...view } of views) {
    const page = await browser.newPage(view)
    if (name === 'print') await page.emulateMedia({ media: 'print' })
    await page.goto(address)
    await page.evaluate(() => scrollTo(0, 0))
    await page.waitForTimeout(300)
    await page.screenshot({ path: join(folder, `${sample}-${name}.png`), fullPage: true })
    if (name === 'light' && sample === 'synthetic') {
      await page.locator('#results').screenshot({ path: join(folder, 'report-results.png') })
      await page.locator('article').screenshot({ path: join(folder, 'report-problem.png') })
    }
    await page.close()
  }
}
