import { signingUnder } from '../../authority/authority.ts'
import { CaError } from '../../core/errors.ts'
import { authorityIdOf } from '../../keys/public-key.ts'
import type { OfflineRoots } from '../../service/offline-roots.ts'
import { MAX_REASON } from '../../service/root-steps.ts'
import { type Certificate, readCertificate } from '../../x509/certificate.ts'
import { readPem } from '../../x509/pem.ts'
import type { Route } from './http.ts'
import { fields, json } from './routes.ts'

/** A root that is kept elsewhere, and what signs for it. */
export type PreparedSigned = {
  readonly id: string
  readonly state: string
  readonly bundledSince: number
  /** The id of its online CA's key. */
  readonly onlineCa: string
}

/** Of the certificates together, PEM. */
export const MAX_CHAIN_BYTES = 64 * 1024

/** The verbs for roots whose keys are elsewhere, on the unix socket alone. */
export function offlineRoutes(roots: OfflineRoots): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/roots/sign-request',
      handle: async (call) => {
        fields(call.body(), [])
        return json(await roots.signRequest())
      },
    },
    {
      method: 'POST',
      path: '/v1/roots/prepare-signed',
      handle: async (call) => {
        const { certificates, because = '' } = fields(call.body(), ['certificates', 'because'])
        if (typeof certificates !== 'string')
          throw new CaError('invalid_argument', 'certificates is missing: a PEM text, the root last')
        if (typeof because !== 'string' || because.length > MAX_REASON)
          throw new CaError('invalid_argument', `because is a text of at most ${MAX_REASON} characters`)
        const root = await roots.prepare(await certificatesIn(certificates), { by: 'admin', because })
        const onlineCa = authorityIdOf(signingUnder(root).certificate.tbs.publicKey)
        const { id, state, bundledSince } = root
        return json({ id, state, bundledSince, onlineCa } satisfies PreparedSigned)
      },
    },
  ]
}

async function certificatesIn(pem: string): Promise<Certificate[]> {
  // Loaded here, where it is needed at most a few times in a server's life.
  const { confirmReading } = await import('../../x509/second-reader.ts')
  return readPem(pem, MAX_CHAIN_BYTES, 'text').map(({ label, der }) => {
    if (label !== 'CERTIFICATE')
      throw new CaError('invalid_argument', `there is a PEM block “${label}”; expected “CERTIFICATE” alone`)
    const certificate = readCertificate(der)
    confirmReading(certificate)
    return certificate
  })
}
