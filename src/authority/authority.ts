import { equalBytes, shortId } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { authorityIdOf, type PublicKey, readPublicKey } from '../keys/public-key.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { Crl } from '../x509/crl.ts'

/**
 * prepared: in the bundle, not signing · active: signing · old: still trusted, no longer signing · tainted: declared compromised ·
 * revoked: out of the bundle.
 */
export const AUTHORITY_STATES = ['prepared', 'active', 'old', 'tainted', 'revoked'] as const
export type AuthorityState = (typeof AUTHORITY_STATES)[number]

/**
 * Where an authority's private key is: in this process only, in a file of the state directory in the clear or sealed, in a PKCS#11 token, in the
 * plugged-in CA's files, or not ours.
 */
export const KEY_HOMES = ['memory', 'file', 'sealed', 'pkcs11', 'plugged-in', 'elsewhere'] as const
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
  readonly createdAt: Date
  /** The id of the root that an issuing authority stands on; nothing for a root. */
  readonly root: string | undefined
  /** A root's key certified by other roots, by which those follow who don't know it yet. Never in a bundle. */
  readonly cross: readonly CrossCertificate[]
  /** The first bundle that had it: who holds that one or a later one trusts it. Of a root; of an issuing authority 0. */
  readonly bundledSince: number
  /** Why and when it was declared compromised, and when it leaves the bundle at the latest. */
  readonly taint: Taint | undefined
  /** What signs for a root whose own key isn't here. */
  readonly online: OnlineCa | undefined
  /** Its key, or its online CA's, lay somewhere unsealed: it came from outside, or was exported. Nothing takes that back. */
  readonly wasInTheClear: boolean
}

/** An intermediate under a root whose key is elsewhere, by a key of ours: it signs what the root would. */
export type OnlineCa = {
  readonly certificate: Certificate
  /** What stands between it and the root, nearest first. */
  readonly intermediates: readonly Certificate[]
  readonly key: KeyHome
}

export type CrossCertificate = {
  /** The id of the root that signed it. */
  readonly by: string
  readonly certificate: Certificate
}

export type Taint = { readonly at: Date; readonly because: string; readonly leavesAt: Date }

/** The wish to replace the root, kept until it is done: whoever resumes it knows no more than this. */
export type Rotation = {
  /** The root to end on; nothing while it is not made yet. */
  readonly to: string | undefined
  readonly since: Date
  readonly by: 'admin' | 'clock'
  readonly because: string
  /** The root that a rollback went back to: as long as that is the one to end on, nothing is replaced. */
  readonly backTo?: string
}

export const isRollback = ({ to, backTo }: Rotation): boolean => backTo !== undefined && backTo === to

/** A workload that an admin cut off: what was issued to it before then counts and renews no more. */
export type Forgotten = {
  readonly workload: string
  readonly at: Date
  /** When the last of that has ended, and this may be forgotten in turn. */
  readonly until: Date
}

/** A certificate that was taken back: renewed no more, and on its issuer's CRL. */
export type Revocation = {
  /** Hex of the INTEGER's bytes, as `Tbs.serial`. */
  readonly serial: string
  /** The id of the authority that signed it. */
  readonly issuer: string
  readonly at: Date
  /** The certificate's notAfter. */
  readonly until: Date
  readonly because: string
}

/** The last CRL of an authority, kept because its key may be gone with the process that held it. */
export type SignedCrl = {
  /** The authority's id, which is its key's. */
  readonly id: string
  readonly crl: Crl
}

/** A key for which a CA certificate was asked for and not given yet: whoever asks again asks for the same. */
export type OpenRequest = {
  /** As an authority's id, from the key. */
  readonly id: string
  readonly key: KeyHome
}

/** All authorities of one trust domain, as the journal holds them. Frozen: a change is another set. */
export type AuthoritySet = {
  readonly trustDomain: TrustDomain
  /** What made this state; the other kind refuses to touch it. */
  readonly origin: Origin
  /** Grows by one with every change of what is in the bundle. */
  readonly bundleSequence: number
  readonly authorities: readonly Authority[]
  readonly rotation: Rotation | undefined
  readonly forgotten: readonly Forgotten[]
  /** Under these roots another CA, or this one before it was imported, issued what may be alive until then. */
  readonly othersUntil: Date | undefined
  /** No key of a root is ever handed out. Nothing takes that back. */
  readonly exportDisabled: boolean
  /** The deny list. */
  readonly revocations: readonly Revocation[]
  readonly crls: readonly SignedCrl[]
  readonly request: OpenRequest | undefined
}

export const ORIGINS = ['dev', 'own', 'plugged-in'] as const
export type Origin = (typeof ORIGINS)[number]

/** A set as a trust domain begins with it. The first bundle has the number 1. */
export function emptySet(trustDomain: TrustDomain, origin: Origin): AuthoritySet {
  return {
    trustDomain,
    origin,
    bundleSequence: 1,
    authorities: [],
    rotation: undefined,
    forgotten: [],
    othersUntil: undefined,
    exportDisabled: false,
    revocations: [],
    crls: [],
    request: undefined,
  }
}

/** The id of the authority with that certificate. */
export const idOf = ({ tbs }: Certificate): string => authorityIdOf(tbs.publicKey)

