import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  randomBytes,
  type ScryptOptions,
  scrypt,
} from 'node:crypto'
import { promisify } from 'node:util'
import { hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { KeyEncryption } from './vault.ts'

const deriveOffThread = promisify<Uint8Array, Uint8Array, number, ScryptOptions, Buffer>(scrypt)

export const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const SALT_BYTES = 16
const MIN_PASSPHRASE_CHARACTERS = 8

/** scrypt's cost: N = 2^logN, block size r, parallelism p (RFC 7914 §2). It needs 128·N·r bytes. */
export type ScryptCost = { readonly logN: number; readonly r: number; readonly p: number }

/** 128 MiB, and about 0.4 s of one core. */
export const SCRYPT_COST: ScryptCost = { logN: 17, r: 8, p: 1 }

/** What a seal may ask for: no less than would be safe, no more than 1 GiB. */
const COST_BOUNDS = { logN: [15, 20], r: [8, 8], p: [1, 4] } as const

/** AES-256-GCM: nonce, ciphertext, tag. `context` is authenticated with it. */
export function encrypt(key: KeyObject, plain: Uint8Array, context: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(context)
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** Nothing where key or context are others, or a bit was changed. The caller wipes what it gets. */
export function decrypt(key: KeyObject, sealed: Uint8Array, context: Uint8Array): Buffer | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(context).setAuthTag(sealed.subarray(-TAG_BYTES))
  const unproved = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES))
  try {
    // GCM is a stream: all of the text is out before the tag is judged, and nothing more comes here.
    decipher.final()
    return unproved
  } catch {
    unproved.fill(0)
    return undefined
  }
}

/** A key in OpenSSL's memory; the bytes given are wiped. */
export function secretKey(bytes: Uint8Array): KeyObject {
  try {
    return createSecretKey(bytes)
  } finally {
    bytes.fill(0)
  }
}

/**
 * Wraps by a passphrase, which `read` gives (the bytes of its file) and which is wiped after each use. What is derived from it stays, so
 * that all keys of one process are wrapped alike even when the file changes meanwhile.
 */
export class PassphraseEncryption implements KeyEncryption {
  readonly kind = 'passphrase'
  readonly #read: () => Promise<Uint8Array>
  readonly #cost: ScryptCost
  /** By salt and cost. */
  readonly #derived = new Map<string, KeyObject>()
  /** Salt and cost under which the next key is wrapped. */
  #proved: Uint8Array | undefined

  constructor(read: () => Promise<Uint8Array>, cost: ScryptCost) {
    this.#read = read
    this.#cost = cost
  }

  /** One octet each for logN, r and p, 16 of salt, then what `encrypt` gives over the data key. */
  async wrap(dataKey: Uint8Array): Promise<Uint8Array> {
    const { logN, r, p } = this.#cost
    const header = this.#proved ?? Buffer.concat([Uint8Array.of(logN, r, p), randomBytes(SALT_BYTES)])
    const key = await this.#derive(header)
    this.#keep(header, key)
    return Buffer.concat([header, encrypt(key, dataKey, header)])
  }

  async unwrap(wrapped: Uint8Array): Promise<Uint8Array> {
    const header = wrapped.subarray(0, 3 + SALT_BYTES)
    const key = await this.#derive(header)
    const dataKey = decrypt(key, wrapped.subarray(header.length), header)
    if (!dataKey) throw new CaError('wrong_state', 'the passphrase is not the one it was sealed with')
    this.#keep(header, key)
    return dataKey
  }

  /** Only what was proved right, or made here: a file that was put right is read again. */
  #keep(header: Uint8Array, key: KeyObject): void {
    this.#derived.set(hex(header), key)
    this.#proved ??= Uint8Array.from(header)
  }

  async #derive(header: Uint8Array): Promise<KeyObject> {
    const { N, r, p } = parametersIn(header)
    const known = this.#derived.get(hex(header))
    if (known) return known
    const file = await this.#read()
    try {
      // What it needs (OpenSSL counts V and B), and some to spare.
      const maxmem = 128 * r * (N + p + 2) + 1024 * 1024
      const salt = header.subarray(3)
      return secretKey(await deriveOffThread(passphraseIn(file), salt, KEY_BYTES, { N, r, p, maxmem }))
    } finally {
      file.fill(0)
    }
  }
}

