import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CaError } from '../core/errors.ts'
import type { ExportedCa } from '../service/export-ca.ts'
import type { Certificate } from '../x509/certificate.ts'
import { certificatePem } from '../x509/pem.ts'
import { isMissing, syncDirectory, unavailable, writeNew } from './durable-file.ts'

/** @throws CaError `conflict`: something is there · `invalid_argument`: it can't be looked at */
export async function checkEmpty(directory: string): Promise<void> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw new CaError('invalid_argument', `${directory} can’t be written to: ${(error as Error).message}`, {
      cause: error,
    })
  })
  if (names.length > 0)
    throw new CaError(
      'conflict',
      `${directory} is not empty, and no key is ever written over another; choose a new directory`,
    )
}

/**
 * Writes istio's `cacerts` layout into a directory that `checkEmpty` passed, the key last, for the owner's eyes only.
 * @throws CaError `dependency_unavailable`: the disk refuses; there may be certificates, and a key only whole
 */
export async function writeCacerts(directory: string, { certificate, key, chain, roots }: ExportedCa): Promise<void> {
  const pem = (certificates: readonly Certificate[]) => certificates.map(({ der }) => certificatePem(der)).join('')
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await writeNew(join(directory, 'root-cert.pem'), pem(roots), 0o644)
    await writeNew(join(directory, 'cert-chain.pem'), pem(chain), 0o644)
    await writeNew(join(directory, 'ca-cert.pem'), pem([certificate]), 0o644)
    await key.store((bytes) => writeNew(join(directory, 'ca-key.pem'), bytes, 0o400))
    await syncDirectory(directory)
  } catch (error) {
    throw unavailable(`the CA can’t be written to ${directory}`, error)
  }
}
