import { readFileSync } from 'node:fs'
import { arch, cpus, platform } from 'node:os'
import packageJson from '../../package.json' with { type: 'json' }

/** Instruction sets that decide how the native core computes. */
const FEATURES = [
  'avx2',
  'fma',
  'f16c',
  'avx512f',
  'avx512_bf16',
  'avx512_vnni',
  'amx_tile',
  'amx_bf16',
  'asimd',
  'sve',
]

/** What software and machine a run is made with. */
export function versions(): Record<string, string> {
  return {
    surefoot: packageJson.version,
    node: process.versions.node,
    platform: `${platform()}-${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    'cpu features': cpuFeatures(),
  }
}

/** Linux says what the processor can do; elsewhere it is `unknown`. */
function cpuFeatures(): string {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))
    const flags = new Set(line?.[1]?.trim().split(/\s+/))
    return FEATURES.filter(feature => flags.has(feature)).join(' ') || 'none of note'
  } catch {
    return 'unknown'
  }
}
