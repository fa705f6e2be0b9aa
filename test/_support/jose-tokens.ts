import {
  CompactSign,
  compactVerify,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  type JSONWebKeySet,
  type JWK,
} from 'jose'
import { CaError } from '../../src/core/errors.ts'
import type { Jwks, JwsAlgorithmName } from '../../src/jwt/jwks.ts'
import { type Claims, readClaims, readToken, verifyToken } from '../../src/jwt/jws.ts'

export const ALGORITHM_NAMES: readonly JwsAlgorithmName[] = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA'] as const),
]

/** A key of jose's making that signs tokens, and the set in which its public half is published. */
export class JoseSigner {
  readonly alg: JwsAlgorithmName
  readonly jwk: JWK
  readonly #key: CryptoKey

  private constructor(alg: JwsAlgorithmName, jwk: JWK, key: CryptoKey) {
    this.alg = alg
    this.jwk = jwk
    this.#key = key
  }

  static async create(alg: JwsAlgorithmName): Promise<JoseSigner> {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
    const jwk = { ...(await exportJWK(publicKey)), kid: `key for ${alg}`, use: 'sig', alg }
    return new JoseSigner(alg, jwk, privateKey as CryptoKey)
  }

  get jwks(): JSONWebKeySet {
    return { keys: [this.jwk] }
  }

  /** `header` replaces or adds fields. */
  sign(payload: string | Uint8Array, header: Record<string, unknown> = {}): Promise<string> {
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload
    const fields = { alg: this.alg, kid: this.jwk.kid, ...header }
    return new CompactSign(bytes).setProtectedHeader(fields as { alg: string }).sign(this.#key)
  }
}

/** What our reader makes of a token: its claims, or why not. Anything but a CaError is a fault of ours. */
export async function read(token: string, jwks: Jwks): Promise<{ claims: Claims } | { refused: string }> {
  try {
    const unverified = readToken(token)
    const key = jwks.find(unverified.kid, unverified.algorithm)
    if (typeof key === 'string') return { refused: key }
    if (!verifyToken(unverified, key)) return { refused: 'bad signature' }
    return { claims: readClaims(unverified) }
  } catch (error) {
    if (error instanceof CaError && error.code === 'invalid_argument') return { refused: error.message }
    throw error
  }
}

/** Whether jose verifies it with that set, under the algorithms that we take. */
export async function joseTakes(token: string, jwks: JSONWebKeySet): Promise<boolean> {
  return await compactVerify(token, createLocalJWKSet(jwks), { algorithms: [...ALGORITHM_NAMES] }).then(
    () => true,
    () => false,
  )
}

/** Base64url that another reader may take but that is not what an encoder writes: stray characters, padding, bits that mean nothing. */
export function isCanonical(token: string): boolean {
  return token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part)
}
