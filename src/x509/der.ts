import { CaError } from '../core/errors.ts'

/**
 * DER (X.690 §10), read strictly: one encoding for each value, bounded depth, linear time. It knows no schema; the files beside it
 * do. Whatever comes from outside passes `checkDer` once, so that no lenient reader after it can see something else in the bytes.
 */
export type Der = {
  /** The identifier octet; tags above 30 do not occur in certificates and are refused. */
  readonly tag: number
  /** The whole value with its header, as a view of the input. */
  readonly bytes: Uint8Array
  readonly content: Uint8Array
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** The identifier octet of `[n]` in a certificate: constructed for what holds other values, primitive for what holds bytes. */
export const contextTag = (n: number, kind: 'constructed' | 'primitive'): number =>
  (kind === 'constructed' ? 0xa0 : 0x80) | n

const MAX_DEPTH = 16

/**
 * Exactly one value, with nothing after it. Only its own header is checked here.
 * @throws CaError `invalid_argument`
 */
export function readDer(bytes: Uint8Array, tag?: number): Der {
  const value = readAt(bytes, 0)
  if (value.bytes.length !== bytes.length) throw refuse('bytes after the end of the value')
  if (tag !== undefined) expectTag(value, tag)
  return value
}

/** The values within a constructed one. */
export function childrenOf(value: Der): Der[] {
  const children: Der[] = []
  for (let at = 0; at < value.content.length; ) {
    const child = readAt(value.content, at)
    children.push(child)
    at += child.bytes.length
  }
  return children
}

export function expectTag(value: Der | undefined, tag: number): Der {
  if (value?.tag !== tag)
    throw refuse(`expected tag 0x${tag.toString(16)}, found ${value ? `0x${value.tag.toString(16)}` : 'nothing'}`)
  return value
}

/**
 * Walks the whole value: minimal lengths, no indefinite ones, canonical primitives, at most 16 deep.
 * @throws CaError `invalid_argument`
 */
export function checkDer(bytes: Uint8Array): void {
  checkValue(readDer(bytes), 1)
}

function checkValue(value: Der, depth: number): void {
  if (depth > MAX_DEPTH) throw refuse(`nested deeper than ${MAX_DEPTH}`)
  if (value.tag & 0x20) {
    // X.690 §10.2: strings are never constructed; of the universal types only SEQUENCE and SET are.
    if (value.tag < 0x40 && value.tag !== TAG.sequence && value.tag !== TAG.set)
      throw refuse('a string in pieces (BER)')
    for (const child of childrenOf(value)) checkValue(child, depth + 1)
    return
  }
  const { content } = value
  switch (value.tag) {
    case TAG.boolean:
      if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw refuse('a BOOLEAN is 00 or FF')
      return
    case TAG.integer:
      checkInteger(content)
      return
    case TAG.bitString:
      checkBitString(content)
      return
    case TAG.null:
      if (content.length !== 0) throw refuse('a NULL is empty')
      return
    case TAG.oid:
      checkOid(content)
      return
    case TAG.sequence & ~0x20:
    case TAG.set & ~0x20:
      throw refuse('a SEQUENCE or SET is constructed')
  }
}

function readAt(bytes: Uint8Array, start: number): Der {
  const tag = bytes[start]
  const first = bytes[start + 1]
  if (tag === undefined || first === undefined) throw refuse('ends within a header')
  if ((tag & 0x1f) === 0x1f) throw refuse('a tag above 30')
  if (tag === 0) throw refuse('an end-of-contents marker (BER)')
  let length = first
  let header = 2
  if (first & 0x80) {
    const count = first & 0x7f
    if (count === 0) throw refuse('an indefinite length (BER)')
    if (count > 4) throw refuse('a length of more than four bytes')
    length = 0
    for (let i = 0; i < count; i++) {
      const octet = bytes[start + 2 + i]
      if (octet === undefined) throw refuse('ends within a header')
      length = length * 256 + octet
    }
    if (length < 128 || (count > 1 && length < 2 ** (8 * (count - 1))))
      throw refuse('a length that is not minimal (BER)')
    header = 2 + count
  }
  const end = start + header + length
  if (end > bytes.length) throw refuse('a length beyond the end')
  return { tag, bytes: bytes.subarray(start, end), content: bytes.subarray(start + header, end) }
}

function checkInteger(content: Uint8Array): void {
  const [first, second] = content
  if (first === undefined) throw refuse('an empty INTEGER')
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)))
    throw refuse('an INTEGER that is not minimal (BER)')
}

