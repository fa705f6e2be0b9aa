import { join } from 'node:path'
import type { Command } from 'commander'
import { CaError } from '../core/errors.ts'
import { SealedKeys } from '../keys/sealed-keys.ts'
import type { KeyEncryption } from '../keys/vault.ts'
import { AuthorityDirectory } from '../storage/authority-directory.ts'
import { type DirectoryLock, lockDirectory } from '../storage/directory-lock.ts'
import { hasLedger, LedgerDirectory } from '../storage/ledger-directory.ts'
import { makeDirectory } from '../storage/make-directory.ts'
import type { CliEnv } from './env.ts'
import { fileFault } from './file-fault.ts'
import { STATE_FLAG } from './local-server.ts'
import { addSealingFlags, sealingFrom, sealingWords } from './sealing-flags.ts'

type Options = Readonly<Record<string, unknown>>

/** The flags of a verb that works on the state of a server while that is stopped. */
export function addStateFlags(command: Command): Command {
  command.requiredOption(STATE_FLAG, 'the directory of a server that is stopped')
  return addSealingFlags(command, '', 'that seals root keys')
}

/**
 * Keeps a server from starting on a state directory, while such a verb works on it.
 * @throws CaError `conflict`: one is using it · `invalid_argument`: it can’t be written
 */
export const lockStopped = (state: string): DirectoryLock =>
  lockDirectory(state, `an Alcazar server is using ${state}; stop the server first`)

const ledgerOf = (state: string) => join(state, 'ledger')

/** The journal of a state directory, and its sealed keys where what opens them is given: without its lock to read them. */
export function storeIn(state: string, encryption?: KeyEncryption, lock?: DirectoryLock): AuthorityDirectory {
  return new AuthorityDirectory(
    state,
    encryption ? [new SealedKeys(encryption)] : [],
    () => hasLedger(ledgerOf(state)),
    lock?.check,
  )
}

/** @throws CaError `invalid_argument` */
export function requireSealing(options: Options): void {
  if (!['passphraseFile', 'wrappingKeyFile', 'pkcs11Module'].some((flag) => options[flag] !== undefined))
    throw new CaError('invalid_argument', `${sealingWords('')}: it seals the root’s key`)
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
  const lock = opened.use(lockStopped(state))
  const ledger = opened.use(new LedgerDirectory(ledgerOf(state), env.clock))
  const store = storeIn(state, sealingFrom(env, options, '', opened), lock)
  const kept = opened.move()
  return { store, ledger, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
