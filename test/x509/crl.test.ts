import { describe, expect, test } from 'vitest'
import { splitSigned } from '../../src/x509/certificate.ts'
import {
  type CrlEntry,
  MAX_CRL_BYTES,
  MAX_CRL_ENTRIES,
  readCrl,
  readTbsCrl,
  writeCrl,
  writeTbsCrl,
} from '../../src/x509/crl.ts'
import { anEntry, anUnsignedCrl, aTbsCrl, authorityKey, crlNumber, integer, reasonCode } from '../_support/a-crl.ts'
import { aName, extension, generalizedTime, keyId, TRUE, utcTime } from '../_support/a-tbs.ts'
import { constructed, encode, primitive, type Tree, treeOf } from '../_support/der-tree.ts'

const sequence = (...children: Tree[]) => constructed(0x30, ...children)
const refusal = (message: string) => expect.objectContaining({ code: 'invalid_argument', message })
const notDer = (why: string) => refusal(`not DER as expected: ${why}`)
const algorithm = Buffer.from('300a06082a8648ce3d040302', 'hex')

describe('a CRL made by hand', () => {
  test('is taken apart', () => {
    expect(readTbsCrl(aTbsCrl())).toMatchObject({
      thisUpdate: new Date('2030-01-01T00:00:00Z'),
      nextUpdate: new Date('2030-02-01T00:00:00Z'),
      entries: [
        { serial: '4a', revokedAt: new Date('2029-12-31T12:00:00Z'), reason: undefined },
        { serial: '00ff', revokedAt: new Date('2029-12-31T12:00:00Z'), reason: 'keyCompromise' },
      ],
      authorityKeyId: Buffer.alloc(20, 7),
      number: 7n,
    })
  })

  test('keeps its issuer and algorithm as DER', () => {
    const { issuer, signatureAlgorithm } = readTbsCrl(aTbsCrl())
    expect([Buffer.from(issuer), Buffer.from(signatureAlgorithm)]).toEqual([encode(aName('issuing')), algorithm])
  })

  test('gives its parts with what frames them', () => {
    expect(readCrl(anUnsignedCrl()).tbs.bytes).toEqual(aTbsCrl())
    expect(splitSigned(anUnsignedCrl(), 'CRL')).toMatchObject({ tbs: aTbsCrl(), signature: Buffer.of(1) })
  })

  test('that revokes nothing has no list', () => {
    expect(readTbsCrl(aTbsCrl({ entries: undefined })).entries).toEqual([])
  })

  test('may carry extensions that are not critical', () => {
    const change = {
      entries: [anEntry('01', sequence(extension('551d18', generalizedTime('20291231000000Z')), reasonCode(4)))],
      extensions: { more: extension('2a03', sequence()) },
    }
    expect(readTbsCrl(aTbsCrl(change)).entries).toMatchObject([{ reason: 'superseded' }])
  })

  test('has a number of at most 20 octets, zero or more', () => {
    const numberOf = (hex: string) => readTbsCrl(aTbsCrl({ extensions: { number: crlNumber(hex) } })).number
    expect(['00', '0080', `7f${'ff'.repeat(19)}`].map(numberOf)).toEqual([0n, 128n, 2n ** 159n - 1n])
  })
})

