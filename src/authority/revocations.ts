import { equalBytes } from '../core/bytes.ts'
import { earlier, later, plus, wholeSecond } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import { authorityIdOf, keyIdOf } from '../keys/public-key.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { Crl, CrlEntry } from '../x509/crl.ts'
import { KEY_USAGE } from '../x509/oids.ts'
import { BACKDATE_MS } from '../x509/profiles.ts'
import type { Authority, AuthoritySet, Forgotten, Revocation } from './authority.ts'
import { rootAbove } from './root-above.ts'

/** In all: with these a journal, CRLs included, stays well within the 1 MiB of a Kubernetes Secret. */
export const MAX_REVOCATIONS = 2000

/** The same of workloads that were cut off. */
const MAX_FORGOTTEN = 200

/** Of a reason as JSON writes it in UTF-8; the ledger has all of it. */
const MAX_REASON_BYTES = 160

/**
 * With one more. What is revoked already stays as it was: the first time and the first reason count.
 * @throws CaError `invalid_argument`: not a serial number of a certificate, or too long a reason · `wrong_state`: the list is full
 */
export function withRevocation(revocations: readonly Revocation[], revocation: Revocation): readonly Revocation[] {
  if (revocations.some((other) => other.serial === revocation.serial && other.issuer === revocation.issuer))
    return revocations
  // One that can't be written would keep every CRL of its issuer from being signed.
  if (!isSerial(revocation.serial))
    throw new CaError(
      'invalid_argument',
      `${JSON.stringify(revocation.serial.slice(0, 64))} is no serial number; it is 1 to 20 bytes of lower-case hex, as the ledger has it`,
    )
  if (Buffer.byteLength(JSON.stringify(revocation.because)) > MAX_REASON_BYTES + 2)
    throw new CaError(
      'invalid_argument',
      `the journal keeps the reason of a revocation, so it has at most ${MAX_REASON_BYTES} bytes; name a ticket that has the rest`,
    )
  if (revocations.length >= MAX_REVOCATIONS) {
    const first = revocations.map(({ until }) => until).reduce(earlier)
    throw new CaError(
      'wrong_state',
      `${revocations.length} certificates are revoked already, as many as the journal holds; the first of them ends at ${first.toISOString()} and makes room; replace what signed so many that are not trusted, with alcazar root taint`,
    )
  }
  return [...revocations, revocation]
}

/** A positive INTEGER of at most 20 bytes in its one DER form (X.690 §8.3.2). */
export const isSerial = (serial: string): boolean =>
  serial.length <= 40 && /^(?:0[1-9a-f]|[1-7][0-9a-f]|00[89a-f][0-9a-f])(?:[0-9a-f]{2})*$/.test(serial)

/** Whether a revoked certificate has ended, also for a verifier whose clock is as far behind as we allow for. */
export const hasEnded = ({ until }: Revocation, now: Date): boolean => now > plus(until, BACKDATE_MS)

/**
 * Without those whose certificates have ended.
 * @param isOwed whether one has to be on one more CRL first, signed after the certificate's end (RFC 5280 §3.3)
 */
export function withoutEndedRevocations(
  revocations: readonly Revocation[],
  now: Date,
  isOwed: (revocation: Revocation) => boolean,
): readonly Revocation[] {
  const left = revocations.filter((one) => !hasEnded(one, now) || isOwed(one))
  return left.length === revocations.length ? revocations : left
}

/**
 * With one workload more that is cut off, until all has ended that may have been issued to it: what is known of its certificates says less, for one that was replaced counts there
 * no more and could still renew. Nothing outlives the issuing authorities of this moment (invariant 3).
 * @throws CaError `wrong_state`: there are as many as the journal holds
 */
export function withForgotten({ forgotten, authorities }: AuthoritySet, workload: string, now: Date): Forgotten[] {
  const until = authorities
    .filter(({ role }) => role === 'issuing')
    .reduce((last, { certificate }) => later(last, certificate.tbs.notAfter), now)
  const before = forgotten.find((one) => one.workload === workload)
  const others = forgotten.filter((one) => one !== before)
  if (others.length >= MAX_FORGOTTEN)
    throw new CaError(
      'wrong_state',
      `${others.length} workloads are cut off already, as many as the journal holds; it takes more when what was issued to them has ended, or let it renew no more with alcazar revoke`,
    )
  // A clock that was set back brings nothing back that was forgotten.
  const cut = before ? { at: later(before.at, now), until: later(before.until, until) } : { at: now, until }
  return [...others, { workload, ...cut }]
}

