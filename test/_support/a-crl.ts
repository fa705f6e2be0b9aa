import { aName, extension, keyId, utcTime } from './a-tbs.ts'
import { constructed, encode, primitive, type Tree, treeOf } from './der-tree.ts'

/** A TBSCertList put together by hand, so that any one thing in it can be wrong. Written without src/x509. */
export type CrlFields = {
  version: Tree | undefined
  issuer: Tree
  thisUpdate: Tree
  nextUpdate: Tree | undefined
  /** `undefined`: no list. */
  entries: readonly Tree[] | undefined
  /** By a name of ours; `undefined` leaves one out. */
  extensions: Record<string, Tree | undefined>
  /** What comes after the list; made of `extensions` unless given. */
  tail: readonly Tree[] | undefined
}

const sequence = (...children: Tree[]) => constructed(0x30, ...children)
const ALGORITHM = '300a06082a8648ce3d040302'

export const integer = (hex: string): Tree => primitive(0x02, Buffer.from(hex, 'hex'))
export const crlNumber = (hex: string, critical = false): Tree => extension('551d14', integer(hex), critical)
export const authorityKey = (...fields: Tree[]): Tree => extension('551d23', sequence(...fields))
export const reasonCode = (...content: number[]): Tree => extension('551d15', primitive(0x0a, content))
export const anEntry = (serial: string, ...more: Tree[]): Tree =>
  sequence(integer(serial), utcTime('291231120000Z'), ...more)

/** A sound one that revokes two certificates, but for `change`. */
export function aTbsCrl(change: Partial<CrlFields> = {}): Buffer {
  const fields: CrlFields = {
    version: integer('01'),
    issuer: aName('issuing'),
    thisUpdate: utcTime('300101000000Z'),
    nextUpdate: utcTime('300201000000Z'),
    entries: [anEntry('4a'), anEntry('00ff', sequence(reasonCode(1)))],
    tail: undefined,
    ...change,
    extensions: { authorityKeyId: authorityKey(keyId), number: crlNumber('07'), ...change.extensions },
  }
  const { version, issuer, thisUpdate, nextUpdate, entries, extensions } = fields
  const tail = fields.tail ?? [
    constructed(0xa0, sequence(...Object.values(extensions).filter((one) => one !== undefined))),
  ]
  return encode(
    sequence(
      ...(version ? [version] : []),
      treeOf(Buffer.from(ALGORITHM, 'hex')),
      issuer,
      thisUpdate,
      ...(nextUpdate ? [nextUpdate] : []),
      ...(entries ? [{ tag: 0x30, children: entries }] : []),
      ...tail,
    ),
  )
}

/** The same framed as a CRL, whose signature means nothing. */
export function anUnsignedCrl(change: Partial<CrlFields> = {}): Buffer {
  return encode(sequence(treeOf(aTbsCrl(change)), treeOf(Buffer.from(ALGORITHM, 'hex')), primitive(0x03, [0, 1])))
}
