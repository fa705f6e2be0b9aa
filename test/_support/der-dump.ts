import { type Tree, treeOf } from './der-tree.ts'

/**
 * DER for reading: one value a line, indented, with no offsets or lengths that would change everywhere when one thing changes. Octet and bit
 * strings that hold DER are opened.
 */
export function dumpDer(bytes: Uint8Array): string {
  return `${linesOf(treeOf(bytes), '').join('\n')}\n`
}

const UNIVERSAL: Readonly<Record<number, string>> = {
  1: 'BOOLEAN',
  2: 'INTEGER',
  3: 'BIT STRING',
  4: 'OCTET STRING',
  5: 'NULL',
  6: 'OBJECT IDENTIFIER',
  10: 'ENUMERATED',
  12: 'UTF8String',
  16: 'SEQUENCE',
  17: 'SET',
  19: 'PrintableString',
  22: 'IA5String',
  23: 'UTCTime',
  24: 'GeneralizedTime',
}

/** So that a golden file reads without a register of object identifiers at hand. */
const KNOWN: Readonly<Record<string, string>> = {
  '1.2.840.10045.2.1': 'ecPublicKey',
  '1.2.840.10045.3.1.7': 'prime256v1',
  '1.2.840.10045.4.3.2': 'ecdsa-with-SHA256',
  '1.2.840.113549.1.1.1': 'rsaEncryption',
  '1.3.6.1.4.1.32473.1.1': 'alcazar lineage',
  '1.3.6.1.5.5.7.3.1': 'serverAuth',
  '1.3.6.1.5.5.7.3.2': 'clientAuth',
  '2.5.4.3': 'commonName',
  '2.5.4.10': 'organization',
  '2.5.29.14': 'subjectKeyIdentifier',
  '2.5.29.15': 'keyUsage',
  '2.5.29.17': 'subjectAltName',
  '2.5.29.19': 'basicConstraints',
  '2.5.29.20': 'cRLNumber',
  '2.5.29.21': 'reasonCode',
  '2.5.29.35': 'authorityKeyIdentifier',
  '2.5.29.37': 'extendedKeyUsage',
}

function linesOf(tree: Tree, indent: string): string[] {
  const name = nameOf(tree.tag)
  if ('children' in tree) {
    const inner = tree.children.flatMap((child) => linesOf(child, `${indent}  `))
    return [`${indent}${name}${inner.length === 0 ? ' (empty)' : ''}`, ...inner]
  }
  const held = heldBy(tree)
  if (held) return [`${indent}${name}, holding`, ...linesOf(held, `${indent}  `)]
  return [`${indent}${name} ${contentText(tree.tag, tree.content)}`]
}

function nameOf(tag: number): string {
  const number = tag & 0x1f
  if (tag < 0x40) return UNIVERSAL[number] ?? `[UNIVERSAL ${number}]`
  return `[${tag >= 0xc0 ? 'PRIVATE ' : tag < 0x80 ? 'APPLICATION ' : ''}${number}]`
}

function heldBy({ tag, content }: Extract<Tree, { content: Uint8Array }>): Tree | undefined {
  const inner = tag === 4 ? content : tag === 3 && content[0] === 0 ? content.subarray(1) : undefined
  if (!inner || !(inner[0] !== undefined && [0x03, 0x04, 0x30].includes(inner[0]))) return undefined
  try {
    return treeOf(inner)
  } catch {
    return undefined
  }
}

function contentText(tag: number, content: Uint8Array): string {
  switch (tag) {
    case 1:
      return content[0] === 0xff ? 'TRUE' : 'FALSE'
    case 3:
      return bitsOf(content)
    case 6:
      return named(dotted(content))
    case 12:
    case 19:
    case 22:
    case 23:
    case 24:
      return JSON.stringify(Buffer.from(content).toString('latin1'))
  }
  const text = Buffer.from(content).toString('latin1')
  if (tag >= 0x80 && /^[\x21-\x7e]{5,}$/.test(text)) return JSON.stringify(text)
  return Buffer.from(content).toString('hex')
}

/** The bits of a short one from left to right, as its named bits are numbered; the bytes of a long one. */
function bitsOf([unused = 0, ...octets]: Uint8Array): string {
  if (octets.length > 2) return Buffer.from(octets).toString('hex')
  const bits = octets.map((octet) => octet.toString(2).padStart(8, '0')).join('')
  return bits.slice(0, bits.length - unused)
}

function dotted(content: Uint8Array): string {
  const arcs: number[] = []
  let arc = 0
  for (const octet of content) {
    arc = arc * 128 + (octet & 0x7f)
    if (octet & 0x80) continue
    arcs.push(arc)
    arc = 0
  }
  const [first = 0, ...rest] = arcs
  return (first < 80 ? [Math.floor(first / 40), first % 40, ...rest] : [2, first - 80, ...rest]).join('.')
}

const named = (oid: string): string => (KNOWN[oid] ? `${oid} (${KNOWN[oid]})` : oid)
