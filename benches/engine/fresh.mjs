// What a new process needs: `node benches/engine/fresh.mjs` prints the milliseconds of the import; with a folder and traces
// as JSON, also those from there to the first score, and the memory, in MiB. It runs what `npm run build` made.
import { readFileSync } from 'node:fs'

const [folder, traces] = process.argv.slice(2)
const start = performance.now()
const { PRM } = await import('../../dist/index.mjs')
const imported = performance.now()
const said = { import: imported - start }

/** Of /proc/self/status, in MiB. */
function memory(name) {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))
  return Math.round(Number(found?.[1]) / 1024)
}

if (folder) {
  let anonymous = 0
  const look = () => {
    anonymous = Math.max(anonymous, memory('RssAnon'))
  }
  const timer = setInterval(look, 20)
  const [first, ...rest] = JSON.parse(traces)
  const prm = await PRM.load(folder)
  const loaded = performance.now()
  const scored = [await prm.score(first)]
  const firstScore = performance.now()
  if (rest.length > 0) scored.push(...(await prm.score(rest)))
  const end = performance.now()
  look()
  clearInterval(timer)
  Object.assign(said, {
    load: loaded - imported,
    firstScore: firstScore - imported,
    tokensPerSecond: (scored.slice(1).reduce((sum, { tokens }) => sum + tokens, 0) / (end - firstScore)) * 1000,
    peak: memory('VmHWM'),
    anonymous,
    files: memory('RssFile'),
    parameters: prm.facts.parameters,
    counters: prm.counters,
  })
  await prm.dispose()
}
console.log(JSON.stringify(said))
