// Scores every step of a solution with the model that comes with the package.
import { PRM } from 'surefoot'

const prm = await PRM.load()
const problem = 'Mia has 12 plums. She eats 3 and gives half of the rest to Ben. How many plums does Mia have left?'
const { steps, aggregate } = await prm.score({
  problem,
  solution: 'Mia has 12 - 3 = 9 left.\nMia has 9 - 3 = 6 left.\nA: 6',
})
for (const { text, score } of steps) console.log(score.toFixed(3), text)
console.log(aggregate.toFixed(3), 'as one number')
await prm.dispose()
