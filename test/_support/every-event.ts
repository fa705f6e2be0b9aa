import { type RefusalReason, refused } from '../../src/attestation/caller.ts'
import { AUTHORITY_STATES, type Authority } from '../../src/authority/authority.ts'
import { type AuthorityEnd, authorityEnds } from '../../src/authority/authority-ends.ts'
import type { AskedStep } from '../../src/authority/plugged-roots.ts'
import { CaError, type CaErrorCode } from '../../src/core/errors.ts'
import { OUTCOMES } from '../../src/core/outcomes.ts'
import { KEY_ALGORITHMS } from '../../src/keys/algorithms.ts'
import type { CertificateAlert, EndpointName, Events, JobName } from '../../src/service/events.ts'
import { aCa } from './a-ca.ts'
import { NEVER, withToken } from './attested.ts'
import { aSet } from './authority-sets.ts'
import { aRequest } from './requests.ts'

type Closed<T extends string> = { readonly [value in T]: true }
const valuesOf = <T extends string>(closed: Closed<T>) => Object.keys(closed).sort() as T[]

const REASONS = valuesOf<RefusalReason>({
  no_credential: true,
  two_credentials: true,
  malformed_token: true,
  unknown_key: true,
  bad_signature: true,
  wrong_issuer: true,
  wrong_audience: true,
  expired: true,
  not_yet_valid: true,
  no_expiry: true,
  not_a_service_account: true,
  unbound_token: true,
  token_review: true,
  pod_gone: true,
  service_account_gone: true,
  unknown_issuer: true,
  not_an_svid: true,
  other_trust_domain: true,
  no_lineage: true,
  lineage_ended: true,
  impersonation: true,
  revoked: true,
  forgotten: true,
})

/** Every value that a label may have. A value more in the sources is a compile error here. */
export const CLOSED = {
  endpoint: valuesOf<EndpointName>({ 'istio-ca': true, admin: true }),
  method: valuesOf<Parameters<Events['svidIssued']>[1]['method']>({
    'service-account-token': true,
    'client-certificate': true,
    impersonation: true,
  }),
  key: KEY_ALGORITHMS.map(({ name }) => name).sort(),
  code: (Object.keys(OUTCOMES) as CaErrorCode[]).sort(),
  reason: [...REASONS, 'none'].sort(),
  why: valuesOf<Parameters<Events['connectionClosed']>[0]>({ abuse: true, 'too many': true, handshake: true }),
  job: valuesOf<JobName>({ checkAuthorities: true, rotateRoot: true, renewIssuing: true, prune: true }),
  role: valuesOf<AuthorityEnd['role']>({ root: true, issuing: true, intermediate: true }),
  state: valuesOf<AuthorityEnd['state']>({ prepared: true, active: true, old: true, tainted: true }),
  alert: valuesOf<CertificateAlert>({
    'unknown CA': true,
    'bad certificate': true,
    'certificate unknown': true,
    'certificate expired': true,
    'certificate revoked': true,
    'unsupported certificate': true,
  }),
  step: valuesOf<AskedStep['verb']>({ activate: true, revoke: true }),
  what: valuesOf<Parameters<Events['lookedUp']>[0]>({ 'token keys': true, pods: true, 'service accounts': true }),
} as const

/** Arguments for every event, from a CA that really issued and refused. */
export async function someArguments() {
  const ca = await aCa()
  await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
  const argsOf = <K extends keyof Events>(name: K) =>
    ca.events.told.find(({ event }) => event === name)?.args as Parameters<Events[K]>
  const [context, issued] = argsOf('svidIssued')
  const [authority] = argsOf('authorityActivated')
  const [bundle, roots] = argsOf('bundlePublished')
  // Each role in each state, by the certificates that there are.
  const authorities = aSet(
    AUTHORITY_STATES.flatMap((state) => [
      { ...(roots[0] as Authority), state },
      { ...authority, state, intermediates: [(roots[0] as Authority).certificate] },
    ]),
  )
  return { clock: ca.clock, active: ca.keeper.active, context, issued, authority, authorities, bundle, roots }
}
export type SomeArguments = Awaited<ReturnType<typeof someArguments>>

