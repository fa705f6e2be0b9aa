import { isRollback } from '../authority/authority.ts'
import { shortId } from '../core/bytes.ts'
import { durationInWords } from '../core/duration.ts'
import { type CaError, type CaErrorCode, causesOf } from '../core/errors.ts'
import type { Events } from '../service/events.ts'
import type { Log } from './log.ts'
import type { CitadelSignError, Metrics } from './metrics.ts'

/** The Events port on log and metrics. What fails in here is nobody's business out there. */
export function telemetry(log: Log, metrics: Metrics): Events {
  /** What was looked up at least once. */
  const known = new Set<string>()
  return neverThrowing({
    svidRequested() {
      metrics.csrs.inc()
    },
    svidIssued({ requestId, endpoint, peer }, { svid, method, key, ms }) {
      const { tbs, entitlement, authority } = svid.prepared
      metrics.issued.inc()
      metrics.svidsIssued.inc({ endpoint, method, key })
      metrics.duration.observe({ outcome: 'issued' }, ms / 1000)
      log.info(
        {
          requestId,
          endpoint,
          peer,
          spiffeId: entitlement.id.uri,
          serial: tbs.serial,
          notAfter: tbs.notAfter.toISOString(),
          method,
          key,
          issuer: shortId(authority.authority.id),
          ms: round(ms),
        },
        'issued',
      )
    },
    svidRefused({ requestId, endpoint, peer }, { error, reason, account, ms }) {
      countRefusal(metrics, error.code, reason)
      metrics.svidsRefused.inc({ endpoint, code: error.code, reason: reason ?? 'none' })
      metrics.duration.observe({ outcome: 'refused' }, ms / 1000)
      const fields = {
        requestId,
        endpoint,
        peer,
        ...(account && { account: `${account.namespace}/${account.name}` }),
        code: error.code,
        ...(reason && { reason }),
        detail: detailOf(error),
        ms: round(ms),
      }
      if (error.code === 'internal') log.error({ ...fields, stack: stackOf(error) }, 'refused')
      else log.warn(fields, 'refused')
    },
    requestFailed({ requestId, endpoint, peer }, error) {
      log.error({ requestId, endpoint, peer, detail: detailOf(error), stack: stackOf(error) }, 'request failed')
    },
    requestShed(endpoint) {
      metrics.shed.inc({ endpoint })
    },
    connectionClosed(why, peer) {
      metrics.connectionsClosed.inc({ why })
      log.debug({ why, peer }, 'connection closed')
    },
    servingCertificateRefused(alert, client) {
      metrics.servingRefusals.inc({ alert })
      if (client)
        log.warn(
          { ...client, alert },
          'a client refused our certificate; does the file by which it trusts us hold the roots of today’s bundle?',
        )
    },
    authorityActivated(authority, because) {
      if (authority.role === 'issuing') metrics.activations.inc()
      log.info(
        {
          authority: shortId(authority.id),
          role: authority.role,
          notAfter: authority.certificate.tbs.notAfter.toISOString(),
          because,
        },
        'authority activated',
      )
    },
    bundlePublished(bundle, roots) {
      log.info(
        {
          bundleSequence: bundle.sequence,
          digest: bundle.digest,
          roots: roots.map((root) => `${shortId(root.id)} ${root.state}`),
        },
        'bundle published',
      )
    },
    authorityTainted(authority, because) {
      log.error({ authority: shortId(authority.id), role: authority.role, because }, 'authority declared compromised')
    },
    authorityRevoked(authority, because, cutOff) {
      const told = { authority: shortId(authority.id), role: authority.role, because }
      if (cutOff.length === 0) log.info(told, 'authority revoked')
      else
        log.error(
          { ...told, cutOff: cutOff.length, workloads: cutOff.slice(0, 20) },
          'authority revoked, and workloads that stood on it are cut off',
        )
    },
    certificateRevoked({ serial, issuer, until, because }, spiffeId) {
      log.warn(
        { serial, ...(spiffeId && { spiffeId }), issuer: shortId(issuer), notAfter: until.toISOString(), because },
        'certificate revoked',
      )
    },
    crlUnsigned(authority, error) {
      metrics.crlFailures.inc()
      log.error(
        { authority: shortId(authority), detail: causesOf(error) },
        'a CRL can’t be signed; it is tried again in a minute',
      )
    },
    crlsNotHanded(error) {
      metrics.crlFailures.inc()
      log.error({ detail: causesOf(error) }, 'the file of CRLs is not up to date; it is tried again')
    },
    deadlineReached(root) {
      log.error(
        { authority: shortId(root.id) },
        'a new root signs before all workloads have heard of it: the old one is about to end, and they follow the cross-certificate',
      )
    },
    deadlinePassed({ id, certificate }, { inTheWay, longest, incomplete, until }) {
      log.error(
        {
          authority: shortId(id),
          notAfter: certificate.tbs.notAfter.toISOString(),
          inTheWay,
          workloads: longest.map(({ workload }) => workload),
          ...(until && { until: until.toISOString() }),
          ...(incomplete !== undefined && { detail: incomplete }),
        },
        'a root should have been replaced by now, and its successor has to wait: some workloads would not follow it',
      )
    },
    rotationBegun({ by, because }, { id }) {
      log.info({ authority: shortId(id), wishedBy: by, because }, 'rotation begun')
    },
    rotationDone(rotation, { id }) {
      const told = { authority: shortId(id), wishedBy: rotation.by, because: rotation.because }
      if (isRollback(rotation)) log.info(told, 'rotation rolled back')
      else log.info(told, 'rotation done')
    },
    workloadForgotten({ workload, until }, because) {
      log.warn({ workload, until: until.toISOString(), because }, 'workload forgotten')
    },
    clockJumped(ms) {
      log.error(
        { by: `${durationInWords(ms)} ${ms < 0 ? 'back' : 'ahead'}` },
        'the clock was set, or nothing ran for so long: the clock replaces no root and forgets nothing for an hour; set it right if it is wrong',
      )
    },
    rotationFailed(error) {
      metrics.rotationFailures.inc()
      log.error({ detail: causesOf(error) }, 'rotation failed; it is tried again in a minute')
    },
    authorityEndsSoon({ id, role, state, certificate }, { leftMs, isUrgent }) {
      const fields = {
        authority: shortId(id),
        role,
        state,
        notAfter: certificate.tbs.notAfter.toISOString(),
        left: leftMs > 0 ? durationInWords(leftMs) : 'nothing: it has ended',
      }
      if (isUrgent) log.error(fields, 'an authority ends soon; replace it')
      else log.warn(fields, 'an authority ends soon; replace it')
    },
    jobRan(job, due, outcome, ms) {
      const fields = { job, due: due.toISOString(), ms: round(ms) }
      const failed = 'failed' in outcome
      metrics.scheduledRuns.inc({ job, outcome: failed ? 'failed' : 'ok' })
      if (failed)
        log.error(
          { ...fields, detail: causesOf(outcome.failed) },
          'scheduled job failed; it is tried again when it is next due',
        )
      else log.debug({ ...fields, detail: outcome.done }, 'scheduled job ran')
    },
    scheduleLost(error) {
      log.warn(
        { detail: causesOf(error) },
        'the record of scheduled runs is lost and begun anew; what was missed is not made up',
      )
    },
    scheduleUnrecorded(error) {
      log.error({ detail: causesOf(error) }, 'a scheduled run can’t be recorded; one that is due waits until it can')
    },
    keeperStopped(error) {
      log.error(
        { detail: causesOf(error) },
        'the journal may or may not hold the last write: nothing is rotated any more; restart this server',
      )
    },
    authorityUnrecorded(error) {
      log.error({ detail: causesOf(error) }, 'an authority changed, and the ledger could not be told')
    },
    pluggedCaTaken(authority) {
      log.info(
        { root: shortId(authority.id), notAfter: authority.certificate.tbs.notAfter.toISOString() },
        'plugged-in CA taken',
      )
    },
    pluggedCaWaits(verb, { id }, { inTheWay, longest, incomplete, until }) {
      const told = {
        root: shortId(id),
        inTheWay,
        workloads: longest.map(({ workload }) => workload),
        ...(until && { until: until.toISOString() }),
        ...(incomplete !== undefined && { detail: incomplete }),
      }
      if (verb === 'activate') log.warn(told, 'the plugged-in CA does not sign yet: some workloads would refuse it')
      else log.warn(told, 'a root left the plugged-in CA’s files and stays in the bundle: some workloads stand on it')
    },
    pluggedCaRefused(error) {
      metrics.pluggedCaRefusals.inc()
      log.error({ detail: detailOf(error) }, 'changed files of the plugged-in CA not taken; the CA in use goes on')
    },
    servingCertificateRenewed(names, notAfter) {
      metrics.servingExpiry.set(notAfter.getTime() / 1000)
      log.info({ names, notAfter: notAfter.toISOString() }, 'serving certificate renewed')
    },
    inventoryRebuilt({ svids, unknown, closedUntil, ms }) {
      if (closedUntil === undefined) log.info({ svids, ms: round(ms) }, 'inventory of live SVIDs made from the ledger')
      else
        log.warn(
          { svids, unknown, closedUntil: closedUntil.toISOString(), ms: round(ms) },
          'inventory made from a ledger with damaged lines: SVIDs may be missing in it',
        )
    },
    inventoryUnread(error) {
      log.error({ detail: causesOf(error) }, 'the ledger can’t be read, so what is alive is not known; retried')
    },
    lookedUp(what, outcome) {
      metrics.lookups.inc({ what, outcome: outcome === 'ok' ? 'ok' : 'failed' })
      if (outcome === 'ok') known.add(what)
      else if (known.has(what))
        log.warn({ what, detail: causesOf(outcome.failed) }, 'lookup failed; what is known goes on')
      else log.warn({ what, detail: causesOf(outcome.failed) }, 'lookup failed; nothing is known yet')
    },
  })
}

