/**
 * What makes an RSA modulus weak although it is long enough. Each check knows a published failure; together they cost about a
 * millisecond for 2048 bits, paid only by callers that bring RSA keys.
 */
export function weaknessOf(modulus: bigint): string | undefined {
  if (modulus % 2n === 0n) return 'an even modulus'
  for (const prime of SMALL_PRIMES) if (modulus % prime === 0n) return `a modulus with the small factor ${prime}`
  if (looksLikeRoca(modulus)) return 'a modulus made by a broken generator (ROCA, CVE-2017-15361)'
  if (hasClosePrimes(modulus)) return 'a modulus whose two primes are close together (Fermat, CVE-2022-26320)'
  return undefined
}

/** The odd primes below 752, as Boulder's goodkey tests them. */
const SMALL_PRIMES = primesBelow(752).slice(1).map(BigInt)

/**
 * Infineon's generator made primes of the form k·M + 65537^a mod M: modulo each small prime the modulus is a power of 65537. An
 * honest modulus passes all of these with a chance of about 2^-27.
 */
const ROCA_GROUPS: readonly (readonly [bigint, ReadonlySet<bigint>])[] = [
  11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
].map((p) => {
  const powers = new Set<bigint>()
  for (let power = 1; !powers.has(BigInt(power)); power = (power * 65537) % p) powers.add(BigInt(power))
  return [BigInt(p), powers]
})

function looksLikeRoca(modulus: bigint): boolean {
  return ROCA_GROUPS.every(([prime, powers]) => powers.has(modulus % prime))
}

/** CA/Browser Forum asks for 100 rounds of Fermat's method; Boulder runs 110. */
const FERMAT_ROUNDS = 110n

function hasClosePrimes(modulus: bigint): boolean {
  const root = squareRoot(modulus)
  const first = root * root === modulus ? root : root + 1n
  for (let a = first; a < first + FERMAT_ROUNDS; a++) if (isSquare(a * a - modulus)) return true
  return false
}

function isSquare(value: bigint): boolean {
  // A square is one of twelve residues modulo 64: this spares most of the roots.
  if (!SQUARES_MOD_64.has(value & 63n)) return false
  const root = squareRoot(value)
  return root * root === value
}

const SQUARES_MOD_64: ReadonlySet<bigint> = new Set(Array.from({ length: 64 }, (_, n) => BigInt((n * n) % 64)))

/** The integer part of the square root, by Newton's method from above. */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value
  let root = 1n << BigInt(((value.toString(16).length * 4 + 1) / 2 + 1) | 0)
  for (;;) {
    const next = (root + value / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

function primesBelow(limit: number): number[] {
  const primes: number[] = []
  for (let n = 2; n < limit; n++) if (primes.every((p) => n % p !== 0)) primes.push(n)
  return primes
}
