import { CaError } from '../core/errors.ts'
import { signatureScheme } from '../keys/algorithms.ts'
import { type PublicKey, readPublicKey, verifySignature } from '../keys/public-key.ts'
import type { Csr } from '../x509/csr.ts'

/**
 * The one thing taken from a CSR: its public key, found good, with the requester's proof that it holds the private one (RFC 2986 §4.2).
 * @throws CaError `bad_csr`
 */
export function provenKey(csr: Csr): PublicKey {
  const key = readPublicKey(csr.publicKey)
  if (!signatureScheme(csr.signatureAlgorithm))
    throw new CaError(
      'bad_csr',
      'the CSR is signed with an algorithm that is not accepted; use ECDSA or RSA with SHA-256, SHA-384 or SHA-512, or Ed25519',
    )
  if (!verifySignature(key, csr.signatureAlgorithm, csr.signed, csr.signature))
    throw new CaError('bad_csr', 'the CSR’s own signature does not verify with its public key')
  return key
}
