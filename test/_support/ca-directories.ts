import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { certificatePem } from '../../src/x509/pem.ts'
import { anIntermediate, aRoot, type TestCa, writeCacerts } from './plugged-ca.ts'
import { scratch } from './scratch.ts'

/** A file with a wrapping key: it seals at once, where a passphrase takes its time. */
export function aWrappingKey(): string {
  const path = join(scratch(), 'wrapping-key')
  writeFileSync(path, randomBytes(32).toString('hex'), { mode: 0o600 })
  return path
}

/** A root that is its own CA, in a directory as people make one. */
export async function aRootDirectory(
  options: Parameters<typeof aRoot>[0] = {},
): Promise<{ path: string; root: TestCa }> {
  const path = scratch()
  const root = await aRoot(options)
  await writeCacerts(path, root, [root], [root])
  return { path, root }
}

/** An intermediate that signs leaves itself, as most `cacerts` are. */
export async function aCacertsDirectory(): Promise<{ path: string; root: TestCa; ca: TestCa }> {
  const path = scratch()
  const root = await aRoot()
  const ca = await anIntermediate(root)
  await writeCacerts(path, ca, [ca], [root])
  return { path, root, ca }
}

export const pemOf = (...cas: TestCa[]): string =>
  cas.map(({ certificate }) => certificatePem(certificate.der)).join('')

/** A key as it would lie in a Secret. */
export async function keyPemOf({ key }: TestCa): Promise<string> {
  let text = ''
  await key.store(async (pem) => {
    text = Buffer.from(pem).toString()
  })
  return text
}

/** Every file below, by its path in there, as `mode content`. */
export function picture(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted()
      .map((path) => [
        path.slice(directory.length + 1),
        `${(statSync(path).mode & 0o777).toString(8)} ${readFileSync(path, 'latin1')}`,
      ]),
  )
}
