import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { ActiveAuthority } from '../authority/active-authority.ts'
import type { AuthoritySet } from '../authority/authority.ts'
import { authorityEnds, remainingMs } from '../authority/authority-ends.ts'
import { overdueMs, renewalOf } from '../authority/next-action.ts'
import type { AskedStep } from '../authority/plugged-roots.ts'
import { shortId } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { CERTIFICATE_ALERTS, JOB_NAMES } from '../service/events.ts'
import { readCertificate } from '../x509/certificate.ts'

/** What the gauges show, asked at each scrape. */
export type GaugeSources = {
  readonly active: () => ActiveAuthority | undefined
  readonly authorities: () => AuthoritySet
  readonly ledgerWritable: () => boolean
  readonly ready: () => Promise<boolean>
  readonly watchSilenceMs: () => number | undefined
  readonly inFlight: () => number
  readonly version: string
  /** Steps that the plugged-in CA's files ask for and that wait. */
  readonly pluggedWaits: () => readonly AskedStep[]
}

/** `error` of citadel_server_csr_sign_err_count, as Citadel names them. */
export type CitadelSignError = 'CA_NOT_READY' | 'CSR_ERROR' | 'TTL_ERROR' | 'CERT_GEN_ERROR' | 'UNKNOWN'

/**
 * Every metric in one place: Citadel's and istiod's names, so that dashboards go on working, and our own. Labels come from closed sets.
 * docs/telemetry.md lists them, and a test holds it to this file.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #clock: Clock

  readonly csrs = this.#counter('citadel_server_csr_count', 'Certificate signing requests received')
  readonly authenticationFailures = this.#counter(
    'citadel_server_authentication_failure_count',
    'Requests whose credentials were refused',
  )
  readonly csrParsingErrors = this.#counter('citadel_server_csr_parsing_err_count', 'Requests whose CSR was refused')
  readonly idExtractionErrors = this.#counter(
    'citadel_server_id_extraction_err_count',
    'Requests refused for naming no service account',
  )
  readonly signErrors = this.#counter(
    'citadel_server_csr_sign_err_count',
    'Requests that failed after authentication, by error',
    ['error'],
  )
  readonly issued = this.#counter('citadel_server_success_cert_issuance_count', 'Certificates issued')

  readonly svidsIssued = this.#counter('alcazar_svids_issued_total', 'X.509-SVIDs issued', [
    'endpoint',
    'method',
    'key',
  ])
  readonly svidsRefused = this.#counter('alcazar_svids_refused_total', 'Requests for an X.509-SVID refused', [
    'endpoint',
    'code',
    'reason',
  ])
  readonly shed = this.#counter('alcazar_requests_shed_total', 'Requests turned away because too many were in flight', [
    'endpoint',
  ])
  readonly connectionsClosed = this.#counter(
    'alcazar_connections_closed_total',
    'Connections closed by the server, by reason',
    ['why'],
  )
  readonly duration = new Histogram({
    name: 'alcazar_svid_duration_seconds',
    help: 'From the whole request to its answer being ready',
    labelNames: ['outcome'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [this.#registry],
  })
  readonly activations = this.#counter('alcazar_authority_activations_total', 'Issuing authorities that began to sign')
  readonly rotationFailures = this.#counter(
    'alcazar_rotation_failures_total',
    'Renewals of an authority or of our own certificate that failed',
  )
  readonly crlFailures = this.#counter('alcazar_crl_failures_total', 'CRLs that could not be signed, or handed out')
  readonly scheduledRuns = this.#counter('alcazar_scheduled_runs_total', 'Runs of scheduled jobs that ended', [
    'job',
    'outcome',
  ])
  readonly pluggedCaRefusals = this.#counter(
    'alcazar_plugged_ca_refused_total',
    'Changes of the plugged-in CA that were not taken',
  )
  readonly servingRefusals = this.#counter(
    'alcazar_serving_certificate_refused_total',
    'Handshakes that clients ended over our certificate',
    ['alert'],
  )
  readonly lookups = this.#counter(
    'alcazar_cluster_lookups_total',
    'Lists, watches and key fetches at the API server',
    ['what', 'outcome'],
  )
  readonly servingExpiry = new Gauge({
    name: 'alcazar_serving_certificate_expiry_timestamp',
    help: 'When our own TLS certificate ends, in Unix seconds',
    registers: [this.#registry],
  })

  constructor(clock: Clock) {
    this.#clock = clock
    // There from the start, so that the first failure is an increase.
    for (const alert of CERTIFICATE_ALERTS) this.servingRefusals.inc({ alert }, 0)
    for (const job of JOB_NAMES) for (const outcome of ['ok', 'failed']) this.scheduledRuns.inc({ job, outcome }, 0)
  }

  /** Adds what is asked at each scrape. Called once, when there is something to ask. */
  observe(sources: GaugeSources): void {
    const registers = [this.#registry]
    const { active } = sources
    const gauge = (name: string, help: string, value: () => number | Promise<number>) =>
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          this.set(await value())
        },
      })
    const now = () => this.#clock.now().getTime() / 1000
    // istiod measures the first root only; the bundle is as good as its soonest to end.
    const rootEnd = () =>
      Math.min(...(active()?.bundle.roots.map((root) => readCertificate(root).tbs.notAfter.getTime() / 1000) ?? [-1]))
    const chainEnd = () => (active()?.authority.certificate.tbs.notAfter.getTime() ?? -1000) / 1000
    gauge(
      'citadel_server_root_cert_expiry_timestamp',
      'When the first root of the bundle to end does, in Unix seconds; negative: there is none',
      rootEnd,
    )
    gauge(
      'citadel_server_root_cert_expiry_seconds',
      'Seconds until then; negative: past, or there is none',
      () => rootEnd() - now(),
    )
    gauge(
      'citadel_server_cert_chain_expiry_timestamp',
      'When the issuing authority ends, in Unix seconds; negative: there is none',
      chainEnd,
    )
    gauge(
      'citadel_server_cert_chain_expiry_seconds',
      'Seconds until then; negative: past, or there is none',
      () => chainEnd() - now(),
    )
    const clock = this.#clock
    new Gauge({
      name: 'alcazar_authority_remaining_seconds',
      help: 'Seconds until an authority that is not revoked ends; negative: past',
      labelNames: ['role', 'state', 'authority'],
      registers,
      collect() {
        this.reset()
        const at = clock.now()
        // One key with two certificates has one line: what is set last stays, and that is the first to end.
        const soonestLast = [...authorityEnds(sources.authorities())].sort(
          (a, b) => remainingMs(b, at) - remainingMs(a, at),
        )
        for (const end of soonestLast)
          this.set({ role: end.role, state: end.state, authority: shortId(end.id) }, remainingMs(end, at) / 1000)
      },
    })
    gauge(
      'alcazar_issuing_renewal_overdue_seconds',
      'Seconds since the successor of the issuing authority was due; negative: until it is',
      () => {
        const signs = active()?.authority
        return signs ? now() - renewalOf(signs).getTime() / 1000 : 0
      },
    )
    gauge(
      'alcazar_root_replacement_overdue_seconds',
      'Seconds since another root should have signed at the latest; negative: until then; 0: that is somebody else’s to see to',
      () => (overdueMs(sources.authorities(), clock.now()) ?? 0) / 1000,
    )
    new Gauge({
      name: 'alcazar_plugged_ca_waits',
      help: 'Roots for which a step that the files of the plugged-in CA ask for waits until it is safe',
      labelNames: ['step'],
      registers,
      collect() {
        const waits = sources.pluggedWaits()
        for (const step of ['activate', 'revoke'] as const)
          this.set({ step }, waits.filter(({ verb }) => verb === step).length)
      },
    })
    gauge('alcazar_ledger_writable', '1: the ledger can be written', () => (sources.ledgerWritable() ? 1 : 0))
    gauge('alcazar_bundle_sequence', 'Number of the published trust bundle', () => active()?.bundle.sequence ?? 0)
    gauge('alcazar_bundle_roots', 'Roots in the published trust bundle', () => active()?.bundle.roots.length ?? 0)
    gauge('alcazar_ready', '1: can sign now, and the result verifies in the published bundle', async () =>
      (await sources.ready()) ? 1 : 0,
    )
    gauge('alcazar_requests_in_flight', 'Requests being served', sources.inFlight)
    gauge(
      'alcazar_cluster_watch_silence_seconds',
      'Seconds since the API server was last heard from on every watch; -1: there is none, or none was complete yet',
      () => {
        const silence = sources.watchSilenceMs()
        return silence === undefined || !Number.isFinite(silence) ? -1 : silence / 1000
      },
    )
    new Gauge({ name: 'alcazar_build_info', help: 'Always 1', labelNames: ['version'], registers }).set(
      { version: sources.version },
      1,
    )
    collectDefaultMetrics({ register: this.#registry })
  }

  /** The text format of Prometheus. */
  async text(): Promise<{ readonly type: string; readonly body: string }> {
    return { type: this.#registry.contentType, body: await this.#registry.metrics() }
  }

  /** Names and labels, for the document that lists them. */
  #counter<T extends string>(name: string, help: string, labelNames: readonly T[] = []): Counter<T> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.#registry] })
  }
}
