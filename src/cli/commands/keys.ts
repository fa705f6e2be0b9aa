import { CaError } from '../../core/errors.ts'
import type { KeyEncryption } from '../../keys/vault.ts'
import { resealKeys, sealedKeysIn } from '../../storage/reseal-keys.ts'
import { type CliEnv, print, type Verb } from '../env.ts'
import { STATE_FLAG } from '../local-server.ts'
import { lockStopped } from '../offline-state.ts'
import { outputOption } from '../output-option.ts'
import { addSealingFlags, type SealingFlags, sealingFrom, sealingWords } from '../sealing-flags.ts'

type Options = Readonly<Record<string, unknown>>

export const keysReseal: Verb = {
  name: 'keys reseal',
  summary:
    'Change the passphrase, wrapping key or token that seals a server’s root keys, without a new root (the server is stopped)',
  define(command) {
    command.requiredOption(STATE_FLAG, 'the server’s directory')
    addSealingFlags(command, '', 'that seals them now')
    addSealingFlags(command, 'new-', 'that shall seal them')
    command
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nInterrupted, it leaves each key under the old secret or the new one; the same command again finishes it.\n\nExample:\n  alcazar keys reseal --state-directory /var/lib/alcazar --passphrase-file old --new-passphrase-file new',
      )
  },
  async run(env, _args, options) {
    const state = options.stateDirectory as string
    await using opened = new AsyncDisposableStack()
    const from = sealing(env, options, '', opened)
    const to = sealing(env, options, 'new-', opened)
    if (options.pkcs11Module !== undefined && options.pkcs11Module === options.newPkcs11Module)
      throw new CaError(
        'invalid_argument',
        'from one token to another of the same module takes two steps: first to a passphrase or wrapping key, then to the other token',
      )
    // Only a server's directory gets a lock.
    await sealedKeysIn(state)
    using _lock = lockStopped(state)
    const done = await resealKeys(state, from, to)
    print(env, options, done, () => [
      ...done.map(({ file, outcome }) =>
        outcome === 'resealed' ? `${file}  sealed anew` : `${file}  was sealed so already`,
      ),
      'A copy of the old files still opens with the old secret: where that may be in strange hands, replace the root.',
    ])
  },
}

function sealing(env: CliEnv, options: Options, prefix: SealingFlags, opened: AsyncDisposableStack): KeyEncryption {
  const encryption = sealingFrom(env, options, prefix, opened)
  if (!encryption) throw new CaError('invalid_argument', sealingWords(prefix))
  return encryption
}
