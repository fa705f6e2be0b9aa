import { expect, test } from 'vitest'
import { colonHex, equalBytes, hex, sha256Hex, shortId } from '../../src/core/bytes.ts'

test('writes the bytes of a view, not of what it is a view of', () => {
  expect(hex(Uint8Array.of(0, 1, 0xab, 0xff, 9).subarray(1, 4))).toBe('01abff')
})

test('bytes are equal by content and length', () => {
  expect(equalBytes(Uint8Array.of(1, 2), Buffer.from([1, 2]))).toBe(true)
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0))).toBe(false)
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
  expect(equalBytes(new Uint8Array(), new Uint8Array())).toBe(true)
})

test('hashes as FIPS 180-4 has it for “abc”', () => {
  const digest = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  expect(sha256Hex('abc')).toBe(digest)
  expect(sha256Hex(Uint8Array.of(97, 98, 99))).toBe(digest)
})

test('puts colons between the bytes of a serial number', () => {
  expect(colonHex('01abff')).toBe('01:ab:ff')
  expect(colonHex('01')).toBe('01')
  expect(colonHex('')).toBe('')
})

test('says an id by its first four bytes', () => {
  expect(shortId('3f9a21c4aabbccdd')).toBe('3f9a 21c4')
})
