import { hex, shortId } from '../core/bytes.ts'
import { type Clock, earlier, later, plus, wholeSecond } from '../core/clock.ts'
import type { RandomBytes } from '../core/random.ts'
import type { Signer } from '../keys/private-key.ts'
import { keyIdOf, type PublicKey } from '../keys/public-key.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Certificate } from '../x509/certificate.ts'
import { authorityName, EMPTY_NAME } from '../x509/name.ts'
import { BACKDATE_MS, issuingExtensions, rootExtensions, servingExtensions } from '../x509/profiles.ts'
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
      extensions: issuingExtensions({ uri: trustDomain.uri, keyId, authorityKeyId: keyIdOfParent(parent) }),
    },
    'issuing',
  )
  return signVerified(tbs, parent.signer)
}

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
        authorityKeyId: keyIdOfParent(parent),
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

function keyIdOfParent({ certificate }: Parent): Uint8Array {
  return certificate.tbs.subjectKeyId ?? keyIdOf(certificate.tbs.publicKey)
}
