import { print } from './lines.ts'
import { loadModel, type ModelOptions } from './model.ts'
import { factsText } from './text.ts'

/** `surefoot inspect`: the exit code. */
export async function inspect(options: ModelOptions, signal: AbortSignal): Promise<number> {
  await using prm = await loadModel(options, signal)
  await print(options.json ? JSON.stringify(prm.facts) : factsText(prm.facts))
  return 0
}
