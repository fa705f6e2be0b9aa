import { Readable } from 'node:stream'
import type { Clock } from '../../src/core/clock.ts'
import { HOUR } from '../../src/core/duration.ts'
import { Inventory } from '../../src/ledger/inventory.ts'
import type { DamagedLine, IssuedRecord, LedgerRecord } from '../../src/ledger/ledger.ts'
import { NEVER } from './attested.ts'
import { FakeClock } from './fake-clock.ts'

const START = new Date('2030-01-01T00:00:00Z')

/** `hours` after 2030 began. */
export const at = (hours: number): Date => new Date(START.getTime() + hours * HOUR)

/** The record of an SVID of shop/cart’s pod cart-0, for a day from the beginning of 2030. */
export const issuedRecord = (serial: string, change: Partial<IssuedRecord> = {}): IssuedRecord => ({
  kind: 'issued',
  at: START.toISOString(),
  requestId: '00112233',
  peer: '127.0.0.1:40000',
  id: 'spiffe://cluster.local/ns/shop/sa/cart',
  serial,
  issuer: 'a'.repeat(40),
  notAfter: at(24).toISOString(),
  bundleSequence: 1,
  sha256: 'c'.repeat(64),
  method: 'service-account-token',
  pod: 'cart-0',
  podUid: 'uid-of-cart-0',
  ...change,
})

/** The same for what is in no pod. */
export function podlessRecord(serial: string, change: Partial<IssuedRecord> = {}): IssuedRecord {
  const { pod: _pod, podUid: _podUid, ...record } = issuedRecord(serial, { method: 'impersonation', ...change })
  return record
}

export const everyPod = () => true

/** What is alive of an inventory, in an order. */
export const aliveIn = (inventory: Inventory, now: Date, podExists: (uid: string) => boolean | undefined = everyPod) =>
  [...inventory.live(now, podExists)].map(({ serial }) => serial).sort()

/** Everything an inventory says of what is alive, to compare. */
export const factsOf = (inventory: Inventory, now: Date) =>
  [...inventory.live(now, everyPod)]
    .map((svid) => ({
      serial: svid.serial,
      id: svid.id,
      namespace: svid.namespace,
      serviceAccount: svid.serviceAccount,
      pod: svid.pod,
      issuer: svid.issuer,
      issuedAt: svid.issuedAt,
      notAfter: svid.notAfter,
      bundle: svid.bundle,
      method: svid.method,
      proven: svid.proven,
      lastSeen: svid.lastSeen,
    }))
    .sort((a, b) => (a.serial < b.serial ? -1 : 1))

/** An inventory made from these entries of a ledger. */
export async function inventoryOf(
  entries: readonly (LedgerRecord | DamagedLine)[] = [],
  clock: Clock = new FakeClock(),
  longestMs = 24 * HOUR,
): Promise<Inventory> {
  const inventory = new Inventory()
  await inventory.rebuild(Readable.from(entries), longestMs, clock, NEVER)
  return inventory
}
