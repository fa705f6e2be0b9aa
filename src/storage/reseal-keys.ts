import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CaError } from '../core/errors.ts'
import { isSealedKey, resealKey } from '../keys/sealed-keys.ts'
import type { KeyEncryption } from '../keys/vault.ts'
import { AUTHORITY_FOLDER } from './authority-directory.ts'
import { isMissing, unavailable } from './durable-file.ts'
import { KeyDirectory } from './key-directory.ts'

export type Resealed = { readonly file: string; readonly outcome: 'resealed' | 'was already' }

/** The names of the sealed keys of a state directory. @throws CaError `not_found`: there is none · `dependency_unavailable` */
export async function sealedKeysIn(state: string): Promise<readonly string[]> {
  const path = join(state, AUTHORITY_FOLDER)
  const names = await readdir(path).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw unavailable(`${path} can’t be read`, error)
  })
  const files = names.filter(isSealedKey).toSorted()
  if (files.length > 0) return files
  throw new CaError('not_found', `there is no sealed key in ${path}; name the server’s directory by --state-directory`)
}

/**
 * Seals every sealed key of a state directory, which nobody else uses meanwhile, under `to` instead of `from`. Nothing is changed before each was
 * opened. Then one file after another is replaced as a whole: a crash leaves each under the old secret or the new one, and doing it again
 * finishes it.
 * @throws CaError `not_found`: no sealed key there · `wrong_state`: one is damaged, or neither secret opens it; all are as they were ·
 * `dependency_unavailable`: the disk refuses; do it again
 */
export async function resealKeys(state: string, from: KeyEncryption, to: KeyEncryption): Promise<readonly Resealed[]> {
  const path = join(state, AUTHORITY_FOLDER)
  const folder = new KeyDirectory(path)
  const files = await sealedKeysIn(state)
  const pass = async (change: boolean): Promise<Resealed[]> => {
    const done: Resealed[] = []
    for (const file of files) done.push({ file, outcome: await resealKey(file, folder, { from, to, change }) })
    return done
  }
  try {
    await pass(false)
    return await pass(true)
  } catch (error) {
    if (error instanceof CaError && error.code !== 'invalid_argument')
      throw new CaError(error.code, `${path}: ${error.message}`, { cause: error })
    throw error
  }
}
