// Best of four answers of a model of the AI SDK.
import { MockLanguageModelV4 } from 'ai7/test'
import { fromLanguageModel, PRM } from 'surefoot'

/** Stands for a model that needs a key, such as openai('gpt-5') of @ai-sdk/openai. */
const answers = [
  'Now there are 13 - 2 = 11.\nThat takes 11 / 3 = 4.\nLeft are 11 - 4 = 7.\nA: 7',
  'Now there are 13 + 2 = 15.\nThat takes 15 / 3 = 5.\nLeft are 15 - 5 = 10.\nA: 10',
  'Now there are 13 + 2 = 15.\nThat takes 15 / 3 = 6.\nLeft are 15 - 6 = 9.\nA: 9',
  'That takes 13 / 3 = 4.\nA: 4',
]
const count = (total: number) => ({ total, noCache: undefined, cacheRead: undefined, cacheWrite: undefined })
const model = new MockLanguageModelV4({
  doGenerate: async ({ seed }) => ({
    content: [{ type: 'text', text: answers[seed! % answers.length]! }],
    finishReason: { unified: 'stop', raw: 'stop' },
    usage: { inputTokens: count(40), outputTokens: { total: 30, text: 30, reasoning: undefined } },
    warnings: [],
  }),
})

const policy = fromLanguageModel(model)
const prm = await PRM.load()
const problem = 'Ben has 13 marbles. He finds 2 more. He gives away a third of them. How many are left?'
const samples = await policy.sample({ problem, n: 4, seed: 0 })
const ranked = await prm.rerank(
  problem,
  samples.map(({ text }) => text),
)
for (const { index, score } of ranked) console.log(score.toFixed(3), samples[index]!.text.replaceAll('\n', ' '))
await prm.dispose()
