import type { AuthorityRecord } from '../ledger/ledger.ts'
import type { KeeperParts } from './keeper-parts.ts'

/** The journal is the truth; a ledger that can't be written keeps the server from being ready, and changes nothing that was done. */
export async function recordAuthority(
  { ledger, clock, events }: Pick<KeeperParts, 'ledger' | 'clock' | 'events'>,
  what: AuthorityRecord['what'],
  { id }: { readonly id: string },
  detail: string,
): Promise<void> {
  try {
    await ledger.record({ kind: 'authority', at: clock.now().toISOString(), what, authority: id, detail })
  } catch (error) {
    events.authorityUnrecorded(error)
  }
}
