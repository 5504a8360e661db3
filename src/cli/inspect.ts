import { invalidArgument } from '../errors.ts'
import { type GoldenCase, goldenCases, goldenElsewhere, readGoldenCases } from '../golden.ts'
import type { PRM } from '../prm.ts'
import { print } from './lines.ts'
import { loadModel, type ModelOptions } from './model.ts'
import { checkText, factsText } from './text.ts'

interface InspectOptions extends ModelOptions {
  /** Runs the published examples of the checkpoint, or those of a file. */
  readonly check?: true | string
}

/** A published example as this machine scores it. */
export interface Checked {
  readonly source: string
  readonly published: readonly number[]
  readonly scores: readonly number[]
  /** The largest difference of a score. */
  readonly difference: number
  readonly tolerance: number
  readonly agrees: boolean
}

/** `surefoot inspect`: the exit code, 1 when a published example comes out otherwise. */
export async function inspect(options: InspectOptions, signal: AbortSignal): Promise<number> {
  await using prm = await loadModel(options, signal)
  const checked = options.check === undefined ? undefined : await check(prm, options.check, signal)
  if (options.json) {
    await print(JSON.stringify(checked === undefined ? prm.facts : { ...prm.facts, checked }))
  } else {
    await print([factsText(prm.facts), ...(checked ?? []).map(checkText)].join('\n'))
  }
  return checked?.every(({ agrees }) => agrees) === false ? 1 : 0
}

async function check(prm: PRM, file: true | string, signal: AbortSignal): Promise<Checked[]> {
  const checked: Checked[] = []
  for (const golden of file === true ? published(prm.facts.hubId) : readGoldenCases(file)) {
    const { steps } = await prm.score(golden, { signal })
    const scores = steps.map(({ score }) => score)
    if (scores.length !== golden.scores.length) {
      invalidArgument('check', `${golden.source}: ${golden.scores.length} published scores for ${scores.length} steps`)
    }
    const difference = Math.max(...scores.map((score, i) => Math.abs(score - golden.scores[i]!)))
    const { source, tolerance } = golden
    checked.push({ source, published: golden.scores, scores, difference, tolerance, agrees: difference <= tolerance })
  }
  return checked
}

function published(hubId: string | null): readonly GoldenCase[] {
  const cases = goldenCases.filter(({ hub }) => hub === hubId)
  if (cases.length > 0) return cases
  const elsewhere = goldenElsewhere.find(({ hub }) => hub === hubId)
  const name = hubId ?? 'this folder'
  if (elsewhere) {
    invalidArgument(
      'check',
      `the example of ${name} stands in ${elsewhere.source}; put its problem, steps and scores ${JSON.stringify(elsewhere.scores)} into a JSON file and pass that: --check FILE`,
    )
  }
  const known = [...new Set(goldenCases.map(({ hub }) => hub))].join(', ')
  return invalidArgument('check', `no published scores are known for ${name}; known are those of ${known}`, hubId)
}
