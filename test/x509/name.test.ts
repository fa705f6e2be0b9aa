import { describe, expect, test } from 'vitest'
import { authorityName, commonNameOf, EMPTY_NAME } from '../../src/x509/name.ts'
import { aName } from '../_support/a-tbs.ts'
import { dumpDer } from '../_support/der-dump.ts'
import { constructed, encode, primitive } from '../_support/der-tree.ts'

test('the empty Name is an empty SEQUENCE', () => {
  expect(Buffer.from(EMPTY_NAME).toString('hex')).toBe('3000')
})

test('an authority is named for its trust domain and its key', () => {
  expect(dumpDer(authorityName('cluster.local', 'root 3f9a 21c4'))).toBe(
    [
      'SEQUENCE',
      '  SET',
      '    SEQUENCE',
      '      OBJECT IDENTIFIER 2.5.4.10 (organization)',
      '      UTF8String "cluster.local"',
      '  SET',
      '    SEQUENCE',
      '      OBJECT IDENTIFIER 2.5.4.3 (commonName)',
      '      UTF8String "root 3f9a 21c4"',
      '',
    ].join('\n'),
  )
})

test('a trust domain of 64 characters is in the name, one of 65 is left out rather than cut (RFC 5280 Appendix A.1)', () => {
  expect(dumpDer(authorityName('a'.repeat(64), 'root'))).toContain('a'.repeat(64))
  expect(dumpDer(authorityName('a'.repeat(65), 'root'))).not.toContain('aaa')
})

describe('the common name', () => {
  test('is read back', () => {
    expect(commonNameOf(authorityName('cluster.local', 'root 3f9a 21c4'))).toBe('root 3f9a 21c4')
  })

  test.each([
    ['in UTF-8', primitive(0x0c, Buffer.from('Bücher')), 'Bücher'],
    ['as a PrintableString', primitive(0x13, Buffer.from('Root CA')), 'Root CA'],
  ])('is read %s', (_, value, text) => {
    const name = constructed(0x30, constructed(0x31, constructed(0x30, primitive(0x06, [0x55, 4, 3]), value)))
    expect(commonNameOf(encode(name))).toBe(text)
  })

  test('is nothing where a name has none', () => {
    expect(commonNameOf(EMPTY_NAME)).toBeUndefined()
    expect(commonNameOf(new Uint8Array())).toBeUndefined()
    const organization = constructed(0x30, primitive(0x06, [0x55, 4, 10]), primitive(0x0c, [65]))
    expect(commonNameOf(encode(constructed(0x30, constructed(0x31, organization))))).toBeUndefined()
  })

  test('of a name by another hand is the same', () => {
    expect(commonNameOf(encode(aName('issuing')))).toBe('issuing')
  })
})
