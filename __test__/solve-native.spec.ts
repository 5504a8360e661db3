import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  type Budget,
  beam,
  bestOfN,
  dvts,
  majority,
  mcts,
  Policy,
  PRM,
  rebase,
  refine,
  type SearchEvent,
  type Solved,
  type SolveOptions,
  type Strategy,
  SurefootError,
  solve,
  weightedVote,
} from '../src/index.ts'
import { hashOf } from '../src/search/texts.ts'
import { fixture } from './helpers/fixtures.ts'

const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. 8 frogs sit by it. How many fish swim there now?'
const sampling = { temperature: 1 }
const folder = mkdtempSync(join(tmpdir(), 'surefoot-native-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const strategies: Readonly<Record<string, Strategy>> = {
  bestOfN: bestOfN({ n: 12 }),
  majority: majority({ n: 12 }),
  weightedVote: weightedVote({ n: 12 }),
  beam: beam({ width: 3 }),
  'beam, looking ahead': beam({ width: 2, lookahead: 2 }),
  dvts: dvts({ trees: 2 }),
  rebase: rebase({ width: 8 }),
  'mcts by uct': mcts({ simulations: 16 }),
  'mcts by puct': mcts({ simulations: 16, select: { by: 'puct' }, dedupe: true }),
  'mcts with rollouts': mcts({ simulations: 8, value: 'rollout' }),
  refine: refine({ rounds: 3 }),
}

const budgets: Readonly<Record<string, Budget>> = {
  'no limit': {},
  'few generations': { generations: 9 },
  'few policy tokens': { policyTokens: 300 },
  'few PRM tokens': { prmTokens: 400 },
  'few FLOPs': { flops: 1e9 },
}

interface Went {
  readonly solved: Solved
  readonly events: readonly SearchEvent[]
}

async function go(options: SolveOptions, of = problem): Promise<Went> {
  const run = solve(of, { sampling, ...options })
  const events: SearchEvent[] = []
  for await (const event of run) events.push(event)
  return { solved: await run, events }
}

/** All but the time that it took. */
function timeless({ solved, events }: Went): object {
  const without = <Spent extends object>(of: Spent): object => ({ ...of, ms: 0 })
  return {
    solved: { ...solved, spent: without(solved.spent) },
    events: events.map(event => (event.type === 'budget' ? { ...event, spent: without(event.spent) } : event)),
  }
}

async function same(t: ExecutionContext, options: Omit<SolveOptions, 'driver'>, of = problem): Promise<Went> {
  const typescript = await go({ ...options, driver: 'typescript' }, of)
  const native = await go({ ...options, driver: 'native' }, of)
  t.deepEqual(timeless(native), timeless(typescript))
  return native
}

for (const [name, strategy] of Object.entries(strategies)) {
  test(`${name}: the engine's driver goes the way of TypeScript's, event by event, under every limit`, async t => {
    await using policy = await Policy.load()
    await using prm = await PRM.load()
    for (const [limit, budget] of Object.entries(budgets)) {
      for (const concurrency of [1, 16]) {
        const { events } = await same(t, { policy, prm, strategy, budget, seed: 7, concurrency })
        t.is(events.at(-1)?.type, 'chosen', limit)
      }
    }
  })
}

test('many searches at once give what each gives alone', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const all = Object.values(strategies)
  const options = (index: number): SolveOptions => ({ policy, prm, strategy: all[index % all.length]!, seed: index })
  const together = await Promise.all(Array.from({ length: 22 }, (_, index) => go(options(index))))
  for (const [index, went] of together.entries()) {
    t.deepEqual(timeless(went), timeless(await go({ ...options(index), driver: 'typescript' })))
  }
})

test('an outcome model, system texts, stop texts and an own way to find answers make no difference', async t => {
  await using policy = await Policy.load()
  await using outcome = await PRM.load(fixture('families/acemath'))
  await using prm = await PRM.load()
  t.is(outcome.facts.split, null)
  const system = 'Count with care.'
  await same(t, { policy, strategy: strategies.majority!, system })
  const extract = (text: string): string | null => /(\d+)\D*$/.exec(text)?.[1] ?? null
  for (const strategy of [strategies.bestOfN!, strategies.refine!]) {
    await same(t, { policy, prm: outcome, strategy })
    await same(t, { policy, prm, strategy, extract, sampling: { temperature: 1, stop: ['ish'] } })
  }
})

test('a continuation that the models cannot take costs its path in either driver', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const words = `${'There is one fish more. '.repeat(400)}How many fish swim there now?`
  const none = await same(t, { policy, prm, strategy: strategies.bestOfN! }, words)
  t.is(none.solved.solution, null)
  const maxLength = prm.encode({ problem, steps: ['2'] }).length + 14
  await using short = await PRM.load(undefined, { profile: { maxLength } })
  const some = await same(t, { policy, prm: short, strategy: strategies.beam! })
  t.true(some.solved.spent.failures > 0)
  t.true(some.solved.trace.length > 1)
})

