import { describe, expect, test } from 'vitest'
import {
  bitString,
  boolean,
  checkDer,
  childrenOf,
  expectTag,
  generalizedTime,
  longSequence,
  namedBits,
  octetString,
  oid,
  readDer,
  sequence,
  set,
  TAG,
  time,
  tlv,
  unsignedInteger,
  utf8String,
} from '../../src/x509/der.ts'
import {
  asciiOf,
  bitStringBytesOf,
  booleanOf,
  integerBytesOf,
  namedBitsOf,
  oidOf,
  smallIntegerOf,
  timeOf,
} from '../../src/x509/der-values.ts'

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
const refusal = (why: string) =>
  expect.objectContaining({ code: 'invalid_argument', message: `not DER as expected: ${why}` })

describe('checkDer refuses', () => {
  test.each([
    ['nothing at all', '', 'ends within a header'],
    ['a tag alone', '30', 'ends within a header'],
    ['a length that is cut off', '3082 01', 'ends within a header'],
    ['content that is cut off', '0402 00', 'a length beyond the end'],
    ['a child longer than what it is in', '3003 0402 00', 'a length beyond the end'],
    ['a length of 4 GiB', '3084 ffffffff', 'a length beyond the end'],
    ['a byte after the end', '3000 00', 'bytes after the end of the value'],
    ['a value after the end', '0500 0500', 'bytes after the end of the value'],
    ['an indefinite length', '3080 0000', 'an indefinite length (BER)'],
    ['an indefinite length within', '3004 3080 0000', 'an indefinite length (BER)'],
    ['a length of five bytes', '3085 0000000000', 'a length of more than four bytes'],
    ['a length whose first byte is reserved', '30ff 00', 'a length of more than four bytes'],
    ['a long length that fits into a short one', '0481 01 00', 'a length that is not minimal (BER)'],
    ['127 written as a long length', `0481 7f ${'00'.repeat(127)}`, 'a length that is not minimal (BER)'],
    ['a length with a leading zero', `0482 0080 ${'00'.repeat(128)}`, 'a length that is not minimal (BER)'],
    ['a zero length written long', '0481 00', 'a length that is not minimal (BER)'],
    ['an end-of-contents marker', '0000', 'an end-of-contents marker (BER)'],
    ['an end-of-contents marker within', '3002 0000', 'an end-of-contents marker (BER)'],
    ['a tag above 30', '1f1f 00', 'a tag above 30'],
    ['a context tag above 30', 'bf8100 00', 'a tag above 30'],
    ['an OCTET STRING in pieces', '2406 0401 61 0401 62', 'a string in pieces (BER)'],
    ['a BIT STRING in pieces', '2304 0302 0061', 'a string in pieces (BER)'],
    ['a UTF8String in pieces', '2c03 0c01 61', 'a string in pieces (BER)'],
    ['an INTEGER in pieces', '2203 0201 01', 'a string in pieces (BER)'],
    ['a SEQUENCE without the constructed bit', '1000', 'a SEQUENCE or SET is constructed'],
    ['a SET without the constructed bit', '1100', 'a SEQUENCE or SET is constructed'],
    ['an empty BOOLEAN', '0100', 'a BOOLEAN is 00 or FF'],
    ['a BOOLEAN of two bytes', '0102 ffff', 'a BOOLEAN is 00 or FF'],
    ['a true BOOLEAN that is not FF', '0101 01', 'a BOOLEAN is 00 or FF'],
    ['an empty INTEGER', '0200', 'an empty INTEGER'],
    ['an INTEGER with a leading zero', '0202 007f', 'an INTEGER that is not minimal (BER)'],
    ['an INTEGER with leading ones', '0202 ff80', 'an INTEGER that is not minimal (BER)'],
    ['a BIT STRING without its count of unused bits', '0300', 'a malformed BIT STRING'],
    ['a BIT STRING with eight unused bits', '0302 0800', 'a malformed BIT STRING'],
    ['a BIT STRING with unused bits of nothing', '0301 01', 'a malformed BIT STRING'],
    ['a BIT STRING with a padding bit set', '0302 0101', 'a BIT STRING with padding bits set'],
    ['a NULL with content', '0501 00', 'a NULL is empty'],
    ['an empty OBJECT IDENTIFIER', '0600', 'an OBJECT IDENTIFIER of no sensible length'],
    ['an OBJECT IDENTIFIER of 65 bytes', `0641 ${'01'.repeat(65)}`, 'an OBJECT IDENTIFIER of no sensible length'],
    ['an OBJECT IDENTIFIER that ends within an arc', '0602 2a80', 'an OBJECT IDENTIFIER that ends within an arc'],
    ['a first arc with a leading zero', '0603 802a03', 'an OBJECT IDENTIFIER that is not minimal (BER)'],
    ['a later arc with a leading zero', '0603 2a8001', 'an OBJECT IDENTIFIER that is not minimal (BER)'],
    ['an ENUMERATED with a leading zero', '0a02 0001', 'an INTEGER that is not minimal (BER)'],
  ])('%s', (_, hex, why) => {
    expect(() => checkDer(bytes(hex))).toThrow(refusal(why))
  })
})

