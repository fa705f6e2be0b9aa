import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuthoritySet, KeyHome } from '../authority/authority.ts'
import { JournalInDoubt, printJournal, readJournal } from '../authority/journal.ts'
import { CaError } from '../core/errors.ts'
import type { KeyAlgorithm } from '../keys/algorithms.ts'
import type { PrivateKey, Signer } from '../keys/private-key.ts'
import type { KeyFiles, KeyVault, VaultHome } from '../keys/vault.ts'
import { type KeyVaults, makingVault, vaultOf } from '../keys/vaults.ts'
import type { AuthorityStore } from '../service/ports.ts'
import { exists, isMissing, syncDirectory, unavailable, writeDurably, writeNew } from './durable-file.ts'
import { KeyDirectory } from './key-directory.ts'

const JOURNAL = 'journal.json'
/** In the state directory. */
export const AUTHORITY_FOLDER = 'authority'

/**
 * Journal and root keys in `<state>/authority`. The folder appears whole, by one rename, when a trust domain begins; from then on its absence
 * is damage and never a reason to begin again (invariant 5).
 */
export class AuthorityDirectory implements AuthorityStore {
  readonly #state: string
  readonly #directory: string
  readonly #staged: string
  #isStaged = false
  readonly #vaults: KeyVaults
  /** Whether anything in the state directory shows that a trust domain began here. */
  readonly #traces: () => Promise<boolean>
  /** As `DirectoryLock.check`. */
  readonly #checkLock: () => void
  /** The revision that was confirmed last, and what the system said of the journal's file then. */
  #confirmed: string | undefined

  /** @param checkLock left out only by who does not write */
  constructor(state: string, vaults: KeyVaults, traces: () => Promise<boolean>, checkLock = () => {}) {
    this.#state = state
    this.#directory = join(state, AUTHORITY_FOLDER)
    this.#staged = `${this.#directory}.new`
    this.#vaults = vaults
    this.#traces = traces
    this.#checkLock = checkLock
  }

  async read(): Promise<{ revision: number; set: AuthoritySet } | undefined> {
    const path = join(this.#directory, JOURNAL)
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (error) {
      if (!isMissing(error)) throw unavailable(`${path} can’t be read`, error)
      if (await exists(this.#directory))
        throw new CaError(
          'wrong_state',
          `${path} is missing; put it back: Alcazar makes no new root while the old one may be alive`,
        )
      if (await this.#traces())
        throw new CaError(
          'wrong_state',
          `${this.#directory} is missing, though ${this.#state} has a ledger; put it back, or start on an empty directory`,
        )
      return undefined
    }
    try {
      return readJournal(text)
    } catch (error) {
      if (error instanceof CaError) throw new CaError(error.code, `${path}: ${error.message}`, { cause: error })
      throw error
    }
  }

  async begin(set: AuthoritySet): Promise<number> {
    const found = await this.read()
    if (found) throw new CaError('conflict', `${this.#directory} exists`)
    const text = printJournal(1, set)
    await this.#stage()
    try {
      await writeNew(join(this.#staged, JOURNAL), text, 0o600)
      await syncDirectory(this.#staged)
      await rename(this.#staged, this.#directory)
      this.#isStaged = false
      await syncDirectory(this.#state)
    } catch (error) {
      throw unavailable(`${this.#directory} can’t be made`, error)
    }
    return 1
  }

  async write(expected: number, set: AuthoritySet): Promise<number> {
    // It makes this process the only writer; the comparison guards against our own mistakes and a restored backup.
    this.#checkLock()
    const found = (await this.read())?.revision ?? 0
    if (found !== expected) throw new CaError('conflict', `the journal has revision ${found}, not ${expected}`)
    const text = printJournal(expected + 1, set)
    const progress: { committed?: boolean } = {}
    const path = join(this.#directory, JOURNAL)
    try {
      await writeDurably(path, text, 0o600, progress)
    } catch (error) {
      if (progress.committed)
        throw new JournalInDoubt('a journal write failed after it may have taken place', { cause: error })
      throw unavailable(`the journal ${path} can’t be written, and nothing was changed`, error)
    }
    return expected + 1
  }

  async confirm(expected: number): Promise<void> {
    this.#checkLock()
    const stamp = `${expected} ${await this.#stamp()}`
    if (stamp === this.#confirmed) return
    const found = (await this.read())?.revision ?? 0
    if (found !== expected)
      throw new JournalInDoubt(`the journal has revision ${found}, not ${expected}: somebody else wrote it`)
    if (this.#confirmed === undefined) await new KeyDirectory(this.#directory).sweep()
    this.#confirmed = stamp
  }

  /** Another one when the file is replaced, written to or missing. */
  async #stamp(): Promise<string> {
    const path = join(this.#directory, JOURNAL)
    try {
      const { ino, ctimeNs } = await stat(path, { bigint: true })
      return `${ino} ${ctimeNs}`
    } catch (error) {
      if (isMissing(error)) return 'missing'
      throw unavailable(`${path} can’t be looked at`, error)
    }
  }

  get newKeyHome(): VaultHome {
    return makingVault(this.#vaults).home
  }

  newRootKey(algorithm: KeyAlgorithm): Promise<Signer> {
    return this.#keeping((vault, files) => vault.make(algorithm, files))
  }

  takeRootKey(key: PrivateKey): Promise<Signer> {
    return this.#keeping((vault, files) => vault.take(key, files))
  }

  async rootKey(id: string, home: KeyHome): Promise<Signer> {
    return inFolder(this.#directory, vaultOf(this.#vaults, home), (vault, files) => vault.open(id, files))
  }

  async destroyRootKey(id: string, home: KeyHome): Promise<boolean> {
    return inFolder(this.#directory, vaultOf(this.#vaults, home), (vault, files) => vault.destroy(id, files))
  }

  /** Before a trust domain begins, in the folder that will be its own; afterwards there. */
  async #keeping(keep: VaultAction<Signer>): Promise<Signer> {
    const vault = makingVault(this.#vaults)
    if (await this.read()) return inFolder(this.#directory, vault, keep)
    await this.#stage()
    return inFolder(this.#staged, vault, keep)
  }

  /** What a crash left half-made was never used; what this process put there is. */
  async #stage(): Promise<void> {
    if (this.#isStaged) return
    try {
      await rm(this.#staged, { recursive: true, force: true })
      await mkdir(this.#staged, { mode: 0o700 })
    } catch (error) {
      throw unavailable(`${this.#directory} can’t be made`, error)
    }
    this.#isStaged = true
  }
}

type VaultAction<T> = (vault: KeyVault, files: KeyFiles) => Promise<T>

/** What is wrong with a file is told with its folder; a token, and what is wrong with a passphrase, have none. */
async function inFolder<T>(path: string, vault: KeyVault, act: VaultAction<T>): Promise<T> {
  try {
    return await act(vault, new KeyDirectory(path))
  } catch (error) {
    if (error instanceof CaError && error.code !== 'invalid_argument' && vault.home !== 'pkcs11')
      throw new CaError(error.code, `${path}: ${error.message}`, { cause: error })
    throw error
  }
}
