import { CaError } from '../core/errors.ts'
import type { KeyVault, VaultHome } from './vault.ts'

/** The vaults that the settings name: the first makes keys, each opens what it made. */
export type KeyVaults = readonly KeyVault[]

/** What must be set for keys to be in that place. */
const NEEDED: Readonly<Record<VaultHome, string>> = {
  file: 'lies in the clear, which nothing but dev mode uses',
  sealed:
    'is sealed; name what it is sealed with by keys.passphraseFile or keys.wrappingKeyFile, or the token that wraps it by keys.pkcs11Module and keys.pkcs11Holds: wrapping-key',
  pkcs11: 'is in a PKCS#11 token; name the token by keys.pkcs11Module, keys.pkcs11Token and keys.pkcs11PinFile',
}

/** @throws CaError `wrong_state`: none is set */
export function makingVault([first]: KeyVaults): KeyVault {
  if (!first)
    throw new CaError(
      'wrong_state',
      'no place for root keys is set; name one by keys.passphraseFile, keys.wrappingKeyFile or keys.pkcs11Module',
    )
  return first
}

/** @throws CaError `wrong_state`: what keeps keys there is not set, or no key of ours is there */
export function vaultOf(vaults: KeyVaults, home: string): KeyVault {
  const vault = vaults.find((one) => one.home === home)
  if (vault) return vault
  const needed = NEEDED[home as VaultHome] as string | undefined
  throw new CaError('wrong_state', `the root’s key ${needed ?? `is not kept here, but “${home}”`}`)
}
