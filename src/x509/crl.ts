import { hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { type Extension, extensionsIn, splitSigned } from './certificate.ts'
import {
  bitString,
  checkDer,
  childrenOf,
  contextTag,
  type Der,
  expectTag,
  longSequence,
  octetString,
  oid,
  readDer,
  sequence,
  TAG,
  time,
  tlv,
  unsignedInteger,
} from './der.ts'
import { integerBytesOf, smallIntegerOf, timeOf } from './der-values.ts'
import { CRL_OID, OID } from './oids.ts'
import { authorityKeyIdentifier } from './profiles.ts'

/** CRLReason of RFC 5280 §5.3.1 by its names. Not 0, which is said by saying nothing, and not 8, which only delta CRLs know. */
export const CRL_REASONS = {
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const
export type CrlReason = keyof typeof CRL_REASONS

/** One revoked certificate of the CRL's issuer. */
export type CrlEntry = {
  /** Hex of the INTEGER's bytes, as `Tbs.serial`. */
  readonly serial: string
  readonly revokedAt: Date
  readonly reason: CrlReason | undefined
}

/** What is signed: TBSCertList of RFC 5280 §5.1, taken apart. Name and algorithm stay DER. */
export type TbsCrl = {
  readonly bytes: Uint8Array
  readonly signatureAlgorithm: Uint8Array
  readonly issuer: Uint8Array
  readonly thisUpdate: Date
  /** When the next one is out at the latest: from then on verifiers refuse this one. */
  readonly nextUpdate: Date
  /** In the order of the CRL, no serial twice. */
  readonly entries: readonly CrlEntry[]
  readonly authorityKeyId: Uint8Array
  readonly number: bigint
  readonly extensions: ReadonlyMap<string, Extension>
}

/** Of the same shape as a certificate, so that `isSignedBy` answers for both. */
export type Crl = {
  readonly der: Uint8Array
  readonly tbs: TbsCrl
  readonly signatureAlgorithm: Uint8Array
  readonly signature: Uint8Array
}

export const MAX_CRL_ENTRIES = 100_000

/** As many entries of the largest kind have 5.7 MB. */
export const MAX_CRL_BYTES = 6 * 1024 * 1024

/** RFC 5280 §4.1.2.2 and §5.2.3: serial numbers and CRL numbers have at most 20 octets. */
const MAX_NUMBER_BYTES = 20

/**
 * One version 2 CRL, complete and direct, checked to be DER throughout. What RFC 5280 §5 demands of a CRL's issuer must be there: nextUpdate,
 * authority key identifier and CRL number. Whether its signature verifies is for `isSignedBy` to say.
 * @throws CaError `invalid_argument`
 */
export function readCrl(der: Uint8Array): Crl {
  if (der.length > MAX_CRL_BYTES) throw refuse(`of ${der.length} bytes; at most ${MAX_CRL_BYTES}`)
  checkDer(der)
  const { tbs, signatureAlgorithm, signature } = splitSigned(der, 'CRL')
  return { der, tbs: readTbsCrl(tbs), signatureAlgorithm, signature }
}

/**
 * The part that is signed, for looking at it before it is.
 * @throws CaError `invalid_argument`
 */
export function readTbsCrl(bytes: Uint8Array): TbsCrl {
  const fields = childrenOf(readDer(bytes, TAG.sequence))
  // RFC 5280 §5.1.2.1: absent in version 1, else version 2, whose number is 1.
  if (fields[0]?.tag !== TAG.integer || smallIntegerOf(fields.shift()) !== 1) throw refuse('of another version than 2')
  const [algorithm, issuer, thisUpdate, nextUpdate, ...rest] = fields
  const list = rest[0]?.tag === TAG.sequence ? rest.shift() : undefined
  const extensionsField = rest.shift()
  if (rest.length > 0) throw refuse('with more fields than RFC 5280 has')
  const [extensionList, ...more] = childrenOf(expectTag(extensionsField, contextTag(0, 'constructed')))
  if (more.length > 0) throw refuse('with more values in one field than RFC 5280 has')
  const extensions = extensionsIn(extensionList, 'CRL')
  checkUnderstood(extensions, [OID.authorityKeyIdentifier, CRL_OID.cRLNumber])
  return {
    bytes,
    signatureAlgorithm: expectTag(algorithm, TAG.sequence).bytes,
    issuer: expectTag(issuer, TAG.sequence).bytes,
    thisUpdate: crlTimeOf(thisUpdate),
    nextUpdate: crlTimeOf(nextUpdate),
    entries: list ? entriesOf(list) : [],
    authorityKeyId: authorityKeyIdOf(extensions),
    number: numberOf(extensions),
    extensions,
  }
}

function entriesOf(list: Der): CrlEntry[] {
  const entries: CrlEntry[] = []
  const serials = new Set<string>()
  for (const value of childrenOf(list)) {
    if (entries.length === MAX_CRL_ENTRIES) throw refuse(`with more than ${MAX_CRL_ENTRIES} entries`)
    const entry = entryOf(value)
    // Two entries could say two things of one certificate.
    if (serials.has(entry.serial)) throw refuse(`with the serial number ${entry.serial} twice`)
    serials.add(entry.serial)
    entries.push(entry)
  }
  // RFC 5280 §5.1.2.6: where nothing is revoked the list is absent.
  if (entries.length === 0) throw refuse('with an empty list of revoked certificates')
  return entries
}

function entryOf(value: Der): CrlEntry {
  const [serial, revokedAt, extensionList, ...more] = childrenOf(expectTag(value, TAG.sequence))
  if (more.length > 0) throw refuse('with more fields in an entry than RFC 5280 has')
  return {
    serial: hex(unsignedBytesOf(serial, 'a serial number')),
    revokedAt: crlTimeOf(revokedAt),
    reason: extensionList && reasonOf(extensionList),
  }
}

function reasonOf(extensionList: Der): CrlReason | undefined {
  const extensions = extensionsIn(extensionList, 'CRL’s entry')
  if (extensions.size === 0) throw refuse('with an empty list of extensions in an entry')
  checkUnderstood(extensions, [CRL_OID.reasonCode])
  const extension = extensions.get(CRL_OID.reasonCode)
  if (!extension) return undefined
  const { content } = readDer(extension.value, TAG.enumerated)
  const reason = content.length === 1 ? REASON_NAMES.get(content[0] as number) : undefined
  if (!reason) throw refuse(`with the reason code ${hex(content)}, which complete CRLs don’t have`)
  return reason
}

const REASON_NAMES: ReadonlyMap<number, CrlReason> = new Map(
  Object.entries(CRL_REASONS).map(([name, code]) => [code, name as CrlReason]),
)

/** RFC 5280 §5.2, §5.3: a CRL with a critical extension that we don't know is not used; it may be partial, indirect or a delta. */
function checkUnderstood(extensions: ReadonlyMap<string, Extension>, known: readonly string[]): void {
  for (const [id, { critical }] of extensions)
    if (critical && !known.includes(id)) throw refuse(`with the critical extension ${id}, which is not understood here`)
}

/** RFC 5280 §5.2.1: the key identifier method alone. */
function authorityKeyIdOf(extensions: ReadonlyMap<string, Extension>): Uint8Array {
  const extension = extensions.get(OID.authorityKeyIdentifier)
  if (!extension) throw refuse('without an authority key identifier')
  const [keyId, ...more] = childrenOf(readDer(extension.value, TAG.sequence))
  if (more.length > 0) throw refuse('whose authority key identifier is more than a key identifier')
  return expectTag(keyId, contextTag(0, 'primitive')).content
}

function numberOf(extensions: ReadonlyMap<string, Extension>): bigint {
  const extension = extensions.get(CRL_OID.cRLNumber)
  if (!extension) throw refuse('without a CRL number')
  return BigInt(`0x${hex(unsignedBytesOf(readDer(extension.value), 'a CRL number'))}`)
}

function unsignedBytesOf(value: Der | undefined, what: string): Uint8Array {
  const bytes = integerBytesOf(value)
  if ((bytes[0] as number) >= 0x80) throw refuse(`with ${what} below zero`)
  if (bytes.length > MAX_NUMBER_BYTES) throw refuse(`with ${what} of more than ${MAX_NUMBER_BYTES} octets`)
  return bytes
}

/** RFC 5280 §5.1.2.4 to §5.1.2.6: UTCTime through 2049, GeneralizedTime from 2050. */
function crlTimeOf(value: Der | undefined): Date {
  const moment = timeOf(value)
  if (value?.tag === TAG.generalizedTime && moment.getUTCFullYear() < 2050)
    throw refuse('with a GeneralizedTime before 2050')
  return moment
}

function refuse(why: string): CaError {
  return new CaError('invalid_argument', `a CRL ${why}`)
}

// Writing.

export type TbsCrlFields = Omit<TbsCrl, 'bytes' | 'extensions'>

const VERSION_2 = tlv(TAG.integer, Uint8Array.of(1))
const CRL_NUMBER = oid(CRL_OID.cRLNumber)

/**
 * TBSCertList, in time linear in its entries.
 * @throws CaError `invalid_argument`: more than 100,000 entries
 */
export function writeTbsCrl(fields: TbsCrlFields): Uint8Array {
  const { entries } = fields
  if (entries.length > MAX_CRL_ENTRIES) throw refuse(`with ${entries.length} entries; at most ${MAX_CRL_ENTRIES}`)
  return longSequence([
    VERSION_2,
    fields.signatureAlgorithm,
    fields.issuer,
    time(fields.thisUpdate),
    time(fields.nextUpdate),
    ...(entries.length > 0 ? [longSequence(entries.map(writeEntry))] : []),
    tlv(
      contextTag(0, 'constructed'),
      sequence(
        authorityKeyIdentifier(fields.authorityKeyId),
        sequence(CRL_NUMBER, octetString(unsignedInteger(bytesOf(fields.number)))),
      ),
    ),
  ])
}

function writeEntry({ serial, revokedAt, reason }: CrlEntry): Uint8Array {
  const number = unsignedInteger(Buffer.from(serial, 'hex'))
  return reason ? sequence(number, time(revokedAt), REASON_EXTENSIONS[reason]) : sequence(number, time(revokedAt))
}

const REASON_EXTENSIONS = Object.fromEntries(
  Object.entries(CRL_REASONS).map(([name, code]) => [
    name,
    sequence(sequence(oid(CRL_OID.reasonCode), octetString(tlv(TAG.enumerated, Uint8Array.of(code))))),
  ]),
) as Record<CrlReason, Uint8Array>

function bytesOf(number: bigint): Uint8Array {
  const digits = number.toString(16)
  return Buffer.from(digits.length % 2 ? `0${digits}` : digits, 'hex')
}

/** A CRL from what was signed and the signature over exactly those bytes. */
export function writeCrl(tbs: Uint8Array, signatureAlgorithm: Uint8Array, signature: Uint8Array): Uint8Array {
  return longSequence([tbs, signatureAlgorithm, bitString(signature)])
}
