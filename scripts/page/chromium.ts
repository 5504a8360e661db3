import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The Chromium of this machine: what CHROMIUM names, or the first that PATH holds; null without any. */
export function chromiumPath(): string | null {
  const { CHROMIUM, PATH = '' } = process.env
  if (CHROMIUM) return CHROMIUM
  const folders = ['/usr/bin', ...PATH.split(delimiter)]
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  return folders.flatMap(folder => names.map(name => join(folder, name))).find(path => existsSync(path)) ?? null
}
