import { describe, expect, test } from 'vitest'
import { certificatePem, crlPem, pem, readOnePem, readPem } from '../../src/x509/pem.ts'
import { openssl, testWithOpenssl } from '../_support/openssl-command.ts'

const LABELS = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST']
const LARGE = 64 * 1024
const der = Uint8Array.from({ length: 100 }, (_, n) => n)
const block = pem('CERTIFICATE REQUEST', der)
const body = block.split('\n').slice(1, -2).join('\n')

const refusal = (why: string) =>
  expect.objectContaining({ code: 'invalid_argument', message: `not PEM as expected: ${why}` })
const one = (text: string) => readOnePem(text, LABELS, LARGE)

describe('writing', () => {
  test('puts 64 characters on a line and ends with a line feed (RFC 7468 §3)', () => {
    const lines = block.split('\n')
    expect(lines.slice(1, 4).map((line) => line.length)).toEqual([64, 64, 8])
    expect([lines[0], lines[4], lines[5]]).toEqual([
      '-----BEGIN CERTIFICATE REQUEST-----',
      '-----END CERTIFICATE REQUEST-----',
      '',
    ])
  })

  testWithOpenssl('gives what OpenSSL reads', () => {
    const text = openssl(['asn1parse', '-inform', 'PEM'], pem('X', Uint8Array.of(0x30, 3, 2, 1, 7)))
    expect(text).toContain('INTEGER           :07')
  })

  test('labels a certificate', () => {
    expect(certificatePem(der)).toBe(pem('CERTIFICATE', der))
  })

  test('labels a CRL (RFC 7468 §6)', () => {
    expect(crlPem(der)).toBe(pem('X509 CRL', der))
  })
})

describe('one block', () => {
  test('is read', () => {
    expect(one(block)).toEqual(Buffer.from(der))
  })

  test.each([
    ['with CRLF at its ends of lines', block.replaceAll('\n', '\r\n')],
    ['without the last end of line', block.trimEnd()],
    ['with blank lines around it', `\n \n\t\n${block}\n\r\n \n`],
    ['with blanks at its ends of lines', block.replaceAll('\n', '  \n')],
    [
      'with its base64 on one line',
      `-----BEGIN CERTIFICATE REQUEST-----\n${body.replaceAll('\n', '')}\n-----END CERTIFICATE REQUEST-----\n`,
    ],
    ['under its older label', pem('NEW CERTIFICATE REQUEST', der)],
  ])('is read %s', (_, text) => {
    expect(one(text)).toEqual(Buffer.from(der))
  })

  test.each([
    ['nothing', '', 'no PEM block; expected “CERTIFICATE REQUEST” or “NEW CERTIFICATE REQUEST”'],
    ['white space alone', ' \r\n\n', 'no PEM block; expected “CERTIFICATE REQUEST” or “NEW CERTIFICATE REQUEST”'],
    ['no PEM', 'hello', 'text outside the PEM block'],
    ['DER', Buffer.from(der).toString('latin1'), 'text outside the PEM block'],
    ['two blocks', block + block, '2 PEM blocks; expected one'],
    ['three blocks', block + block + block, '3 PEM blocks; expected one'],
    ['text before it', `a comment\n${block}`, 'text outside the PEM block'],
    ['text after it', `${block}a comment\n`, 'text outside the PEM block'],
    ['text before it on its line', `x${block}`, 'text outside the PEM block'],
    ['a blank before it', ` ${block}`, 'text outside the PEM block'],
    ['a byte order mark before it', `\ufeff${block}`, 'text outside the PEM block'],
    ['a NUL after it', `${block}\0`, 'text outside the PEM block'],
    ['text after its end on the line', block.replace('QUEST-----\n', 'QUEST-----x\n'), 'text outside the PEM block'],
    [
      'another label',
      pem('CERTIFICATE', der),
      'a PEM block “CERTIFICATE”; expected “CERTIFICATE REQUEST” or “NEW CERTIFICATE REQUEST”',
    ],
    [
      'a private key',
      pem('PRIVATE KEY', der),
      'a PEM block “PRIVATE KEY”; expected “CERTIFICATE REQUEST” or “NEW CERTIFICATE REQUEST”',
    ],
    ['a label in small letters', block.replaceAll('REQUEST', 'request'), 'text outside the PEM block'],
    ['a label of 41 characters', pem('A'.repeat(41), der), 'text outside the PEM block'],
    ['four dashes', block.replace('-----BEGIN', '----BEGIN'), 'text outside the PEM block'],
    ['no end', block.slice(0, block.indexOf('-----END')), 'a PEM block “CERTIFICATE REQUEST” without its end'],
    [
      'an end of another label',
      block.replace('-----END CERTIFICATE REQUEST', '-----END CERTIFICATE'),
      'a PEM block with a header or without its end',
    ],
    [
      'a block begun within',
      block.replace(/\n/, '\n-----BEGIN X-----\n'),
      'a PEM block with a header or without its end',
    ],
    ['a header', block.replace(/\n/, '\nProc-Type: 4,ENCRYPTED\n\n'), 'a PEM block with a header or without its end'],
    ['nothing within', pem('CERTIFICATE REQUEST', new Uint8Array()), 'a PEM block that is not base64'],
    ['another alphabet', withBody('-_-_'), 'a PEM block that is not base64'],
    ['a character of no alphabet', withBody('AAA*'), 'a PEM block that is not base64'],
    ['no padding', withBody('AA'), 'a PEM block that is not base64'],
    ['too much padding', withBody('AAAA===='), 'a PEM block that is not base64'],
    ['padding in the middle', withBody('AA==AAAA'), 'a PEM block that is not base64'],
    ['bits in the padding', withBody('AB=='), 'a PEM block that is not base64'],
    ['a blank within a line', withBody('AA AA'), 'a PEM block that is not base64'],
    ['a blank before a line', withBody(' AAAA'), 'a PEM block that is not base64'],
    ['a carriage return within a line', withBody('AA\rAA'), 'a PEM block that is not base64'],
  ])('is refused with %s', (_, text, why) => {
    expect(() => one(text)).toThrow(refusal(why))
  })
})

