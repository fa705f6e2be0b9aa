import { CaError } from '../core/errors.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import { type Certificate, urisOf } from '../x509/certificate.ts'

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
