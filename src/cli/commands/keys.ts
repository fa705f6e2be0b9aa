import { Option } from 'commander'
import { CaError } from '../../core/errors.ts'
import type { KeyEncryption } from '../../keys/vault.ts'
import { lockDirectory } from '../../storage/directory-lock.ts'
import { resealKeys, sealedKeysIn } from '../../storage/reseal-keys.ts'
import { encryptionFrom } from '../../storage/secret-file.ts'
import { print, type Verb } from '../env.ts'
import { STATE_FLAG } from '../local-server.ts'
import { outputOption } from '../output-option.ts'

export const keysReseal: Verb = {
  name: 'keys reseal',
  summary:
    'Change the passphrase or wrapping key that seals a server’s root keys, without a new root (the server is stopped)',
  define(command) {
    command
      .requiredOption(STATE_FLAG, 'the server’s directory')
      .addOption(new Option('--passphrase-file <file>', 'with the passphrase that seals them now'))
      .addOption(
        new Option('--wrapping-key-file <file>', 'with the wrapping key that seals them now').conflicts(
          'passphraseFile',
        ),
      )
      .addOption(new Option('--new-passphrase-file <file>', 'with the passphrase that shall seal them'))
      .addOption(
        new Option('--new-wrapping-key-file <file>', 'with the wrapping key that shall seal them').conflicts(
          'newPassphraseFile',
        ),
      )
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nInterrupted, it leaves each key under the old secret or the new one; the same command again finishes it.\n\nExample:\n  alcazar keys reseal --state-directory /var/lib/alcazar --passphrase-file old --new-passphrase-file new',
      )
  },
  async run(env, _args, options) {
    const state = options.stateDirectory as string
    const from = secret(options, 'passphraseFile', 'wrappingKeyFile', '--passphrase-file or --wrapping-key-file')
    const to = secret(
      options,
      'newPassphraseFile',
      'newWrappingKeyFile',
      '--new-passphrase-file or --new-wrapping-key-file',
    )
    // Only a server's directory gets a lock.
    await sealedKeysIn(state)
    using _lock = lockDirectory(state)
    const done = await resealKeys(state, from, to)
    print(env, options, done, () => [
      ...done.map(({ file, outcome }) =>
        outcome === 'resealed' ? `${file}  sealed anew` : `${file}  was sealed so already`,
      ),
      'A copy of the old files still opens with the old secret: where that may be in strange hands, replace the root.',
    ])
  },
}

function secret(
  options: Readonly<Record<string, unknown>>,
  passphrase: string,
  wrappingKey: string,
  flags: string,
): KeyEncryption {
  const encryption = encryptionFrom({
    passphraseFile: options[passphrase] as string | undefined,
    wrappingKeyFile: options[wrappingKey] as string | undefined,
  })
  if (!encryption) throw new CaError('invalid_argument', `${flags} is required`)
  return encryption
}
