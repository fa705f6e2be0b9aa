import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Revocation } from '../../src/authority/authority.ts'
import { DAY } from '../../src/core/duration.ts'
import { Inventory } from '../../src/ledger/inventory.ts'
import type { IssuedRecord } from '../../src/ledger/ledger.ts'
import { inventoryEvidence } from '../../src/service/inventory-evidence.ts'
import { LedgerDirectory, readLedger } from '../../src/storage/ledger-directory.ts'
import { TestCluster } from '../_support/a-ca.ts'
import { NEVER } from '../_support/attested.ts'
import { aSet, issuingOf, rootOf } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { aRefused } from '../_support/ledger-records.ts'
import { at, inventoryOf, issuedRecord } from '../_support/live-svids.ts'
import { odd } from '../_support/odd-certificates.ts'
import { scratch } from '../_support/scratch.ts'

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

describe('closes every gate that asks anything while what the ledger held may be alive:', () => {
  const cut = (text: string) => text.replace('"notAfter":"2030-01-02', '"notAfter":"2030-01-01')
  test.each<[string, (file: string) => void, number]>([
    ['nothing was damaged', () => undefined, 0],
    ['a digit of an end', (file) => writeFileSync(file, cut(readFileSync(file, 'utf8'))), 1],
    [
      'a letter of a kind',
      (file) => writeFileSync(file, readFileSync(file, 'utf8').replace('{"kind":"issued"', '{"kind":"issueD"')),
      1,
    ],
    [
      'lines cut short',
      (file) => {
        const short = readFileSync(file, 'utf8').replaceAll(/^(.{100}).*$/gm, '$1')
        writeFileSync(file, short)
      },
      3,
    ],
    ['a file that is gone', (file) => rmSync(file), 1],
  ])('%s', async (_what, damage, places) => {
    const clock = new FakeClock(at(0).toISOString())
    const directory = join(scratch(), 'ledger')
    await using ledger = new LedgerDirectory(directory, clock)
    for (const serial of ['01', '02']) await ledger.record(inPod(serial, `cart-${serial}`, { at: at(1).toISOString() }))
    await clock.advance(DAY)
    await ledger.record(aRefused('1'))
    damage(join(directory, '2030-01-01.jsonl'))
    const inventory = new Inventory()
    const set = aSet(authorities)
    const since = clock.now().getTime() - DAY
    await inventory.rebuild(readLedger(directory, new Date(since), { without: 'intent' }), DAY, clock, NEVER)
    const { incomplete } = inventoryEvidence(inventory, new TestCluster().cluster.watch, set, clock.now())
    expect(incomplete).toBe(
      places === 0
        ? undefined
        : `the ledger is damaged or lacks something in ${places} ${places === 1 ? 'place' : 'places'} (alcazar ledger list names them), and what stood there may be alive until 2030-01-03 00:00:00 UTC`,
    )
  })
})