/** A record for a certificate: id and public key follow from it. */
export function authorityOf(
  certificate: Certificate,
  details: Pick<Authority, 'role' | 'state' | 'key'> &
    Partial<Pick<Authority, 'intermediates' | 'root' | 'cross' | 'bundledSince' | 'online' | 'wasInTheClear'>>,
  createdAt: Date,
): Authority {
  return {
    intermediates: [],
    root: undefined,
    cross: [],
    bundledSince: 0,
    taint: undefined,
    online: undefined,
    wasInTheClear: false,
    ...details,
    id: idOf(certificate),
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

/** The certificates and the key by which a root signs what is below it: its own, or its online CA's. */
export function signingUnder(root: Authority): OnlineCa {
  const { online, certificate, key } = root
  return online ?? { certificate, intermediates: [], key }
}

/** A key that signed for a root: its own, or its online CA's. */
export type RootKey = { readonly root: Authority; readonly id: string; readonly home: KeyHome }

/** Of roots that have left the bundle the keys that sign nothing any more, and never will again. */
export function retiredKeys({ authorities, request }: AuthoritySet): readonly RootKey[] {
  const inUse = new Set(
    authorities.filter(({ state }) => state !== 'revoked').flatMap((one) => keysOf(one).map(({ id }) => id)),
  )
  return authorities
    .filter(({ role, state }) => role === 'root' && state === 'revoked')
    .flatMap(keysOf)
    .filter(({ id }) => id !== request?.id && !inUse.has(id))
}

function keysOf(root: Authority): readonly RootKey[] {
  const { id, key: home, online } = root
  return [{ root, id, home }, ...(online ? [{ root, id: idOf(online.certificate), home: online.key }] : [])]
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

/**
 * What no change may lead to, whatever asked for it: two records of one root are changed as if they were one, and without the one root that signs there
 * is no way on. A plugged-in CA's files have the last word on its roots.
 */
export function faultOf(set: AuthoritySet): string | undefined {
  if (set.origin === 'plugged-in') return undefined
  const bundled = bundledRoots(set)
  const twice = bundled.find(({ id }, at) => bundled.findIndex((other) => other.id === id) !== at)
  if (twice) return `root ${shortId(twice.id)} stands in the bundle twice`
  const active = bundled.filter(({ state }) => state === 'active').length
  return active === 1 ? undefined : `${active} roots are active, not one`
}

/** May vouch for a client certificate: it signs or signed under this trust domain, and nobody has taken that back (invariant 13). */
export function mayVouch(authority: Authority, now: Date): boolean {
  return (
    authority.role === 'issuing' &&
    (authority.state === 'active' || authority.state === 'old') &&
    now <= authority.certificate.tbs.notAfter
  )
}

/** Whether an authority, of whatever state, has that key, or a CA between it and its root. */
export function isKeyOf({ authorities }: Pick<AuthoritySet, 'authorities'>, key: PublicKey): boolean {
  return authorities.some(({ certificate, intermediates, online }) =>
    [certificate, ...intermediates, ...(online ? [online.certificate] : [])].some(({ tbs }) =>
      equalBytes(tbs.publicKey, key.spki),
    ),
  )
}

/** Whether this very authority may vouch: another of the same name is not asked. */
export function vouches(set: AuthoritySet, { id }: Pick<Authority, 'id'>, now: Date): boolean {
  return set.authorities.some((one) => one.id === id && mayVouch(one, now))
}

/**
 * Without the old issuing authorities whose certificates have ended: nothing they signed is alive (invariant 3), nothing can be renewed by it.
 * Without cross-certificates that have: BoringSSL takes the first of a chain also where it has ended, and refuses. Without roots that have
 * left and of which nothing is left. And without workloads that were cut off and have nothing left.
 */
export function withoutEnded(set: AuthoritySet, now: Date): AuthoritySet {
  const alive = ({ certificate }: { readonly certificate: Certificate }) => now <= certificate.tbs.notAfter
  const left = set.authorities
    .filter((authority) => authority.role === 'root' || authority.state === 'active' || alive(authority))
    .map((authority) =>
      authority.cross.every(alive) ? authority : { ...authority, cross: authority.cross.filter(alive) },
    )
  const authorities = left.filter((authority) => !isOver(authority, left))
  const forgotten = set.forgotten.filter(({ until }) => now < until)
  const unchanged =
    authorities.length === set.authorities.length &&
    authorities.every((one, at) => one === set.authorities[at]) &&
    forgotten.length === set.forgotten.length
  return unchanged ? set : { ...set, authorities, forgotten }
}

/** Whether a root is out of the bundle, nobody vouches for its key and none of its issuing authorities is known. One that was compromised stays known. */
function isOver({ id, role, state, cross, taint }: Authority, among: readonly Authority[]): boolean {
  if (role !== 'root' || state !== 'revoked' || cross.length > 0 || taint) return false
  return !among.some((other) => other.role === 'issuing' && (other.root === undefined || other.root === id))
}

/** The issuing authorities of that name that may vouch for a client certificate, by their keys. */
export function vouching(set: AuthoritySet, subject: Uint8Array, now: Date): readonly PublicKey[] {
  return set.authorities
    .filter((authority) => mayVouch(authority, now) && equalBytes(authority.certificate.tbs.subject, subject))
    .map(({ publicKey }) => publicKey)
}
