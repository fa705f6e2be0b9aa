import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { keyIdOf } from '../../src/keys/public-key.ts'
import { readCertificate, writeCertificate, writeTbs } from '../../src/x509/certificate.ts'
import { boolean, contextTag, namedBits, octetString, oid, sequence, TAG, tlv } from '../../src/x509/der.ts'
import { authorityName } from '../../src/x509/name.ts'
import { KEY_USAGE, OID } from '../../src/x509/oids.ts'
import type { TestCa } from './plugged-ca.ts'

/** What a test wants otherwise than a sound CA certificate has it. */
export type Oddity = {
  key?: PrivateKey
  ca?: boolean
  pathLength?: number
  /** `none`: no such extension. */
  keyUsage?: readonly number[] | 'none'
  notBefore?: Date
  notAfter?: Date
  issuerName?: Uint8Array
  authorityKeyId?: Uint8Array | 'none'
  extensions?: readonly Uint8Array[]
  signedBy?: PrivateKey
  breakSignature?: boolean
}

let serials = 0

/** A certificate of any shape, which our own profiles would never make: a CA unless told otherwise, without pathLen, good for all of 2030. */
export async function odd(name: string, issuer: TestCa | 'itself', oddity: Oddity = {}): Promise<TestCa> {
  const key = oddity.key ?? (await PrivateKey.generate(keyAlgorithm('ecdsa-p256')))
  const subject = authorityName('cluster.local', name)
  const keyId = keyIdOf(key.publicKey.spki)
  const signer = oddity.signedBy ?? (issuer === 'itself' ? key : issuer.key)
  const above = issuer === 'itself' ? keyId : keyIdOf(issuer.key.publicKey.spki)
  const { ca = true, pathLength, keyUsage = [KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign] } = oddity
  const authorityKeyId = oddity.authorityKeyId ?? above
  const tbs = writeTbs({
    serial: Buffer.from(`5${(++serials).toString(16).padStart(19, '0')}`, 'hex'),
    signatureAlgorithm: signer.publicKey.algorithm.signatureAlgorithm,
    issuer: oddity.issuerName ?? (issuer === 'itself' ? subject : issuer.certificate.tbs.subject),
    notBefore: oddity.notBefore ?? new Date('2029-12-31T00:00:00Z'),
    notAfter: oddity.notAfter ?? new Date('2030-12-31T00:00:00Z'),
    subject,
    publicKey: key.publicKey.spki,
    extensions: [
      criticalExtension(
        OID.basicConstraints,
        sequence(
          ...(ca ? [boolean(true)] : []),
          ...(pathLength === undefined ? [] : [tlv(TAG.integer, Uint8Array.of(pathLength))]),
        ),
      ),
      ...(keyUsage === 'none' ? [] : [criticalExtension(OID.keyUsage, namedBits(...keyUsage))]),
      sequence(oid(OID.subjectKeyIdentifier), octetString(octetString(keyId))),
      ...(authorityKeyId === 'none'
        ? []
        : [
            sequence(
              oid(OID.authorityKeyIdentifier),
              octetString(sequence(tlv(contextTag(0, 'primitive'), authorityKeyId))),
            ),
          ]),
      ...(oddity.extensions ?? []),
    ],
  })
  const signature = Uint8Array.from(await signer.sign(tbs))
  if (oddity.breakSignature) signature[signature.length - 1] = (signature.at(-1) as number) ^ 1
  const der = writeCertificate(tbs, signer.publicKey.algorithm.signatureAlgorithm, signature)
  return { key, certificate: readCertificate(der) }
}

export const criticalExtension = (id: string, value: Uint8Array): Uint8Array =>
  sequence(oid(id), boolean(true), octetString(value))

/** Name constraints that allow only `.example` (RFC 5280 §4.2.1.10): critical, and nothing that our path check understands. */
export const nameConstraints = criticalExtension(
  '2.5.29.30',
  sequence(
    tlv(contextTag(0, 'constructed'), sequence(tlv(contextTag(2, 'primitive'), Buffer.from('.example', 'latin1')))),
  ),
)

/** A CA's extension that is not critical, and binds all the same. */
export const softExtension = (id: string, value: Uint8Array): Uint8Array => sequence(oid(id), octetString(value))

export const softUses = (...uses: readonly string[]): Uint8Array =>
  softExtension(OID.extendedKeyUsage, sequence(...uses.map(oid)))

/** @param base the context tag of the kind of name, and its value */
export const softNameConstraints = (list: 'permitted' | 'excluded', base: Uint8Array): Uint8Array =>
  softExtension(
    OID.nameConstraints,
    sequence(tlv(contextTag(list === 'permitted' ? 0 : 1, 'constructed'), sequence(base))),
  )
