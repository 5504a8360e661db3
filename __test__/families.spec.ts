import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { page, pagePath, withoutBounds } from '../scripts/guide/checkpoints.ts'
import { goldenCases } from '../src/golden.ts'
import { PRM, type ProfileChoice, SurefootError } from '../src/index.ts'
import { failureOf, fixture, type ReferenceCase, readJson, repository, withFolder } from './helpers/fixtures.ts'
import { readShared } from './helpers/shared.ts'

const names = readdirSync(fixture('families')).toSorted()

function expected(name: string): { head: string; cases: ReferenceCase[] } {
  return readJson(join(fixture('families'), name, 'expected.json'))
}

async function load(name: string, choice: ProfileChoice | string = name): Promise<PRM> {
  return PRM.load(join(fixture('families'), name), { profile: choice })
}

test('every public family scores as its reference does', async t => {
  for (const name of names) {
    const prm = await load(name)
    const { head, cases } = expected(name)
    t.is(prm.facts.head.replace('lm-candidates', head), head)
    t.is(prm.facts.profile, name)
    for (const { problem, steps, scores, ids, name: title } of cases) {
      const scored = await prm.score({ problem, steps })
      t.is(scored.tokens, ids.length, `${name}: ${title}`)
      for (const [i, { score }] of scored.steps.entries()) {
        t.true(Math.abs(score - scores[i]!) < 1e-4, `${name}: ${title}, step ${i}: ${score} for ${scores[i]}`)
      }
      t.is(scored.steps.length, scores.length)
    }
    await prm.dispose()
  }
})

test('the command line gives the same scores', t => {
  for (const name of ['pure', 'rlhflow-deepseek', 'acemath']) {
    const { cases } = expected(name)
    const input = cases.map(({ problem, steps }) => JSON.stringify({ problem, steps })).join('\n')
    const folder = join(fixture('families'), name)
    const { stdout, status, stderr } = spawnSync(
      process.execPath,
      [join(repository, 'dist', 'cli.mjs'), 'score', '--json', '--prm', folder, '--profile', name],
      { input, encoding: 'utf8' },
    )
    t.is(status, 0, stderr)
    const lines = stdout.trim().split('\n')
    for (const [i, line] of lines.entries()) {
      for (const [step, score] of JSON.parse(line).steps.entries()) {
        t.true(Math.abs(score - cases[i]!.scores[step]!) < 1e-4)
      }
    }
    t.is(lines.length, cases.length)
  }
})

test('an outcome model takes a solution whole, as text or as steps', async t => {
  const prm = await load('acemath')
  t.is(prm.facts.split, null)
  t.is(prm.facts.semantics, 'reward')
  const [whole, joined] = await prm.score([
    { problem: 'p', solution: 'one\n\ntwo' },
    { problem: 'p', steps: ['one', 'two'] },
  ])
  t.deepEqual(whole, joined)
  t.deepEqual(
    whole!.steps.map(({ text }) => text),
    ['one\n\ntwo'],
  )
  const ranking = await prm.rerank('p', ['one\n\ntwo', '', ['one', 'two'], 'three'])
  t.is(ranking.length, 4)
  t.is(ranking.at(-1)!.index, 1)
  await prm.dispose()
})

test('a hub name in the path decides between families that have the same files', async t => {
  await withFolder(async folder => {
    for (const [name, org] of [
      ['pure', 'jinachris/PURE-PRM-7B'],
      ['math-shepherd', 'models--peiyi9979--math-shepherd-mistral-7b-prm/snapshots/0a1b2c'],
      ['rlhflow-deepseek', 'RLHFlow/Llama3.1-8B-PRM-Deepseek-Data'],
      ['versaprm', 'UW-Madison-Lee-Lab/VersaPRM'],
      ['llemma', 'ScalableMath/llemma-7b-prm-prm800k-level-1to3-hf'],
      ['qwen3-reranker', 'Qwen/Qwen3-Reranker-0.6B'],
    ] as const) {
      const copy = join(folder, org)
      mkdirSync(join(copy, '..'), { recursive: true })
      cpSync(join(fixture('families'), name), copy, { recursive: true })
      const prm = await PRM.load(copy)
      t.is(prm.facts.profile, name)
      t.regex(prm.facts.evidence, /the hub name/)
      await prm.dispose()
    }
  })
})

test('tensors, then keys of the config, then the one family with such a head decide without a hub name', async t => {
  for (const name of ['reasoneval-7b', 'reasoneval-34b', 'acemath', 'qwen-rm', 'trl']) {
    const prm = await PRM.load(join(fixture('families'), name))
    t.is(prm.facts.profile, name)
    await prm.dispose()
  }
})

test('a language model that no name explains is an error that lists the profiles', async t => {
  for (const name of ['math-shepherd', 'rlhflow-deepseek', 'math-psa', 'versaprm', 'llemma', 'qwen3-reranker']) {
    const message = await failureOf(PRM.load(join(fixture('families'), name)))
    t.regex(message, /^ERR_INVALID_ARGUMENT: profile: /)
    for (const listed of ['math-shepherd', 'rlhflow-deepseek', 'versaprm', 'qwen3-reranker'])
      t.regex(message, RegExp(listed))
  }
})

