import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { CaError } from '../core/errors.ts'

const generate = promisify(generateKeyPair)

export type KeyAlgorithmName =
  | 'ecdsa-p256'
  | 'ecdsa-p384'
  | 'ecdsa-p521'
  | 'rsa-2048'
  | 'rsa-3072'
  | 'rsa-4096'
  | 'ed25519'
  | 'ml-dsa-44'
  | 'ml-dsa-65'
  | 'ml-dsa-87'

type MlDsaSize = 44 | 65 | 87

/** All that is known of one kind of key. Who has the row needs no second switch. */
export type KeyAlgorithm = {
  readonly name: KeyAlgorithmName
  /** As people write it. */
  readonly label: string
  /** What its signatures go by: any EC or RSA key can make any signature of its family, other keys only one kind. */
  readonly family: 'ec' | 'rsa' | 'ed25519' | `ml-dsa-${MlDsaSize}`
  /** AlgorithmIdentifier of its signatures, DER. */
  readonly signatureAlgorithm: Uint8Array
  /** What node:crypto hashes with first; nothing where the scheme hashes for itself. */
  readonly digest: 'sha256' | 'sha384' | 'sha512' | null
  /** Signing takes a millisecond or more, so it leaves the main thread. */
  readonly slow: boolean
  /** Few verifiers know it yet: only with `--experimental`. */
  readonly experimental: boolean
  readonly generate: () => Promise<{ privateKey: KeyObject; publicKey: KeyObject }>
  readonly matches: (key: KeyObject) => boolean
}

const der = (hex: string): Uint8Array => Buffer.from(hex, 'hex')

function ec(
  name: KeyAlgorithmName,
  label: string,
  namedCurve: string,
  digest: KeyAlgorithm['digest'],
  signatureAlgorithm: string,
): KeyAlgorithm {
  return {
    name,
    label,
    family: 'ec',
    signatureAlgorithm: der(signatureAlgorithm),
    digest,
    slow: false,
    experimental: false,
    generate: () => generate('ec', { namedCurve }),
    matches: (key) => key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === namedCurve,
  }
}

function rsa(name: KeyAlgorithmName, bits: number): KeyAlgorithm {
  return {
    name,
    label: `RSA ${bits}`,
    family: 'rsa',
    // sha256WithRSAEncryption, parameters NULL (RFC 4055 §5)
    signatureAlgorithm: der('300d06092a864886f70d01010b0500'),
    digest: 'sha256',
    slow: true,
    experimental: false,
    generate: () => generate('rsa', { modulusLength: bits, publicExponent: 65537 }),
    matches: (key) => key.asymmetricKeyType === 'rsa' && key.asymmetricKeyDetails?.modulusLength === bits,
  }
}

function mlDsa(size: MlDsaSize, signatureAlgorithm: string): KeyAlgorithm {
  const name = `ml-dsa-${size}` as const
  return {
    name,
    label: `ML-DSA-${size}`,
    family: name,
    signatureAlgorithm: der(signatureAlgorithm),
    digest: null,
    slow: true,
    experimental: true,
    // @types/node lists the post-quantum kinds as overloads that a computed name can't choose from.
    generate: () =>
      (generate as unknown as (kind: string) => Promise<{ privateKey: KeyObject; publicKey: KeyObject }>)(name),
    matches: (key) => (key.asymmetricKeyType as string | undefined) === name,
  }
}

const ED25519: KeyAlgorithm = {
  name: 'ed25519',
  label: 'Ed25519',
  family: 'ed25519',
  signatureAlgorithm: der('300506032b6570'),
  digest: null,
  slow: false,
  experimental: false,
  generate: () => generate('ed25519'),
  matches: (key) => key.asymmetricKeyType === 'ed25519',
}

/** One row per kind of key, the default first. */
export const KEY_ALGORITHMS: readonly KeyAlgorithm[] = [
  ec('ecdsa-p256', 'ECDSA P-256', 'prime256v1', 'sha256', '300a06082a8648ce3d040302'),
  ec('ecdsa-p384', 'ECDSA P-384', 'secp384r1', 'sha384', '300a06082a8648ce3d040303'),
  ec('ecdsa-p521', 'ECDSA P-521', 'secp521r1', 'sha512', '300a06082a8648ce3d040304'),
  rsa('rsa-2048', 2048),
  rsa('rsa-3072', 3072),
  rsa('rsa-4096', 4096),
  ED25519,
  mlDsa(44, '300b0609608648016503040311'),
  mlDsa(65, '300b0609608648016503040312'),
  mlDsa(87, '300b0609608648016503040313'),
]

export const KEY_ALGORITHM_NAMES = KEY_ALGORITHMS.map((row) => row.name) as [KeyAlgorithmName, ...KeyAlgorithmName[]]

const BY_NAME: ReadonlyMap<string, KeyAlgorithm> = new Map(KEY_ALGORITHMS.map((row) => [row.name, row]))

/** @throws CaError `invalid_argument` */
export function keyAlgorithm(name: string): KeyAlgorithm {
  const row = BY_NAME.get(name)
  if (!row)
    throw new CaError(
      'invalid_argument',
      `no key algorithm ${JSON.stringify(name)}; there are ${KEY_ALGORITHM_NAMES.join(', ')}`,
    )
  return row
}

/** What a signature made by somebody else may be: by the DER of its AlgorithmIdentifier, parameters included. */
export type SignatureScheme = {
  readonly label: string
  readonly family: KeyAlgorithm['family']
  readonly digest: KeyAlgorithm['digest']
}

const DIGEST_LABELS = { sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' } as const

const schemeOf = ({ family, digest, label }: Pick<KeyAlgorithm, 'family' | 'digest' | 'label'>): SignatureScheme => ({
  label: digest === null ? label : `${family === 'rsa' ? 'RSA' : 'ECDSA'} with ${DIGEST_LABELS[digest]}`,
  family,
  digest,
})

const SCHEMES: ReadonlyMap<string, SignatureScheme> = new Map([
  ...KEY_ALGORITHMS.map((row): [string, SignatureScheme] => [
    Buffer.from(row.signatureAlgorithm).toString('hex'),
    schemeOf(row),
  ]),
  ['300d06092a864886f70d01010c0500', schemeOf({ family: 'rsa', digest: 'sha384', label: '' })],
  ['300d06092a864886f70d01010d0500', schemeOf({ family: 'rsa', digest: 'sha512', label: '' })],
])

/** Nothing for what is not on the list, MD5 and SHA-1 among it. */
export function signatureScheme(algorithmIdentifier: Uint8Array): SignatureScheme | undefined {
  return SCHEMES.get(Buffer.from(algorithmIdentifier).toString('hex'))
}
