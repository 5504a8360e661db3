import { beam, Policy, PRM, solve } from 'surefoot'

const policy = await Policy.load() // or any other policy: see policies.md
const prm = await PRM.load()
const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. How many fish swim there now?'

const run = solve(problem, {
  policy,
  prm,
  strategy: beam(),
  budget: { policyTokens: 2000 },
  sampling: { temperature: 1 },
})
for await (const event of run) if (event.type === 'scored') console.log(event.value.toFixed(2), event.text)

const { answer, solution, finish, spent, solutions, trace } = await run
console.log(answer, finish, spent.policyTokens, spent.prmTokens)
for (const { text, score } of solution!.steps) console.log(score?.toFixed(2), text)
console.log(solutions.length, 'solutions in a tree of', trace.length, 'nodes')
await Promise.all([policy.dispose(), prm.dispose()])
