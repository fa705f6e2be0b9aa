import { checkSigner } from '../authority/path.ts'
import { equalBytes, hex, shortId } from '../core/bytes.ts'
import { type Clock, earlier, later, plus, wholeSecond } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import type { RandomBytes } from '../core/random.ts'
import type { Signer } from '../keys/private-key.ts'
import { keyIdOf, type PublicKey } from '../keys/public-key.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import { type Certificate, isValidAt, urisOf } from '../x509/certificate.ts'
import { authorityName, EMPTY_NAME } from '../x509/name.ts'
import { BACKDATE_MS, crossExtensions, issuingExtensions, rootExtensions, servingExtensions } from '../x509/profiles.ts'
import { checkedTbs, serialNumber, signVerified } from './checked-signature.ts'

/** Time and chance, as everything that makes a certificate needs them. */
export type Making = { readonly clock: Clock; readonly random: RandomBytes }

/** What signs a certificate below it: its own certificate and its key. */
export type Parent = { readonly certificate: Certificate; readonly signer: Signer }

/** A self-signed root of its own subject, `O=<trust domain>, CN=root <short id>`. */
export async function makeRoot(
  trustDomain: TrustDomain,
  signer: Signer,
  lifetimeMs: number,
  { clock, random }: Making,
): Promise<Certificate> {
  const keyId = keyIdOf(signer.publicKey.spki)
  const subject = authorityName(trustDomain.name, `root ${shortId(hex(keyId))}`)
  const now = wholeSecond(clock.now())
  const tbs = checkedTbs(
    {
      serial: serialNumber(random),
      signatureAlgorithm: signer.publicKey.algorithm.signatureAlgorithm,
      issuer: subject,
      notBefore: plus(now, -BACKDATE_MS),
      notAfter: plus(now, lifetimeMs),
      subject,
      publicKey: signer.publicKey.spki,
      extensions: rootExtensions({ uri: trustDomain.uri, keyId }),
    },
    'root',
  )
  return signVerified(tbs, signer)
}

/** An issuing authority's certificate, capped to its parent's end. */
export async function makeIssuing(
  trustDomain: TrustDomain,
  publicKey: PublicKey,
  parent: Parent,
  lifetimeMs: number,
  { clock, random }: Making,
): Promise<Certificate> {
  const keyId = keyIdOf(publicKey.spki)
  const tbs = checkedTbs(
    {
      ...window(parent, lifetimeMs, clock),
      serial: serialNumber(random),
      subject: authorityName(trustDomain.name, `issuing ${shortId(hex(keyId))}`),
      publicKey: publicKey.spki,
      extensions: issuingExtensions({ uri: trustDomain.uri, keyId, authorityKeyId: keyIdIn(parent.certificate) }),
    },
    'issuing',
  )
  return signVerified(tbs, parent.signer)
}

/**
 * The cross-certificate of a new root: its name, key and SPIFFE ID, signed by an older root, so that who trusts only that one takes what
 * stands under the new one. Valid while both are.
 * @param subject the new root
 * @throws CaError `wrong_state`: these two can't be crossed; the message says why
 */
export async function makeCross(subject: Certificate, parent: Parent, { clock, random }: Making): Promise<Certificate> {
  const now = wholeSecond(clock.now())
  checkCrossing(subject, parent.certificate, now)
  const [uri] = urisOf(subject.tbs) as [string]
  const tbs = checkedTbs(
    {
      serial: serialNumber(random),
      signatureAlgorithm: parent.signer.publicKey.algorithm.signatureAlgorithm,
      issuer: parent.certificate.tbs.subject,
      notBefore: [subject, parent.certificate].reduce(
        (begin, { tbs: { notBefore } }) => later(begin, notBefore),
        plus(now, -BACKDATE_MS),
      ),
      notAfter: earlier(subject.tbs.notAfter, parent.certificate.tbs.notAfter),
      subject: subject.tbs.subject,
      publicKey: subject.tbs.publicKey,
      extensions: crossExtensions({ uri, keyId: keyIdIn(subject), authorityKeyId: keyIdIn(parent.certificate) }),
    },
    'cross',
  )
  return signVerified(tbs, parent.signer)
}

/** CAs below an old root in a chain with a cross-certificate: that one, and the issuing authority; below the new root only the latter. */
const BELOW_OLD_ROOT = 2
const BELOW_NEW_ROOT = 1

function checkCrossing(subject: Certificate, old: Certificate, now: Date): void {
  checkSide(old, BELOW_OLD_ROOT, 'the old root', now)
  checkSide(subject, BELOW_NEW_ROOT, 'the new root', now)
  if (equalBytes(subject.tbs.subject, old.tbs.subject))
    throw uncrossed('both roots have the same name; a new root needs a name of its own')
  if (urisOf(subject.tbs).length !== 1)
    throw uncrossed('the new root does not name its trust domain by exactly one SPIFFE ID')
}

/** Whether `makeCross` would take this root to certify one that is made here. */
export function mayCertifyRoots(root: Certificate, now: Date): boolean {
  try {
    checkSide(root, BELOW_OLD_ROOT, 'the old root', now)
    return true
  } catch (error) {
    if (error instanceof CaError) return false
    throw error
  }
}

function checkSide(root: Certificate, below: number, what: string, now: Date): void {
  try {
    checkSigner(root, below, what)
  } catch (error) {
    if (error instanceof CaError) throw uncrossed(error.message, error)
    throw error
  }
  const { notBefore, notAfter } = root.tbs
  if (!isValidAt(root.tbs, now))
    throw uncrossed(
      `${what} is valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}, and now is ${now.toISOString()}`,
    )
}

const uncrossed = (why: string, cause?: unknown): CaError =>
  new CaError('wrong_state', `no cross-certificate can be made: ${why}`, { cause })

/**
 * Our own TLS server certificate, for the names by which clients reach us; capped like every leaf.
 * @param names DNS names and IP addresses
 */
export async function makeServing(
  names: readonly string[],
  publicKey: PublicKey,
  parent: Parent,
  lifetimeMs: number,
  { clock, random }: Making,
): Promise<Certificate> {
  const tbs = checkedTbs(
    {
      ...window(parent, lifetimeMs, clock),
      serial: serialNumber(random),
      subject: EMPTY_NAME,
      publicKey: publicKey.spki,
      extensions: servingExtensions({
        names,
        authorityKeyId: keyIdIn(parent.certificate),
        rsa: publicKey.algorithm.family === 'rsa',
      }),
    },
    'serving',
  )
  return signVerified(tbs, parent.signer)
}

function window({ certificate, signer }: Parent, lifetimeMs: number, clock: Clock) {
  const now = wholeSecond(clock.now())
  return {
    signatureAlgorithm: signer.publicKey.algorithm.signatureAlgorithm,
    issuer: certificate.tbs.subject,
    notBefore: later(plus(now, -BACKDATE_MS), certificate.tbs.notBefore),
    // Invariant 3: nothing outlives its issuer.
    notAfter: earlier(plus(now, lifetimeMs), certificate.tbs.notAfter),
  }
}

/** A CA's key identifier as its own certificate has it: others may count it in another way than ours. */
function keyIdIn({ tbs }: Certificate): Uint8Array {
  return tbs.subjectKeyId ?? keyIdOf(tbs.publicKey)
}