/** Tells every event with every value of its closed lists. */
export function tellEverything(events: Events, given: SomeArguments): void {
  const { context, issued, authority, authorities, bundle, roots } = given
  const notAfter = new Date('2030-01-02T00:00:00Z')
  for (const endpoint of CLOSED.endpoint) {
    const here = { ...context, endpoint }
    events.svidRequested(here)
    events.requestShed(endpoint)
    events.requestFailed(here, new CaError('internal', 'internal error', { cause: new TypeError('no such thing') }))
    for (const method of CLOSED.method)
      for (const key of CLOSED.key) events.svidIssued(here, { ...issued, method, key })
    const account = { namespace: 'shop', name: 'cart' }
    for (const code of CLOSED.code)
      events.svidRefused(here, { error: new CaError(code, `for ${code}`), reason: undefined, account, ms: 1.5 })
    for (const reason of REASONS)
      events.svidRefused(here, { error: refused(reason, `for ${reason}`), reason, account: undefined, ms: 1.5 })
  }
  for (const why of CLOSED.why) events.connectionClosed(why, context.peer)
  events.authorityActivated(authority as Authority, 'there was none')
  events.bundlePublished(bundle, roots)
  for (const isUrgent of [true, false])
    events.authorityEndsSoon(authorityEnds(authorities)[0] as AuthorityEnd, { leftMs: 1, isUrgent })
  for (const job of CLOSED.job) {
    events.jobRan(job, notAfter, { done: 'well' }, 1.5)
    events.jobRan(job, notAfter, { failed: new Error('no room') }, 1.5)
  }
  const revocation = { serial: '4a', issuer: 'ab'.repeat(20), at: notAfter, until: notAfter, because: 'INC-17' }
  events.certificateRevoked(revocation, 'spiffe://cluster.local/ns/shop/sa/cart')
  events.certificateRevoked(revocation, undefined)
  events.crlUnsigned('ab'.repeat(20), new Error('the token is away'))
  events.crlsNotHanded(new CaError('not_ready', 'the set is not whole'))
  events.scheduleLost(new Error('not JSON'))
  events.scheduleUnrecorded(new Error('ENOSPC'))
  events.rotationFailed(new Error('no room'))
  events.keeperStopped(new Error('EIO'))
  events.authorityUnrecorded(new Error('ENOSPC'))
  events.pluggedCaTaken(roots[0] as Authority)
  const gate = {
    open: false,
    incomplete: undefined,
    live: 3,
    inTheWay: 0,
    until: notAfter,
    longest: [],
    namespaces: new Map(),
  }
  for (const incomplete of [undefined, 'the ledger is being read'])
    events.deadlinePassed(roots[0] as Authority, { ...gate, incomplete })
  const rotation = { to: undefined, since: notAfter, by: 'clock', because: 'it ends soon' } as const
  events.rotationBegun(rotation, roots[0] as Authority)
  events.rotationDone(rotation, roots[0] as Authority)
  events.workloadForgotten({ workload: 'shop/cart-0', at: notAfter, until: notAfter }, 'it is gone')
  for (const verb of CLOSED.step)
    for (const incomplete of [undefined, 'the ledger is being read'])
      events.pluggedCaWaits(verb, roots[0] as Authority, { ...gate, incomplete })
  for (const alert of CLOSED.alert) {
    events.servingCertificateRefused(alert, { address: '192.0.2.7', times: 3 })
    events.servingCertificateRefused(alert, undefined)
  }
  events.pluggedCaRefused(new CaError('invalid_argument', '/etc/cacerts/ca-key.pem is missing'))
  events.servingCertificateRenewed(['localhost'], notAfter)
  events.inventoryRebuilt({ svids: 7, unknown: 0, closedUntil: undefined, ms: 1.5 })
  events.inventoryRebuilt({ svids: 7, unknown: 2, closedUntil: notAfter, ms: 1.5 })
  events.inventoryUnread(new Error('EIO'))
  for (const what of CLOSED.what) {
    events.lookedUp(what, 'ok')
    events.lookedUp(what, { failed: new Error('connection refused') })
  }
}
