#!/usr/bin/env node
import { setMaxListeners } from 'node:events'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import packageJson from '../../package.json' with { type: 'json' }
import { type Aggregate, aggregates } from '../aggregate.ts'
import { writtenFormats } from '../datasets/write-rows.ts'
import { SurefootError } from '../errors.ts'
import { choices } from '../search/replay.ts'
import { strategyNames } from '../search/strategies.ts'
import { type LabelCommand, labelFile } from './annotate.ts'
import { type CollectCommand, collectFiles } from './annotate-collect.ts'
import { type ConsensusCommand, consensusFiles } from './annotate-consensus.ts'
import { type ConvertCommand, convertFile } from './convert.ts'
import { demo } from './demo.ts'
import { type EvalOptions, evaluateFile } from './eval.ts'
import { type GenerateCommand, generateFile } from './generate.ts'
import { budgetsOf, evaluateGrid, type GridCommand, seedsOf, strategiesOf } from './grid.ts'
import { inspect } from './inspect.ts'
import type { PolicyCommand } from './policy.ts'
import { report, reportFormats } from './report.ts'
import { rerank } from './rerank.ts'
import { score } from './score.ts'
import { replayJournal, type SolveCommand, solveLines } from './solve.ts'

const devices = ['auto', 'cpu', 'cuda', 'metal']

/** Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted. */
async function main(): Promise<number> {
  const interrupt = new AbortController()
  setMaxListeners(0, interrupt.signal)
  process.once('SIGINT', () => interrupt.abort(new Interrupted()))
  process.once('SIGTERM', () => interrupt.abort(new Interrupted()))
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  let exitCode = 0
  const run =
    <Options>(action: (options: Options, signal: AbortSignal) => Promise<number>) =>
    async (options: Options): Promise<void> => {
      exitCode = await action(options, interrupt.signal)
    }

  const program = new Command('surefoot')
    .description('Process reward models: score every step of a solution, rank candidates.')
    .version(packageJson.version)
    .exitOverride()
    .configureOutput({ writeErr: text => process.stderr.write(text) })

  modelOptions(program.command('score'))
    .description('score every step of solutions read as JSON lines: {"id"?, "problem", "steps" | "solution"}')
    .option('--input <file>', 'file to read instead of standard input')
    .addOption(overflowOption())
    .option('--json', 'one JSON line per solution on standard output')
    .addOption(aggregateOption())
    .action(run(score))
  modelOptions(program.command('rerank'))
    .description('rank candidates read as JSON lines: {"id"?, "problem", "candidates": [text | [step]]}')
    .option('--input <file>', 'file to read instead of standard input')
    .option('--json', 'one JSON line per problem on standard output')
    .addOption(overflowOption())
    .option('--top <n>', 'only the best n', Number)
    .addOption(aggregateOption())
    .action(run(rerank))
  program
    .command('inspect')
    .description('show what is recognised in a checkpoint, and from which evidence')
    .argument('[ref]', 'folder, GGUF file or hub id; the embedded model without it')
    .addOption(new Option('--prm <ref>', 'the same as the argument'))
    .addOption(profileOption())
    .addOption(headOption())
    .option('--check [file]', 'run the scores that its authors published, or those of a file')
    .option('--json', 'as JSON')
    .addOption(new Option('--device <device>').choices(devices).default('auto'))
    .action((ref: string | undefined, options) => run(inspect)({ ...options, prm: ref ?? options.prm }))
  program
    .command('demo')
    .description('score and rank with the embedded model, and show what it gains')
    .option('--json', 'the table as JSON')
    .action(run(demo))

  samplingOptions(deviceOptions(program.command('eval')))
    .description(
      'measure selection rules on recorded candidates, a PRM on labelled steps, or strategies of search on problems; ' +
        'writes a run folder',
    )
    .addOption(new Option('--candidates <file>', 'problems with sampled solutions: file, folder or hub id'))
    .addOption(new Option('--labels <file>', 'solutions with judged steps: the same').conflicts('candidates'))
    .addOption(
      new Option(
        '--problems <file>',
        'problems with answers, to be solved by every strategy under every budget',
      ).conflicts(['candidates', 'labels']),
    )
    .addOption(
      new Option('--strategies <names>', `with commas between: ${strategyNames.join(', ')}; or JSON`).argParser(
        strategiesOf,
      ),
    )
    .addOption(
      new Option(
        '--budgets <list>',
        'generations, as 1,4,16; or UNIT=LIST with generations, policyTokens, prmTokens, tokens, flops or ms; or JSON',
      ).argParser(budgetsOf),
    )
    .addOption(new Option('--seeds <list>', 'of the draws of --problems (default: 1)').argParser(seedsOf))
    .option('--against <names...>', 'strategies that the others are held against')
    .option('--searches <n>', 'searches at the same time: above 1 no time is measured (default: 1)', number)
    .option('--block <n>', 'problems between two loadings of the models', number)
    .option('--prm [ref]', 'score with this PRM, a folder or hub id (without a name: the embedded model)')
    .option('--name <name>', 'name of the run (default: that of the file)')
    .addOption(new Option('--run <folder>', 'its folder (default: runs/NAME)'))
    .option('--resume', 'go on with the run in the folder')
    .option('--strict', 'fail at the first row that does not fit, instead of counting it')
    .option('--limit <n>', 'only the first n records', number)
    .option('--data-format <name>', 'format of the data, where it is not to be recognised')
    .option(
      '--aggregate <names...>',
      'how step scores become one number (default: every way that suits them)',
      aggregateNames,
    )
    .option('--threshold <score>', 'a score below it marks a weak step', number)
    .option('--seed <n>', 'of every random draw', number)
    .option('--resamples <n>', 'draws of the bootstrap (default: 10000)', number)
    .option('--json', 'the summary as JSON on standard output')
    .option('--quiet', 'no progress')
    .action((options: EvalOptions & Partial<GridCommand> & Pick<GridCommand, 'precision'>, command: Command) => {
      const { problems, strategies, budgets } = options
      if (problems !== undefined) {
        if (strategies === undefined || budgets === undefined) {
          command.error('error: --problems needs --strategies and --budgets')
        }
        checkServer(options, command)
        return run(evaluateGrid)({ ...options, problems, strategies: strategies!, budgets: budgets! })
      }
      if (options.candidates === undefined && options.labels === undefined) {
        command.error('error: eval needs --candidates FILE, --labels FILE or --problems FILE')
      }
      if (options.labels !== undefined && options.prm === undefined) {
        command.error('error: --labels needs --prm: a PRM to hold against them (without a name: the embedded model)')
      }
      return run(evaluateFile)(options)
    })
  policyOptions(program.command('generate'))
    .description('sample solutions of problems into the candidates that eval reads; writes a run folder')
    .requiredOption('--problems <file>', 'problems with their answers: file, folder or hub id')
    .option('--n <n>', 'candidates of each problem (default: 8)', number)
    .option('--max-tokens <n>', 'of a candidate (default: 2048)', number)
    .addOption(new Option('--until <end>', 'write to the end of what (default: answer)').choices(['answer', 'step']))
    .option('--name <name>', 'name of the run (default: that of the file)')
    .addOption(new Option('--run <folder>', 'its folder (default: runs/NAME)'))
    .option('--resume', 'go on with the run in the folder, and try again what failed')
    .option('--limit <n>', 'only the first n problems', number)
    .option('--data-format <name>', 'format of the data, where it is not to be recognised')
    .option('--strict', 'fail at the first row that does not fit, instead of counting it')
    .option('--json', 'the summary as JSON on standard output')
    .option('--quiet', 'no progress')
    .action((options: GenerateCommand, command: Command) => {
      checkServer(options, command)
      return run(generateFile)(options)
    })
  policyOptions(program.command('solve'))
    .description('solve problems by search; reads JSON lines, {"id"?, "problem", "system"?}, or takes one problem')
    .argument('[problem]', 'the problem, instead of lines')
    .option('--input <file>', 'file to read instead of standard input')
    .option('--strategy <name>', `${strategyNames.join(', ')}; or a JSON object with its settings`, 'bestOfN')
    .option('--prm <ref>', 'folder, GGUF file or hub id of the PRM; the embedded model without it')
    .addOption(headOption())
    .addOption(profileOption())
    .option('--generations <n>', 'continuations that may be asked', number)
    .option('--policy-tokens <n>', 'tokens that the policy may sample', number)
    .option('--prm-tokens <n>', 'tokens that the PRM may compute', number)
    .option('--ms <n>', 'milliseconds for each problem', number)
    .option('--journal <file>', 'write down what happens, for --resume and replay; with one problem')
    .option('--resume', 'go on with the search in the journal')
    .option('--json', 'one JSON line per problem on standard output')
    .action((problem: string | undefined, options: SolveCommand, command: Command) => {
      checkServer(options, command)
      if (options.journal !== undefined && problem === undefined) {
        command.error('error: --journal holds the search of one problem: give it as argument')
      }
      if (options.resume && options.journal === undefined) command.error('error: --resume needs --journal FILE')
      return run(solveLines)({ ...options, ...(problem !== undefined && { problem }) })
    })
  program
    .command('replay')
    .description('what another strategy, aggregate or choice would have made of the journal of a search')
    .argument('<journal>', 'its file')
    .option('--strategy <name>', `${strategyNames.join(', ')}; or a JSON object with its settings`)
    .addOption(aggregateOption())
    .addOption(new Option('--choose <how>', 'how the answer is picked from the solutions').choices([...choices]))
    .option('--json', 'as JSON')
    .action((journal: string, options) => run(replayJournal)({ ...options, journal }))
  const annotate = program.command('annotate').description('make step labels')
  annotate
    .command('collect')
    .description('join solutions from many sources: no duplicates, no test problems, within quotas')
    .argument(
      '<sources...>',
      'files, folders or hub ids with step labels, candidates or solutions; NAME=SOURCE names one',
    )
    .option('--problems <sources...>', 'data that knows more of the problems: answers, subjects, levels, pass rates')
    .option('--test <sources...>', 'test sets: what overlaps with their problems is not kept')
    .option('--ngram <n>', 'words in a row that make an overlap (default: 13)', number)
    .option('--quota <quotas...>', 'source=N, topic+difficulty=N, source:NAME=N, total=N, ...')
    .option('--bins <borders...>', 'borders of the bins of the pass rate (default: 0.2 0.4 0.6 0.8)', numbers)
    .option('--seed <n>', 'decides which solutions a quota keeps (default: 0)', number)
    .addOption(neutralOption())
    .option('--name <name>', 'name of the run (default: annotations)')
    .addOption(new Option('--run <folder>', 'its folder (default: runs/NAME)'))
    .option('--limit <n>', 'only the first n records of each source', number)
    .option('--data-format <name>', 'format of the sources, where it is not to be recognised')
    .option('--strict', 'fail at the first row that does not fit, instead of counting it')
    .option('--json', 'the summary as JSON on standard output')
    .option('--quiet', 'no progress')
    .action((sources: string[], options: CollectCommand) => run(collectFiles)({ ...options, sources }))
  policyOptions(annotate.command('label'))
    .description(
      'label steps by rollouts of a policy: from the end of every step, or by binary search for the first error',
    )
    .option('--problems <file>', 'problems with answers, whose solutions are sampled first')
    .option('--solutions <file>', 'solutions with the answers of their problems')
    .addOption(new Option('--method <name>', 'how').choices(['rollouts', 'bisection']).default('rollouts'))
    .option('--n <n>', 'solutions that are sampled of each problem', number)
    .addOption(new Option('--k <n>', 'rollouts from a step at most, or "difficulty"').argParser(countOf))
    .addOption(new Option('--label <kind>', 'of rollouts').choices(['hard', 'soft', 'ratio']))
    .option('--threshold <share>', 'of hits, above which a step is right', number)
    .option('--ratio <r>', 'of the label "ratio": the least progress of a right step', number)
    .addOption(new Option('--stopping <rule>', 'when rollouts end').choices(['fixed', 'exact', 'posterior', 'hits']))
    .option('--error <rate>', 'of --stopping posterior', number)
    .addOption(new Option('--prior <a b...>', 'of --stopping posterior: a beta distribution').argParser(numbers))
    .option('--hits <n>', 'of --stopping hits', number)
    .option('--all', 'also steps behind the first error')
    .option('--no-retest', 'do not test the border of a bisection again')
    .option('--ahead <n>', 'rollouts of a step that are asked together', number)
    .addOption(new Option('--estimate [n]', 'only n records (default: 20), and what all will take').argParser(number))
    .option('--name <name>', 'name of the run (default: that of the file)')
    .addOption(new Option('--run <folder>', 'its folder (default: runs/NAME)'))
    .option('--resume', 'go on with the run in the folder, and try again what failed')
    .option('--limit <n>', 'only the first n records', number)
    .option('--data-format <name>', 'format of the data, where it is not to be recognised')
    .option('--strict', 'fail at the first row that does not fit, instead of counting it')
    .option('--json', 'the summary as JSON on standard output')
    .option('--quiet', 'no progress')
    .action(({ retest, ...options }: LabelCommand, command: Command) => {
      checkServer(options, command)
      return run(labelFile)({ ...options, ...(retest === false && { retest }) })
    })
  policyOptions(annotate.command('consensus'))
    .description('keep the solutions on whose first error judges agree, and say how much they agree')
    .argument('[judgements...]', 'files of judgements of the same solutions; NAME=SOURCE names who judged')
    .addOption(new Option('--preset <name>', 'the pipeline of a paper').choices(['aslaf']))
    .option('--agree <n>', 'judges that must agree (default: all)', number)
    .addOption(new Option('--on <what>', 'agree on what').choices(['location', 'correctness']))
    .addOption(new Option('--granularity <of>', 'what is kept').choices(['instance', 'step']))
    .addOption(new Option('--abstentions <how>', 'what a judge counts that cannot say').choices(['disagree', 'ignore']))
    .option('--solutions <file>', 'what live judges judge (default: the first file of judgements)')
    .option('--prm [ref]', 'a PRM as a judge (without a name: the embedded model)')
    .addOption(headOption())
    .addOption(profileOption())
    .option('--threshold <score>', 'of the PRM: below it a step is wrong', number)
    .option('--calibrate <file>', 'labelled solutions that the threshold is chosen on')
    .option('--samples <n>', 'critiques of each solution, by --policy or --base-url', number)
    .option('--name <name>', 'name of the run (default: consensus)')
    .addOption(new Option('--run <folder>', 'its folder (default: runs/NAME)'))
    .option('--resume', 'go on with the run in the folder')
    .option('--limit <n>', 'only the first n solutions', number)
    .option('--strict', 'fail at the first row that does not fit, instead of counting it')
    .option('--window <n>', 'how far apart the same solution may stand in the files', number)
    .option('--resamples <n>', 'draws of the bootstrap', number)
    .option('--json', 'the summary as JSON on standard output')
    .option('--quiet', 'no progress')
    .action((judgements: string[], options: Omit<ConsensusCommand, 'judgements'>, command: Command) => {
      checkServer(options, command)
      return run(consensusFiles)({ ...options, judgements })
    })
  program
    .command('convert')
    .description('write step labels in the format of another tool, and say what it cannot hold')
    .argument('<from>', 'file, folder or hub id with step labels')
    .addOption(new Option('--to <format>', 'format to write').choices([...writtenFormats]).makeOptionMandatory())
    .requiredOption('--out <file>', 'file of JSON lines to write')
    .option('--threshold <label>', 'makes soft labels hard: above it is right', number)
    .addOption(neutralOption())
    .option('--limit <n>', 'only the first n solutions', number)
    .option('--data-format <name>', 'format of the data, where it is not to be recognised')
    .option('--strict', 'fail at the first row that does not fit, instead of counting it')
    .option('--json', 'the summary as JSON on standard output')
    .option('--quiet', 'no progress')
    .action((from: string, options: ConvertCommand) => run(convertFile)({ ...options, from }))
  program
    .command('report')
    .description('make the report of a finished run')
    .argument('<run>', 'its folder, or the journal of a search')
    .addOption(new Option('--format <format>', 'form of the report').choices(reportFormats).default('html'))
    .option('--output <file>', 'file to write (default: report.html in the folder; standard output for the others)')
    .action((folder: string, options) => run(report)({ ...options, run: folder }))

  try {
    await program.parseAsync()
    return exitCode
  } catch (error) {
    return failure(error)
  }
}

