import type { KeyAlgorithm } from './algorithms.ts'
import type { PrivateKey, Signer } from './private-key.ts'

/** Where a root's key is: in a file in the clear (dev mode only), in a sealed file, in a PKCS#11 token. */
export type VaultHome = 'file' | 'sealed' | 'pkcs11'

/** Small files beside the journal, durable when `write` resolves; 0600; never overwrites unless `replace`. */
export interface KeyFiles {
  /** @throws CaError `conflict`: there is one of that name · `dependency_unavailable`: the disk refuses; nothing of that name is there */
  write(name: string, bytes: Uint8Array): Promise<void>
  /**
   * A crash leaves the old content or the new one.
   * @throws CaError `dependency_unavailable`: the disk refuses; the file has its old content or the new one
   */
  replace(name: string, bytes: Uint8Array): Promise<void>
  /** At most 64 KiB. @throws CaError `wrong_state`: larger, no file, or readable by others · `dependency_unavailable` */
  read(name: string): Promise<Uint8Array | undefined>
  /** Durable when it resolves; whether there was one. @throws CaError `dependency_unavailable` */
  remove(name: string): Promise<boolean>
}

/** Keeps root keys. */
export interface KeyVault {
  readonly home: VaultHome
  /** Makes a key; durable when it resolves. What a crash leaves behind is a key that signed nothing. */
  make(algorithm: KeyAlgorithm, files: KeyFiles): Promise<Signer>
  /** Takes a key that was made elsewhere. @throws CaError `wrong_state` where it can't be taken (PKCS#11) */
  take(key: PrivateKey, files: KeyFiles): Promise<Signer>
  /** Opens the key of the authority `id` (40 hex digits). @throws CaError `wrong_state`: missing, damaged, other key, wrong passphrase */
  open(id: string, files: KeyFiles): Promise<Signer>
  /** Takes the key of the authority `id` away for ever; whether there was one. @throws CaError `dependency_unavailable` · `wrong_state`: the token refuses */
  destroy(id: string, files: KeyFiles): Promise<boolean>
}

/** How a data key is wrapped (32 bytes): by a passphrase, a key file, or a token. */
export interface KeyEncryption {
  readonly kind: string
  /** What comes of it holds all that `unwrap` needs besides the secret, at most 4 KiB. */
  wrap(dataKey: Uint8Array): Promise<Uint8Array>
  /** The caller wipes what it gets. @throws CaError `wrong_state`: it was wrapped with another secret, or altered */
  unwrap(wrapped: Uint8Array): Promise<Uint8Array>
}
