/**
 * What docs/measurements/engine.md reports: surefoot beside transformers on torch and llama.cpp, by turns in one run.
 *
 *   PYTHON=python npm run bench                               all but prefill and memory, on the usual shapes
 *   PYTHON=python npm run bench -- throughput --shapes 0.5b --rounds 3
 *   LLAMA=FOLDER npm run bench -- prefill --smollm2 FOLDER
 *   PYTHON=python npm run bench -- memory --shapes 7b
 *
 * PYTHON has what scripts/requirements-reference.txt names. Checkpoints that are missing are written into --folder.
 *
 *   --folder DIR     of the checkpoints       --shapes A,B    of scripts/reference/shape.py
 *   --rounds N       of each measure          --texts N       distinct texts in a round
 *   --depths A,B     of the searches          --smollm2 DIR   as benches/smollm2_gguf.py leaves it
 *   --profile FILE   seconds of operations    --json FILE     everything that was measured
 *   --kinds A,B      of throughput: distinct, candidates
 */
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { memory, start } from './engine/fresh.ts'
import { loop } from './engine/loop.ts'
import { machine } from './engine/machine.ts'
import { prefill } from './engine/prefill.ts'
import { progress } from './engine/report.ts'
import { search } from './engine/search.ts'
import type { Setting } from './engine/setting.ts'
import { share } from './engine/share.ts'
import { throughput } from './engine/throughput.ts'

/** Each measure and the shapes that it takes by itself. */
const measures = {
  throughput: { run: throughput, shapes: ['0.5b', '1.5b'] },
  share: { run: share, shapes: ['0.5b', '1.5b'] },
  search: { run: search, shapes: ['small'] },
  loop: { run: loop, shapes: ['0.5b'] },
  start: { run: start, shapes: ['0.5b'] },
  prefill: { run: prefill, shapes: [] },
  memory: { run: memory, shapes: ['7b'] },
} as const
type Measure = keyof typeof measures

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    folder: { type: 'string', default: join(tmpdir(), 'surefoot-bench') },
    shapes: { type: 'string' },
    rounds: { type: 'string' },
    texts: { type: 'string', default: '24' },
    kinds: { type: 'string', default: 'distinct,candidates' },
    depths: { type: 'string', default: '10,40' },
    smollm2: { type: 'string' },
    profile: { type: 'string' },
    json: { type: 'string' },
  },
})
const chosen = positionals.length > 0 ? positionals : ['throughput', 'share', 'search', 'loop', 'start']
const unknown = chosen.filter(name => !Object.hasOwn(measures, name))
if (unknown.length > 0) throw new Error(`${unknown} is none of ${Object.keys(measures)}`)

const here = machine()
console.log(`${JSON.stringify(here)}\n`)
const results: Record<string, unknown> = { machine: here }
for (const name of chosen as Measure[]) {
  const { run, shapes } = measures[name]
  const setting: Setting = {
    folder: values.folder,
    shapes: values.shapes?.split(',') ?? shapes,
    rounds: values.rounds === undefined ? undefined : Number(values.rounds),
    texts: Number(values.texts),
    kinds: values.kinds.split(','),
    depths: values.depths.split(',').map(Number),
    smollm2: values.smollm2,
    profile: values.profile,
  }
  progress(name)
  results[name] = await run(setting)
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`)
