import { describe, expect, test } from 'vitest'
import { type Lineage, readLineage, writeLineage } from '../../src/x509/lineage.ts'
import { generalizedTime, utcTime } from '../_support/a-tbs.ts'
import { dumpDer } from '../_support/der-dump.ts'
import { constructed, encode, primitive, type Tree } from '../_support/der-tree.ts'
import { expectGolden } from '../_support/golden.ts'

const lineage: Lineage = {
  podName: 'cart-6d4cf56db6-x2x7z',
  podUid: '8f14e45f-ceea-467f-a8d0-5b0f9e6c2d11',
  serviceAccountUid: 'c9f0f895-fb98-4b7a-9c5d-1e2f3a4b5c6d',
  renewableUntil: new Date('2030-01-03T00:00:00Z'),
}

const text = (value: string) => primitive(0x0c, Buffer.from(value))
const sound = [primitive(0x02, [1]), text('cart-0'), text('pod'), text('account'), generalizedTime('20300103000000Z')]
const without = (index: number) => sound.filter((_, at) => at !== index)
const withField = (index: number, field: Tree) => sound.with(index, field)
const value = (fields: readonly Tree[]) => encode(constructed(0x30, ...fields))

test('has this form', () => {
  expectGolden('lineage.txt', dumpDer(writeLineage(lineage)))
})

test('is read back as it was written', () => {
  expect(readLineage(writeLineage(lineage))).toEqual(lineage)
})

test('is read from the hand of another', () => {
  expect(readLineage(value(sound))).toEqual({
    podName: 'cart-0',
    podUid: 'pod',
    serviceAccountUid: 'account',
    renewableUntil: new Date('2030-01-03T00:00:00Z'),
  })
})

describe('is refused when read', () => {
  const notDer = (why: string) => `not DER as expected: ${why}`
  const version = 'a lineage of another version'
  const names = (max: number) => `a lineage holds names of 1 to ${max} printable characters`

  test.each([
    ['empty', Buffer.alloc(0), notDer('ends within a header')],
    ['with bytes after it', Buffer.concat([value(sound), Buffer.of(0)]), notDer('bytes after the end of the value')],
    ['of version 0', value(withField(0, primitive(0x02, [0]))), version],
    ['of version 2', value(withField(0, primitive(0x02, [2]))), version],
    ['with a field more', value([...sound, text('x')]), version],
    ['without its version', value(without(0)), notDer('expected tag 0x2, found 0xc')],
    ['without its time', value(without(4)), notDer('expected tag 0x18, found nothing')],
    ['without a name', value(without(1)), notDer('expected tag 0xc, found 0x18')],
    ['as a SET', encode(constructed(0x31, ...sound)), notDer('expected tag 0x30, found 0x31')],
    ['with a PrintableString', value(withField(1, primitive(0x13, [65]))), notDer('expected tag 0xc, found 0x13')],
    ['with UTCTime', value(withField(4, utcTime('300103000000Z'))), notDer('expected tag 0x18, found 0x17')],
    [
      'with a time in fractions',
      value(withField(4, generalizedTime('20300103000000.5Z'))),
      notDer('a time that is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ'),
    ],
    ['with an empty pod name', value(withField(1, text(''))), names(253)],
    ['with a pod name of 254 bytes', value(withField(1, text('a'.repeat(254)))), names(253)],
    ['with an empty pod UID', value(withField(2, text(''))), names(64)],
    ['with a pod UID of 65 bytes', value(withField(2, text('a'.repeat(65)))), names(64)],
    ['with an account UID of 65 bytes', value(withField(3, text('a'.repeat(65)))), names(64)],
    ['with a blank', value(withField(1, text('cart 0'))), names(253)],
    ['with a line feed at the end', value(withField(1, text('cart-0\n'))), names(253)],
    ['with a NUL', value(withField(2, text('pod\0'))), names(64)],
    ['with a letter beyond ASCII', value(withField(1, text('café'))), names(253)],
    [
      'with a version that is not minimal',
      Buffer.from('30070202000113 0141'.replaceAll(' ', ''), 'hex'),
      notDer('an INTEGER that is not minimal (BER)'),
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => readLineage(bytes)).toThrow(expect.objectContaining({ code: 'invalid_argument', message }))
  })

  test('in no form but its own: every cut of it is refused', () => {
    const whole = writeLineage(lineage)
    for (let length = 0; length < whole.length; length++)
      expect(() => readLineage(whole.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'invalid_argument' }),
      )
  })
})

describe('is not written', () => {
  test.each([
    ['with an empty pod name', { podName: '' }],
    ['with a pod name of 254 characters', { podName: 'a'.repeat(254) }],
    ['with a pod UID of 65 characters', { podUid: 'a'.repeat(65) }],
    ['with an account UID of 65 characters', { serviceAccountUid: 'a'.repeat(65) }],
    ['with a blank', { podUid: 'a b' }],
    ['with a letter beyond ASCII', { podName: 'café' }],
  ])('%s', (_, change) => {
    expect(() => writeLineage({ ...lineage, ...change })).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining('a lineage holds names') }),
    )
  })

  test('with a fraction of a second', () => {
    expect(() => writeLineage({ ...lineage, renewableUntil: new Date('2030-01-03T00:00:00.5Z') })).toThrow(
      expect.objectContaining({ code: 'internal' }),
    )
  })

  test('but is with the longest names', () => {
    const longest = { ...lineage, podName: 'a'.repeat(253), podUid: 'b'.repeat(64), serviceAccountUid: 'c'.repeat(64) }
    expect(readLineage(writeLineage(longest))).toEqual(longest)
  })
})
