import { readdir, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { CaError } from '../core/errors.ts'
import type { ExportedCa } from '../service/export-ca.ts'
import type { Certificate } from '../x509/certificate.ts'
import { certificatePem } from '../x509/pem.ts'
import { isMissing, syncDirectory, unavailable, writeExclusively } from './durable-file.ts'
import { makeDirectory } from './make-directory.ts'

/** @throws CaError `conflict`: something is there · `invalid_argument`: it can't be looked at */
export async function checkEmpty(directory: string): Promise<void> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw new CaError('invalid_argument', `${directory} can’t be written to: ${(error as Error).message}`, {
      cause: error,
    })
  })
  if (names.length > 0) throw notEmpty(directory)
}

/**
 * Makes a directory for istio's `cacerts` layout, and writes all of it but the key, for the owner's eyes only. Gives what takes it back.
 * @throws CaError as `checkEmpty` · `dependency_unavailable`: the disk refuses; nothing is left
 */
export async function writeCertificates(
  directory: string,
  { certificate, chain, roots }: ExportedCa,
): Promise<() => Promise<void>> {
  const pem = (certificates: readonly Certificate[]) => certificates.map(({ der }) => certificatePem(der)).join('')
  const written: string[] = []
  const write = async (name: string, certificates: readonly Certificate[]) => {
    await writeExclusively(join(directory, name), pem(certificates), 0o644)
    written.push(name)
  }
  // Nothing of anybody else's: a directory that holds more stays.
  const takeBack = async () => {
    for (const name of written.splice(0)) await unlink(join(directory, name)).catch(() => undefined)
    await rmdir(directory).catch(() => undefined)
  }
  try {
    await writing(directory, async () => {
      await makeDirectory(directory, 0o700)
      await checkEmpty(directory)
      await write('root-cert.pem', roots)
      await write('cert-chain.pem', chain)
      await write('ca-cert.pem', [certificate])
      await syncDirectory(directory)
    })
  } catch (error) {
    await takeBack()
    throw error
  }
  return takeBack
}

/**
 * Writes the key beside them.
 * @throws CaError `conflict`: somebody else wrote one meanwhile, which stays · `dependency_unavailable`: the disk refuses; there is no key
 */
export async function writeKey(directory: string, { key }: ExportedCa): Promise<void> {
  await writing(directory, async () => {
    await key.store((bytes) => writeExclusively(join(directory, 'ca-key.pem'), bytes, 0o400))
    await syncDirectory(directory)
  })
}

async function writing(directory: string, write: () => Promise<void>): Promise<void> {
  try {
    await write()
  } catch (error) {
    if (error instanceof CaError) throw error
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw notEmpty(directory)
    throw unavailable(`the CA can’t be written to ${directory}`, error)
  }
}

const notEmpty = (directory: string) =>
  new CaError('conflict', `${directory} is not empty, and no key is ever written over another; choose a new directory`)
