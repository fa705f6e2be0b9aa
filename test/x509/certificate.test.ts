import { describe, expect, test } from 'vitest'
import {
  isSelfIssued,
  isValidAt,
  MAX_CERTIFICATE_BYTES,
  readCertificate,
  readTbs,
  splitSigned,
  urisOf,
  writeCertificate,
  writeTbs,
} from '../../src/x509/certificate.ts'
import { EMPTY_NAME } from '../../src/x509/name.ts'
import { KEY_USAGE, OID } from '../../src/x509/oids.ts'
import {
  aName,
  anUnsignedCertificate,
  aTbs,
  authorityKeyId,
  basicConstraints,
  dns,
  extension,
  extensionsField,
  generalizedTime,
  keyId,
  keyUsage,
  names,
  TRUE,
  uri,
  utcTime,
} from '../_support/a-tbs.ts'
import { constructed, encode, primitive, type Tree, treeOf } from '../_support/der-tree.ts'
import { fixedPublicKey } from '../_support/fixed-keys.ts'

const sequence = (...children: Tree[]) => constructed(0x30, ...children)
const refusal = (message: string) => expect.objectContaining({ code: 'invalid_argument', message })
const notDer = (why: string) => refusal(`not DER as expected: ${why}`)

describe('a certificate made by hand', () => {
  const root = readTbs(aTbs('root'))

  test('is taken apart', () => {
    expect(root).toMatchObject({
      version: 3,
      serial: '41'.repeat(16),
      notBefore: new Date('2030-01-01T00:00:00Z'),
      notAfter: new Date('2030-01-02T00:00:00Z'),
      basicConstraints: { ca: true, pathLength: undefined },
      keyUsage: new Set([KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign]),
      extendedKeyUsage: undefined,
      alternativeNames: [{ kind: 'uri', value: 'spiffe://cluster.local' }],
      subjectKeyId: Buffer.alloc(20, 8),
      authorityKeyId: Buffer.alloc(20, 7),
    })
  })

  test('keeps its names, key and algorithm as DER', () => {
    expect(root.subject).toEqual(encode(aName('root')))
    expect(root.issuer).toEqual(encode(aName('root')))
    expect(root.publicKey).toEqual(Buffer.from(fixedPublicKey('workload').spki))
    expect(Buffer.from(root.signatureAlgorithm).toString('hex')).toBe('300a06082a8648ce3d040302')
  })

  test('says which extensions are critical', () => {
    expect([...root.extensions].map(([id, { critical }]) => [id, critical])).toEqual([
      [OID.keyUsage, true],
      [OID.subjectKeyIdentifier, false],
      [OID.authorityKeyIdentifier, false],
      [OID.subjectAltName, false],
      [OID.basicConstraints, true],
    ])
  })

  test('gives its parts with what frames them', () => {
    const der = anUnsignedCertificate('root')
    expect(readCertificate(der).tbs.bytes).toEqual(aTbs('root'))
    expect(splitSigned(der, 'certificate')).toMatchObject({ tbs: aTbs('root'), signature: Buffer.of(1) })
  })

  test('of version 1, without extensions, says nothing that extensions would', () => {
    const tbs = readTbs(aTbs('root', { version: undefined, tail: [] }))
    expect(tbs).toMatchObject({
      version: 1,
      basicConstraints: undefined,
      keyUsage: undefined,
      extendedKeyUsage: undefined,
      subjectKeyId: undefined,
      authorityKeyId: undefined,
      alternativeNames: [],
    })
    expect(tbs.extensions.size).toBe(0)
  })
})

describe('the kinds of alternative names', () => {
  const namesOf = (...all: Tree[]) => readTbs(aTbs('svid', { extensions: { names: names(true, ...all) } }))

  test('are told apart', () => {
    const directory = constructed(0xa4, sequence())
    const tbs = namesOf(
      uri('spiffe://a/b'),
      dns('example.org'),
      primitive(0x81, Buffer.from('a@b')),
      primitive(0x87, [192, 0, 2, 1]),
      directory,
    )
    expect(tbs.alternativeNames).toEqual([
      { kind: 'uri', value: 'spiffe://a/b' },
      { kind: 'dns', value: 'example.org' },
      { kind: 'email', value: 'a@b' },
      { kind: 'ip', value: Buffer.from([192, 0, 2, 1]) },
      { kind: 'other', value: encode(directory) },
    ])
    expect(urisOf(tbs)).toEqual(['spiffe://a/b'])
  })

  test('a comma in a name makes no second name of it (CVE-2021-44531)', () => {
    const tbs = namesOf(dns('a, URI:spiffe://cluster.local/ns/kube-system/sa/admin'))
    expect(urisOf(tbs)).toEqual([])
    expect(tbs.alternativeNames).toHaveLength(1)
  })

  test.each(['\0', '\n', '\u007f', '\u00e9'])('are refused with the character %j', (character) => {
    expect(() => namesOf(uri(`spiffe://a/${character}`))).toThrow(notDer('text that is not printable ASCII'))
    expect(() => namesOf(dns(`example${character}org`))).toThrow(notDer('text that is not printable ASCII'))
  })

  test('are not read from a URI that is constructed', () => {
    expect(urisOf(namesOf(constructed(0xa6, primitive(0x16, Buffer.from('spiffe://a/b')))))).toEqual([])
  })
})

