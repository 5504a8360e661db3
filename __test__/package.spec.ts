import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { repository, withFolder } from './helpers/fixtures.ts'

const bin = (name: string): string => join(repository, 'node_modules', '.bin', name)

function command(program: string, parameters: string[], cwd: string): string {
  try {
    return execFileSync(program, parameters, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`${program} ${parameters.join(' ')}\n${stdout}\n${stderr}`)
  }
}

function sizeOf(folder: string): number {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(path => statSync(join(folder, path)))
  return paths.reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0)
}

const program = `
const prm = await PRM.load()
const ranking = await prm.rerank('Tom has 5 apples. He eats 2. How many are left?', ['Tom has 5 - 2 = 3 left.\\nA: 3', 'A: 9'])
if (ranking.length !== 2) throw new Error('no ranking')
await prm.dispose()
`

test('the packed tarballs install without a network and work in ESM, in CommonJS and under TypeScript', async t => {
  t.timeout(300_000)
  await withFolder(folder => {
    command(
      'npm',
      ['pack', '--pack-destination', folder, '.', './npm/linux-x64-gnu', './node_modules/commander'],
      repository,
    )
    const tarballs = readdirSync(folder).map(name => join(folder, name))
    t.is(tarballs.length, 3)
    const main = tarballs.find(path => /surefoot-\d/.test(path))!
    command(bin('publint'), ['run', main, '--strict'], repository)
    command(bin('attw'), [main, '--ignore-rules', 'false-cjs'], repository)

    const app = join(folder, 'app')
    mkdirSync(app)
    writeFileSync(join(app, 'package.json'), '{"private":true,"type":"module"}')
    command('npm', ['install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts', ...tarballs], app)
    t.true(sizeOf(join(app, 'node_modules')) < 25_000_000)

    writeFileSync(join(app, 'esm.mjs'), `import { PRM } from 'surefoot'\n${program}`)
    command(process.execPath, ['esm.mjs'], app)
    writeFileSync(join(app, 'common.cjs'), `const { PRM } = require('surefoot')\nvoid (async () => {${program}})()`)
    command(process.execPath, ['common.cjs'], app)
    const grade = `import { equivalent } from 'surefoot/grade'\nif (!equivalent('1/2', '0.5').equal) throw new Error()`
    writeFileSync(join(app, 'grade.mjs'), grade)
    command(process.execPath, ['grade.mjs'], app)

    writeFileSync(join(app, 'use.ts'), `import { PRM, type Ranked } from 'surefoot'\n${use}`)
    const options = ['--strict', '--exactOptionalPropertyTypes', '--noEmit', '--target', 'es2023', '--types', 'node']
    const types = ['--typeRoots', join(repository, 'node_modules', '@types')]
    for (const module of ['nodenext', 'preserve']) {
      command(bin('tsc'), [...options, ...types, '--module', module, 'use.ts'], app)
    }
    t.regex(command(join(app, 'node_modules/.bin/surefoot'), ['inspect', '--json'], app), /"head":"linear2"/)
  })
})

const use = `
const prm: PRM = await PRM.load(undefined, { device: 'cpu' })
const ranking: Ranked[] = await prm.rerank('p', ['a', ['b', 'c']] as const, { aggregate: 'min', topN: 1 })
const weak: number | null = ranking[0]!.firstWeakStep
const one: number = (await prm.score({ problem: 'p', steps: ['s'] })).aggregate
const many: number = (await prm.score([{ problem: 'p', solution: 's' }])).length
for await (const { steps } of prm.scoreMany([{ problem: 'p', steps: ['s'] }])) steps[0]!.score.toFixed()
// @ts-expect-error an aggregate that does not exist
await prm.rerank('p', ['a'], { aggregate: 'median' })
// @ts-expect-error a trace needs steps or a solution
await prm.score({ problem: 'p' })
console.log(weak, one, many)
`
