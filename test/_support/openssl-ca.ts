import { execFileSync } from 'node:child_process'
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A self-signed CA that may sign leaves and no CA (pathlen 0), as people make one with OpenSSL, in istio's `cacerts` layout. */
export async function aRootForLeavesOnly(directory: string): Promise<void> {
  const file = (name: string) => join(directory, name)
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'],
      ...['-subj', '/O=Example/CN=root', '-addext', 'basicConstraints=critical,CA:TRUE,pathlen:0'],
      ...[
        '-addext',
        'keyUsage=critical,keyCertSign,cRLSign',
        '-keyout',
        file('ca-key.pem'),
        '-out',
        file('ca-cert.pem'),
      ],
    ],
    { stdio: 'ignore' },
  )
  copyFileSync(file('ca-cert.pem'), file('root-cert.pem'))
  writeFileSync(file('cert-chain.pem'), '')
}

/** A CSR, made by OpenSSL, that asks for much: a name, other identities, and to be a CA. */
export function aGreedyCsr(): string {
  const names = 'subjectAltName=URI:spiffe://cluster.local/ns/kube-system/sa/admin,DNS:bank.example,IP:192.0.2.1'
  return execFileSync(
    'openssl',
    [
      ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null'],
      ...['-subj', '/O=Evil/CN=bank.example', '-addext', names, '-addext', 'basicConstraints=critical,CA:TRUE'],
      ...['-addext', 'keyUsage=keyCertSign,cRLSign'],
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  )
}
