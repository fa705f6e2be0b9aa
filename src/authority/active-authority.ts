import { equalBytes } from '../core/bytes.ts'
import type { Signer } from '../keys/private-key.ts'
import { TrustBundle } from '../spiffe/trust-bundle.ts'
import type { Certificate } from '../x509/certificate.ts'
import { certificatePem } from '../x509/pem.ts'
import { type Authority, type AuthoritySet, bundledRoots } from './authority.ts'
import { rootAbove } from './root-above.ts'

/** What signs now, with all that goes into an answer ready-made. A frozen snapshot: a rotation replaces it. */
export type ActiveAuthority = {
  readonly authority: Authority
  readonly signer: Signer
  /** What leaves carry as authority key identifier: the issuer's subject key identifier as its certificate has it. */
  readonly keyId: Uint8Array
  /** What stands between a leaf and the roots, the signer first, cross-certificates last, one PEM each. */
  readonly chainPem: readonly string[]
  readonly bundle: TrustBundle
  /** Every root of the bundle as one PEM text. */
  readonly rootsPem: string
}

export function activeAuthority(set: AuthoritySet, authority: Authority, signer: Signer): ActiveAuthority {
  const bundle = bundleOf(set)
  // A plugged-in root that signs leaves itself is the issuer and a root: it goes out once, among the roots.
  const path = [authority.certificate, ...authority.intermediates].filter(
    (one) => !bundle.roots.some((root) => equalBytes(root, one.der)),
  )
  const chain = [...path, ...crossesAbove(set, authority)]
  return Object.freeze({
    authority,
    signer,
    keyId: authority.certificate.tbs.subjectKeyId ?? Buffer.from(authority.id, 'hex'),
    chainPem: Object.freeze(chain.map((one) => certificatePem(one.der))),
    bundle,
    rootsPem: bundle.roots.map(certificatePem).join(''),
  })
}

export function bundleOf(set: AuthoritySet): TrustBundle {
  return new TrustBundle(
    set.trustDomain,
    set.bundleSequence,
    bundledRoots(set).map((root) => root.certificate.der),
  )
}

/**
 * The cross-certificates of the root above, by roots that are still in the bundle; by the oldest first. OpenSSL and BoringSSL take the
 * first candidate and never go back for another, and whoever trusts any of those roots without the newest trusts the oldest: roots join
 * a bundle at its young end and leave it at its old one.
 */
function crossesAbove(set: AuthoritySet, issuing: Authority): readonly Certificate[] {
  const crosses = rootAbove(set, issuing)?.cross ?? []
  const oldestFirst = bundledRoots(set)
    .toSorted((one, other) => one.createdAt.getTime() - other.createdAt.getTime())
    .map(({ id }) => id)
  return [...new Set(oldestFirst)].flatMap((id) =>
    crosses.filter(({ by }) => by === id).map(({ certificate }) => certificate),
  )
}
