import { randomBytes } from 'node:crypto'
import { sha256Hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { asObject, type Json, parseStrictJson } from '../core/json.ts'
import { decrypt, encrypt, KEY_BYTES, secretKey } from './key-encryption.ts'
import { PrivateKey } from './private-key.ts'
import { authorityIdOf } from './public-key.ts'
import { damagedKey, otherKey, storedKey } from './stored-key.ts'
import type { KeyEncryption } from './vault.ts'

/** A newer one gets a greater number, and this program then refuses to touch it. */
const FORMAT = 1

/**
 * A sealed key as text, three lines of JSON: the header with the wrapped data key; the key (PKCS#8) encrypted with the data key by AES-256-GCM,
 * with the header's line as what is authenticated beside it; and a digest over both lines, which tells damage from a wrong secret.
 */
export type Seal = {
  readonly authority: string
  /** Of the KeyEncryption that opens it. */
  readonly kind: string
  readonly wrapped: Uint8Array
  readonly sealed: Uint8Array
}

type Header = Pick<Seal, 'authority' | 'kind' | 'wrapped'>

const WORDS: ReadonlyMap<string, string> = new Map([
  ['passphrase', 'a passphrase'],
  ['key-file', 'a wrapping key from a file'],
  ['pkcs11', 'a key in a PKCS#11 token'],
])
export const sealedWith = (kind: string): string => WORDS.get(kind) ?? JSON.stringify(kind.slice(0, 40))

/** Seals a key under a data key of its own, and opens the result again before it gives it. */
export async function sealKey(key: PrivateKey, encryption: KeyEncryption): Promise<Uint8Array> {
  const authority = authorityIdOf(key.publicKey.spki)
  const dataKey = randomBytes(KEY_BYTES)
  let text: string
  try {
    const header = { authority, kind: encryption.kind, wrapped: await encryption.wrap(dataKey) }
    const handle = secretKey(dataKey)
    const sealed = await key.storeDer(async (pkcs8) => encrypt(handle, pkcs8, Buffer.from(printHeader(header))))
    text = printSeal({ ...header, sealed })
  } finally {
    dataKey.fill(0)
  }
  const bytes = Buffer.from(text)
  await openSeal('just sealed', authority, readSeal('just sealed', bytes), encryption)
  return bytes
}

/**
 * The key under a seal.
 * @param name of its file, for what is said of it
 * @throws CaError `wrong_state`: sealed with something else, altered, or another root's
 */
export async function openSeal(name: string, id: string, seal: Seal, encryption: KeyEncryption): Promise<PrivateKey> {
  if (seal.authority !== id) throw otherKey(name)
  if (seal.kind !== encryption.kind)
    throw new CaError(
      'wrong_state',
      `the root’s key ${name} is sealed with ${sealedWith(seal.kind)}, and ${sealedWith(encryption.kind)} was given; give what it is sealed with, or change that with “alcazar keys reseal”`,
    )
  const pkcs8 = decrypt(await dataKeyOf(name, seal, encryption), seal.sealed, Buffer.from(printHeader(seal)))
  if (!pkcs8) throw damagedKey(name, 'somebody altered it after it was sealed, and its digest with it')
  try {
    return storedKey(name, id, () => PrivateKey.fromDer(pkcs8))
  } finally {
    pkcs8.fill(0)
  }
}

/** A token says itself what is wrong with it, its PIN or what it was given. */
const NO_ACCIDENT =
  '; its digest fits, so this is no accident of the disk: give the right one, or put back the key’s file that belongs to it'

async function dataKeyOf(name: string, seal: Seal, encryption: KeyEncryption) {
  let dataKey: Uint8Array
  try {
    dataKey = await encryption.unwrap(seal.wrapped)
  } catch (error) {
    if (error instanceof CaError && error.code === 'wrong_state')
      throw new CaError(
        'wrong_state',
        `the root’s key ${name} does not open: ${error.message}${encryption.kind === 'pkcs11' ? '' : NO_ACCIDENT}`,
        { cause: error },
      )
    throw error
  }
  if (dataKey.length === KEY_BYTES) return secretKey(dataKey)
  dataKey.fill(0)
  throw damagedKey(name, 'what is wrapped in it is no data key')
}

const printHeader = ({ authority, kind, wrapped }: Header): string =>
  `${JSON.stringify({ alcazar: 'sealed key', format: FORMAT, authority, kind, wrapped: base64(wrapped) })}\n`

function printSeal(seal: Seal): string {
  const lines = `${printHeader(seal)}${JSON.stringify({ sealed: base64(seal.sealed) })}\n`
  return `${lines}${JSON.stringify({ sha256: sha256Hex(lines) })}\n`
}

/**
 * @param name of its file, for what is said of it
 * @throws CaError `wrong_state`: damaged, or of a newer format
 */
export function readSeal(name: string, bytes: Uint8Array): Seal {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  const [first, second] = text.split('\n', 2).map(lineOf)
  if (!first || !second || first.alcazar !== 'sealed key') throw damagedKey(name, 'it is no sealed key')
  const { format, authority, kind, wrapped } = first
  if (typeof format === 'number' && format > FORMAT)
    throw new CaError(
      'wrong_state',
      `the root’s key ${name} has format ${format}, and this version knows ${FORMAT}: it was sealed by a newer Alcazar; run that one`,
    )
  const seal: Seal = {
    authority: string(authority),
    kind: string(kind),
    wrapped: octets(wrapped),
    sealed: octets(second.sealed),
  }
  // There is one way to write a seal, so that no bit of it can be changed unseen: not in base64's padding, not between the lines.
  if (printSeal(seal) !== text) throw damagedKey(name, 'its digest does not fit')
  return seal
}

function lineOf(text: string): { readonly [key: string]: Json | undefined } | undefined {
  try {
    return asObject(parseStrictJson(text))
  } catch {
    return undefined
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const string = (value: Json | undefined): string => (typeof value === 'string' ? value : '')
const octets = (value: Json | undefined): Uint8Array => Buffer.from(string(value), 'base64')
