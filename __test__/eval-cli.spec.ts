import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import test from 'ava'
import type { Summary } from '../src/evaluate/summary.ts'
import { withoutTimes } from './helpers/evaluation.ts'
import { repository, withFolder } from './helpers/fixtures.ts'
import { readShared } from './helpers/shared.ts'

const cli = join(repository, 'dist', 'cli.mjs')
const tinyPrm = join(repository, 'models', 'tiny-prm')
const fast = ['--resamples', '200']

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command line; `watch` sees the process start. */
function surefoot(
  folder: string,
  parameters: string[],
  watch?: (kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [cli, ...parameters], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr]: [string[], string[]] = [[], []]
  child.stdout.setEncoding('utf8').on('data', text => stdout.push(text))
  child.stderr.setEncoding('utf8').on('data', text => stderr.push(text))
  watch?.(signal => child.kill(signal))
  return new Promise(resolve => {
    child.on('close', status => resolve({ status, stdout: stdout.join(''), stderr: stderr.join('') }))
  })
}

const shared = (path: string): string => join(repository, '..', 'shared', 'data', path)

function summaryOf(run: string): Summary {
  return JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8'))
}

/** Writes candidates of the bundled task as surefoot's own format. */
function writeTiny(folder: string, problems: number): string {
  const rows = gunzipSync(readFileSync(join(repository, 'demo', 'tiny.jsonl.gz')))
    .toString()
    .split('\n')
    .slice(0, problems)
    .map((line, id) => {
      const { problem, answer, candidates } = JSON.parse(line)
      const list = candidates.slice(0, 4).map((candidate: { solution: string; answer: unknown; correct: boolean }) => {
        const text = candidate.solution === '' ? '(nothing)' : candidate.solution
        return {
          text,
          answer: candidate.answer === null ? null : String(candidate.answer),
          correct: candidate.correct,
          tokens: text.length,
        }
      })
      return JSON.stringify({ id: `t${id}`, problem, answer: String(answer), candidates: list })
    })
  const file = join(folder, 'tiny.jsonl')
  writeFileSync(file, `${rows.join('\n')}\n`)
  return file
}

test.serial(
  'Recorded candidates become a run folder, a table, and a page; five recorded rules are met on 100 of 100.',
  async t => {
    const path = 'candidates/math500-prm-scored/first100.json'
    if (readShared(t, path) === null) return
    await withFolder(async folder => {
      const { status, stdout, stderr } = await surefoot(folder, [
        'eval',
        '--candidates',
        shared(path),
        '--name',
        'math',
        ...fast,
      ])
      t.is(status, 0, stderr)
      const summary = summaryOf(join(folder, 'runs', 'math'))
      t.like(summary, { name: 'math', kind: 'candidates', rows: { used: 100, rejected: 0 } })
      t.deepEqual(
        summary.recorded!.map(({ name, agree, count }) => [name, agree, count]),
        ['majority_vote', 'prm_min_max', 'prm_min_vote', 'prm_last_max', 'prm_last_vote'].map(name => [name, 100, 100]),
      )
      t.regex(stdout, /\| majority +\| +4 \| +81\.3 \|/)
      t.regex(stdout, /run: runs.math\npage: runs.math.report\.html/)
      t.true(readFileSync(join(folder, 'runs', 'math', 'report.html'), 'utf8').startsWith('<!doctype html>'))
      t.is(
        readFileSync(join(folder, 'runs', 'math', 'problems.jsonl'), 'utf8')
          .trimEnd()
          .split('\n').length,
        100,
      )
    })
  },
)

test.serial("Qwen's majority and reward choice at 8 are those that were recorded.", async t => {
  const path = 'candidates/math-rm-scored/first50.jsonl'
  const text = readShared(t, path)
  if (text === null) return
  await withFolder(async folder => {
    const { status, stderr } = await surefoot(folder, ['eval', '--candidates', shared(path), '--run', 'qwen', ...fast])
    t.is(status, 0, stderr)
    const rows = text
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as { score: boolean[]; pred_score: number[][] })
    const best = rows.map(({ score, pred_score }) => {
      const rewards = pred_score.map(([reward]) => reward!)
      return +score[rewards.indexOf(Math.max(...rewards))]!
    })
    const { rules } = summaryOf(join(folder, 'qwen'))
    const value = (name: string): number => rules.find(({ rule, n }) => rule === name && n === 8)!.accuracy.value
    t.is(value('best-of-n (reward)'), best.reduce((a, b) => a + b) / rows.length)
    t.is(value('majority'), 0.96)
  })
})

