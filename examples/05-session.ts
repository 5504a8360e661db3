// A beam of two by hand: every path tries each next step, and the two best go on.
import { PRM } from 'surefoot'

const prm = await PRM.load()
const problem = 'Ben has 13 marbles. He finds 2 more. He gives away a third of them. How many marbles in the end?'
// A model would write these.
const proposals = [
  ['Now there are 13 + 2 = 15.', 'That takes 13 / 3 = 4.'],
  ['That takes 15 / 3 = 5.', 'That leaves 15 / 3 = 5.'],
  ['Left are 15 - 5 = 10.', 'Left are 15 - 3 = 12.'],
]

let beam = [prm.session(problem)]
for (const steps of proposals) {
  const grown = await Promise.all(
    beam.flatMap(path =>
      steps.map(async step => {
        const branch = path.branch()
        const { score } = await branch.append(step)
        return { branch, score }
      }),
    ),
  )
  beam = grown
    .toSorted((a, b) => b.score - a.score)
    .slice(0, 2)
    .map(({ branch }) => branch)
}
for (const { text, score } of beam[0]!.steps) console.log(score.toFixed(3), text)
await prm.dispose()
