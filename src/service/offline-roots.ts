import { bundleOf } from '../authority/active-authority.ts'
import {
  type Authority,
  type AuthoritySet,
  authorityOf,
  bundledRoots,
  idOf,
  type OnlineCa,
} from '../authority/authority.ts'
import { signedRequest } from '../authority/signed-request.ts'
import { withActive, withPrepared } from '../authority/transitions.ts'
import { equalBytes, hex, shortId } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { KeyAlgorithm } from '../keys/algorithms.ts'
import type { Signer } from '../keys/private-key.ts'
import { authorityIdOf, keyIdOf, verifySignature } from '../keys/public-key.ts'
import type { Certificate } from '../x509/certificate.ts'
import { writeCaCsrInfo, writeCsrPem } from '../x509/csr.ts'
import { authorityName } from '../x509/name.ts'
import { requestedCaExtensions } from '../x509/profiles.ts'
import type { Change, Changes } from './change.ts'
import type { KeeperParts } from './keeper-parts.ts'
import { checkNoneOnItsWay, checkOwn, notOurs, type Wish } from './root-steps.ts'

export type SignRequest = {
  /** The id of the key that was made. */
  readonly id: string
  readonly csrPem: string
}

/** Roots whose keys somebody keeps elsewhere: their PKI signs an online CA by a key of ours, and that signs here. */
export class OfflineRoots {
  readonly #changes: Changes
  readonly #parts: KeeperParts
  /** A key that was made, and that the journal could not be told of. */
  #spare: Signer | undefined

  constructor(changes: Changes, parts: KeeperParts) {
    this.#changes = changes
    this.#parts = parts
  }

