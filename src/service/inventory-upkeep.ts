import type { AuthoritySet } from '../authority/authority.ts'
import { type Clock, earlier, loop } from '../core/clock.ts'
import { MINUTE } from '../core/duration.ts'
import type { Inventory } from '../ledger/inventory.ts'
import type { DamagedLine, LedgerRecord } from '../ledger/ledger.ts'
import type { Events } from './events.ts'

const PRUNE_EVERY_MS = 5 * MINUTE
const RETRY_AFTER_MS = MINUTE

export type InventoryUpkeepParts = {
  readonly inventory: Inventory
  readonly authorities: () => AuthoritySet
  /** Every record from the day of that moment on; it misses what must have been written at those moments or soon after. */
  readonly readLedger: (since: Date, written: readonly Date[]) => AsyncIterable<LedgerRecord | DamagedLine>
  /** How long an SVID may live. */
  readonly longestMs: number
  readonly events: Events
  readonly clock: Clock
}

/** Makes the inventory from the ledger, and again when the clock was set back; throws away what has ended. Until the signal. */
export async function keepInventory(parts: InventoryUpkeepParts, signal: AbortSignal): Promise<void> {
  const { inventory, authorities, readLedger, longestMs, events, clock } = parts
  const look = async () => {
    const now = clock.now()
    if (inventory.state(now).complete) return inventory.prune(now)
    const began = clock.elapsed()
    try {
      const { since, activated } = issuersOf(authorities(), now)
      await inventory.rebuild(readLedger(since, activated), longestMs, clock, signal)
      const { unknown, closedUntil } = inventory.state(clock.now())
      events.inventoryRebuilt({ svids: inventory.size, unknown, closedUntil, ms: clock.elapsed() - began })
    } catch (error) {
      if (!signal.aborted) events.inventoryUnread(error)
    }
  }
  await look()
  await loop(clock, signal, () => (inventory.state(clock.now()).complete ? PRUNE_EVERY_MS : RETRY_AFTER_MS), look)
}

/**
 * No SVID outlives its issuer (invariant 3), so none that is alive was issued before the oldest issuer of the journal began. And each that was made here
 * is in the ledger as activated.
 */
function issuersOf({ authorities }: AuthoritySet, now: Date): { readonly since: Date; readonly activated: Date[] } {
  const issuing = authorities.filter(({ role }) => role === 'issuing')
  return {
    since: issuing.map(({ certificate }) => certificate.tbs.notBefore).reduce(earlier, now),
    activated: issuing.filter(({ key }) => key === 'memory').map(({ createdAt }) => createdAt),
  }
}
