import { type CryptoKey, compactVerify, errors } from 'jose'
import { CaError } from '../core/errors.ts'
import { asObject, type Json, parseStrictJson } from '../core/json.ts'
import { type JwsAlgorithm, jwsAlgorithm } from './jwks.ts'

export const MAX_TOKEN_BYTES = 16 * 1024

/** A signed token in the compact form (RFC 7515 §7.1) before its signature was checked. Nothing in it may be believed. */
export type UnverifiedToken = {
  readonly text: string
  readonly algorithm: JwsAlgorithm
  readonly kid: string
}

export type Claims = { readonly [name: string]: Json | undefined }

const HEADER_FIELDS: ReadonlySet<string> = new Set(['alg', 'kid', 'typ'])

/**
 * Takes a token apart far enough to choose a key: three parts, at most 16 KiB, a header with nothing but `alg`, `kid` and `typ`
 * (so none that names its own key: `jwk`, `jku`, `x5u`, `x5c`; none that asks for something extra: `crit`).
 * @throws CaError `invalid_argument`: what exactly is wrong, for the log alone
 */
export function readToken(text: string): UnverifiedToken {
  if (text.length > MAX_TOKEN_BYTES)
    throw new CaError('invalid_argument', `a token of ${text.length} bytes; at most ${MAX_TOKEN_BYTES}`)
  const [header, payload, signature, ...more] = text.split('.', 5)
  if (!header || !payload || !signature || more.length > 0)
    throw new CaError('invalid_argument', 'a token that is not three parts with dots between')
  const fields = asObject(decodeJson(header))
  if (!fields) throw new CaError('invalid_argument', 'a token whose header is not an object')
  for (const field of Object.keys(fields))
    if (!HEADER_FIELDS.has(field))
      throw new CaError(
        'invalid_argument',
        `a token with the header field ${JSON.stringify(field.slice(0, 64))}; only alg, kid and typ are taken`,
      )
  const { typ, kid } = fields
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE')
    throw new CaError('invalid_argument', 'a token of a type other than JWT')
  const algorithm = jwsAlgorithm(fields.alg)
  if (!algorithm)
    throw new CaError(
      'invalid_argument',
      `a token signed with ${JSON.stringify(fields.alg ?? null)}; taken are asymmetric signatures only`,
    )
  if (typeof kid !== 'string' || kid === '') throw new CaError('invalid_argument', 'a token without a key id (kid)')
  return { text, algorithm, kid }
}

/**
 * The payload of a token whose signature verifies with `key`.
 * @throws CaError `invalid_argument`
 */
export async function verifyToken(token: UnverifiedToken, key: CryptoKey): Promise<Uint8Array> {
  try {
    return (await compactVerify(token.text, key, { algorithms: [token.algorithm] })).payload
  } catch (cause) {
    if (cause instanceof errors.JOSEError)
      throw new CaError('invalid_argument', 'a token whose signature does not verify', { cause })
    throw cause
  }
}

/**
 * A verified payload as claims: an object that names nothing twice.
 * @throws CaError `invalid_argument`
 */
export function readClaims(payload: Uint8Array): Claims {
  const claims = asObject(parseStrictJson(Buffer.from(payload).toString('utf8')))
  if (!claims) throw new CaError('invalid_argument', 'a token whose claims are not an object')
  return claims
}

function decodeJson(base64url: string): Json {
  const bytes = Buffer.from(base64url, 'base64url')
  // One text, one token: what Node would skip in silence is refused.
  if (bytes.toString('base64url') !== base64url)
    throw new CaError('invalid_argument', 'a token whose header is not base64url')
  return parseStrictJson(bytes.toString('utf8'))
}