/** Whether a certificate is on the deny list, asked many times of one list: build it once for each journal revision. */
export function denyList(revocations: readonly Revocation[]): (issuer: string, serial: string) => boolean {
  const bySerial = Map.groupBy(revocations, ({ serial }) => serial)
  return (issuer, serial) => bySerial.get(serial)?.some((one) => one.issuer === issuer) === true
}

/** Why a certificate authenticates nobody any more although it is whole and has not ended. */
export type TakenBack = 'revoked' | 'forgotten'

/** What the journal denies, asked many times of one set: build it once for each. */
export type Denials = {
  /** Whether a certificate is on the deny list, or the issuing authority that signed it. */
  readonly isRevoked: (issuer: string, serial: string) => boolean
  /**
   * The same of a client certificate, and whether its workload was cut off after it was issued.
   * @param issuer id of the issuing authority whose key its signature verifies by
   */
  readonly takenBack: (
    issuer: string,
    certificate: { readonly serial: string; readonly notBefore: Date; readonly workload: string },
  ) => TakenBack | undefined
}

export function denials(set: Pick<AuthoritySet, 'authorities' | 'forgotten' | 'revocations'>): Denials {
  const isDenied = denyList(set.revocations)
  const issuing = set.authorities.filter(({ role }) => role === 'issuing')
  const deniedIssuers = new Set(
    issuing
      .filter((authority) => {
        const above = aboveOf(authority, set)
        return above && isDenied(authorityIdOf(above.tbs.publicKey), authority.certificate.tbs.serial)
      })
      .map(({ id }) => id),
  )
  const isRevoked = (issuer: string, serial: string) => deniedIssuers.has(issuer) || isDenied(issuer, serial)
  const cutOff = new Map(set.forgotten.map(({ workload, at }) => [workload, at]))
  return {
    isRevoked,
    takenBack: (issuer, { serial, notBefore, workload }) => {
      if (isRevoked(issuer, serial)) return 'revoked'
      const at = cutOff.get(workload)
      if (!at) return undefined
      // One that begins with its issuer was dated back by less: it may have been issued as soon as that began.
      const beganWithIssuer = issuing.some(
        ({ id, certificate }) => id === issuer && notBefore <= certificate.tbs.notBefore,
      )
      return (beganWithIssuer ? notBefore : plus(notBefore, BACKDATE_MS)) <= at ? 'forgotten' : undefined
    },
  }
}

/** What an authority's CRL lists, by serial number, so that the same revocations make the same list. */
export function crlEntries(revocations: readonly Revocation[], issuer: string): readonly CrlEntry[] {
  return revocations
    .filter((revocation) => revocation.issuer === issuer)
    .map(({ serial, at }) => ({ serial, revokedAt: wholeSecond(at), reason: undefined }))
    .toSorted((a, b) => (a.serial < b.serial ? -1 : 1))
}

/** How a revocation reaches verifiers. */
export type Reach =
  /** On the next CRL of the authority that signed the certificate. */
  | { readonly kind: 'own CRL' }
  /** Its issuing authority's key is gone: that is to be revoked itself, once nobody else stands on it. */
  | { readonly kind: 'revoke authority'; readonly revocation: Revocation }
  /** No CRL that we can sign will ever say so; renewal is refused all the same. */
  | { readonly kind: 'renewal alone'; readonly because: string }

/**
 * How the revocation of a leaf reaches verifiers.
 * @param holds whether this process holds an authority's key, by id
 */