describe('size', () => {
  test('is taken to the limit and refused one above it', () => {
    const text = `${block}${' '.repeat(1000 - block.length)}`
    expect(readOnePem(text, LABELS, 1000)).toEqual(Buffer.from(der))
    expect(() => readOnePem(`${text} `, LABELS, 1000)).toThrow(refusal('1001 bytes; at most 1000'))
  })

  test('of 100 blocks is taken, 101 are refused', () => {
    expect(readPem(block.repeat(100), 1e6, 'text')).toHaveLength(100)
    expect(() => readPem(block.repeat(101), 1e6, 'text')).toThrow(refusal('more than 100 PEM blocks'))
  })
})

describe('a bundle', () => {
  test('may have text between its blocks and keeps their order', () => {
    const text = `# the first\n${pem('CERTIFICATE', der)}# O = x: the second\n${pem('X', Uint8Array.of(1))}\nend\n`
    expect(readPem(text, LARGE, 'text')).toEqual([
      { label: 'CERTIFICATE', der: Buffer.from(der) },
      { label: 'X', der: Buffer.from([1]) },
    ])
  })

  test('may be empty', () => {
    expect(readPem('nothing here\n', LARGE, 'text')).toEqual([])
  })

  test('has no text between its blocks where none is allowed', () => {
    expect(() => readPem(`${block}x\n${block}`, LARGE, 'nothing else')).toThrow(refusal('text outside the PEM block'))
  })

  test.each([
    ['by a dash', '-----BEGIN', '----BEGIN'],
    ['by a byte order mark', '-----BEGIN', '\ufeff-----BEGIN'],
    ['by a blank', '-----BEGIN', ' -----BEGIN'],
    ['in its label', 'BEGIN CERTIFICATE', 'BEGIN certificate'],
    ['by the loss of its beginning', '-----BEGIN CERTIFICATE-----', ''],
  ])('is refused when a block in it was damaged %s, rather than read without that block', (_, from, to) => {
    const damaged = pem('CERTIFICATE', der).replace(from, to)
    expect(() => readPem(pem('CERTIFICATE', Uint8Array.of(1)) + damaged, LARGE, 'text')).toThrow(
      refusal('a damaged line that begins or ends a block'),
    )
  })

  test.each([
    ['a block that is commented out', pem('CERTIFICATE', der).replaceAll(/^(?=.)/gm, '# ')],
    ['a name with END in it', 'Subject: CN = FRONT-END CA\n'],
    ['a line of dashes', '----------------\n'],
  ])('may have %s in its text', (_, text) => {
    expect(readPem(text + pem('X', der) + text, LARGE, 'text')).toHaveLength(1)
  })
})

/** Each would take hours where time grows with the square of the size; the limit is a hundred times what it takes. */
describe('a megabyte is read in linear time', () => {
  const size = 1024 * 1024
  test.each([
    ['of dashes', '-'.repeat(size)],
    ['of beginnings', '-----BEGIN A-----\n'.repeat(size / 18)],
    ['of unfinished beginnings', '-----BEGIN '.repeat(size / 11)],
    ['of a long label', `-----BEGIN ${'A '.repeat(size / 2)}`],
    ['of ends', '-----END A-----\n'.repeat(size / 16)],
    ['of line feeds', '\n'.repeat(size)],
    ['of carriage returns', '\r'.repeat(size)],
    ['of blanks', ' '.repeat(size)],
    ['of lines of one character', `-----BEGIN A-----\n${'A\n'.repeat(size / 2)}-----END A-----\n`],
    ['of blank lines in a block', `-----BEGIN A-----\n${' \n'.repeat(size / 2)}-----END A-----\n`],
    ['of one line', `-----BEGIN A-----\n${'A'.repeat(size)}\n-----END A-----\n`],
    ['of padding', `-----BEGIN A-----\n${'='.repeat(size)}\n-----END A-----\n`],
  ])('%s', (_, text) => {
    const before = performance.now()
    for (const around of ['text', 'nothing else'] as const)
      try {
        readPem(text, 2 * size, around)
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid_argument' })
      }
    expect(performance.now() - before).toBeLessThan(2000)
  })
})

function withBody(base64: string): string {
  return `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`
}
