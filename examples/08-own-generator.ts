// A generator of your own in place of a model: a calculator that adds step by step and slips now and then. A vote finds what
// most of its answers say.
import { type FunctionRequest, fromFunction, majority, solve } from 'surefoot'

/** Writes the rest of an answer from where `prefix` ends. `seed` is this sample's own: the same seed slips in the same places. */
function add({ problem, prefix, seed = 0 }: FunctionRequest): string {
  const numbers = problem.match(/\d+/g)!.map(Number)
  const done = prefix.split('\n').filter(line => line.includes('='))
  let sum = done.length === 0 ? numbers[0]! : Number(done.at(-1)!.split('= ')[1])
  const lines: string[] = []
  for (const [index, number] of numbers.slice(done.length + 1).entries()) {
    const slips = (seed * (index + 7)) % 5 === 0
    lines.push(`${sum} + ${number} = ${sum + number + Number(slips)}`)
    sum += number + Number(slips)
  }
  return [...lines, `A: ${sum}`].join('\n')
}

const calculator = fromFunction(add, {
  id: 'calculator that slips',
  separator: '\n',
  capabilities: { prefill: true, seed: true },
})

const problem = 'What is 17 + 25 + 8 + 31?'
const { answer, solutions } = await solve(problem, { policy: calculator, strategy: majority({ n: 9 }) })
for (const { answer, text } of solutions) console.log(answer, '←', text.replaceAll('\n', ', '))
console.log('most say', answer)

// It goes on with what is there, as beam and tree search ask it to.
const [next] = await calculator.sample({ problem, prefix: '17 + 25 = 42\n', until: 'step', seed: 3 })
console.log(next!.ended, next!.text)
