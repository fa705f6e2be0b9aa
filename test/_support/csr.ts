import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { writeCsrInfo, writeCsrPem } from '../../src/x509/csr.ts'

/** A key and its CSR, as a well-behaved client sends one. */
export async function aCsr(algorithm = 'ecdsa-p256'): Promise<{ key: PrivateKey; pem: string }> {
  const key = await PrivateKey.generate(keyAlgorithm(algorithm))
  const info = writeCsrInfo(key.publicKey.spki)
  return { key, pem: writeCsrPem(info, key.publicKey.algorithm.signatureAlgorithm, await key.sign(info)) }
}