  /**
   * Asks for a CA certificate over a key that is made where root keys are kept. The journal names it until it is signed, and who asks again asks for the
   * same key: there is one at most that nobody signed, but for those of a crash, or of requests for keys of another kind.
   * @throws CaError `wrong_state`: not with a plugged-in CA, or no place for keys is set
   */
  signRequest(): Promise<SignRequest> {
    return this.#changes.change(async (change) => {
      const { source, trustDomain } = this.#parts
      if (source.kind === 'plugged-in') throw notOurs()
      const key = await this.#requestKey(change, source.root.algorithm)
      const { spki, algorithm } = key.publicKey
      const keyId = keyIdOf(spki)
      const id = hex(keyId)
      const subject = authorityName(trustDomain.name, `online CA ${shortId(id)}`)
      const info = writeCaCsrInfo(spki, subject, requestedCaExtensions({ uri: trustDomain.uri, keyId }))
      const signature = await key.sign(info)
      if (!verifySignature(key.publicKey, algorithm.signatureAlgorithm, info, signature))
        throw new CaError('internal', 'a signature of ours does not verify')
      return { id, csrPem: writeCsrPem(info, algorithm.signatureAlgorithm, signature) }
    })
  }

  /**
   * Puts the root of a signed request in the bundle, prepared, with what will sign for it. For a root that is in the bundle already the online CA is
   * replaced, and if that root is the active one the new CA signs from then on. There is no cross-certificate: a root that was not
   * made here names no trust domain, or needs more CAs below it than one allows.
   * @param chain the signed certificate, its intermediates from the nearest up, the root last
   * @throws CaError `invalid_argument`: they are no whole chain for a key of ours · `conflict` · `wrong_state`: a root is on its way already
   */
  prepare(chain: readonly Certificate[], wish: Wish): Promise<Authority> {
    return this.#changes.change(async (change) => {
      checkOwn(change.set)
      const { clock, store, trustDomain } = this.#parts
      const { root, certificate, intermediates } = signedRequest(chain, change.set, trustDomain, clock.now())
      await this.#checkKey(certificate)
      const set = answered(change.set, certificate)
      const online: OnlineCa = { certificate, intermediates, key: store.newKeyHome }
      const known = bundledRoots(set).find((one) => equalBytes(one.publicKey.spki, root.tbs.publicKey))
      if (known) return this.#replaceOnline(change, known, root, online, wish)
      checkNoneOnItsWay(set)
      const prepared = authorityOf(root, { role: 'root', state: 'prepared', key: 'elsewhere', online }, clock.now())
      // Who began a rotation without a root to end on ends on this one.
      const { rotation } = set
      const next = withPrepared(set, prepared)
      await change.commit({ ...next, rotation: rotation && { ...rotation, to: prepared.id } })
      this.#parts.events.bundlePublished(bundleOf(next), bundledRoots(next))
      await change.record(
        'root prepared',
        prepared,
        `bundle ${next.bundleSequence}, its key is elsewhere, online CA ${shortId(idOf(certificate))}; by the ${wish.by}: ${wish.because}`,
      )
      return next.authorities.find((one) => one.id === prepared.id && one.state === 'prepared') as Authority
    })
  }

  async #requestKey({ set, commit }: Change, algorithm: KeyAlgorithm): Promise<Signer> {
    const { store } = this.#parts
    const { request } = set
    if (request?.key === store.newKeyHome) {
      // One that was lost, or is not to be had for these settings, is made anew.
      const known = await store.rootKey(request.id, request.key).catch((error: unknown) => {
        if (error instanceof CaError && error.code === 'wrong_state') return undefined
        throw error
      })
      if (known?.publicKey.algorithm === algorithm) return known
    }
    this.#spare ??= await store.newRootKey(algorithm)
    const key = this.#spare
    await commit({ ...set, request: { id: authorityIdOf(key.publicKey.spki), key: store.newKeyHome } })
    this.#spare = undefined
    return key
  }

  async #replaceOnline(
    change: Change,
    known: Authority,
    root: Certificate,
    online: OnlineCa,
    wish: Wish,
  ): Promise<Authority> {
    if (!equalBytes(known.certificate.der, root.der))
      throw new CaError(
        'conflict',
        `root ${shortId(known.id)} is in the bundle with another certificate over the same key; put that one last`,
      )
    if (known.key !== 'elsewhere' || !['prepared', 'active'].includes(known.state))
      throw new CaError(
        'wrong_state',
        `root ${shortId(known.id)} is ${known.state}${known.key === 'elsewhere' ? '' : ' and its own key is here'}: it needs no online CA`,
      )
    const renewed = { ...known, online }
    const set = answered(change.set, online.certificate)
    const next: AuthoritySet = {
      ...set,
      authorities: set.authorities.map((one) => (one === known ? renewed : one)),
    }
    if (known.state === 'active') {
      const successor = await change.makeIssuing(renewed, await change.parentOf(renewed))
      await change.activate(withActive(next, successor.authority), successor)
      this.#parts.events.authorityActivated(successor.authority, 'its root has another online CA')
    } else await change.commit(next)
    await change.record(
      'online CA replaced',
      renewed,
      `online CA ${shortId(idOf(online.certificate))}; by the ${wish.by}: ${wish.because}`,
    )
    return renewed
  }

  /** That the key is here: made by a request of this server. */
  async #checkKey(certificate: Certificate): Promise<void> {
    const { store } = this.#parts
    const id = idOf(certificate)
    try {
      await store.rootKey(id, store.newKeyHome)
    } catch (error) {
      if (!(error instanceof CaError) || error.code !== 'wrong_state') throw error
      throw new CaError(
        'invalid_argument',
        `the first certificate is for the key ${shortId(id)}, and this server can’t use one like that: ${error.message}; the first is the one signed for the request of alcazar root prepare --csr-out`,
        { cause: error },
      )
    }
  }
}

/** Without the request that this certificate answers. */
function answered(set: AuthoritySet, certificate: Certificate): AuthoritySet {
  return set.request?.id === idOf(certificate) ? { ...set, request: undefined } : set
}
