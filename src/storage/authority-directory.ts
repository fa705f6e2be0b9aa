import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuthoritySet } from '../authority/authority.ts'
import { JournalInDoubt, printJournal, readJournal } from '../authority/journal.ts'
import { hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { PrivateKey, type Signer } from '../keys/private-key.ts'
import { keyIdOf } from '../keys/public-key.ts'
import type { AuthorityStore } from '../service/ports.ts'
import { isMissing, syncDirectory, writeDurably, writeNew } from './durable-file.ts'

const JOURNAL = 'journal.json'
const keyFile = (id: string) => `root-${id.slice(0, 16)}.key.pem`

/**
 * Journal and root key in `<state>/authority`. The folder appears whole, by one rename, when a trust domain begins; from then on its absence
 * is damage and never a reason to begin again (invariant 5).
 */
export class AuthorityDirectory implements AuthorityStore {
  readonly #state: string
  readonly #directory: string
  /** Whether anything in the state directory shows that a trust domain began here. */
  readonly #traces: () => Promise<boolean>

  constructor(state: string, traces: () => Promise<boolean>) {
    this.#state = state
    this.#directory = join(state, 'authority')
    this.#traces = traces
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

  async begin(set: AuthoritySet, rootKey: PrivateKey | undefined): Promise<number> {
    const found = await this.read()
    if (found) throw new CaError('conflict', `${this.#directory} exists`)
    const staged = `${this.#directory}.new`
    try {
      // What a crash left half-made was never used.
      await rm(staged, { recursive: true, force: true })
      await mkdir(staged, { mode: 0o700 })
      const [root] = set.authorities.filter((authority) => authority.key === 'file')
      if (root && rootKey) await rootKey.store((pem) => writeNew(join(staged, keyFile(root.id)), pem, 0o600))
      await writeNew(join(staged, JOURNAL), printJournal(1, set), 0o600)
      await syncDirectory(staged)
      await rename(staged, this.#directory)
      await syncDirectory(this.#state)
    } catch (error) {
      throw unavailable(`${this.#directory} can’t be made`, error)
    }
    return 1
  }

  async write(expected: number, set: AuthoritySet): Promise<number> {
    // The directory's lock makes this process the only writer; the comparison guards against our own mistakes and a restored backup.
    const found = (await this.read())?.revision ?? 0
    if (found !== expected) throw new CaError('conflict', `the journal has revision ${found}, not ${expected}`)
    const progress: { committed?: boolean } = {}
    try {
      await writeDurably(join(this.#directory, JOURNAL), printJournal(expected + 1, set), 0o600, progress)
    } catch (error) {
      if (progress.committed)
        throw new JournalInDoubt('a journal write failed after it may have taken place', { cause: error })
      throw unavailable('the journal can’t be written', error)
    }
    return expected + 1
  }

  async rootKey(id: string): Promise<Signer> {
    const path = join(this.#directory, keyFile(id))
    let pem: Buffer
    try {
      const { mode } = await stat(path)
      if (mode & 0o077)
        throw new CaError(
          'wrong_state',
          `${path} can be read by others (mode ${(mode & 0o777).toString(8)}); make it 600, and ask who has read it`,
        )
      pem = await readFile(path)
    } catch (error) {
      if (isMissing(error))
        throw new CaError(
          'wrong_state',
          `the root’s key ${path} is missing; put it back: Alcazar makes no new root while the old one may be alive`,
        )
      if (error instanceof CaError) throw error
      throw unavailable(`the root’s key ${path} can’t be read`, error)
    }
    let key: PrivateKey
    try {
      key = PrivateKey.fromPem(pem)
    } catch (error) {
      if (error instanceof CaError)
        throw new CaError('wrong_state', `the root’s key ${path} is damaged: ${error.message}`, { cause: error })
      throw error
    } finally {
      pem.fill(0)
    }
    if (hex(keyIdOf(key.publicKey.spki)) !== id)
      throw new CaError('wrong_state', `the root’s key ${path} is another root’s; put back the right one`)
    return key
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error) => {
      if (isMissing(error)) return false
      throw error
    },
  )
}

function unavailable(what: string, error: unknown): CaError {
  return new CaError('dependency_unavailable', `${what}: ${(error as Error).message}`, { cause: error })
}
