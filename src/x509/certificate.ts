import { equalBytes, hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import {
  bitString,
  checkDer,
  childrenOf,
  contextTag,
  type Der,
  expectTag,
  readDer,
  sequence,
  TAG,
  time,
  tlv,
  unsignedInteger,
} from './der.ts'
import {
  asciiOf,
  bitStringBytesOf,
  booleanOf,
  integerBytesOf,
  namedBitsOf,
  oidOf,
  smallIntegerOf,
  timeOf,
} from './der-values.ts'
import { OID } from './oids.ts'

/** What is signed: TBSCertificate of RFC 5280 §4.1, taken apart. Names, keys and algorithms stay DER: they are compared, not understood. */
export type Tbs = {
  readonly bytes: Uint8Array
  /** 1, 2 or 3. */
  readonly version: number
  /** Hex of the INTEGER's bytes. */
  readonly serial: string
  readonly signatureAlgorithm: Uint8Array
  readonly issuer: Uint8Array
  readonly notBefore: Date
  /** The last second in which the certificate is valid (RFC 5280 §4.1.2.5: inclusive). */
  readonly notAfter: Date
  readonly subject: Uint8Array
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array
  readonly extensions: ReadonlyMap<string, Extension>
  // What the extensions say that RFC 5280 defines; nothing where the certificate doesn't carry one.
  /** Read from the DER and never from a printed form, which can be forged (CVE-2021-44531). */
  readonly alternativeNames: readonly GeneralName[]
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined
  /** The numbers of the bits that are set; see `KEY_USAGE`. */
  readonly keyUsage: ReadonlySet<number> | undefined
  readonly extendedKeyUsage: readonly string[] | undefined
  readonly subjectKeyId: Uint8Array | undefined
  readonly authorityKeyId: Uint8Array | undefined
}

export type Extension = { readonly critical: boolean; readonly value: Uint8Array }

export type Certificate = {
  readonly der: Uint8Array
  readonly tbs: Tbs
  readonly signatureAlgorithm: Uint8Array
  readonly signature: Uint8Array
}

export const MAX_CERTIFICATE_BYTES = 64 * 1024

/**
 * One certificate, checked to be DER throughout.
 * @throws CaError `invalid_argument`
 */
export function readCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES)
    throw new CaError('invalid_argument', `a certificate of ${der.length} bytes; at most ${MAX_CERTIFICATE_BYTES}`)
  checkDer(der)
  const { tbs, signatureAlgorithm, signature } = splitSigned(der, 'certificate')
  return { der, tbs: readTbs(tbs), signatureAlgorithm, signature }
}

/** The parts of whatever is signed: a certificate, a CRL. */
export type Signed = {
  /** What is signed. */
  readonly tbs: Uint8Array
  readonly signatureAlgorithm: Uint8Array
  readonly signature: Uint8Array
}

/**
 * SIGNED of X.509: the three parts of a certificate or a CRL.
 * @param whole what it is, for messages
 * @throws CaError `invalid_argument`
 */
export function splitSigned(der: Uint8Array, whole: string): Signed {
  const [tbs, algorithm, signature, ...more] = childrenOf(readDer(der, TAG.sequence))
  if (more.length > 0) throw tooMany('fields', whole)
  return {
    tbs: expectTag(tbs, TAG.sequence).bytes,
    signatureAlgorithm: expectTag(algorithm, TAG.sequence).bytes,
    signature: bitStringBytesOf(signature),
  }
}

/**
 * The part that is signed, for looking at it before it is.
 * @throws CaError `invalid_argument`
 */
