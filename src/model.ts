import { unlessAborted } from './abort.ts'
import type { Job } from './engine.ts'
import { invalidArgument } from './errors.ts'
import type { DownloadProgress } from './hub/index.ts'
import { type Loaded, type Model, nativeError } from './native.ts'
import { resolveModel } from './resolve.ts'

/** Where a model computes; `auto` takes the fastest that is there. */
export type Device = 'auto' | 'cpu' | 'cuda' | 'metal'

/** How a model is loaded and computed. */
export interface ComputeOptions {
  /** @default 'auto' */
  readonly device?: Device
  /**
   * `exact`: in f32, and a result is the same bits alone, in a batch and from the cache. `fast`: in bf16 where the
   * processor has it, with keys and values in bf16. @default 'exact'
   */
  readonly precision?: 'exact' | 'fast'
  /** The most bytes for keys, values and the prefix index of this model. @default 512 MiB, or what the longest text needs */
  readonly cacheBytes?: number
  /** Whether what was computed for one text serves others that begin like it. @default true */
  readonly reuse?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: LoadProgress) => void
}

/** `download` comes as often as files of the hub grow, and not at all when they are here. */
export type LoadProgress =
  | { readonly phase: 'resolve' }
  | ({ readonly phase: 'download' } & DownloadProgress)
  | { readonly phase: 'load' | 'ready'; readonly folder: string }

/** What a model did since it was loaded, for all who loaded it alike in this process, and what it holds. */
export interface Counters {
  /** Tokens that were found in the cache instead of being computed. */
  readonly hits: number
  /** Tokens that were computed for the first time. */
  readonly computed: number
  /** Tokens that were computed again: they had been evicted, or what is wanted at them had not been read. */
  readonly recomputed: number
  /** Held now for keys, values and the prefix index. */
  readonly bytes: number
  /** The most bytes held so far. */
  readonly peakBytes: number
  /** The most bytes that may be held. */
  readonly budget: number
}

/** Finds or fetches a model and has `load` load it: a folder or file, a device, and how to compute as JSON. */
export async function loadNative(
  ref: string,
  options: ComputeOptions,
  load: (folder: string, device: string, compute: string) => Promise<Loaded>,
): Promise<Model> {
  const { device = 'auto', signal, onProgress } = options
  const compute = JSON.stringify(computeChoice(options))
  signal?.throwIfAborted()
  onProgress?.({ phase: 'resolve' })
  const folder = await resolveModel(ref, {
    signal,
    onProgress: onProgress && (download => onProgress({ phase: 'download', ...download })),
  })
  signal?.throwIfAborted()
  onProgress?.({ phase: 'load', folder })
  const loading = load(folder, String(device), compute)
  const { model, failure } = await unlessAborted(loading, signal, late => late.model?.dispose())
  if (failure) throw nativeError(failure)
  onProgress?.({ phase: 'ready', folder })
  return model!
}

function computeChoice({ precision, cacheBytes, reuse }: ComputeOptions): object {
  if (precision !== undefined && precision !== 'exact' && precision !== 'fast') {
    invalidArgument('precision', "must be 'exact' or 'fast'", precision)
  }
  if (cacheBytes !== undefined && (!Number.isSafeInteger(cacheBytes) || cacheBytes < 1)) {
    invalidArgument('cacheBytes', 'must be a positive integer', cacheBytes)
  }
  if (reuse !== undefined && typeof reuse !== 'boolean') invalidArgument('reuse', 'must be true or false', reuse)
  return { precision, cacheBytes, reuse }
}

/** The native part of a policy or PRM. */
export interface NativeModel {
  readonly model: Model
  /** What is cancelled when the model is disposed. */
  readonly underWay: Set<Pick<Job<unknown>, 'cancel'>>
}

const natives = new WeakMap<object, NativeModel>()

/** Says which native model an object stands for; null: none any more. */
export function standsFor(owner: object, model: NativeModel | null): void {
  if (model === null) natives.delete(owner)
  else natives.set(owner, model)
}

/** The native model that an object stands for, if it writes or scores by nothing else. */
export function nativeOf(owner: object): NativeModel | undefined {
  return Object.hasOwn(owner, 'sample') || Object.hasOwn(owner, 'score') ? undefined : natives.get(owner)
}
