// Stops a stream at the first weak step, so that nothing more is written on a path that has gone wrong.
import { setTimeout } from 'node:timers/promises'
import { PRM } from 'surefoot'

/** Stands for a model that writes: the textStream of the AI SDK, or an OpenAI stream mapped to its text. */
async function* write(solution: string): AsyncGenerator<string> {
  try {
    for (const word of solution.split(/(?<=\s)/)) {
      await setTimeout(20)
      yield word
    }
    console.log('the stream came to its end')
  } finally {
    console.log('the stream is closed')
  }
}

const prm = await PRM.load()
const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. 8 frogs sit by it. How many fish swim there now?'
const stream = write(
  'That brings 9 * 2 = 18.\nThat makes 9 + 18 = 27.\nThat leaves 27 - 5 = 22.\nNow there are 22 + 8 = 30.\nA: 30\n',
)
for await (const { score, text, weak } of prm.watch(problem, stream)) {
  console.log(score.toFixed(3), text, weak ? '← weak' : '')
  if (weak) break
}
await prm.dispose()
