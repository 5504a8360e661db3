/**
 * Writes docs/guide/checkpoints.md from the profiles and from what the fixtures' checkpoints score here: checkpoints.ts
 *
 * A test writes the page again and compares, so that it cannot drift.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { goldenCases, goldenElsewhere } from '../../src/golden.ts'
import { PRM } from '../../src/index.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
export const pagePath: string = join(root, 'docs', 'guide', 'checkpoints.md')

interface Recipe {
  readonly name: string
  readonly source: string
  readonly caveat?: string
  readonly hub?: readonly string[]
  readonly configKeys?: readonly string[]
  readonly byDefault?: boolean
  readonly head: string
  readonly split: string | null
}

interface Book {
  readonly profiles: readonly Recipe[]
  readonly refused: readonly { readonly hub: readonly string[]; readonly why: string }[]
}

/** Checkpoints whose folder is not named as their profile. */
const folders: Readonly<Record<string, readonly string[]>> = {
  'qwen-prm': ['qwen2-mlp2', 'llama-mlp2'],
  trl: ['qwen2-linear2', 'llama-linear2', 'families/trl'],
  skywork: ['qwen2-vhead', 'llama-vhead'],
}

interface Case {
  readonly problem: string
  readonly steps: readonly string[]
  readonly scores: readonly number[]
  readonly separator?: string
}

/** The largest difference of a score from the reference's, over all traces of a profile's checkpoints. */
async function largestDifference(name: string): Promise<{ cases: number; difference: number; folders: string[] }> {
  const here = folders[name] ?? [`families/${name}`].filter(folder => exists(folder))
  let cases = 0
  let difference = 0
  for (const folder of here) {
    const path = join(root, 'fixtures', folder)
    const expected: { cases: Case[] } = JSON.parse(readFileSync(join(path, 'expected.json'), 'utf8'))
    await using prm = await PRM.load(path, { profile: name })
    for (const { problem, steps, scores, separator } of expected.cases) {
      if (separator !== undefined) continue
      const scored = await prm.score({ problem, steps })
      cases += 1
      scored.steps.forEach(({ score }, i) => {
        difference = Math.max(difference, Math.abs(score - scores[i]!))
      })
    }
  }
  return { cases, difference, folders: [...here] }
}

function exists(folder: string): boolean {
  return readdirSync(join(root, 'fixtures', 'families')).includes(folder.replace('families/', ''))
}