/** Wraps by a key of 32 bytes, which `read` gives (the bytes of its file: raw, hex or base64) and which is wiped; the
 * one that fitted stays. */
export class KeyFileEncryption implements KeyEncryption {
  readonly kind = 'key-file'
  readonly #read: () => Promise<Uint8Array>
  #key: KeyObject | undefined

  constructor(read: () => Promise<Uint8Array>) {
    this.#read = read
  }

  async wrap(dataKey: Uint8Array): Promise<Uint8Array> {
    this.#key = await this.#wrappingKey()
    return encrypt(this.#key, dataKey, CONTEXT)
  }

  async unwrap(wrapped: Uint8Array): Promise<Uint8Array> {
    const key = await this.#wrappingKey()
    const dataKey = decrypt(key, wrapped, CONTEXT)
    if (!dataKey) throw new CaError('wrong_state', 'the wrapping key is not the one it was sealed with')
    this.#key = key
    return dataKey
  }

  async #wrappingKey(): Promise<KeyObject> {
    if (this.#key) return this.#key
    const file = await this.#read()
    try {
      return secretKey(wrappingKeyIn(file))
    } finally {
      file.fill(0)
    }
  }
}

const CONTEXT = Buffer.from('alcazar data key')

/** Bounded, so that nobody's file makes this process take all memory. @throws CaError `wrong_state` */
function parametersIn(header: Uint8Array): { N: number; r: number; p: number } {
  const [logN = 0, r = 0, p = 0] = header
  for (const [name, value] of Object.entries({ logN, r, p })) {
    const [least, most] = COST_BOUNDS[name as keyof ScryptCost]
    if (header.length !== 3 + SALT_BYTES || value < least || value > most)
      throw new CaError(
        'wrong_state',
        'its parameters of scrypt are out of bounds: N is 2^15 to 2^20, r is 8, p is 1 to 4',
      )
  }
  return { N: 2 ** logN, r, p }
}

/** The bytes of a passphrase's file without the newline at its end. A view of `file`. @throws CaError `invalid_argument` */
function passphraseIn(file: Uint8Array): Uint8Array {
  const passphrase = withoutNewline(file)
  // PBKDF2 pads what it takes with zeros, so one of zeros alone would be the empty passphrase (RFC 2104 §2).
  if (passphrase.includes(0))
    throw new CaError(
      'invalid_argument',
      'the passphrase holds a zero byte; it is text, and keys.wrappingKeyFile takes a key of bytes',
    )
  // Counted in UTF-8 without making a text of it, which could not be wiped: all octets but continuations.
  const characters = passphrase.reduce((count, octet) => count + ((octet & 0xc0) === 0x80 ? 0 : 1), 0)
  if (characters < MIN_PASSPHRASE_CHARACTERS)
    throw new CaError(
      'invalid_argument',
      characters === 0
        ? `the passphrase’s file is empty; it holds a passphrase of at least ${MIN_PASSPHRASE_CHARACTERS} characters`
        : `the passphrase is too short; it has at least ${MIN_PASSPHRASE_CHARACTERS} characters`,
    )
  return passphrase
}

/** @throws CaError `invalid_argument` */
function wrappingKeyIn(file: Uint8Array): Uint8Array {
  const key = file.length === KEY_BYTES ? Uint8Array.from(file) : keyFromText(withoutNewline(file))
  if (!key)
    throw new CaError(
      'invalid_argument',
      `the wrapping key’s file does not hold a key: it is ${KEY_BYTES} bytes, raw or as hex or base64; make one with “openssl rand -base64 ${KEY_BYTES}”`,
    )
  if (key.every((octet) => octet === key[0]))
    throw new CaError(
      'invalid_argument',
      `the wrapping key is one byte repeated; make one with “openssl rand -base64 ${KEY_BYTES}”`,
    )
  return key
}

function keyFromText(bytes: Uint8Array): Uint8Array | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, 'hex')
  // The last digit of 43 has two bits of the key's; the others are zero in the one encoding there is.
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=?$/.test(text) ? Buffer.from(text, 'base64') : undefined
}

function withoutNewline(bytes: Uint8Array): Uint8Array {
  const end = bytes.at(-1) === 0x0a ? (bytes.at(-2) === 0x0d ? 2 : 1) : 0
  return bytes.subarray(0, bytes.length - end)
}
