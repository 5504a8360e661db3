import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import {
  type Budget,
  beam,
  bestOfN,
  dvts,
  fromFunction,
  majority,
  mcts,
  openai,
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
import { type Missing, type ReplayOptions, replay } from '../src/search/replay.ts'

const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. 8 frogs sit by it. How many fish swim there now?'
const sampling = { temperature: 1 }
const folder = mkdtempSync(join(tmpdir(), 'surefoot-journal-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

let files = 0
const newFile = (): string => join(folder, `${files++}.jsonl`)

/** Loaded for each test: all of them share the weights. */
async function models(): Promise<{ policy: Policy; prm: PRM } & AsyncDisposable> {
  const [policy, prm] = [await Policy.load(), await PRM.load()]
  return {
    policy,
    prm,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([policy.dispose(), prm.dispose()])
    },
  }
}

/** All of a result but the time that it took. */
function timeless({ spent: { ms: _, ...spent }, ...solved }: Solved): object {
  return { ...solved, spent }
}

/** The same numbers for the same seed, spread over [0, 1). */
function* draws(seed: number): Generator<number, never, undefined> {
  for (let state = seed >>> 0; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state / 2 ** 32
  }
}

async function replayed(file: string, options: ReplayOptions = {}): Promise<Solved> {
  const result = await replay(file, options)
  if (!result.complete) throw new Error(`missing: ${JSON.stringify(result.missing)}`)
  return result.solved
}

async function missingFor(file: string, options: ReplayOptions): Promise<readonly Missing[]> {
  const result = await replay(file, options)
  if (result.complete) throw new Error('nothing is missing')
  return result.missing
}

type Line = Record<string, unknown> & { type?: string; children?: Record<string, unknown>[] }

async function linesOf(file: string): Promise<Line[]> {
  const text = await readFile(file, 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
}

const cut: Readonly<Record<string, readonly [Strategy, Budget]>> = {
  bestOfN: [bestOfN({ n: 12, batch: 5 }), {}],
  beam: [beam({ width: 2, expansions: 3 }), {}],
  mcts: [mcts({ simulations: 8, batch: 3 }), {}],
  'refine, with a limit of FLOPs': [refine({ rounds: 4, samples: 2, threshold: 0.9 }), { flops: 6e8 }],
  'bestOfN, with a limit of PRM tokens': [bestOfN({ n: 20, batch: 4 }), { prmTokens: 600 }],
}

for (const [name, [strategy, budget]] of Object.entries(cut)) {
  test(`${name}: killed at any byte, a search goes on to the result of an unbroken one`, async t => {
    await using both = await models()
    const options = { policy: both.policy, prm: both.prm, strategy, budget, sampling, seed: 3 }
    const file = newFile()
    const whole = await solve(problem, { ...options, journal: file })
    t.deepEqual(timeless(whole), timeless(await solve(problem, { ...options, concurrency: 1 })))
    const bytes = await readFile(file)
    const random = draws(strategy.strategy.length)
    const first = bytes.indexOf(10) + 1
    const points = [0, 1, first - 1, first, bytes.length - 1, bytes.length]
    while (points.length < 40) points.push(Math.floor(random.next().value * bytes.length))
    for (const point of points) {
      const torn = newFile()
      await writeFile(torn, bytes.subarray(0, point))
      const concurrency = 1 + (point % 7)
      const solved = await solve(problem, { ...options, concurrency, journal: torn, resume: true })
      t.deepEqual(timeless(solved), timeless(whole), `cut at ${point}`)
      t.deepEqual(timeless(await replayed(torn)), timeless(whole))
    }
  })
}

test('a search goes on from a tell without asking for it again, and its events are told from the beginning', async t => {
  await using both = await models()
  let calls = 0
  const policy = Object.assign(Object.create(both.policy), {
    sample: (...of: Parameters<Policy['sample']>) => {
      calls++
      return both.policy.sample(...of)
    },
  }) as Policy
  const options = { policy, prm: both.prm, strategy: bestOfN({ n: 6 }), sampling }
  const file = newFile()
  const events = async (more: Partial<SolveOptions>): Promise<SearchEvent[]> => {
    const all: SearchEvent[] = []
    for await (const event of solve(problem, { ...options, ...more })) if (event.type === 'sampled') all.push(event)
    return all
  }
  const before = await events({ journal: file })
  t.is(calls, 6)
  t.deepEqual(await events({ journal: file, resume: true }), before)
  t.is(calls, 6)
  const lines = (await readFile(file, 'utf8')).split('\n')
  const third = lines.findIndex((_, at) => lines.slice(0, at).filter(line => line.includes('"tell"')).length === 3)
  await writeFile(file, `${lines.slice(0, third).join('\n')}\n`)
  t.deepEqual(await events({ journal: file, resume: true }), before)
  t.is(calls, 9)
})

test('what is written is every continuation with its text, tokens, scores, answer and time, and the outcome', async t => {
  await using both = await models()
  const file = newFile()
  const solved = await solve(problem, { ...both, strategy: beam({ width: 2 }), sampling, journal: file })
  const [header, ...lines] = await linesOf(file)
  t.like(header, { schema: 1, configuration: { problem, seed: 1, sampling, policy: { id: both.policy.id } } })
  const told = lines.filter(({ type }) => type === 'tell').flatMap(({ children }) => children!)
  t.deepEqual(
    told.map(({ raw }) => raw).sort(),
    solved.trace
      .slice(1)
      .map(({ text }) => text)
      .sort(),
  )
  t.true(told.every(({ policyTokens, scores }) => (policyTokens as number) > 0 && Array.isArray(scores)))
  t.true(lines.every(({ type, ms }) => type !== 'tell' || Number.isInteger(ms)))
  const nows = lines.filter(({ type }) => type === 'ask').map(({ now }) => now as number)
  t.deepEqual(
    nows,
    nows.toSorted((a, b) => a - b),
  )
  t.like(lines.at(-1), { type: 'outcome', answer: solved.answer, finish: 'complete', spent: solved.spent })
})

test('a search that its time ended, and one that was stopped, are replayed to their own outcome', async t => {
  await using both = await models()
  const strategy = mcts({ widening: { factor: 4, exponent: 1, most: 1000 } })
  const timed = newFile()
  const options = { ...both, strategy, sampling }
  const solved = await solve(problem, { ...options, budget: { ms: 250 }, journal: timed })
  t.like(solved, { finish: 'budget', limit: 'ms' })
  t.deepEqual(await replayed(timed), solved)
  t.deepEqual(await solve(problem, { ...options, budget: { ms: 250 }, journal: timed, resume: true }), solved)
  t.deepEqual(await replayed(timed, { strategy }), solved)
  t.deepEqual(await missingFor(timed, { strategy: majority() }), [{ what: 'time', ms: 250 }])
  t.is((await replayed(timed, { choose: 'visits' })).solutions.length, solved.solutions.length)

  const stopped = newFile()
  const run = solve(problem, { ...options, budget: { generations: 100_000 }, journal: stopped })
  for await (const event of run) if (event.type === 'sampled' && event.node > 12) run.stop()
  const ended = await run
  t.is(ended.finish, 'aborted')
  t.deepEqual(await replayed(stopped), ended)
  run.stop()
  const again = solve(problem, { ...options, budget: { generations: 100_000 }, journal: stopped, resume: true })
  t.deepEqual(await again, ended)
})

test('the clock goes on from where it stood', async t => {
  await using both = await models()
  const options = { ...both, strategy: bestOfN({ n: 2000, batch: 1 }), sampling, budget: { ms: 60_000 } }
  const file = newFile()
  const stop = new AbortController()
  const run = solve(problem, { ...options, journal: file, signal: stop.signal })
  await t.throwsAsync(async () => {
    for await (const event of run) if (event.type === 'sampled') stop.abort(new Error('enough'))
    await run
  })
  const text = await readFile(file, 'utf8')
  const [header, first, ...lines] = text.split('\n')
  const late = [header, first, ...lines.map(line => line.replace(/"now":\d+/, '"now":59999'))].join('\n')
  await writeFile(file, late)
  const solved = await solve(problem, { ...options, journal: file, resume: true })
  t.like(solved, { finish: 'budget', limit: 'ms' })
  t.true(solved.solutions.length < 2000)
})

test('the problem is paid with the first that was asked, whichever comes first', async t => {
  await using prm = await PRM.load()
  let calls = 0
  const policy = fromFunction(
    async () => {
      await new Promise(resolve => setTimeout(resolve, calls++ === 0 ? 60 : 0))
      return 'New are 9 * 2 = 18.\nA: 22'
    },
    { id: 'slow at first', separator: '\n' },
  )
  const file = newFile()
  await solve(problem, { policy, prm, strategy: bestOfN({ n: 4, batch: 4 }), journal: file })
  const told = (await linesOf(file)).filter(({ type }) => type === 'tell')
  t.is(told.length, 4)
  for (const { request, children } of told) t.is('problemTokens' in children![0]!, request === 0)
})

test('a failed continuation is written down, with its reason, and stays failed', async t => {
  await using prm = await PRM.load()
  let calls = 0
  const policy = fromFunction(
    () => {
      if (calls++ % 2 === 0) throw new SurefootError('ERR_HTTP', 'the server is down')
      return 'New are 9 * 2 = 18.\nA: 22'
    },
    { id: 'flaky', separator: '\n' },
  )
  const options = { policy, prm, strategy: bestOfN({ n: 6, batch: 6 }) }
  const file = newFile()
  const solved = await solve(problem, { ...options, journal: file })
  t.is(solved.spent.failures, 3)
  const failed = (await linesOf(file)).filter(({ type }) => type === 'fail')
  t.is(failed.length, 3)
  t.like(failed[0], { failure: { code: 'ERR_HTTP' } })
  t.deepEqual(timeless(await solve(problem, { ...options, journal: file, resume: true })), timeless(solved))
  t.is(calls, 6)
  t.deepEqual(timeless(await replayed(file)), timeless(solved))
})

test('a file that is there is refused without resume, and another configuration with it', async t => {
  await using both = await models()
  const good: SolveOptions = { ...both, strategy: beam({ width: 2 }), sampling, budget: { generations: 100 } }
  const file = newFile()
  await solve(problem, { ...good, journal: file })
  const before = await readFile(file)
  const refused = async (of: string, options: object): Promise<SurefootError> => {
    const run = solve(of, { ...good, journal: file, ...options })
    return (await t.throwsAsync(Promise.resolve(run), { code: 'ERR_INVALID_ARGUMENT' })) as unknown as SurefootError
  }
  t.regex((await refused(problem, {})).message, /exists already/)
  const changes: [string, string, object][] = [
    ['problem', 'What is 2 + 2?', {}],
    ['strategy.width', problem, { strategy: beam({ width: 3 }) }],
    ['strategy.strategy', problem, { strategy: rebase({ width: 2 }) }],
    ['budget.generations', problem, { budget: { generations: 101 } }],
    ['seed', problem, { seed: 2 }],
    ['sampling.temperature', problem, { sampling: { temperature: 0.5 } }],
    ['sampling.topK', problem, { sampling: { ...sampling, topK: 4 } }],
    ['system', problem, { system: 'Be brief.' }],
    ['separator', problem, { separator: '\n\n' }],
    ['prm.threshold', problem, { prm: { facts: { ...both.prm.facts, threshold: 0.9 }, score: both.prm.score } }],
  ]
  for (const [key, of, change] of changes) {
    const error = await refused(of, { resume: true, ...change })
    t.is(error.data.key, key)
    for (const value of [error.data.before, error.data.now]) {
      t.true(error.message.includes(value === undefined ? 'not set' : JSON.stringify(value)), error.message)
    }
  }
  t.regex((await refused(problem, { resume: true, journal: undefined })).message, /needs the journal/)
  t.deepEqual(await readFile(file), before)

  const other = newFile()
  for (const text of ['some notes', 'some\nnotes\n', '{"schema":7,"configuration":{}}\n', '[1]\n']) {
    await writeFile(other, text)
    await refused(problem, { resume: true, journal: other })
    t.is(await readFile(other, 'utf8'), text)
    await t.throwsAsync(replay(other), { code: 'ERR_INVALID_ARGUMENT' })
  }
})

test('a journal that is damaged, or goes another way than its search, is refused by its line', async t => {
  await using both = await models()
  const options = { ...both, strategy: bestOfN({ n: 4 }), sampling }
  const file = newFile()
  await solve(problem, { ...options, journal: file })
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
  const bad: [number, string][] = [
    [3, '{"type":"tell","requ'],
    [3, '{"type":"guess"}'],
    [3, '{"type":"tell","request":0,"children":[{}]}'],
    [3, '{"type":"ask","max":1,"now":1,"requests":[null]}'],
    [2, '{"type":"outcome"}'],
    [2, lines[1]!.replace('"max":16', '"max":3')],
    [4, '{"type":"tell","request":77,"children":[],"ms":1}'],
  ]
  for (const [line, text] of bad) {
    await writeFile(file, `${lines.with(line - 1, text).join('\n')}\n`)
    for (const run of [
      () => replay(file),
      () => Promise.resolve(solve(problem, { ...options, journal: file, resume: true })),
    ]) {
      const error = await t.throwsAsync<SurefootError>(run, { code: 'ERR_IO' })
      t.is(error.data.line, line, text)
    }
  }
})

test('what if another aggregate or choice: as the search itself would have chosen', async t => {
  await using both = await models()
  const real = async (strategy: Strategy): Promise<object> =>
    timeless(await solve(problem, { ...both, strategy, sampling, seed: 4 }))
  const journal = async (strategy: Strategy): Promise<string> => {
    const file = newFile()
    await solve(problem, { ...both, strategy, sampling, seed: 4, journal: file })
    return file
  }
  const sampled = await journal(bestOfN({ n: 12 }))
  t.deepEqual(
    timeless(await replayed(sampled, { aggregate: 'product' })),
    await real(bestOfN({ n: 12, aggregate: 'product' })),
  )
  t.deepEqual(timeless(await replayed(sampled, { choose: 'vote' })), await real(weightedVote({ n: 12 })))
  t.deepEqual(timeless(await replayed(sampled, { choose: 'majority' })), await real(majority({ n: 12 })))
  await t.throwsAsync(replay(sampled, { choose: 'visits' }), { code: 'ERR_INVALID_ARGUMENT' })
  await t.throwsAsync(replay(sampled, { choose: 'majority', aggregate: 'min' }), { code: 'ERR_INVALID_ARGUMENT' })
  await t.throwsAsync(replay(sampled, { aggregate: 'median' as never }), { code: 'ERR_INVALID_ARGUMENT' })
  const grown: [Strategy, ReplayOptions, Strategy][] = [
    [beam({ width: 2 }), { aggregate: 'mean', choose: 'best' }, beam({ width: 2, aggregate: 'mean', choose: 'best' })],
    [dvts({ trees: 2 }), { choose: 'majority' }, dvts({ trees: 2, choose: 'majority' })],
    [rebase({ width: 6 }), { aggregate: 'last' }, rebase({ width: 6, aggregate: 'last' })],
    [mcts({ simulations: 8 }), { choose: 'visits' }, mcts({ simulations: 8, choose: 'visits' })],
    [refine({ rounds: 3 }), { choose: 'majority' }, refine({ rounds: 3, choose: 'majority' })],
  ]
  for (const [recorded, options, asked] of grown) {
    t.deepEqual(timeless(await replayed(await journal(recorded), options)), await real(asked), recorded.strategy)
  }
})

test('what if another strategy: as it would have run, where its continuations are recorded', async t => {
  await using both = await models()
  const real = async (strategy: Strategy): Promise<object> =>
    timeless(await solve(problem, { ...both, strategy, sampling, seed: 6 }))
  const journal = async (strategy: Strategy, more: Partial<SolveOptions> = {}): Promise<string> => {
    const file = newFile()
    await solve(problem, { ...both, strategy, sampling, seed: 6, ...more, journal: file })
    return file
  }
  const file = await journal(bestOfN({ n: 12 }))
  for (const strategy of [bestOfN({ n: 1 }), bestOfN({ n: 5 }), weightedVote({ n: 12 }), majority({ n: 9 })]) {
    t.deepEqual(timeless(await replayed(file, { strategy })), await real(strategy), JSON.stringify(strategy))
  }
  const wide = await journal(beam({ width: 4 }))
  const narrow = beam({ width: 2, aggregate: 'mean' })
  t.deepEqual(timeless(await replayed(await journal(narrow), { strategy: narrow })), await real(narrow))
  t.deepEqual(await missingFor(file, { strategy: bestOfN({ n: 20 }) }), [
    { what: 'continuations', node: 0, prefix: '', until: 'answer', count: 8 },
  ])
  t.deepEqual(await missingFor(file, { strategy: beam({ width: 2 }) }), [
    { what: 'continuations', node: 0, prefix: '', until: 'step', count: 8 },
  ])
  for (const { what } of await missingFor(wide, { strategy: majority() })) t.is(what, 'continuations')

  const unscored = await journal(majority({ n: 6 }))
  const lacks = await missingFor(unscored, { strategy: bestOfN({ n: 6 }) })
  t.is(lacks.length, 6)
  t.true(lacks.every(one => one.what === 'scores' && one.node === 0 && one.steps.length > 0))
  t.deepEqual(await missingFor(unscored, { choose: 'best' }), lacks)
  t.deepEqual(timeless(await replayed(unscored, { strategy: majority({ n: 3 }) })), await real(majority({ n: 3 })))

  const lasts = await journal(beam({ width: 2, aggregate: 'last' }))
  t.is((await replayed(lasts, { aggregate: 'last' })).finish, 'complete')
  const puct = mcts({ simulations: 1, select: { by: 'puct' } })
  const plain = await journal(mcts({ simulations: 1 }))
  t.true((await missingFor(plain, { strategy: puct })).every(({ what }) => what === 'logPrior'))
})

test('what a smaller cap would have cut is not guessed', async t => {
  await using both = await models()
  const file = newFile()
  await solve(problem, { ...both, strategy: bestOfN({ n: 6 }), sampling, journal: file })
  const missing = await missingFor(file, { strategy: bestOfN({ n: 6, answerTokens: 8 }) })
  t.like(missing[0], { what: 'continuations', count: 6 })
  const cut = newFile()
  await solve(problem, { ...both, strategy: bestOfN({ n: 6, answerTokens: 8 }), sampling, journal: cut })
  t.like((await missingFor(cut, { strategy: bestOfN({ n: 6 }) }))[0], { what: 'continuations', count: 6 })
  const same = bestOfN({ n: 4, answerTokens: 8 })
  const real = await solve(problem, { ...both, strategy: same, sampling })
  t.deepEqual(timeless(await replayed(cut, { strategy: same })), timeless(real))
})

test('a journal that was broken off says what was under way', async t => {
  await using both = await models()
  const file = newFile()
  await solve(problem, { ...both, strategy: bestOfN({ n: 5, batch: 5 }), sampling, journal: file })
  const lines = (await readFile(file, 'utf8')).split('\n')
  const at = lines.findIndex(line => line.includes('"tell"'))
  await writeFile(file, `${lines.slice(0, at + 1).join('\n')}\n${lines[at + 1]!.slice(0, 9)}`)
  const missing = await missingFor(file, {})
  t.is(missing.length, 4)
  t.like(missing[0], { what: 'continuations', node: 0, until: 'answer', count: 1 })
  const one = await replayed(file, { strategy: bestOfN({ n: 1 }) })
  t.is(one.solutions.length, 1)
})

test('no key gets into a journal, whatever the server says', async t => {
  await using prm = await PRM.load()
  const key = 'sk-very-secret-0123456789'
  let calls = 0
  const server: typeof fetch = async () => {
    if (calls++ === 1) return Response.json({ error: { message: `no such key: ${key}` } }, { status: 400 })
    return Response.json({
      choices: [{ message: { role: 'assistant', content: 'New are 9 * 2 = 18.\nA: 22' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 20, completion_tokens: 12 },
    })
  }
  const policy = openai({
    baseURL: `http://127.0.0.1:1/v1?key=${key}`,
    model: 'm',
    apiKey: key,
    dialect: 'none',
    stream: false,
    retries: 0,
    fetch: server,
  } as never)
  const file = newFile()
  const noise = { sampling: { temperature: 1, apiKey: key } as never }
  await solve(problem, { policy, prm, strategy: bestOfN({ n: 3, batch: 3 }), separator: '\n', journal: file, ...noise })
  const text = await readFile(file, 'utf8')
  t.true(text.includes('"fail"') && text.includes('"tell"'))
  t.false(text.includes(key))
  t.false(text.includes('very-secret'))
})
