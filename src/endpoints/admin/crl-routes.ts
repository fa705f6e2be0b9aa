import { CaError } from '../../core/errors.ts'
import { crlPem } from '../../x509/pem.ts'
import type { Route } from './http.ts'

/** Every CRL signed here, with its authority’s id. Where a CA above is not ours, verifiers need that one’s besides. */
export type Crls = () => readonly { readonly id: string; readonly der: Uint8Array }[]

const PEM = 'application/x-pem-file'
/** RFC 2585 §4.2. */
const DER = 'application/pkix-crl'

export function crlRoutes(crls: Crls): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/crl',
      handle: async () => {
        const all = crls()
        // No CRL at all is not the same as nothing revoked: an empty answer could be taken for it.
        if (all.length === 0) throw new CaError('not_found', 'this trust domain has no CRLs; /v1/status says who signs')
        return { type: PEM, body: all.map(({ der }) => crlPem(der)).join('') }
      },
    },
    {
      method: 'GET',
      path: '/crl/:id',
      handle: async ({ parameter, query, accept }) => {
        const id = parameter('id')
        const crl = crls().find((one) => one.id === id)
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
