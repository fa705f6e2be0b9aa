import { type Authority, authorityOf, bundledRoots, type CrossCertificate } from '../authority/authority.ts'
import { CaError } from '../core/errors.ts'
import { makeCross, makeRoot } from '../issuance/ca-certificates.ts'
import type { Signer } from '../keys/private-key.ts'
import type { Change } from './change.ts'
import type { KeeperParts } from './keeper-parts.ts'
import { notOurs } from './root-steps.ts'

/** Makes roots. A key that was made for one that no journal came to name is used for the next: a full disk is not filled with keys. */
export class NewRoots {
  readonly #parts: KeeperParts
  /** Made by this process, and kept, but in no journal yet. */
  #spare: Signer | undefined

  constructor(parts: KeeperParts) {
    this.#parts = parts
  }

  /**
   * A key, its certificate, and that certified by each root of the bundle whose key is ours.
   * @throws CaError `wrong_state`: roots are not made with a plugged-in CA
   */
  async make(change: Change): Promise<Authority> {
    const { store, source, trustDomain, clock } = this.#parts
    if (source.kind === 'plugged-in') throw notOurs()
    const key = this.#spare ?? (await store.newRootKey(source.root.algorithm))
    this.#spare = key
    const certificate = await makeRoot(trustDomain, key, source.root.lifetimeMs, this.#parts)
    const cross: CrossCertificate[] = []
    for (const other of bundledRoots(change.set)) {
      if (other.key === 'elsewhere') continue
      try {
        cross.push({
          by: other.id,
          certificate: await makeCross(certificate, await change.parentOf(other), this.#parts),
        })
      } catch (error) {
        // A root that has ended, allows nothing below its issuing authorities or whose key is lost: who holds only that one does not follow.
        if (!(error instanceof CaError) || error.code !== 'wrong_state') throw error
      }
    }
    return authorityOf(certificate, { role: 'root', state: 'prepared', key: store.newKeyHome, cross }, clock.now())
  }

  /** The journal names the one that was made last. */
  taken(): void {
    this.#spare = undefined
  }
}
