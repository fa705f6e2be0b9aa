import { isUtf8 } from 'node:buffer'
import { type KeyObject, verify } from 'node:crypto'
import { CaError } from '../core/errors.ts'
import { asObject, type Json, parseStrictJson } from '../core/json.ts'
import { type JwsAlgorithm, jwsAlgorithm } from './jwks.ts'

export const MAX_TOKEN_BYTES = 16 * 1024

/** A signed token in the compact form (RFC 7515 §7.1) before its signature was checked. Nothing in it may be believed. */
export type UnverifiedToken = {
  readonly algorithm: JwsAlgorithm
  readonly kid: string
  /** Header and payload as they were signed, with the dot between. */
  readonly signed: string
  /** Base64url. */
  readonly payload: string
  readonly signature: string
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
  const fields = asObject(parseStrictJson(decodeText(header)))
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
      `a token signed with ${(JSON.stringify(fields.alg) ?? 'nothing').slice(0, 64)}; taken are asymmetric signatures only`,
    )
  if (typeof kid !== 'string' || kid === '') throw new CaError('invalid_argument', 'a token without a key id (kid)')
  return { algorithm, kid, signed: `${header}.${payload}`, payload, signature }
}

/**
 * Whether the signature verifies with `key`. node:crypto does it at once where jose would go through WebCrypto and a thread: 20 µs of CPU
 * instead of 85, on every request.
 */
export function verifyToken(token: UnverifiedToken, key: KeyObject): boolean {
  const { digest, options } = token.algorithm
  return verify(digest, Buffer.from(token.signed, 'latin1'), { ...options, key }, decode(token.signature))
}

/**
 * The claims of a token whose signature was verified: an object that names nothing twice.
 * @throws CaError `invalid_argument`
 */
export function readClaims(token: Pick<UnverifiedToken, 'payload'>): Claims {
  const claims = asObject(parseStrictJson(decodeText(token.payload)))
  if (!claims) throw new CaError('invalid_argument', 'a token whose claims are not an object')
  return claims
}

/** Base64url of RFC 4648 §5 without padding, in its one right form: what Node would skip in silence is refused. */
function decode(base64url: string): Buffer {
  const bytes = Buffer.from(base64url, 'base64url')
  if (bytes.toString('base64url') !== base64url) throw new CaError('invalid_argument', 'a token that is not base64url')
  return bytes
}

/** UTF-8 without a fault: what toString would mend with U+FFFD could be another name than the one that was signed. */
function decodeText(base64url: string): string {
  const bytes = decode(base64url)
  if (!isUtf8(bytes)) throw new CaError('invalid_argument', 'a token that is not UTF-8')
  return bytes.toString('utf8')
}