describe('is refused', () => {
  test('over 64 KiB before anything of it is read', () => {
    expect(MAX_CERTIFICATE_BYTES).toBe(65_536)
    expect(() => readCertificate(Buffer.alloc(65_537))).toThrow(refusal('a certificate of 65537 bytes; at most 65536'))
    expect(() => readCertificate(Buffer.alloc(65_536))).toThrow(notDer('an end-of-contents marker (BER)'))
  })

  test.each([
    ['empty', Buffer.alloc(0), notDer('ends within a header')],
    [
      'with bytes after it',
      Buffer.concat([anUnsignedCertificate('svid'), Buffer.of(0)]),
      notDer('bytes after the end of the value'),
    ],
    ['cut off', anUnsignedCertificate('svid').subarray(0, -1), notDer('a length beyond the end')],
    [
      'with a field after its signature',
      encode(sequence(treeOf(aTbs('svid')), sequence(), primitive(0x03, [0]), primitive(0x05, []))),
      refusal('a certificate with more fields than RFC 5280 has'),
    ],
    [
      'without a signature',
      encode(sequence(treeOf(aTbs('svid')), sequence())),
      notDer('expected tag 0x3, found nothing'),
    ],
    ['without anything', encode(sequence()), notDer('expected tag 0x30, found nothing')],
  ])('%s', (_, der, expected) => {
    expect(() => readCertificate(der)).toThrow(expected)
  })

  const withExtension = (one: Tree) => ({ extensions: { odd: one } })
  test.each([
    [
      'an extension twice',
      { extensions: { again: keyUsage([7, 0x80]) } },
      refusal('a certificate with the extension 2.5.29.15 twice'),
    ],
    [
      'an unknown extension twice',
      { extensions: { a: extension('2a03', sequence()), b: extension('2a03', sequence(), true) } },
      refusal('a certificate with the extension 1.2.3 twice'),
    ],
    ['an empty extension', withExtension(sequence()), notDer('expected tag 0x6, found nothing')],
    [
      'an extension without a value',
      withExtension(sequence(primitive(0x06, [0x2a, 3]))),
      notDer('expected tag 0x4, found nothing'),
    ],
    [
      'a value that is no OCTET STRING',
      withExtension(sequence(primitive(0x06, [0x2a, 3]), primitive(0x05, []))),
      notDer('expected tag 0x4, found 0x5'),
    ],
    [
      'a criticality that is no BOOLEAN',
      withExtension(sequence(primitive(0x06, [0x2a, 3]), primitive(0x02, [1]), primitive(0x04, []))),
      notDer('expected tag 0x1, found 0x2'),
    ],
    ['a serial that is no INTEGER', { serial: primitive(0x04, [1]) }, notDer('expected tag 0x2, found 0x4')],
    ['one time', { validity: sequence(utcTime('300101000000Z')) }, notDer('expected a time')],
    ['no times', { validity: sequence() }, notDer('expected a time')],
    [
      'a time in BER',
      { validity: sequence(utcTime('3001010000Z'), utcTime('300102000000Z')) },
      notDer('a time that is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ'),
    ],
    [
      'a CA bit in an INTEGER',
      { extensions: { basicConstraints: basicConstraints([primitive(0x02, [1])]) } },
      notDer('expected tag 0x1, found 0x2'),
    ],
    [
      'a negative pathLen',
      { extensions: { basicConstraints: basicConstraints([TRUE, primitive(0x02, [0xff])]) } },
      notDer('an INTEGER out of range'),
    ],
    [
      'key usage in BER',
      { extensions: { keyUsage: keyUsage([7, 0xff]) } },
      notDer('a BIT STRING with padding bits set'),
    ],
    ['key usage without content', { extensions: { keyUsage: keyUsage([]) } }, notDer('a malformed BIT STRING')],
    [
      'an empty extended key usage value',
      { extensions: { extendedKeyUsage: sequence(primitive(0x06, [0x55, 0x1d, 0x25]), primitive(0x04, [])) } },
      notDer('ends within a header'),
    ],
    [
      'bytes after an extension’s value',
      {
        extensions: {
          odd: sequence(primitive(0x06, [0x55, 0x1d, 0x25]), primitive(0x04, [0x30, 0, 0])),
          extendedKeyUsage: undefined,
        },
      },
      notDer('bytes after the end of the value'),
    ],
  ])('with %s', (_, change, expected) => {
    expect(() => readTbs(aTbs('svid', change))).toThrow(expected)
  })

  const extensions = extensionsField([basicConstraints([])])
  test.each([
    ['a field that RFC 5280 doesn’t have', { tail: [extensions, primitive(0x05, [])] }],
    [
      'its extensions twice: another reader may believe the second ones',
      { tail: [extensions, extensionsField([basicConstraints([TRUE])])] },
    ],
    [
      'two lists of extensions',
      { tail: [constructed(0xa3, sequence(basicConstraints([])), sequence(basicConstraints([TRUE])))] },
    ],
    [
      'an extension of four fields',
      withExtension(sequence(primitive(0x06, [0x2a, 3]), TRUE, primitive(0x04, []), primitive(0x04, [1]))),
    ],
    [
      'a third time',
      { validity: sequence(utcTime('300101000000Z'), utcTime('300102000000Z'), utcTime('400102000000Z')) },
    ],
    [
      'two key identifiers of its issuer',
      { extensions: { authorityKeyId: authorityKeyId(false, keyId, primitive(0x80, Buffer.alloc(20, 8))) } },
    ],
    ['its tail in another order', { tail: [extensions, primitive(0x82, [0, 1])] }],
    ['two versions', { version: constructed(0xa0, primitive(0x02, [2]), primitive(0x02, [0])) }],
    [
      'a third basic constraint',
      { extensions: { basicConstraints: basicConstraints([TRUE, primitive(0x02, [0]), primitive(0x02, [1])]) } },
    ],
  ])('with %s', (_, change) => {
    expect(() => readTbs(aTbs('svid', change))).toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  })

  test.each([
    ['extended key usage', { extendedKeyUsage: extension('551d25', sequence()) }],
    ['alternative names', { names: names(true) }],
    ['basic constraints', { basicConstraints: basicConstraints([]) }],
    ['authority key identifier', { authorityKeyId: extension('551d23', sequence()) }],
  ])('but not with an empty list in its %s (CVE-2026-40097)', (_, change) => {
    expect(() => readTbs(aTbs('svid', { extensions: change }))).not.toThrow()
  })

  test('but not with the unique identifiers that RFC 5280 wants read and not written', () => {
    const tail = [primitive(0x81, [0, 1]), primitive(0x82, [0, 2]), extensions]
    expect(readTbs(aTbs('svid', { tail })).basicConstraints).toEqual({ ca: false, pathLength: undefined })
  })

  test('but not with an authority key identifier by name and serial', () => {
    const byName = authorityKeyId(false, constructed(0xa1, constructed(0xa4, sequence())), primitive(0x82, [1]))
    expect(readTbs(aTbs('svid', { extensions: { authorityKeyId: byName } })).authorityKeyId).toBeUndefined()
  })
})

