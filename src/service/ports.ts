import type { AuthoritySet, KeyHome } from '../authority/authority.ts'
import type { Journal } from '../authority/journal.ts'
import type { KeyAlgorithm } from '../keys/algorithms.ts'
import type { PrivateKey, Signer } from '../keys/private-key.ts'
import type { VaultHome } from '../keys/vault.ts'

/** The journal together with the root keys that belong to it. */
export interface AuthorityStore extends Journal {
  /**
   * Begins a trust domain where there is none: the journal and the root keys made or taken before appear together or not at all. Gives revision 1.
   * @throws CaError `conflict`: there is one · `wrong_state`: there was one
   */
  begin(set: AuthoritySet): Promise<number>
  /** Where keys made or taken from now on are. @throws CaError `wrong_state`: no place for them is set */
  readonly newKeyHome: VaultHome
  /**
   * Makes a root's key, durable when it resolves: before `begin` as soon as that resolves. One that no journal names after a crash signed nothing.
   * @throws CaError `wrong_state`: no place for keys is set, or the state is damaged · `dependency_unavailable`
   */
  newRootKey(algorithm: KeyAlgorithm): Promise<Signer>
  /** Keeps a root's key that was made elsewhere. @throws as `newRootKey`; CaError `wrong_state` too where keys can't be taken */
  takeRootKey(key: PrivateKey): Promise<Signer>
  /**
   * @param home as the authority's record has it
   * @throws CaError `wrong_state`: missing, damaged, readable by others, sealed with something else, or kept where no setting leads
   */
  rootKey(id: string, home: KeyHome): Promise<Signer>
}
