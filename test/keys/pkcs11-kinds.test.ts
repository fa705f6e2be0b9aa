import { createPrivateKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ecdsaSignature } from '../../src/keys/pkcs11-kinds.ts'

describe('an ECDSA signature of a token, as certificates carry it', () => {
  test.each(['P-256', 'P-384', 'P-521'])('verifies: %s', (namedCurve) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
    // Of these, about half have a number that begins with a set bit, and some one that begins with zeros.
    for (let n = 0; n < 300; n++) {
      const text = Buffer.from(`text ${n}`)
      const raw = sign('sha256', text, {
        key: createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' })),
        dsaEncoding: 'ieee-p1363',
      })
      expect(verify('sha256', text, publicKey, ecdsaSignature(raw))).toBe(true)
    }
  })

  test('has each number in its shortest form, which is never negative', () => {
    const raw = (r: string, s: string) => ecdsaSignature(Buffer.from(r + s, 'hex'))
    expect(Buffer.from(raw('0001', '7f00')).toString('hex')).toBe('3007020101' + '02027f00')
    expect(Buffer.from(raw('00', '80')).toString('hex')).toBe('3007020100' + '02020080')
    expect(raw('ff'.repeat(66), 'ff'.repeat(66)).slice(0, 3)).toEqual(Buffer.from('30818a', 'hex'))
  })

  test('holds the two numbers it was made of', () => {
    const half = fc.uint8Array({ minLength: 32, maxLength: 32 })
    fc.assert(
      fc.property(half, half, (r, s) => {
        const der = ecdsaSignature(Buffer.concat([r, s]))
        expect(der[1]).toBe(der.length - 2)
        const end = 4 + (der[3] as number)
        const [first, second] = [der.subarray(4, end), der.subarray(end + 2)]
        expect(der[end + 1]).toBe(second.length)
        const number = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
        expect([number(first), number(second)]).toEqual([number(r), number(s)])
      }),
    )
  })
})
