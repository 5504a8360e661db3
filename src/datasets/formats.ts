import { candidateFormats } from './candidates.ts'
import { codeFormats } from './code.ts'
import { type Format, recognises } from './format.ts'
import { labelFormats } from './labels.ts'
import { problemFormats } from './problems.ts'

/** Every format that `readDataset` knows, in the order in which they are tried: the generic one is the last. */
export const formats: readonly Format[] = [...labelFormats, ...candidateFormats, ...codeFormats, ...problemFormats]

/** The format that recognises most of these rows, the first of several; null when none recognises any. */
export function detect(among: readonly Format[], rows: readonly Readonly<Record<string, unknown>>[]): Format | null {
  let [best, most] = [null as Format | null, 0]
  for (const format of among) {
    const count = rows.filter(row => recognises(format, row)).length
    if (count > most) [best, most] = [format, count]
  }
  return best
}

/** What can be said of a format. */
export type DatasetFormat = Pick<Format, 'name' | 'kind' | 'source' | 'seen' | 'reads' | 'needs' | 'uses'>

/** The formats that {@link readDataset} knows, as data. */
export const datasetFormats: readonly DatasetFormat[] = formats.map(
  ({ name, kind, source, seen, reads, needs, uses }) => ({ name, kind, source, seen, reads, needs, uses }),
)