/** Citadel counts every failure under one of its own names. */
function countRefusal(metrics: Metrics, code: CaErrorCode, reason: string | undefined): void {
  if (code === 'unauthenticated') {
    metrics.authenticationFailures.inc()
    if (reason === 'not_a_service_account') metrics.idExtractionErrors.inc()
    return
  }
  if (code === 'bad_csr') metrics.csrParsingErrors.inc()
  metrics.signErrors.inc({ error: CITADEL_ERRORS[code] ?? 'UNKNOWN' })
}

const CITADEL_ERRORS: Partial<Record<CaErrorCode, CitadelSignError>> = {
  bad_csr: 'CSR_ERROR',
  invalid_argument: 'TTL_ERROR',
  not_ready: 'CA_NOT_READY',
  internal: 'CERT_GEN_ERROR',
}

const round = (ms: number): number => Math.round(ms * 100) / 100

/** The whole reason: for a refused credential what the caller is not told. */
const detailOf = (error: CaError): string => causesOf(error.code === 'unauthenticated' ? error.cause : error)

const stackOf = (error: CaError): string | undefined => (error.cause instanceof Error ? error.cause.stack : error.stack)

function neverThrowing(events: Events): Events {
  return Object.fromEntries(
    Object.entries(events).map(([name, tell]) => [
      name,
      (...args: unknown[]) => {
        try {
          ;(tell as (...args: unknown[]) => void)(...args)
        } catch {
          // Telling must never change what happened; there is nowhere left to tell it.
        }
      },
    ]),
  ) as unknown as Events
}
