import { X509Certificate } from 'node:crypto'
import type { Credentials } from '../../attestation/attest.ts'
import { MINUTE } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { AskRenewal } from '../../service/ask-renewal.ts'
import type { Crls } from '../../service/crl-set.ts'
import type { Asked, IssueSvid } from '../../service/issue-svid.ts'
import type { ListWorkloads, WorkloadQuery } from '../../service/list-workloads.ts'
import type { ScheduleStatus } from '../../service/schedule.ts'
import type { Status } from '../../service/status.ts'
import type { TrustBundle } from '../../spiffe/trust-bundle.ts'
import { certificatePem } from '../../x509/pem.ts'
import { crlRoutes } from './crl-routes.ts'
import type { HttpAnswer, HttpCall, Route } from './http.ts'
import { OPENAPI } from './openapi.ts'

const REFRESH_HINT_SECONDS = 5 * (MINUTE / 1000)

export type PublicUseCases = {
  readonly issueSvid: IssueSvid
  readonly askRenewal: AskRenewal
  readonly bundle: () => TrustBundle
  readonly status: () => Promise<Status>
  /** Where CRLs are signed. */
  readonly crls?: Crls
}

/** The HTTPS API, for those who prefer JSON to gRPC. */
export function publicRoutes({ issueSvid, askRenewal, bundle, status, crls }: PublicUseCases): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/certificates',
      handle: async (call) => {
        const { context, signal } = call
        const { svid, chainPem, rootsPem, bundleSequence, renewAt } = await issueSvid(
          { context, credentials: credentialsOf(call), asked: () => asked(call) },
          signal,
        )
        const { tbs, entitlement } = svid.prepared
        return json({
          spiffeId: entitlement.id.uri,
          serial: tbs.serial,
          notBefore: tbs.notBefore.toISOString(),
          notAfter: tbs.notAfter.toISOString(),
          certificateChain: chainPem.join(''),
          trustBundle: rootsPem,
          bundleSequence,
          renewAt: renewAt.toISOString(),
        })
      },
    },
    {
      method: 'GET',
      path: '/v1/renewal',
      handle: async (call) => {
        const { context, signal } = call
        const { start, end, at, askAgainMs } = await askRenewal({ context, credentials: credentialsOf(call) }, signal)
        return {
          ...json({
            suggestedWindow: { start: start.toISOString(), end: end.toISOString() },
            renewAt: at.toISOString(),
          }),
          retryAfterMs: askAgainMs,
        }
      },
    },
    {
      method: 'GET',
      path: '/v1/bundle',
      handle: async (call) => {
        const now = bundle()
        const pem =
          call.query.get('format') === 'pem' ||
          call.accept(['application/json', 'application/x-pem-file']) === 'application/x-pem-file'
        if (pem) return { type: 'application/x-pem-file', body: now.roots.map(certificatePem).join('') }
        return json(
          now.toJwks((root) => new X509Certificate(root).publicKey.export({ format: 'jwk' }), REFRESH_HINT_SECONDS),
        )
      },
    },
    {
      method: 'GET',
      path: '/v1/status',
      handle: async () => {
        // What anyone may know: a version, or whose key lay somewhere, would only help whoever looks for such.
        const { version: _version, mode: _mode, rotating: _rotating, inTheClear: _inTheClear, ...open } = await status()
        return json(open)
      },
    },
    { method: 'GET', path: '/v1/openapi.json', handle: async () => json(OPENAPI) },
    ...(crls ? crlRoutes(crls) : []),
  ]
}

/** What this server tells who may enter its state directory. */
export type ServerDescription = {
  readonly status: Status
  /** Where the CA listens, as host:port. */
  readonly caAddress: string
  readonly trustBundle: string
}

export type LocalUseCases = {
  readonly describe: () => Promise<ServerDescription>
  readonly listWorkloads: ListWorkloads
  readonly schedule: () => ScheduleStatus
  /** Only in dev mode. */
  readonly issueToken: ((account: { namespace: string; name: string }) => Promise<string>) | undefined
}

/** The admin's verbs, on the unix socket. */
export function localRoutes({ describe, listWorkloads, schedule, issueToken }: LocalUseCases): readonly Route[] {
  const routes: readonly Route[] = [
    { method: 'GET', path: '/v1/server', handle: async () => json(await describe()) },
    { method: 'GET', path: '/v1/workloads', handle: async ({ query }) => json(listWorkloads(workloadQuery(query))) },
    { method: 'GET', path: '/v1/schedule', handle: async () => json(schedule()) },
  ]
  if (!issueToken) return routes
  return [
    ...routes,
    {
      method: 'POST',
      path: '/v1/dev/tokens',
      handle: async (call) => {
        const { namespace, serviceAccount } = fields(call.body(), ['namespace', 'serviceAccount'])
        if (typeof namespace !== 'string' || typeof serviceAccount !== 'string')
          throw new CaError('invalid_argument', 'namespace and serviceAccount are texts')
        return json({ token: await issueToken({ namespace, name: serviceAccount }) })
      },
    },
  ]
}

/** So many that the answer stays below the 4 MiB a client takes. */
const MAX_WORKLOADS = 5000

function workloadQuery(query: URLSearchParams): WorkloadQuery {
  const {
    namespace,
    on,
    lagging,
    limit = '100',
  } = fields(Object.fromEntries(query), ['namespace', 'on', 'lagging', 'limit']) as {
    readonly [key: string]: string | undefined
  }
  const most = /^[1-9]\d{0,4}$/.test(limit) ? Number(limit) : Number.POSITIVE_INFINITY
  if (most > MAX_WORKLOADS) throw new CaError('invalid_argument', `limit is a whole number from 1 to ${MAX_WORKLOADS}`)
  if (on !== undefined && !/^[0-9a-f]{4,40}$/.test(on))
    throw new CaError('invalid_argument', 'on is the beginning of an authority’s id: 4 to 40 digits of lower-case hex')
  if (lagging !== undefined && lagging !== 'true' && lagging !== 'false')
    throw new CaError('invalid_argument', 'lagging is true or false')
  return { namespace, on, lagging: lagging === 'true', limit: most }
}

const credentialsOf = ({ authorization, clientCertificate }: HttpCall): Credentials => ({
  authorization,
  clientCertificate,
  impersonatedIdentity: undefined,
})

function asked(call: HttpCall): Asked {
  const { csr, ttlSeconds } = fields(call.body(), ['csr', 'ttlSeconds'])
  if (typeof csr !== 'string')
    throw new CaError('invalid_argument', 'csr is missing: a PEM CERTIFICATE REQUEST as text')
  if (ttlSeconds !== undefined && (typeof ttlSeconds !== 'number' || !Number.isSafeInteger(ttlSeconds)))
    throw new CaError('invalid_argument', 'ttlSeconds is a whole number of seconds; leave it out for the default')
  return { csrPem: csr, ttlSeconds: ttlSeconds ?? 0 }
}

export const json = (body: object): HttpAnswer => ({ type: 'application/json; charset=utf-8', body })

/** The body with only fields that exist: a misspelt one is told, not ignored. */
export function fields(
  body: { readonly [key: string]: Json | undefined },
  known: readonly string[],
): { readonly [key: string]: Json | undefined } {
  for (const key of Object.keys(body))
    if (!known.includes(key))
      throw new CaError(
        'invalid_argument',
        `unknown field ${JSON.stringify(key.slice(0, 64))}; there are ${known.join(', ')}`,
      )
  return body
}
