import { invalidArgument, SurefootError, type SurefootErrorCode } from '../../errors.ts'
import { checkRequest, type Generator, type Sample, type SampleRequest } from '../../generator/generator.ts'
import type { Judge, Judgement } from '../judge.ts'
import { critiquePrompt, PROMPT, readVerdict, type Verdict } from './critique.ts'
import { found, type Inability, unable } from './judgement.ts'

export interface GenerativeJudgeOptions {
  /** Names the model's weights. @default the generator's */
  readonly id?: string
  /** Critiques of each solution; the verdict that most of them give decides, and a tie decides nothing. @default 1 */
  readonly samples?: number
  /**
   * How they are sampled.
   *
   * @default temperature 0, or 0.6 for several; 4096 tokens at most
   */
  readonly request?: Omit<SampleRequest, 'problem' | 'prefix' | 'n' | 'until' | 'path' | 'logprobs' | 'separator'>
}

/** What fails for one solution, however often it is tried, and not for others. */
const OWN: readonly SurefootErrorCode[] = [
  'ERR_CACHE_BUDGET',
  'ERR_CONTEXT_OVERFLOW',
  'ERR_INVALID_ARGUMENT',
  'ERR_NOT_FINITE',
]

/**
 * A model that writes as a judge: it gets problem and solution in numbered paragraphs, writes a critique and ends with a
 * verdict (`critiquePrompt`). A critique without a verdict that can be read, or one that is cut off, is none; a judge
 * whose critiques are all so, or at odds, cannot say.
 *
 * The prompt asks for what ProcessBench's critics (arXiv 2412.06559) and the judge of Qwen's "Lessons" (arXiv
 * 2501.07301) are asked for; its words are our own.
 *
 * @throws `ERR_INVALID_ARGUMENT` for options that cannot be, such as several samples at temperature 0
 */
export function generativeJudge(generator: Generator, options: GenerativeJudgeOptions = {}): Judge {
  const { id = generator.id, samples = 1 } = options
  const request = { temperature: samples > 1 ? 0.6 : 0, maxTokens: 4096, ...options.request }
  checkRequest({ ...request, problem: 'any', n: samples })
  if (typeof id !== 'string' || id === '') invalidArgument('id', 'must name the model', id)
  if (samples > 1 && request.temperature === 0) {
    invalidArgument('samples', 'are all the same at temperature 0: sample one, or at a higher temperature', samples)
  }
  return {
    id: `generative:${id}`,
    method: 'generative',
    by: [id],
    settings: {
      model: { id: generator.id, ...(generator as { facts?: object }).facts },
      samples,
      request,
      prompt: PROMPT,
    },
    async judge({ problem, steps }, { signal } = {}): Promise<Judgement> {
      if (steps.length === 0) return unable('ERR_INVALID_ARGUMENT', 'the solution has no steps', 0)
      let critiques: readonly Sample[]
      try {
        const asked = { ...request, problem: critiquePrompt(problem, steps), n: samples }
        critiques = await generator.sample(asked, signal ? { signal } : {})
      } catch (error) {
        signal?.throwIfAborted()
        if (!SurefootError.isInstance(error) || !OWN.includes(error.code)) throw error
        return unable(error.code, error.message, steps.length)
      }
      const policyTokens = critiques.reduce((sum, { tokens }) => sum + tokens, 0)
      return decide(critiques, problem, steps, { rollouts: critiques.length, policyTokens, prmTokens: 0 })
    },
  }
}

/** The verdict that most critiques give. */
function decide(
  critiques: readonly Sample[],
  problem: string,
  steps: readonly string[],
  cost: Judgement['cost'],
): Judgement {
  const votes = new Map<number, number>()
  const lacks: { code: Inability; message: string }[] = []
  for (const { text, ended } of critiques) {
    const verdict: Verdict =
      ended === 'length' ? { failure: 'the critique was cut off' } : readVerdict(text, steps, problem)
    if ('firstError' in verdict) votes.set(verdict.firstError, (votes.get(verdict.firstError) ?? 0) + 1)
    else lacks.push({ code: ended === 'length' ? 'CUT_OFF' : 'NO_VERDICT', message: verdict.failure })
  }
  const [best, next] = [...votes].sort(([, a], [, b]) => b - a)
  if (best === undefined) {
    const { code, message } = lacks[0]!
    return unable(
      code,
      critiques.length > 1 ? `none of ${critiques.length} critiques: ${message}` : message,
      steps.length,
      cost,
    )
  }
  if (next && next[1] === best[1]) {
    const all = [...votes].map(([at, count]) => `${count} ${at < 0 ? 'for none' : `for paragraph ${at + 1}`}`)
    return unable('TIE', `the critiques are at odds: ${all.join(', ')}`, steps.length, cost)
  }
  return found(best[0], steps.length, cost)
}
