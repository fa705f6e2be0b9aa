import type { AuthoritySet, KeyHome } from '../authority/authority.ts'
import type { Journal } from '../authority/journal.ts'
import type { KeyAlgorithm } from '../keys/algorithms.ts'
import type { PrivateKey, Signer } from '../keys/private-key.ts'

/** The journal together with the root keys that belong to it. */
export interface AuthorityStore extends Journal {
  /** Where keys made here are. */
  readonly home: KeyHome
  /**
   * Begins a trust domain where there is none: journal and root key appear together or not at all. Gives revision 1.
   * @throws CaError `conflict`: there is one · `wrong_state`: there was one
   */
  begin(set: AuthoritySet): Promise<number>
  /** Makes a root's key, durable when it resolves. What a crash leaves behind is a key that signed nothing. */
  newRootKey(algorithm: KeyAlgorithm): Promise<Signer>
  /** Takes a root's key that was made elsewhere. @throws CaError `wrong_state`: it can't be taken here */
  takeRootKey(key: PrivateKey): Promise<Signer>
  /** @throws CaError `wrong_state`: missing, damaged, readable by others, or kept where this server has no access */
  rootKey(id: string, home: KeyHome): Promise<Signer>
}
