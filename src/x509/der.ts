import { CaError } from '../core/errors.ts'

/**
 * DER (X.690 §10), read strictly: one encoding for each value, bounded depth, linear time. It knows no schema; the files beside it
 * do. Whatever comes from outside passes `checkDer` once, so that no lenient reader after it can see something else in the bytes.
 */
export class Der {
  /** The identifier octet; tags above 30 do not occur in certificates and are refused. */
  readonly tag: number
  readonly #source: Uint8Array
  readonly #start: number
  /** Where the content begins and ends in the source. */
  readonly from: number
  readonly end: number

  constructor(source: Uint8Array, tag: number, start: number, from: number, end: number) {
    this.#source = source
    this.tag = tag
    this.#start = start
    this.from = from
    this.end = end
  }

  get source(): Uint8Array {
    return this.#source
  }

  /** The whole value with its header, as a view of the input. */
  get bytes(): Uint8Array {
    return this.#source.subarray(this.#start, this.end)
  }

  get content(): Uint8Array {
    return this.#source.subarray(this.from, this.end)
  }

  get length(): number {
    return this.end - this.from
  }
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
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
  const value = readAt(bytes, 0, bytes.length)
  if (value.end !== bytes.length) throw refuse('bytes after the end of the value')
  return tag === undefined ? value : expectTag(value, tag)
}

/** The values within a constructed one. */
export function childrenOf(value: Der): Der[] {
  const children: Der[] = []
  for (let at = value.from; at < value.end; ) {
    const child = readAt(value.source, at, value.end)
    children.push(child)
    at = child.end
  }
  return children
}

export function expectTag(value: Der | undefined, tag: number): Der {
  if (value?.tag !== tag)
    throw refuse(`expected tag 0x${tag.toString(16)}, found ${value ? `0x${value.tag.toString(16)}` : 'nothing'}`)
  return value
}

/**
 * Walks the whole value: minimal lengths, no indefinite ones, canonical primitives, at most 16 deep. Allocates nothing for what it passes.
 * @throws CaError `invalid_argument`
 */
export function checkDer(bytes: Uint8Array): void {
  if (checkAt(bytes, 0, bytes.length, 1) !== bytes.length) throw refuse('bytes after the end of the value')
}

/** Checks the value at `start` and gives its end. */
function checkAt(bytes: Uint8Array, start: number, limit: number, depth: number): number {
  if (depth > MAX_DEPTH) throw refuse(`nested deeper than ${MAX_DEPTH}`)
  const from = contentStart(bytes, start, limit)
  const end = from + contentLength(bytes, start, from)
  if (end > limit) throw refuse('a length beyond the end')
  const tag = bytes[start] as number
  if (tag & 0x20) {
    // X.690 §10.2: strings are never constructed; of the universal types only SEQUENCE and SET are.
    if (tag < 0x40 && tag !== TAG.sequence && tag !== TAG.set) throw refuse('a string in pieces (BER)')
    for (let at = from; at < end; ) at = checkAt(bytes, at, end, depth + 1)
    return end
  }
  switch (tag) {
    case TAG.boolean:
      checkBoolean(bytes, from, end)
      break
    case TAG.integer:
    case TAG.enumerated:
      checkInteger(bytes, from, end)
      break
    case TAG.bitString:
      checkBitString(bytes, from, end)
      break
    case TAG.null:
      if (from !== end) throw refuse('a NULL is empty')
      break
    case TAG.oid:
      checkOid(bytes, from, end)
      break
    case TAG.sequence & ~0x20:
    case TAG.set & ~0x20:
      throw refuse('a SEQUENCE or SET is constructed')
  }
  return end
}

function readAt(bytes: Uint8Array, start: number, limit: number): Der {
  const from = contentStart(bytes, start, limit)
  const end = from + contentLength(bytes, start, from)
  if (end > limit) throw refuse('a length beyond the end')
  return new Der(bytes, bytes[start] as number, start, from, end)
}

