import { PRM } from 'surefoot'

async function* write(): AsyncGenerator<string> {
  for (const piece of ['Tom has 8 - 2', ' = 6 left.\n', 'Tom has 6 + 8 = 1', '4 in all.\nA: ', '14']) yield piece
}

const prm = await PRM.load()
const problem = 'Tom has 8 pears. He eats 2 pears. How many pears are left?'
for await (const { index, text, score, weak, aggregate } of prm.watch(problem, write())) {
  console.log(index, text, score, aggregate) // `aggregate`: the scores so far as one number
  if (weak) break // below the threshold of the profile
}
await prm.dispose()
