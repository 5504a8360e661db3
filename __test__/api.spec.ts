import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import * as api from '../src/index.ts'
import { repository } from './helpers/fixtures.ts'

test('the public names are these', t => {
  t.deepEqual(Object.keys(api).toSorted(), [
    'PRM',
    'Policy',
    'SurefootError',
    'aggregate',
    'aggregates',
    'beam',
    'bestOfN',
    'chatTemplate',
    'dvts',
    'fromChatModel',
    'fromFunction',
    'fromLanguageModel',
    'majority',
    'mcts',
    'openai',
    'rebase',
    'refine',
    'replay',
    'requireCapabilities',
    'solve',
    'splitSteps',
    'strategyNames',
    'stream',
    'weightedVote',
  ])
})

test('index.d.ts as committed is the public API as built: a change to it is reviewed as a diff', t => {
  const { status, stdout } = spawnSync('git', ['show', 'HEAD:index.d.ts'], { cwd: repository, encoding: 'utf8' })
  const committed = status === 0 ? stdout : readFileSync(join(repository, 'index.d.ts'), 'utf8')
  t.is(readFileSync(join(repository, 'target', 'api', 'index.d.mts'), 'utf8'), committed)
})

test('package.json, the platform package and the crates have one version', t => {
  const version = (path: string): string => JSON.parse(readFileSync(join(repository, path), 'utf8')).version
  const main = version('package.json')
  t.is(version('npm/linux-x64-gnu/package.json'), main)
  t.regex(readFileSync(join(repository, 'Cargo.toml'), 'utf8'), new RegExp(`^version = "${main}"$`, 'm'))
  const { optionalDependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))
  t.deepEqual(optionalDependencies, { '@surefoot/native-linux-x64-gnu': main })
})
