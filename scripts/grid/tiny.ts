/**
 * Every strategy on the tiny models, on problems that neither model was trained on:
 *
 *   npx tsx scripts/grid/tiny.ts FOLDER [--problems 300] [--seeds 1] [--budgets 1,2,4,8,16,32,64,128,256]
 *
 * The problems are the first of the split `test` (scripts/tiny/task.ts). The run goes on where it stopped, and leaves in FOLDER
 * the problems, the run, its page and its tables (report.md). The page needs `npm run build:ts`.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { budgetsOf, gridText, seedsOf } from '../../src/cli/grid.ts'
import { ProgressLine } from '../../src/cli/run.ts'
import { Policy } from '../../src/generator/policy.ts'
import { type GridProgress, grid } from '../../src/grid/index.ts'
import { writePage } from '../../src/journal/run-folder.ts'
import { PRM } from '../../src/prm.ts'
import { gridBrief, gridMarkdown, gridParts } from '../../src/report/grid.ts'
import { strategyNames } from '../../src/search/strategies.ts'
import { drawProblems, type Split } from '../tiny/task.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    problems: { type: 'string', default: '300' },
    seeds: { type: 'string', default: '1' },
    budgets: { type: 'string', default: '1,2,4,8,16,32,64,128,256' },
  },
})
const [folder] = positionals
if (folder === undefined) throw new Error('name the folder that the run goes to')

const data = join(folder, 'problems.jsonl')
mkdirSync(folder, { recursive: true })
if (!existsSync(data)) writeFileSync(data, testProblems(Number(values.problems)))
const progress = new ProgressLine<GridProgress>(gridText)
const summary = await grid({
  problems: data,
  policy: () => Policy.load(),
  prm: () => PRM.load(),
  strategies: strategyNames,
  budgets: budgetsOf(values.budgets),
  seeds: seedsOf(values.seeds),
  sampling: { temperature: 1 },
  run: join(folder, 'run'),
  name: 'strategies on the tiny models',
  resume: true,
  onProgress: event => progress.show(event),
})
progress.clear()
writeFileSync(join(folder, 'report.md'), gridMarkdown(summary))
process.stdout.write(`${gridBrief(summary)}\n${await writePage(join(folder, 'run'), gridParts(summary))}\n`)

/** Problems whose texts neither model has seen. */
function testProblems(count: number): string {
  const seen = new Set<string>()
  for (const split of ['worked', 'prm'] satisfies Split[]) drawProblems(split, seen)
  const lines = drawProblems('test', seen).slice(0, count)
  return lines.map(({ id, text, answer }) => `${JSON.stringify({ id: String(id), problem: text, answer })}\n`).join('')
}
