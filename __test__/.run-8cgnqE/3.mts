import { PRM, SurefootError } from 'surefoot'

const prm = await PRM.load()
try {
  await prm.score({ problem: 'p', steps: [] })
} catch (error) {
  if (SurefootError.isInstance(error)) console.log(error.code, error.message)
}

const stop = new AbortController()
const ranking = prm.rerank('p', ['one', 'two'], { signal: stop.signal })
stop.abort()
await ranking.catch(reason => console.log(reason.name)) // AbortError
await prm.dispose()
