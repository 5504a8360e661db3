import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { repository } from './helpers/fixtures.ts'

/** The TypeScript of a page that runs as it stands; blocks marked `ts needs ...` want what a test cannot have. */
function blocks(page: string): string[] {
  const text = readFileSync(join(repository, page), 'utf8')
  return [...text.matchAll(/^```ts\n([\s\S]+?)^```$/gm)].map(([, code]) => code!)
}

function run(file: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['--import=tsx', file], { cwd: repository })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output += text
    })
  }
  return new Promise(resolve => child.on('close', code => resolve({ code, output })))
}

const pages = ['README.md', ...readdirSync(join(repository, 'docs/guide')).map(name => `docs/guide/${name}`)]

for (const page of pages) {
  test(`${page}: its code runs`, async t => {
    const folder = mkdtempSync(join(repository, '__test__', '.run-'))
    try {
      const code = blocks(page)
      t.true(code.length > 0)
      for (const [index, block] of code.entries()) {
        const file = join(folder, `${index}.mts`)
        writeFileSync(file, block)
        const { code, output } = await run(file)
        t.is(code, 0, output)
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
}

for (const example of readdirSync(join(repository, 'examples'))) {
  test(`examples/${example} runs`, async t => {
    const { code, output } = await run(join(repository, 'examples', example))
    t.is(code, 0, output)
    t.not(output, '')
  })
}
