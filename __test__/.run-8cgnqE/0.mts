import { aggregate, PRM } from 'surefoot'

const prm = await PRM.load()
const trace = {
  problem: 'Ben has 20 coins. He gives 5 to Lea. How many are left?',
  steps: ['Ben has 20 - 5 = 15 left.', 'A: 15'],
}
const scored = await prm.score(trace, { aggregate: 'min' })
console.log(
  scored.aggregate ===
    aggregate(
      scored.steps.map(step => step.score),
      'min',
    ),
)
await prm.dispose()
