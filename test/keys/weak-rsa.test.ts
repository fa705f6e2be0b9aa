import { checkPrimeSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { weaknessOf } from '../../src/keys/weak-rsa.ts'
import { anHonestModulus, bitsFrom, fermatModulus, rocaModulus, withFactor } from '../_support/moduli.ts'

test.each([2048, 3072, 4096, 8192])('finds nothing wrong with an honest modulus of %d bits', (bits) => {
  expect(weaknessOf(anHonestModulus(bits))).toBeUndefined()
})

describe('an even modulus', () => {
  test('is refused', () => {
    expect(weaknessOf(anHonestModulus(2048) + 1n)).toBe('an even modulus')
  })
})

describe('a small factor', () => {
  test.each([3n, 5n, 7n, 373n, 743n, 751n])('of %d is found', (prime) => {
    expect(weaknessOf(withFactor(prime, 2048))).toBe(`a modulus with the small factor ${prime}`)
  })

  test('of 757 is not looked for, the first prime beyond those of Boulder’s list', () => {
    expect(weaknessOf(withFactor(757n, 2048))).toBeUndefined()
  })

  test('is named by the smallest', () => {
    expect(weaknessOf(withFactor(3n, 2048) * 5n * 7n)).toBe('a modulus with the small factor 3')
  })
})

describe('the structure of a ROCA modulus', () => {
  const modulus = rocaModulus(2048)

  test('is found', () => {
    expect(weaknessOf(modulus)).toBe('a modulus made by a broken generator (ROCA, CVE-2017-15361)')
  })

  test('is not seen in any of fifty honest moduli', () => {
    for (let n = 0; n < 50; n++) expect(weaknessOf(anHonestModulus(2048, `other ${n}`))).toBeUndefined()
  })
})

describe('close primes', () => {
  const close = 'a modulus whose two primes are close together (Fermat, CVE-2022-26320)'

  test('are found when they are neighbours', () => {
    const p = nextPrime(bitsFrom('p', 1024))
    expect(weaknessOf(p * nextPrime(p + 2n))).toBe(close)
  })

  test('are found when they are the same', () => {
    const p = nextPrime(bitsFrom('p', 1024))
    expect(weaknessOf(p * p)).toBe(close)
  })

  test.each([1, 2, 50, 100, 109, 110])('are found in round %d', (round) => {
    expect(weaknessOf(fermatModulus(2048, round))).toBe(close)
  })

  test('are not looked for beyond round 110, as in Boulder', () => {
    expect(weaknessOf(fermatModulus(2048, 111))).toBeUndefined()
  })

  test.each([3072, 4096])('are found among %d bits', (bits) => {
    expect(weaknessOf(fermatModulus(bits, 7))).toBe(close)
  })
})

test('costs a few milliseconds for the largest modulus: nobody can keep the server busy with one', () => {
  const modulus = anHonestModulus(8192)
  const before = performance.now()
  for (let n = 0; n < 10; n++) weaknessOf(modulus)
  expect((performance.now() - before) / 10).toBeLessThan(100)
})

function nextPrime(from: bigint): bigint {
  for (let candidate = from | 1n; ; candidate += 2n) if (checkPrimeSync(candidate)) return candidate
}