/** Thrown into whatever runs when the user interrupts. */
class Interrupted extends Error {}

function failure(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof Interrupted) {
    process.stderr.write('surefoot: interrupted\n')
    return 130
  }
  if (SurefootError.isInstance(error)) {
    process.stderr.write(`surefoot: ${error.code}: ${error.message.replaceAll('\n', ' ')}\n`)
    return 1
  }
  throw error
}

function modelOptions(command: Command): Command {
  return deviceOptions(
    command.option('--prm <ref>', 'folder, GGUF file or hub id of the PRM; the embedded model without it'),
  )
}

/** The policy of a command, where it computes, and how it samples. */
function policyOptions(command: Command): Command {
  return samplingOptions(command)
    .addOption(new Option('--device <device>', 'where to compute').choices(devices).default('auto'))
    .addOption(new Option('--precision <precision>', 'as for eval').choices(['exact', 'fast']).default('exact'))
    .option('--cache-bytes <n>', 'most bytes of keys and values', number)
    .option('--seed <n>', 'of every draw', number)
    .addOption(new Option('--separator <text>', 'what ends a step (\\n for a line break)').argParser(unescaped))
}

/** The policy of a command, and how it samples. */
function samplingOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--policy [ref]', 'folder, GGUF file or hub id (default: the embedded model)').conflicts('baseUrl'),
    )
    .option('--base-url <url>', 'use the model of an OpenAI-compatible server instead')
    .option('--model <name>', 'its name at the server')
    .option('--dialect <name>', 'how the server continues an answer (default: it is asked)')
    .addOption(new Option('--endpoint <name>', 'of the server (default: chat)').choices(['chat', 'completions']))
    .option('--template <ref>', "write its prompts by this model's chat template, for --endpoint completions")
    .option('--api-key-env <variable>', 'environment variable that holds the key of the server')
    .option('--concurrency <n>', 'requests under way at the same time (default: 8)', number)
    .option('--system <text>', 'system message')
    .option('--temperature <t>', '0: always the likeliest token (default: 0.7)', number)
    .option('--top-k <n>', 'only among the so many likeliest tokens', number)
    .option('--top-p <p>', 'only among the likeliest tokens that together have this probability', number)
    .option('--min-p <p>', "only among tokens with at least this part of the likeliest one's probability", number)
    .option('--stop <texts...>', 'texts that end what is sampled')
}

