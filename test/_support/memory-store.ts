import type { AuthoritySet, KeyHome } from '../../src/authority/authority.ts'
import { JournalInDoubt, printJournal, readJournal } from '../../src/authority/journal.ts'
import { hex } from '../../src/core/bytes.ts'
import { CaError } from '../../src/core/errors.ts'
import type { KeyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import { keyIdOf } from '../../src/keys/public-key.ts'
import type { AuthorityStore } from '../../src/service/ports.ts'

/** What goes wrong at a write: nothing is written, or nobody knows although it was, or although it was not. */
export type Fault = 'refused' | 'in doubt, written' | 'in doubt, not written'

type Journal = ReturnType<typeof readJournal>

/** An AuthorityStore in memory, which keeps the journal as text and fails where it is told to. */
export class MemoryStore implements AuthorityStore {
  /** The journal as it would lie on a disk. */
  text: string | undefined
  /** By the authority's id. As on a disk, one that no journal names lies there all the same. */
  readonly keys = new Map<string, PrivateKey>()
  readonly newKeyHome = 'file'
  /** The one made or taken last. */
  get key(): PrivateKey | undefined {
    return [...this.keys.values()].at(-1)
  }

  writes = 0
  /** What happens at write number n, counted from 1, `begin` included. */
  faults = new Map<number, Fault>()
  keyUses = 0
  /** The same for making a root's key and opening one. */
  keyFaults = new Map<number, Fault>()

  #read: { readonly text: string; readonly journal: Journal } | undefined

  /** What the text says, read once. */
  get journal(): Journal {
    const text = this.text ?? ''
    if (this.#read?.text !== text) this.#read = { text, journal: readJournal(text) }
    return this.#read.journal
  }

  async read(): Promise<Journal | undefined> {
    return this.text === undefined ? undefined : this.journal
  }

  async begin(set: AuthoritySet): Promise<number> {
    if (this.text !== undefined) throw new CaError('conflict', 'there is one')
    await this.#store(1, set)
    return 1
  }

  async write(expected: number, set: AuthoritySet): Promise<number> {
    const found = (await this.read())?.revision ?? 0
    if (found !== expected) throw new CaError('conflict', `the journal has revision ${found}, not ${expected}`)
    await this.#store(expected + 1, set)
    return expected + 1
  }

  async confirm(expected: number): Promise<void> {
    const found = (await this.read())?.revision ?? 0
    if (found !== expected)
      throw new JournalInDoubt(`the journal has revision ${found}, not ${expected}: somebody else wrote it`)
  }

  async newRootKey(algorithm: KeyAlgorithm): Promise<Signer> {
    const fault = this.keyFaults.get(++this.keyUses)
    const key = await PrivateKey.generate(algorithm)
    if (fault !== 'refused' && fault !== 'in doubt, not written') await this.takeRootKey(key)
    if (fault !== undefined) throw keysAway()
    return key
  }

  async takeRootKey(key: PrivateKey): Promise<Signer> {
    this.keys.set(hex(keyIdOf(key.publicKey.spki)), key)
    return key
  }

  async rootKey(id: string, home: KeyHome): Promise<Signer> {
    if (this.keyFaults.has(++this.keyUses)) throw keysAway()
    if (home !== this.newKeyHome) throw new CaError('wrong_state', `the root’s key is not kept here, but “${home}”`)
    const key = this.keys.get(id)
    if (!key) throw new CaError('wrong_state', 'the root’s key is missing')
    return key
  }

  async destroyRootKey(id: string, home: KeyHome): Promise<boolean> {
    if (home !== this.newKeyHome) throw new CaError('wrong_state', `the root’s key is not kept here, but “${home}”`)
    const fault = this.keyFaults.get(++this.keyUses)
    const had = fault === 'refused' || fault === 'in doubt, not written' ? false : this.keys.delete(id)
    if (fault !== undefined) throw keysAway()
    return had
  }

  async #store(revision: number, set: AuthoritySet): Promise<void> {
    const fault = this.faults.get(++this.writes)
    if (fault === 'refused') throw new CaError('dependency_unavailable', 'the journal can’t be written')
    if (fault !== 'in doubt, not written') {
      this.text = printJournal(revision, set)
    }
    if (fault !== undefined) throw new JournalInDoubt('told to fail')
  }
}

const keysAway = () => new CaError('dependency_unavailable', 'the root’s key can’t be reached; try again later')
