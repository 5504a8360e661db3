import { invalidArgument } from '../errors.ts'
import type { ProblemResult, Summary } from '../evaluate/summary.ts'
import { type Content, readLines, readSummary, writePage, writeWhole } from '../journal/run-folder.ts'
import { reportParts } from '../report/page.ts'
import { csv, markdown } from '../report/tables.ts'
import { print } from './lines.ts'

/** The forms of a report. */
export const reportFormats = ['html', 'md', 'json', 'csv'] as const

export interface ReportOptions {
  readonly run: string
  readonly format: (typeof reportFormats)[number]
  readonly output?: string
}

/**
 * `surefoot report`: the exit code. A page without `--output` goes into the run folder and its path is printed; the other
 * forms go to standard output.
 */
export async function report({ run, format, output }: ReportOptions): Promise<number> {
  const summary = await readSummary<Summary | { readonly kind: 'generate' }>(run)
  if (summary.kind === 'generate') {
    invalidArgument('run', `holds candidates and no results; evaluate them: surefoot eval --candidates ${run}`, run)
  }
  const content = render[format](summary, run)
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