test('checkpoints that cannot be scored right are refused by name, with the reason and what to do', async t => {
  await withFolder(async folder => {
    for (const id of ['PRIME-RL/EurusPRM-Stage2', 'launch/ThinkPRM-7B', 'GenPRM/GenPRM-7B', 'infly/Universal-PRM-7B']) {
      cpSync(join(fixture('families'), 'trl'), join(folder, id), { recursive: true })
      t.regex(await failureOf(PRM.load(join(folder, id))), RegExp(`^ERR_MODEL_UNSUPPORTED: .*${id} is .*\\w\\. `))
    }
  })
})

test('a pickled head beside sound weights is named', async t => {
  await withFolder(async folder => {
    const copy = join(folder, 'model')
    cpSync(join(fixture('families'), 'rlhflow-deepseek'), copy, { recursive: true })
    writeFileSync(join(copy, 'value_head.bin'), 'pickle')
    t.regex(await failureOf(PRM.load(copy)), /^ERR_UNSAFE_FORMAT: .*value_head\.bin.*safetensors/)
    const prm = await PRM.load(copy, { profile: 'rlhflow-deepseek' })
    t.is(prm.facts.head, 'lm-candidates')
    await prm.dispose()
  })
})

test('fields of the profile can be replaced, and a whole profile can be brought along', async t => {
  const [problem, steps] = ['What is 2 + 2?', ['2 + 2 = 4.', 'So it is 4.']]
  const pure = await load('pure')
  const softmax = await load('pure', { name: 'pure', activation: 'softmax', semantics: 'probability' })
  const trl = await load('pure', 'trl')
  const scores = async (prm: PRM): Promise<number[]> =>
    (await prm.score({ problem, steps })).steps.map(({ score }) => score)
  const [difference, probability] = [await scores(pure), await scores(softmax)]
  t.deepEqual(probability, await scores(trl))
  for (const [i, score] of difference.entries()) t.true(Math.abs(score - (2 * probability[i]! - 1)) < 1e-6)
  const mine = await load('pure', {
    name: 'mine',
    head: 'linear2',
    activation: 'softmax',
    prompt: ['{problem}', { mark: 'cut' }],
    step: ['{step}', { mark: 'cut' }, { mark: 'separator' }, { mark: 'read' }],
    separator: { text: '\n' },
    split: '\n',
    semantics: 'probability',
    labels: 'humans',
    aggregate: 'min',
  })
  t.is(mine.facts.profile, 'mine')
  t.deepEqual(await scores(mine), probability)
  for (const prm of [pure, softmax, trl, mine]) await prm.dispose()
  t.regex(await failureOf(load('pure', { colour: 'red' } as ProfileChoice)), /^ERR_INVALID_ARGUMENT: .*colour/)
  t.regex(
    await failureOf(load('pure', { name: 'mine', head: 'linear2' })),
    /^ERR_INVALID_ARGUMENT: .*mine.*missing field/,
  )
  t.regex(await failureOf(load('pure', 7 as unknown as string)), /^ERR_INVALID_ARGUMENT: profile/)
})

test('more tokens than the context are an error that names the candidate and both numbers, unless they may be cut', async t => {
  const prm = await load('trl', { name: 'trl', maxLength: 64 })
  const [short, long] = [['4'], ['4 '.repeat(100)]]
  const error = await t.throwsAsync(prm.rerank('2 + 2?', [short, [], long]), { instanceOf: SurefootError })
  t.is(error!.code, 'ERR_CONTEXT_OVERFLOW')
  t.like(error!.data, { candidate: 2, limit: 64 })
  t.regex(error!.message, /candidate 2: \d+ tokens.* 64/)
  const problem = 'word '.repeat(80)
  await t.throwsAsync(prm.score({ problem, steps: short }), { message: /\d+ tokens.* 64/ })
  const cut = await prm.score({ problem, steps: short }, { onOverflow: 'truncate-left' })
  t.is(cut.tokens, 64)
  t.true(cut.truncated! > 0)
  const kept = await prm.score({ problem: '2 + 2?', steps: short }, { onOverflow: 'truncate-left' })
  t.false('truncated' in kept)
  t.like((await prm.rerank(problem, [short], { onOverflow: 'truncate-left' }))[0], { truncated: cut.truncated })
  await t.throwsAsync(
    prm.rerank('2 + 2?', [short, [...short, ...long]], { onOverflow: 'truncate-left' }),
    {
      message: /candidate 1: /,
    },
    'the cut would take a score',
  )
  t.regex(await failureOf(prm.score({ problem, steps: short }, { onOverflow: 'x' as 'error' })), /onOverflow/)
  await prm.dispose()
})

