import type { AttestationMethod, RefusalReason } from '../attestation/caller.ts'
import type { Authority, Forgotten, Revocation, Rotation } from '../authority/authority.ts'
import type { AuthorityEnd } from '../authority/authority-ends.ts'
import type { Gate } from '../authority/gate.ts'
import type { CaError } from '../core/errors.ts'
import type { IssuedSvid } from '../issuance/svid.ts'
import type { KeyAlgorithmName } from '../keys/algorithms.ts'
import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import type { TrustBundle } from '../spiffe/trust-bundle.ts'

/** By which endpoint a request came. A closed list: it is a metric label. */
export type EndpointName = 'istio-ca' | 'admin'

/** Alerts by which a client ends a handshake over our certificate (RFC 8446 §6.2). A closed list: it is a metric label. */
export const CERTIFICATE_ALERTS = [
  'unknown CA',
  'bad certificate',
  'certificate unknown',
  'certificate expired',
  'certificate revoked',
  'unsupported certificate',
] as const
export type CertificateAlert = (typeof CERTIFICATE_ALERTS)[number]

/** What the clock does. A closed list: it is a metric label, and each is a setting. */
export const JOB_NAMES = ['checkAuthorities', 'rotateRoot', 'renewIssuing', 'prune'] as const
export type JobName = (typeof JOB_NAMES)[number]

export type RequestContext = {
  readonly requestId: string
  readonly endpoint: EndpointName
  readonly peer: string
  /** Gives back the place it took among the requests in flight: all that is left is to wait until its refusal is recorded. */
  readonly release?: () => void
}

/** What happened, told once: each call becomes a log record and a metric. No call ever throws. */
export interface Events {
  svidRequested(context: RequestContext): void
  svidIssued(
    context: RequestContext,
    issued: {
      readonly svid: IssuedSvid
      readonly method: AttestationMethod
      readonly key: KeyAlgorithmName
      readonly ms: number
    },
  ): void
  svidRefused(
    context: RequestContext,
    refusal: {
      readonly error: CaError
      readonly reason: RefusalReason | undefined
      /** Whose credential it was, if that was proved. */
      readonly account: ServiceAccount | undefined
      readonly ms: number
    },
  ): void
  /** A fault of ours kept a request other than for an SVID from its answer. */
  requestFailed(context: RequestContext, error: CaError): void
  /** Turned away unread because too much was in flight. */
  requestShed(endpoint: EndpointName): void
  connectionClosed(why: 'abuse' | 'too many' | 'handshake', peer: string): void
  /** A client ended the handshake over our certificate. @param client what the log is told; not each time */
  servingCertificateRefused(
    alert: CertificateAlert,
    client: { readonly address: string; readonly times: number } | undefined,
  ): void
  authorityActivated(authority: Authority, because: string): void
  bundlePublished(bundle: TrustBundle, roots: readonly Authority[]): void
  authorityTainted(authority: Authority, because: string): void
  /** Out of the bundle. `cutOff` names the workloads that still stood on it. */
  authorityRevoked(authority: Authority, because: string, cutOff: readonly string[]): void
  /** A certificate is on the deny list. @param spiffeId whose it is; nothing where it is an issuing authority’s */
  certificateRevoked(revocation: Revocation, spiffeId: string | undefined): void
  /** Its last one stays, and is not what it should be; it is tried again. */
  crlUnsigned(authority: string, error: unknown): void
  /** Who reads the set of CRLs from its file has an old one, or none; it is tried again. Told at first, and every ten minutes while it is so. */
  crlsNotHanded(error: unknown): void
  /** A new root signs although some workloads have not heard of it: the old one is about to end. */
  deadlineReached(root: Authority): void
  /** The root that signs is past the moment at which another should at the latest, and that one may not yet: told at most hourly. */
  deadlinePassed(root: Authority, gate: Gate): void
  /** The wish to replace the root is in the journal. @param active the root that signs until then */
  rotationBegun(rotation: Rotation, active: Authority): void
  /** @param active the root that signs, and stays */
  rotationDone(rotation: Rotation, active: Authority): void
  /** An admin cut it off: what it got before renews no more, and holds up nothing. */
  workloadForgotten(forgotten: Forgotten, because: string): void
  /** The clock went ahead, or back if negative, by so much more than time passed: for an hour roots are left as they are, and nothing is forgotten. */
  clockJumped(ms: number): void
  rotationFailed(error: unknown): void
  /** Less is left of it than a threshold says, for the first time since the start. Urgent: the last threshold, or its end. */
  authorityEndsSoon(end: AuthorityEnd, left: { readonly leftMs: number; readonly isUrgent: boolean }): void
  /** A scheduled job that was due then has ended. */
  jobRan(job: JobName, due: Date, outcome: { readonly done: string } | { readonly failed: unknown }, ms: number): void
  /** The record of past runs can't be read: it begins anew, and nothing that was missed is made up. */
  scheduleLost(error: unknown): void
  /** A run could not be recorded. Before a run: it waits; after it: the next process may run it again. */
  scheduleUnrecorded(error: unknown): void
  /** The journal may or may not hold what was last written: this process changes no authority any more. */
  keeperStopped(error: unknown): void
  pluggedCaTaken(authority: Authority): void
  /** What the files ask for may not be yet: who is in the way, until when. At first, then every hour. */
  pluggedCaWaits(verb: 'activate' | 'revoke', root: Authority, gate: Gate): void
  /** What an authority became is in the journal, and the ledger could not be told. */
  authorityUnrecorded(error: unknown): void
  /** New files were not taken; what was there goes on. */
  pluggedCaRefused(error: CaError): void
  servingCertificateRenewed(names: readonly string[], notAfter: Date): void
  /** What is alive is known from the ledger; `unknown` damaged lines may have been SVIDs more, all ended by `closedUntil`. */
  inventoryRebuilt(found: {
    readonly svids: number
    readonly unknown: number
    readonly closedUntil: Date | undefined
    readonly ms: number
  }): void
  inventoryUnread(error: unknown): void
  /** A background loop met a failure and goes on. */
  lookedUp(what: 'token keys' | 'pods' | 'service accounts', outcome: 'ok' | { readonly failed: unknown }): void
}
