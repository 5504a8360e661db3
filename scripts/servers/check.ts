/**
 * Holds the client for servers against a real one: npx tsx scripts/servers/check.ts BASE_URL MODEL [chat|completions] [PROBLEM]
 * Prints what was asked for and what came back. The separator is SEPARATOR, by default a blank line.
 */
import { openai } from '../../src/generator/openai.ts'

const [baseURL, model, endpoint = 'chat', problem = 'Write the numbers from one to five as words.'] =
  process.argv.slice(2)
if (baseURL === undefined || model === undefined)
  throw new Error('usage: check.ts BASE_URL MODEL [chat|completions] [PROBLEM]')

const separator = (process.env.SEPARATOR ?? '\\n\\n').replaceAll('\\n', '\n')
let requests: string[] = []
const counting: typeof fetch = async (url, init) => {
  const response = await fetch(url, init)
  const body = init?.body === undefined ? {} : JSON.parse(String(init.body))
  requests.push(`${response.status}${body.n > 1 ? ` n=${body.n}` : ''}${body.stream ? ' stream' : ''}`)
  return response
}
const policy = openai({
  baseURL,
  model,
  endpoint: endpoint as 'chat' | 'completions',
  separator,
  fetch: counting,
  retries: 0,
})

let failed = 0
async function check(name: string, work: () => Promise<unknown>): Promise<void> {
  requests = []
  const begin = performance.now()
  let said: string
  try {
    const value = await work()
    if (value === false) failed++
    said = value === true ? 'ok' : value === false ? 'NOT SO' : `${value}`
  } catch (error) {
    failed++
    said = `FAILED ${error instanceof Error ? error.message : error}`
  }
  const asked = Object.entries(counted(requests)).map(([what, count]) => `${count}x ${what}`)
  console.log(`${name}: ${said}  [${asked.join(', ')}; ${Math.round(performance.now() - begin)} ms]`)
}

function counted(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

const greedy = { problem, temperature: 0, maxTokens: 64 } as const
let whole = ''

await check('detected', async () => {
  await policy.ready()
  return `${policy.dialect}, ${JSON.stringify(policy.capabilities)}`
})
await check('greedy answer', async () => {
  const [sample] = await policy.sample(greedy)
  whole = sample!.text
  return JSON.stringify(sample)
})
await check('streamed, the same text; heard, the same text', async () => {
  let heard = ''
  const [sample] = await policy.sample(greedy, { onText: text => (heard += text) })
  return sample!.text === whole && heard === whole
})
await check('greedy step', async () => {
  const [sample] = await policy.sample({ ...greedy, until: 'step' })
  const first = whole.split(separator)[0]
  return `${JSON.stringify(sample)}; ${sample!.text === first ? 'is the beginning of the answer' : `NOT ${JSON.stringify(first)}`}`
})
await check('a prefix is continued as the answer goes on', async () => {
  const at = whole.indexOf(separator) >= 0 ? whole.indexOf(separator) + separator.length : whole.indexOf(' ', 12)
  const [sample] = await policy.sample({ ...greedy, prefix: whole.slice(0, at), maxTokens: 16 })
  const same = whole.slice(at).startsWith(sample!.text) || sample!.text.startsWith(whole.slice(at))
  return `${same ? 'ok' : `NOT SO, for ${JSON.stringify(whole.slice(at))}`}: ${JSON.stringify(sample)}`
})
await check('a stop text', async () => {
  const stop = whole.slice(8, 12)
  const [sample] = await policy.sample({ ...greedy, stop: [stop] })
  return sample!.ended === 'stop' && sample!.stop === stop && sample!.text === whole.slice(0, whole.indexOf(stop))
})
await check('length', async () => {
  const [sample] = await policy.sample({ ...greedy, maxTokens: 3 })
  return sample!.ended === 'length' && sample!.tokens === 3
})
await check('logprobs, one for each token', async () => {
  const [sample] = await policy.sample({ ...greedy, logprobs: true })
  return sample!.logprobs!.length === sample!.tokens ? true : `${sample!.logprobs!.length} for ${sample!.tokens} tokens`
})
await check('logprobs of a step', async () => {
  const [sample] = await policy.sample({ ...greedy, logprobs: true, until: 'step' })
  return `${sample!.logprobs!.length} for ${sample!.tokens} tokens${sample!.estimated ? ', estimated' : ''}`
})
const seeded = { problem, temperature: 1, maxTokens: 24, seed: 7 } as const
for (const n of [4, 16]) {
  await check(`${n} samples with a seed, twice`, async () => {
    const texts = async (): Promise<string[]> => (await policy.sample({ ...seeded, n })).map(({ text }) => text)
    const [a, b] = [await texts(), await texts()]
    return `${new Set(a).size} texts, ${a.every((text, at) => text === b[at]) ? 'the same again' : 'NOT the same again'}`
  })
}
await check('4 samples without a seed', async () => {
  const samples = await policy.sample({ problem, temperature: 1, maxTokens: 24, n: 4 })
  const tokens = samples.map(each => `${each.tokens}${each.estimated ? '~' : ''}`)
  return `${new Set(samples.map(({ text }) => text)).size} texts of ${tokens} tokens`
})
await check('4 greedy samples', async () => (await policy.sample({ ...greedy, n: 4, maxTokens: 8 })).length === 4)
await check('4 steps', async () => {
  const samples = await policy.sample({ ...seeded, until: 'step', n: 4 })
  return samples.map(({ ended, tokens, estimated }) => `${ended} ${tokens}${estimated ? '~' : ''}`).join(', ')
})
await check('all settings', async () => {
  const settings = { topK: 5, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1, bans: [7] }
  return (await policy.sample({ ...seeded, ...settings })).length === 1
})
await check('a banned text', async () => {
  const word = /\w+/.exec(whole)![0]
  const [sample] = await policy.sample({ ...greedy, bans: [word] }).catch(error => [{ text: error.code }])
  return `${JSON.stringify(word)} gives ${JSON.stringify(sample!.text.slice(0, 40))}`
})
await check('top-k 1', async () => {
  const [sample] = await policy.sample({ ...greedy, temperature: 1, topK: 1 })
  return sample!.text === whole ? 'is greedy' : `is not greedy: ${JSON.stringify(sample!.text)}`
})
await check('an abort', async () => {
  const abort = new AbortController()
  setTimeout(() => abort.abort('enough'), 50)
  const long = policy.sample({ problem, n: 4, maxTokens: 1000, temperature: 1 }, { signal: abort.signal })
  return long.then(
    () => 'came too late',
    reason => reason === 'enough',
  )
})
await check('a prompt that is too long', async () =>
  policy.sample({ problem: 'word '.repeat(50_000), maxTokens: 4 }).then(
    () => 'was taken',
    error => `${error.code} ${error.message}`,
  ),
)
process.exitCode = failed > 0 ? 1 : 0