export function readTbs(bytes: Uint8Array): Tbs {
  const fields = childrenOf(readDer(bytes, TAG.sequence))
  let version = 1
  if (fields[0]?.tag === contextTag(0, 'constructed')) version = smallIntegerOf(onlyChildOf(fields.shift() as Der)) + 1
  const [serial, algorithm, issuer, validity, subject, publicKey, ...rest] = fields
  const [notBefore, notAfter, ...furtherTimes] = childrenOf(expectTag(validity, TAG.sequence))
  if (furtherTimes.length > 0) throw tooMany('times')
  const [, , extensionsField] = optionalFields(rest, TAIL)
  const extensions = readExtensions(extensionsField)
  return {
    bytes,
    version,
    serial: hex(integerBytesOf(serial)),
    signatureAlgorithm: expectTag(algorithm, TAG.sequence).bytes,
    issuer: expectTag(issuer, TAG.sequence).bytes,
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    subject: expectTag(subject, TAG.sequence).bytes,
    publicKey: expectTag(publicKey, TAG.sequence).bytes,
    extensions,
    alternativeNames: alternativeNames(extensions),
    basicConstraints: basicConstraints(extensions),
    keyUsage: keyUsage(extensions),
    extendedKeyUsage: extendedKeyUsage(extensions),
    subjectKeyId: subjectKeyId(extensions),
    authorityKeyId: authorityKeyId(extensions),
  }
}

// A field too many is never passed over: another reader may believe that one.

/** issuerUniqueID, subjectUniqueID, extensions (RFC 5280 §4.1). */
const TAIL = [contextTag(1, 'primitive'), contextTag(2, 'primitive'), contextTag(3, 'constructed')]
/** keyIdentifier, authorityCertIssuer, authorityCertSerialNumber (RFC 5280 §4.2.1.1). */
const KEY_ID_FIELDS = [contextTag(0, 'primitive'), contextTag(1, 'constructed'), contextTag(2, 'primitive')]

/** Each at most once, in this order, and no others. */
function optionalFields(fields: readonly Der[], tags: readonly number[]): readonly (Der | undefined)[] {
  let at = 0
  const found = tags.map((tag) => (fields[at]?.tag === tag ? fields[at++] : undefined))
  if (at < fields.length) throw tooMany('fields')
  return found
}

function onlyChildOf(value: Der): Der | undefined {
  const [child, ...more] = childrenOf(value)
  if (more.length > 0) throw tooMany('values in one field')
  return child
}

function tooMany(what: string, whole = 'certificate'): CaError {
  return new CaError('invalid_argument', `a ${whole} with more ${what} than RFC 5280 has`)
}

const readExtensions = (field: Der | undefined): ReadonlyMap<string, Extension> =>
  field ? extensionsIn(onlyChildOf(field), 'certificate') : new Map()

/**
 * Extensions (RFC 5280 §4.1), by their identifiers.
 * @param whole what they are about, for messages
 * @throws CaError `invalid_argument`
 */
export function extensionsIn(list: Der | undefined, whole: string): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>()
  for (const extension of childrenOf(expectTag(list, TAG.sequence))) {
    const [type, second, third, ...more] = childrenOf(expectTag(extension, TAG.sequence))
    if (more.length > 0) throw tooMany('fields in an extension', whole)
    // X.690 §11.5 leaves a FALSE out, as the default. Some PKIs write it; OpenSSL, Go, Java and Envoy take it, and it can't be misread.
    const critical = third !== undefined && booleanOf(second)
    const id = oidOf(type)
    // RFC 5280 §4.2: no more than one instance of an extension.
    if (extensions.has(id)) throw new CaError('invalid_argument', `a ${whole} with the extension ${id} twice`)
    extensions.set(id, { critical, value: expectTag(third ?? second, TAG.octetString).content })
  }
  return extensions
}

export type GeneralName =
  | { readonly kind: 'dns' | 'uri' | 'email'; readonly value: string }
  | { readonly kind: 'ip' | 'other'; readonly value: Uint8Array }

type Extensions = ReadonlyMap<string, Extension>

function alternativeNames(extensions: Extensions): readonly GeneralName[] {
  const extension = extensions.get(OID.subjectAltName)
  return extension ? childrenOf(readDer(extension.value, TAG.sequence)).map(generalName) : []
}

function generalName(name: Der): GeneralName {
  switch (name.tag) {
    case contextTag(1, 'primitive'):
      return { kind: 'email', value: asciiOf(name) }
    case contextTag(2, 'primitive'):
      return { kind: 'dns', value: asciiOf(name) }
    case contextTag(6, 'primitive'):
      return { kind: 'uri', value: asciiOf(name) }
    case contextTag(7, 'primitive'):
      return { kind: 'ip', value: name.content }
    default:
      return { kind: 'other', value: name.bytes }
  }
}

