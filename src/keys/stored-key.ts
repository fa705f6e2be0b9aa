import { CaError } from '../core/errors.ts'
import type { PrivateKey } from './private-key.ts'
import { authorityIdOf } from './public-key.ts'
import type { KeyFiles } from './vault.ts'

/** @throws CaError `wrong_state` */
export async function readKeyFile(name: string, files: KeyFiles): Promise<Uint8Array> {
  const bytes = await files.read(name)
  if (!bytes)
    throw new CaError(
      'wrong_state',
      `the root’s key ${name} is missing; put it back: Alcazar makes no new root while the old one may be alive`,
    )
  return bytes
}

/** What stands in the file `name`, read by `read`: a key whose pair was proved, and which is that authority's. @throws CaError `wrong_state` */
export function storedKey(name: string, id: string, read: () => PrivateKey): PrivateKey {
  let key: PrivateKey
  try {
    key = read()
  } catch (error) {
    if (error instanceof CaError) throw damagedKey(name, error.message, error)
    throw error
  }
  if (authorityIdOf(key.publicKey.spki) !== id) throw otherKey(name)
  return key
}

export function damagedKey(name: string, why: string, cause?: unknown): CaError {
  return new CaError('wrong_state', `the root’s key ${name} is damaged: ${why}; put back a copy that is whole`, {
    cause,
  })
}

export function otherKey(name: string): CaError {
  return new CaError('wrong_state', `the root’s key ${name} is another root’s; put back the right one`)
}
