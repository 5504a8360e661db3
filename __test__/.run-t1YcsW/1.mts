import { PRM } from 'surefoot'

const prm = await PRM.load()
const problem = 'Mia has 12 plums. She eats 3. How many are left?'

// A trace has steps, or a solution that the model's profile splits.
const { steps, aggregate, semantics, tokens } = await prm.score({ problem, solution: 'Mia has 12 - 3 = 9 left.\nA: 9' })

// Several at once are batched; a stream stays in order and in flat memory.
const many = await prm.score([{ problem, steps: ['Mia has 12 - 3 = 9 left.', 'A: 9'] }], { aggregate: 'min' })
for await (const scored of prm.scoreMany([{ problem, steps: ['A: 9'] }])) console.log(scored.aggregate)

console.log(steps, aggregate, semantics, tokens, many.length)
await prm.dispose()
