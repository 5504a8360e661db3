import { PRM } from 'surefoot'

const prm = await PRM.load()
const problem = 'Mia has 12 plums. She eats 3. How many are left?'
const session = prm.session(problem)
const { score } = await session.append('Mia has 12 - 3 = 9 left.')
const other = session.branch() // goes on from here by itself
await Promise.all([session.append('A: 9'), other.append('A: 8')]) // batched
console.log(score, session.steps, await other.score())

// The textStream of the AI SDK, a ReadableStream, any async iterable of text.
const stream = new Blob(['Mia has 12 - 3 = 9 left.\nA: 9']).stream().pipeThrough(new TextDecoderStream())
for await (const { text, weak } of prm.watch(problem, stream)) {
  console.log(text, weak)
  if (weak) break // closes the stream
}
await prm.dispose()
