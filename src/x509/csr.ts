import { CaError } from '../core/errors.ts'
import { bitString, checkDer, childrenOf, contextTag, expectTag, oid, readDer, sequence, set, TAG, tlv } from './der.ts'
import { bitStringBytesOf, smallIntegerOf } from './der-values.ts'
import { pem, readOnePem } from './pem.ts'

/**
 * A certificate signing request (PKCS#10, RFC 2986), of which Alcazar uses the public key and nothing else. Names, extensions and
 * attributes are checked to be DER and then ignored: what a caller may have comes from who it is.
 */
export type Csr = {
  /** CertificationRequestInfo: what the requester signed to prove that it holds the key. */
  readonly signed: Uint8Array
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array
  /** AlgorithmIdentifier, with its parameters. */
  readonly signatureAlgorithm: Uint8Array
  readonly signature: Uint8Array
}

export const MAX_CSR_BYTES = 64 * 1024

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'

const LABELS = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST']

/**
 * One PEM block, nothing around it, at most 64 KiB.
 * @throws CaError `bad_csr`: the message says what was expected
 */
export function readCsrPem(text: string): Csr {
  if (text === '') throw new CaError('bad_csr', 'the CSR is empty; expected PEM “CERTIFICATE REQUEST”')
  return recode(() => parse(readOnePem(text, LABELS, MAX_CSR_BYTES)))
}

/**
 * The same from DER.
 * @throws CaError `bad_csr`
 */
export function readCsrDer(der: Uint8Array): Csr {
  if (der.length > MAX_CSR_BYTES)
    throw new CaError('bad_csr', `the CSR has ${der.length} bytes; at most ${MAX_CSR_BYTES}`)
  return recode(() => parse(der))
}

function parse(der: Uint8Array): Csr {
  checkDer(der)
  const [info, algorithm, signature, ...more] = childrenOf(readDer(der, TAG.sequence))
  const signed = expectTag(info, TAG.sequence)
  const [version, subject, publicKey, attributes, ...further] = childrenOf(signed)
  if (more.length > 0 || further.length > 0) throw new CaError('bad_csr', 'a CSR with more fields than PKCS#10 has')
  if (smallIntegerOf(version) !== 0) throw new CaError('bad_csr', 'a CSR of a version other than 1 (0)')
  expectTag(subject, TAG.sequence)
  if (attributes) expectTag(attributes, contextTag(0, 'constructed'))
  return {
    signed: signed.bytes,
    publicKey: expectTag(publicKey, TAG.sequence).bytes,
    signatureAlgorithm: expectTag(algorithm, TAG.sequence).bytes,
    signature: bitStringBytesOf(signature),
  }
}

function recode(read: () => Csr): Csr {
  try {
    return read()
  } catch (error) {
    if (error instanceof CaError && error.code === 'invalid_argument')
      throw new CaError('bad_csr', `the CSR is ${error.message}`, { cause: error })
    throw error
  }
}

/** CertificationRequestInfo with an empty subject and no attributes: what Alcazar's own clients sign. */
export function writeCsrInfo(publicKey: Uint8Array): Uint8Array {
  return sequence(tlv(TAG.integer, Uint8Array.of(0)), sequence(), publicKey, tlv(contextTag(0, 'constructed')))
}

/** CertificationRequestInfo of a CA: the subject (DER) and extensions that it asks for (RFC 2985 §5.4.2). */
export function writeCaCsrInfo(
  publicKey: Uint8Array,
  subject: Uint8Array,
  extensions: readonly Uint8Array[],
): Uint8Array {
  const asked = sequence(oid(EXTENSION_REQUEST), set(sequence(...extensions)))
  return sequence(tlv(TAG.integer, Uint8Array.of(0)), subject, publicKey, tlv(contextTag(0, 'constructed'), asked))
}

/** The request as PEM, from what was signed and the signature over exactly those bytes. */
export function writeCsrPem(info: Uint8Array, signatureAlgorithm: Uint8Array, signature: Uint8Array): string {
  return pem('CERTIFICATE REQUEST', sequence(info, signatureAlgorithm, bitString(signature)))
}
