import { expect, test } from 'vitest'
import type { Revocation } from '../../src/authority/authority.ts'
import type { IssuedRecord } from '../../src/ledger/ledger.ts'
import { inventoryEvidence } from '../../src/service/inventory-evidence.ts'
import { TestCluster } from '../_support/a-ca.ts'
import { aSet, issuingOf, rootOf } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { at, inventoryOf, issuedRecord } from '../_support/live-svids.ts'
import { odd } from '../_support/odd-certificates.ts'

const root = await odd('root', 'itself')
const issuing = await odd('issuing', root)
const authorities = [rootOf(root), issuingOf(issuing, { root: rootOf(root).id })] as const
const [{ id: ROOT }, { id: ISSUING }] = authorities

const inPod = (serial: string, name: string, change: Partial<IssuedRecord> = {}) =>
  issuedRecord(serial, { pod: name, podUid: `uid-of-${name}`, issuer: ISSUING, ...change })
const revocation = (serial: string, issuer = ISSUING): Revocation => ({
  serial,
  issuer,
  at: at(2),
  until: at(24),
  because: 'INC-17',
})

/** cart-0 has two SVIDs, till-0 one; it is three o'clock. */
async function workloads(change: Parameters<typeof aSet>[1]) {
  const records = [inPod('01', 'cart-0'), inPod('02', 'cart-0', { at: at(1).toISOString() }), inPod('03', 'till-0')]
  const clock = new FakeClock(at(3).toISOString())
  const { watch } = Object.assign(new TestCluster(), { silence: Number.POSITIVE_INFINITY }).cluster
  const set = aSet(authorities, change)
  const evidence = inventoryEvidence(await inventoryOf(records, clock), watch, set, clock.now())
  return [...evidence.workloads()].map(({ name, svids }) => [name, svids.length])
}

test('counts every live SVID where nothing was taken back', async () => {
  expect(await workloads({})).toEqual([
    ['shop/cart-0', 2],
    ['shop/till-0', 1],
  ])
})

test('leaves out what was revoked, and who has nothing else: it renews no more', async () => {
  expect(await workloads({ revocations: [revocation('02')] })).toEqual([
    ['shop/cart-0', 1],
    ['shop/till-0', 1],
  ])
  expect(await workloads({ revocations: [revocation('03')] })).toEqual([['shop/cart-0', 2]])
  expect(await workloads({ revocations: [revocation('03', 'ab'.repeat(20))] }), 'another issuer’s').toHaveLength(2)
})

test('leaves out all that a revoked issuing authority signed', async () => {
  expect(await workloads({ revocations: [revocation(issuing.certificate.tbs.serial, ROOT)] })).toEqual([])
})

test('leaves out what a workload got before it was cut off, and what of the rest was revoked', async () => {
  const forgotten = [{ workload: 'shop/cart-0', at: at(1), until: at(24) }]
  expect(await workloads({ forgotten })).toEqual([
    ['shop/cart-0', 1],
    ['shop/till-0', 1],
  ])
  expect(await workloads({ forgotten, revocations: [revocation('02')] })).toEqual([['shop/till-0', 1]])
})
