import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { CaError } from '../core/errors.ts'
import { SealedKeys } from '../keys/sealed-keys.ts'
import { AuthorityDirectory } from '../storage/authority-directory.ts'
import { type DirectoryLock, lockDirectory } from '../storage/directory-lock.ts'
import { hasLedger, LedgerDirectory } from '../storage/ledger-directory.ts'
import { makeDirectory } from '../storage/make-directory.ts'
import { encryptionFrom } from '../storage/secret-file.ts'
import type { CliEnv } from './env.ts'
import { fileFault } from './file-fault.ts'
import { STATE_FLAG } from './local-server.ts'

type Options = Readonly<Record<string, unknown>>

/** The flags of a verb that works on the state of a server while that is stopped. */
export function addStateFlags(command: Command): Command {
  return command
    .requiredOption(STATE_FLAG, 'the directory of a server that is stopped')
    .option('--passphrase-file <file>', 'with the passphrase that seals root keys (as keys.passphraseFile)')
    .addOption(
      new Option(
        '--wrapping-key-file <file>',
        'with the wrapping key that seals root keys (as keys.wrappingKeyFile)',
      ).conflicts('passphraseFile'),
    )
}

const ledgerOf = (state: string) => join(state, 'ledger')

/** The journal and sealed keys of a state directory: without its lock to read them. */
export function storeIn(state: string, options: Options, lock?: DirectoryLock): AuthorityDirectory {
  const encryption = encryptionFrom({
    passphraseFile: options.passphraseFile as string | undefined,
    wrappingKeyFile: options.wrappingKeyFile as string | undefined,
  })
  return new AuthorityDirectory(
    state,
    encryption ? [new SealedKeys(encryption)] : [],
    () => hasLedger(ledgerOf(state)),
    lock?.check,
  )
}

/** @throws CaError `invalid_argument` */
export function requireSealing(options: Options): void {
  if (options.passphraseFile === undefined && options.wrappingKeyFile === undefined)
    throw new CaError(
      'invalid_argument',
      '--passphrase-file or --wrapping-key-file is required: it seals the root’s key',
    )
}

export type StoppedState = AsyncDisposable & {
  readonly store: AuthorityDirectory
  readonly ledger: LedgerDirectory
}

/**
 * The state of a server that is stopped, locked against one that starts. It is made where there is none.
 * @throws CaError `conflict`: a server is using it · `invalid_argument`
 */
export async function openStoppedState(env: CliEnv, options: Options): Promise<StoppedState> {
  const state = options.stateDirectory as string
  try {
    await makeDirectory(state, 0o700)
  } catch (cause) {
    throw fileFault(`--state-directory ${state}`, cause)
  }
  await using opened = new AsyncDisposableStack()
  const lock = opened.use(lockDirectory(state))
  const ledger = opened.use(new LedgerDirectory(ledgerOf(state), env.clock))
  const kept = opened.move()
  return { store: storeIn(state, options, lock), ledger, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
