import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A CSR that asks for everything: another subject and identity, DNS names, a CA, every key usage, and an extension nobody knows. */
const GREEDY = `
[req]
prompt = no
distinguished_name = name
req_extensions = wishes
[name]
O = somebody-else
CN = root.cluster.local
[wishes]
basicConstraints = critical, CA:TRUE, pathlen:3
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
extendedKeyUsage = codeSigning, emailProtection
subjectAltName = critical, URI:spiffe://cluster.local/ns/kube-system/sa/admin, DNS:evil.example, IP:10.0.0.1, email:admin@evil.example
subjectKeyIdentifier = hash
1.3.6.1.4.1.32473.1.1 = critical, ASN1:UTF8String:forged-lineage
1.3.6.1.4.1.32473.77 = ASN1:UTF8String:greedy-extension
`

/** Made by OpenSSL, with a P-256 key of its own. */
export function greedyCsr(): { readonly pem: string; readonly privateKeyPem: string } {
  const directory = mkdtempSync(join(tmpdir(), 'alcazar-csr-'))
  try {
    const [config, key, csr] = ['config', 'key', 'csr'].map((name) => join(directory, name)) as [string, string, string]
    writeFileSync(config, GREEDY)
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    execFileSync('openssl', ['req', '-new', ...curve, '-config', config, '-keyout', key, '-out', csr], {
      stdio: 'ignore',
    })
    return { pem: readFileSync(csr, 'utf8'), privateKeyPem: readFileSync(key, 'utf8') }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
