import { PRM } from 'surefoot'

const prm = await PRM.load() // the small model that comes with the package
const [best] = await prm.rerank('Tom has 8 pears. He eats 2 pears. How many pears are left?', [
  'Tom has 8 - 2 = 6 left.\nA: 6',
  'Tom has 8 + 2 = 10 in all.\nA: 10',
])
console.log(best) // { index, score, steps: [{ text, score }], firstWeakStep }
await prm.dispose()
