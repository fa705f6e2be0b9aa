import { describe, expect, test } from 'vitest'
import { type Certificate, readCertificate, type Tbs } from '../../src/x509/certificate.ts'
import { confirmReading, readAgain, readCsrAgain } from '../../src/x509/second-reader.ts'
import {
  aName,
  anUnsignedCertificate,
  basicConstraints,
  dns,
  extensionsField,
  type Fields,
  keyUsage,
  names,
  TRUE,
  uri,
} from '../_support/a-tbs.ts'
import { aCsr } from '../_support/csr.ts'
import { constructed, primitive } from '../_support/der-tree.ts'
import { fixedPublicKey } from '../_support/fixed-keys.ts'
import { type IssuedKind, issuedCertificates } from '../_support/issued-certificates.ts'
import { opensslBytes, testWithOpenssl } from '../_support/openssl-command.ts'

const { ders } = await issuedCertificates()
const KINDS = Object.keys(ders) as IssuedKind[]
const apart = expect.objectContaining({
  code: 'invalid_argument',
  message: 'a certificate that two readers understand differently',
})
const unreadable = expect.objectContaining({ code: 'invalid_argument', message: 'unreadable to a second reader' })

describe('both readers agree', () => {
  test.each(KINDS)('on %s', (kind) => {
    expect(() => confirmReading(readCertificate(ders[kind]))).not.toThrow()
  })

  testWithOpenssl.each([
    ['a root with text in every field', ['-subj', '/C=DE/O=Ünlü & Söhne/OU=a,b/CN=root+OU=x', '-utf8']],
    [
      'a root with two URIs and a DNS name',
      ['-subj', '/CN=r', '-addext', 'subjectAltName=URI:spiffe://a,URI:spiffe://b,DNS:x'],
    ],
    ['a CA with pathLen 3', ['-subj', '/CN=r', '-addext', 'basicConstraints=critical,CA:TRUE,pathlen:3']],
    ['a root whose serial number begins with a one bit', ['-subj', '/CN=r', '-set_serial', '0xff01']],
    ['a certificate for 100 years', ['-subj', '/CN=r', '-days', '36500']],
  ])('on %s by OpenSSL', (_, options) => {
    const der = opensslBytes([
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', '/dev/null'],
      ...['-outform', 'DER', ...options],
    ])
    expect(() => confirmReading(readCertificate(der))).not.toThrow()
  })
})

/** A certificate whose bytes say one thing and our reading of them another, as a reader's fault would have it. */
const misread = (change: Partial<Tbs>): Certificate => {
  const certificate = readCertificate(ders.issuing)
  return { ...certificate, tbs: { ...certificate.tbs, ...change } }
}

describe('is refused when our reader takes', () => {
  const { tbs } = readCertificate(ders.issuing)
  test.each<[string, Partial<Tbs>]>([
    ['another beginning', { notBefore: new Date(tbs.notBefore.getTime() + 1000) }],
    ['another end', { notAfter: new Date(tbs.notAfter.getTime() + 1000) }],
    ['another key', { publicKey: fixedPublicKey('workload').spki }],
    ['a CA for a leaf', { basicConstraints: { ca: false, pathLength: 0 } }],
    ['a CA for one without constraints', { basicConstraints: undefined }],
    ['no pathLen', { basicConstraints: { ca: true, pathLength: undefined } }],
    ['another pathLen', { basicConstraints: { ca: true, pathLength: 1 } }],
    ['another URI', { alternativeNames: [{ kind: 'uri', value: 'spiffe://cluster.locaI' }] }],
    ['no URI', { alternativeNames: [] }],
    [
      'one URI more',
      { alternativeNames: [...tbs.alternativeNames, { kind: 'uri', value: 'spiffe://cluster.local/a' }] },
    ],
    ['another serial', { serial: '42'.repeat(16) }],
    ['another subject', { subject: tbs.issuer }],
    ['another issuer', { issuer: tbs.subject }],
  ])('%s', (_, change) => {
    expect(() => confirmReading(misread(change))).toThrow(apart)
  })
})

describe('is never confirmed when it could be read in two ways:', () => {
  const ca = basicConstraints([TRUE])
  test.each<[string, Partial<Fields>]>([
    ['extensions twice', { tail: [extensionsField([ca]), extensionsField([basicConstraints([])])] }],
    [
      'two lists of extensions',
      { tail: [constructed(0xa3, constructed(0x30, ca), constructed(0x30, basicConstraints([])))] },
    ],
    ['a version of two numbers', { version: constructed(0xa0, primitive(0x02, [2]), primitive(0x02, [0])) }],
    ['basic constraints twice', { extensions: { first: ca, second: basicConstraints([]) } }],
  ])('%s', (_, change) => {
    expect(() => confirmReading(readCertificate(anUnsignedCertificate('root', change)))).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    )
  })
})

describe('what the second reader cannot read', () => {
  test.each([
    ['nothing', Buffer.alloc(0)],
    ['something else', Buffer.from('3003020101', 'hex')],
    ['half a certificate', Buffer.from(ders.root).subarray(0, 100)],
  ])('%s is refused with our words, its own for the log', (_, der) => {
    expect(() => readAgain(der)).toThrow(unreadable)
    expect(() => readAgain(der)).toThrow(expect.objectContaining({ cause: expect.anything() }))
  })

  test('a CSR, too', () => {
    expect(() => readCsrAgain(Buffer.from('3003020101', 'hex'))).toThrow(unreadable)
  })
})

describe('for people', () => {
  test('a certificate has its names in words', () => {
    expect(readAgain(anUnsignedCertificate('issuing'))).toMatchObject({
      subject: 'CN=issuing',
      issuer: 'CN=root',
      serial: '41'.repeat(16),
      notBefore: new Date('2030-01-01T00:00:00Z'),
      ca: true,
      pathLength: 0,
      uris: ['spiffe://cluster.local'],
    })
  })

  test('a leaf is no CA and has no pathLen', () => {
    const odd = anUnsignedCertificate('svid', { subject: aName('a'), extensions: { basicConstraints: undefined } })
    expect(readAgain(odd)).toMatchObject({ subject: 'CN=a', ca: false, pathLength: undefined })
  })

  test('only URIs are among the URIs', () => {
    const change = { extensions: { names: names(true, dns('a'), uri('spiffe://a/b')), keyUsage: keyUsage([7, 0x80]) } }
    expect(readAgain(anUnsignedCertificate('svid', change)).uris).toEqual(['spiffe://a/b'])
  })

  test('a CSR of ours asks for nothing', async () => {
    const der = Buffer.from((await aCsr()).pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
    expect(readCsrAgain(der)).toEqual({ subject: '', names: [], ca: false })
  })

  testWithOpenssl('a CSR says what it asks for beside its key', () => {
    const der = opensslBytes([
      ...['req', '-new', '-newkey', 'ed25519', '-noenc', '-keyout', '/dev/null', '-outform', 'DER', '-subj', '/CN=a'],
      ...['-addext', 'basicConstraints=CA:TRUE', '-addext', 'subjectAltName=DNS:b,URI:spiffe://c/d'],
    ])
    expect(readCsrAgain(der)).toEqual({ subject: 'CN=a', names: ['dns:b', 'url:spiffe://c/d'], ca: true })
  })
})
