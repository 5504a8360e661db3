import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { PRM } from '../src/index.ts'
import { fixture, largestDifference, referenceCases, repository } from './helpers/fixtures.ts'

const built = pathToFileURL(join(repository, 'dist', 'index.mjs')).href
const [first] = referenceCases('qwen2-mlp2')

/** A thread that loads the built package and runs `body` with `prm`. */
function worker(body: string): Worker {
  const code = `
    const { parentPort } = require('node:worker_threads')
    import('${built}').then(async ({ PRM }) => {
      const prm = await PRM.load(${JSON.stringify(fixture('qwen2-mlp2'))})
      ${body}
    })`
  return new Worker(code, { eval: true })
}

const finished = (thread: Worker): Promise<unknown> =>
  new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject))

test('threads score side by side with the main thread, and give the same scores', async t => {
  const body = `
    const { steps } = await prm.score(${JSON.stringify(first)})
    parentPort.postMessage(steps.map(step => step.score))`
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  const [here, ...there] = await Promise.all([
    prm.score(first!).then(({ steps }) => steps.map(step => step.score)),
    ...Array.from({ length: 4 }, () => finished(worker(body)) as Promise<number[]>),
  ])
  t.is(there.length, 4)
  for (const scores of there) t.true(largestDifference(scores, here) <= 1e-5)
  await prm.dispose()
})

test('a thread that is stopped while it scores takes nobody with it', async t => {
  const body = `
    parentPort.postMessage('scoring')
    await prm.score(Array.from({ length: 2000 }, () => (${JSON.stringify(first)})))`
  for (let round = 0; round < 3; round++) {
    const thread = worker(body)
    await finished(thread)
    await thread.terminate()
  }
  const prm = await PRM.load(fixture('qwen2-mlp2'))
  t.is((await prm.score(first!)).steps.length, 1)
  await prm.dispose()
})

test('importing the package loads no native code; the first model does', t => {
  const code = `
    import { PRM } from '${built}'
    const loaded = () => process.report.getReport().sharedObjects.some(path => path.includes('surefoot'))
    const before = loaded()
    await PRM.load(${JSON.stringify(fixture('qwen2-mlp2'))})
    console.log(before, loaded())`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  t.is(stdout, 'false true\n')
})