describe('checkDer takes', () => {
  test.each([
    ['an empty SEQUENCE', '3000'],
    ['an empty SET', '3100'],
    ['an empty OCTET STRING', '0400'],
    ['an empty BIT STRING', '0301 00'],
    ['zero', '0201 00'],
    ['minus one', '0201 ff'],
    ['128, which needs its leading zero', '0202 0080'],
    ['-129, which needs its leading ones', '0202 ff7f'],
    ['both BOOLEANs', '3006 010100 0101ff'],
    ['a context tag with content', 'a003 020102'],
    ['a primitive context tag with any bytes', '8203 1f8000'],
    ['a tag of 30', '9e00'],
    ['a length of 127', `047f ${'00'.repeat(127)}`],
    ['a length of 128', `0481 80 ${'00'.repeat(128)}`],
    ['a length of 256', `0482 0100 ${'00'.repeat(256)}`],
    ['an OBJECT IDENTIFIER of 64 bytes', `0640 ${'01'.repeat(64)}`],
    ['an arc that ends in a zero', '0603 2a8100'],
  ])('%s', (_, hex) => {
    expect(() => checkDer(bytes(hex))).not.toThrow()
  })
})

describe('depth', () => {
  const nested = (depth: number, tag = 0x30) => {
    let inner: Uint8Array = new Uint8Array()
    for (let n = 0; n < depth; n++) inner = tlv(tag, inner)
    return inner
  }

  test.each([
    ['SEQUENCEs', 0x30],
    ['context tags', 0xa0],
  ])('is taken to 16 and refused from 17 %s', (_, tag) => {
    expect(() => checkDer(nested(16, tag))).not.toThrow()
    expect(() => checkDer(nested(17, tag))).toThrow(refusal('nested deeper than 16'))
  })

  test('a value within the sixteenth counts', () => {
    const inner = sequence(unsignedInteger(Uint8Array.of(1)))
    let value = inner
    for (let n = 0; n < 14; n++) value = sequence(value)
    expect(() => checkDer(value)).not.toThrow()
    expect(() => checkDer(sequence(value))).toThrow(refusal('nested deeper than 16'))
  })

  test('64 KiB of nothing but headers are refused without running out of stack', () => {
    expect(() => checkDer(nested(15_000))).toThrow(refusal('nested deeper than 16'))
  })
})

