import { join } from 'node:path'
import { checkJudges, checkRule, type JudgeName } from './consensus.ts'
import type { ConsensusProgress, ConsensusSummary, JoinConsensusOptions, JudgementSource } from './consensus-run.ts'
import { joinConsensus, judgeOf } from './consensus-run.ts'
import type { Judge } from './judge.ts'
import { type AnnotateOptions, type AnnotateProgress, annotate } from './run.ts'

export interface AnnotateConsensusOptions
  extends Omit<JoinConsensusOptions, 'judges' | 'onProgress'>,
    Pick<AnnotateOptions, 'solutions' | 'problems' | 'sampling' | 'separator' | 'concurrency' | 'format'> {
  /** Judges that are asked here, and judgements that are there already. */
  readonly judges: readonly (Judge | JudgementSource)[]
  readonly onProgress?: (progress: ConsensusProgress | JudgeProgress) => void
}

/** How far one judge is. */
export interface JudgeProgress extends AnnotateProgress {
  readonly judge: string
}

/** The runs of the judges, in the folder of the consensus. */
const JUDGES = 'judges'

/**
 * Asks one judge after the other, each in an `annotate` run of its own in the folder `judges`, and joins what they said
 * (`joinConsensus`). With `resume` judgements that are there are taken over.
 *
 * Solutions of problems are sampled by the first judge's run and judged by the others as they are there.
 *
 * @throws as `annotate` and `joinConsensus`
 */
export async function annotateConsensus(options: AnnotateConsensusOptions): Promise<ConsensusSummary> {
  const { judges, run, resume, limit, strict, download, signal, onProgress, ...rest } = options
  const { solutions, problems, sampling, separator, concurrency, format, ...join_ } = rest
  const shared = {
    ...(resume !== undefined && { resume }),
    ...(strict !== undefined && { strict }),
    ...(download && { download }),
    ...(signal && { signal }),
  }
  checkRule(options.rule ?? {}, judges.length)
  // Whatever can be refused is refused before a model is asked.
  const names: JudgeName[] = []
  for (const judge of judges) {
    if (isLive(judge)) names.push(judge)
    else if (typeof judge.source === 'string') names.push(await judgeOf(judge, { ...join_, ...shared }))
  }
  checkJudges(names)
  let data = {
    ...(solutions !== undefined && { solutions }),
    ...(problems !== undefined && { problems }),
    ...(sampling && { sampling }),
    ...(limit !== undefined && { limit }),
    ...(format !== undefined && { format }),
  }
  const sources: JudgementSource[] = []
  for (const judge of judges) {
    if (!isLive(judge)) {
      sources.push(judge)
      continue
    }
    const folder = join(run, JUDGES, folderOf(judge, sources.length))
    await annotate({
      ...shared,
      ...data,
      judge,
      run: folder,
      ...(separator !== undefined && { separator }),
      ...(concurrency !== undefined && { concurrency }),
      ...(onProgress && { onProgress: (progress: AnnotateProgress) => onProgress({ ...progress, judge: judge.id }) }),
    })
    sources.push({ source: folder })
    if (problems !== undefined) data = { solutions: join(folder, 'annotations.jsonl') }
  }
  return joinConsensus({
    ...join_,
    ...shared,
    run,
    judges: sources,
    // Of a limited run its judgements are all.
    ...(limit !== undefined && !judges.some(isLive) && { limit }),
    ...(onProgress && { onProgress }),
  })
}

function isLive(judge: Judge | JudgementSource): judge is Judge {
  return 'judge' in judge
}

/** A name that any file system takes. */
function folderOf({ id }: Judge, index: number): string {
  return `${index + 1}-${id.replaceAll(/[^\w.-]+/g, '-').slice(0, 60)}`
}
