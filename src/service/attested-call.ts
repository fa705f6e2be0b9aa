import type { Attest, Credentials } from '../attestation/attest.ts'
import { type Caller, type Claim, refusalOf } from '../attestation/caller.ts'
import type { Clock } from '../core/clock.ts'
import { type CaError, causesOf } from '../core/errors.ts'
import type { Inventory } from '../ledger/inventory.ts'
import type { CallerRecord, Ledger } from '../ledger/ledger.ts'
import type { Events, RequestContext } from './events.ts'

export type AttestedCallParts = {
  readonly attest: Attest
  readonly ledger: Ledger
  readonly inventory: Inventory
  readonly events: Events
  readonly clock: Clock
}

/**
 * Who calls. A call made with an SVID proves that it arrived, with the bundle that came with it: the first one is in the ledger before anything
 * comes of it.
 * @throws CaError `unauthenticated` · `rate_limited` · `dependency_unavailable`
 */
export async function attestCall(
  { attest, ledger, inventory, clock }: AttestedCallParts,
  { requestId }: RequestContext,
  credentials: Credentials,
  signal: AbortSignal,
  claimed: (claim: Claim) => void,
): Promise<Caller> {
  const caller = await attest(credentials, signal, claimed)
  if (caller.svid !== undefined && inventory.isUnproven(caller.svid)) {
    const at = clock.now()
    await ledger.record({ kind: 'shown', at: at.toISOString(), requestId, serial: caller.svid })
    inventory.shown(caller.svid, at)
  }
  return caller
}

/** Puts a refusal in the ledger, which is done before it is answered. @throws CaError `dependency_unavailable` */
export async function recordRefusal(
  { ledger, events, clock }: AttestedCallParts,
  context: RequestContext,
  error: CaError,
  claim: Claim | undefined,
  ms: number,
): Promise<void> {
  const reason = refusalOf(error)?.reason
  // A flood of refusals waits for its records, and takes nobody's place meanwhile.
  context.release?.()
  try {
    await ledger.record({
      kind: 'refused',
      at: clock.now().toISOString(),
      requestId: context.requestId,
      peer: context.peer,
      ...(claim && { caller: callerRecord(claim) }),
      code: error.code,
      ...(reason && { reason }),
      detail: causesOf(error.code === 'unauthenticated' ? error.cause : error).slice(0, 1000),
    })
  } finally {
    events.svidRefused(context, { error, reason, account: claim?.account, ms })
  }
}

export function callerRecord({ account, method, pod, onBehalfBy }: Claim): CallerRecord {
  return {
    namespace: account.namespace,
    serviceAccount: account.name,
    method,
    ...(pod && { pod: pod.name, podUid: pod.uid }),
    ...(onBehalfBy && { onBehalfBy: `${onBehalfBy.namespace}/${onBehalfBy.name}` }),
  }
}
