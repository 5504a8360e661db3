import { unlessAborted } from '../abort.ts'
import { invalidArgument } from '../errors.ts'
import { CONCURRENCY, Draft, Places, sampleByCalls, sampleOf, seedOf } from './calls.ts'
import {
  type Capabilities,
  type CheckedRequest,
  checkRequest,
  type Generator,
  requireCapabilities,
  type Sample,
  type SampleOptions,
  type SampleRequest,
} from './generator.ts'

/** What a function is asked for: one sample, its defaults filled in and its seed its own. */
export type FunctionRequest = Omit<CheckedRequest, 'n'>

export interface FunctionContext {
  /** Fires when the sample is no longer wanted: the caller stopped, or a text came that ends it. */
  readonly signal: AbortSignal
  /** Takes the text as it is written, piece by piece. A function that writes all at once need not call it. */
  readonly onText: (text: string) => void
  /** Which of the request's samples it is, from 0. */
  readonly index: number
}

/** All of a sample but its text may be left out: numbers of tokens are then estimated. */
export type FunctionSample = Pick<Sample, 'text'> & Partial<Omit<Sample, 'stop'>>

/**
 * Writes one sample: all of its text, also what came through `onText`. A text that ends without the separator of a step,
 * or a stop text, ends the answer; a function that ends earlier returns a sample whose `ended` says so.
 */
export type SampleFunction = (
  request: FunctionRequest,
  context: FunctionContext,
) => string | FunctionSample | Promise<string | FunctionSample>

export interface FunctionOptions {
  /** @default the function's name */
  readonly id?: string
  /**
   * What the function can do: `prefill` where it goes on from `request.prefix`, `logprobs` where its samples carry them
   * when `request.logprobs` asks for it, `seed` where the same seed gives the same text.
   *
   * @default none but stopReason
   */
  readonly capabilities?: Partial<Omit<Capabilities, 'n'>>
  /** What ends a step unless a request says otherwise. @default a blank line */
  readonly separator?: string
  /** Calls under way at the same time. @default 8 */
  readonly concurrency?: number
}

/**
 * A policy of any function that writes a text. It is called once a sample; stop texts and steps are cut here, so it may
 * write more than it was asked for. What it throws is not touched.
 */
export function fromFunction(fn: SampleFunction, options: FunctionOptions = {}): Generator {
  if (typeof fn !== 'function') invalidArgument('fn', 'must be a function', fn)
  const { id = fn.name || 'function', separator = '\n\n', concurrency = CONCURRENCY } = options
  const capabilities: Capabilities = {
    prefill: false,
    stopReason: true,
    logprobs: false,
    seed: false,
    ...options.capabilities,
    n: false,
  }
  const places = new Places(concurrency)
  return {
    id,
    separator,
    capabilities,
    async sample(request: SampleRequest, sampling: SampleOptions = {}): Promise<Sample[]> {
      const checked = checkRequest(request, separator)
      if (checked.prefix !== '') requireCapabilities({ id, capabilities }, ['prefill'], 'a prefix')
      if (checked.logprobs) requireCapabilities({ id, capabilities }, ['logprobs'], 'a request for logprobs')
      return sampleByCalls(checked, sampling, places, async (index, signal, hear) =>
        checkSample(await write(fn, checked, index, signal, hear), checked, capabilities),
      )
    },
  }
}

async function write(
  fn: SampleFunction,
  checked: CheckedRequest,
  index: number,
  signal: AbortSignal,
  hear: (text: string) => void,
): Promise<Sample> {
  const draft = new Draft(checked, hear)
  const enough = new AbortController()
  const complete = new DOMException('the sample is complete', 'AbortError')
  let heard = ''
  const onText = (piece: string): void => {
    if (enough.signal.aborted) return
    heard += checkText('onText', piece)
    if (draft.push(piece)) enough.abort(complete)
  }
  const { n: _, ...rest } = checked
  const seed = seedOf(checked, index)
  const request: FunctionRequest = { ...rest, ...(seed !== undefined && { seed }) }
  const work = (async () => fn(request, { signal: AbortSignal.any([signal, enough.signal]), onText, index }))()
  let result: string | FunctionSample
  try {
    result = await unlessAborted(work, enough.signal)
  } catch (error) {
    if (error === complete) return sampleOf(draft, checked, { ended: null })
    throw error
  }
  const given = typeof result === 'object' && result !== null ? result : { text: result }
  const text = checkText('fn', given.text)
  if (!text.isWellFormed()) invalidArgument('fn', 'returned a lone surrogate; repair it with toWellFormed()', text)
  if (!text.startsWith(heard)) {
    invalidArgument('fn', 'returned another text than it had given to onText', text)
  }
  draft.push(text.slice(heard.length))
  draft.close()
  const { ended = 'answer', promptTokens, tokens } = given
  const sample = sampleOf(draft, checked, { ended, promptTokens, tokens })
  return {
    ...sample,
    ...(given.estimated === true && { estimated: true as const }),
    ...(given.logprobs !== undefined && { logprobs: given.logprobs }),
    ...(given.ids !== undefined && { ids: given.ids }),
  }
}

function checkText(what: 'fn' | 'onText', text: unknown): string {
  if (typeof text !== 'string') {
    const got = text === null ? 'null' : typeof text
    const does = what === 'fn' ? 'must return a string, or an object with a text' : 'takes strings'
    invalidArgument(what, `${does}, got ${got}`, text)
  }
  return text
}

function checkSample(sample: Sample, { logprobs }: CheckedRequest, capabilities: Capabilities): Sample {
  const { ended, promptTokens, tokens } = sample
  if (ended !== null && !['answer', 'step', 'stop', 'length'].includes(ended)) {
    invalidArgument('fn', "gave an ended that is none of 'answer', 'step', 'stop', 'length' and null", ended)
  }
  for (const [name, count] of Object.entries({ promptTokens, tokens })) {
    if (!Number.isSafeInteger(count) || count < 0) invalidArgument('fn', `gave ${name} that are no whole number`, count)
  }
  if (logprobs && capabilities.logprobs && !Array.isArray(sample.logprobs)) {
    invalidArgument('fn', 'gave no logprobs, though its capabilities say that it does', sample.logprobs)
  }
  return sample
}
