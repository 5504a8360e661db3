import { unlessAborted } from '../abort.ts'
import { SurefootError } from '../errors.ts'
import { native, nativeError } from '../native.ts'
import { resolveTokenizer } from '../resolve.ts'
import type { Prompt } from './openai.ts'

/**
 * A checkpoint's own chat template, to send prompts to a server as one text: `openai({ endpoint: 'completions', template })`.
 * It renders in a sandbox, here; a text that spells one of the model's special tokens is refused, since the server would
 * take it for one.
 *
 * @param ref a folder with tokenizer.json, a GGUF file, or a hub id, of which only tokenizer and template are fetched
 * @throws `ERR_TEMPLATE`, also when the checkpoint has none or the text spells a special token; `ERR_TOKENIZER`,
 *   `ERR_MODEL_NOT_FOUND` and what fetching throws; the signal's reason
 */
export async function chatTemplate(
  ref: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<(prompt: Prompt) => string> {
  const { signal } = options
  signal?.throwIfAborted()
  const path = await resolveTokenizer(ref, { signal })
  const { template, failure } = await unlessAborted(native().loadTemplate(path), signal)
  if (failure) throw nativeError(failure)
  return ({ problem, system, prefix }) => {
    const { text, failure } = template!.render(problem, system, prefix)
    if (failure) throw nativeError(failure)
    if (text === undefined) throw new SurefootError('ERR_INTERNAL', 'a template gave nothing')
    return text
  }
}