function checkServer({ baseUrl, model }: PolicyCommand, command: Command): void {
  if ((baseUrl === undefined) !== (model === undefined)) {
    command.error('error: --base-url and --model name a server and its model: give both or neither')
  }
}

function deviceOptions(command: Command): Command {
  return command
    .addOption(new Option('--device <device>', 'where to compute').choices(devices).default('auto'))
    .addOption(
      new Option(
        '--precision <precision>',
        'fast: bf16 for keys and values, and for products where the processor has it',
      )
        .choices(['exact', 'fast'])
        .default('exact'),
    )
    .option('--cache-bytes <n>', 'most bytes of keys and values', number)
    .addOption(headOption())
    .addOption(profileOption())
    .addOption(new Option('--separator <text>', 'text after every step (\\n for a line break)').argParser(unescaped))
}

function headOption(): Option {
  return new Option('--head <path>', "a head's safetensors file, or the folder of a LoRA adapter")
}

function profileOption(): Option {
  return new Option('--profile <name>', 'profile to use instead of the recognised one, or a JSON object of changes')
}

function overflowOption(): Option {
  return new Option('--on-overflow <how>', 'what becomes of more tokens than the context').choices([
    'error',
    'truncate-left',
  ])
}

function aggregateOption(): Option {
  return new Option('--aggregate <name>', 'how step scores become one number').choices([...aggregates])
}

/** Names given one by one or with commas between. */
function aggregateNames(value: string, before: Aggregate[] = []): Aggregate[] {
  const names = value.split(',') as Aggregate[]
  const unknown = names.find(name => !aggregates.includes(name))
  if (unknown !== undefined) throw new InvalidArgumentError(`Allowed choices are ${aggregates.join(', ')}.`)
  return [...before, ...names]
}

function number(value: string): number {
  const parsed = Number(value)
  if (value.trim() === '' || !Number.isFinite(parsed)) throw new InvalidArgumentError('Not a number.')
  return parsed
}

function countOf(value: string): number | 'difficulty' {
  return value === 'difficulty' ? value : number(value)
}

function numbers(value: string, before: number[] = []): number[] {
  return [...before, number(value)]
}

function neutralOption(): Option {
  return new Option('--neutral <how>', "PRM800K's neutral ratings (default: right)").choices([
    'right',
    'wrong',
    'masked',
  ])
}

function unescaped(text: string): string {
  return text.replaceAll('\\n', '\n').replaceAll('\\t', '\t')
}

process.exitCode = await main()
// An interrupted run may still hold standard input open.
if (process.exitCode === 130) process.exit()
