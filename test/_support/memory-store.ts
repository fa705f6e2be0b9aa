import type { AuthoritySet } from '../../src/authority/authority.ts'
import { JournalInDoubt, printJournal, readJournal } from '../../src/authority/journal.ts'
import { CaError } from '../../src/core/errors.ts'
import type { PrivateKey, Signer } from '../../src/keys/private-key.ts'
import type { AuthorityStore } from '../../src/service/ports.ts'

/** What goes wrong at a write: nothing is written, or nobody knows although it was, or although it was not. */
export type Fault = 'refused' | 'in doubt, written' | 'in doubt, not written'

/** An AuthorityStore in memory, which keeps the journal as text and fails where it is told to. */
export class MemoryStore implements AuthorityStore {
  /** The journal as it would lie on a disk. */
  text: string | undefined
  key: PrivateKey | undefined
  writes = 0
  /** What happens at write number n, counted from 1, `begin` included. */
  faults = new Map<number, Fault>()

  async read(): Promise<{ revision: number; set: AuthoritySet } | undefined> {
    return this.text === undefined ? undefined : readJournal(this.text)
  }

  async begin(set: AuthoritySet, rootKey: PrivateKey | undefined): Promise<number> {
    if (this.text !== undefined) throw new CaError('conflict', 'there is one')
    await this.#store(1, set, () => {
      this.key = rootKey
    })
    return 1
  }

  async write(expected: number, set: AuthoritySet): Promise<number> {
    const found = (await this.read())?.revision ?? 0
    if (found !== expected) throw new CaError('conflict', `the journal has revision ${found}, not ${expected}`)
    await this.#store(expected + 1, set, () => undefined)
    return expected + 1
  }

  async rootKey(_id: string): Promise<Signer> {
    if (!this.key) throw new CaError('wrong_state', 'the root’s key is missing')
    return this.key
  }

  async #store(revision: number, set: AuthoritySet, also: () => void): Promise<void> {
    const fault = this.faults.get(++this.writes)
    if (fault === 'refused') throw new CaError('dependency_unavailable', 'the journal can’t be written')
    if (fault !== 'in doubt, not written') {
      this.text = printJournal(revision, set)
      also()
    }
    if (fault !== undefined) throw new JournalInDoubt('told to fail')
  }
}
