import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beam, Policy, PRM, replay, solve } from 'surefoot'

const journal = join(await mkdtemp(join(tmpdir(), 'search-')), 'journal.jsonl')
const [policy, prm] = [await Policy.load(), await PRM.load()]
const problem = 'In a pond swim 9 fish. A heron takes 5. How many fish swim there now?'
const { answer } = await solve(problem, {
  policy,
  prm,
  strategy: beam(),
  sampling: { temperature: 1 },
  journal,
  resume: true,
})
const again = await replay(journal, { aggregate: 'mean', choose: 'majority' })
if (again.complete) console.log(answer, again.solved.answer)
await Promise.all([policy.dispose(), prm.dispose()])
