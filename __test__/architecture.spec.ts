import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import test from 'ava'
import { repository } from './helpers/fixtures.ts'

const page = readFileSync(join(repository, 'ARCHITECTURE.md'), 'utf8')
const map = [...page.matchAll(/^\| `([^`]+)` \|/gm)].map(([, path]) => path!)

const entries = (folder: string): string[] => readdirSync(join(repository, folder))
const isFolder = (path: string): boolean => statSync(join(repository, path)).isDirectory()

function files(folder: string, extension: string): string[] {
  return readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith(extension))
    .map(path => join(folder, path))
}

test('the map names every folder and source file, and nothing that is not there', t => {
  const made = ['dist', 'native', 'node_modules', 'packed', 'target', 'src', 'crates']
  const folders = entries('.').filter(name => isFolder(name) && !name.startsWith('.') && !made.includes(name))
  const expected = [
    ...folders,
    ...entries('crates').map(name => `crates/${name}`),
    ...entries('src').map(name => `src/${name}`),
  ]
  t.deepEqual(map.toSorted(), expected.toSorted())
})

test('imports in src point one way', t => {
  const order = /In `src`, imports point one way: (.+)\.$/m.exec(page)![1]!.split(' → ')
  const layer = (path: string): number => order.indexOf(path.split(sep)[1]!.replace(/\.ts$/, ''))
  for (const path of files('src', '.ts')) {
    t.not(layer(path), -1, path)
    for (const [, target] of readFileSync(join(repository, path), 'utf8').matchAll(/from '(\.[^']+\.ts)'/g)) {
      const imported = relative(repository, join(repository, dirname(path), target!))
      t.true(layer(imported) >= layer(path), `${path} imports ${imported}`)
    }
  }
})

test('crates depend one way', t => {
  const dependencies = (crate: string): string[] => {
    const manifest = readFileSync(join(repository, 'crates', crate, 'Cargo.toml'), 'utf8')
    return [...manifest.matchAll(/^surefoot-(\w+)/gm)].map(([, name]) => name!).toSorted()
  }
  t.deepEqual(dependencies('kernels'), [])
  t.deepEqual(dependencies('model'), ['kernels'])
  t.deepEqual(dependencies('engine'), ['model', 'search'])
  t.deepEqual(dependencies('search'), [])
  t.deepEqual(dependencies('node'), ['engine', 'model', 'search'])
})

test('unsafe Rust is in the kernels only, none calls JavaScript, and the model knows neither search nor Node', t => {
  for (const path of files('crates', '.rs')) {
    const text = readFileSync(join(repository, path), 'utf8')
    if (!path.includes(join('crates', 'kernels'))) t.notRegex(text, /\bunsafe\b/, path)
    t.notRegex(text, /ThreadsafeFunction|#\[napi\]\s*pub async fn/, path)
    if (path.includes(join('crates', 'model', 'src'))) t.notRegex(text, /\bnapi\b|\buse surefoot_(?!kernels)/, path)
  }
})

test('source files are small enough to hold in the head', t => {
  for (const path of [
    ...files('src', '.ts'),
    ...files('crates', '.rs'),
    ...files('scripts', '.py'),
    ...files('__test__', '.ts'),
  ]) {
    t.true(statSync(join(repository, path)).size < 26_000, path)
  }
})
