import { PRM } from 'surefoot'

const prm = await PRM.load()
const session = prm.session('Ben has 13 marbles. He finds 2 more. He gives away a third of them. How many are left?')
await session.append('Now there are 13 + 2 = 15.')

// Two ways to go on, scored at the same time.
const [left, right] = [session.branch(), session.branch()]
const [a, b] = await Promise.all([left.append('That takes 15 / 3 = 5.'), right.append('That takes 13 / 3 = 4.')])
const best = a.score > b.score ? left : right
await best.append(['Left are 15 - 5 = 10.', 'A: 10']) // several steps at once
console.log(best.steps, (await best.score()).aggregate, session.steps.length)
await prm.dispose()
