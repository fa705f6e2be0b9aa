import type { AuthoritySet } from '../authority/authority.ts'
import type { Journal } from '../authority/journal.ts'
import type { PrivateKey, Signer } from '../keys/private-key.ts'

/** The journal together with the root keys that belong to it. */
export interface AuthorityStore extends Journal {
  /**
   * Begins a trust domain where there is none: journal and root key appear together or not at all. Gives revision 1.
   * @throws CaError `conflict`: there is one · `wrong_state`: there was one
   */
  begin(set: AuthoritySet, rootKey: PrivateKey | undefined): Promise<number>
  /** @throws CaError `wrong_state`: missing, damaged or readable by others */
  rootKey(id: string): Promise<Signer>
}
