import type { KeyAlgorithm } from './algorithms.ts'
import type { PrivateKey, Signer } from './private-key.ts'

/** Where a root key lives: in the clear in a file, in a sealed file, in a PKCS#11 token. */
export type VaultHome = 'file' | 'sealed' | 'pkcs11'

/** Small files beside the journal, durable when `write` resolves; 0600; never overwrites unless `replace`. */
export interface KeyFiles {
  write(name: string, bytes: Uint8Array): Promise<void>
  replace(name: string, bytes: Uint8Array): Promise<void>
  read(name: string): Promise<Uint8Array | undefined>
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
}

/** How a data key is wrapped (32 bytes): by a passphrase, a key file, or a token. */
export interface KeyEncryption {
  readonly kind: string
  wrap(dataKey: Uint8Array): Promise<Uint8Array>
  unwrap(wrapped: Uint8Array): Promise<Uint8Array>
}
