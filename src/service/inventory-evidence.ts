import type { ClusterWatch } from '../attestation/cluster.ts'
import { stillThere } from '../attestation/liveness.ts'
import type { AuthoritySet } from '../authority/authority.ts'
import type { Evidence, WorkloadEvidence } from '../authority/gate.ts'
import type { Inventory } from '../ledger/inventory.ts'

/** What a gate may go by: every live workload whose pod may still exist, without what was issued to those that an admin cut off. */
export function inventoryEvidence(
  inventory: Inventory,
  watch: ClusterWatch,
  { forgotten, othersUntil }: Pick<AuthoritySet, 'forgotten' | 'othersUntil'>,
  now: Date,
): Evidence {
  const { complete, unknown, closedUntil } = inventory.state(now)
  const incomplete = !complete
    ? 'the ledger is still being read for what is alive'
    : closedUntil
      ? `${unknown} lines of the ledger are damaged, and what they held may be alive until ${closedUntil.toISOString()}`
      : othersUntil && now <= othersUntil
        ? `what the CA issued before it was imported is not in this ledger, and may be alive until ${othersUntil.toISOString()}`
        : undefined
  const cutOff = new Map(forgotten.map(({ workload, at }) => [workload, at]))
  return {
    incomplete,
    workloads: function* (): Generator<WorkloadEvidence> {
      for (const workload of inventory.workloads(now, stillThere(watch, now))) {
        const at = cutOff.get(workload.name)
        if (!at) yield workload
        else {
          const svids = workload.svids.filter(({ issuedAt }) => issuedAt >= at)
          if (svids.length > 0) yield { ...workload, svids }
        }
      }
    },
  }
}
