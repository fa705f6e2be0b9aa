import { checkPrimeSync, createHash } from 'node:crypto'

/**
 * RSA moduli for checks that look at nothing but the number. Most are no product of two primes, which nobody can see; all come from `seed`, so
 * that a failure comes again.
 */
export function anHonestModulus(bits: number, seed = 'honest'): bigint {
  let modulus = bitsFrom(seed, bits) | 1n
  while (hasSmallFactor(modulus)) modulus += 2n
  return modulus
}

/** A product with exactly this small factor and no smaller one. */
export function withFactor(prime: bigint, bits: number): bigint {
  const length = bits - prime.toString(2).length + 1
  let cofactor = anHonestModulus(length, `cofactor of ${prime}`)
  while ((prime * cofactor).toString(2).length > bits) cofactor = anHonestModulus(length - 1, `shorter, of ${prime}`)
  return prime * cofactor
}

/** a² - b², which Fermat's method takes apart in its round number `round`, counted from 1. */
export function fermatModulus(bits: number, round: number): bigint {
  for (let attempt = 0; ; attempt++) {
    const a = bitsFrom(`fermat ${attempt}`, bits / 2 + 1) / 2n
    // Round r looks at ⌈√n⌉ + r - 1, which is a where (2r - 2)·a ≤ b² < 2r·a, but for terms too small to matter in the middle.
    const b = squareRoot(BigInt(2 * round - 1) * a)
    if ((a + b) % 2n === 0n || hasSmallFactor((a - b) * (a + b))) continue
    const modulus = (a - b) * (a + b)
    if (modulus.toString(2).length === bits) return modulus
  }
}

/** Two primes of Infineon's generator: k·M + 65537^a mod M, where M is the product of the first 39 primes (CVE-2017-15361). */
export function rocaModulus(bits: number): bigint {
  for (let attempt = 0; ; attempt++) {
    const modulus = rocaPrime(bits / 2, `p ${attempt}`) * rocaPrime(bits / 2, `q ${attempt}`)
    if (modulus.toString(2).length === bits) return modulus
  }
}

function rocaPrime(bits: number, seed: string): bigint {
  const m = primesBelow(168).reduce((product, prime) => product * BigInt(prime), 1n)
  const residue = power(65537n, bitsFrom(`exponent ${seed}`, 64), m)
  for (let k = bitsFrom(`factor ${seed}`, bits) / m; ; k++) if (checkPrimeSync(k * m + residue)) return k * m + residue
}

/** Pseudo-random with the top two bits set. */
export function bitsFrom(seed: string, bits: number): bigint {
  const bytes = createHash('shake256', { outputLength: Math.ceil(bits / 8) })
    .update(seed)
    .digest('hex')
  const value = BigInt(`0x${bytes}`) & ((1n << BigInt(bits)) - 1n)
  return value | (3n << BigInt(bits - 2))
}

const SMALL = primesBelow(800).map(BigInt)
const hasSmallFactor = (value: bigint): boolean => SMALL.some((prime) => value % prime === 0n)

function primesBelow(limit: number): number[] {
  return Array.from({ length: limit }, (_, n) => n).filter((n) => n > 1 && !/^(11+?)\1+$/.test('1'.repeat(n)))
}

export function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let [result, square] = [1n, base % modulus]
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % modulus
    square = (square * square) % modulus
  }
  return result
}

export function squareRoot(value: bigint): bigint {
  let [low, high] = [0n, 1n << BigInt((value.toString(2).length / 2 + 1) | 0)]
  while (high - low > 1n) {
    const middle = (low + high) >> 1n
    if (middle * middle <= value) low = middle
    else high = middle
  }
  return low
}
