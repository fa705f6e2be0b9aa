import { type Command, Option } from 'commander'
import { CaError } from '../core/errors.ts'
import { Pkcs11KeyEncryption } from '../keys/pkcs11-key-encryption.ts'
import type { KeyEncryption } from '../keys/vault.ts'
import { encryptionFrom, tokenFrom } from '../storage/secret-file.ts'
import type { CliEnv } from './env.ts'

type Options = Readonly<Record<string, unknown>>

/** The flags that name what seals root keys, or with `new` what shall. */
export type SealingFlags = '' | 'new-'

/** As commander names what a flag gave. */
const key = (prefix: SealingFlags, name: string) =>
  `${prefix}${name}`.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())

/** @param seals for the help: `that seals them now` */
export function addSealingFlags(command: Command, prefix: SealingFlags, seals: string): Command {
  const flag = (name: string, value: string, holds: string, ...excludes: string[]) =>
    command.addOption(
      new Option(`--${prefix}${name} <${value}>`, holds).conflicts(excludes.map((other) => key(prefix, other))),
    )
  flag('passphrase-file', 'file', `with the passphrase ${seals}`)
  flag('wrapping-key-file', 'file', `with the wrapping key ${seals}`, 'passphrase-file')
  flag(
    'pkcs11-module',
    'file',
    `a PKCS#11 module, with a key in whose token ${seals} (keys.pkcs11Holds: wrapping-key)`,
    'passphrase-file',
    'wrapping-key-file',
  )
  flag('pkcs11-token', 'label', 'of that token')
  flag('pkcs11-pin-file', 'file', 'with the PIN of that token')
  return command
}

/**
 * What the flags name; nothing without one. A token is let go with `opened`.
 * @throws CaError `invalid_argument`: a token without its module, label or PIN
 */
export function sealingFrom(
  { random }: CliEnv,
  options: Options,
  prefix: SealingFlags,
  opened: AsyncDisposableStack,
): KeyEncryption | undefined {
  const given = (name: string) => options[key(prefix, name)] as string | undefined
  const [pkcs11Module, pkcs11Token, pkcs11PinFile] = TOKEN_FLAGS.map(given)
  const token = tokenFrom({ pkcs11Module, pkcs11Token, pkcs11PinFile })
  if (token) return new Pkcs11KeyEncryption(opened.use(token), random)
  if (TOKEN_FLAGS.map(given).some((value) => value !== undefined))
    throw new CaError(
      'invalid_argument',
      `${TOKEN_FLAGS.map((name) => `--${prefix}${name}`).join(', ')} belong together: give all three, or none`,
    )
  return encryptionFrom({ passphraseFile: given('passphrase-file'), wrappingKeyFile: given('wrapping-key-file') })
}

const TOKEN_FLAGS = ['pkcs11-module', 'pkcs11-token', 'pkcs11-pin-file'] as const

/** The flags that may stand for it, for what is said where none does. */
export const sealingWords = (prefix: SealingFlags): string =>
  `--${prefix}passphrase-file, --${prefix}wrapping-key-file or --${prefix}pkcs11-module is required`
