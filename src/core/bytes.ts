import { hash } from 'node:crypto'

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** SHA-256 as lower-case hex. */
export const sha256Hex = (bytes: Uint8Array | string): string => hash('sha256', bytes, 'hex')

/** `ab:cd:…`, as certificate viewers print serial numbers. */
export const colonHex = (lowerHex: string): string => lowerHex.replace(/..(?=.)/g, '$&:')

/** What may be the beginning of an id, as somebody typed or copied it: with blanks, colons, in capitals. */
export const idPrefix = (given: string): string => given.replaceAll(/[\s:]/g, '').toLowerCase()

/** The first four bytes of an authority's id as people read it aloud: `3f9a 21c4`. */
export const shortId = (id: string): string => `${id.slice(0, 4)} ${id.slice(4, 8)}`
