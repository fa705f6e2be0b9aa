import { checkBitString, checkBoolean, checkInteger, checkOid, type Der, expectTag, oid, refuse, TAG } from './der.ts'

// What a value says. Each throws CaError `invalid_argument` when it says nothing of the kind.

/** Dotted text, such as `2.5.29.17`. Arcs beyond 2^53 are refused. */
export function oidOf(value: Der | undefined): string {
  const { source, from, end } = expectTag(value, TAG.oid)
  for (const { dotted, content } of KNOWN_OIDS)
    if (content.length === end - from && isAt(source, from, content)) return dotted
  checkOid(source, from, end)
  const arcs: number[] = []
  let arc = 0
  for (let at = from; at < end; at++) {
    const octet = source[at] as number
    arc = arc * 128 + (octet & 0x7f)
    if (!Number.isSafeInteger(arc)) throw refuse('an OBJECT IDENTIFIER with an arc beyond 2^53')
    if (octet & 0x80) continue
    if (arcs.length === 0) {
      // X.690 §8.19.4: the first two arcs share one number.
      const first = Math.min(Math.floor(arc / 40), 2)
      arcs.push(first, arc - 40 * first)
    } else arcs.push(arc)
    arc = 0
  }
  return arcs.join('.')
}

function isAt(bytes: Uint8Array, from: number, wanted: Uint8Array): boolean {
  for (let at = 0; at < wanted.length; at++) if (bytes[from + at] !== wanted[at]) return false
  return true
}

export function booleanOf(value: Der | undefined): boolean {
  const { source, from, end } = expectTag(value, TAG.boolean)
  checkBoolean(source, from, end)
  return source[from] === 0xff
}

/** The two's complement bytes of an INTEGER. */
export function integerBytesOf(value: Der | undefined): Uint8Array {
  const integer = expectTag(value, TAG.integer)
  checkInteger(integer.source, integer.from, integer.end)
  return integer.content
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
  const { source, from, end } = expectTag(value, TAG.bitString)
  checkBitString(source, from, end)
  const bits = new Set<number>()
  for (let bit = 0; bit < (end - from - 1) * 8; bit++)
    if ((source[from + 1 + (bit >> 3)] as number) & (0x80 >> (bit & 7))) bits.add(bit)
  return bits
}

/** ASCII text of a string type; other bytes are refused. */
export function asciiOf({ source, from, end, content }: Der): string {
  for (let at = from; at < end; at++)
    if ((source[at] as number) < 0x20 || (source[at] as number) > 0x7e) throw refuse('text that is not printable ASCII')
  return latin1(content)
}

/** UTCTime or GeneralizedTime in the one form RFC 5280 §4.1.2.5 allows: whole seconds, ending in Z. */
export function timeOf(value: Der | undefined): Date {
  if (value?.tag !== TAG.utcTime && value?.tag !== TAG.generalizedTime) throw refuse('expected a time')
  const { source, from, end } = value
  const monthAt = from + (value.tag === TAG.utcTime ? 2 : 4)
  if (end !== monthAt + 11 || source[end - 1] !== 0x5a)
    throw refuse('a time that is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ')
  for (let at = from; at < end - 1; at++)
    if ((source[at] as number) < 0x30 || (source[at] as number) > 0x39)
      throw refuse('a time with something else than digits')
  const last = twoDigits(source, monthAt - 2)
  const year =
    value.tag === TAG.generalizedTime ? twoDigits(source, from) * 100 + last : last >= 50 ? 1900 + last : 2000 + last
  const month = twoDigits(source, monthAt)
  const day = twoDigits(source, monthAt + 2)
  const hour = twoDigits(source, monthAt + 4)
  const minute = twoDigits(source, monthAt + 6)
  const second = twoDigits(source, monthAt + 8)
  const time = new Date(0)
  time.setUTCFullYear(year, month - 1, day)
  time.setUTCHours(hour, minute, second)
  // What does not exist (31 February, 24:00) comes out as another moment.
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

const twoDigits = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) - 0x30) * 10 + (bytes[at + 1] as number) - 0x30

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')

/** The identifiers that certificates are full of, so that they are not spelled out each time. */
const KNOWN_OIDS: readonly { readonly dotted: string; readonly content: Uint8Array }[] = [
  '2.5.29.14',
  '2.5.29.15',
  '2.5.29.17',
  '2.5.29.19',
  '2.5.29.35',
  '2.5.29.37',
  '1.3.6.1.5.5.7.3.1',
  '1.3.6.1.5.5.7.3.2',
].map((dotted) => ({ dotted, content: oid(dotted).subarray(2) }))
