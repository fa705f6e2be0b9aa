import { plus } from '../../src/core/clock.ts'
import { HOUR } from '../../src/core/duration.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import { type Certificate, writeCertificate, writeTbs } from '../../src/x509/certificate.ts'
import { boolean, contextTag, namedBits, octetString, oid, sequence, tlv } from '../../src/x509/der.ts'
import { type Lineage, writeLineage } from '../../src/x509/lineage.ts'
import { EMPTY_NAME } from '../../src/x509/name.ts'
import { KEY_USAGE, OID } from '../../src/x509/oids.ts'

export type SvidFields = {
  /** Whose key signs. */
  signer: Signer
  /** Whose name stands there as issuer, and whose key identifier. */
  issuer: Certificate
  now: Date
  uris?: readonly string[]
  notBefore?: Date
  notAfter?: Date
  ca?: boolean
  /** The lineage, or the extension's value byte by byte. */
  lineage?: Lineage | Uint8Array | undefined
  /** Further extensions, DER. */
  more?: readonly Uint8Array[]
  /** AlgorithmIdentifier outside what is signed, where it shall differ. */
  outerAlgorithm?: Uint8Array
  serial?: Uint8Array
}

/** One extension, DER. */
export const extension = (id: string, value: Uint8Array, critical = false): Uint8Array =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value))

/**
 * An SVID as ours are, and as a test wants it: nothing is checked, so it makes what the CA itself never would. By default that of
 * shop/cart's pod cart-0, without lineage, from two minutes ago for a day.
 */
export async function aSvid(fields: SvidFields): Promise<Uint8Array> {
  const { signer, issuer, now, lineage } = fields
  const { signatureAlgorithm } = signer.publicKey.algorithm
  const { publicKey } = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
  const uris = fields.uris ?? ['spiffe://cluster.local/ns/shop/sa/cart']
  const usage = fields.ca ? namedBits(KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign) : namedBits(KEY_USAGE.digitalSignature)
  const tbs = writeTbs({
    serial: fields.serial ?? Uint8Array.from({ length: 16 }, () => 0x42),
    signatureAlgorithm,
    issuer: issuer.tbs.subject,
    notBefore: fields.notBefore ?? plus(now, -120_000),
    notAfter: fields.notAfter ?? plus(now, 24 * HOUR),
    subject: EMPTY_NAME,
    publicKey: publicKey.spki,
    extensions: [
      extension(OID.keyUsage, usage, true),
      extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
      extension(OID.basicConstraints, fields.ca ? sequence(boolean(true)) : sequence(), true),
      extension(
        OID.authorityKeyIdentifier,
        sequence(tlv(contextTag(0, 'primitive'), issuer.tbs.subjectKeyId ?? new Uint8Array(20))),
      ),
      extension(
        OID.subjectAltName,
        sequence(...uris.map((uri) => tlv(contextTag(6, 'primitive'), Buffer.from(uri, 'latin1')))),
        true,
      ),
      ...(lineage === undefined
        ? []
        : [extension(OID.lineage, lineage instanceof Uint8Array ? lineage : writeLineage(lineage))]),
      ...(fields.more ?? []),
    ],
  })
  return writeCertificate(tbs, fields.outerAlgorithm ?? signatureAlgorithm, await signer.sign(tbs))
}
