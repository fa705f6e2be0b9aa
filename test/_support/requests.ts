import type { Credentials } from '../../src/attestation/attest.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import type { Asked, IssueSvidRequest } from '../../src/service/issue-svid.ts'
import { writeCsrInfo, writeCsrPem } from '../../src/x509/csr.ts'
import { aCsr } from './csr.ts'

let requests = 0

/** A request as the istio endpoint hands it on, with a fresh key's CSR unless it brings one. */
export async function aRequest(
  credentials: Credentials,
  { csrPem, ttlSeconds = 0, ...change }: Partial<IssueSvidRequest & Asked> = {},
): Promise<IssueSvidRequest> {
  const asked = { csrPem: csrPem ?? (await aCsr()).pem, ttlSeconds }
  return {
    context: { requestId: `request-${++requests}`, endpoint: 'istio-ca', peer: '127.0.0.1:40000' },
    credentials,
    asked: () => asked,
    ...change,
  }
}

/** A CSR for a key that is there already. */
export async function csrOf(key: PrivateKey): Promise<string> {
  const info = writeCsrInfo(key.publicKey.spki)
  return writeCsrPem(info, key.publicKey.algorithm.signatureAlgorithm, await key.sign(info))
}
