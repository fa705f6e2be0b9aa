import type { AuthoritySet } from '../authority/authority.ts'
import { type Clock, earlier } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import type { Inventory } from '../ledger/inventory.ts'
import type { DamagedLine, LedgerRecord } from '../ledger/ledger.ts'
import type { Revocable } from './revocations.ts'

export type FindRevocableParts = {
  readonly inventory: Pick<Inventory, 'find'>
  /** What was issued since then, as the ledger has it, the latest day first: most of what is revoked is young, and a request has its time. */
  readonly readLedger: (since: Date) => AsyncIterable<LedgerRecord | DamagedLine>
  readonly authorities: () => AuthoritySet
  readonly clock: Clock
}

/**
 * The certificate of a whole serial number that was issued here.
 * @throws CaError `not_found`: none, as far as the ledger goes back · the signal’s reason
 */
export type FindRevocable = (serial: string, signal: AbortSignal) => Promise<Revocable>

/** Most are in the inventory. One that was replaced is not, though a thief may still have it: the ledger has that. */
export function findingRevocable({ inventory, readLedger, authorities, clock }: FindRevocableParts): FindRevocable {
  return async (serial, signal) => {
    const live = inventory.find(serial)
    if (live) return live
    // Whatever an authority signed ends with it, and what has ended leaves the journal.
    const since = authorities()
      .authorities.filter(({ role }) => role === 'issuing')
      .map(({ certificate }) => certificate.tbs.notBefore)
      .reduce(earlier, clock.now())
    for await (const entry of readLedger(since)) {
      signal.throwIfAborted()
      if (entry.kind === 'issued' && entry.serial === serial)
        return { serial, id: entry.id, issuer: entry.issuer, notAfter: new Date(entry.notAfter) }
    }
    throw new CaError(
      'not_found',
      `no certificate with the whole serial number ${serial} was issued here since ${since.toISOString()}, when the oldest issuing authority began; look it up by its first digits with alcazar ledger show, or if its CA key was stolen take the root out with alcazar root taint`,
    )
  }
}
