import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { syntheticSolved } from '../scripts/page/tree-samples.ts'
import {
  beam,
  bestOfN,
  dvts,
  majority,
  mcts,
  Policy,
  PRM,
  rebase,
  refine,
  type Solved,
  type SolveOptions,
  type Strategy,
  type SurefootError,
  solve,
} from '../src/index.ts'
import { CARD, layOut } from '../src/report/tree/layout.ts'
import { pathTo, type Row, rowsOf, shownOf } from '../src/report/tree/rows.ts'
import { type SearchTree, type SearchTreeNode, searchTree, treePage } from '../src/report/tree.ts'
import { repository } from './helpers/fixtures.ts'

const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. 8 frogs sit by it. How many fish swim there now?'
const folder = mkdtempSync(join(tmpdir(), 'surefoot-tree-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

let files = 0
const newFile = (): string => join(folder, `${files++}.jsonl`)

async function searched(strategy: Strategy, more: Partial<SolveOptions> = {}): Promise<[string, Solved, SolveOptions]> {
  await using policy = await Policy.load()
  await using prm = await PRM.load()
  const journal = newFile()
  const options = { policy, prm, strategy, sampling: { temperature: 1 }, seed: 3, journal, ...more }
  return [journal, await solve(problem, options), options]
}

/** The data that a page carries. */
function dataIn(html: string): { search: Omit<SearchTree, 'nodes'>; nodes: SearchTreeNode[] } {
  return JSON.parse(/<script type="application\/json" id="data">([\s\S]*?)<\/script>/.exec(html)![1]!)
}

const strategies: readonly [string, Strategy][] = [
  ['bestOfN', bestOfN({ n: 12 })],
  ['majority', majority({ n: 6 })],
  ['beam', beam()],
  ['beam, looking ahead', beam({ width: 2, lookahead: 1 })],
  ['dvts', dvts()],
  ['rebase', rebase()],
  ['mcts', mcts({ simulations: 12 })],
  ['mcts with rollouts', mcts({ simulations: 6, value: 'rollout' })],
  ['refine', refine({ rounds: 4, samples: 2, threshold: 0.95 })],
]

for (const [name, strategy] of strategies) {
  test(`${name}: the page of a journal has every node with its text, scores, visits, value, answer and cost`, async t => {
    const [journal, solved] = await searched(strategy, { budget: { policyTokens: 3000 } })
    const { search, nodes } = dataIn(await treePage(journal))
    t.deepEqual(
      nodes.map(({ group: _, cost: _cost, ...node }) => node),
      JSON.parse(JSON.stringify(solved.trace.map(({ text: _, ...node }) => node))),
    )
    t.like(search, {
      answer: solved.answer,
      finish: solved.finish,
      limit: solved.limit,
      chosen: solved.solution!.node,
      spent: solved.spent,
    })
    t.like(search.configuration, { problem, budget: { policyTokens: 3000 }, seed: 3, strategy: { ...strategy } })
    const sum = (of: (cost: NonNullable<SearchTreeNode['cost']>) => number): number =>
      nodes.reduce((sum, { cost }) => sum + (cost === null ? 0 : of(cost)), 0)
    t.is(
      sum(({ policyTokens, aheadTokens }) => policyTokens + aheadTokens),
      solved.spent.policyTokens,
    )
    t.is(
      sum(({ prmTokens }) => prmTokens),
      solved.spent.prmTokens,
    )
    for (const { answer, group } of nodes) t.is(group === null, answer === null)
  })
}

test('a result has the same page as its journal, but for what each node cost', async t => {
  const [journal, solved, options] = await searched(mcts({ simulations: 10 }), { budget: { generations: 100 } })
  const recorded = searchTree(journal)
  const plain = searchTree(solved, { problem, ...options })
  t.deepEqual(
    plain.nodes,
    recorded.nodes.map(node => ({ ...node, cost: null })),
  )
  const { nodes: _, configuration, ...rest } = plain
  const { nodes: _nodes, configuration: whole, ...others } = recorded
  t.deepEqual(rest, others)
  const { problem: _problem, seed, budget, separator, prm } = configuration
  t.deepEqual({ seed, budget, separator }, { seed: whole.seed!, budget: whole.budget!, separator: whole.separator! })
  t.is(prm!.threshold, whole.prm!.threshold)
  t.regex(await treePage(solved), /<title> – surefoot search<\/title>/)
})

test('a journal that was broken off has the page of the search so far, wherever it was cut', async t => {
  const [journal, solved] = await searched(beam())
  const bytes = await readFile(journal)
  const first = bytes.indexOf(10) + 1
  let before = 0
  for (let part = 0; part <= 8; part++) {
    const torn = newFile()
    await writeFile(torn, bytes.subarray(0, Math.max(first, Math.floor((bytes.length * part) / 8))))
    const tree = searchTree(torn)
    t.is(tree.finish, part === 8 ? 'complete' : null)
    t.true(tree.nodes.length >= Math.max(1, before) && tree.nodes.length <= solved.trace.length)
    before = tree.nodes.length
    for (const { node, steps } of tree.nodes) t.deepEqual(steps, solved.trace.find(of => of.node === node)!.steps)
  }
  t.is(before, solved.trace.length)
})

test('what is no journal and no tree is refused', async t => {
  const file = newFile()
  await writeFile(file, 'some\nnotes\n')
  t.throws(() => searchTree(file), { code: 'ERR_INVALID_ARGUMENT' })
  t.throws(() => searchTree(join(folder, 'nothing')), { code: 'ERR_IO' })
  t.throws(() => searchTree({} as never), { code: 'ERR_INVALID_ARGUMENT' })
  await writeFile(file, '{"schema":1,"configuration":{"problem":7}}\n')
  t.throws(() => searchTree(file), { code: 'ERR_INVALID_ARGUMENT' })

  const [journal] = await searched(beam({ width: 2 }))
  const lines = (await readFile(journal, 'utf8')).split('\n')
  const own = JSON.parse(lines[0]!)
  own.configuration.strategy = null
  await writeFile(file, `${JSON.stringify(own)}\n${lines.slice(1).join('\n')}`)
  const error = t.throws<SurefootError>(() => searchTree(file), { code: 'ERR_INVALID_ARGUMENT' })
  t.regex(error!.message, /treePage\(solved/)

  const good = syntheticSolved(3)
  const [root, one, two, three] = good.trace
  for (const trace of [
    [root, { ...one, parent: 9 }],
    [root, { ...one, parent: 1 }],
    [root, one, one],
    [root, { ...one, parent: null }],
    [root, { ...two, parent: 3 }, { ...three, parent: 2 }],
  ]) {
    t.throws(() => searchTree({ ...good, trace } as Solved), { code: 'ERR_INVALID_ARGUMENT' })
  }
  // A search of one's own need not list the root.
  t.is(searchTree({ ...good, trace: good.trace.slice(1) }).nodes.length, 4)
})

const hostile = [
  '</script><script>window.hacked = 1</script>',
  '<img src="x" onerror="window.hacked = 1">',
  '<!--<script>',
  'line\u2028separator\u2029paragraph',
  'right-to-left \u202e override',
  '\ud800 half a character \0',
]

test('a page carries hostile text as data, and is one script that its policy names by hash', async t => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...hostile))
  await fc.assert(
    fc.asyncProperty(text, text, text, async (problem, step, answer) => {
      const solved = syntheticSolved(3)
      const trace = solved.trace.map(node => ({ ...node, steps: [step], finished: true, answer }))
      const html = await treePage({ ...solved, trace, answer }, { problem })
      const data = dataIn(html)
      const sent = JSON.parse(JSON.stringify({ problem, step, answer }))
      t.is(data.search.configuration.problem, sent.problem)
      for (const node of data.nodes) t.like(node, { steps: [sent.step], answer: sent.answer })
      const scripts = [...html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/gi)]
      t.deepEqual(
        scripts.map(([, attributes]) => attributes),
        [' type="application/json" id="data"', ''],
      )
      const hash = createHash('sha256').update(scripts[1]![2]!).digest('base64')
      t.true(html.includes(`content="default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; `))
      const rest = scripts.reduce((text, [script]) => text.replace(script, ''), html)
      t.notRegex(rest, /<(link|img|iframe|base|script|svg)\b|@import|url\(|https?:/)
    }),
    { numRuns: 20 },
  )
})