function checkBitString(content: Uint8Array): void {
  const [unused] = content
  if (unused === undefined || unused > 7 || (unused > 0 && content.length === 1)) throw refuse('a malformed BIT STRING')
  if (unused > 0 && ((content.at(-1) as number) & ((1 << unused) - 1)) !== 0)
    throw refuse('a BIT STRING with padding bits set')
}

function checkOid(content: Uint8Array): void {
  if (content.length === 0 || content.length > 64) throw refuse('an OBJECT IDENTIFIER of no sensible length')
  if ((content.at(-1) as number) & 0x80) throw refuse('an OBJECT IDENTIFIER that ends within an arc')
  for (let at = 0; at < content.length; at++)
    if (content[at] === 0x80 && (at === 0 || !((content[at - 1] as number) & 0x80)))
      throw refuse('an OBJECT IDENTIFIER that is not minimal (BER)')
}

// Reading what a value says. Each throws CaError `invalid_argument` when it says nothing of the kind.

/** Dotted text, such as `2.5.29.17`. Arcs beyond 2^53 are refused. */
export function oidOf(value: Der | undefined): string {
  const { content } = expectTag(value, TAG.oid)
  checkOid(content)
  const arcs: number[] = []
  let arc = 0
  for (const octet of content) {
    arc = arc * 128 + (octet & 0x7f)
    if (!Number.isSafeInteger(arc)) throw refuse('an OBJECT IDENTIFIER with an arc beyond 2^53')
    if (octet & 0x80) continue
    if (arcs.length === 0) arcs.push(Math.min(Math.floor(arc / 40), 2), arc - 40 * Math.min(Math.floor(arc / 40), 2))
    else arcs.push(arc)
    arc = 0
  }
  return arcs.join('.')
}

export function booleanOf(value: Der | undefined): boolean {
  const { content } = expectTag(value, TAG.boolean)
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw refuse('a BOOLEAN is 00 or FF')
  return content[0] === 0xff
}

/** The two's complement bytes of an INTEGER. */
export function integerBytesOf(value: Der | undefined): Uint8Array {
  const { content } = expectTag(value, TAG.integer)
  checkInteger(content)
  return content
}

/** An INTEGER from 0 to 2^31 - 1. */
export function smallIntegerOf(value: Der | undefined): number {
  const content = integerBytesOf(value)
  if (content.length > 4 || (content[0] as number) >= 0x80) throw refuse('an INTEGER out of range')
  return content.reduce((sum, octet) => sum * 256 + octet, 0)
}

/** The bytes of a BIT STRING of whole bytes: keys and signatures. */
export function bitStringBytesOf(value: Der | undefined): Uint8Array {
  const { content } = expectTag(value, TAG.bitString)
  if (content[0] !== 0) throw refuse('a BIT STRING that is not of whole bytes')
  return content.subarray(1)
}

/** The numbers of the bits that are set in a named BIT STRING, such as key usage. */
export function namedBitsOf(value: Der | undefined): Set<number> {
  const { content } = expectTag(value, TAG.bitString)
  checkBitString(content)
  const bits = new Set<number>()
  for (let bit = 0; bit < (content.length - 1) * 8; bit++)
    if ((content[1 + (bit >> 3)] as number) & (0x80 >> (bit & 7))) bits.add(bit)
  return bits
}

/** ASCII text of a string type; other bytes are refused. */
export function asciiOf(value: Der): string {
  for (const octet of value.content) if (octet < 0x20 || octet > 0x7e) throw refuse('text that is not printable ASCII')
  return Buffer.from(value.content).toString('latin1')
}

