#!/usr/bin/env node
import { setMaxListeners } from 'node:events'
import { Command, CommanderError, Option } from 'commander'
import packageJson from '../../package.json' with { type: 'json' }
import { aggregates } from '../aggregate.ts'
import { SurefootError } from '../errors.ts'
import { demo } from './demo.ts'
import { inspect } from './inspect.ts'
import { rerank } from './rerank.ts'
import { score } from './score.ts'

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
    .option('--json', 'one JSON line per solution on standard output')
    .addOption(aggregateOption())
    .action(run(score))
  modelOptions(program.command('rerank'))
    .description('rank candidates read as JSON lines: {"id"?, "problem", "candidates": [text | [step]]}')
    .option('--input <file>', 'file to read instead of standard input')
    .option('--json', 'one JSON line per problem on standard output')
    .option('--top <n>', 'only the best n', Number)
    .addOption(aggregateOption())
    .action(run(rerank))
  program
    .command('inspect')
    .description('show what is recognised in a checkpoint, and from which evidence')
    .argument('[ref]', 'folder or hub id; the embedded model without it')
    .addOption(new Option('--prm <ref>', 'the same as the argument'))
    .option('--json', 'as JSON')
    .addOption(new Option('--device <device>').choices(devices).default('auto'))
    .action((ref: string | undefined, options) => run(inspect)({ ...options, prm: ref ?? options.prm }))
  program
    .command('demo')
    .description('score and rank with the embedded model, and show what it gains')
    .option('--json', 'the table as JSON')
    .action(run(demo))

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
  return command
    .option('--prm <ref>', 'folder or hub id of the PRM; the embedded model without it')
    .addOption(new Option('--device <device>', 'where to compute').choices(devices).default('auto'))
    .addOption(new Option('--profile <name>', 'profile to use instead of the detected one'))
    .addOption(new Option('--separator <text>', 'text after every step (\\n for a line break)').argParser(unescaped))
}

function aggregateOption(): Option {
  return new Option('--aggregate <name>', 'how step scores become one number').choices([...aggregates])
}

function unescaped(text: string): string {
  return text.replaceAll('\\n', '\n').replaceAll('\\t', '\t')
}

process.exitCode = await main()
// An interrupted run may still hold standard input open.
if (process.exitCode === 130) process.exit()
