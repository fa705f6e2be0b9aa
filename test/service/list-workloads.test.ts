import { describe, expect, test } from 'vitest'
import type { IssuedRecord } from '../../src/ledger/ledger.ts'
import { listingWorkloads, type WorkloadQuery } from '../../src/service/list-workloads.ts'
import { TestCluster } from '../_support/a-ca.ts'
import { aSet } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { at, inventoryOf, issuedRecord, podlessRecord } from '../_support/live-svids.ts'

const [OLD, NEW] = ['0'.repeat(40), '1'.repeat(40)]
const inPod = (serial: string, name: string, change: Partial<IssuedRecord> = {}) =>
  issuedRecord(serial, { pod: name, podUid: `uid-of-${name}`, ...change })

/** Three SVIDs an hour apart, seen at four o'clock, when bundle 2 is published. */
async function list(
  query: Partial<WorkloadQuery> = {},
  cluster = new TestCluster(),
  journal: Parameters<typeof aSet>[1] = {},
) {
  const records = [
    inPod('01', 'cart-0', { at: at(1).toISOString(), issuer: OLD }),
    podlessRecord('02aabbccdd', {
      at: at(2).toISOString(),
      id: 'spiffe://cluster.local/ns/bank/sa/teller',
      issuer: NEW,
      bundleSequence: 2,
    }),
    inPod('03', 'cart-1', { at: at(3).toISOString(), issuer: NEW }),
  ]
  const clock = new FakeClock(at(4).toISOString())
  const listWorkloads = listingWorkloads({
    inventory: await inventoryOf(records, clock),
    watch: cluster.cluster.watch,
    journal: () => aSet([], { bundleSequence: 2, ...journal }),
    standsOn: (issuer) => ({ [OLD]: 'aa'.repeat(20), [NEW]: 'bb'.repeat(20) })[issuer],
    clock,
  })
  return listWorkloads({ namespace: undefined, on: undefined, lagging: false, limit: 100, ...query })
}
const serials = async (...of: Parameters<typeof list>) => (await list(...of)).svids.map(({ serial }) => serial)
const blind = () => Object.assign(new TestCluster(), { silence: Number.POSITIVE_INFINITY })

test('lists what is alive, the newest first, with all that is known of it', async () => {
  expect(await list({}, blind())).toEqual({
    complete: true,
    unknown: 0,
    bundleSequence: 2,
    total: 3,
    svids: [
      expect.objectContaining({ serial: '03', workload: 'shop/cart-1' }),
      {
        workload: 'bank/teller#02aabbcc',
        namespace: 'bank',
        serviceAccount: 'teller',
        id: 'spiffe://cluster.local/ns/bank/sa/teller',
        method: 'impersonation',
        serial: '02aabbccdd',
        issuer: NEW,
        issuedAt: '2030-01-01T02:00:00.000Z',
        notAfter: '2030-01-02T00:00:00.000Z',
        bundleSequence: 2,
        proven: false,
        lastSeen: '2030-01-01T02:00:00.000Z',
      },
      expect.objectContaining({ serial: '01', pod: 'cart-0', podUid: 'uid-of-cart-0' }),
    ],
  })
})

describe('lists only', () => {
  test.each<[string, Partial<WorkloadQuery>, string[]]>([
    ['a namespace', { namespace: 'bank' }, ['02aabbccdd']],
    ['what stands on an issuing authority', { on: '0000' }, ['01']],
    ['what stands on a root', { on: 'bbbb' }, ['03', '02aabbccdd']],
    ['nothing on what nobody stands on', { on: 'cccc' }, []],
    ['what was answered with an older bundle', { lagging: true }, ['03', '01']],
    ['the newest', { limit: 2 }, ['03', '02aabbccdd']],
  ])('%s', async (_what, query, found) => {
    expect(await serials(query, blind())).toEqual(found)
  })

  test('so many, and says how many there are', async () => {
    expect(await list({ limit: 1, namespace: 'shop' }, blind())).toMatchObject({ total: 2, svids: [{ serial: '03' }] })
  })

  test('pods that are still there', async () => {
    const cluster = new TestCluster()
    cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-1', uid: 'uid-of-cart-1' })
    expect(await serials({}, cluster)).toEqual(['03', '02aabbccdd'])
  })

  test('pods that are gone, too, while the watch is not fresh', async () => {
    expect(await serials({}, Object.assign(new TestCluster(), { silence: 60_001 }))).toHaveLength(3)
  })
})

test('marks what was revoked, and what was issued to a workload before it was cut off', async () => {
  const marks = async (journal: Parameters<typeof aSet>[1]) =>
    (await list({}, blind(), journal)).svids.map(({ serial, takenBack }) => [serial, takenBack])
  const revoked = { serial: '03', issuer: NEW, at: at(4), until: at(24), because: 'INC-17' }
  const cutOff = (name: string, hour: number) => ({ workload: `shop/${name}`, at: at(hour), until: at(24) })
  expect(await marks({ revocations: [revoked], forgotten: [cutOff('cart-0', 2)] })).toEqual([
    ['03', 'revoked'],
    ['02aabbccdd', undefined],
    ['01', 'forgotten'],
  ])
  expect(await marks({ revocations: [{ ...revoked, issuer: OLD }], forgotten: [cutOff('cart-0', 1)] })).toEqual([
    ['03', undefined],
    ['02aabbccdd', undefined],
    ['01', undefined],
  ])
})

test('of many that were issued at the same moment it lists as many as were asked for', async () => {
  const records = Array.from({ length: 50 }, (_, index) => inPod(String(index).padStart(2, '0'), `cart-${index}`))
  const listWorkloads = listingWorkloads({
    inventory: await inventoryOf(records),
    watch: blind().cluster.watch,
    journal: () => aSet([], { bundleSequence: 1 }),
    standsOn: () => undefined,
    clock: new FakeClock(),
  })
  const { total, svids } = listWorkloads({ namespace: undefined, on: undefined, lagging: false, limit: 7 })
  expect([total, svids.map(({ serial }) => serial)]).toEqual([50, ['00', '01', '02', '03', '04', '05', '06']])
})

test('says until when damaged lines may have been SVIDs', async () => {
  const listWorkloads = listingWorkloads({
    inventory: await inventoryOf([{ kind: 'damaged', file: '2029-12-31.jsonl', line: 7, torn: false }]),
    watch: blind().cluster.watch,
    journal: () => aSet([], { bundleSequence: 1 }),
    standsOn: () => undefined,
    clock: new FakeClock(),
  })
  expect(listWorkloads({ namespace: undefined, on: undefined, lagging: false, limit: 7 })).toMatchObject({
    unknown: 1,
    closedUntil: '2030-01-02T00:00:00.000Z',
    total: 0,
  })
})
