import { constants, type Stats } from 'node:fs'
import { lstat, open } from 'node:fs/promises'
import { CaError } from '../core/errors.ts'
import { isMissing, unavailable, writeDurably } from './durable-file.ts'

const BEGIN = '-----BEGIN X509 CRL-----'

/**
 * Replaces a file of CRLs as a whole, for everybody to read. Anything else stays as it is: a path that is wrong may be the journal’s, or a passphrase’s.
 * @throws CaError `wrong_state`: something else is there · `dependency_unavailable`: it can’t be written
 */
export async function replaceCrlFile(path: string, pem: string): Promise<void> {
  try {
    const found = await foundAt(path)
    if (found) await checkOurs(path, found)
    await writeDurably(path, pem, 0o644)
  } catch (error) {
    throw error instanceof CaError ? error : unavailable(`the file of CRLs ${path} can’t be written`, error)
  }
}

async function foundAt(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

async function checkOurs(path: string, found: Stats): Promise<void> {
  if (!found.isFile())
    throw new CaError(
      'wrong_state',
      `${path} is no plain file${found.isSymbolicLink() ? ', but a link' : ''}, and is left as it is; set crlFile to the path of a file`,
    )
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(BEGIN.length), 0, BEGIN.length, 0)
  if (bytesRead > 0 && buffer.toString('latin1') !== BEGIN)
    throw new CaError(
      'wrong_state',
      `${path} holds something other than CRLs, and is left as it is; set crlFile to another path, or move that away`,
    )
}
