import { equalBytes, hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { keyIdOf, type PublicKey, readPublicKey } from '../keys/public-key.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Certificate } from '../x509/certificate.ts'

/**
 * prepared: in the bundle, not signing · active: signing · old: still trusted, no longer signing · tainted: declared compromised ·
 * revoked: out of the bundle.
 */
export const AUTHORITY_STATES = ['prepared', 'active', 'old', 'tainted', 'revoked'] as const
export type AuthorityState = (typeof AUTHORITY_STATES)[number]

/** Where an authority's private key is: in this process only, in a file of the state directory, in the plugged-in CA's files, or not ours. */
export const KEY_HOMES = ['memory', 'file', 'plugged-in', 'elsewhere'] as const
export type KeyHome = (typeof KEY_HOMES)[number]

/** A signing key with its CA certificate and a state. */
export type Authority = {
  /** Hex, 40 digits, from the key: the same key under another certificate is another record, told apart by `certificate`. */
  readonly id: string
  readonly role: 'root' | 'issuing'
  readonly state: AuthorityState
  readonly certificate: Certificate
  readonly publicKey: PublicKey
  readonly key: KeyHome
  /** The CA certificates between this one and a root, nearest first; empty for a root and for what a root signed itself. */
  readonly intermediates: readonly Certificate[]
  /** Of an issuing authority: the id of the root it was made under. Records from before this was kept have none. */
  readonly root: string | undefined
  /** Of a root: its key certified by older roots, whose ids stand beside. Never in a bundle. */
  readonly cross: readonly CrossCertificate[]
  readonly createdAt: Date
}

export type CrossCertificate = { readonly by: string; readonly certificate: Certificate }

/** All authorities of one trust domain, as the journal holds them. Frozen: a change is another set. */
export type AuthoritySet = {
  readonly trustDomain: TrustDomain
  /** What made this state; the other kind refuses to touch it. */
  readonly origin: Origin
  /** Grows by one with every change of what is in the bundle. */
  readonly bundleSequence: number
  readonly authorities: readonly Authority[]
}

export const ORIGINS = ['dev', 'plugged-in'] as const
export type Origin = (typeof ORIGINS)[number]

/** A record for a certificate: id and public key follow from it. */
export function authorityOf(
  certificate: Certificate,
  details: Pick<Authority, 'role' | 'state' | 'key'> & Partial<Pick<Authority, 'intermediates' | 'root' | 'cross'>>,
  createdAt: Date,
): Authority {
  return {
    intermediates: [],
    root: undefined,
    cross: [],
    ...details,
    id: hex(keyIdOf(certificate.tbs.publicKey)),
    certificate,
    publicKey: publicKeyOf(certificate),
    createdAt,
  }
}

/** @throws CaError `invalid_argument`: a key that is not taken here */
export function publicKeyOf(certificate: Certificate): PublicKey {
  try {
    return readPublicKey(certificate.tbs.publicKey)
  } catch (error) {
    if (error instanceof CaError) throw new CaError('invalid_argument', error.message, { cause: error })
    throw error
  }
}

/** In the trust bundle: everything but what was revoked. */
export function bundledRoots(set: AuthoritySet): readonly Authority[] {
  return set.authorities.filter((authority) => authority.role === 'root' && authority.state !== 'revoked')
}

/** The issuing authority that signs now, if there is one. */
export function activeIssuing(set: AuthoritySet): Authority | undefined {
  return set.authorities.find((authority) => authority.role === 'issuing' && authority.state === 'active')
}

/** The root under which issuing authorities are made now, if there is one. */
export function activeRoot(set: AuthoritySet): Authority | undefined {
  return set.authorities.find((authority) => authority.role === 'root' && authority.state === 'active')
}

/** May vouch for a client certificate: it signs or signed under this trust domain, and nobody has taken that back (invariant 13). */
export function mayVouch(authority: Authority, now: Date): boolean {
  return (
    authority.role === 'issuing' &&
    (authority.state === 'active' || authority.state === 'old') &&
    now <= authority.certificate.tbs.notAfter
  )
}

/** prepared → active, with the former active becoming old in the same write. */
export function withActiveIssuing(set: AuthoritySet, issuing: Authority): AuthoritySet {
  return {
    ...set,
    authorities: [
      ...set.authorities.map((other) =>
        other.role === 'issuing' && other.state === 'active' ? { ...other, state: 'old' as const } : other,
      ),
      { ...issuing, state: 'active' as const },
    ],
  }
}

/**
 * Without the issuing authorities whose certificates have ended: nothing they signed is alive (invariant 3), nothing can be renewed by it.
 * And without cross-certificates that have: BoringSSL takes the first of a chain also where it has ended, and refuses.
 */
export function withoutEnded(set: AuthoritySet, now: Date): AuthoritySet {
  const alive = ({ certificate }: { readonly certificate: Certificate }) => now <= certificate.tbs.notAfter
  const authorities = set.authorities
    .filter((authority) => authority.role === 'root' || alive(authority))
    .map((authority) =>
      authority.cross.every(alive) ? authority : { ...authority, cross: authority.cross.filter(alive) },
    )
  const unchanged =
    authorities.length === set.authorities.length && authorities.every((one, at) => one === set.authorities[at])
  return unchanged ? set : { ...set, authorities }
}

/**
 * With exactly these roots in the bundle, the one that signs now named: as the admin who plugs in a CA decides it. A root that left is
 * revoked, and so are the issuing authorities that only it vouched for. The sequence grows if the bundle changed.
 */
export function withPluggedRoots(
  set: AuthoritySet,
  roots: readonly Authority[],
  active: Authority,
  vouchedFor: (issuing: Authority) => boolean,
): AuthoritySet {
  const before = bundledRoots(set).map((root) => root.certificate.der)
  const after = roots.map((root) => root.certificate.der)
  const unchanged =
    before.length === after.length && before.every((der, index) => equalBytes(der, after[index] as Uint8Array))
  const inState = (root: Authority): Authority => {
    const known = set.authorities.find(
      (other) => other.role === 'root' && equalBytes(other.certificate.der, root.certificate.der),
    )
    const kept = { ...root, createdAt: known?.createdAt ?? root.createdAt, cross: known?.cross ?? root.cross }
    if (equalBytes(root.certificate.der, active.certificate.der)) return { ...kept, state: 'active' }
    return { ...kept, state: known?.state === 'active' || known?.state === 'old' ? 'old' : 'prepared' }
  }
  return {
    ...set,
    // The first bundle has the number a set begins with.
    bundleSequence: unchanged || before.length === 0 ? set.bundleSequence : set.bundleSequence + 1,
    authorities: [
      ...roots.map(inState),
      ...set.authorities
        .filter((other) => other.role === 'root' && !after.some((der) => equalBytes(der, other.certificate.der)))
        .map((gone) => ({ ...gone, state: 'revoked' as const })),
      ...set.authorities
        .filter((other) => other.role === 'issuing')
        .map((issuing) => (vouchedFor(issuing) ? issuing : { ...issuing, state: 'revoked' as const })),
    ],
  }
}
