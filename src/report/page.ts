import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SurefootError } from '../errors.ts'
import type { ProblemResult, Summary } from '../evaluate/summary.ts'
import { packageFolder } from '../resolve.ts'

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
export async function* reportParts(summary: Summary, problems: Problems): AsyncGenerator<string, void, undefined> {
  const [style, script] = await Promise.all([asset('report-page.css'), asset('report-page.js').then(inline)])
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'`,
    "style-src 'unsafe-inline'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
  yield `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(summary.name)} – surefoot report</title>
<style>${style}</style>
</head>
<body>
<noscript>This page draws its tables and plots by a script of its own. The numbers are in summary.json beside it.</noscript>
<script type="application/json" id="data">{"summary":${json(summary)},"problems":[`
  let separator = ''
  for await (const problem of problems) {
    yield `${separator}\n${json(problem)}`
    separator = ','
  }
  yield `]}</script>\n<script>${script}</script>\n</body>\n</html>\n`
}

/** Nothing in it can end the element that holds it, nor begin a comment there. */
function json(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c')
}

/** A script as it may stand inside `<script>`; what is replaced occurs only inside strings and regular expressions. */
function inline(script: string): string {
  return script.replaceAll(/<(?=\/script|script|!--)/gi, '\\x3C')
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, character => `&#${character.codePointAt(0)};`)
}

async function asset(name: string): Promise<string> {
  const path = join(packageFolder, 'dist', name)
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new SurefootError('ERR_IO', `${path} could not be read; build it with npm run build:ts`, {
      data: { path },
      cause,
    })
  }
}
