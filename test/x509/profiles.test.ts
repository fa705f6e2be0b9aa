import { describe, expect, test } from 'vitest'
import { readTbs, writeTbs } from '../../src/x509/certificate.ts'
import { EMPTY_NAME } from '../../src/x509/name.ts'
import { servingExtensions } from '../../src/x509/profiles.ts'
import { fixedPublicKey } from '../_support/fixed-keys.ts'

/** The names that a serving certificate of these gets. */
function namesOf(...names: string[]) {
  const tbs = writeTbs({
    serial: Buffer.alloc(16, 0x41),
    signatureAlgorithm: fixedPublicKey('workload').algorithm.signatureAlgorithm,
    issuer: EMPTY_NAME,
    notBefore: new Date('2030-01-01T00:00:00Z'),
    notAfter: new Date('2030-01-02T00:00:00Z'),
    subject: EMPTY_NAME,
    publicKey: fixedPublicKey('workload').spki,
    extensions: servingExtensions({ names, authorityKeyId: Buffer.alloc(20), rsa: false }),
  })
  return readTbs(tbs).alternativeNames
}

describe('a serving name', () => {
  test.each([
    'alcazar',
    'alcazar.alcazar-system.svc',
    '*.example.org',
    'a_b.example',
    'xn--bcher-kva.example',
    '1.example',
  ])('%s is a DNS name', (name) => {
    expect(namesOf(name)).toEqual([{ kind: 'dns', value: name }])
  })

  test.each([
    ['0.0.0.0', '00000000'],
    ['127.0.0.1', '7f000001'],
    ['255.255.255.255', 'ffffffff'],
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['1::', '00010000000000000000000000000000'],
    ['2001:db8::1', '20010db8000000000000000000000001'],
    ['2001:DB8:0:0:1:0:0:1', '20010db8000000000001000000000001'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
  ])('%s is an address of bytes', (name, hex) => {
    expect(namesOf(name)).toEqual([{ kind: 'ip', value: Buffer.from(hex, 'hex') }])
  })

  test.each([
    '',
    ' ',
    'a b',
    'a,b',
    'spiffe://a/b',
    'a:443',
    '-a',
    '.a',
    '*',
    '*.',
    'a.*.b',
    '**.a',
    'bücher.example',
    'a\n',
    'a\0b',
    '[::1]',
    '1:2:3',
    'a'.repeat(64),
    [...Array(4).fill('a'.repeat(62)), 'aa'].join('.'),
    'a..b',
    'a-.b',
    'a.',
  ])('%j is refused', (name) => {
    expect(() => namesOf(name)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: `not a DNS name or IP address: ${JSON.stringify(name)}; write for example alcazar.example.org, *.example.org, 10.0.0.1 or ::1`,
      }),
    )
  })

  test('is refused when it is an address of one link only, with its zone', () => {
    expect(() => namesOf('fe80::1%eth0')).toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  })
})