test.serial(
  'Four models on GSM8K: random, majority with ties in expectation, pass@4 and the best single model.',
  async t => {
    const path = 'candidates/gsm8k-four-models/first600.jsonl'
    if (readShared(t, path) === null) return
    await withFolder(async folder => {
      const { status, stderr } = await surefoot(folder, ['eval', '--candidates', shared(path), '--run', 'gsm', ...fast])
      t.is(status, 0, stderr)
      const { rules } = summaryOf(join(folder, 'gsm'))
      const value = (name: string, k: number): string =>
        rules.find(({ rule, n }) => rule === name && n === k)!.accuracy.value.toFixed(4)
      t.is(value('mean of samples', 1), '0.3775')
      t.is(value('majority', 4), '0.4754')
      t.is(value('pass', 4), '0.6600')
      t.is(value('samples of 175b_verification', 1), '0.5550')
    })
  },
)

test.serial(
  'The embedded PRM scores candidates, counts its tokens, and beats majority in its own small world.',
  async t => {
    await withFolder(async folder => {
      const file = writeTiny(folder, 60)
      const { status, stdout, stderr } = await surefoot(folder, [
        'eval',
        '--candidates',
        file,
        '--prm',
        '--json',
        '--aggregate',
        'min,last',
        ...fast,
      ])
      t.is(status, 0, stderr)
      const summary: Summary = JSON.parse(stdout)
      t.deepEqual(withoutTimes(summary), withoutTimes(summaryOf(join(folder, 'runs', 'tiny'))))
      const vote = summary.comparisons.find(({ rule, n }) => rule === 'weighted vote (min)' && n === 4)!
      t.true(vote.difference.low > 0)
      t.false(vote.equalBudget)
      t.true(summary.rules.find(({ rule }) => rule === 'best-of-n (last)')!.cost.prmTokens! > 0)
      t.false(summary.rules.some(({ rule }) => rule.includes('product')))
      t.like(summary.configuration, { prm: { name: 'the embedded model', profile: 'trl', device: 'cpu' } })
      t.deepEqual(Object.keys(summary.versions), ['surefoot', 'node', 'platform', 'cpu', 'cpu features'])
    })
  },
)