export function reachOf({ serial, issuer, at }: Revocation, set: AuthoritySet, holds: (id: string) => boolean): Reach {
  if (holds(issuer)) return { kind: 'own CRL' }
  const authority = set.authorities.find(({ role, id }) => role === 'issuing' && id === issuer)
  if (!authority) return { kind: 'renewal alone', because: 'its issuing authority is not in the journal' }
  if (authority.state === 'revoked')
    return { kind: 'renewal alone', because: 'its issuing authority is revoked, and with it all that it signed' }
  const above = aboveOf(authority, set)
  if (!above) return { kind: 'renewal alone', because: 'the root of its issuing authority is in no bundle any more' }
  const id = authorityIdOf(above.tbs.publicKey)
  if (!signsCrls(above, id, holds))
    return { kind: 'renewal alone', because: 'what signed its issuing authority can’t sign a CRL here' }
  const { tbs } = authority.certificate
  return {
    kind: 'revoke authority',
    revocation: {
      serial: tbs.serial,
      issuer: id,
      at,
      until: tbs.notAfter,
      because: `its key is gone, and ${serial}, which it signed, was revoked`,
    },
  }
}

/** The CA certificate that signed an issuing authority's, as long as what it signs is trusted. */
function aboveOf(issuing: Authority, set: Pick<AuthoritySet, 'authorities'>): Certificate | undefined {
  const root = rootAbove(set, issuing)
  return root && root.state !== 'revoked' ? (issuing.intermediates[0] ?? root.certificate) : undefined
}

const signsCrls = ({ tbs }: Certificate, id: string, holds: (id: string) => boolean): boolean =>
  holds(id) && tbs.keyUsage?.has(KEY_USAGE.cRLSign) === true

/** A CRL that verifiers need. */
export type WantedCrl = {
  /** The authority's id, which is its key's. */
  readonly id: string
  readonly issuer: Certificate
  /** Whether this process can sign it. If not, the last one is used: an issuing authority of ours signed one at birth that lasts to its end. */
  readonly signedHere: boolean
  readonly entries: readonly CrlEntry[]
}

/**
 * The CRLs there must be: one for every CA certificate that may stand in a chain to a root of the bundle, the roots' own included. Verifiers
 * that are given CRLs want one for each link (OpenSSL with X509_V_FLAG_CRL_CHECK_ALL, as Envoy sets it), and refuse every peer if one is missing.
 */
export function crlSet(
  set: AuthoritySet,
  revocations: readonly Revocation[],
  holds: (id: string) => boolean,
  now: Date,
): readonly WantedCrl[] {
  const wanted: WantedCrl[] = []
  for (const { state, certificate, intermediates } of set.authorities) {
    if (state === 'revoked') continue
    for (const issuer of [certificate, ...intermediates]) {
      // The same key under the same name, as in a cross-certificate, has one CRL.
      if (now >= plus(issuer.tbs.notAfter, 1000) || wanted.some((other) => sameSigner(other.issuer, issuer))) continue
      const id = authorityIdOf(issuer.tbs.publicKey)
      const signedHere = signsCrls(issuer, id, holds)
      wanted.push({ id, issuer, signedHere, entries: crlEntries(revocations, id) })
    }
  }
  return wanted
}

const sameSigner = (a: Certificate, b: Certificate): boolean =>
  equalBytes(a.tbs.subject, b.tbs.subject) && equalBytes(a.tbs.publicKey, b.tbs.publicKey)

/**
 * Those of the wanted CRLs that `crls` does not have: none of that issuer is valid now and, where it can be signed here, says what it should.
 * Sign these; what then is still missing keeps the set from being handed out.
 */
export function missingCrls(wanted: readonly WantedCrl[], crls: readonly Crl[], now: Date): readonly WantedCrl[] {
  return wanted.filter(
    ({ issuer, signedHere, entries }) =>
      !crls.some(
        ({ tbs }) =>
          equalBytes(tbs.issuer, issuer.tbs.subject) &&
          equalBytes(tbs.authorityKeyId, issuer.tbs.subjectKeyId ?? keyIdOf(issuer.tbs.publicKey)) &&
          tbs.thisUpdate <= now &&
          now < tbs.nextUpdate &&
          (!signedHere || sameSerials(tbs.entries, entries)),
      ),
  )
}

function sameSerials(a: readonly CrlEntry[], b: readonly CrlEntry[]): boolean {
  return a.length === b.length && a.every(({ serial }, index) => serial === b[index]?.serial)
}
