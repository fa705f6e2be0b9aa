import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { certificatePem } from '../../src/x509/pem.ts'

/** What `openssl verify` says of each leaf: `OK`, or why not. All under the same roots, at the same moment. */
export function opensslVerify(
  leaves: readonly Uint8Array[],
  untrusted: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  at: Date,
  options: readonly string[] = [],
): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'alcazar-openssl-'))
  try {
    const file = (name: string, certificates: readonly Uint8Array[]): string => {
      const path = join(directory, name)
      writeFileSync(path, certificates.map(certificatePem).join(''))
      return path
    }
    const paths = leaves.map((leaf, index) => file(`leaf-${index}.pem`, [leaf]))
    const { stdout, stderr } = spawnSync(
      'openssl',
      [
        'verify',
        '-CAfile',
        file('roots.pem', roots),
        ...(untrusted.length > 0 ? ['-untrusted', file('untrusted.pem', untrusted)] : []),
        '-no-CApath',
        '-no-CAstore',
        ...options,
        '-attime',
        `${Math.floor(at.getTime() / 1000)}`,
        ...paths,
      ],
      { encoding: 'utf8' },
    )
    return paths.map((path) =>
      stdout.includes(`${path}: OK`) ? 'OK' : (new RegExp(`lookup: (.*)\\n.*${path}`).exec(stderr)?.[1] ?? stderr),
    )
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
