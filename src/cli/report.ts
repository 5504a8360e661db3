import { stat } from 'node:fs/promises'
import { invalidArgument } from '../errors.ts'
import type { ProblemResult, Summary } from '../evaluate/summary.ts'
import type { GridSummary } from '../grid/summary.ts'
import { type Content, readLines, readSummary, writePage, writeWhole } from '../journal/run-folder.ts'
import { gridCsv, gridMarkdown, gridParts } from '../report/grid.ts'
import { reportParts } from '../report/page.ts'
import { csv, markdown } from '../report/tables.ts'
import { searchTree, treeParts } from '../report/tree.ts'
import { print } from './lines.ts'

/** The forms of a report. */
export const reportFormats = ['html', 'md', 'json', 'csv'] as const

export interface ReportOptions {
  /** The folder of a run, or the journal of a search. */
  readonly run: string
  readonly format: (typeof reportFormats)[number]
  readonly output?: string
}

/**
 * `surefoot report`: the exit code. A page without `--output` goes into the run folder, or beside the journal, and its path is
 * printed; the other forms go to standard output.
 */
export async function report(options: ReportOptions): Promise<number> {
  const { run, format, output } = options
  if (await isFile(run)) return await reportSearch(options)
  const summary = await readSummary<Summary | GridSummary | { readonly kind: 'generate' }>(run)
  if (summary.kind === 'generate') {
    invalidArgument('run', `holds candidates and no results; evaluate them: surefoot eval --candidates ${run}`, run)
  }
  const content = summary.kind === 'grid' ? renderGrid[format](summary) : render[format](summary, run)
  if (output !== undefined) await writeWhole(output, content)
  else if (typeof content === 'string') process.stdout.write(content)
  else await print(await writePage(run, content))
  return 0
}

const render: Record<ReportOptions['format'], (summary: Summary, run: string) => Content> = {
  html: (summary, run) => reportParts(summary, readLines<ProblemResult>(run)),
  md: summary => markdown(summary),
  json: summary => `${JSON.stringify(summary, null, 2)}\n`,
  csv: summary => csv(summary),
}

const renderGrid: Record<ReportOptions['format'], (summary: GridSummary) => Content> = {
  html: gridParts,
  md: gridMarkdown,
  json: summary => `${JSON.stringify(summary, null, 2)}\n`,
  csv: gridCsv,
}

/** The tree of a search. */
async function reportSearch({ run: journal, format, output }: ReportOptions): Promise<number> {
  if (format !== 'html' && format !== 'json') {
    invalidArgument('format', `the tree of a search has the forms html and json, not ${format}`, format)
  }
  const tree = searchTree(journal)
  const content: Content = format === 'html' ? treeParts(tree) : `${JSON.stringify(tree)}\n`
  if (output !== undefined) await writeWhole(output, content)
  else if (typeof content === 'string') await print(content.trimEnd())
  else {
    const page = `${journal.replace(/\.(?:jsonl|ndjson|json)$/i, '')}.html`
    await writeWhole(page, content)
    await print(page)
  }
  return 0
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false
}
