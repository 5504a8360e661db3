// Runs every test of both languages and ends with one line: `N passed, N failed`.
import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs a test command, shows its output, and counts what its summary lines say. */
async function run(command, parameters, passed, failed) {
  const child = spawn(command, parameters, { cwd: root, stdio: ['inherit', 'pipe', 'pipe'] })
  let output = ''
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ]) {
    from.setEncoding('utf8')
    from.on('data', text => {
      output += text
      to.write(text)
    })
  }
  const status = await new Promise((resolve, reject) => child.on('close', resolve).on('error', reject))
  const count = pattern => [...output.matchAll(pattern)].reduce((sum, [, number]) => sum + Number(number), 0)
  const counted = { passed: count(passed), failed: count(failed) }
  const broken = status !== 0 || counted.passed === 0
  return broken && counted.failed === 0 ? { ...counted, failed: 1 } : counted
}

/** The target that napi builds for: the same folder serves both, and candle is compiled once. */
const host = /host: (\S+)/.exec(spawnSync('rustc', ['-vV'], { encoding: 'utf8' }).stdout)[1]

const results = [
  await run(
    'cargo',
    ['test', '--release', '--workspace', '--target', host, '--no-fail-fast', '--', '--nocapture'],
    /^test result: \w+\. (\d+) passed/gm,
    /^test result: \w+\. \d+ passed; (\d+) failed/gm,
  ),
  await run(
    'npx',
    ['ava'],
    /^\s*(\d+) tests? passed/gm,
    /^\s*(\d+) (?:tests? failed|uncaught exceptions?|unhandled rejections?)/gm,
  ),
]
const [passed, failed] = ['passed', 'failed'].map(key => results.reduce((sum, result) => sum + result[key], 0))
process.stdout.write(`\n${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 ? 0 : 1
