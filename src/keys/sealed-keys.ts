import { CaError } from '../core/errors.ts'
import type { KeyAlgorithm } from './algorithms.ts'
import { PrivateKey } from './private-key.ts'
import { authorityIdOf } from './public-key.ts'
import { openSeal, readSeal, sealKey } from './seal.ts'
import { otherKey, readKeyFile } from './stored-key.ts'
import type { KeyEncryption, KeyFiles, KeyVault } from './vault.ts'

const fileOf = (id: string) => `root-${id.slice(0, 16)}.key.sealed`

/** Whether a file is one of those that `SealedKeys` writes. */
export const isSealedKey = (name: string): boolean => /^root-[0-9a-f]{16}\.key\.sealed$/.test(name)

/** Root keys in files that only a passphrase or a wrapping key opens. */
export class SealedKeys implements KeyVault {
  readonly home = 'sealed'
  /** The kind of its KeyEncryption. */
  readonly sealedWith: string
  readonly #encryption: KeyEncryption

  constructor(encryption: KeyEncryption) {
    this.sealedWith = encryption.kind
    this.#encryption = encryption
  }

  async make(algorithm: KeyAlgorithm, files: KeyFiles): Promise<PrivateKey> {
    return this.take(await PrivateKey.generate(algorithm), files)
  }

  async take(key: PrivateKey, files: KeyFiles): Promise<PrivateKey> {
    const id = authorityIdOf(key.publicKey.spki)
    // Taking a key again after a crash finds what was durable then.
    if (await files.read(fileOf(id))) return this.open(id, files)
    await files.write(fileOf(id), await sealKey(key, this.#encryption))
    return key
  }

  destroy(id: string, files: KeyFiles): Promise<boolean> {
    return files.remove(fileOf(id))
  }

  async open(id: string, files: KeyFiles): Promise<PrivateKey> {
    const name = fileOf(id)
    return openSeal(name, id, readSeal(name, await readKeyFile(name, files)), this.#encryption)
  }
}

/**
 * Seals the key in the file `name` anew, with a fresh data key under `to`; what `from` doesn't open and `to` does stays as it is, so that who
 * was interrupted does it again. `change: false` only proves that it could.
 * @throws CaError `wrong_state`: neither opens it, or it is damaged; the file is as it was
 */
export async function resealKey(
  name: string,
  files: KeyFiles,
  { from, to, change }: { readonly from: KeyEncryption; readonly to: KeyEncryption; readonly change: boolean },
): Promise<'resealed' | 'was already'> {
  const seal = readSeal(name, await readKeyFile(name, files))
  if (fileOf(seal.authority) !== name) throw otherKey(name)
  let key: PrivateKey
  try {
    key = await openSeal(name, seal.authority, seal, from)
  } catch (error) {
    if (!isWrongState(error)) throw error
    await openSeal(name, seal.authority, seal, to).catch((other: unknown) => {
      // Who named the wrong old secret wants to hear of that one.
      throw isWrongState(other) ? error : other
    })
    return 'was already'
  }
  if (change) await files.replace(name, await sealKey(key, to))
  return 'resealed'
}

const isWrongState = (error: unknown): boolean => error instanceof CaError && error.code === 'wrong_state'