describe('is refused', () => {
  test('over 6 MiB before anything of it is read', () => {
    expect(() => readCrl(Buffer.alloc(MAX_CRL_BYTES + 1))).toThrow(refusal('a CRL of 6291457 bytes; at most 6291456'))
    expect(() => readCrl(Buffer.alloc(MAX_CRL_BYTES))).toThrow(notDer('an end-of-contents marker (BER)'))
  })

  const two = 'with more fields than RFC 5280 has'
  test.each([
    ['empty', Buffer.alloc(0), notDer('ends within a header')],
    ['with bytes after it', Buffer.concat([anUnsignedCrl(), Buffer.of(0)]), notDer('bytes after the end of the value')],
    ['cut off', anUnsignedCrl().subarray(0, -1), notDer('a length beyond the end')],
    [
      'with a field after its signature',
      encode(sequence(treeOf(aTbsCrl()), sequence(), primitive(0x03, [0]), primitive(0x05, []))),
      refusal(`a CRL ${two}`),
    ],
    ['without a signature', encode(sequence(treeOf(aTbsCrl()), sequence())), notDer('expected tag 0x3, found nothing')],
    [
      'that is a certificate’s frame with nothing in it',
      encode(sequence()),
      notDer('expected tag 0x30, found nothing'),
    ],
  ])('%s', (_, der, expected) => {
    expect(() => readCrl(der)).toThrow(expected)
  })

  const entry = (...fields: Tree[]) => ({ entries: [sequence(...fields)] })
  const good = [integer('01'), utcTime('291231120000Z')] as const
  test.each([
    ['of version 1', { version: undefined }, refusal('a CRL of another version than 2')],
    ['of version 3', { version: integer('02') }, refusal('a CRL of another version than 2')],
    ['without nextUpdate', { nextUpdate: undefined }, notDer('expected a time')],
    [
      'with a GeneralizedTime before 2050',
      { thisUpdate: generalizedTime('20300101000000Z') },
      refusal('a CRL with a GeneralizedTime before 2050'),
    ],
    [
      'with the same in an entry',
      entry(integer('01'), generalizedTime('20291231120000Z')),
      refusal('a CRL with a GeneralizedTime before 2050'),
    ],
    ['with an empty list', { entries: [] }, refusal('a CRL with an empty list of revoked certificates')],
    [
      'with a serial twice',
      { entries: [anEntry('4a'), anEntry('4b'), anEntry('4a')] },
      refusal('a CRL with the serial number 4a twice'),
    ],
    ['with a serial below zero', { entries: [anEntry('80')] }, refusal('a CRL with a serial number below zero')],
    [
      'with a serial of 21 octets',
      { entries: [anEntry(`00${'ff'.repeat(20)}`)] },
      refusal('a CRL with a serial number of more than 20 octets'),
    ],
    ['with a serial in BER', { entries: [anEntry('0001')] }, notDer('an INTEGER that is not minimal (BER)')],
    [
      'with an entry of four fields',
      entry(...good, sequence(reasonCode(1)), sequence(reasonCode(1))),
      refusal('a CRL with more fields in an entry than RFC 5280 has'),
    ],
    ['with an entry without its time', entry(integer('01')), notDer('expected a time')],
    [
      'with an entry’s empty list of extensions',
      entry(...good, sequence()),
      refusal('a CRL with an empty list of extensions in an entry'),
    ],
    [
      'with a reason twice',
      entry(...good, sequence(reasonCode(1), reasonCode(4))),
      refusal('a CRL’s entry with the extension 2.5.29.21 twice'),
    ],
    [
      'with the unused reason',
      entry(...good, sequence(reasonCode(7))),
      refusal('a CRL with the reason code 07, which complete CRLs don’t have'),
    ],
    [
      'with a delta CRL’s reason',
      entry(...good, sequence(reasonCode(8))),
      refusal('a CRL with the reason code 08, which complete CRLs don’t have'),
    ],
    [
      'with a reason of two octets',
      entry(...good, sequence(reasonCode(1, 0))),
      refusal('a CRL with the reason code 0100, which complete CRLs don’t have'),
    ],
    [
      'with a reason that is an INTEGER',
      entry(...good, sequence(extension('551d15', integer('01')))),
      notDer('expected tag 0xa, found 0x2'),
    ],
    [
      'with an entry of another issuer (indirect)',
      entry(...good, sequence(extension('551d1d', sequence(), true))),
      refusal('a CRL with the critical extension 2.5.29.29, which is not understood here'),
    ],
    [
      'for some reasons or names only (issuing distribution point)',
      { extensions: { idp: extension('551d1c', sequence(), true) } },
      refusal('a CRL with the critical extension 2.5.29.28, which is not understood here'),
    ],
    [
      'that is a delta',
      { extensions: { delta: extension('551d1b', integer('01'), true) } },
      refusal('a CRL with the critical extension 2.5.29.27, which is not understood here'),
    ],
    [
      'with an extension twice',
      { extensions: { again: crlNumber('08') } },
      refusal('a CRL with the extension 2.5.29.20 twice'),
    ],
    [
      'with an extension of four fields',
      { extensions: { odd: sequence(primitive(0x06, [0x2a, 3]), TRUE, primitive(0x04, []), primitive(0x04, [])) } },
      refusal('a CRL with more fields in an extension than RFC 5280 has'),
    ],
    ['without a number', { extensions: { number: undefined } }, refusal('a CRL without a CRL number')],
    [
      'with a number below zero',
      { extensions: { number: crlNumber('ff') } },
      refusal('a CRL with a CRL number below zero'),
    ],
    [
      'with a number of 21 octets',
      { extensions: { number: crlNumber(`01${'00'.repeat(20)}`) } },
      refusal('a CRL with a CRL number of more than 20 octets'),
    ],
    [
      'with a number in BER',
      { extensions: { number: crlNumber('0007') } },
      notDer('an INTEGER that is not minimal (BER)'),
    ],
    [
      'without its issuer’s key',
      { extensions: { authorityKeyId: undefined } },
      refusal('a CRL without an authority key identifier'),
    ],
    [
      'with its issuer’s key by name',
      { extensions: { authorityKeyId: authorityKey(keyId, constructed(0xa1), primitive(0x82, [1])) } },
      refusal('a CRL whose authority key identifier is more than a key identifier'),
    ],
    [
      'with its issuer’s key by serial',
      { extensions: { authorityKeyId: authorityKey(primitive(0x82, [1])) } },
      notDer('expected tag 0x80, found 0x82'),
    ],
    ['without extensions', { tail: [] }, notDer('expected tag 0xa0, found nothing')],
    [
      'with its extensions twice',
      { tail: [constructed(0xa0, sequence(authorityKey(keyId), crlNumber('07'))), constructed(0xa0, sequence())] },
      refusal('a CRL with more fields than RFC 5280 has'),
    ],
    [
      'with two lists of extensions',
      { tail: [constructed(0xa0, sequence(authorityKey(keyId), crlNumber('07')), sequence())] },
      refusal('a CRL with more values in one field than RFC 5280 has'),
    ],
    ['with two lists of entries', { tail: [sequence(anEntry('05'))] }, notDer('expected tag 0xa0, found 0x30')],
  ])('%s', (_, change, expected) => {
    expect(() => readTbsCrl(aTbsCrl(change))).toThrow(expected)
  })
})

