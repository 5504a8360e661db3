import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { annotationsOf, type OmegaOptions, type OmegaResult, omega } from '../src/annotate/omega.ts'
import type { ProblemRecord } from '../src/datasets/records.ts'
import type { Generator, Sample, SampleRequest } from '../src/generator/generator.ts'
import { Policy, SurefootError } from '../src/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'surefoot-omega-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))
let folders = 0
const newFolder = (): string => join(folder, `journals ${folders++}`)

const capabilities = { prefill: true, n: true, stopReason: true, logprobs: false, seed: true }
const problem = (id: string): ProblemRecord => ({ kind: 'problem', id, problem: `Count by ${id}.`, answer: '7' })

/** The same numbers in [0, 1) for the same words. */
function draw(...words: readonly (string | number)[]): number {
  let hash = 0x811c9dc5
  for (const unit of `${words.join(' ')}!`) hash = Math.imul(hash ^ unit.charCodeAt(0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39)
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32
}

interface Counting extends Generator {
  calls: number
}

/** Five steps, each a slip with a chance of 0.2; an answer is right where no step is. Draws by what a request is named. */
function counting(slow = false): Counting {
  const policy: Counting = {
    id: 'counting',
    capabilities,
    calls: 0,
    async sample(request: SampleRequest): Promise<Sample[]> {
      policy.calls++
      if (slow) await new Promise(resolve => setTimeout(resolve, 3 * draw(request.path!, 'ms')))
      return Array.from({ length: request.n! }, (_, index) => {
        const before = (request.prefix ?? '').split('\n\n').filter(step => step !== '')
        const steps = [...before]
        while (steps.length < 5) {
          const slips = draw(request.problem, request.seed!, request.path!, index, steps.length) < 0.2
          steps.push(slips ? `slip ${steps.length}` : `step ${steps.length}`)
        }
        const right = !steps.some(step => step.startsWith('slip'))
        const text = `${[...steps.slice(before.length), `The answer is ${right ? 7 : 8}.`].join('\n\n')}`
        return { text, ended: 'answer', promptTokens: 9, tokens: 4 * (6 - before.length) }
      })
    },
  }
  return policy
}

async function all(problems: readonly ProblemRecord[], options: OmegaOptions): Promise<OmegaResult[]> {
  const results: OmegaResult[] = []
  for await (const result of omega(problems, options)) results.push(result)
  return results
}

/** All but the time that it took. */
const timeless = (results: readonly OmegaResult[]): object =>
  results.map(({ tree, ...rest }) => ({ ...rest, tree: tree && { ...tree, spent: { ...tree.spent, ms: 0 } } }))

const problems = Array.from({ length: 6 }, (_, index) => problem(`n${index}`))

test('the first errors are the first slips, and every label follows from the rollouts', async t => {
  const results = await all(problems, { policy: counting() })
  let errors = 0
  for (const { id, annotations, tree } of results) {
    t.is(tree!.finish, 'complete')
    t.is(annotations.length > 2, tree!.prefixes[0]!.hits > 0)
    for (const record of annotations) {
      const { steps, labels, firstError, rollouts, answerCorrect, provenance } = record
      const slip = steps.findIndex(step => step.startsWith('slip'))
      t.is(firstError, slip)
      t.is(answerCorrect, slip < 0)
      t.like(record, { kind: 'labels', problem: `Count by ${id}.`, answer: '7', generator: 'counting' })
      t.like(provenance, { method: 'omega', by: ['counting'] })
      const wanted = steps.map((_, index) => (slip < 0 || index < slip ? 1 : index === slip ? 0 : null))
      t.deepEqual(labels, wanted)
      for (const [index, seen] of rollouts!.entries()) {
        if (seen === null) continue
        t.true(seen.count >= 8)
        t.is(seen.hits === 0, slip >= 0 && index >= slip)
      }
      errors += slip >= 0 ? 1 : 0
    }
    t.is(new Set(annotations.map(one => one.id)).size, annotations.length)
    t.is(new Set(annotations.map(({ steps }) => steps.join('\n'))).size, annotations.length)
  }
  t.true(errors > 20, `${errors}`)
})

test('a border that was found has three times the rollouts of a prefix, and without a second test as many', async t => {
  for (const [strategy, wanted] of [
    [{ rollouts: 4 }, 12],
    [{ rollouts: 4, retest: 0 }, 4],
    [{ rollouts: 4, retest: 3 }, 7],
  ] as const) {
    const results = await all(problems, { policy: counting(), strategy })
    const wrong = results.flatMap(({ annotations }) => annotations).filter(({ firstError }) => firstError! >= 0)
    t.true(wrong.length > 0)
    for (const { firstError, rollouts } of wrong) t.is(rollouts![firstError!]!.count, wanted)
  }
})

test('soft labels are shares of right rollouts, prefixes have one label each, and the tree is the same', async t => {
  const policy = counting()
  const [hard] = await all([problem('p')], { policy })
  const soft = annotationsOf(hard!.tree!, { labels: 'soft' })
  t.is(soft.length, hard!.annotations.length)
  for (const { labels, rollouts, firstError } of soft) {
    for (const [index, label] of labels.entries()) {
      const seen = rollouts![index]
      if (index === firstError) t.is(label, 0)
      else if (firstError! >= 0 && index > firstError!) t.is(label, null)
      else t.is(label, seen ? seen.hits / seen.count : null)
    }
  }
  const { prefixes } = hard!.tree!
  t.deepEqual(prefixes[0]!.steps, [])
  const softPrefixes = annotationsOf(hard!.tree!, { emit: 'prefixes', labels: 'soft' })
  t.deepEqual(
    softPrefixes.map(({ steps, labels }) => [steps, labels.at(-1)]),
    prefixes.slice(1).map(({ steps, hits, count }) => [steps, hits / count]),
  )
  t.true(
    softPrefixes.every(({ firstError, labels, rollouts }) => firstError === null && labels.length === rollouts!.length),
  )
  t.true(softPrefixes.every(({ labels }) => labels.slice(0, -1).every(label => label === null)))
  const hardPrefixes = annotationsOf(hard!.tree!, { emit: 'prefixes' })
  t.deepEqual(
    hardPrefixes.map(({ labels }) => labels.at(-1)),
    prefixes.slice(1).map(({ hits }) => (hits > 0 ? 1 : 0)),
  )
  const [again] = await all([problem('p')], { policy: counting(), emit: 'prefixes', labels: 'soft' })
  t.deepEqual(again!.annotations, softPrefixes)
})

test('the result does not depend on how many problems are under way or on which rollout is slow', async t => {
  const one = await all(problems, { policy: counting(), concurrency: 1 })
  t.deepEqual(timeless(await all(problems, { policy: counting(true), concurrency: 6 })), timeless(one))
  const other = await all(problems, { policy: counting(), seed: 2 })
  t.notDeepEqual(timeless(other), timeless(one))
})

test('killed at any byte of its journals, the labelling goes on to the result of an unbroken one', async t => {
  const options = { policy: counting(), strategy: { rollouts: 3, searches: 8 } }
  const few = problems.slice(0, 2)
  const whole = newFolder()
  const unbroken = await all(few, { ...options, journals: whole })
  t.deepEqual(timeless(await all(few, options)), timeless(unbroken))
  const files = readdirSync(whole)
  t.deepEqual(files, ['00000000.jsonl', '00000001.jsonl'])
  const bytes = files.map(file => readFileSync(join(whole, file)))
  for (let point = 0; point < 200; point++) {
    const torn = newFolder()
    // Of the first, of both, or to the end.
    await all([], { ...options, journals: torn })
    for (const [index, file] of files.entries()) {
      const length = Math.floor(draw('cut', point, index) * (bytes[index]!.length + 1))
      writeFileSync(join(torn, file), bytes[index]!.subarray(0, point % 5 === index ? bytes[index]!.length : length))
    }
    t.deepEqual(timeless(await all(few, { ...options, journals: torn, resume: true })), timeless(unbroken), `${point}`)
    for (const [index, file] of files.entries()) {
      const lines = (text: Buffer): string[] =>
        text
          .toString()
          .split('\n')
          .filter(line => line.includes('"tell"'))
      t.is(lines(readFileSync(join(torn, file))).length, lines(bytes[index]!).length)
    }
    rmSync(torn, { recursive: true })
  }
})

test('a finished journal asks for nothing, and another configuration is refused', async t => {
  const journals = newFolder()
  const policy = counting()
  const before = await all(problems, { policy, journals })
  const { calls } = policy
  t.deepEqual(timeless(await all(problems, { policy, journals, resume: true })), timeless(before))
  t.is(policy.calls, calls)
  await t.throwsAsync(all(problems, { policy, journals }), { code: 'ERR_INVALID_ARGUMENT', message: /exists already/ })
  for (const [key, change] of [
    ['strategy.rollouts', { strategy: { rollouts: 5 } }],
    ['seed', { seed: 9 }],
    ['budget.generations', { budget: { generations: 5 } }],
  ] as const) {
    const error = await t.throwsAsync(all(problems, { policy, journals, resume: true, ...change }), {
      code: 'ERR_INVALID_ARGUMENT',
    })
    t.is((error as unknown as SurefootError).data?.key, key)
  }
  const other = problems.map(one => ({ ...one, answer: '9' }))
  const error = await t.throwsAsync(all(other, { policy, journals, resume: true }))
  t.is((error as unknown as SurefootError).data?.key, 'reference')
})

test('an abort at any call rejects with its reason, and what was written is gone on with', async t => {
  const one = [problem('abort')]
  const unbroken = await all(one, { policy: counting(), strategy: { rollouts: 3 } })
  const probe = counting()
  await all(one, { policy: probe, strategy: { rollouts: 3 } })
  for (let at = 0; at <= probe.calls; at++) {
    const journals = newFolder()
    const stop = new AbortController()
    const reason = new Error('enough')
    const policy = counting()
    const { sample } = policy
    policy.sample = (request, options) => {
      if (policy.calls === at) stop.abort(reason)
      return sample(request, options)
    }
    const options = { policy, strategy: { rollouts: 3 }, journals }
    if (at < probe.calls) {
      const error = await t.throwsAsync(all(one, { ...options, signal: stop.signal }))
      t.is(error, reason)
    }
    const rest = { ...options, policy: counting(), resume: true }
    t.deepEqual(timeless(await all(one, rest)), timeless(unbroken))
  }
  const stopped = AbortSignal.abort(new Error('at once'))
  await t.throwsAsync(all(one, { policy: counting(), signal: stopped }), { message: 'at once' })
})

test('a budget of rollouts ends a tree with what is known, and one failed call costs its rollouts alone', async t => {
  const [cut] = await all([problem('budget')], { policy: counting(), budget: { generations: 30 } })
  t.like(cut!.tree, { finish: 'budget', limit: 'generations', spent: { generations: 30 } })
  t.is(
    cut!.tree!.prefixes.reduce((sum, { count }) => sum + count, 0),
    30,
  )
  const policy = counting()
  const { sample } = policy
  policy.sample = (request, options) => {
    if (policy.calls++ % 3 === 1) throw new SurefootError('ERR_HTTP', 'the server is down')
    return sample(request, options)
  }
  const [flaky] = await all([problem('budget')], { policy })
  t.is(flaky!.tree!.finish, 'complete')
  t.true(flaky!.tree!.spent.failures > 0)
  for (const { steps, firstError } of flaky!.annotations) {
    t.is(
      firstError,
      steps.findIndex(step => step.startsWith('slip')),
    )
  }
  const broken = counting()
  broken.sample = () => Promise.reject(new TypeError('a bug'))
  await t.throwsAsync(all([problem('bug')], { policy: broken }), { instanceOf: TypeError })
})

test('a problem that is always or never solved has no first error, one without an answer a failure', async t => {
  const always: Generator = {
    id: 'always',
    capabilities,
    sample: async ({ n }) =>
      Array.from({ length: n! }, () => ({ text: 'It is\n\n7', ended: 'answer', promptTokens: 1, tokens: 3 })),
  }
  const [solved, unsolved, unknown] = await all(
    [problem('a'), { ...problem('b'), answer: '9' }, { ...problem('c'), answer: null }],
    { policy: always },
  )
  t.deepEqual(
    solved!.annotations.map(({ steps, labels, firstError }) => [steps, labels, firstError]),
    [[['It is', '7'], [1, 1], -1]],
  )
  t.deepEqual(unsolved!.annotations, [])
  t.like(unsolved!.tree!.prefixes, [{ steps: [], hits: 0, count: 8 }])
  t.like(unsolved!.tree!.solutions, [{ correct: false, firstError: null, answer: '7' }])
  t.like(unknown, { index: 2, id: 'c', tree: null, failure: { code: 'ERR_INVALID_ARGUMENT' } })
})

test('the grader of surefoot/grade decides, or one of your own', async t => {
  const half: Generator = {
    id: 'half',
    capabilities,
    sample: async ({ n }) =>
      Array.from({ length: n! }, () => ({
        text: 'So \\boxed{\\frac{1}{2}}',
        ended: 'answer',
        promptTokens: 1,
        tokens: 3,
      })),
  }
  const [result] = await all([{ ...problem('h'), answer: '0.5' }], { policy: half })
  t.is(result!.tree!.prefixes[0]!.hits, 8)
  const none = await all([{ ...problem('h'), answer: '0.5' }], { policy: half, grade: () => false })
  t.is(none[0]!.tree!.prefixes[0]!.hits, 0)
  const seen: (string | null)[] = []
  const extract = (text: string): string | null => {
    seen.push(text)
    return 'mine'
  }
  const mine = await all([{ ...problem('h'), answer: 'mine' }], { policy: half, extract })
  t.is(mine[0]!.tree!.prefixes[0]!.hits, 8)
  t.is(seen.length, 8)
})

test('what cannot be is refused', async t => {
  const policy = counting()
  const wrong: [RegExp, string, object][] = [
    [/policy/, 'ERR_INVALID_ARGUMENT', { policy: {} }],
    [/emit/, 'ERR_INVALID_ARGUMENT', { policy, emit: 'all' }],
    [/labels/, 'ERR_INVALID_ARGUMENT', { policy, labels: 'firm' }],
    [/seed/, 'ERR_INVALID_ARGUMENT', { policy, seed: -1 }],
    [/concurrency/, 'ERR_INVALID_ARGUMENT', { policy, concurrency: 0 }],
    [/journals/, 'ERR_INVALID_ARGUMENT', { policy, journals: '' }],
    [/resume/, 'ERR_INVALID_ARGUMENT', { policy, resume: true }],
    [/rollouts/, 'ERR_INVALID_ARGUMENT', { policy, strategy: { rollouts: 0 } }],
    [/prefill/, 'ERR_CAPABILITY', { policy: { ...policy, capabilities: { ...capabilities, prefill: false } } }],
  ]
  for (const [message, code, options] of wrong) {
    await t.throwsAsync(all(problems, options as OmegaOptions), { message, code })
  }
})

test('the native policy is labelled the same whatever runs beside it', async t => {
  await using policy = await Policy.load()
  const pond: ProblemRecord = {
    kind: 'problem',
    id: 'pond',
    problem:
      'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. 8 frogs sit by it. How many fish swim there now?',
    answer: '22',
  }
  const options = { policy, sampling: { temperature: 1.2 }, strategy: { rollouts: 4, searches: 6 } }
  const [alone] = await all([pond], options)
  const [beside] = await all([pond, { ...pond, id: 'other' }], options)
  t.deepEqual(timeless([beside!]), timeless([alone!]))
  t.true(alone!.tree!.spent.policyTokens > 0)
})
