import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto'
import { equalBytes, hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { KEY_ALGORITHM_NAMES, KEY_ALGORITHMS, type KeyAlgorithm, keyAlgorithm, signatureScheme } from './algorithms.ts'
import { weaknessOf } from './weak-rsa.ts'

/** A public key that was found good: its kind is on the list, its numbers are sound. */
export type PublicKey = {
  readonly algorithm: KeyAlgorithm
  /** SubjectPublicKeyInfo, in its one DER form. */
  readonly spki: Uint8Array
  readonly handle: KeyObject
}

/** The SPKI of the largest key taken, RSA 8192, has 1,062 bytes; of ML-DSA-87, 2,614. */
const MAX_SPKI_BYTES = 4096

/** SubjectPublicKeyInfo on the curves of the list, up to the uncompressed point (SEC 1 §2.3.3), and its whole length. */
const EC_FORMS: readonly (readonly [algorithm: KeyAlgorithm, start: Buffer, length: number])[] = [
  [keyAlgorithm('ecdsa-p256'), Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex'), 91],
  [keyAlgorithm('ecdsa-p384'), Buffer.from('3076301006072a8648ce3d020106052b8104002203620004', 'hex'), 120],
  [keyAlgorithm('ecdsa-p521'), Buffer.from('30819b301006072a8648ce3d020106052b810400230381860004', 'hex'), 158],
]

/**
 * Reads and judges a SubjectPublicKeyInfo (DER): the kind is on the list, RSA has 2048 to 8192 bits and an odd exponent of 65537 or
 * more and none of the known weaknesses, a point is on its curve and written uncompressed, and the encoding is the only one.
 * @throws CaError `bad_csr`
 */
export function readPublicKey(spki: Uint8Array): PublicKey {
  if (spki.length > MAX_SPKI_BYTES) throw refuse(`${spki.length} bytes long`)
  let handle: KeyObject
  try {
    handle = createPublicKey({
      key: Buffer.from(spki.buffer, spki.byteOffset, spki.byteLength),
      format: 'der',
      type: 'spki',
    })
  } catch (cause) {
    throw refuse('unreadable, of an unknown kind, or a point that is not on its curve', cause)
  }
  if (handle.asymmetricKeyType === 'ec') {
    // Named curves and uncompressed points only: explicit parameters forge curves (CVE-2020-0601).
    const form = EC_FORMS.find(
      ([, start, length]) => spki.length === length && start.equals(spki.subarray(0, start.length)),
    )
    if (!form) throw refuse('an elliptic-curve key not on P-256, P-384 or P-521 with an uncompressed point')
    return { algorithm: form[0], spki, handle }
  }
  if (handle.asymmetricKeyType === 'rsa') checkRsa(handle)
  checkEncoding(handle, spki)
  return { algorithm: algorithmOf(handle), spki, handle }
}

/**
 * Whether `signature` over `signed` was made with the key, under a scheme on the list; MD5 and SHA-1 are not.
 * @param algorithmIdentifier DER, with parameters
 */
export function verifySignature(
  key: PublicKey,
  algorithmIdentifier: Uint8Array,
  signed: Uint8Array,
  signature: Uint8Array,
): boolean {
  const scheme = signatureScheme(algorithmIdentifier)
  if (scheme?.family !== key.algorithm.family) return false
  return verify(scheme.digest, signed, key.handle, signature)
}

/** The parts of a certificate that its signature is about. */
export type SignedCertificate = {
  readonly tbs: { readonly bytes: Uint8Array; readonly signatureAlgorithm: Uint8Array }
  readonly signatureAlgorithm: Uint8Array
  readonly signature: Uint8Array
}

/** Whether the key signed this certificate. Both of its fields must name the same algorithm (RFC 5280 §4.1.1.2). */
export function isSignedBy(certificate: SignedCertificate, key: PublicKey): boolean {
  const { tbs, signatureAlgorithm, signature } = certificate
  return (
    equalBytes(signatureAlgorithm, tbs.signatureAlgorithm) &&
    verifySignature(key, signatureAlgorithm, tbs.bytes, signature)
  )
}

/** The subject key identifier of a CA: RFC 7093 §2 method 1, 160 bits of SHA-256 over the key bits. */
export function keyIdOf(spki: Uint8Array): Uint8Array {
  return hash('sha256', keyBitsOf(spki), 'buffer').subarray(0, 20)
}

/** The id of the authority with that key: `keyIdOf` in hex, 40 digits. */
export const authorityIdOf = (spki: Uint8Array): string => hex(keyIdOf(spki))

/** The content of the BIT STRING at the end of a SubjectPublicKeyInfo that `readPublicKey` accepted. */
function keyBitsOf(spki: Uint8Array): Uint8Array {
  // SEQUENCE header, AlgorithmIdentifier, BIT STRING header, the octet that counts unused bits.
  const outer = headerLength(spki, 0)
  const algorithm = outer + headerLength(spki, outer) + contentLength(spki, outer)
  return spki.subarray(algorithm + headerLength(spki, algorithm) + 1)
}

const headerLength = (der: Uint8Array, at: number): number => {
  const first = der[at + 1] as number
  return first < 0x80 ? 2 : 2 + (first & 0x7f)
}
const contentLength = (der: Uint8Array, at: number): number => {
  const first = der[at + 1] as number
  if (first < 0x80) return first
  return der.subarray(at + 2, at + 2 + (first & 0x7f)).reduce((sum, octet) => sum * 256 + octet, 0)
}

/** RSA keys other than ours may have any size between the bounds; they behave as the row of the next smaller size. */
function algorithmOf(handle: KeyObject): KeyAlgorithm {
  const row = KEY_ALGORITHMS.find((candidate) => candidate.matches(handle))
  if (row) return row
  if (handle.asymmetricKeyType === 'rsa')
    return KEY_ALGORITHMS.find((candidate) => candidate.name === 'rsa-2048') as KeyAlgorithm
  throw refuse(`a key of kind ${handle.asymmetricKeyType ?? 'unknown'}; accepted are ${KEY_ALGORITHM_NAMES.join(', ')}`)
}

function checkRsa(handle: KeyObject): void {
  const { modulusLength = 0, publicExponent = 0n } = handle.asymmetricKeyDetails ?? {}
  if (modulusLength < 2048 || modulusLength > 8192)
    throw refuse(`RSA with ${modulusLength} bits; accepted are 2048 to 8192`)
  if (publicExponent < 65537n || publicExponent % 2n === 0n || publicExponent >= 1n << 64n)
    throw refuse(
      `RSA with the public exponent ${publicExponent < 1n << 64n ? publicExponent : 'beyond 64 bits'}; accepted are odd ones from 65537`,
    )
  const { n = '' } = handle.export({ format: 'jwk' })
  const weakness = weaknessOf(BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`))
  if (weakness) throw refuse(`RSA with ${weakness}`)
}

function checkEncoding(handle: KeyObject, spki: Uint8Array): void {
  if (!equalBytes(handle.export({ format: 'der', type: 'spki' }), spki))
    throw refuse('not in the one encoding its standard gives it')
}

function refuse(why: string, cause?: unknown): CaError {
  return new CaError('bad_csr', `the public key is ${why}`, { cause })
}
