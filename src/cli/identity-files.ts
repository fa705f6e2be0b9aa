import { constants } from 'node:fs'
import { access, lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { CaError } from '../core/errors.ts'
import type { PrivateKey } from '../keys/private-key.ts'
import { readBounded } from '../storage/bounded-file.ts'
import { writeDurably } from '../storage/durable-file.ts'
import { makeDirectory } from '../storage/make-directory.ts'
import { readCertificate, urisOf } from '../x509/certificate.ts'
import { readPem } from '../x509/pem.ts'
import { fileFault } from './file-fault.ts'

const KEY = 'key.pem'
const CHAIN = 'cert-chain.pem'
const ROOTS = 'root-cert.pem'

const MAX_FILE_BYTES = 1024 * 1024

export const IDENTITY_FILES: readonly string[] = [KEY, CHAIN, ROOTS]

/**
 * Makes the directory and its parents where they are missing, and finds out what would keep the files from being written.
 * @throws CaError `invalid_argument`
 */
export async function prepareDirectory(out: string): Promise<void> {
  try {
    await makeDirectory(out, 0o755)
    await access(out, constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw fileFault(`--out ${out}`, cause)
  }
  for (const path of IDENTITY_FILES.map((name) => join(out, name)))
    if ((await lstat(path).catch(() => undefined))?.isDirectory())
      throw new CaError('invalid_argument', `${path} is a directory; choose another --out`)
}

/**
 * What is there may be somebody's only key: it is replaced only by the next one of the same identity.
 * @param isOwn whether a SPIFFE ID is that identity
 * @throws CaError `conflict`
 */
export async function refuseForeignFiles(out: string, isOwn: (id: string) => boolean): Promise<void> {
  const [key, chain] = await Promise.all([KEY, CHAIN].map((name) => textIn(join(out, name))))
  if (key === undefined && chain === undefined) return
  const holder = chain === undefined ? undefined : identityIn(chain)
  if (holder === undefined || !isOwn(holder))
    throw new CaError(
      'conflict',
      `${out} holds ${holder ? `files of ${holder}` : 'a key of somebody else'}; choose another --out, or replace them with --force`,
    )
}

/** @throws CaError `invalid_argument` */
export async function writeIdentity(
  out: string,
  key: PrivateKey,
  { certificateChain, trustBundle }: { readonly certificateChain: string; readonly trustBundle: string },
): Promise<void> {
  try {
    await key.store((pem) => writeDurably(join(out, KEY), pem, 0o600))
    await writeDurably(join(out, CHAIN), certificateChain, 0o644)
    await writeDurably(join(out, ROOTS), trustBundle, 0o644)
  } catch (cause) {
    throw fileFault(`${out} can’t be written`, cause)
  }
}

async function textIn(path: string): Promise<string | undefined> {
  try {
    return (await readBounded(path, { what: path, atMost: MAX_FILE_BYTES })).toString('utf8')
  } catch (cause) {
    if (cause instanceof CaError) throw cause
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fileFault(`${path} can’t be read`, cause)
  }
}

function identityIn(chain: string): string | undefined {
  try {
    const [leaf] = readPem(chain, MAX_FILE_BYTES, 'text')
    return leaf && urisOf(readCertificate(leaf.der).tbs)[0]
  } catch {
    return undefined // not ours to understand, so not ours to replace
  }
}
