import { constructed, encode, primitive, type Tree, treeOf } from './der-tree.ts'
import { fixedPublicKey } from './fixed-keys.ts'

/** A TBSCertificate put together by hand, so that any one thing in it can be wrong. Written without src/x509. */
export type Fields = {
  version: Tree | undefined
  serial: Tree
  signatureAlgorithm: Tree
  issuer: Tree
  validity: Tree
  subject: Tree
  publicKey: Tree
  /** By a name of ours; `undefined` leaves one out. */
  extensions: Record<string, Tree | undefined>
  /** What comes after the public key; made of `extensions` unless given. */
  tail: readonly Tree[] | undefined
}

export type Kind = 'svid' | 'serving' | 'issuing' | 'root' | 'cross'

const sequence = (...children: Tree[]) => constructed(0x30, ...children)
const octets = (inner: Tree) => primitive(0x04, encode(inner))
export const uri = (text: string): Tree => primitive(0x86, Buffer.from(text, 'latin1'))
export const dns = (text: string): Tree => primitive(0x82, Buffer.from(text, 'latin1'))
export const utcTime = (text: string): Tree => primitive(0x17, Buffer.from(text, 'latin1'))
export const generalizedTime = (text: string): Tree => primitive(0x18, Buffer.from(text, 'latin1'))
export const TRUE = primitive(0x01, [0xff])
export const keyId = primitive(0x80, Buffer.alloc(20, 7))

export function extension(idHex: string, inner: Tree, critical = false): Tree {
  return sequence(primitive(0x06, Buffer.from(idHex, 'hex')), ...(critical ? [TRUE] : []), octets(inner))
}

export const names = (critical: boolean, ...all: Tree[]) => extension('551d11', sequence(...all), critical)
export const keyUsage = (bits: readonly number[], critical = true) =>
  extension('551d0f', primitive(0x03, bits), critical)
export const basicConstraints = (fields: readonly Tree[], critical = true) =>
  extension('551d13', sequence(...fields), critical)
export const extendedKeyUsage = (...purposes: readonly string[]) =>
  extension('551d25', sequence(...purposes.map((purpose) => primitive(0x06, Buffer.from(purpose, 'hex')))))
export const authorityKeyId = (critical = false, ...fields: Tree[]) =>
  extension('551d23', sequence(...(fields.length > 0 ? fields : [keyId])), critical)
export const subjectKeyId = (critical = false, content: Uint8Array = Buffer.alloc(20, 8)) =>
  extension('551d0e', primitive(0x04, content), critical)
export const lineage = (critical = false) =>
  extension(
    '2b0601040181fd590101',
    sequence(
      primitive(0x02, [1]),
      ...['cart-0', 'pod-uid', 'account-uid'].map((text) => primitive(0x0c, Buffer.from(text))),
      generalizedTime('20300103000000Z'),
    ),
    critical,
  )

export const SERVER_AUTH = '2b06010505070301'
export const CLIENT_AUTH = '2b06010505070302'

export function aName(commonName: string): Tree {
  const attribute = sequence(primitive(0x06, [0x55, 4, 3]), primitive(0x0c, Buffer.from(commonName)))
  return sequence(constructed(0x31, attribute))
}

const leaf: Fields['extensions'] = {
  keyUsage: keyUsage([7, 0x80]),
  extendedKeyUsage: extendedKeyUsage(SERVER_AUTH, CLIENT_AUTH),
  basicConstraints: basicConstraints([]),
  authorityKeyId: authorityKeyId(),
}

const signer: Fields['extensions'] = {
  keyUsage: keyUsage([1, 0x06]),
  subjectKeyId: subjectKeyId(),
  authorityKeyId: authorityKeyId(),
  names: names(false, uri('spiffe://cluster.local')),
}

const OF_KIND: Readonly<
  Record<Kind, { readonly issuer: Tree; readonly subject: Tree; readonly extensions: Fields['extensions'] }>
> = {
  svid: {
    issuer: aName('issuing'),
    subject: sequence(),
    extensions: { ...leaf, names: names(true, uri('spiffe://cluster.local/ns/shop/sa/cart')) },
  },
  serving: {
    issuer: aName('issuing'),
    subject: sequence(),
    extensions: { ...leaf, names: names(true, dns('alcazar.example')) },
  },
  issuing: {
    issuer: aName('root'),
    subject: aName('issuing'),
    extensions: { ...signer, basicConstraints: basicConstraints([TRUE, primitive(0x02, [0])]) },
  },
  root: {
    issuer: aName('root'),
    subject: aName('root'),
    extensions: { ...signer, basicConstraints: basicConstraints([TRUE]) },
  },
  cross: {
    issuer: aName('old root'),
    subject: aName('root'),
    extensions: { ...signer, basicConstraints: basicConstraints([TRUE, primitive(0x02, [1])]) },
  },
}

/** A sound one of its kind, but for `change`. */
export function aTbs(kind: Kind, change: Partial<Fields> = {}): Buffer {
  const of = OF_KIND[kind]
  const fields: Fields = {
    version: constructed(0xa0, primitive(0x02, [2])),
    serial: primitive(0x02, Buffer.alloc(16, 0x41)),
    signatureAlgorithm: treeOf(Buffer.from('300a06082a8648ce3d040302', 'hex')),
    validity: sequence(utcTime('300101000000Z'), utcTime('300102000000Z')),
    publicKey: treeOf(fixedPublicKey('workload').spki),
    tail: undefined,
    ...of,
    ...change,
    extensions: { ...of.extensions, ...change.extensions },
  }
  const { version, serial, signatureAlgorithm, issuer, validity, subject, publicKey } = fields
  const tail = fields.tail ?? [extensionsField(Object.values(fields.extensions).filter((one) => one !== undefined))]
  return encode(
    sequence(...(version ? [version] : []), serial, signatureAlgorithm, issuer, validity, subject, publicKey, ...tail),
  )
}

export const extensionsField = (all: readonly Tree[]): Tree => constructed(0xa3, sequence(...all))

/** The same framed as a certificate, whose signature means nothing. */
export function anUnsignedCertificate(kind: Kind, change: Partial<Fields> = {}): Buffer {
  const algorithm = treeOf(Buffer.from('300a06082a8648ce3d040302', 'hex'))
  return encode(sequence(treeOf(aTbs(kind, change)), algorithm, primitive(0x03, [0, 1])))
}
