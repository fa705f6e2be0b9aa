import type { AttestationMethod } from '../attestation/caller.ts'
import type { ClusterWatch } from '../attestation/cluster.ts'
import { stillThere } from '../attestation/liveness.ts'
import type { AuthoritySet } from '../authority/authority.ts'
import type { TakenBack } from '../authority/revocations.ts'
import type { Clock } from '../core/clock.ts'
import type { Inventory } from '../ledger/inventory.ts'
import { type LiveSvid, workloadName } from '../ledger/live-svid.ts'
import { takenBackAmong } from './inventory-evidence.ts'

export type WorkloadQuery = {
  readonly namespace: string | undefined
  /** Only what stands on the authority whose id begins so: root or issuing, lower-case hex. */
  readonly on: string | undefined
  /** Only what was answered with an older bundle than the one published now. */
  readonly lagging: boolean
  /** How many at most, the newest first. */
  readonly limit: number
}

/** One live SVID, as the admin sees it. */
export type WorkloadStatus = {
  readonly workload: string
  readonly namespace: string
  readonly serviceAccount: string
  readonly id: string
  readonly pod?: string
  readonly podUid?: string
  readonly method: AttestationMethod
  readonly serial: string
  readonly issuer: string
  readonly issuedAt: string
  readonly notAfter: string
  readonly bundleSequence: number
  readonly proven: boolean
  readonly lastSeen: string
  /** Why it renews no more, and holds up no rotation: an admin revoked it, or cut its workload off. */
  readonly takenBack?: TakenBack
}

export type WorkloadList = {
  /** False while the ledger is being read: SVIDs may be missing. */
  readonly complete: boolean
  /** Damaged lines and missing files of the ledger, each of which may have held SVIDs; they count until `closedUntil`. */
  readonly unknown: number
  readonly closedUntil?: string
  /** Of the bundle that is published now. */
  readonly bundleSequence: number
  /** How many the question fits, listed or not. */
  readonly total: number
  readonly svids: readonly WorkloadStatus[]
}

export type ListWorkloads = (query: WorkloadQuery) => WorkloadList

export type ListWorkloadsParts = {
  readonly inventory: Inventory
  readonly watch: ClusterWatch
  readonly journal: () => Pick<AuthoritySet, 'authorities' | 'bundleSequence' | 'forgotten' | 'revocations'>
  /** Id of the root that an issuing authority stands on. */
  readonly standsOn: (issuer: string) => string | undefined
  readonly clock: Clock
}

/** What is alive, with what is known of who holds it. */
export function listingWorkloads(parts: ListWorkloadsParts): ListWorkloads {
  const { inventory, watch, journal, standsOn, clock } = parts
  return ({ namespace, on, lagging, limit }) => {
    const now = clock.now()
    const set = journal()
    const { bundleSequence } = set
    const takenBack = takenBackAmong(set)
    const stands = (issuer: string) =>
      on === undefined || issuer.startsWith(on) || standsOn(issuer)?.startsWith(on) === true
    const found: LiveSvid[] = []
    for (const svid of inventory.live(now, stillThere(watch, now)))
      if (
        (namespace === undefined || svid.namespace === namespace) &&
        (!lagging || svid.bundle < bundleSequence) &&
        stands(svid.issuer)
      )
        found.push(svid)
    const { complete, unknown, closedUntil } = inventory.state(now)
    return {
      complete,
      unknown,
      ...(closedUntil && { closedUntil: closedUntil.toISOString() }),
      bundleSequence,
      total: found.length,
      svids: newest(found, limit).map((svid) => {
        const why = takenBack(svid, { name: workloadName(svid), namespace: svid.namespace })
        return { ...statusOf(svid), ...(why && { takenBack: why }) }
      }),
    }
  }
}

/** Sorting a hundred thousand by comparison would keep every request waiting: numbers alone tell who is among the newest. */
function newest(svids: readonly LiveSvid[], limit: number): LiveSvid[] {
  const issued = Float64Array.from(svids, ({ issuedAt }) => issuedAt.getTime()).sort()
  const from = issued[Math.max(0, issued.length - limit)] ?? 0
  return svids
    .filter(({ issuedAt }) => issuedAt.getTime() >= from)
    .sort((a, b) => b.issuedAt.getTime() - a.issuedAt.getTime() || (a.serial < b.serial ? -1 : 1))
    .slice(0, limit)
}

function statusOf(svid: LiveSvid): WorkloadStatus {
  return {
    workload: workloadName(svid),
    namespace: svid.namespace,
    serviceAccount: svid.serviceAccount,
    id: svid.id,
    ...(svid.pod && { pod: svid.pod.name, podUid: svid.pod.uid }),
    method: svid.method,
    serial: svid.serial,
    issuer: svid.issuer,
    issuedAt: svid.issuedAt.toISOString(),
    notAfter: svid.notAfter.toISOString(),
    bundleSequence: svid.bundle,
    proven: svid.proven,
    lastSeen: svid.lastSeen.toISOString(),
  }
}