test('a broken or costly chat template is an error of its own', async t => {
  await withFolder(async folder => {
    const templates: [string, RegExp][] = [
      ['{% for message in messages %}', /ERR_TEMPLATE/],
      ['{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}', /ERR_TEMPLATE.*more work/],
      [
        '{% set ns = namespace(x="a") %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}',
        /ERR_TEMPLATE/,
      ],
      ['{{ "a" * 10000000000 }}', /ERR_TEMPLATE/],
      ['{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}', /ERR_TEMPLATE/],
      ['{{ messages.__class__.__mro__ }}', /ERR_TEMPLATE/],
      ['{{ raise_exception("no") }}', /ERR_TEMPLATE.*no/],
      ['nothing of the conversation', /ERR_TEMPLATE.*leaves out/],
      ['{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}', /ERR_TEMPLATE.*repeats/],
      ['{% include "/etc/passwd" %}', /ERR_TEMPLATE/],
    ]
    for (const [i, [template, code]] of templates.entries()) {
      const copy = join(folder, String(i))
      cpSync(join(fixture('families'), 'reasonflux'), copy, { recursive: true })
      writeFileSync(join(copy, 'chat_template.jinja'), template)
      t.regex(await failureOf(PRM.load(copy, { profile: 'reasonflux' })), code, template)
    }
    const bare = join(folder, 'bare')
    cpSync(join(fixture('families'), 'reasonflux'), bare, { recursive: true })
    const config = readJson<Record<string, unknown>>(join(bare, 'tokenizer_config.json'))
    delete config.chat_template
    writeFileSync(join(bare, 'tokenizer_config.json'), JSON.stringify(config))
    rmSync(join(bare, 'chat_template.jinja'), { force: true })
    t.regex(await failureOf(PRM.load(bare, { profile: 'reasonflux' })), /ERR_TEMPLATE.*it has none/)
  })
})

test('the real template of Qwen2.5 gives the same prompt as the plain ChatML of the profile', async t => {
  const config = readShared(t, 'models/tokenizer-qwen2_5/tokenizer_config.json')
  if (config === null) return
  await withFolder(async folder => {
    const { chat_template: template } = JSON.parse(config)
    const cases = readJson<{ cases: ReferenceCase[] }>(join(fixture('qwen2-mlp2'), 'expected.json')).cases
    cpSync(fixture('qwen2-mlp2'), folder, { recursive: true })
    writeFileSync(join(folder, 'chat_template.jinja'), template)
    const prm = await PRM.load(folder)
    for (const { problem, steps, scores, ids } of cases) {
      const scored = await prm.score({ problem, steps })
      t.is(scored.tokens, ids.length)
      for (const [i, { score }] of scored.steps.entries()) t.true(Math.abs(score - scores[i]!) < 1e-4)
    }
    await prm.dispose()
  })
})

test('inspect shows the evidence and runs published scores', async t => {
  const inspect = (...parameters: string[]) =>
    spawnSync(process.execPath, [join(repository, 'dist', 'cli.mjs'), 'inspect', ...parameters], { encoding: 'utf8' })
  const folder = join(fixture('families'), 'pure')
  const shown = inspect(folder, '--profile', 'pure')
  t.is(shown.status, 0, shown.stderr)
  t.regex(shown.stdout, /score\.weight \[2, 32\]/)
  t.regex(shown.stdout, /profile pure: named/)
  const none = inspect(folder, '--profile', 'pure', '--check')
  t.is(none.status, 1)
  t.regex(none.stderr, /no published scores are known.*Qwen\/Qwen2\.5-Math-PRM-7B/)
  await withFolder(async folder => {
    const { problem, steps, scores } = expected('pure').cases[1]!
    const file = join(folder, 'golden.json')
    writeFileSync(file, JSON.stringify([{ problem, steps, scores, tolerance: 1e-4 }]))
    const right = inspect(join(fixture('families'), 'pure'), '--profile', 'pure', '--check', file, '--json')
    t.is(right.status, 0, right.stderr)
    t.is(JSON.parse(right.stdout).checked[0].agrees, true)
    writeFileSync(file, JSON.stringify({ problem, steps, scores: scores.map(score => score + 0.1) }))
    const wrong = inspect(join(fixture('families'), 'pure'), '--profile', 'pure', '--check', file)
    t.is(wrong.status, 1)
    t.regex(wrong.stdout, /differs.*0\.1/)
    const qwen = join(folder, 'Qwen', 'Qwen2.5-Math-PRM-7B')
    cpSync(fixture('qwen2-mlp2'), qwen, { recursive: true })
    const card = JSON.parse(inspect(qwen, '--check', '--json').stdout)
    t.deepEqual(card.checked[0].published, goldenCases[0]!.scores)
    t.is(card.checked[0].agrees, false, 'random weights')
  })
})

test('the guide to checkpoints is what the profiles and the fixtures say', async t => {
  const { text, differences } = await page()
  const written = readFileSync(pagePath, 'utf8')
  t.is(withoutBounds(written), withoutBounds(text), 'run scripts/guide/checkpoints.ts')
  for (const [name, difference] of differences) {
    const [, bound] = RegExp(`^\\| \`${name}\` .* (1e-\\d+) \\|$`, 'm').exec(written)!
    t.true(Number(bound) <= 1e-4)
    t.true(difference < 1e-4)
  }
  for (const { steps, scores } of goldenCases) t.is(steps.length, scores.length)
})
