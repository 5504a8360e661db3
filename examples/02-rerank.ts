// Ranks candidate answers and names the first weak step of each.
import { PRM } from 'surefoot'

const prm = await PRM.load()
const candidates = ['Tom has 8 - 2 = 6 left.\nA: 6', 'Tom has 8 + 2 = 10 in all.\nA: 10', '']
const ranking = await prm.rerank('Tom has 8 pears. He eats 2 pears. How many pears are left?', candidates)
for (const { index, score, firstWeakStep } of ranking) console.log(index, score.toFixed(3), firstWeakStep)
await prm.dispose()
