import type { Credentials } from '../attestation/attest.ts'
import { type Caller, type Claim, refused } from '../attestation/caller.ts'
import type { ActiveAuthority } from '../authority/active-authority.ts'
import type { Authority } from '../authority/authority.ts'
import type { Renewable, Renewal } from '../authority/svid-renewal.ts'
import { sha256Hex } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { asCaError, CaError } from '../core/errors.ts'
import type { Latest } from '../core/latest.ts'
import type { RandomBytes } from '../core/random.ts'
import { provenKey } from '../issuance/csr-key.ts'
import { type IssuedSvid, issueSvid, type PreparedSvid, prepareSvid } from '../issuance/svid.ts'
import type { PublicKey } from '../keys/public-key.ts'
import type { IssuedRecord } from '../ledger/ledger.ts'
import { checkKeyAllowed, entitlementOf, type IssuancePolicy } from '../policy/issuance-policy.ts'
import { readCsrPem } from '../x509/csr.ts'
import { type AttestedCallParts, attestCall, callerRecord, recordRefusal } from './attested-call.ts'
import type { RequestContext } from './events.ts'
import type { IssuancesUnderWay, UnderWay } from './issuances-under-way.ts'

export type IssueSvidRequest = {
  readonly context: RequestContext
  readonly credentials: Credentials
  /** Reads what is asked for, once it is known who asks: what can't be read is a refusal like any other. @throws CaError */
  readonly asked: () => Asked
}

export type Asked = {
  readonly csrPem: string
  /** Zero or less: the default. */
  readonly ttlSeconds: number
}

export type IssuedChain = {
  readonly svid: IssuedSvid
  /** PEM: the leaf, then what stands between it and the roots, one element each. */
  readonly chainPem: readonly string[]
  /** PEM: all roots of the bundle in one text. */
  readonly rootsPem: string
  readonly bundleSequence: number
  readonly renewAt: Date
}

/**
 * Turns a proved identity and a public key into an X.509-SVID. Every outcome is in the ledger before it is answered.
 * @throws CaError `unauthenticated` · `bad_csr` · `invalid_argument` (lifetime) · `not_ready` · `rate_limited` (too many questions to
 * the API server) · `dependency_unavailable` · `internal`
 */
export type IssueSvid = (request: IssueSvidRequest, signal: AbortSignal) => Promise<IssuedChain>

export type IssueSvidParts = AttestedCallParts & {
  readonly policy: IssuancePolicy
  readonly active: Latest<ActiveAuthority>
  /** Keys that sign here: nobody else gets a certificate for one. */
  readonly isOurs: (key: PublicKey) => boolean
  /** Whether what an issuing authority signed still authenticates anybody. */
  readonly vouches: (issuer: Authority) => boolean
  /** Why a caller would not be attested any more that was since then; nothing if it would. */
  readonly takenBackSince: (caller: Caller, since: Date) => 'revoked' | 'forgotten' | undefined
  readonly suggestRenewal: (svid: Renewable) => Renewal
  readonly underWay: IssuancesUnderWay
  readonly random: RandomBytes
}

