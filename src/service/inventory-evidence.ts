import type { ClusterWatch } from '../attestation/cluster.ts'
import { stillThere } from '../attestation/liveness.ts'
import type { AuthoritySet } from '../authority/authority.ts'
import type { Evidence, WorkloadEvidence } from '../authority/gate.ts'
import { denials, type TakenBack } from '../authority/revocations.ts'
import { later } from '../core/clock.ts'
import { momentInUtc } from '../core/duration.ts'
import type { Inventory } from '../ledger/inventory.ts'
import type { LiveSvid } from '../ledger/live-svid.ts'

/**
 * What a gate may go by: every live workload whose pod may still exist, without what was issued to those that an admin cut off, and
 * without what was revoked: neither renews, so nothing is gained by waiting for it.
 */
export function inventoryEvidence(
  inventory: Inventory,
  watch: ClusterWatch,
  set: Pick<AuthoritySet, 'authorities' | 'forgotten' | 'othersUntil' | 'revocations'>,
  now: Date,
): Evidence {
  const { othersUntil } = set
  const { complete, unknown, closedUntil } = inventory.state(now)
  const incomplete = !complete
    ? 'the ledger is still being read for what is alive'
    : closedUntil
      ? `the ledger is damaged or lacks something in ${unknown} ${unknown === 1 ? 'place' : 'places'} (alcazar ledger list names them), and what stood there may be alive until ${momentInUtc(closedUntil)}`
      : othersUntil && now <= othersUntil
        ? `what the CA issued before its import is unknown until ${momentInUtc(othersUntil)}`
        : undefined
  const unknownUntil = incomplete === undefined || !complete ? undefined : latestOf(closedUntil, othersUntil)
  const takenBack = takenBackAmong(set)
  const all = () => inventory.workloads(now, stillThere(watch, now))
  if (set.forgotten.length === 0 && set.revocations.length === 0) return { incomplete, unknownUntil, workloads: all }
  return {
    incomplete,
    unknownUntil,
    workloads: function* (): Generator<WorkloadEvidence> {
      for (const workload of all()) {
        if (!workload.svids.some((svid) => takenBack(svid, workload))) yield workload
        else {
          const svids = workload.svids.filter((svid) => !takenBack(svid, workload))
          if (svids.length > 0) yield { ...workload, svids }
        }
      }
    },
  }
}

const latestOf = (a: Date | undefined, b: Date | undefined): Date | undefined => (a && b ? later(a, b) : (a ?? b))

/** Why an SVID of a workload counts and renews no more; nothing if it does. Asked many times of one set: build it once for each. */
export function takenBackAmong(
  set: Pick<AuthoritySet, 'authorities' | 'forgotten' | 'revocations'>,
): (svid: LiveSvid, workload: Pick<WorkloadEvidence, 'name' | 'namespace'>) => TakenBack | undefined {
  const { isRevoked } = denials(set)
  const anyRevoked = set.revocations.length > 0
  const cutOff = new Map(set.forgotten.map(({ workload, at }) => [workload, at]))
  // A name is made when it is looked up, and a date when it is read; there are a hundred thousand of each.
  const cutOffIn = new Set(set.forgotten.map(({ workload }) => workload.slice(0, workload.indexOf('/'))))
  return (svid, workload) => {
    if (anyRevoked && isRevoked(svid.issuer, svid.serial)) return 'revoked'
    const at = cutOffIn.has(workload.namespace) ? cutOff.get(workload.name) : undefined
    return at && svid.issuedAt < at ? 'forgotten' : undefined
  }
}
