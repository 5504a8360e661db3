import { createHash } from 'node:crypto'
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { problem as story } from '../scripts/tiny/task.ts'
import { budgetsOf, gridText, seedsOf, strategiesOf } from '../src/cli/grid.ts'
import type { ProblemRecord } from '../src/datasets/records.ts'
import { SurefootError } from '../src/errors.ts'
import { randomNumbers } from '../src/evaluate/random.ts'
import type { Generator, Sample, SampleRequest } from '../src/generator/generator.ts'
import { Policy } from '../src/generator/policy.ts'
import { sized } from '../src/grid/cells.ts'
import { type GridOptions, type GridProgress, type GridSummary, grid } from '../src/grid/index.ts'
import type { SearchLine } from '../src/grid/journal.ts'
import { PRM } from '../src/prm.ts'
import { gridBrief, gridCsv, gridMarkdown } from '../src/report/grid.ts'
import type { StepScorer } from '../src/scorer.ts'
import { solve } from '../src/search/solve.ts'
import { type Strategy, strategyNames } from '../src/search/strategies.ts'
import { withFolder } from './helpers/fixtures.ts'

const problems: ProblemRecord[] = Array.from({ length: 5 }, (_, index) => ({
  kind: 'problem',
  id: `p${index}`,
  problem: `What is ${index} + 1?`,
  answer: String(index + 1),
}))

/** A number in [0, 1) that equal texts share. */
const chance = (...of: unknown[]): number =>
  createHash('sha256').update(JSON.stringify(of)).digest().readUInt32BE(0) / 2 ** 32

interface Fake extends Generator {
  readonly asked: SampleRequest[]
}

/** Writes two steps and an answer, right or wrong as the names of its draws say. */
function fakePolicy(before: (request: SampleRequest) => unknown = () => {}): Fake {
  const asked: SampleRequest[] = []
  return {
    id: 'fake',
    capabilities: { prefill: true, n: true, stopReason: true, logprobs: true, seed: true },
    asked,
    async sample(request, { signal } = {}) {
      asked.push(request)
      await before(request)
      signal?.throwIfAborted()
      const { problem, prefix = '', seed, path, n = 1, until } = request
      const right = Number(/\d+/.exec(problem)) + 1
      const written = prefix.split('\n\n').length - 1
      return Array.from({ length: n }, (_, index): Sample => {
        const draw = chance(problem, prefix, seed, path, index)
        const rest = [`Step ${Math.floor(draw * 4)}.`, 'Then.', `The answer is ${draw < 0.45 ? right : right + 1}.`]
        const text = until === 'step' ? rest[written]! : rest.slice(written).join('\n\n')
        const ended = until === 'step' && written < 2 ? 'step' : 'answer'
        return { text, ended, promptTokens: 7, tokens: Math.ceil(text.length / 4) }
      })
    },
  }
}

const fakePrm: StepScorer = {
  facts: { semantics: 'probability', threshold: 0.5, split: '\n\n', aggregate: 'min' },
  score: async traces =>
    traces.map(({ problem, steps }) => ({
      steps: steps.map(step => ({ score: 0.2 + 0.6 * chance(problem, step) })),
      tokens: 5 + 3 * steps.length,
    })),
  encode: ({ steps }) => [
    1,
    2,
    3,
    4,
    5,
    ...steps.flatMap(step => [1, 2, 3].map(at => 10 + chance(step, at) * 2 ** 20)),
  ],
}

const usual = { problems, strategies: strategyNames, budgets: [1, 4, 12], seeds: [1, 2], resamples: 200 } as const

function run(folder: string, more: Partial<GridOptions> = {}): Promise<GridSummary> {
  return grid({ ...usual, policy: fakePolicy(), prm: fakePrm, run: folder, ...more })
}

