import type { Neutral } from '../datasets/index.ts'
import { type ConvertProgress, type ConvertSummary, convert } from '../datasets/write.ts'
import type { WrittenFormat } from '../datasets/write-rows.ts'
import { resolveDataset } from '../hub/index.ts'
import { print } from './lines.ts'
import { defined, duration, ProgressLine } from './run.ts'

export interface ConvertCommand {
  readonly from: string
  readonly to: WrittenFormat
  readonly out: string
  readonly threshold?: number
  readonly neutral?: Neutral
  readonly dataFormat?: string
  readonly limit?: number
  readonly strict?: boolean
  readonly json?: boolean
  readonly quiet?: boolean
}

/** `surefoot convert`: the exit code. */
export async function convertFile(options: ConvertCommand, signal: AbortSignal): Promise<number> {
  const { from, to, out, threshold, neutral, dataFormat: format, limit, strict } = options
  const progress = options.quiet ? null : new ProgressLine(convertText)
  try {
    const summary = await convert({
      from,
      to,
      out,
      download: resolveDataset,
      signal,
      ...(progress && { onProgress: event => progress.show(event) }),
      ...defined({ threshold, neutral, format, limit, strict }),
    })
    progress?.clear()
    await print(options.json ? JSON.stringify(summary) : summaryText(summary, out))
    return 0
  } catch (error) {
    progress?.clear()
    throw error
  }
}

function convertText({ records, share }: ConvertProgress, seconds: number): string {
  const rate = Math.round(records / Math.max(seconds, 1e-3))
  const left = share > 0 ? `, ${Math.floor(100 * share)} %, ${duration((seconds * (1 - share)) / share)} left` : ''
  return `converting: ${records} solutions, ${rate} solutions/s${left}`
}

function summaryText(summary: ConvertSummary, out: string): string {
  const count = (value: number): string => value.toLocaleString('en')
  const { to, threshold, records, written, rows, unread, hardened, cut, texts, lost, added, leftOut } = summary
  const fields = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, times]) => `${name} (${count(times)})`)
      .join(', ')
  const some = (number: number, text: string): string[] => (number > 0 ? [`${count(number)} ${text}`] : [])
  return [
    `${count(written)} of ${count(records)} solutions in ${count(rows)} rows of ${to}`,
    ...some(unread.rejected, 'rows do not fit their format'),
    ...some(unread.leftOut, 'rows are left out by their format'),
    ...Object.entries(leftOut).map(([reason, times]) => `${count(times)} left out: ${reason}`),
    ...some(hardened, `soft labels made hard: right above ${threshold}`),
    ...some(cut.steps, `steps cut off at the end, ${count(cut.labels)} of them judged`),
    ...some(texts, 'texts changed at their ends: blanks, or "Step 1:" before a step'),
    ...(Object.keys(lost).length > 0 ? [`${to} does not hold, by solutions: ${fields(lost)}`] : []),
    ...(Object.keys(added).length > 0 ? [`${to} says what was not said, by solutions: ${fields(added)}`] : []),
    `written: ${out}`,
  ].join('\n')
}
