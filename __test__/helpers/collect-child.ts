/** Collects from argv's sources into its last folder, and prints the counts and the most memory outside the heap. */
import { collect } from '../../src/annotate/collect.ts'

const parameters = process.argv.slice(2)
const run = parameters.pop()!
let peak = 0
const { read, kept, duplicates } = await collect({
  sources: parameters,
  run,
  quotas: [{ by: ['source'], most: 50_000 }],
  onProgress: () => {
    peak = Math.max(peak, process.memoryUsage().arrayBuffers)
    if (process.env.SHOW) process.stderr.write('.')
  },
})
process.stdout.write(JSON.stringify({ read, kept, duplicates, peak }))
