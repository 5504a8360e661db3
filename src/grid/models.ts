/** The models of a grid: as they were given, or loaded anew for every block of searches. */
import type { Generator } from '../generator/generator.ts'
import type { Counters } from '../model.ts'
import type { StepScorer } from '../scorer.ts'

/** A model, or what loads it. */
export type Source<Model> = Model | (() => Promise<Model>)

export interface Models {
  readonly policy: Generator
  readonly prm: StepScorer | null
}

/** What is computed once before anything is measured: no problem of anybody's. */
const WARM_UP = { problem: '1 + 1', steps: ['2'] }

/** A policy and a PRM for one block of searches; what was loaded for it is given back with it. */
export class LoadedModels implements Models, AsyncDisposable {
  readonly policy: Generator
  readonly prm: StepScorer | null
  readonly #owned: readonly object[]
  readonly #fresh: boolean

  private constructor(policy: Generator, prm: StepScorer | null, owned: readonly object[]) {
    this.policy = policy
    this.prm = prm
    this.#owned = owned
    this.#fresh = [policy, prm].every(model => (model && countersOf(model)?.computed) === 0 || model === null)
  }

  static async load(policy: Source<Generator>, prm: Source<StepScorer> | undefined): Promise<LoadedModels> {
    const owned: object[] = []
    const take = async <Model extends object>(source: Source<Model>): Promise<Model> => {
      if (typeof source !== 'function') return source
      const model = await source()
      owned.push(model)
      return model
    }
    try {
      return new LoadedModels(await take(policy), prm === undefined ? null : await take(prm), owned)
    } catch (error) {
      await giveBack(owned)
      throw error
    }
  }

  /** Whether native models came without anything that was computed before. */
  get fresh(): boolean {
    return this.#fresh
  }

  /** Computes something small, so that no search pays for what happens once. What fails here fails again where it counts. */
  async warmUp(seed: number, signal: AbortSignal): Promise<void> {
    const { problem, steps } = WARM_UP
    try {
      await this.policy.sample({ problem, maxTokens: 2, seed }, { signal })
      await this.prm?.score([{ problem, steps }], { signal })
    } catch {
      signal.throwIfAborted()
    }
  }

  /** Tokens that the native models have computed; null where one of them does not count. */
  computed(): { policy: number; prm: number } | null {
    const policy = countersOf(this.policy)
    const prm = this.prm === null ? { computed: 0, recomputed: 0 } : countersOf(this.prm)
    if (policy === null || prm === null) return null
    return { policy: policy.computed + policy.recomputed, prm: prm.computed + prm.recomputed }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await giveBack(this.#owned)
  }
}

async function giveBack(models: readonly object[]): Promise<void> {
  for (const model of models) await (model as Partial<AsyncDisposable>)[Symbol.asyncDispose]?.()
}

function countersOf(model: object): Counters | null {
  return (model as { counters?: Counters }).counters ?? null
}