export function issuingSvids(parts: IssueSvidParts): IssueSvid {
  const { policy, active, isOurs, vouches, takenBackSince, underWay, ledger, inventory, events, clock, random } = parts
  return async ({ context, credentials, asked }, signal) => {
    const began = clock.elapsed()
    const since = clock.now()
    events.svidRequested(context)
    let claim: Claim | undefined
    let intended = false
    let done: (() => void) | undefined
    try {
      const caller = await attestCall(parts, context, credentials, signal, (claimed) => {
        claim = claimed
      })
      claim = caller
      const { csrPem, ttlSeconds } = asked()
      const entitlement = entitlementOf(caller, ttlSeconds * 1000, policy)
      const key = provenKey(readCsrPem(csrPem))
      const { name } = checkKeyAllowed(key, policy)
      if (isOurs(key)) throw new CaError('bad_csr', 'the CSR asks for a certificate over a key of the CA itself')
      const authority = active.get()
      if (!authority) throw new CaError('not_ready', 'no authority can sign yet; try again later')

      const prepared = prepareSvid(caller, entitlement, key, authority, clock, random)
      done = underWay.begin(underWayFor(caller, prepared))
      signal.throwIfAborted()
      await ledger.intend(intent(context, caller, prepared, name, clock))
      intended = true
      const checkStill = () => {
        if (!vouches(authority.authority))
          throw new CaError('not_ready', 'the authority that signed was taken back meanwhile; ask again')
        const takenBack = takenBackSince(caller, since)
        if (takenBack) throw refused(takenBack, 'it was taken back while it was renewed')
      }
      const svid = await issueSvid(prepared)
      checkStill()
      const record = outcome(context, caller, svid, clock)
      await ledger.record(record)
      inventory.issued(record)
      // The disk took its time. What was issued and never sent counts as an answer that was lost, in the ledger and here.
      checkStill()

      events.svidIssued(context, { svid, method: caller.method, key: name, ms: clock.elapsed() - began })
      return {
        svid,
        chainPem: [svid.pem, ...authority.chainPem],
        rootsPem: authority.rootsPem,
        bundleSequence: authority.bundle.sequence,
        renewAt: parts.suggestRenewal({
          serial: record.serial,
          issuer: record.issuer,
          bundle: record.bundleSequence,
          issuedAt: new Date(record.at),
          notAfter: svid.prepared.tbs.notAfter,
        }).at,
      }
    } catch (thrown) {
      const gaveUp = new CaError('dependency_unavailable', 'the caller gave up', { cause: thrown })
      // Who gave up waiting is refused nothing and gets no answer; but no intent stays without its outcome.
      if (signal.aborted && !intended) throw gaveUp
      const error = signal.aborted ? gaveUp : asCaError(thrown)
      await recordRefusal(parts, context, error, claim, clock.elapsed() - began)
      throw error
    } finally {
      done?.()
    }
  }
}

function underWayFor({ account, pod }: Claim, { tbs, authority }: PreparedSvid): UnderWay {
  return {
    name: `${account.namespace}/${pod?.name ?? `${account.name}#${tbs.serial.slice(0, 8)}`}`,
    namespace: account.namespace,
    svid: { issuer: authority.authority.id, bundle: authority.bundle.sequence, endsAt: tbs.notAfter.getTime() },
  }
}

function intent(context: RequestContext, caller: Claim, prepared: PreparedSvid, key: string, clock: Clock) {
  const { tbs, entitlement, authority } = prepared
  return {
    kind: 'intent' as const,
    at: clock.now().toISOString(),
    requestId: context.requestId,
    peer: context.peer,
    caller: callerRecord(caller),
    id: entitlement.id.uri,
    serial: tbs.serial,
    issuer: authority.authority.id,
    notBefore: tbs.notBefore.toISOString(),
    notAfter: tbs.notAfter.toISOString(),
    key,
    tbsSha256: sha256Hex(tbs.bytes),
  }
}

function outcome(context: RequestContext, caller: Caller, svid: IssuedSvid, clock: Clock): IssuedRecord {
  const { tbs, entitlement, authority } = svid.prepared
  return {
    kind: 'issued',
    at: clock.now().toISOString(),
    requestId: context.requestId,
    peer: context.peer,
    id: entitlement.id.uri,
    serial: tbs.serial,
    issuer: authority.authority.id,
    notAfter: tbs.notAfter.toISOString(),
    bundleSequence: authority.bundle.sequence,
    sha256: sha256Hex(svid.der),
    method: caller.method,
    ...(caller.pod && { pod: caller.pod.name, podUid: caller.pod.uid }),
    ...(caller.svid !== undefined && { predecessor: caller.svid }),
  }
}
