import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { certificatePem, crlPem } from '../../src/x509/pem.ts'

/** What `openssl verify` says of each leaf: `OK`, or why not. All under the same roots, at the same moment; with CRLs, one is asked for at every link. */
export function opensslVerify(
  leaves: readonly Uint8Array[],
  untrusted: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  at: Date,
  crls?: readonly Uint8Array[],
): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'alcazar-openssl-'))
  try {
    const file = (name: string, certificates: readonly Uint8Array[]): string => {
      const path = join(directory, name)
      writeFileSync(path, certificates.map(certificatePem).join(''))
      return path
    }
    const crlFile = join(directory, 'crls.pem')
    if (crls) writeFileSync(crlFile, crls.map(crlPem).join(''))
    const paths = leaves.map((leaf, index) => file(`leaf-${index}.pem`, [leaf]))
    const { stdout, stderr } = spawnSync(
      'openssl',
      [
        'verify',
        '-CAfile',
        file('roots.pem', roots),
        ...(untrusted.length > 0 ? ['-untrusted', file('untrusted.pem', untrusted)] : []),
        ...(crls ? ['-crl_check_all', ...(crls.length > 0 ? ['-CRLfile', crlFile] : [])] : []),
        '-no-CApath',
        '-no-CAstore',
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
