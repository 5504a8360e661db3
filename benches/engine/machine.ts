import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { progress } from './report.ts'

const INSTRUCTIONS = ['avx2', 'fma', 'avx512f', 'avx512_bf16', 'avx512_vnni', 'amx_tile', 'amx_bf16', 'amx_int8']

/** Where and when numbers were measured. */
export interface Machine {
  readonly date: string
  readonly cpu: string
  readonly instructions: readonly string[]
  /** `SUREFOOT_ISA`, or `auto`. */
  readonly isa: string
  readonly cores: number
  readonly gigabytes: number
  readonly load: number
  readonly node: string
  readonly commit: string
}

export function machine(): Machine {
  const flags = new Set(
    readFileSync('/proc/cpuinfo', 'utf8')
      .match(/^flags\s*: (.*)$/m)?.[1]
      ?.split(' '),
  )
  const load = loadavg()[0]!
  if (load > 0.5) progress(`the machine is not idle: load ${load.toFixed(2)}`)
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]!.model,
    instructions: INSTRUCTIONS.filter(name => flags.has(name)),
    isa: process.env.SUREFOOT_ISA ?? 'auto',
    cores: availableParallelism(),
    gigabytes: Math.round(totalmem() / 2 ** 30),
    load: Number(load.toFixed(2)),
    node: process.version,
    commit: execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim(),
  }
}
