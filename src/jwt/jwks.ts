import { constants, KeyObject, type SignKeyObjectInput, type VerifyKeyObjectInput } from 'node:crypto'
import type { CryptoKey, JWK } from 'jose'
import { importJWK } from 'jose/key/import'
import { CaError } from '../core/errors.ts'
import { asObject, type Json, parseStrictJson } from '../core/json.ts'

export type JwsAlgorithmName =
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA'

/**
 * Signature algorithms taken from a token (RFC 7518 §3.1, RFC 8037 §3.1): asymmetric ones only. `none` and HMAC have no row, so they don't
 * exist here.
 */
export type JwsAlgorithm = {
  readonly name: JwsAlgorithmName
  /** `kty`, and `crv` where the key type has curves. */
  readonly keyType: 'RSA' | 'EC' | 'OKP'
  readonly curve: string | undefined
  readonly digest: 'sha256' | 'sha384' | 'sha512' | null
  /** How node:crypto is told to verify. */
  readonly options: Omit<VerifyKeyObjectInput & SignKeyObjectInput, 'key'>
}

const PKCS1 = { padding: constants.RSA_PKCS1_PADDING }
const pss = (saltLength: number) => ({ padding: constants.RSA_PKCS1_PSS_PADDING, saltLength })
const RAW = { dsaEncoding: 'ieee-p1363' } as const

const ALGORITHMS: readonly JwsAlgorithm[] = [
  { name: 'RS256', keyType: 'RSA', curve: undefined, digest: 'sha256', options: PKCS1 },
  { name: 'RS384', keyType: 'RSA', curve: undefined, digest: 'sha384', options: PKCS1 },
  { name: 'RS512', keyType: 'RSA', curve: undefined, digest: 'sha512', options: PKCS1 },
  { name: 'PS256', keyType: 'RSA', curve: undefined, digest: 'sha256', options: pss(32) },
  { name: 'PS384', keyType: 'RSA', curve: undefined, digest: 'sha384', options: pss(48) },
  { name: 'PS512', keyType: 'RSA', curve: undefined, digest: 'sha512', options: pss(64) },
  { name: 'ES256', keyType: 'EC', curve: 'P-256', digest: 'sha256', options: RAW },
  { name: 'ES384', keyType: 'EC', curve: 'P-384', digest: 'sha384', options: RAW },
  { name: 'ES512', keyType: 'EC', curve: 'P-521', digest: 'sha512', options: RAW },
  { name: 'EdDSA', keyType: 'OKP', curve: 'Ed25519', digest: null, options: {} },
]

export function jwsAlgorithm(name: Json | undefined): JwsAlgorithm | undefined {
  return ALGORITHMS.find((algorithm) => algorithm.name === name)
}

export const MAX_JWKS_BYTES = 256 * 1024
const MAX_KEYS = 64
/** As for certificate keys. */
const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 8192
const MIN_RSA_EXPONENT = 65537n

type Entry = { readonly algorithms: readonly JwsAlgorithm[]; readonly key: KeyObject }

/** A JSON Web Key Set (RFC 7517) of public keys. Which algorithm a key may be used with is the key's to say, never the token's. */
export class Jwks {
  readonly #byId: ReadonlyMap<string, Entry>

  private constructor(byId: ReadonlyMap<string, Entry>) {
    this.#byId = byId
  }

  /**
   * Keys without a `kid`, of another use or of a kind not on the list are passed over, as RFC 7517 §5 says; two with the same `kid`
   * and a malformed one are refused.
   * @throws CaError `invalid_argument`
   */
  static async parse(text: string): Promise<Jwks> {
    if (text.length > MAX_JWKS_BYTES)
      throw new CaError('invalid_argument', `a key set of ${text.length} bytes; at most ${MAX_JWKS_BYTES}`)
    const keys = asObject(parseStrictJson(text))?.keys
    if (!Array.isArray(keys)) throw new CaError('invalid_argument', 'not a JSON Web Key Set: it has no list “keys”')
    if (keys.length > MAX_KEYS)
      throw new CaError('invalid_argument', `a key set of ${keys.length} keys; at most ${MAX_KEYS}`)
    const byId = new Map<string, Entry>()
    for (const key of keys) {
      const jwk = asObject(key)
      const kid = jwk?.kid
      if (!jwk || typeof kid !== 'string' || (jwk.use !== undefined && jwk.use !== 'sig')) continue
      const algorithms = ALGORITHMS.filter(
        (one) =>
          one.keyType === jwk.kty &&
          (one.curve === undefined || one.curve === jwk.crv) &&
          (jwk.alg === undefined || jwk.alg === one.name),
      )
      const [first] = algorithms
      if (!first) continue
      if (byId.has(kid))
        throw new CaError('invalid_argument', `a key set with the kid ${JSON.stringify(kid.slice(0, 64))} twice`)
      byId.set(kid, { algorithms, key: await imported(jwk, first) })
    }
    return new Jwks(byId)
  }

  get size(): number {
    return this.#byId.size
  }

  /** The key of that id, if it may be used with that algorithm. */
  find(kid: string, algorithm: JwsAlgorithm): KeyObject | 'unknown kid' | 'other algorithm' {
    const entry = this.#byId.get(kid)
    if (!entry) return 'unknown kid'
    return entry.algorithms.includes(algorithm) ? entry.key : 'other algorithm'
  }
}

async function imported(
  jwk: { readonly [key: string]: Json | undefined },
  algorithm: JwsAlgorithm,
): Promise<KeyObject> {
  // The public part alone, whatever else the set holds.
  const { kty, crv, x, y, n, e } = jwk
  const publicPart = Object.fromEntries(
    Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => typeof value === 'string'),
  ) as JWK
  let key: KeyObject
  try {
    key = KeyObject.from((await importJWK(publicPart, algorithm.name)) as CryptoKey)
  } catch (cause) {
    throw new CaError('invalid_argument', `a key set with a malformed ${algorithm.keyType} key`, { cause })
  }
  const { modulusLength = MIN_RSA_BITS, publicExponent = MIN_RSA_EXPONENT } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS)
    throw new CaError(
      'invalid_argument',
      `a key set with an RSA key of ${modulusLength} bits; taken are ${MIN_RSA_BITS} to ${MAX_RSA_BITS}`,
    )
  if (publicExponent < MIN_RSA_EXPONENT || publicExponent % 2n === 0n)
    throw new CaError(
      'invalid_argument',
      `a key set with an RSA key whose public exponent is even or below ${MIN_RSA_EXPONENT}`,
    )
  return key
}