describe('written', () => {
  const fields = {
    signatureAlgorithm: algorithm,
    issuer: encode(aName('issuing')),
    thisUpdate: new Date('2030-01-01T00:00:00Z'),
    nextUpdate: new Date('2030-02-01T00:00:00Z'),
    entries: [
      { serial: '4a', revokedAt: new Date('2029-12-31T12:00:00Z'), reason: undefined },
      { serial: '00ff', revokedAt: new Date('2029-12-31T12:00:00Z'), reason: 'keyCompromise' as const },
    ],
    authorityKeyId: Buffer.alloc(20, 7),
    number: 7n,
  }
  const many = (length: number, reason?: 'privilegeWithdrawn'): CrlEntry[] =>
    Array.from({ length }, (_, index) => ({
      serial: `7f${index.toString(16).padStart(38, '0')}`,
      revokedAt: new Date('2050-01-01T00:00:00Z'),
      reason,
    }))

  test('is, byte for byte, what a hand writes', () => {
    expect(Buffer.from(writeTbsCrl(fields))).toEqual(aTbsCrl())
    expect(Buffer.from(writeCrl(aTbsCrl(), algorithm, Uint8Array.of(1)))).toEqual(anUnsignedCrl())
  })

  test('has UTCTime through 2049 and GeneralizedTime from 2050', () => {
    const [last, first] = [new Date('2049-12-31T23:59:59Z'), new Date('2050-01-01T00:00:00Z')]
    const entries = [
      { serial: '01', revokedAt: last, reason: undefined },
      { serial: '02', revokedAt: first, reason: undefined },
    ]
    const byHand = aTbsCrl({
      thisUpdate: utcTime('491231235959Z'),
      nextUpdate: generalizedTime('20500101000000Z'),
      entries: [
        sequence(integer('01'), utcTime('491231235959Z')),
        sequence(integer('02'), generalizedTime('20500101000000Z')),
      ],
    })
    expect(Buffer.from(writeTbsCrl({ ...fields, thisUpdate: last, nextUpdate: first, entries }))).toEqual(byHand)
  })

  test('leaves the list out where nothing is revoked', () => {
    expect(Buffer.from(writeTbsCrl({ ...fields, entries: [] }))).toEqual(aTbsCrl({ entries: undefined }))
  })

  test('holds 100,000 entries of the largest kind, within its bound, and reads them again', () => {
    const entries = many(MAX_CRL_ENTRIES, 'privilegeWithdrawn')
    const der = writeCrl(writeTbsCrl({ ...fields, entries }), algorithm, new Uint8Array(5_000))
    expect(der.length).toBeLessThan(MAX_CRL_BYTES)
    expect(readCrl(der).tbs.entries).toEqual(entries)
  })

  test('refuses one more, written or read', () => {
    const entries = many(MAX_CRL_ENTRIES + 1)
    expect(() => writeTbsCrl({ ...fields, entries })).toThrow(refusal('a CRL with 100001 entries; at most 100000'))
    const byHand = aTbsCrl({ entries: Array.from(entries, (_, n) => anEntry(`7f${n.toString(16).padStart(6, '0')}`)) })
    expect(() => readTbsCrl(byHand)).toThrow(refusal('a CRL with more than 100000 entries'))
  })
})
