import { type CryptoKey, importJWK, type JWK } from 'jose'
import { CaError } from '../core/errors.ts'
import { asObject, type Json, parseStrictJson } from '../core/json.ts'

/** Signature algorithms (RFC 7518 §3.1) taken from a token: asymmetric ones only. `none` and HMAC have no row, so they don't exist here. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const
export type JwsAlgorithm = (typeof ALGORITHMS)[number]

export function jwsAlgorithm(name: Json | undefined): JwsAlgorithm | undefined {
  return ALGORITHMS.find((algorithm) => algorithm === name)
}

const BY_CURVE: ReadonlyMap<string, JwsAlgorithm> = new Map([
  ['P-256', 'ES256'],
  ['P-384', 'ES384'],
  ['P-521', 'ES512'],
  ['Ed25519', 'EdDSA'],
])

const MAX_JWKS_BYTES = 256 * 1024
const MAX_KEYS = 64

type Entry = {
  readonly algorithms: readonly JwsAlgorithm[]
  readonly jwk: JWK
  readonly imported: Map<JwsAlgorithm, Promise<CryptoKey>>
}

/** A JSON Web Key Set (RFC 7517) of public keys. Which algorithm a key may be used with is the key's to say, never the token's. */
export class Jwks {
  readonly #byId: ReadonlyMap<string, Entry>

  private constructor(byId: ReadonlyMap<string, Entry>) {
    this.#byId = byId
  }

  /**
   * Keys without a `kid`, of another use or of a kind not on the list are passed over, as RFC 7517 §5 says; two with the same `kid`
   * are refused.
   * @throws CaError `invalid_argument`
   */
  static parse(text: string): Jwks {
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
      const algorithms = algorithmsOf(jwk)
      if (algorithms.length === 0) continue
      if (byId.has(kid))
        throw new CaError('invalid_argument', `a key set with the kid ${JSON.stringify(kid.slice(0, 64))} twice`)
      byId.set(kid, { algorithms, jwk: publicPartOf(jwk), imported: new Map() })
    }
    return new Jwks(byId)
  }

  get size(): number {
    return this.#byId.size
  }

  /** The key of that id, if it may be used with that algorithm. */
  async find(kid: string, algorithm: JwsAlgorithm): Promise<CryptoKey | 'unknown kid' | 'other algorithm'> {
    const entry = this.#byId.get(kid)
    if (!entry) return 'unknown kid'
    if (!entry.algorithms.includes(algorithm)) return 'other algorithm'
    let key = entry.imported.get(algorithm)
    if (!key) {
      key = importJWK(entry.jwk, algorithm) as Promise<CryptoKey>
      entry.imported.set(algorithm, key)
    }
    return key
  }
}

function algorithmsOf(jwk: { readonly [key: string]: Json | undefined }): readonly JwsAlgorithm[] {
  const own = jwsAlgorithm(jwk.alg)
  const fitting =
    jwk.kty === 'RSA'
      ? ALGORITHMS.filter((name) => name.startsWith('RS') || name.startsWith('PS'))
      : [BY_CURVE.get(String(jwk.crv))].filter((name) => name !== undefined)
  if (jwk.alg === undefined) return jwk.kty === 'RSA' || jwk.kty === 'EC' || jwk.kty === 'OKP' ? fitting : []
  return own && fitting.includes(own) ? [own] : []
}

function publicPartOf(jwk: { readonly [key: string]: Json | undefined }): JWK {
  const { kty, crv, x, y, n, e } = jwk
  return Object.fromEntries(
    Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => typeof value === 'string'),
  ) as JWK
}
