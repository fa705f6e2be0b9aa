import { CaError } from '../core/errors.ts'
import { KeyFileEncryption, PassphraseEncryption, SCRYPT_COST, type ScryptCost } from '../keys/key-encryption.ts'
import { Pkcs11Token } from '../keys/pkcs11.ts'
import type { KeyEncryption } from '../keys/vault.ts'
import { readBounded } from './bounded-file.ts'

const MAX_BYTES = 4096

/**
 * The bytes of a file that holds a passphrase, a PIN or a key; the caller wipes them. It is a plain file (behind links, as Kubernetes mounts
 * a Secret) that its owner may read, and its group: a pod's fsGroup does.
 * @param what it holds, for what is said of it
 * @throws CaError `invalid_argument`: missing, over 4 KiB, no file, or open to others
 */
export async function readSecretFile(path: string, what: string): Promise<Uint8Array> {
  const named = `the file of ${what} ${path}`
  try {
    return await readBounded(path, { what: named, atMost: MAX_BYTES }, ({ mode }) => {
      if (mode & 0o027)
        throw new CaError(
          'invalid_argument',
          `${named} is open to others (mode ${(mode & 0o777).toString(8)}); make it 600, or 640 for a group`,
        )
    })
  } catch (error) {
    if (error instanceof CaError) throw error
    throw new CaError('invalid_argument', `${named} can’t be read: ${(error as Error).message}`, { cause: error })
  }
}

export type SecretFiles = { readonly passphraseFile: string | undefined; readonly wrappingKeyFile: string | undefined }

/** What seals keys, as at most one of the files says; nothing without one. Their content is read when it is needed. */
export function encryptionFrom(files: SecretFiles, cost: ScryptCost = SCRYPT_COST): KeyEncryption | undefined {
  const { passphraseFile, wrappingKeyFile } = files
  if (passphraseFile !== undefined)
    return new PassphraseEncryption(() => readSecretFile(passphraseFile, 'the passphrase'), cost)
  if (wrappingKeyFile !== undefined)
    return new KeyFileEncryption(() => readSecretFile(wrappingKeyFile, 'the wrapping key'))
  return undefined
}

export type TokenSettings = {
  readonly pkcs11Module: string | undefined
  readonly pkcs11Token: string | undefined
  readonly pkcs11PinFile: string | undefined
}

/** The token that all three settings name; nothing without them. Its PIN is read when a session begins. */
export function tokenFrom({ pkcs11Module, pkcs11Token, pkcs11PinFile }: TokenSettings): Pkcs11Token | undefined {
  if (pkcs11Module === undefined || pkcs11Token === undefined || pkcs11PinFile === undefined) return undefined
  return new Pkcs11Token({ module: pkcs11Module, tokenLabel: pkcs11Token, pin: () => readPin(pkcs11PinFile) })
}

/** Without the newline at its end. The library takes a text, which stays in memory until it is collected. */
async function readPin(path: string): Promise<string> {
  const bytes = await readSecretFile(path, 'the PIN')
  try {
    const pin = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      .toString('utf8')
      .replace(/\r?\n$/, '')
    // It would cost one of the tries.
    if (pin === '') throw new CaError('invalid_argument', `the file of the PIN ${path} is empty; it holds the user PIN`)
    return pin
  } finally {
    bytes.fill(0)
  }
}
