import { CaError } from '../core/errors.ts'
import { signatureScheme } from '../keys/algorithms.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import { type Certificate, isSelfIssued, urisOf } from '../x509/certificate.ts'
import { checkIssued, checkSigner } from './path.ts'

/**
 * That a certificate can be a root: a CA, self-signed. A signature of a kind that nobody should trust any more (SHA-1) is passed over, for who trusts
 * a root trusts it without one; `isWeaklySigned` says it.
 * @throws CaError `invalid_argument`
 */
export function checkRoot(certificate: Certificate, what: string): void {
  if (!isSelfIssued(certificate.tbs))
    throw new CaError('invalid_argument', `${what} is no root: it was issued by another name`)
  if (!isWeaklySigned(certificate)) checkIssued(certificate, certificate, what)
  checkSigner(certificate, 0, what)
}

export const isWeaklySigned = ({ signatureAlgorithm }: Certificate): boolean =>
  signatureScheme(signatureAlgorithm) === undefined

/**
 * That no CA certificate is another trust domain's: one that names a SPIFFE ID names this one's (X509-SVID §3.2).
 * @throws CaError `invalid_argument`
 */
export function checkTrustDomain(certificates: readonly Certificate[], trustDomain: TrustDomain): void {
  for (const { tbs } of certificates)
    for (const uri of urisOf(tbs))
      if (uri.toLowerCase().startsWith('spiffe:') && uri !== trustDomain.uri)
        throw new CaError(
          'invalid_argument',
          `a CA certificate is for ${JSON.stringify(uri.slice(0, 300))}, and the trust domain here is ${trustDomain.name}`,
        )
}