const linesOf = (folder: string): (SearchLine & Record<string, unknown>)[] =>
  readFileSync(join(folder, 'problems.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
    .filter(line => !('typical' in line))

/** All of a summary that does not depend on the clock. */
function timeless({
  made: _,
  versions: _versions,
  name: _name,
  typical,
  cells,
  curves,
  ...rest
}: GridSummary): unknown {
  const { comparisons, matched, standings, configuration, ...more } = rest
  const { searches: _searches, block: _block, concurrency: _concurrency, ...same } = configuration
  return {
    ...more,
    hash: null,
    configuration: same,
    warnings: null,
    alone: null,
    typical: { ...typical, ms: null },
    cells: cells.map(({ cost, ...cell }) => ({ ...cell, cost: { ...cost, ms: null, msP50: null, msP95: null } })),
    curves: curves.filter(({ axis }) => axis !== 'ms'),
    comparisons: comparisons.map(({ costs, ...row }) => ({ ...row, costs: { ...costs, ms: null } })),
    matched: matched.filter(({ axis }) => axis !== 'ms'),
    standings: standings.filter(({ axis }) => axis !== 'ms'),
  }
}

test('every strategy, budget, problem and seed is one search, and its line is what solve finds alone', async t => {
  await withFolder(async folder => {
    const summary = await run(folder)
    const lines = linesOf(folder)
    t.is(lines.length, 8 * 3 * 5 * 2)
    t.is(new Set(lines.map(({ cell, problem, seed }) => `${cell} ${problem} ${seed}`)).size, lines.length)
    t.like(summary, { kind: 'grid', searches: 240, failed: 0, unit: 'generations', alone: true })
    for (const line of lines) {
      const { settings, limits } = summary.cells[line.cell]!
      const { answer, spent, finish, limit, solutions } = await solve(problems[line.problem]!.problem, {
        policy: fakePolicy(),
        prm: fakePrm,
        strategy: settings,
        budget: limits,
        seed: line.seed,
      })
      const { ms: _, ...used } = spent
      t.like(line, { answer, finish, limit, solutions: solutions.length, id: `p${line.problem}`, spent: used })
      t.is(line.correct, answer === problems[line.problem]!.answer)
      t.true(spent.generations <= limits.generations!)
    }
  })
})

test('what a cell took is the sum of its searches, and its accuracy the share that is right', async t => {
  await withFolder(async folder => {
    const summary = await run(folder)
    const lines = linesOf(folder)
    for (const [index, { cost, accuracy, searches, ended, overruns }] of summary.cells.entries()) {
      const own = lines.filter(({ cell }) => cell === index) as unknown as {
        correct: boolean
        ms: number
        spent: Record<string, number>
      }[]
      const sum = (name: string): number => own.reduce((total, { spent }) => total + spent[name]!, 0)
      t.is(own.length, searches)
      for (const name of ['generations', 'policyTokens', 'prefillTokens', 'prmTokens'] as const) {
        t.is(Math.round(cost[name]! * searches), sum(name))
      }
      t.is(Math.round(cost.tokens! * searches), sum('policyTokens') + sum('prefillTokens') + sum('prmTokens'))
      t.true(Math.abs(accuracy.value - own.filter(({ correct }) => correct).length / searches) < 1e-12)
      t.is(
        Object.values(ended).reduce((a, b) => a + b),
        searches,
      )
      t.is(overruns, 0)
      const times = own.map(({ ms }) => ms).sort((a, b) => a - b)
      t.is(cost.msP50, times[4]!)
      t.is(cost.msP95, times[9]!)
    }
  })
})

test('the same data, options and seeds give the same summary, however many searches are under way', async t => {
  await withFolder(async folder => {
    const one = await run(join(folder, 'one'))
    const again = await run(join(folder, 'again'), { block: 2, concurrency: 3 })
    const many = await run(join(folder, 'many'), { searches: 7 })
    const other = await run(join(folder, 'other'), { seeds: [3, 4] })
    t.deepEqual(timeless(again), timeless(one))
    t.deepEqual(timeless(many), { ...(timeless(one) as object) })
    t.notDeepEqual(timeless(other), timeless(one))
    t.false(many.alone)
    t.false(many.curves.some(({ axis }) => axis === 'ms'))
    t.true(many.warnings.some(warning => warning.includes('7 searches')))
  })
})

test('a run that was cut at any byte goes on to the same summary, and repeats no search that was written', async t => {
  await withFolder(async folder => {
    const whole = join(folder, 'whole')
    const expected = timeless(await run(whole))
    const size = readFileSync(join(whole, 'problems.jsonl')).length
    const random = randomNumbers(9)
    const cuts = [0, 1, 40, size - 1, size, ...Array.from({ length: 12 }, () => Math.floor(random() * size))]
    for (const [index, cut] of cuts.entries()) {
      const copy = join(folder, `cut${index}`)
      cpSync(whole, copy, { recursive: true })
      truncateSync(join(copy, 'problems.jsonl'), cut)
      rmSync(join(copy, 'summary.json'))
      const kept = readFileSync(join(copy, 'problems.jsonl'), 'utf8').split('\n').length - 1
      const progress: GridProgress[] = []
      const summary = await run(copy, { resume: true, onProgress: event => progress.push(event) })
      t.deepEqual(timeless(summary), expected, `cut at ${cut}`)
      t.is(progress.find(({ phase }) => phase === 'search')!.resumed, Math.max(0, kept - 1))
      t.is(linesOf(copy).length, 240)
    }
  })
})

test('a search that fails is named, counts as wrong, and is tried again on resume', async t => {
  await withFolder(async folder => {
    const broken = fakePolicy(({ problem, path }) => {
      if (problem === problems[3]!.problem && path !== 'pilot') throw new Error('out of ink')
    })
    const summary = await run(folder, { policy: broken })
    t.is(summary.failed, 8 * 3 * 2)
    t.like(summary.failures[0], { id: 'p3', code: 'Error', message: 'out of ink' })
    t.true(summary.warnings[0]!.startsWith('48 searches of 240 failed and count as wrong'))
    for (const { failed, accuracy, ended, searches } of summary.cells) {
      t.is(failed, 2)
      t.is(ended.failed, 2)
      t.is(searches, 10)
      t.true(accuracy.value <= 0.8)
    }
    t.true(gridBrief(summary).includes('out of ink'))
    const mended = await run(folder, { resume: true })
    t.is(mended.failed, 0)
    t.deepEqual(timeless(mended), timeless(await run(join(folder, 'sound'))))
  })
})

test('a policy whose every continuation fails for a problem has no answer there, and its budget counts', async t => {
  await withFolder(async folder => {
    const down = fakePolicy(({ problem, path }) => {
      if (problem === problems[0]!.problem && path !== 'pilot') throw new SurefootError('ERR_HTTP', 'gone')
    })
    const summary = await run(folder, { policy: down, strategies: ['bestOfN'], budgets: [4], seeds: [1] })
    t.is(summary.failed, 0)
    t.like(
      linesOf(folder).find(({ problem }) => problem === 0),
      { answer: null, correct: false, solutions: 0 },
    )
    t.is(summary.cells[0]!.cost.generations, 4)
  })
})

test('what fails for all searches ends the run, and an abort rejects with its reason; both can be resumed', async t => {
  await withFolder(async folder => {
    const expected = timeless(await run(join(folder, 'whole')))
    for (const [name, limit] of Object.entries({ early: 3, late: 120 })) {
      const own = join(folder, name)
      const stop = new AbortController()
      const reason = new Error('enough')
      const onProgress = ({ phase, done }: GridProgress): void => {
        if (phase === 'search' && done === limit) stop.abort(reason)
      }
      t.is(await t.throwsAsync(run(own, { signal: stop.signal, onProgress, searches: 3 })), reason)
      t.true(linesOf(own).length >= limit)
      // Another process may have it now.
      t.deepEqual(timeless(await run(own, { resume: true, searches: 3 })), expected)
    }
    const already = AbortSignal.abort(new Error('before'))
    await t.throwsAsync(run(join(folder, 'never'), { signal: already }), { message: 'before' })
    let calls = 0
    const disposed = fakePolicy(() => {
      if (++calls > 30) throw new SurefootError('ERR_DISPOSED', 'the policy was disposed')
    })
    const fatal = await t.throwsAsync(run(join(folder, 'fatal'), { policy: disposed }))
    t.is((fatal as SurefootError).code, 'ERR_DISPOSED')
    t.deepEqual(timeless(await run(join(folder, 'fatal'), { resume: true })), expected)
  })
})

test('models are loaded anew for every block, given back after it, and a time is that of a search alone', async t => {
  await withFolder(async folder => {
    let [loaded, open] = [0, 0]
    const load = async (): Promise<Generator & AsyncDisposable> => {
      loaded++
      open++
      t.is(open, 1)
      return {
        ...fakePolicy(),
        [Symbol.asyncDispose]: async () => {
          open--
        },
      }
    }
    await run(folder, { policy: load, strategies: ['bestOfN', 'beam'], budgets: [2, 4], block: 2 })
    // To look at it, for the pilot, and 2 strategies × 2 budgets × 2 seeds × 3 blocks.
    t.is(loaded, 2 + 24)
    t.is(open, 0)
  })
})

test('strategies that share draws are paired: best-of-4 has the texts of best-of-12 and of the vote', async t => {
  await withFolder(async folder => {
    const policy = fakePolicy()
    await run(folder, { policy, strategies: ['bestOfN', 'majority'], budgets: [4, 12], seeds: [1] })
    const paths = new Map<string, number>()
    for (const { problem, path } of policy.asked) {
      if (path !== 'pilot' && problem === problems[0]!.problem) paths.set(path!, (paths.get(path!) ?? 0) + 1)
    }
    t.is(paths.size, 12)
    t.deepEqual([...paths.values()].sort(), [2, 2, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4])
  })
})

test('a strategy is as large as its budget has room for, and what is given stays', t => {
  const typical = { steps: 4, tokens: 50, ms: 10 }
  const costs = { policy: 2, prm: 2 }
  const size = (strategy: Strategy | Strategy['strategy'], limits: Parameters<typeof sized>[1]): Strategy =>
    sized(typeof strategy === 'string' ? ({ strategy } as Strategy) : strategy, limits, typical, costs)
  const whole = { generations: 64 }
  t.deepEqual(size('bestOfN', whole), { strategy: 'bestOfN', n: 64, batch: 64 })
  t.deepEqual(size('majority', { generations: 256 }), { strategy: 'majority', n: 256, batch: 64 })
  t.deepEqual(size('beam', whole), { strategy: 'beam', width: 4, expansions: 4, batch: 4 })
  t.deepEqual(size({ strategy: 'beam', expansions: 8 }, whole), { strategy: 'beam', width: 2, expansions: 8, batch: 2 })
  t.deepEqual(size({ strategy: 'beam', width: 16 }, whole), { strategy: 'beam', width: 16, expansions: 1, batch: 16 })
  t.deepEqual(size('dvts', whole), { strategy: 'dvts', trees: 4, expansions: 4, batch: 4 })
  t.deepEqual(size('dvts', { generations: 8 }), { strategy: 'dvts', trees: 1, expansions: 2, batch: 1 })
  t.deepEqual(size('rebase', whole), { strategy: 'rebase', width: 16, batch: 16 })
  t.deepEqual(size('mcts', whole), { strategy: 'mcts' })
  t.deepEqual(size('refine', whole), { strategy: 'refine', rounds: 63 })
  t.deepEqual(size({ strategy: 'refine', samples: 4 }, whole), { strategy: 'refine', samples: 4, rounds: 15 })
  t.like(size('rebase', { policyTokens: 500 }), { width: 10 })
  t.like(size('rebase', { tokens: 1000 }), { width: 10 })
  t.like(size('rebase', { flops: 2000 }), { width: 10 })
  t.like(size('rebase', { ms: 100 }), { width: 10 })
  t.like(size('rebase', { generations: 400, ms: 30 }), { width: 3 })
  t.like(size('rebase', { generations: 1 }), { width: 1 })
  t.deepEqual(size('bestOfN', { tokens: 1000 }), { strategy: 'bestOfN', n: 100_000, batch: 10 })
  t.deepEqual(size({ strategy: 'bestOfN', n: 3, batch: 1 }, whole), { strategy: 'bestOfN', n: 3, batch: 1 })
})

test('any unit can be the budget, several together, and each holds', async t => {
  await withFolder(async folder => {
    const budgets = [{ policyTokens: 60 }, { prmTokens: 40, generations: 30 }, { tokens: 120 }, { ms: 400 }]
    const stepwise = { stepTokens: 8, answerTokens: 16 }
    const strategies: Strategy[] = [
      { strategy: 'bestOfN', answerTokens: 16 },
      { strategy: 'rebase', ...stepwise },
      { strategy: 'mcts', ...stepwise },
    ]
    const typical = { steps: 3, tokens: 8, ms: 20 }
    const summary = await run(folder, { budgets, strategies, typical, seeds: [1] })
    t.is(summary.unit, null)
    for (const line of linesOf(folder)) {
      const { spent } = line as unknown as { spent: Record<string, number> }
      const used = { ...spent, tokens: spent.policyTokens! + spent.prefillTokens! + spent.prmTokens! }
      for (const [unit, most] of Object.entries(summary.cells[line.cell]!.limits) as [keyof typeof used, number][]) {
        // The policy of this test writes whole words: the last one may not fit what is left.
        const slack = (unit as string) === 'ms' ? 300 : spent.overruns! * 8
        t.true(used[unit] <= most + slack, `${line.strategy}, ${line.budget}: ${JSON.stringify(used)}`)
      }
    }
    t.deepEqual(
      [...new Set(summary.cells.map(({ budget }) => budget))],
      ['60 policy tokens', '30 generations, 40 PRM tokens', '120 tokens', '400 ms'],
    )
  })
})

test('options that make no sense are refused by their names, before anything is sampled', async t => {
  const bad: [string, Partial<Record<keyof GridOptions, unknown>>][] = [
    ['strategies', { strategies: [] }],
    ['strategies', { strategies: 'beam' }],
    ['strategies', { strategies: ['beem'] }],
    ['strategies', { strategies: [null] }],
    ['strategies', { strategies: [{ strategy: 'constructor' }] }],
    ['strategies', { strategies: ['beam', { strategy: 'beam' }] }],
    ['width', { strategies: [{ strategy: 'beam', width: 0 }] }],
    ['choose', { strategies: [{ strategy: 'beam', choose: 'visits' }] }],
    ['budgets', { budgets: [] }],
    ['budgets', { budgets: [0] }],
    ['budgets', { budgets: [1.5] }],
    ['budgets', { budgets: [Number.NaN] }],
    ['budgets', { budgets: [4, 4] }],
    ['budgets', { budgets: [{}] }],
    ['budgets', { budgets: [null] }],
    ['budgets', { budgets: ['4'] }],
    ['budgets', { budgets: [{ seconds: 4 }] }],
    ['budgets', { budgets: [{ tokens: 4, flops: 4 }] }],
    ['budgets', { budgets: [{ flops: Number.POSITIVE_INFINITY }] }],
    ['reserve', { budgets: [{ generations: 4, reserve: 1 }] }],
    ['seeds', { seeds: [] }],
    ['seeds', { seeds: [1, 1] }],
    ['seeds', { seeds: [-1] }],
    ['seeds', { seeds: 1 }],
    ['searches', { searches: 0 }],
    ['searches', { searches: 2, budgets: [{ ms: 100 }] }],
    ['block', { block: 0.5 }],
    ['concurrency', { concurrency: 0 }],
    ['limit', { limit: 0 }],
    ['resamples', { resamples: -1 }],
    ['against', { against: ['pass'] }],
    ['typical', { typical: { steps: 0, tokens: 1, ms: 1 } }],
    ['run', { run: '' }],
    ['policy', { policy: {} }],
    ['policy', { policy: undefined }],
    ['prm', { prm: {} }],
    ['prm', { prm: undefined }],
    ['temperature', { sampling: { temperature: -1 } }],
    ['separator', { separator: '' }],
    ['problems', { problems: [] }],
    ['problems', { problems: [null] }],
    ['problems', { problems: [{ ...problems[0], answer: null }] }],
    ['problems', { problems: [problems[0], { ...problems[1], answer: null }], strict: true }],
  ]
  await withFolder(async folder => {
    for (const [argument, options] of bad) {
      const policy = fakePolicy()
      const error = await t.throwsAsync(run(join(folder, 'run'), { policy, ...options } as Partial<GridOptions>), {
        any: true,
      })
      const what = `${argument} ${JSON.stringify(options)}: ${String(error)}`
      t.true(SurefootError.isInstance(error), what)
      t.is((error as SurefootError).code, 'ERR_INVALID_ARGUMENT', what)
      t.true((error as SurefootError).message.includes(argument), what)
      t.is(policy.asked.length, 0, what)
    }
  })
})

test('a run is resumed as it was begun, or not at all', async t => {
  await withFolder(async folder => {
    await run(folder, { strategies: ['majority'] })
    const refused = async (options: Partial<GridOptions>): Promise<string> =>
      (await t.throwsAsync(run(folder, { strategies: ['majority'], ...options })))!.message
    t.regex(await refused({}), /holds a run already/)
    t.regex(await refused({ resume: true, seeds: [1] }), /seeds was \[1,2\] and is \[1\]/)
    t.regex(await refused({ resume: true, sampling: { temperature: 1 } }), /sampling\.temperature was 0\.7 and is 1/)
    t.regex(await refused({ resume: true, strategies: ['bestOfN'] }), /strategies was/)
  })
})

test('a problem without an answer is rejected and counted, and the limit is of problems that count', async t => {
  await withFolder(async folder => {
    const data = join(folder, 'data.jsonl')
    const rows = [{ ...problems[0], answer: null }, ...problems].map(row => ({ ...row, kind: undefined }))
    writeFileSync(data, rows.map(row => `${JSON.stringify(row)}\n`).join(''))
    const summary = await run(join(folder, 'run'), { problems: data, limit: 2, strategies: ['majority'], budgets: [2] })
    t.like(summary.rows, { used: 2, rejected: 1 })
    t.is(summary.rows.examples[0]!.field, 'answer')
  })
})

/** Lines that somebody wrote by hand. */
test('the report in words holds every cell, both views and what was unequal', async t => {
  await withFolder(async folder => {
    const summary = await run(folder, { problems: [...problems, { ...problems[0]!, answer: null, id: 'x' }] })
    const words = gridMarkdown(summary)
    for (const name of strategyNames) t.true(words.includes(name))
    t.true(words.includes('8 strategies × 3 budgets × 2 seeds × 5 problems = 240 searches, 0 failed, 1 rows rejected'))
    t.true(words.includes('by policy tokens') && words.includes('by ms') && words.includes('by generations'))
    t.true(words.includes('unequal: '))
    t.true(gridBrief(summary).includes('Under 12 generations'))
    const rows = gridCsv(summary).trimEnd().split('\r\n')
    t.is(new Set(rows.map(row => row.split(',').length)).size, 1)
    t.is(rows.filter(row => row.startsWith('cells,')).length, 24)
  })
})

test('the command line reads names, JSON and lists, and says what is no number', t => {
  t.deepEqual(strategiesOf('majority,beam'), ['majority', 'beam'])
  t.deepEqual(strategiesOf('{"strategy":"beam","width":4}', ['majority']), ['majority', { strategy: 'beam', width: 4 }])
  t.deepEqual(strategiesOf('["mcts",{"strategy":"beam"}]'), ['mcts', { strategy: 'beam' }])
  t.deepEqual(budgetsOf('1,2,4'), [{ generations: 1 }, { generations: 2 }, { generations: 4 }])
  t.deepEqual(budgetsOf('policyTokens=100,200', [1]), [1, { policyTokens: 100 }, { policyTokens: 200 }])
  t.deepEqual(budgetsOf('[{"ms":100,"generations":8},4]'), [{ ms: 100, generations: 8 }, 4])
  t.deepEqual(seedsOf('1,2'), [1, 2])
  for (const text of ['a', '1,,2', 'ms=', '{"a"', '1,2,']) {
    const error = t.throws(() => budgetsOf(text), undefined, text)
    t.is((error as SurefootError).code, 'ERR_INVALID_ARGUMENT')
  }
  t.throws(() => strategiesOf('beam,,mcts'), { message: /nothing between two commas/ })
  const progress = { phase: 'search', done: 30, total: 100, resumed: 10, failed: 1, problems: 5 } as const
  t.is(gridText(progress, 10), '30 of 100 searches, 10 of them from before, 1 failed: 2.0 searches/s, 35 s left')
})

test('the tiny models: cells lend each other nothing, and a run that was cut goes on to the same', async t => {
  const stories = Array.from({ length: 3 }, (_, id): ProblemRecord => {
    const { text, answer } = story(3, id)
    return { kind: 'problem', id: String(id), problem: text, answer }
  })
  const options: Omit<GridOptions, 'run'> = {
    problems: stories,
    policy: () => Policy.load(undefined, { cacheBytes: 2 ** 26 }),
    prm: () => PRM.load(undefined, { cacheBytes: 2 ** 26 }),
    strategies: ['bestOfN', 'weightedVote', 'beam', 'mcts'],
    budgets: [4, 16],
    sampling: { temperature: 1 },
    resamples: 100,
  }
  await withFolder(async folder => {
    const summary = await grid({ ...options, run: join(folder, 'whole') })
    t.deepEqual(summary.warnings, [])
    const computed = (strategy: string): unknown[] =>
      linesOf(join(folder, 'whole'))
        .filter(line => line.strategy === strategy)
        .toSorted((a, b) => a.cell - b.cell || a.problem - b.problem)
        .map(line => (line as { computed?: unknown }).computed)
    // The same texts, computed as often: neither found those of the other.
    t.deepEqual(computed('weightedVote'), computed('bestOfN'))
    t.true(summary.cells.every(({ cost }) => cost.computed!.policy > 0 && cost.flops! > 0))
    const shared = await grid({
      ...options,
      policy: await Policy.load(undefined, { cacheBytes: 2 ** 26 }),
      prm: await PRM.load(undefined, { cacheBytes: 2 ** 26 }),
      run: join(folder, 'shared'),
    })
    t.true(shared.warnings.some(warning => warning.includes('not loaded anew')))
    const all = ({ cells }: GridSummary): number => cells.reduce((sum, { cost }) => sum + cost.computed!.policy, 0)
    t.true(all(shared) < all(summary))
    const own = join(folder, 'whole', 'problems.jsonl')
    truncateSync(own, Math.floor(readFileSync(own).length * 0.6))
    const again = await grid({ ...options, run: join(folder, 'whole'), resume: true })
    const same = (one: GridSummary): unknown =>
      JSON.parse(JSON.stringify(timeless(one), (key, value) => (key === 'computed' ? null : value)))
    t.deepEqual(same(again), same(summary))
  })
})
