import { X509Certificate } from 'node:crypto'
import type { ConnectionOptions } from 'node:tls'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import { readCertificate, writeCertificate } from '../../src/x509/certificate.ts'
import { certificatePem } from '../../src/x509/pem.ts'
import { aCsr } from './csr.ts'
import type { BareGrpcClient } from './grpc-client.ts'

/** What a workload holds: a key and the certificates of its mTLS handshakes. */
export type Identity = {
  /** For TLS. */
  readonly tls: Required<Pick<ConnectionOptions, 'key' | 'cert'>> & { readonly key: string; readonly cert: string }
  readonly leaf: X509Certificate
}

/** Asks for a certificate over a fresh key, by a token or by the certificate the client came with. */
export async function obtain(
  client: BareGrpcClient,
  token: string | undefined,
  { validityDuration = 0n } = {},
): Promise<Identity> {
  const { key, pem } = await aCsr()
  const { status, message, response } = await client.createCertificate({ csr: pem, validityDuration }, token)
  if (!response) throw new Error(`refused: ${status} ${message}`)
  const chain = response.certChain.slice(0, -1)
  return { tls: { key: await pemOf(key), cert: chain.join('') }, leaf: new X509Certificate(chain[0] ?? '') }
}

export async function pemOf(key: PrivateKey): Promise<string> {
  let text = ''
  await key.store(async (bytes) => {
    text = Buffer.from(bytes).toString()
  })
  return text
}

/** The same certificate to the last name and number, over another key of the same kind, signed by whoever likes to. */
export async function forged({ leaf }: Identity, key: PrivateKey, signer: PrivateKey): Promise<Identity> {
  const genuine = readCertificate(leaf.raw)
  const tbs = Buffer.from(genuine.tbs.bytes)
  const at = tbs.indexOf(genuine.tbs.publicKey)
  Buffer.from(key.publicKey.spki).copy(tbs, at)
  const der = writeCertificate(tbs, genuine.signatureAlgorithm, await signer.sign(tbs))
  const cert = certificatePem(der)
  return { tls: { key: await pemOf(key), cert }, leaf: new X509Certificate(cert) }
}
