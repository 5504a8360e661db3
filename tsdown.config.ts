import { defineConfig } from 'tsdown'

const shared = { platform: 'node', target: 'node20.19', shims: true, fixedExtension: true } as const

export default defineConfig([
  { ...shared, entry: { index: 'src/index.ts', grade: 'src/grade/index.ts' }, format: ['esm', 'cjs'], dts: true },
  { ...shared, entry: { cli: 'src/cli/main.ts' }, format: ['esm'], dts: false, clean: false },
])