/** Whether no two cards of a layout meet, no card and a block of others, and every child stands right of its parent. */
function faults(rows: readonly Row[], has: readonly boolean[]): string[] {
  const { x, y, inBlock, blocks, width, height } = layOut(rows, { has })
  const found: string[] = []
  const columns = new Map<number, { y: number; height: number; name: string }[]>()
  const put = (at: number, y: number, height: number, name: string): void => {
    columns.set(at, [...(columns.get(at) ?? []), { y, height, name }])
  }
  for (const [place, { parent }] of rows.entries()) {
    if (!has[place]) {
      if (!Number.isNaN(x[place]!)) found.push(`${place} is placed`)
      continue
    }
    const inside =
      x[place]! >= 0 && y[place]! >= 0 && x[place]! + CARD.width <= width && y[place]! + CARD.height <= height
    if (!inside) found.push(`${place} lies outside`)
    if (parent >= 0 && !(x[place]! >= x[parent]! + CARD.width)) found.push(`${place} is not right of ${parent}`)
    put(x[place]!, y[place]!, CARD.height, String(place))
  }
  const edges = [...new Set(x)].filter(at => !Number.isNaN(at))
  for (const block of blocks) {
    for (const at of edges) {
      const touches = at + CARD.width > block.x && at < block.x + block.width
      if (touches) put(at, block.y, block.height, `block of ${block.parent}`)
    }
  }
  for (const column of columns.values()) {
    column.sort((a, b) => a.y - b.y || b.height - a.height)
    let [block, end] = ['', Number.NEGATIVE_INFINITY]
    let bottom = Number.NEGATIVE_INFINITY
    for (const { y, height, name } of column) {
      const own = !name.startsWith('block') && y + height <= end && inBlock[Number(name)]
      if (name.startsWith('block')) {
        if (y < bottom) found.push(`${name} meets what is above`)
        ;[block, end] = [name, y + height]
      } else if (y < bottom || (y < end && !own)) found.push(`${name} meets what is above, or ${block}`)
      bottom = name.startsWith('block') ? Math.max(bottom, y) : y + height
    }
  }
  return found
}

