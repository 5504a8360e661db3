/**
 * Scores that the authors of public PRMs published, for whoever has the weights: `surefoot inspect REF --check` runs them.
 * Weights of this size cannot be had where this project is tested, so none of these runs in its tests.
 */
import { readFileSync } from 'node:fs'
import { invalidArgument, SurefootError } from './errors.ts'

/** A published example. */
export interface GoldenCase {
  /** Where it was published. */
  readonly source: string
  readonly hub: string
  readonly problem: string
  readonly steps: readonly string[]
  readonly scores: readonly number[]
  /** How far a score may lie off: the published numbers were computed in half precision. */
  readonly tolerance: number
}

/** From ProcessBench (gsm8k-0), Apache-2.0; the Qwen cards show the same solution. */
const flamingos = {
  problem:
    "Sue lives in a fun neighborhood.  One weekend, the neighbors decided to play a prank on Sue.  On Friday morning, the neighbors placed 18 pink plastic flamingos out on Sue's front yard.  On Saturday morning, the neighbors took back one third of the flamingos, painted them white, and put these newly painted white flamingos back out on Sue's front yard.  Then, on Sunday morning, they added another 18 pink plastic flamingos to the collection. At noon on Sunday, how many more pink plastic flamingos were out than white plastic flamingos?",
  steps: [
    'To find out how many more pink plastic flamingos were out than white plastic flamingos at noon on Sunday, we can break down the problem into steps. First, on Friday, the neighbors start with 18 pink plastic flamingos.',
    "On Saturday, they take back one third of the flamingos. Since there were 18 flamingos, \\(1/3 \\times 18 = 6\\) flamingos are taken back. So, they have \\(18 - 6 = 12\\) flamingos left in their possession. Then, they paint these 6 flamingos white and put them back out on Sue's front yard. Now, Sue has the original 12 pink flamingos plus the 6 new white ones. Thus, by the end of Saturday, Sue has \\(12 + 6 = 18\\) pink flamingos and 6 white flamingos.",
    "On Sunday, the neighbors add another 18 pink plastic flamingos to Sue's front yard. By the end of Sunday morning, Sue has \\(18 + 18 = 36\\) pink flamingos and still 6 white flamingos.",
    'To find the difference, subtract the number of white flamingos from the number of pink flamingos: \\(36 - 6 = 30\\). Therefore, at noon on Sunday, there were 30 more pink plastic flamingos out than white plastic flamingos. The answer is \\(\\boxed{30}\\).',
  ],
}

export const goldenCases: readonly GoldenCase[] = [
  {
    source: 'model card of Qwen/Qwen2.5-Math-PRM-7B',
    hub: 'Qwen/Qwen2.5-Math-PRM-7B',
    ...flamingos,
    scores: [1.0, 0.1904296875, 0.9765625, 1.0],
    tolerance: 0.05,
  },
  {
    source: 'model card of Qwen/Qwen2.5-Math-PRM-72B',
    hub: 'Qwen/Qwen2.5-Math-PRM-72B',
    ...flamingos,
    scores: [0.9921875, 0.0047607421875, 0.32421875, 0.8203125],
    tolerance: 0.05,
  },
]

/**
 * Published examples whose text is not in the package because its licence is not known. With the text from the source in
 * a file of {@link GoldenCase} fields, `--check FILE` runs them.
 */
export const goldenElsewhere: readonly Omit<GoldenCase, 'problem' | 'steps'>[] = [
  {
    source: 'GAIR-NLP/ReasonEval, codes/examples.py',
    hub: 'GAIR/ReasonEval-7B',
    scores: [0.9492, 0.7863, 0.252, 0.786, 0.9125, 0.5916, 0.4494, 0.8189, 0.824, 0.2671],
    tolerance: 0.05,
  },
  {
    source: 'GAIR-NLP/ReasonEval, codes/examples.py',
    hub: 'GAIR/ReasonEval-34B',
    scores: [0.936, 0.6813, 0.072, 0.2811, 0.4531, 0.1122, 0.1328, 0.2026, 0.2265, 0.1163],
    tolerance: 0.05,
  },
  {
    source: 'model card of infly/Universal-PRM-7B',
    hub: 'infly/Universal-PRM-7B',
    scores: [0.73828125, 0.7265625, 0.73046875, 0.73828125, 0.734375],
    tolerance: 0.05,
  },
  { source: 'model card of Qwen/Qwen2.5-Math-RM-72B', hub: 'Qwen/Qwen2.5-Math-RM-72B', scores: [3.75], tolerance: 0.1 },
]

/**
 * The cases of a file: a JSON object, or an array of them.
 *
 * @throws `ERR_IO`, `ERR_INVALID_ARGUMENT`
 */
export function readGoldenCases(path: string): GoldenCase[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new SurefootError('ERR_IO', `cannot read ${path}: ${(cause as Error).message}`, { data: { path }, cause })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    invalidArgument('check', `${path} is no JSON: ${(error as Error).message}`)
  }
  return [value].flat().map((entry, index) => {
    const { source = path, hub = '', problem, steps, scores, tolerance = 0.05 } = (entry ?? {}) as Partial<GoldenCase>
    const sound =
      typeof problem === 'string' &&
      Array.isArray(steps) &&
      Array.isArray(scores) &&
      scores.every(score => Number.isFinite(score)) &&
      typeof tolerance === 'number'
    if (!sound) invalidArgument('check', `${path}: case ${index} needs problem, steps and scores`, entry)
    return { source, hub, problem, steps, scores, tolerance }
  })
}