describe('is valid', () => {
  const tbs = readTbs(aTbs('svid'))
  test.each([
    ['2029-12-31T23:59:59.999Z', false],
    ['2030-01-01T00:00:00.000Z', true],
    ['2030-01-02T00:00:00.000Z', true],
    ['2030-01-02T00:00:00.999Z', true],
    ['2030-01-02T00:00:01.000Z', false],
  ])('at %s: %s, for notAfter is its last second (RFC 5280 §4.1.2.5)', (moment, valid) => {
    expect(isValidAt(tbs, new Date(moment))).toBe(valid)
  })
})

test('is self-issued when its subject is its issuer', () => {
  expect(isSelfIssued(readTbs(aTbs('root')))).toBe(true)
  expect(isSelfIssued(readTbs(aTbs('issuing')))).toBe(false)
})

describe('written', () => {
  const fields = {
    serial: Buffer.alloc(16, 0x41),
    signatureAlgorithm: Buffer.from('300a06082a8648ce3d040302', 'hex'),
    issuer: encode(aName('root')),
    notBefore: new Date('2049-12-31T23:59:59Z'),
    notAfter: new Date('2050-01-01T00:00:00Z'),
    subject: EMPTY_NAME,
    publicKey: fixedPublicKey('workload').spki,
    extensions: [encode(basicConstraints([]))],
  }

  test('is, byte for byte, what a hand writes', () => {
    const byHand = aTbs('svid', {
      issuer: aName('root'),
      validity: sequence(utcTime('491231235959Z'), generalizedTime('20500101000000Z')),
      tail: [extensionsField([basicConstraints([])])],
    })
    expect(Buffer.from(writeTbs(fields))).toEqual(byHand)
  })

  test('keeps a serial positive whatever its first bit', () => {
    expect(readTbs(writeTbs({ ...fields, serial: Uint8Array.of(0xff, 1) })).serial).toBe('00ff01')
  })

  test('frames exactly what was signed', () => {
    const der = writeCertificate(writeTbs(fields), fields.signatureAlgorithm, Uint8Array.of(1, 2))
    expect(splitSigned(der, 'certificate')).toEqual({
      tbs: Buffer.from(writeTbs(fields)),
      signatureAlgorithm: fields.signatureAlgorithm,
      signature: Buffer.from([1, 2]),
    })
  })
})