const treeOf = (parents: readonly number[]): Row[] => {
  const { nodes } = searchTree(syntheticSolved(parents.length, 'flat'))
  return rowsOf(nodes.map((node, index) => (index === 0 ? node : { ...node, parent: parents[index - 1]! })))
}

test('no layout has cards that meet, whatever the tree and whatever is folded', t => {
  const parents = fc
    .tuple(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 30 }), fc.infiniteStream(fc.nat()))
    .map(([count, back, random]) =>
      Array.from({ length: count }, (_, index) => Math.max(0, index - (random.next().value % back))),
    )
  fc.assert(
    fc.property(parents, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 130 }), (parents, kept, opened, most) => {
      const rows = treeOf(parents)
      const whole = shownOf(rows, { most: 1000, kept: [], opened: 0, pruned: true })
      t.is(whole.count, rows.length)
      t.deepEqual(faults(rows, whole.has), [])
      const options = { most, kept: [kept % rows.length], opened: opened % rows.length, pruned: false }
      const some = shownOf(rows, options)
      t.deepEqual(faults(rows, some.has), [])
      for (const [place, { parent }] of rows.entries()) if (some.has[place] && parent >= 0) t.true(some.has[parent])
      for (const place of [...options.kept, options.opened]) {
        for (const at of pathTo(rows, place)) t.true(some.has[at])
      }
      const folded = some.has.reduce((sum, has, place) => sum + (has ? some.folded[place]! : 0), 0)
      t.is(folded + some.count, rows.length)
    }),
    { numRuns: 120 },
  )
})

test('of 50,000 nodes no more are drawn than may be, in any shape, and the chosen path is', t => {
  for (const shape of ['tree', 'flat', 'path'] as const) {
    const { nodes, chosen } = searchTree(syntheticSolved(50_000, shape))
    const rows = rowsOf(nodes)
    const end = chosen ?? 7
    const shown = shownOf(rows, { most: 10_000, kept: [end], opened: 0, pruned: true })
    t.is(shown.count, shape === 'path' && end > 10_000 ? end + 1 : 10_000, shape)
    t.true(pathTo(rows, end).every(place => shown.has[place]))
    const { x, y } = layOut(rows, shown)
    t.is(x.filter(at => !Number.isNaN(at)).length, shown.count)
    t.is(new Set(rows.flatMap((_, place) => (shown.has[place] ? `${x[place]} ${y[place]}` : []))).size, shown.count)
    const opened = rows.findIndex((_, place) => shown.has[place] && shown.folded[place]! > 0)
    const other = shownOf(rows, { most: 10_000, kept: [end], opened, pruned: true })
    t.true(other.folded[opened]! <= shown.folded[opened]!)
  }
})

test('the bundled code is named with its licence in every page', async t => {
  const html = await treePage(syntheticSolved(3))
  t.regex(html, /^d3-hierarchy \d+\.\d+\.\d+ \(ISC\)$/m)
})

test('surefoot report takes a journal: a page beside it, or its tree as JSON', async t => {
  const [journal, solved] = await searched(dvts({ trees: 2 }))
  const surefoot = (...parameters: string[]) => {
    const script = join(repository, 'src', 'cli', 'main.ts')
    return spawnSync(process.execPath, ['--import=tsx', script, 'report', ...parameters], {
      encoding: 'utf8',
      cwd: repository,
    })
  }
  const made = surefoot(journal)
  t.is(made.status, 0, made.stderr)
  t.is(made.stdout, `${journal.replace(/\.jsonl$/, '.html')}\n`)
  t.is(dataIn(await readFile(made.stdout.trim(), 'utf8')).nodes.length, solved.trace.length)
  const data = surefoot(journal, '--format', 'json')
  t.deepEqual(JSON.parse(data.stdout), JSON.parse(JSON.stringify(searchTree(journal))))
  const table = surefoot(journal, '--format', 'csv')
  t.is(table.status, 1)
  t.regex(table.stderr, /html and json/)
  const before = await readFile(journal)
  const odd = join(folder, 'journal.html')
  await writeFile(odd, before)
  t.is(surefoot(odd).stdout, `${odd}.html\n`)
  t.deepEqual(await readFile(odd), before)
})
