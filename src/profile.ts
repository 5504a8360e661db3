import type { Aggregate } from './aggregate.ts'
import type { Semantics } from './scorer.ts'

/**
 * A piece of a prompt: text with the placeholders `{problem}`, `{system}`, `{step}`, `{index}` and `{opening}`; a token of
 * the vocabulary by its name; or a mark. Neighbouring texts are tokenised together unless a `cut` stands between them.
 */
export type Segment =
  | string
  | { readonly token: string }
  | {
      readonly mark:
        | 'bos'
        | 'optionalBos'
        | 'eos'
        | 'cut'
        | 'separator'
        | 'steps'
        /** A score is read at the last token so far; or one before it; or one after it. */
        | 'read'
        | 'readPrevious'
        | 'readNext'
    }

/** What follows every step: a special token, a text tokenised alone (or the last token of it), or together with its neighbours. */
export type Separator =
  | 'none'
  | { readonly special: string }
  | { readonly text: string }
  | { readonly lastTokenOf: string }
  | { readonly joint: string }

export interface Turn {
  readonly role: string
  readonly content: readonly Segment[]
}

/** How one family of checkpoints is prompted, tokenised and read. docs/guide/checkpoints.md lists those that are built in. */
export interface Profile {
  readonly name: string
  /** Where the recipe is written down. */
  readonly source?: string
  /** The kind of head: `mlp2`, `mlp1`, `linear2`, `linear1`, `vhead`, `linear3`, `lm-candidates`. */
  readonly head: string
  /** Of the head `lm-candidates`: two texts of one token each, or the mean over the vocabulary. */
  readonly candidates?: 'mean' | { readonly pair: { readonly positive: string; readonly negative: string } }
  /** From the head's outputs to a score. */
  readonly activation: 'softmax' | 'difference' | 'validity' | 'sigmoid' | 'tanh' | 'none'
  /** Turns rendered by the checkpoint's chat template, or by `template` where it has none. */
  readonly chat?: {
    readonly turns?: readonly Turn[]
    readonly perStep?: readonly Turn[]
    readonly generationPrompt?: boolean
    readonly template?: string
  }
  /** What stands before the first step, without a chat. */
  readonly prompt?: readonly Segment[]
  /** What stands for each step. */
  readonly step?: readonly Segment[]
  /** What stands between two steps. */
  readonly between?: readonly Segment[]
  /** What stands at the end. */
  readonly suffix?: readonly Segment[]
  readonly separator: Separator
  /** Whether one sequence gives all scores, or each step has a sequence of its own. @default 'one' */
  readonly passes?: 'one' | 'perPrefix'
  /** What `{opening}` stands for in the first step. */
  readonly opening?: string
  /** Put before a step that does not begin with "Step" itself. */
  readonly numbering?: string
  /** Whether blanks at the ends of a step are cut. @default false */
  readonly trim?: boolean
  /** What becomes of a line break inside a step. @default 'keep' */
  readonly lineBreak?: 'keep' | 'blank' | 'single'
  /** The system text of the prompt. */
  readonly system?: string
  /** Where solutions are split into steps; null: an outcome model, which scores a solution as a whole. */
  readonly split: string | null
  readonly semantics: Semantics
  /** How the labels of the training were made. */
  readonly labels: 'humans' | 'rollouts' | 'consensus' | 'preferences' | 'unknown'
  /** A score below it marks a weak step. */
  readonly threshold: number | null
  /** Tokens, where the family was trained on fewer than its backbone allows. */
  readonly maxLength?: number | null
  /** How step scores become one number, unless a call says otherwise. */
  readonly aggregate: Aggregate
}

/**
 * Changes to the profile that is recognised: `name` takes another one, every other field replaces that of the profile. A
 * text as `separator` takes the place of the profile's own text, and also splits solutions. A `name` that is not built in
 * needs all the fields of a {@link Profile}.
 */
export type ProfileChoice = Partial<Omit<Profile, 'separator'>> & { readonly separator?: Separator | string }
