import type { ProblemResult, Summary } from '../evaluate/summary.ts'
import { htmlPage, json } from './page/html.ts'

type Problems = AsyncIterable<ProblemResult> | Iterable<ProblemResult>

/**
 * The report as one HTML file that needs nothing else: it opens from a disk without a network, and its content security
 * policy allows neither a connection nor any script but its own. All text of the data is data in it, never markup.
 *
 * @throws `ERR_IO` when the page's script is not built
 */
export async function renderReport(summary: Summary, problems: Problems): Promise<string> {
  const parts: string[] = []
  for await (const part of reportParts(summary, problems)) parts.push(part)
  return parts.join('')
}

/** {@link renderReport} piece by piece: for more problems than should be in memory at once. */
export function reportParts(summary: Summary, problems: Problems): AsyncGenerator<string, void, undefined> {
  return htmlPage({
    title: `${summary.name} – surefoot report`,
    styles: ['report-page.css'],
    script: 'report-page.js',
    noscript: 'This page draws its tables and plots by a script of its own. The numbers are in summary.json beside it.',
    data: data(summary, problems),
  })
}

async function* data(summary: Summary, problems: Problems): AsyncGenerator<string, void, undefined> {
  yield `{"summary":${json(summary)},"problems":[`
  let separator = ''
  for await (const problem of problems) {
    yield `${separator}\n${json(problem)}`
    separator = ','
  }
  yield ']}'
}