/** UTCTime or GeneralizedTime in the one form RFC 5280 §4.1.2.5 allows: whole seconds, ending in Z. */
export function timeOf(value: Der | undefined): Date {
  if (value?.tag !== TAG.utcTime && value?.tag !== TAG.generalizedTime) throw refuse('expected a time')
  const text = Buffer.from(value.content).toString('latin1')
  const form =
    value.tag === TAG.utcTime ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
  const found = form.exec(text)
  if (!found) throw refuse('a time that is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ')
  const [year, month, day, hour, minute, second] = found.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const fullYear = value.tag === TAG.utcTime ? (year >= 50 ? 1900 : 2000) + year : year
  const time = new Date(0)
  time.setUTCFullYear(fullYear, month - 1, day)
  time.setUTCHours(hour, minute, second)
  if (
    time.getUTCMonth() !== month - 1 ||
    time.getUTCDate() !== day ||
    time.getUTCHours() !== hour ||
    time.getUTCMinutes() !== minute ||
    time.getUTCSeconds() !== second
  )
    throw refuse('a time that does not exist')
  return time
}

// Writing. Every writer gives DER.

export function tlv(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const header =
    length < 128
      ? [tag, length]
      : length < 256
        ? [tag, 0x81, length]
        : length < 65536
          ? [tag, 0x82, length >> 8, length & 0xff]
          : undefined
  if (!header) throw new CaError('internal', 'a DER value of 64 KiB or more')
  const bytes = new Uint8Array(header.length + length)
  bytes.set(header)
  let at = header.length
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => tlv(TAG.sequence, ...parts)
export const set = (...parts: readonly Uint8Array[]): Uint8Array => tlv(TAG.set, ...parts)
export const octetString = (...parts: readonly Uint8Array[]): Uint8Array => tlv(TAG.octetString, ...parts)
export const bitString = (bytes: Uint8Array): Uint8Array => tlv(TAG.bitString, Uint8Array.of(0), bytes)
export const boolean = (value: boolean): Uint8Array => tlv(TAG.boolean, Uint8Array.of(value ? 0xff : 0))
export const utf8String = (text: string): Uint8Array => tlv(TAG.utf8String, Buffer.from(text, 'utf8'))

/** A non-negative INTEGER from big-endian bytes; leading zeros are dropped and one is put back where the top bit asks for it. */
export function unsignedInteger(bytes: Uint8Array): Uint8Array {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const rest = bytes.subarray(start)
  return (rest[0] ?? 0) >= 0x80
    ? tlv(TAG.integer, Uint8Array.of(0), rest)
    : tlv(TAG.integer, rest.length ? rest : Uint8Array.of(0))
}

/** A BIT STRING of named bits (X.690 §11.2.2: no trailing zero bits). */
export function namedBits(...bits: readonly number[]): Uint8Array {
  const last = Math.max(...bits)
  const bytes = new Uint8Array(1 + (last >> 3) + 1)
  bytes[0] = 7 - (last & 7)
  for (const bit of bits) bytes[1 + (bit >> 3)] = (bytes[1 + (bit >> 3)] as number) | (0x80 >> (bit & 7))
  return tlv(TAG.bitString, bytes)
}

export function oid(dotted: string): Uint8Array {
  const [first, second, ...rest] = dotted.split('.').map(Number) as [number, number, ...number[]]
  const octets: number[] = []
  for (const arc of [first * 40 + second, ...rest]) {
    const base128 = [arc & 0x7f]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      base128.unshift((left & 0x7f) | 0x80)
    octets.push(...base128)
  }
  return tlv(TAG.oid, Uint8Array.from(octets))
}

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. Milliseconds must be zero: a certificate has none. */
export function time(moment: Date): Uint8Array {
  return moment.getUTCFullYear() < 2050
    ? tlv(TAG.utcTime, Buffer.from(digits(moment).slice(2), 'latin1'))
    : generalizedTime(moment)
}

export function generalizedTime(moment: Date): Uint8Array {
  return tlv(TAG.generalizedTime, Buffer.from(digits(moment), 'latin1'))
}

function digits(moment: Date): string {
  if (moment.getUTCMilliseconds() !== 0)
    throw new CaError('internal', 'a time with a fraction of a second in a certificate')
  return `${moment.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`
}

function refuse(why: string): CaError {
  return new CaError('invalid_argument', `not DER as expected: ${why}`)
}
