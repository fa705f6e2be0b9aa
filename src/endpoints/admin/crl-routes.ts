import { CaError } from '../../core/errors.ts'
import { type Crls, crlSetPem } from '../../service/crl-set.ts'
import { crlPem } from '../../x509/pem.ts'
import type { Route } from './http.ts'

const PEM = 'application/x-pem-file'
/** RFC 2585 §4.2. */
const DER = 'application/pkix-crl'

export function crlRoutes(crls: Crls): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/crl',
      handle: async () => ({ type: PEM, body: crlSetPem(crls) }),
    },
    {
      method: 'GET',
      path: '/crl/:id',
      handle: async ({ parameter, query, accept }) => {
        const id = parameter('id')
        const crl = crls().crls.find((one) => one.id === id)
        if (!crl)
          throw new CaError(
            'not_found',
            `no CRL of an authority ${JSON.stringify(id.slice(0, 64))}; ids have 40 hex digits, and /v1/status names them`,
          )
        if (query.get('format') === 'pem' || accept([DER, PEM]) === PEM) return { type: PEM, body: crlPem(crl.der) }
        return { type: DER, body: crl.der }
      },
    },
  ]
}