describe('readDer', () => {
  test('gives exactly one value', () => {
    expect(readDer(bytes('0401 ab')).content).toEqual(bytes('ab'))
    expect(() => readDer(bytes('0401 ab 00'))).toThrow(refusal('bytes after the end of the value'))
  })

  test('refuses another tag than the one asked for, and nothing in its place', () => {
    expect(() => readDer(bytes('3000'), TAG.set)).toThrow(refusal('expected tag 0x31, found 0x30'))
    expect(() => expectTag(undefined, TAG.set)).toThrow(refusal('expected tag 0x31, found nothing'))
  })

  test('gives a value with its header and without, also in the midst of others', () => {
    const [, second] = childrenOf(readDer(bytes('3007 020101 0402 abcd')))
    expect(second?.bytes).toEqual(bytes('0402 abcd'))
    expect(second?.content).toEqual(bytes('abcd'))
    expect(second?.length).toBe(2)
  })

  test('a child cannot reach beyond what it is in', () => {
    const [outer] = childrenOf(readDer(bytes('3007 3003 040201 0500')))
    expect(() => childrenOf(outer as never)).toThrow(refusal('a length beyond the end'))
  })
})

describe('what a value says', () => {
  test.each([
    ['0603 551d11', '2.5.29.17'],
    ['0601 00', '0.0'],
    ['0601 27', '0.39'],
    ['0601 28', '1.0'],
    ['0601 4f', '1.39'],
    ['0601 50', '2.0'],
    ['0602 8837', '2.999'],
    ['0609 2b0601040181fd5901', '1.3.6.1.4.1.32473.1'],
    ['0608 2a81ffffffffff7f', `1.2.${2 ** 43 - 1}`],
    ['0609 2a8fffffffffffff7f', `1.2.${Number.MAX_SAFE_INTEGER}`],
  ])('%s is the OBJECT IDENTIFIER %s', (hex, dotted) => {
    expect(oidOf(readDer(bytes(hex)))).toBe(dotted)
  })

  test('an OBJECT IDENTIFIER with an arc of 2^53 is refused rather than rounded', () => {
    expect(() => oidOf(readDer(bytes('0609 2a9080808080808000')))).toThrow(
      refusal('an OBJECT IDENTIFIER with an arc beyond 2^53'),
    )
  })

  test('an OBJECT IDENTIFIER is checked even where the whole was not', () => {
    expect(() => oidOf(readDer(bytes('0602 2a80')))).toThrow(refusal('an OBJECT IDENTIFIER that ends within an arc'))
  })

  test('a BOOLEAN is true or false and nothing else', () => {
    expect(booleanOf(readDer(bytes('0101 ff')))).toBe(true)
    expect(booleanOf(readDer(bytes('0101 00')))).toBe(false)
    expect(() => booleanOf(readDer(bytes('0101 01')))).toThrow(refusal('a BOOLEAN is 00 or FF'))
    expect(() => booleanOf(readDer(bytes('0201 01')))).toThrow(refusal('expected tag 0x1, found 0x2'))
  })

  test('an INTEGER is its two’s complement bytes, if they are the fewest', () => {
    expect(integerBytesOf(readDer(bytes('0202 0080')))).toEqual(bytes('0080'))
    expect(() => integerBytesOf(readDer(bytes('0202 0001')))).toThrow(refusal('an INTEGER that is not minimal (BER)'))
  })

  test.each([
    ['0201 00', 0],
    ['0201 7f', 127],
    ['0202 0080', 128],
    ['0204 7fffffff', 2 ** 31 - 1],
  ])('%s is the small INTEGER %d', (hex, value) => {
    expect(smallIntegerOf(readDer(bytes(hex)))).toBe(value)
  })

  test.each(['0201 ff', '0205 0080000000', '0205 0100000000'])('%s is no small INTEGER', (hex) => {
    expect(() => smallIntegerOf(readDer(bytes(hex)))).toThrow(refusal('an INTEGER out of range'))
  })

  test('a BIT STRING of bytes has no unused bits', () => {
    expect(bitStringBytesOf(readDer(bytes('0303 00abcd')))).toEqual(bytes('abcd'))
    expect(bitStringBytesOf(readDer(bytes('0301 00')))).toEqual(bytes(''))
    expect(() => bitStringBytesOf(readDer(bytes('0302 0180')))).toThrow(
      refusal('a BIT STRING that is not of whole bytes'),
    )
    expect(() => bitStringBytesOf(readDer(bytes('0300')))).toThrow(refusal('a BIT STRING that is not of whole bytes'))
  })

  test('named bits are numbered from the left', () => {
    expect([...namedBitsOf(readDer(bytes('0302 05a0')))]).toEqual([0, 2])
    expect([...namedBitsOf(readDer(bytes('0302 0106')))]).toEqual([5, 6])
    expect([...namedBitsOf(readDer(bytes('0303 070080')))]).toEqual([8])
    expect([...namedBitsOf(readDer(bytes('0301 00')))]).toEqual([])
  })

  test('unused bits are no named bits', () => {
    expect(() => namedBitsOf(readDer(bytes('0302 05a1')))).toThrow(refusal('a BIT STRING with padding bits set'))
  })

  test('text is printable ASCII', () => {
    expect(asciiOf(readDer(bytes('8603 20417e')))).toBe(' A~')
    for (const hex of ['00', '0a', '1f', '7f', '80', 'e9', 'ff'])
      expect(() => asciiOf(readDer(bytes(`8602 41${hex}`)))).toThrow(refusal('text that is not printable ASCII'))
  })
})

