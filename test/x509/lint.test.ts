import { describe, expect, test } from 'vitest'
import { readTbs } from '../../src/x509/certificate.ts'
import { lint, RULES } from '../../src/x509/lint.ts'
import type { ProfileName } from '../../src/x509/profiles.ts'
import {
  aName,
  aTbs,
  authorityKeyId,
  basicConstraints,
  CLIENT_AUTH,
  dns,
  extendedKeyUsage,
  extension,
  type Fields,
  generalizedTime,
  keyUsage,
  lineage,
  names,
  SERVER_AUTH,
  subjectKeyId,
  TRUE,
  uri,
  utcTime,
} from '../_support/a-tbs.ts'
import { constructed, primitive, treeOf } from '../_support/der-tree.ts'
import { fixedPublicKey } from '../_support/fixed-keys.ts'

const KINDS: readonly ProfileName[] = ['svid', 'serving', 'issuing', 'root', 'cross']
const faults = (kind: ProfileName, change: Partial<Fields> = {}) => lint(readTbs(aTbs(kind, change)), kind)

describe('nothing is wrong with', () => {
  test.each(KINDS)('a sound %s certificate', (kind) => {
    expect(faults(kind)).toEqual([])
  })

  test('an SVID that carries a lineage', () => {
    expect(faults('svid', { extensions: { lineage: lineage() } })).toEqual([])
  })

  test('an SVID whose RSA key enciphers keys', () => {
    const publicKey = treeOf(fixedPublicKey('rsaWorkload').spki)
    expect(faults('svid', { publicKey, extensions: { keyUsage: keyUsage([5, 0xa0]) } })).toEqual([])
  })

  test.each([8, 20])('a serial number of %d bytes', (length) => {
    expect(faults('svid', { serial: primitive(0x02, Buffer.alloc(length, 0x41)) })).toEqual([])
  })

  test('a window of one second', () => {
    expect(faults('svid', { validity: window(utcTime('300101000000Z'), utcTime('300101000000Z')) })).toEqual([])
  })
})

const sequence = (...children: Parameters<typeof constructed>[1][]) => constructed(0x30, ...children)
const window = (from: ReturnType<typeof utcTime>, to: ReturnType<typeof utcTime>) => sequence(from, to)