test.serial('Labelled steps are held against a PRM.', async t => {
  const text = readShared(t, 'steps/processbench/gsm8k.json')
  if (text === null) return
  const rows: { label: number }[] = JSON.parse(text)
  const some = [-1, 1].flatMap(label => rows.filter(row => row.label === label).slice(0, 6))
  await withFolder(async folder => {
    writeFileSync(join(folder, 'some.json'), JSON.stringify(some))
    const command = ['eval', '--labels', 'some.json', '--prm', tinyPrm, '--limit', '11', '--threshold', '0.4', ...fast]
    const { status, stdout, stderr } = await surefoot(folder, [...command, '--run', 'a'])
    t.is(status, 0, stderr)
    const summary = summaryOf(join(folder, 'a'))
    t.like(summary, { kind: 'labels', rows: { used: 11 } })
    t.deepEqual(
      summary.firstError!.rows.filter(({ group }) => group === 'all').map(({ rule, count }) => [rule, count]),
      [
        ['fixed', 11],
        ['best', 11],
      ],
    )
    t.is(summary.firstError!.rows[0]!.threshold, 0.4)
    t.regex(stdout, /## First error/)
    t.is((await surefoot(folder, [...command, '--run', 'b', '--name', 'a', '--quiet'])).stderr, '')
    t.deepEqual(withoutTimes(summaryOf(join(folder, 'b'))), withoutTimes(summary), 'the same again')
  })
})

/** Waits until a run holds some lines. */
async function begun(run: string): Promise<void> {
  const lines = join(run, 'problems.jsonl')
  while (!(existsSync(lines) && readFileSync(lines, 'utf8').split('\n').length > 3)) await sleep(2)
}

for (const signal of ['SIGKILL', 'SIGINT'] as const) {
  test.serial(`After ${signal} in the middle of a run, --resume ends with the summary of an unbroken one.`, async t => {
    await withFolder(async folder => {
      const command = ['eval', '--candidates', writeTiny(folder, 40), '--prm', tinyPrm, '--name', 'tiny', ...fast]
      t.is((await surefoot(folder, [...command, '--run', 'whole'])).status, 0)
      const run = join(folder, 'broken')
      const { status, stderr } = await surefoot(folder, [...command, '--run', 'broken'], kill => {
        begun(run).then(() => kill(signal))
      })
      t.is(status, signal === 'SIGINT' ? 130 : null, stderr)
      if (signal === 'SIGINT') t.regex(stderr, /what was done is in broken; go on with the same command and --resume/)
      const kept = readFileSync(join(run, 'problems.jsonl'), 'utf8').split('\n').length - 1
      t.true(kept >= 3 && kept < 40, `${kept} lines`)
      t.false(existsSync(join(run, 'summary.json')))
      t.regex((await surefoot(folder, ['report', 'broken'])).stderr, /ERR_IO: .*not finished; go on with --resume/)
      t.regex(
        (await surefoot(folder, [...command, '--run', 'broken'])).stderr,
        /ERR_INVALID_ARGUMENT: .*holds a run already/,
      )
      const resumed = await surefoot(folder, [...command, '--run', 'broken', '--resume'])
      t.is(resumed.status, 0, resumed.stderr)
      t.deepEqual(withoutTimes(summaryOf(run)), withoutTimes(summaryOf(join(folder, 'whole'))))
    })
  })
}

test.serial('A finished run gives its report in every form.', async t => {
  await withFolder(async folder => {
    const rows = [1, 2].map(id => ({
      id: String(id),
      problem: 'p',
      answer: '1',
      candidates: [{ text: 'x \\boxed{1}' }, { text: 'y \\boxed{2}' }],
    }))
    writeFileSync(join(folder, 'c.jsonl'), rows.map(row => `${JSON.stringify(row)}\n`).join(''))
    t.is((await surefoot(folder, ['eval', '--candidates', 'c.jsonl', ...fast])).status, 0)
    const report = (...options: string[]) => surefoot(folder, ['report', 'runs/c', ...options])
    t.is((await report()).stdout, `${join('runs/c', 'report.html')}\n`)
    t.deepEqual(JSON.parse((await report('--format', 'json')).stdout), summaryOf(join(folder, 'runs', 'c')))
    t.regex((await report('--format', 'md')).stdout, /^# c\n/)
    t.regex((await report('--format', 'csv')).stdout, /^table,name,.*\r\nrules,mean of samples,,1,0\.5,/)
    t.is((await report('--format', 'csv', '--output', 'out.csv')).stdout, '')
    t.is(readFileSync(join(folder, 'out.csv'), 'utf8'), (await report('--format', 'csv')).stdout)
    t.is((await report('--output', 'page.html')).status, 0)
    t.is(readFileSync(join(folder, 'page.html'), 'utf8'), readFileSync(join(folder, 'runs/c/report.html'), 'utf8'))
  })
})

test.serial('Bad rows are counted and shown; strict and missing files end with 1, wrong usage with 2.', async t => {
  await withFolder(async folder => {
    const good = { problem: 'p', answer: '1', candidates: [{ text: 'x \\boxed{1}' }] }
    writeFileSync(join(folder, 'c.jsonl'), `${JSON.stringify(good)}\n{"problem": 7}\nnot json\n`)
    const eva = (...options: string[]) => surefoot(folder, ['eval', '--candidates', 'c.jsonl', ...fast, ...options])
    const lenient = await eva('--run', 'a')
    t.is(lenient.status, 0, lenient.stderr)
    t.regex(lenient.stdout, /1 rows used, 2 rejected/)
    t.regex(lenient.stdout, /c\.jsonl:2/)
    const strict = await eva('--run', 'b', '--strict')
    t.is(strict.status, 1)
    t.regex(strict.stderr, /^surefoot: ERR_INVALID_ARGUMENT: .*c\.jsonl:2/m)
    t.is((await surefoot(folder, ['eval', '--candidates', 'none.jsonl'])).status, 1)
    t.is((await surefoot(folder, ['report', 'none'])).status, 1)
    for (const usage of [
      ['eval'],
      ['eval', '--labels', 'c.jsonl'],
      ['eval', '--labels', 'c.jsonl', '--candidates', 'c.jsonl', '--prm'],
      ['eval', '--candidates', 'c.jsonl', '--limit', 'many'],
      ['eval', '--candidates', 'c.jsonl', '--aggregate', 'median'],
      ['report'],
      ['report', 'a', '--format', 'pdf'],
    ]) {
      t.is((await surefoot(folder, usage)).status, 2, usage.join(' '))
    }
  })
})
