// A policy writes, a PRM scores each step as it closes, and at the first weak one another attempt begins.
import { Policy, PRM, stream } from 'surefoot'

const [policy, prm] = await Promise.all([Policy.load(), PRM.load()])
const problem =
  'In a pond swim 9 fish. Then twice as many come as are there. A heron takes 5. How many fish swim there now?'

for (let seed = 1, whole = false; !whole && seed <= 20; seed++) {
  console.log(`attempt ${seed}`)
  whole = true
  for await (const { score, text, weak } of prm.watch(problem, stream(policy, { problem, seed }))) {
    console.log(score.toFixed(3), text, weak ? '← weak' : '')
    whole &&= !weak
    if (weak) break // the policy stops writing
  }
}
await policy.dispose()
await prm.dispose()