/** For each rule, by its sentence, the certificates that break it and nothing else. */
const BROKEN: readonly (readonly [sentence: string, what: string, kinds: readonly ProfileName[], Partial<Fields>])[] = [
  ['version is 3', 'version 2', KINDS, { version: constructed(0xa0, primitive(0x02, [1])) }],
  ['version is 3', 'no version', KINDS, { version: undefined }],
  ['the serial number is', 'a negative serial', KINDS, { serial: primitive(0x02, Buffer.alloc(16, 0x81)) }],
  ['the serial number is', 'a serial of 7 bytes', KINDS, { serial: primitive(0x02, Buffer.alloc(7, 0x41)) }],
  ['the serial number is', 'a serial of 21 bytes', KINDS, { serial: primitive(0x02, Buffer.alloc(21, 0x41)) }],
  ['the serial number is', 'a serial of zero', KINDS, { serial: primitive(0x02, [0]) }],
  [
    'notBefore is not after notAfter',
    'a window that ends before it begins',
    KINDS,
    { validity: window(utcTime('300101000001Z'), utcTime('300101000000Z')) },
  ],
  [
    'notBefore is not after notAfter',
    'the end that means none',
    KINDS,
    { validity: window(utcTime('300101000000Z'), generalizedTime('99991231235959Z')) },
  ],
  ['the issuer is named', 'an empty issuer', ['svid', 'serving', 'issuing', 'cross'], { issuer: sequence() }],
  ['a leaf has an empty subject', 'a subject', ['svid', 'serving'], { subject: aName('cart') }],
  ['a signer has a subject', 'no subject', ['issuing', 'cross'], { subject: sequence() }],
  ['a root is self-issued', 'another issuer', ['root'], { issuer: aName('other') }],
  ['an issuing authority is not self-issued', 'its own name as issuer', ['issuing'], { issuer: aName('issuing') }],
  ['a cross-certificate is not self-issued', 'its own name as issuer', ['cross'], { issuer: aName('root') }],
  [
    'no extension is there that nobody here knows',
    'an unknown extension',
    KINDS,
    { extensions: { unknown: extension('2a0304', primitive(0x05, [])) } },
  ],
  [
    'no extension is there that nobody here knows',
    'a policy extension',
    KINDS,
    { extensions: { policies: extension('551d20', sequence()) } },
  ],
  ['our lineage extension is not critical', 'a critical lineage', ['svid'], { extensions: { lineage: lineage(true) } }],
  [
    'only an SVID has a lineage',
    'a lineage',
    ['serving', 'issuing', 'root', 'cross'],
    { extensions: { lineage: lineage() } },
  ],
  [
    'basic constraints are critical',
    'basic constraints that may be ignored',
    ['svid', 'serving'],
    { extensions: { basicConstraints: basicConstraints([], false) } },
  ],
  [
    'basic constraints are critical',
    'basic constraints that may be ignored',
    ['root'],
    { extensions: { basicConstraints: basicConstraints([TRUE], false) } },
  ],
  [
    'a leaf is not a CA',
    'the CA bit',
    ['svid', 'serving'],
    { extensions: { basicConstraints: basicConstraints([TRUE]) } },
  ],
  [
    'a leaf is not a CA',
    'a pathLen without the CA bit',
    ['svid', 'serving'],
    { extensions: { basicConstraints: basicConstraints([primitive(0x01, [0]), primitive(0x02, [0])]) } },
  ],
  ['a signer is a CA', 'no CA bit', ['root'], { extensions: { basicConstraints: basicConstraints([]) } }],
  [
    'a signer is a CA',
    'no CA bit',
    ['issuing'],
    { extensions: { basicConstraints: basicConstraints([primitive(0x01, [0]), primitive(0x02, [0])]) } },
  ],
  [
    'basic constraints are critical',
    'basic constraints that may be ignored',
    ['issuing'],
    { extensions: { basicConstraints: basicConstraints([TRUE, primitive(0x02, [0])], false) } },
  ],
  [
    'a signer is a CA',
    'no CA bit',
    ['cross'],
    { extensions: { basicConstraints: basicConstraints([primitive(0x01, [0]), primitive(0x02, [1])]) } },
  ],
  [
    'basic constraints are critical',
    'basic constraints that may be ignored',
    ['cross'],
    { extensions: { basicConstraints: basicConstraints([TRUE, primitive(0x02, [1])], false) } },
  ],
  ...(
    [
      ['no pathLen', [TRUE]],
      ['pathLen 0', [TRUE, primitive(0x02, [0])]],
      ['pathLen 2', [TRUE, primitive(0x02, [2])]],
    ] as const
  ).map(
    ([what, fields]) =>
      [
        'a cross-certificate has pathLen 1',
        what,
        ['cross'],
        { extensions: { basicConstraints: basicConstraints(fields) } },
      ] as const,
  ),
  [
    'a root has no pathLen',
    'pathLen 1',
    ['root'],
    { extensions: { basicConstraints: basicConstraints([TRUE, primitive(0x02, [1])]) } },
  ],
  [
    'an issuing authority has pathLen 0',
    'no pathLen',
    ['issuing'],
    { extensions: { basicConstraints: basicConstraints([TRUE]) } },
  ],
  [
    'an issuing authority has pathLen 0',
    'pathLen 1',
    ['issuing'],
    { extensions: { basicConstraints: basicConstraints([TRUE, primitive(0x02, [1])]) } },
  ],
  [
    'key usage is critical',
    'key usage that may be ignored',
    ['svid', 'serving'],
    { extensions: { keyUsage: keyUsage([7, 0x80], false) } },
  ],
  [
    'key usage is critical',
    'key usage that may be ignored',
    ['issuing', 'root', 'cross'],
    { extensions: { keyUsage: keyUsage([1, 0x06], false) } },
  ],
  ...(
    [
      ['keyCertSign', [2, 0x84]],
      ['cRLSign', [1, 0x82]],
      ['nonRepudiation', [6, 0xc0]],
      ['keyAgreement', [3, 0x88]],
      ['no bit at all', [0]],
    ] as const
  ).map(
    ([what, bits]) =>
      [
        'a leaf’s key signs and may encipher keys',
        what,
        ['svid', 'serving'],
        { extensions: { keyUsage: keyUsage(bits) } },
      ] as const,
  ),
  [
    'a leaf’s key signs and may encipher keys',
    'keyEncipherment alone',
    ['svid', 'serving'],
    { publicKey: treeOf(fixedPublicKey('rsaWorkload').spki), extensions: { keyUsage: keyUsage([5, 0x20]) } },
  ],
  [
    'a key that is not RSA enciphers no keys',
    'keyEncipherment for a key on P-256',
    ['svid', 'serving'],
    { extensions: { keyUsage: keyUsage([5, 0xa0]) } },
  ],
  ...(
    [
      ['digitalSignature beside them', [1, 0x86]],
      ['no cRLSign', [2, 0x04]],
      ['no keyCertSign', [1, 0x02]],
    ] as const
  ).map(
    ([what, bits]) =>
      [
        'a signer’s key signs certificates and CRLs',
        what,
        ['issuing', 'root', 'cross'],
        { extensions: { keyUsage: keyUsage(bits) } },
      ] as const,
  ),
  ...(
    [
      ['for servers alone', extendedKeyUsage(SERVER_AUTH)],
      ['for clients alone', extendedKeyUsage(CLIENT_AUTH)],
      ['for any purpose beside them', extendedKeyUsage(SERVER_AUTH, CLIENT_AUTH, '551d2500')],
      ['for nothing', extendedKeyUsage()],
      ['without purposes', undefined],
    ] as const
  ).map(
    ([what, purposes]) =>
      [
        'a leaf is for servers and clients, both',
        what,
        ['svid', 'serving'],
        { extensions: { extendedKeyUsage: purposes } },
      ] as const,
  ),
  [
    'a signer has no extended key usage',
    'purposes',
    ['issuing', 'root', 'cross'],
    { extensions: { extendedKeyUsage: extendedKeyUsage(SERVER_AUTH, CLIENT_AUTH) } },
  ],
  [
    'the issuer’s key is identified',
    'no authority key identifier',
    KINDS,
    { extensions: { authorityKeyId: undefined } },
  ],
  [
    'the issuer’s key is identified',
    'an empty authority key identifier',
    KINDS,
    { extensions: { authorityKeyId: authorityKeyId(false, primitive(0x80, [])) } },
  ],
  [
    'the authority key identifier is not critical',
    'a critical authority key identifier',
    KINDS,
    { extensions: { authorityKeyId: authorityKeyId(true) } },
  ],
  [
    'a signer’s key is identified, not critically',
    'no subject key identifier',
    ['issuing', 'root', 'cross'],
    { extensions: { subjectKeyId: undefined } },
  ],
  [
    'a signer’s key is identified, not critically',
    'a critical subject key identifier',
    ['issuing', 'root', 'cross'],
    { extensions: { subjectKeyId: subjectKeyId(true) } },
  ],
  [
    'a signer’s key is identified, not critically',
    'an empty subject key identifier',
    ['issuing', 'root', 'cross'],
    { extensions: { subjectKeyId: subjectKeyId(false, new Uint8Array()) } },
  ],
  [
    'names are critical where the subject is empty',
    'names that may be ignored',
    ['svid'],
    { extensions: { names: names(false, uri('spiffe://cluster.local/ns/shop/sa/cart')) } },
  ],
  [
    'names are critical where the subject is empty',
    'names that may be ignored',
    ['serving'],
    { extensions: { names: names(false, dns('alcazar.example')) } },
  ],
  [
    'an SVID has one name, a URI',
    'two URIs',
    ['svid'],
    { extensions: { names: names(true, uri('spiffe://cluster.local/a'), uri('spiffe://cluster.local/b')) } },
  ],
  [
    'an SVID has one name, a URI',
    'a DNS name beside its URI',
    ['svid'],
    { extensions: { names: names(true, uri('spiffe://cluster.local/a'), dns('example.org')) } },
  ],
  [
    'a serving certificate has names and no URI',
    'a URI',
    ['serving'],
    { extensions: { names: names(true, dns('alcazar.example'), uri('spiffe://cluster.local/a')) } },
  ],
  ['a serving certificate has names and no URI', 'no name', ['serving'], { extensions: { names: names(true) } }],
  ...[
    'https://cluster.local/a',
    'spiffe://cluster.local',
    'spiffe://cluster.local/',
    'spiffe:///a',
    'spiffe://Cluster.local/a',
    'spiffe://cluster.local/a?b',
    'spiffe://cluster.local:1/a',
    ' spiffe://cluster.local/a',
  ].map(
    (text) =>
      [
        'an SVID’s URI is a SPIFFE ID with a path',
        JSON.stringify(text),
        ['svid'],
        { extensions: { names: names(true, uri(text)) } },
      ] as const,
  ),
  ...[
    ['a path', [uri('spiffe://cluster.local/a')]],
    ['a trust domain of 256 characters', [uri(`spiffe://${'a'.repeat(256)}`)]],
    ['another scheme', [uri('https://cluster.local')]],
    ['two URIs', [uri('spiffe://a'), uri('spiffe://b')]],
    ['a DNS name', [uri('spiffe://cluster.local'), dns('example.org')]],
    ['no name', []],
  ].map(
    ([what, all]) =>
      [
        'a signer has one URI, the SPIFFE ID of its trust domain without a path',
        what as string,
        ['issuing', 'root', 'cross'],
        { extensions: { names: names(false, ...(all as ReturnType<typeof uri>[])) } },
      ] as const,
  ),
]