test('either driver goes on with what the other has left, cut anywhere', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  for (const name of ['bestOfN', 'beam, looking ahead', 'mcts by puct', 'refine']) {
    const options = { policy, prm, strategy: strategies[name]!, seed: 5 }
    const whole = await go({ ...options, driver: 'typescript' })
    for (const [writes, goesOn] of [
      ['native', 'typescript'],
      ['typescript', 'native'],
      ['native', 'native'],
    ] as const) {
      const journal = join(folder, `${name}-${writes}-${goesOn}.jsonl`)
      await go({ ...options, journal, driver: writes })
      const bytes = await readFile(journal)
      for (const part of [0.2, 0.5, 0.8, 0.97]) {
        await writeFile(journal, bytes.subarray(0, Math.round(bytes.length * part)))
        const resumed = await go({ ...options, journal, resume: true, driver: goesOn })
        t.deepEqual(timeless({ ...resumed, events: [] }), timeless({ ...whole, events: [] }), `${name} ${part}`)
      }
    }
  }
})

test.serial('time that is over, a stop and an abort end a search that the engine drives', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const endless = mcts({ simulations: 100_000, children: 8, dedupe: false })
  const late = await go({ policy, prm, strategy: endless, budget: { ms: 150 } })
  t.is(late.solved.finish, 'budget')
  t.is(late.solved.limit, 'ms')
  t.true(late.solved.trace.length > 1)

  const journal = join(folder, 'stopped.jsonl')
  const run = solve(problem, { policy, prm, strategy: endless, sampling, journal })
  for await (const event of run) if (event.type === 'scored') run.stop()
  const stopped = await run
  t.is(stopped.finish, 'aborted')
  t.not(stopped.solution, null)
  const again = await solve(problem, { policy, prm, strategy: endless, sampling, journal, resume: true })
  t.deepEqual(again, stopped)

  const abort = new AbortController()
  const aborted = solve(problem, { policy, prm, strategy: endless, sampling, signal: abort.signal })
  for await (const event of (async function* () {
    try {
      yield* aborted
    } catch {}
  })()) {
    if (event.type === 'scored') abort.abort(new Error('enough'))
  }
  await t.throwsAsync(async () => aborted, { message: 'enough' })
  const after = await go({ policy, prm, strategy: bestOfN({ n: 2 }) })
  t.is(after.solved.finish, 'complete')
})

test('a model that is disposed takes its searches with it', async t => {
  await using policy = await Policy.load()
  const prm = await PRM.load()
  const run = solve(problem, {
    policy,
    prm,
    strategy: mcts({ simulations: 100_000, children: 8, dedupe: false }),
    sampling,
  })
  const failed = t.throwsAsync(async () => run, { instanceOf: SurefootError, code: 'ERR_DISPOSED' })
  setTimeout(() => void prm.dispose(), 50)
  await failed
  await t.throwsAsync(async () => solve(problem, { policy, prm, strategy: bestOfN({ n: 2 }) }), {
    code: 'ERR_DISPOSED',
  })
})

test('who listens can throw, and stops the search with it', async t => {
  await using policy = await Policy.load()
  const extract = (): never => {
    throw new TypeError('my bug')
  }
  const run = solve(problem, { policy, strategy: majority({ n: 4 }), sampling, extract })
  await t.throwsAsync(async () => run, { instanceOf: TypeError, message: 'my bug' })
})

test('the native driver is refused where it cannot be, and bad settings name themselves in both', async t => {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const own = { facts: prm.facts, score: prm.score.bind(prm) }
  const code = 'ERR_INVALID_ARGUMENT'
  await t.throwsAsync(async () => solve(problem, { policy, prm: own, strategy: bestOfN(), driver: 'native' }), {
    code,
    message: /native/,
  })
  await t.throwsAsync(async () => solve(problem, { policy, prm, strategy: bestOfN(), driver: 'rust' as 'native' }), {
    code,
    message: /driver/,
  })
  for (const driver of ['native', 'typescript'] as const) {
    const options = { policy, prm, strategy: bestOfN(), sampling: { temperature: -1 }, driver }
    await t.throwsAsync(async () => solve(problem, options), { code, message: /temperature/ })
  }
})

test('equal texts have equal hashes, whatever white space is around them', t => {
  t.is(hashOf(' a\n'), hashOf('a'))
  t.not(hashOf('ab'), hashOf('ba'))
  t.is(hashOf('surefoot'), 219_838_677_225_896)
})