/** The page, and the largest difference of each profile that has a checkpoint. */
export async function page(): Promise<{ text: string; differences: Map<string, number> }> {
  const book: Book = JSON.parse(readFileSync(join(root, 'crates', 'model', 'src', 'profiles.json'), 'utf8'))
  const differences = new Map<string, number>()
  const rows: string[][] = []
  for (const recipe of book.profiles) {
    const { cases, difference, folders } = await largestDifference(recipe.name)
    const checked = folders.length > 0
    if (checked) differences.set(recipe.name, difference)
    rows.push([
      `\`${recipe.name}\``,
      (recipe.hub ?? []).join('<br>') || 'by name only',
      evidence(recipe, book.profiles),
      recipe.source + (recipe.caveat === undefined ? '' : `; **unverified**: ${recipe.caveat}`),
      checked ? `${folders.map(folder => `fixtures/${folder}`).join('<br>')}: ${cases} traces` : 'unverified',
      checked ? bound(difference) : '',
    ])
  }
  const golden = [
    ...goldenCases.map(({ hub, source, scores }) => [hub, source, scores.join(', '), '`--check`', 'no']),
    ...goldenElsewhere.map(({ hub, source, scores }) => [hub, source, scores.join(', '), '`--check FILE`', 'no']),
  ]
  const text = `<!-- Written by scripts/guide/checkpoints.ts: change that, or crates/model/src/profiles.json. -->
# Checkpoints

\`PRM.load\` takes a folder, a hub id or a GGUF file, looks at what is in it, and scores as the model's authors do.
\`surefoot inspect REF\` shows what was recognised and from which evidence. Evidence is asked in this order: the names and
shapes of the tensors (which head is there), a hub name (\`org/name\`, from the id or from the last two folders of a path),
a key that only one family's config.json has, and then the one family that usually has such a head. Where the files do not
tell families apart, loading is an error that lists the profiles; name one:

\`\`\`ts
import { PRM } from 'surefoot'

const embedded = await PRM.load()
console.log(embedded.facts.profile, embedded.facts.evidence, embedded.facts.separatorIds)
await embedded.dispose()
\`\`\`

\`\`\`ts needs a checkpoint
const prm = await PRM.load('./some-folder', { profile: 'math-shepherd' })
const mine = await PRM.load('./mine', { profile: { name: 'trl', separator: '\\n\\n', threshold: 0.3 } })
\`\`\`

Any field of a profile can be replaced, and a whole one of your own brought along (\`Profile\` in the API); the same object
in a \`surefoot.json\` beside the weights does it for every caller.

A GGUF file without a head, or any base model, takes its head from a safetensors file (\`score.weight\` and the like), or what a
LoRA adapter saved beside its updates. An adapter's folder alone is enough where it names its base by a path that exists:

\`\`\`ts needs a checkpoint
await PRM.load('./qwen2.5-math-7b-Q8_0.gguf', { head: './prm-head.safetensors', profile: 'trl' })
await PRM.load('./base', { head: './my-adapter' }) // a folder with adapter_config.json
\`\`\`

GGUF: f32, f16, bf16, Q4_0 to Q8_0 and Q2_K to Q6_K are widened as they are read; architectures llama (Mistral too), qwen2 and
qwen3; tokenizers of the kinds \`gpt2\` (with the pre-tokenizers qwen2, llama-bpe, smollm and gpt-2) and \`llama\`. Other types,
split files and unknown pre-tokenizers are refused by name. [Measured](../measurements/gguf.md).

## Families

Random weights of tiny shapes, scored here and by the reference arithmetic on transformers (\`scripts/reference.py\`): ids
and read positions are equal, and no score differs by more than the last column says. The weights that the authors
published are too large for the tests.

${table(['profile', 'hub names', 'recognised by', 'recipe', 'checked against', 'largest difference'], rows)}

Choices where public code disagrees with itself or says nothing:

- A separator or a special token that a user writes stays text, and adds no score.
- \`math-shepherd\` numbers steps that do not begin with "Step"; \`math-shepherd\`, \`rlhflow-*\`, \`math-psa\`, \`versaprm\` and
  \`llemma\` cut blanks at the ends of a step; \`llemma\` makes one line break of several inside a step; \`skywork\` makes a
  blank of a line break.
- \`reasoneval-7b\` reads one token before the end of each step, as its authors' code and published scores do.
- \`rlhflow-*\` renders the checkpoint's own chat template; a template that asks for today's date gets none, so that scores
  do not change with the day.
- An outcome model (\`acemath\`, \`qwen-rm\`, \`qwen3-reranker\`) scores a solution as a whole: one step comes back.
- \`rlhflow-mistral\` is \`rlhflow-deepseek\` but for where solutions are split.

## Recognised and refused

${book.refused.map(({ hub, why }) => `- ${hub.map(id => `\`${id}\``).join(', ')}: ${why}.`).join('\n')}

Pickled weights are refused wherever they stand.

## Published scores

For whoever has the weights. None was run by this project: the weights cannot be had where it is built.

${table(['checkpoint', 'published in', 'scores', 'run by', 'run here'], golden)}
`
  return { text, differences }
}

function evidence({ name, head, hub, configKeys, byDefault }: Recipe, all: readonly Recipe[]): string {
  const alone = all.filter(recipe => recipe.head === head).length === 1
  return [
    `head \`${head}\``,
    ...(hub?.length ? ['hub name'] : []),
    ...(configKeys ?? []).map(key => `\`${key}\` in config.json`),
    ...(byDefault ? [alone ? 'the only one with it' : 'the usual one'] : []),
    ...(name === 'universal-prm' ? ['its name only'] : []),
  ].join(', ')
}

/** The next power of ten. */
function bound(difference: number): string {
  return `1e${Math.ceil(Math.log10(Math.max(difference, 1e-7)))}`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** The page without the numbers that differ between processors. */
export function withoutBounds(text: string): string {
  return text.replaceAll(/\| 1e-\d+ \|/g, '| |')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  void page().then(({ text }) => writeFileSync(pagePath, text))
}
