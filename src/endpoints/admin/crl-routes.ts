import { CaError } from '../../core/errors.ts'
import { crlPem } from '../../x509/pem.ts'
import type { Route } from './http.ts'

/** The CRLs there are, each with its authority’s id, and the ids of the authorities whose CRLs there should be besides. */
export type Crls = () => {
  readonly crls: readonly { readonly id: string; readonly der: Uint8Array }[]
  readonly missing: readonly string[]
}

const PEM = 'application/x-pem-file'
/** RFC 2585 §4.2. */
const DER = 'application/pkix-crl'

export function crlRoutes(crls: Crls): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/crl',
      handle: async () => {
        const { crls: all, missing } = crls()
        // Who checks revocation refuses every peer for want of one CRL, so it is the whole set or none.
        if (missing.length > 0)
          throw new CaError(
            'not_ready',
            `the set is not whole: there is no CRL of ${missing.join(', ')}; where such a CA is not kept here, take its CRL from whoever keeps it, and the others from /crl/<authority id>`,
          )
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
