import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SurefootError } from '../../errors.ts'
import { packageFolder } from '../../resolve.ts'

export interface HtmlPage {
  readonly title: string
  /** Style sheets of dist, in order. */
  readonly styles: readonly string[]
  /** The script of dist that reads the data and draws it. */
  readonly script: string
  /** What is said where scripts do not run. */
  readonly noscript: string
  /** The data as JSON, in pieces made by {@link json}. */
  readonly data: AsyncIterable<string> | Iterable<string>
}

/**
 * One HTML file that needs nothing else, in pieces: it opens from a disk without a network, and its content security policy
 * allows neither a connection nor any script but its own. All text of the data is data in it, never markup.
 *
 * @throws `ERR_IO` when the page's script is not built
 */
export async function* htmlPage({
  title,
  styles,
  script: name,
  noscript,
  data,
}: HtmlPage): AsyncGenerator<string, void, undefined> {
  const [script, ...sheets] = await Promise.all([asset(name).then(inline), ...styles.map(asset)])
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
<title>${escapeHtml(title)}</title>
<style>${sheets.join('\n')}</style>
</head>
<body>
<noscript>${escapeHtml(noscript)}</noscript>
<script type="application/json" id="data">`
  yield* data
  yield `</script>\n<script>${script}</script>\n</body>\n</html>\n`
}

/** Nothing in it can end the element that holds it, nor begin a comment there. */
export function json(value: unknown): string {
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