describe('a time', () => {
  const ascii = (tag: number, text: string) => readDer(tlv(tag, Buffer.from(text, 'latin1')))
  const utc = (text: string) => timeOf(ascii(TAG.utcTime, text))
  const generalized = (text: string) => timeOf(ascii(TAG.generalizedTime, text))

  test.each([
    ['300101000000Z', '2030-01-01T00:00:00Z'],
    ['491231235959Z', '2049-12-31T23:59:59Z'],
    ['500101000000Z', '1950-01-01T00:00:00Z'],
    ['991231235959Z', '1999-12-31T23:59:59Z'],
    ['000229120000Z', '2000-02-29T12:00:00Z'],
  ])('UTCTime %s is %s (RFC 5280 §4.1.2.5.1)', (text, iso) => {
    expect(utc(text)).toEqual(new Date(iso))
  })

  test.each([
    ['20500101000000Z', '2050-01-01T00:00:00Z'],
    ['20300101000000Z', '2030-01-01T00:00:00Z'],
    ['99991231235959Z', '9999-12-31T23:59:59Z'],
    ['00500101000000Z', '0050-01-01T00:00:00Z'],
  ])('GeneralizedTime %s is %s', (text, iso) => {
    expect(generalized(text)).toEqual(new Date(iso))
  })

  test.each([
    ['without seconds', '3001010000Z'],
    ['without its Z', '300101000000'],
    ['with an offset', '300101000000+0100'],
    ['with a fraction', '300101000000.5Z'],
    ['with a small z', '300101000000z'],
    ['that is empty', ''],
  ])('UTCTime %s is refused', (_, text) => {
    expect(() => utc(text)).toThrow(refusal('a time that is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ'))
  })

  test.each([
    ['with a fraction', '20500101000000.0Z'],
    ['in the short form', '500101000000Z'],
    ['with an offset', '20500101000000+0000'],
    ['without seconds', '205001010000Z'],
  ])('GeneralizedTime %s is refused', (_, text) => {
    expect(() => generalized(text)).toThrow(refusal('a time that is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ'))
  })

  test.each(['30010100000 Z', '-00101000000Z', '3001010000:0Z', '30010100000/Z'])(
    'UTCTime %s, not all of digits, is refused',
    (text) => {
      expect(() => utc(text)).toThrow(refusal('a time with something else than digits'))
    },
  )

  test.each([
    '300001000000Z',
    '301301000000Z',
    '300100000000Z',
    '300132000000Z',
    '300229000000Z',
    '300431000000Z',
    '300101240000Z',
    '300101006000Z',
    '300101000060Z',
    '990229000000Z',
  ])('UTCTime %s, which never was, is refused', (text) => {
    expect(() => utc(text)).toThrow(refusal('a time that does not exist'))
  })

  test('is of one of two types', () => {
    expect(() => timeOf(ascii(TAG.utf8String, '300101000000Z'))).toThrow(refusal('expected a time'))
    expect(() => timeOf(undefined)).toThrow(refusal('expected a time'))
  })

  test.each([
    ['1950-01-01T00:00:00Z', '170d 3530303130313030303030305a'],
    ['2049-12-31T23:59:59Z', '170d 3439313233313233353935395a'],
    ['2050-01-01T00:00:00Z', '180f 32303530303130313030303030305a'],
    ['9999-12-31T23:59:59Z', '180f 39393939313233313233353935395a'],
  ])('%s is written as RFC 5280 §4.1.2.5 wants it', (iso, hex) => {
    expect(time(new Date(iso))).toEqual(bytes(hex))
  })

  test('with a fraction of a second is never written', () => {
    for (const write of [time, generalizedTime])
      expect(() => write(new Date('2030-01-01T00:00:00.001Z'))).toThrow(
        expect.objectContaining({ code: 'internal', message: expect.stringContaining('a fraction of a second') }),
      )
  })
})

