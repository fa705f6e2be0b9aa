import {
  type Authority,
  type AuthoritySet,
  authorityOf,
  type KeyHome,
  type RootKey,
  retiredKeys,
  signingUnder,
} from '../authority/authority.ts'
import { maySignCas } from '../authority/plugged-ca.ts'
import { equalBytes, shortId } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { Parent } from '../issuance/ca-certificates.ts'
import type { Signer } from '../keys/private-key.ts'
import { authorityIdOf } from '../keys/public-key.ts'
import type { AuthorityStore } from './ports.ts'

/** What signs issuing authorities under a root, with what stands between the two. */
export type OpenParent = Parent & {
  readonly intermediates: readonly Authority['certificate'][]
  /** Where its key is, if it may not sign CAs: then it signs leaves itself. */
  readonly signsLeavesFrom?: KeyHome
}

/** Where keys are that can be destroyed here. */
const VAULTS: ReadonlySet<KeyHome> = new Set(['file', 'sealed', 'pkcs11'])

/** What signs under each root of the journal; each key is opened once. */
export class Parents {
  readonly #store: AuthorityStore
  /** By the key's id. */
  readonly #opened = new Map<string, Signer>()
  readonly #gone = new Set<string>()

  constructor(store: AuthorityStore) {
    this.#store = store
  }

  /** Ids of keys that signed for roots that have left the bundle, and are no more. */
  get gone(): ReadonlySet<string> {
    return this.#gone
  }

  /**
   * Destroys the keys that signed for roots that have left the bundle, and gives those that there were. What can't be reached now is tried again after the
   * next change, and after a crash by the next start: it stays as well kept as it was.
   */
  async retire(set: AuthoritySet): Promise<readonly RootKey[]> {
    const done: RootKey[] = []
    for (const key of retiredKeys(set)) {
      const { id, home } = key
      if (this.#gone.has(id) || !VAULTS.has(home)) continue
      try {
        if (await this.#store.destroyRootKey(id, home)) done.push(key)
        this.#opened.delete(id)
        this.#gone.add(id)
      } catch (error) {
        if (!(error instanceof CaError)) throw error
      }
    }
    return done
  }

  /** @throws CaError `wrong_state`: the key of the root, or of its online CA, can't be opened here */
  async of(root: Authority): Promise<OpenParent> {
    const { certificate, intermediates, key } = signingUnder(root)
    const id = authorityIdOf(certificate.tbs.publicKey)
    const signer = this.#opened.get(id) ?? (await this.#store.rootKey(id, key))
    if (!equalBytes(signer.publicKey.spki, certificate.tbs.publicKey))
      throw new CaError(
        'wrong_state',
        `the key found for the root ${shortId(root.id)} is another root’s; put back the right one`,
      )
    this.#opened.set(id, signer)
    const between = root.online ? [certificate, ...intermediates] : []
    const path = root.online ? [...between, root.certificate] : [certificate]
    return {
      certificate,
      signer,
      intermediates: between,
      ...(!maySignCas(path) && { signsLeavesFrom: key }),
    }
  }
}

/** What may not sign CAs, as the issuing authority that it then is itself. @param key where its key is */
export function leafSigner(
  root: Authority,
  { certificate, signer, intermediates }: OpenParent,
  key: KeyHome,
  now: Date,
): { readonly authority: Authority; readonly signer: Signer } {
  const above = intermediates.filter(({ der }) => !equalBytes(der, certificate.der))
  return {
    authority: authorityOf(
      certificate,
      { role: 'issuing', state: 'active', key, intermediates: above, root: root.id },
      now,
    ),
    signer,
  }
}
