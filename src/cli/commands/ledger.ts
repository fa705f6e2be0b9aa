import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { shortId } from '../../core/bytes.ts'
import { parseDuration } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import type { DamagedLine, LedgerRecord } from '../../ledger/ledger.ts'
import { hasLedger, readLedger } from '../../storage/ledger-directory.ts'
import { type CliEnv, print, type Verb } from '../env.ts'
import { STATE_FLAG, STATE_HELP, stateDirectory } from '../local-server.ts'
import { outputOption } from '../output-option.ts'

type Entry = LedgerRecord | DamagedLine

const DEFAULT_LIMIT = 50
/** Damaged lines that are named one by one. */
const MAX_DAMAGED = 10

export const ledgerList: Verb = {
  name: 'ledger list',
  summary: 'List what was issued and refused, the newest last',
  define(command) {
    common(
      command
        .addOption(new Option('--refused', 'only what was refused').conflicts('issued'))
        .option('--issued', 'only what was issued')
        .option('-n, --namespace <name>', 'only of this namespace')
        .option('-s, --service-account <name>', 'only of this service account')
        .option('--since <duration>', 'only from this long ago on, for example 1h')
        .addOption(new Option('--limit <n>', 'how many at most, counted from the newest').default(DEFAULT_LIMIT)),
    ).addHelpText(
      'after',
      '\nExample: why was this pod refused?\n  alcazar ledger list --refused --namespace shop --since 1h',
    )
  },
  async run(env, _args, options) {
    const limit = Number(options.limit)
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new CaError('invalid_argument', `--limit is a whole number from 1, not ${JSON.stringify(options.limit)}`)
    const since =
      options.since === undefined
        ? undefined
        : new Date(env.clock.now().getTime() - parseDuration(options.since as string))
    const found: Entry[] = []
    const damaged: DamagedLine[] = []
    for await (const entry of entriesOf(env, options, since)) {
      if (entry.kind === 'damaged') damaged.push(entry)
      if (!matches(entry, options, since)) continue
      found.push(entry)
      if (found.length > limit) found.shift()
    }
    print(env, options, found, () => (found.length === 0 ? ['Nothing of the kind is in the ledger.'] : found.map(line)))
    for (const { file, line, torn } of damaged.slice(0, MAX_DAMAGED))
      env.err.write(
        line === 0
          ? `alcazar: ${file} is missing, or was longer; put back a copy that is whole\n`
          : `alcazar: ${file} line ${line} is no record: ${torn ? 'torn by a crash before it counted' : 'damaged'}\n`,
      )
    if (damaged.length > MAX_DAMAGED) env.err.write(`alcazar: and ${damaged.length - MAX_DAMAGED} more lines\n`)
  },
}

export const ledgerShow: Verb = {
  name: 'ledger show',
  summary: 'Show all that the ledger has of one certificate, request or authority',
  define(command) {
    common(
      command.argument(
        '<id>',
        'a serial number (hex, colons allowed), a request id or an authority’s id, from their beginning',
      ),
    )
  },
  async run(env, [given = ''], options) {
    const wanted = given.replaceAll(':', '').toLowerCase()
    if (!/^[0-9a-f]{4,}$/.test(wanted))
      throw new CaError(
        'invalid_argument',
        'a serial number, request id or authority’s id is hex, at least four digits',
      )
    const all: Entry[] = []
    for await (const entry of entriesOf(env, options, undefined))
      if (
        ('serial' in entry && entry.serial.startsWith(wanted)) ||
        ('requestId' in entry && entry.requestId.startsWith(wanted)) ||
        ('authority' in entry && entry.authority.startsWith(wanted))
      )
        all.push(entry)
    if (all.length === 0) throw new CaError('not_found', `the ledger has nothing that begins with ${wanted}`)
    print(env, options, all, () =>
      all.flatMap((entry, index) => [...(index === 0 ? [] : ['']), title(entry), ...details(entry)]),
    )
  },
}

function common(command: Command): Command {
  return command.option(STATE_FLAG, STATE_HELP).addOption(outputOption())
}

async function* entriesOf(
  env: CliEnv,
  options: Readonly<Record<string, unknown>>,
  since: Date | undefined,
): AsyncGenerator<Entry> {
  const directory = join(stateDirectory(env, options), 'ledger')
  if (!(await hasLedger(directory)))
    throw new CaError(
      'not_found',
      `there is no ledger in ${directory}; name the server’s state directory with --state-directory`,
    )
  yield* readLedger(directory, since)
}

function matches(entry: Entry, options: Readonly<Record<string, unknown>>, since: Date | undefined): boolean {
  // An intent stands for nothing of its own here: its outcome does.
  if (entry.kind === 'damaged' || entry.kind === 'intent' || entry.kind === 'shown') return false
  if (since && new Date(entry.at) < since) return false
  if (options.refused && entry.kind !== 'refused' && entry.kind !== 'refusals') return false
  if (options.issued && entry.kind !== 'issued') return false
  const account = accountOf(entry)
  if (options.namespace !== undefined && account?.namespace !== options.namespace) return false
  return options.serviceAccount === undefined || account?.serviceAccount === options.serviceAccount
}

function accountOf(entry: Entry): { namespace: string; serviceAccount: string } | undefined {
  if (entry.kind === 'refused') return entry.caller
  if (entry.kind !== 'issued') return undefined
  const [, , , , namespace = '', , serviceAccount = ''] = entry.id.split('/')
  return { namespace, serviceAccount }
}

function line(entry: Entry): string {
  if (entry.kind === 'damaged') return ''
  const at = `${entry.at.replace('T', ' ').slice(0, 19)}Z`
  switch (entry.kind) {
    case 'issued':
      return `${at}  issued   ${entry.id}  ${entry.serial.slice(0, 8)}…  until ${entry.notAfter.slice(0, 16).replace('T', ' ')} UTC`
    case 'refused':
      return `${at}  refused  ${entry.caller ? `${entry.caller.namespace}/${entry.caller.serviceAccount}` : entry.peer}  ${entry.reason ?? entry.code}: ${entry.detail}  (request ${entry.requestId})`
    case 'refusals':
      return `${at}  refused  ${entry.count} more in a second: ${Object.entries(entry.byReason)
        .map(([reason, count]) => `${count} ${reason}`)
        .join(', ')}`
    case 'authority':
      return `${at}  ${entry.what}  ${shortId(entry.authority)}  ${entry.detail}`
    case 'intent':
      return `${at}  intent   ${entry.id}  ${entry.serial.slice(0, 8)}…`
    case 'shown':
      return `${at}  shown    ${entry.serial.slice(0, 8)}…`
  }
}

const title = (entry: Entry): string => (entry.kind === 'damaged' ? 'damaged line' : `${entry.kind} at ${entry.at}`)

function details(entry: Entry): string[] {
  return Object.entries(entry)
    .filter(([name]) => name !== 'kind' && name !== 'at')
    .map(
      ([name, value]) =>
        `  ${name.padEnd(15)} ${
          typeof value === 'object'
            ? Object.entries(value as object)
                .map(([key, inner]) => `${key}=${String(inner)}`)
                .join(' ')
            : String(value)
        }`,
    )
}