function basicConstraints(extensions: Extensions): Tbs['basicConstraints'] {
  const extension = extensions.get(OID.basicConstraints)
  if (!extension) return undefined
  const [ca, pathLength, ...more] = childrenOf(readDer(extension.value, TAG.sequence))
  if (more.length > 0) throw tooMany('basic constraints')
  return { ca: ca !== undefined && booleanOf(ca), pathLength: pathLength && smallIntegerOf(pathLength) }
}

function keyUsage(extensions: Extensions): ReadonlySet<number> | undefined {
  const extension = extensions.get(OID.keyUsage)
  return extension && namedBitsOf(readDer(extension.value, TAG.bitString))
}

function extendedKeyUsage(extensions: Extensions): readonly string[] | undefined {
  const extension = extensions.get(OID.extendedKeyUsage)
  return extension && childrenOf(readDer(extension.value, TAG.sequence)).map(oidOf)
}

function subjectKeyId(extensions: Extensions): Uint8Array | undefined {
  const extension = extensions.get(OID.subjectKeyIdentifier)
  return extension && readDer(extension.value, TAG.octetString).content
}

function authorityKeyId(extensions: Extensions): Uint8Array | undefined {
  const extension = extensions.get(OID.authorityKeyIdentifier)
  return extension && optionalFields(childrenOf(readDer(extension.value, TAG.sequence)), KEY_ID_FIELDS)[0]?.content
}

/** The kinds of names that name constraints speak of, whatever they allow (RFC 5280 §4.2.1.10). @throws CaError `invalid_argument` */
export function constrainedNames({ extensions }: Tbs): readonly GeneralName['kind'][] {
  const extension = extensions.get(OID.nameConstraints)
  if (!extension) return []
  const subtrees = childrenOf(readDer(extension.value, TAG.sequence)).flatMap(childrenOf)
  return subtrees.map((subtree) => {
    const [base] = childrenOf(expectTag(subtree, TAG.sequence))
    if (!base) throw new CaError('invalid_argument', 'a certificate with a name constraint without a name')
    return generalName(base).kind
  })
}

/** The URIs among the alternative names. */
export function urisOf(tbs: Tbs): readonly string[] {
  const uris: string[] = []
  for (const name of tbs.alternativeNames) if (name.kind === 'uri') uris.push(name.value)
  return uris
}

/** Issuer and subject are the same name. */
export function isSelfIssued(tbs: Tbs): boolean {
  return equalBytes(tbs.issuer, tbs.subject)
}

export function isValidAt(tbs: Tbs, now: Date): boolean {
  // notAfter is the last whole second in which it is valid.
  return tbs.notBefore.getTime() <= now.getTime() && now.getTime() < tbs.notAfter.getTime() + 1000
}

// Writing.

export type TbsFields = {
  /** Positive, 8 to 20 bytes (RFC 5280 §4.1.2.2; CA/Browser Forum asks for 64 unpredictable bits). */
  readonly serial: Uint8Array
  readonly signatureAlgorithm: Uint8Array
  readonly issuer: Uint8Array
  readonly notBefore: Date
  readonly notAfter: Date
  readonly subject: Uint8Array
  readonly publicKey: Uint8Array
  readonly extensions: readonly Uint8Array[]
}

const VERSION_3 = tlv(contextTag(0, 'constructed'), tlv(TAG.integer, Uint8Array.of(2)))

export function writeTbs(fields: TbsFields): Uint8Array {
  return sequence(
    VERSION_3,
    unsignedInteger(fields.serial),
    fields.signatureAlgorithm,
    fields.issuer,
    sequence(time(fields.notBefore), time(fields.notAfter)),
    fields.subject,
    fields.publicKey,
    tlv(contextTag(3, 'constructed'), sequence(...fields.extensions)),
  )
}

/** A certificate from what was signed and the signature over exactly those bytes. */
export function writeCertificate(tbs: Uint8Array, signatureAlgorithm: Uint8Array, signature: Uint8Array): Uint8Array {
  return sequence(tbs, signatureAlgorithm, bitString(signature))
}