describe('writers', () => {
  test.each([
    ['an empty SEQUENCE', sequence(), '3000'],
    ['a SET', set(boolean(true)), '3103 0101ff'],
    ['false', boolean(false), '0101 00'],
    ['an OCTET STRING in parts', octetString(Uint8Array.of(1), Uint8Array.of(2)), '0402 0102'],
    ['a BIT STRING', bitString(Uint8Array.of(0xab)), '0302 00ab'],
    ['a UTF8String', utf8String('é'), '0c02 c3a9'],
    ['zero', unsignedInteger(new Uint8Array()), '0201 00'],
    ['zero from many zeros', unsignedInteger(new Uint8Array(20)), '0201 00'],
    ['127', unsignedInteger(Uint8Array.of(0, 0, 127)), '0201 7f'],
    ['128 with the zero that keeps it positive', unsignedInteger(Uint8Array.of(128)), '0202 0080'],
    ['digitalSignature', namedBits(0), '0302 0780'],
    ['digitalSignature and keyEncipherment', namedBits(0, 2), '0302 05a0'],
    ['keyCertSign and cRLSign', namedBits(5, 6), '0302 0106'],
    ['a bit in the second byte', namedBits(8), '0303 070080'],
    ['subjectAltName', oid('2.5.29.17'), '0603 551d11'],
    ['an arc above 127 in second place', oid('2.999'), '0602 8837'],
    ['an arc above 2^31', oid(`1.2.${2 ** 42 - 1}`), '0607 2affffffffff7f'],
  ])('write %s', (_, written, hex) => {
    expect(Buffer.from(written)).toEqual(bytes(hex))
  })

  test.each([
    [127, '047f'],
    [128, '048180'],
    [255, '0481ff'],
    [256, '04820100'],
    [65_535, '0482ffff'],
  ])('write the shortest length of %d bytes', (length, header) => {
    const written = octetString(new Uint8Array(length))
    expect(Buffer.from(written.subarray(0, header.length / 2))).toEqual(bytes(header))
    expect(written).toHaveLength(header.length / 2 + length)
  })

  test.each([
    [65_535, '3082ffff'],
    [65_536, '3083010000'],
    [16_777_215, '3083ffffff'],
  ])('write the shortest length of a long list of %d bytes', (length, header) => {
    const written = longSequence([new Uint8Array(length - 2), Uint8Array.of(5, 0)])
    expect(Buffer.from(written.subarray(0, header.length / 2))).toEqual(bytes(header))
    expect(written).toHaveLength(header.length / 2 + length)
  })

  test('refuse a long list of 16 MiB', () => {
    expect(() => longSequence([new Uint8Array(16_777_216)])).toThrow(
      expect.objectContaining({ code: 'internal', message: 'a DER value of 16 MiB or more' }),
    )
  })

  test('refuse 64 KiB', () => {
    expect(() => octetString(new Uint8Array(65_536))).toThrow(
      expect.objectContaining({ code: 'internal', message: 'a DER value of 64 KiB or more' }),
    )
  })
})
