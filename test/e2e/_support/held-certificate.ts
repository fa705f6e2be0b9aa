import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'

const FILES = ['key.pem', 'cert-chain.pem', 'root-cert.pem'] as const

/** Key, chain and roots that a client holds, read at one moment and found to belong together. */
export class HeldCertificate {
  readonly roots: readonly X509Certificate[]
  /** From the leaf up. */
  readonly #chain: readonly X509Certificate[]
  readonly #files: ReadonlyMap<string, string>

  /** @throws where a file is missing, or the client is just writing */
  constructor(folder: string) {
    this.#files = new Map(FILES.map((name) => [name, readFileSync(join(folder, name), 'utf8')]))
    this.#chain = certificatesOf(this.#text('cert-chain.pem'))
    this.roots = certificatesOf(this.#text('root-cert.pem'))
    if (!this.leaf.checkPrivateKey(createPrivateKey(this.#text('key.pem'))))
      throw new Error(`${folder}: the key is not the certificate’s`)
  }

  get leaf(): X509Certificate {
    return this.#chain[0] as X509Certificate
  }

  /** Hex in lower case, as the ledger has it. */
  get serial(): string {
    return this.leaf.serialNumber.toLowerCase()
  }

  /** Whether the issuing authority of the leaf was signed by that root. */
  isUnder(root: X509Certificate): boolean {
    return this.#chain[1]?.verify(root.publicKey) === true
  }

  /** Whether it trusts exactly these. */
  trusts(...roots: readonly X509Certificate[]): boolean {
    return this.roots.map(String).sort().join() === roots.map(String).sort().join()
  }

  /** Writes the three files, for a program to read. */
  copyTo(folder: string): string {
    mkdirSync(folder, { recursive: true })
    for (const [name, text] of this.#files) writeFileSync(join(folder, name), text, { mode: 0o600 })
    return folder
  }

  #text(name: (typeof FILES)[number]): string {
    return this.#files.get(name) as string
  }
}

function certificatesOf(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw new Error('no certificate')
  return blocks.map((block) => new X509Certificate(block))
}

/** OpenSSL finds a path from the leaf to one of `roots` (a file), for both sides of a TLS connection. @throws with what it says */
export async function verifyWithOpenssl(folder: string, roots = join(folder, 'root-cert.pem')): Promise<void> {
  const chain = join(folder, 'cert-chain.pem')
  for (const purpose of ['sslclient', 'sslserver'])
    await run('openssl', [
      ...['verify', '-x509_strict', '-purpose', purpose],
      ...['-no-CApath', '-no-CAstore', '-CAfile', roots, '-untrusted', chain, chain],
    ])
}
