import { Command, CommanderError } from 'commander'
import { CaError, causesOf } from '../core/errors.ts'
import { OUTCOMES } from '../core/outcomes.ts'
import { harmlessLines } from '../core/terminal-text.ts'
import type { CliEnv, Verb } from './env.ts'
import { verbs } from './verbs.ts'

const GROUPS: Readonly<Record<string, string>> = {
  ledger: 'What was issued and refused',
  root: 'The roots of trust, and how one replaces another',
  authority: 'All authorities; the same verbs as root',
  workloads: 'Who holds certificates now',
  keys: 'What seals the keys of roots',
  config: 'The settings of a server',
}

const EXIT_CODES = `
Exit codes: 0 done · 1 internal error · 2 bad input · 4 denied · 5 not found · 6 wrong state · 7 not now, retry later`

/** Runs one command line and gives the exit code. Every error becomes one line on stderr, here and nowhere else. */
export async function runCli(env: CliEnv, args: readonly string[]): Promise<number> {
  try {
    const root = program(env, await verbs(args[0]))
    await root.parseAsync(args[0] === 'help' ? helpOf(root, args.slice(1)) : [...args], { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    // Not asCaError: its words point to a server's log.
    const known = error instanceof CaError ? error : new CaError('internal', 'internal error', { cause: error })
    env.err.write(`alcazar: ${harmlessLines(known.message, '  ')}\n`)
    // What a server answered has no cause here: that is in its own log.
    if (known.code === 'internal' && known.cause !== undefined)
      env.err.write(`  ${harmlessLines(`${causesOf(known.cause)}\n${(known.cause as Error).stack ?? ''}`, '  ')}\n`)
    return OUTCOMES[known.code].exit
  }
}

/** `help ledger list` as `ledger list --help`, which commander says of one word only; what is no command stands as it is, to be refused. */
function helpOf(root: Command, words: readonly string[]): string[] {
  const path: string[] = []
  let at: Command | undefined = root
  for (const word of words) {
    if (at.commands.length === 0) break
    path.push(word)
    at = at.commands.find((one) => one.name() === word)
    if (!at) return path
  }
  return [...path, '--help']
}

/** The command line as commander sees it; help and completion are made from it. */
function program(env: CliEnv, known: readonly Verb[]): Command {
  const root = new Command('alcazar')
    .description('A certificate authority for Kubernetes workloads.')
    .version(env.version, '-V, --version', 'print the version')
    .addHelpText('after', EXIT_CODES)
    .configureHelp({ showGlobalOptions: false })
  prepare(root, env)
  const firsts = new Map<string, Command>()
  for (const verb of known) {
    const [first = '', second] = verb.name.split(' ')
    const parent = firsts.get(first) ?? prepare(root.command(first).description(GROUPS[first] ?? ''), env)
    firsts.set(first, parent)
    const command =
      second === undefined
        ? parent.description(verb.summary)
        : prepare(parent.command(second).description(verb.summary), env)
    verb.define(command)
    command.action(async (...given: unknown[]) => {
      const options = (given.at(-2) ?? {}) as Record<string, unknown>
      await verb.run(env, given.slice(0, -2).flat() as string[], options)
    })
  }
  return root
}

function prepare(command: Command, env: CliEnv): Command {
  // A verb may have verbs of its own and share flags with them (positional options): those after the last word are that word's.
  return command
    .exitOverride()
    .enablePositionalOptions()
    .allowExcessArguments(false)
    .showSuggestionAfterError(true)
    .configureOutput({
      writeOut: env.out.write,
      writeErr: env.err.write,
      outputError: (text, write) => write(withOwnFlag(command, text).replace(/^error: /, 'alcazar: ')),
    })
}

/** Names the verb’s own flag to who wrote that of `serve`: `--passphrase-file` for `--keys-passphrase-file`. */
function withOwnFlag({ options }: Command, text: string): string {
  const [said, name] = /^error: unknown option '--keys-([\w-]+)'/.exec(text) ?? []
  const isThere = options.some(({ long }) => long === `--${name}`)
  return said !== undefined && isThere ? `${said}\n(Did you mean --${name}?)\n` : text
}
