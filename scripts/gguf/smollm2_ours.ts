/**
 * What surefoot writes for scripts/gguf/smollm2_greedy.py:
 *
 *   npx tsx scripts/gguf/smollm2_ours.ts FOLDER/bf16.gguf EXPECTED.json > OURS.json
 */
import { readFileSync } from 'node:fs'
import { Policy } from '../../src/index.ts'

interface Case {
  readonly prompt: string
  readonly prompt_ids: readonly number[]
}

const [file, expected] = process.argv.slice(2)
const { cases, tokens }: { cases: Case[]; tokens: number } = JSON.parse(readFileSync(expected!, 'utf8'))
const policy = await Policy.load(file, { prompt: 'plain' })
const texts = cases.map(async ({ prompt, prompt_ids }) => {
  const [sample] = await policy.sample({ problem: '', prefix: prompt, temperature: 0, maxTokens: tokens })
  if (sample!.promptTokens !== prompt_ids.length) {
    throw new Error(`${JSON.stringify(prompt)} has ${sample!.promptTokens} tokens, not ${prompt_ids.length}`)
  }
  return sample!.ids
})
console.log(JSON.stringify(await Promise.all(texts)))
await policy.dispose()
