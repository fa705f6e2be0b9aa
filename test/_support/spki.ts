import { constructed, encode, primitive, type Tree } from './der-tree.ts'

/** SubjectPublicKeyInfo around any numbers, without src/x509 or a library that would refuse them. */
export function rsaSpki(modulus: bigint, exponent = 65537n): Buffer {
  return rsaSpkiOf(primitive(0x02, magnitude(modulus)), primitive(0x02, magnitude(exponent)))
}

/** The same from the two INTEGERs as they are to be written. */
export function rsaSpkiOf(modulus: Tree, exponent: Tree, parameters: readonly Tree[] = [primitive(0x05, [])]): Buffer {
  return spki([oid('2a864886f70d010101'), ...parameters], encode(constructed(0x30, modulus, exponent)))
}

export const CURVES = {
  p256: '2a8648ce3d030107',
  p384: '2b81040022',
  p521: '2b81040023',
  p224: '2b81040021',
  secp256k1: '2b8104000a',
  brainpoolP256r1: '2b2403030208010107',
} as const

export function ecSpki(curve: keyof typeof CURVES, point: Uint8Array): Buffer {
  return spki([oid('2a8648ce3d0201'), oid(CURVES[curve])], point)
}

/** A key of any kind: its AlgorithmIdentifier's members and the content of its BIT STRING. */
export function spki(algorithm: readonly Tree[], key: Uint8Array): Buffer {
  return encode(constructed(0x30, constructed(0x30, ...algorithm), primitive(0x03, [0, ...key])))
}

/** An OBJECT IDENTIFIER from the hex of its content. */
export const oid = (hex: string): Tree => primitive(0x06, Buffer.from(hex, 'hex'))

/** The fewest octets of a positive INTEGER, with the zero that keeps it positive. */
export function magnitude(value: bigint): Buffer {
  const hex = value.toString(16)
  const octets = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex')
  return (octets[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), octets]) : octets
}
