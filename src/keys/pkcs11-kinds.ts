import { createPublicKey, hash } from 'node:crypto'
import { CaError } from '../core/errors.ts'
import { KEY_ALGORITHMS, type KeyAlgorithm, type KeyAlgorithmName } from './algorithms.ts'
import type { Attributes, MechanismName, TokenObject, TokenSession } from './pkcs11-session.ts'
import { type PublicKey, readPublicKey } from './public-key.ts'

/** What a token has to be told about one kind of key. */
type TokenKind = {
  readonly bits: number
  readonly generation: MechanismName
  readonly signing: MechanismName
  /** What the public half is asked to be. */
  readonly wish: Attributes
}

/** CKA_EC_PARAMS: the named curve as an OBJECT IDENTIFIER, DER. */
const ec = (bits: number, curve: string): TokenKind => ({
  bits,
  generation: 'EC_KEY_PAIR_GEN',
  signing: 'ECDSA',
  wish: { EC_PARAMS: Buffer.from(curve, 'hex') },
})

const rsa = (bits: number): TokenKind => ({
  bits,
  generation: 'RSA_PKCS_KEY_PAIR_GEN',
  signing: 'SHA256_RSA_PKCS',
  wish: { MODULUS_BITS: bits, PUBLIC_EXPONENT: Buffer.from([1, 0, 1]) },
})

/** The kinds that tokens make; Ed25519 and ML-DSA are too new for most. */
const KINDS: ReadonlyMap<KeyAlgorithmName, TokenKind> = new Map([
  ['ecdsa-p256', ec(256, '06082a8648ce3d030107')],
  ['ecdsa-p384', ec(384, '06052b81040022')],
  ['ecdsa-p521', ec(521, '06052b81040023')],
  ['rsa-2048', rsa(2048)],
  ['rsa-3072', rsa(3072)],
  ['rsa-4096', rsa(4096)],
])

const isMade = (session: TokenSession, { bits, generation, signing }: TokenKind): boolean =>
  [session.sizes(generation), session.sizes(signing)].every(
    (sizes) => sizes && sizes.least <= bits && bits <= sizes.most,
  )

/**
 * What to tell this token about a kind of key.
 * @throws CaError `invalid_argument`: it can't make that kind
 */
export function tokenKind(session: TokenSession, algorithm: KeyAlgorithm, token: string): TokenKind {
  const kind = KINDS.get(algorithm.name)
  if (kind && isMade(session, kind)) return kind
  const able = KEY_ALGORITHMS.filter(({ name }) => {
    const other = KINDS.get(name)
    return other && isMade(session, other)
  })
  throw new CaError(
    'invalid_argument',
    `${token} can’t keep a root key of the kind ${algorithm.label}; ${able.length === 0 ? 'it makes none that would do' : `it can keep ${able.map(({ name }) => name).join(', ')}`}`,
  )
}

/** The public half in the token, judged as every public key is. @throws CaError `bad_csr` */
export function readPublicHalf(session: TokenSession, object: TokenObject): PublicKey {
  const { CKK_EC, CKK_RSA } = session.constants
  const type = session.read(object, 'KEY_TYPE').KEY_TYPE.readUInt32LE()
  if (type !== CKK_EC && type !== CKK_RSA)
    throw new CaError('bad_csr', `the public key is of the PKCS#11 kind ${type}; expected EC or RSA`)
  const jwk = type === CKK_EC ? ecJwk(session, object) : rsaJwk(session, object)
  try {
    return readPublicKey(createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' }))
  } catch (cause) {
    if (cause instanceof CaError) throw cause
    throw new CaError('bad_csr', 'the public key is unreadable', { cause })
  }
}

const CURVES: ReadonlyMap<string, { readonly crv: string; readonly octets: number }> = new Map([
  ['06082a8648ce3d030107', { crv: 'P-256', octets: 32 }],
  ['06052b81040022', { crv: 'P-384', octets: 48 }],
  ['06052b81040023', { crv: 'P-521', octets: 66 }],
])

function ecJwk(session: TokenSession, object: TokenObject) {
  const { EC_PARAMS, EC_POINT } = session.read(object, 'EC_PARAMS', 'EC_POINT')
  const curve = CURVES.get(EC_PARAMS.toString('hex'))
  if (!curve) throw new CaError('bad_csr', 'the public key is on a curve other than P-256, P-384 and P-521')
  const { crv, octets } = curve
  // An OCTET STRING (PKCS#11 §6.3.3) with the uncompressed point (SEC 1 §2.3.3).
  const point = EC_POINT.subarray(-(1 + 2 * octets))
  const header = Buffer.from(octets === 66 ? [0x04, 0x81, 0x85] : [0x04, 1 + 2 * octets])
  if (!Buffer.concat([header, point]).equals(EC_POINT) || point[0] !== 0x04)
    throw new CaError('bad_csr', 'the public key is no uncompressed point in an OCTET STRING')
  const coordinate = (at: number) => point.subarray(at, at + octets).toString('base64url')
  return { kty: 'EC', crv, x: coordinate(1), y: coordinate(1 + octets) }
}

function rsaJwk(session: TokenSession, object: TokenObject) {
  const { MODULUS, PUBLIC_EXPONENT } = session.read(object, 'MODULUS', 'PUBLIC_EXPONENT')
  return { kty: 'RSA', n: MODULUS.toString('base64url'), e: PUBLIC_EXPONENT.toString('base64url') }
}

/** The longest signature here: RSA 8192. */
const MOST_SIGNATURE_BYTES = 1024

/** The signature over `tbs` under the key's row in the table of algorithms, as certificates carry it. */
export async function signInToken(
  session: TokenSession,
  key: TokenObject,
  { algorithm }: PublicKey,
  tbs: Uint8Array,
): Promise<Uint8Array> {
  if (algorithm.family === 'rsa') return await session.sign('SHA256_RSA_PKCS', key, tbs, MOST_SIGNATURE_BYTES)
  const digest = hash(algorithm.digest as string, tbs, 'buffer')
  return ecdsaSignature(await session.sign('ECDSA', key, digest, MOST_SIGNATURE_BYTES))
}

/** Ecdsa-Sig-Value (RFC 3279 §2.2.3), DER, of r and s written one after the other in the same length, as PKCS#11 §6.3.1 has them. */
export function ecdsaSignature(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2
  const content = Buffer.concat([derInteger(raw.subarray(0, half)), derInteger(raw.subarray(half))])
  return Buffer.concat([
    Buffer.from(content.length < 128 ? [0x30] : [0x30, 0x81]),
    Buffer.from([content.length]),
    content,
  ])
}

/** Of a number below 2^1008. */
function derInteger(bigEndian: Uint8Array): Uint8Array {
  const first = bigEndian.findIndex((octet) => octet !== 0)
  const digits = bigEndian.subarray(first === -1 ? bigEndian.length - 1 : first)
  const sign = (digits[0] as number) >= 0x80 ? [0] : []
  return Buffer.from([0x02, sign.length + digits.length, ...sign, ...digits])
}