/** Where the content of the value at `start` begins: behind a header that is whole and of a kind DER allows. */
function contentStart(bytes: Uint8Array, start: number, limit: number): number {
  if (start + 2 > limit) throw refuse('ends within a header')
  const tag = bytes[start] as number
  if ((tag & 0x1f) === 0x1f) throw refuse('a tag above 30')
  if (tag === 0) throw refuse('an end-of-contents marker (BER)')
  const first = bytes[start + 1] as number
  if (first < 0x80) return start + 2
  const count = first & 0x7f
  if (count === 0) throw refuse('an indefinite length (BER)')
  if (count > 4) throw refuse('a length of more than four bytes')
  if (start + 2 + count > limit) throw refuse('ends within a header')
  return start + 2 + count
}

/** The length that the header from `start` to `from` says, in its shortest form. */
function contentLength(bytes: Uint8Array, start: number, from: number): number {
  const count = from - start - 2
  if (count === 0) return bytes[start + 1] as number
  let length = 0
  for (let at = start + 2; at < from; at++) length = length * 256 + (bytes[at] as number)
  if (length < 128 || (count > 1 && length < 2 ** (8 * (count - 1)))) throw refuse('a length that is not minimal (BER)')
  return length
}

export function checkBoolean(bytes: Uint8Array, from: number, end: number): void {
  if (end - from !== 1 || (bytes[from] !== 0 && bytes[from] !== 0xff)) throw refuse('a BOOLEAN is 00 or FF')
}

export function checkInteger(bytes: Uint8Array, from: number, end: number): void {
  if (from === end) throw refuse('an empty INTEGER')
  if (end - from === 1) return
  const [first, second] = [bytes[from] as number, bytes[from + 1] as number]
  if ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))
    throw refuse('an INTEGER that is not minimal (BER)')
}

export function checkBitString(bytes: Uint8Array, from: number, end: number): void {
  const unused = bytes[from] as number
  if (from === end || unused > 7 || (unused > 0 && end - from === 1)) throw refuse('a malformed BIT STRING')
  if (unused > 0 && ((bytes[end - 1] as number) & ((1 << unused) - 1)) !== 0)
    throw refuse('a BIT STRING with padding bits set')
}

export function checkOid(bytes: Uint8Array, from: number, end: number): void {
  if (from === end || end - from > 64) throw refuse('an OBJECT IDENTIFIER of no sensible length')
  if ((bytes[end - 1] as number) & 0x80) throw refuse('an OBJECT IDENTIFIER that ends within an arc')
  for (let at = from; at < end; at++)
    if (bytes[at] === 0x80 && (at === from || !((bytes[at - 1] as number) & 0x80)))
      throw refuse('an OBJECT IDENTIFIER that is not minimal (BER)')
}

// Writing. Every writer gives DER.

export function tlv(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  if (length > 0xffff) throw new CaError('internal', 'a DER value of 64 KiB or more')
  const header = length < 128 ? 2 : length < 256 ? 3 : 4
  // From Node's pool: an ArrayBuffer for each of a certificate's sixty values would cost more than the signature's arithmetic.
  const bytes = Buffer.allocUnsafe(header + length)
  bytes[0] = tag
  if (header === 2) bytes[1] = length
  else if (header === 3) {
    bytes[1] = 0x81
    bytes[2] = length
  } else {
    bytes[1] = 0x82
    bytes.writeUInt16BE(length, 2)
  }
  let at = header
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** A SEQUENCE of any number of parts, for lists that may reach the 64 KiB at which `tlv` ends; below 16 MiB. */
export function longSequence(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  if (length <= 0xffff) return tlv(TAG.sequence, Buffer.concat(parts, length))
  if (length > 0xffffff) throw new CaError('internal', 'a DER value of 16 MiB or more')
  // Each element keeps the low eight bits of what it is given.
  return Buffer.concat([Uint8Array.of(TAG.sequence, 0x83, length >> 16, length >> 8, length), ...parts])
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

/** YYYYMMDDHHMMSSZ. */
function digits(moment: Date): string {
  if (moment.getTime() % 1000 !== 0)
    throw new CaError('internal', 'a time with a fraction of a second in a certificate')
  const iso = moment.toISOString()
  return `${iso.slice(0, 4)}${iso.slice(5, 7)}${iso.slice(8, 10)}${iso.slice(11, 13)}${iso.slice(14, 16)}${iso.slice(17, 19)}Z`
}

export function refuse(why: string): CaError {
  return new CaError('invalid_argument', `not DER as expected: ${why}`)
}
