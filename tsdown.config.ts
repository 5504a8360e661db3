import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig, type Rolldown } from 'tsdown'

const shared = { platform: 'node', target: 'node20.19', shims: true, fixedExtension: true } as const

/** The folders of the packages whose code ended up in a bundle, over all bundles. */
const bundled = new Set<string>()

/** Writes dist/THIRD_PARTY.txt: the licence of every package whose code is in a bundle. */
const notices: Rolldown.Plugin = {
  name: 'third-party-notices',
  writeBundle({ dir }, bundle) {
    for (const folder of packagesIn(bundle)) bundled.add(folder)
    writeFileSync(join(dir!, 'THIRD_PARTY.txt'), licencesOf(bundled))
  },
}

/** The script of a page: the licences go inside it, for every page carries a copy of it, and its style sheet beside it. */
const script = (name: string, entry: string, style?: string): Parameters<typeof defineConfig>[0] & object => ({
  entry: { [name]: entry },
  format: ['iife'],
  platform: 'browser',
  target: 'es2022',
  minify: true,
  dts: false,
  clean: false,
  deps: { onlyBundle: false },
  outputOptions: { entryFileNames: '[name].js' },
  plugins: [page(name, style), notices],
})

const page = (name: string, style: string | undefined): Rolldown.Plugin => ({
  name: 'page',
  generateBundle(_options, bundle) {
    if (style !== undefined) this.emitFile({ type: 'asset', fileName: `${name}.css`, source: readFileSync(style) })
    const comment = licencesOf(packagesIn(bundle))
    for (const chunk of Object.values(bundle)) {
      if (chunk.type === 'chunk') chunk.code = `/*!\n${comment}*/\n${chunk.code}`
    }
  },
})

function packagesIn(bundle: Rolldown.OutputBundle): Set<string> {
  const folders = new Set<string>()
  for (const chunk of Object.values(bundle)) {
    if (chunk.type !== 'chunk') continue
    for (const [id, { renderedLength }] of Object.entries(chunk.modules)) {
      const folder = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1]
      if (folder !== undefined && renderedLength > 0) folders.add(folder)
    }
  }
  return folders
}

/** Names, versions and licences, each text once. */
function licencesOf(folders: ReadonlySet<string>): string {
  const packages = new Map<string, string[]>()
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const file = readdirSync(folder).find(path => /^licen[cs]e(\.\w+)?$/i.test(path))
    if (file === undefined) throw new Error(`${name} is bundled but has no licence file to pass on`)
    const text = readFileSync(join(folder, file), 'utf8').trim()
    packages.set(text, [...(packages.get(text) ?? []), `${name} ${version} (${license})`])
  }
  const sections = [...packages].map(([text, names]) => `${names.join('\n')}\n\n${text}\n`)
  return ['Code of these packages is contained.\n', ...sections].join(`\n${'-'.repeat(80)}\n\n`)
}

export default defineConfig([
  {
    ...shared,
    entry: {
      index: 'src/index.ts',
      grade: 'src/grade/index.ts',
      datasets: 'src/datasets/index.ts',
      evaluate: 'src/evaluate/index.ts',
      annotate: 'src/annotate/index.ts',
      report: 'src/report/index.ts',
    },
    format: ['esm', 'cjs'],
    dts: true,
    plugins: [notices],
  },
  // The public API in one file, to be reviewed.
  {
    ...shared,
    entry: { index: 'src/index.ts' },
    format: ['esm'],
    dts: { emitDtsOnly: true },
    outDir: 'target/api',
    clean: false,
  },
  { ...shared, entry: { cli: 'src/cli/main.ts' }, format: ['esm'], dts: false, clean: false, plugins: [notices] },
  script('report-page', 'src/report/page/main.ts', 'src/report/page/style.css'),
  script('report-grid', 'src/report/page/grid.ts'),
  script('tree-page', 'src/report/tree/main.ts', 'src/report/tree/style.css'),
])