describe('told apart', () => {
  for (const [sentence, what, kinds, change] of BROKEN)
    for (const kind of kinds)
      test(`${kind} with ${what}: ${sentence} …`, () => {
        expect(faults(kind, change)).toEqual([expect.stringMatching(new RegExp(`^${sentence}`))])
      })

  test('a root without any name, by both of its names', () => {
    expect(faults('root', { subject: sequence(), issuer: sequence() })).toEqual([
      'the issuer is named (RFC 5280 §4.1.2.4)',
      'a signer has a subject (RFC 5280 §4.1.2.6)',
    ])
  })
})

test('each rule was broken above for every profile that it is for', () => {
  const broken = (says: string, kind: ProfileName) =>
    BROKEN.some(([sentence, , kinds]) => says.startsWith(sentence) && kinds.includes(kind))
  const unbroken = RULES.flatMap(({ says, profiles }) =>
    profiles.filter((kind) => !broken(says, kind)).map((kind) => `${kind}: ${says}`),
  )
  // These can be broken only together with another: a root’s issuer is its subject, and only an SVID may have a lineage at all.
  expect(unbroken).toEqual([
    'root: the issuer is named (RFC 5280 §4.1.2.4)',
    'root: a signer has a subject (RFC 5280 §4.1.2.6)',
    'serving: our lineage extension is not critical',
    'issuing: our lineage extension is not critical',
    'root: our lineage extension is not critical',
    'cross: our lineage extension is not critical',
  ])
})

test('no two rules say the same, so that a fault has one name', () => {
  expect(new Set(RULES.map((rule) => rule.says)).size).toBe(RULES.length)
})
