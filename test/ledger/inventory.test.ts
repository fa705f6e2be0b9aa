import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { Inventory } from '../../src/ledger/inventory.ts'
import type { DamagedLine, IssuedRecord, LedgerRecord } from '../../src/ledger/ledger.ts'
import { workloadName } from '../../src/ledger/live-svid.ts'
import { NEVER } from '../_support/attested.ts'
import { FakeClock, settle } from '../_support/fake-clock.ts'
import { anAuthorityRecord, anIntent, aRefused } from '../_support/ledger-records.ts'
import { aliveIn, at, everyPod, factsOf, inventoryOf, issuedRecord, podlessRecord } from '../_support/live-svids.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const svidsOf = (inventory: Inventory, now = at(1)) => [...inventory.live(now, everyPod)]
const shownRecord = (serial: string, when = at(1)): LedgerRecord => ({
  kind: 'shown',
  at: when.toISOString(),
  requestId: '00112233',
  serial,
})
const damagedLine = (change: Partial<DamagedLine> = {}): DamagedLine => ({
  kind: 'damaged',
  file: '2029-12-31.jsonl',
  line: 1,
  torn: false,
  ...change,
})

describe('an SVID', () => {
  test('is told of with all that its record has', async () => {
    const inventory = await inventoryOf()
    inventory.issued(issuedRecord('5ee0'))
    expect(factsOf(inventory, at(1))).toEqual([
      {
        serial: '5ee0',
        id: 'spiffe://cluster.local/ns/shop/sa/cart',
        namespace: 'shop',
        serviceAccount: 'cart',
        pod: { name: 'cart-0', uid: 'uid-of-cart-0' },
        issuer: 'a'.repeat(40),
        issuedAt: at(0),
        notAfter: at(24),
        bundle: 1,
        method: 'service-account-token',
        proven: false,
        lastSeen: at(0),
      },
    ])
  })

  test('lives to its last second and no longer', async () => {
    const inventory = await inventoryOf([issuedRecord('5ee0')])
    expect(aliveIn(inventory, at(24))).toEqual(['5ee0'])
    expect(aliveIn(inventory, new Date(at(24).getTime() + 1))).toEqual([])
  })

  test('is proven when a call was made with it, which is when its holder was heard of', async () => {
    const inventory = await inventoryOf([issuedRecord('5ee0')])
    expect(inventory.isUnproven('5ee0')).toBe(true)
    inventory.shown('5ee0', at(3))
    expect(svidsOf(inventory)).toMatchObject([{ proven: true, lastSeen: at(3) }])
    expect(inventory.isUnproven('5ee0')).toBe(false)
  })

  test('that nobody knows here is nothing new when it is shown', async () => {
    const inventory = await inventoryOf()
    inventory.shown('5ee0', at(1))
    expect([inventory.isUnproven('5ee0'), inventory.size]).toEqual([false, 0])
  })

  test('stays what it was in a copy that was read before', async () => {
    const inventory = await inventoryOf([issuedRecord('5ee0')])
    const [before] = svidsOf(inventory)
    inventory.shown('5ee0', at(3))
    expect(before).toMatchObject({ proven: false, lastSeen: at(0) })
  })
})

describe('replacing', () => {
  const renewed = (serial: string, predecessor: string, change: Partial<IssuedRecord> = {}) =>
    issuedRecord(serial, { predecessor, method: 'client-certificate', at: at(12).toISOString(), ...change })

  test('a newer SVID alone replaces nothing: its answer may have been lost', async () => {
    const inventory = await inventoryOf([issuedRecord('01')])
    inventory.issued(renewed('02', '01'))
    inventory.issued(issuedRecord('03'))
    expect(aliveIn(inventory, at(13))).toEqual(['01', '02', '03'])
  })

  test('an SVID is replaced when the one it asked for is shown', async () => {
    const inventory = await inventoryOf([issuedRecord('01'), issuedRecord('09')])
    inventory.issued(renewed('02', '01'))
    inventory.shown('02', at(13))
    expect(aliveIn(inventory, at(13))).toEqual(['02', '09'])
  })

  test('whoever asks for a successor was heard of', async () => {
    const inventory = await inventoryOf([issuedRecord('01')])
    inventory.issued(renewed('02', '01'))
    expect(svidsOf(inventory, at(13)).find(({ serial }) => serial === '01')).toMatchObject({ lastSeen: at(12) })
  })

  test('of several successors any will do, and the others stay alive until they end', async () => {
    const inventory = await inventoryOf([issuedRecord('01')])
    for (const serial of ['02', '03', '04']) inventory.issued(renewed(serial, '01'))
    inventory.shown('03', at(13))
    expect(aliveIn(inventory, at(13))).toEqual(['02', '03', '04'])
    inventory.shown('02', at(14))
    expect(aliveIn(inventory, at(14))).toEqual(['02', '03', '04'])
  })

  test('showing the same again replaces nothing more', async () => {
    const inventory = await inventoryOf([issuedRecord('01')])
    inventory.issued(renewed('02', '01'))
    inventory.shown('02', at(13))
    inventory.issued(issuedRecord('01', { podUid: 'another', pod: 'another' }))
    inventory.shown('02', at(14))
    expect(aliveIn(inventory, at(14))).toEqual(['01', '02'])
  })
})

describe('a workload', () => {
  test('is a pod with all its SVIDs, or one SVID that is in no pod', async () => {
    const inventory = await inventoryOf([
      issuedRecord('01'),
      podlessRecord('5ee01f2a77'),
      issuedRecord('02'),
      podlessRecord('aaaabbbbcc'),
      issuedRecord('03', { pod: 'cart-1', podUid: 'uid-of-cart-1' }),
    ])
    const found = [...inventory.workloads(at(1), everyPod)]
    expect(found.map(({ name, svids }) => [name, svids.map(({ serial }) => serial).sort()]).sort()).toEqual([
      ['shop/cart#5ee01f2a', ['5ee01f2a77']],
      ['shop/cart#aaaabbbb', ['aaaabbbbcc']],
      ['shop/cart-0', ['01', '02']],
      ['shop/cart-1', ['03']],
    ])
    for (const { name, namespace, svids } of found)
      for (const svid of svids) expect([workloadName(svid), svid.namespace]).toEqual([name, namespace])
  })

  test('whose pod is gone is gone; where nobody can say it is there', async () => {
    const inventory = await inventoryOf([
      issuedRecord('01'),
      issuedRecord('02', { pod: 'cart-1', podUid: 'uid-of-cart-1' }),
      podlessRecord('03'),
    ])
    expect(aliveIn(inventory, at(1), (uid) => uid !== 'uid-of-cart-0')).toEqual(['02', '03'])
    expect(aliveIn(inventory, at(1), () => undefined)).toEqual(['01', '02', '03'])
    expect(aliveIn(inventory, at(1), () => false)).toEqual(['03'])
  })

  test('is asked about with the moment it was last heard of', async () => {
    const inventory = await inventoryOf([issuedRecord('01'), issuedRecord('02', { at: at(2).toISOString() })])
    const asked: unknown[] = []
    const podExists = (uid: string, heardOf: number) => {
      asked.push([uid, new Date(heardOf)])
      return true
    }
    expect([...inventory.live(at(3), podExists)]).toHaveLength(2)
    expect(asked).toEqual([['uid-of-cart-0', at(2)]])
  })
})

test('pruning gives back the room of what has ended, and of nothing else', async () => {
  const inventory = await inventoryOf([issuedRecord('01'), issuedRecord('02', { notAfter: at(2).toISOString() })])
  inventory.prune(at(2))
  expect(inventory.size).toBe(2)
  inventory.prune(new Date(at(2).getTime() + 1))
  expect([inventory.size, aliveIn(inventory, at(3))]).toEqual([1, ['01']])
})

test('however fast they are issued, what has ended never takes more than half of the room', async () => {
  const inventory = await inventoryOf()
  let most = 0
  // A thousand a second that live ten seconds each.
  for (let n = 0; n < 40_000; n++) {
    const issuedAt = at(0).getTime() + n
    const notAfter = new Date(issuedAt + 10_000).toISOString()
    inventory.issued(issuedRecord(n.toString(16).padStart(32, '0'), { at: new Date(issuedAt).toISOString(), notAfter }))
    most = Math.max(most, inventory.size)
  }
  expect(most).toBeLessThanOrEqual(2 * 10_001)
  expect(svidsOf(inventory, new Date(at(0).getTime() + 39_999))).toHaveLength(10_001)
  expect(inventory.state(new Date(at(0).getTime() + 39_999)).complete).toBe(true)
})

test('what comes and goes for weeks takes the room of what is there, and no more', async () => {
  const inventory = await inventoryOf()
  const used = () => {
    collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  /** A thousand in pods and a thousand in none, an hour each; all new names. */
  const hour = (n: number) => {
    const times = { at: at(n).toISOString(), notAfter: at(n + 1).toISOString() }
    for (let one = 0; one < 1000; one++) {
      const serial = ((n * 1000 + one) * 2).toString(16).padStart(32, '0')
      const name = `cart-${n}-${one}`
      inventory.issued(podlessRecord(serial, { ...times, id: `spiffe://cluster.local/ns/ns-${n}/sa/${name}` }))
      inventory.issued(issuedRecord(`${serial}ff`, { ...times, pod: name, podUid: `uid-of-${name}` }))
    }
    inventory.prune(new Date(at(n + 1).getTime() + 1))
  }
  for (let n = 0; n < 10; n++) hour(n)
  const before = used()
  for (let n = 10; n < 80; n++) hour(n)
  expect(inventory.size).toBe(0)
  expect(used() - before).toBeLessThan(2 * 1024 * 1024)
})

test('a clock that was set back to before the last pruning makes it incomplete', async () => {
  const inventory = await inventoryOf([issuedRecord('01')])
  inventory.prune(at(365 * 24))
  expect(inventory.state(at(365 * 24)).complete).toBe(true)
  expect(inventory.state(at(1)).complete).toBe(false)
})

describe('from the ledger', () => {
  /** A ledger whose reading goes on only when a test says so. */
  function steps() {
    const waiting: (() => void)[] = []
    async function* entries(records: readonly LedgerRecord[]) {
      for (const record of records) {
        await new Promise<void>((go) => waiting.push(go))
        yield record
      }
    }
    const step = async () => {
      waiting.shift()?.()
      await settle()
    }
    return { entries, step }
  }

  test('nothing is complete before it was read to its end', async () => {
    const inventory = new Inventory()
    const { entries, step } = steps()
    expect(inventory.state(at(0))).toEqual({ complete: false, unknown: 0, closedUntil: undefined })
    const rebuilt = inventory.rebuild(entries([issuedRecord('01')]), HOUR, new FakeClock(), NEVER)
    await settle()
    expect(inventory.state(at(0)).complete).toBe(false)
    expect(inventory.isUnproven('ff')).toBe(true)
    await step()
    await rebuilt
    expect(inventory.state(at(0)).complete).toBe(true)
  })

  test('issued and shown records alone make it', async () => {
    const renewed = issuedRecord('02', { predecessor: '01', at: at(1).toISOString() })
    const inventory = await inventoryOf([
      anAuthorityRecord('the first'),
      anIntent('1'),
      issuedRecord('01'),
      shownRecord('01', at(1)),
      renewed,
      aRefused('3'),
      shownRecord('02', at(2)),
    ])
    expect(factsOf(inventory, at(3))).toMatchObject([{ serial: '02', proven: true, lastSeen: at(2) }])
  })

  test('what happens meanwhile counts once, whether the reading meets it or not', async () => {
    const inventory = new Inventory()
    const { entries, step } = steps()
    const [first, second] = [issuedRecord('01'), issuedRecord('02', { predecessor: '01', at: at(1).toISOString() })]
    const rebuilt = inventory.rebuild(
      entries([first, shownRecord('01'), second, shownRecord('02', at(2))]),
      HOUR,
      new FakeClock('2030-01-01T02:00:00Z'),
      NEVER,
    )
    await settle()
    inventory.issued(first)
    inventory.shown('01', at(1))
    inventory.issued(second)
    inventory.shown('02', at(2))
    inventory.issued(issuedRecord('03', { pod: 'cart-1', podUid: 'uid-of-cart-1' }))
    for (let count = 0; count < 4; count++) await step()
    await rebuilt
    expect(aliveIn(inventory, at(3))).toEqual(['02', '03'])
  })

  test('a reading that fails leaves it incomplete, and the next one makes it whole', async () => {
    const inventory = await inventoryOf([issuedRecord('01')])
    const failing = (async function* () {
      yield issuedRecord('01')
      throw new Error('EIO')
    })()
    const clock = new FakeClock()
    await expect(inventory.rebuild(failing, HOUR, clock, NEVER)).rejects.toThrow('EIO')
    expect(inventory.state(at(0)).complete).toBe(false)
    inventory.issued(issuedRecord('02'))
    const whole = (async function* () {
      yield* [issuedRecord('01'), issuedRecord('02')]
    })()
    await inventory.rebuild(whole, HOUR, clock, NEVER)
    expect([inventory.state(at(0)).complete, aliveIn(inventory, at(1))]).toEqual([true, ['01', '02']])
  })

  test('reading ends with the signal', async () => {
    const stop = new AbortController()
    const inventory = new Inventory()
    const entries = (async function* () {
      yield issuedRecord('01')
      stop.abort(new Error('the server ends'))
      yield issuedRecord('02')
    })()
    await expect(inventory.rebuild(entries, HOUR, new FakeClock(), stop.signal)).rejects.toThrow('the server ends')
    expect(inventory.state(at(0)).complete).toBe(false)
  })

  test('what had ended is not held while the rest is read', async () => {
    let most = 0
    const inventory = new Inventory()
    const entries = (async function* () {
      for (let n = 0; n < 30_000; n++) {
        const issued = new Date(at(0).getTime() + n * 1000)
        const notAfter = new Date(issued.getTime() + HOUR).toISOString()
        yield podlessRecord(n.toString(16).padStart(8, '0'), { at: issued.toISOString(), notAfter })
        most = Math.max(most, inventory.size)
      }
    })()
    await inventory.rebuild(entries, HOUR, new FakeClock('2030-03-01T00:00:00Z'), NEVER)
    expect(most).toBeLessThanOrEqual(2 * 3601 + 10_000)
    expect(inventory.size).toBe(0)
  })
})

describe('a damaged line', () => {
  const state = async (entries: readonly (LedgerRecord | DamagedLine)[], now: string, longestMs = 24 * HOUR) =>
    (await inventoryOf(entries, new FakeClock(now), longestMs)).state(new Date(now))

  test('may have been an SVID until the longest lifetime after its day has passed', async () => {
    expect(await state([damagedLine()], '2030-01-01T12:00:00Z')).toEqual({
      complete: true,
      unknown: 1,
      closedUntil: new Date('2030-01-02T00:00:00Z'),
    })
    expect(await state([damagedLine()], '2030-01-02T00:00:01Z')).toEqual({
      complete: true,
      unknown: 0,
      closedUntil: undefined,
    })
  })

  test('of today was written by now', async () => {
    expect(await state([damagedLine({ file: '2030-01-01.jsonl' })], '2030-01-01T12:00:00Z')).toMatchObject({
      closedUntil: new Date('2030-01-02T12:00:00Z'),
    })
  })

  test('may have lived as long as any SVID of the ledger, whatever the settings say now', async () => {
    const long = issuedRecord('01', { notAfter: at(30 * 24).toISOString() })
    expect(await state([damagedLine(), long], '2030-01-01T12:00:00Z', HOUR)).toMatchObject({
      closedUntil: new Date(at(0).getTime() + 30 * DAY),
    })
  })

  test('that is torn was nobody’s answer', async () => {
    expect(await state([damagedLine({ torn: true })], '2030-01-01T12:00:00Z')).toMatchObject({ unknown: 0 })
  })

  test('the latest of several decides', async () => {
    const lines = ['2029-12-31', '2029-12-30', '2029-12-29'].map((day) => damagedLine({ file: `${day}.jsonl` }))
    expect(await state(lines, '2030-01-01T00:00:00Z')).toMatchObject({ unknown: 3, closedUntil: at(24) })
  })

  test.each<[string, object]>([
    ['a serial that is none', { serial: 7 }],
    ['no issuer', { issuer: undefined }],
    ['an identity that is no service account’s', { id: 'spiffe://cluster.local/somebody' }],
    ['an end that is no moment', { notAfter: 'tomorrow' }],
    ['a beginning that is no moment', { at: 'yesterday' }],
    ['half a sequence', { bundleSequence: 1.5 }],
    ['a method that nobody knows', { method: 'charm' }],
    ['a pod without UID', { podUid: undefined }],
    ['a pod that is no text', { pod: 7, podUid: 7 }],
    ['a predecessor that is no serial', { predecessor: 'x' }],
  ])('is a record of an SVID with %s, too', async (_what, change) => {
    const record = { ...issuedRecord('01'), ...change } as IssuedRecord
    expect(await state([record], '2030-01-01T12:00:00Z')).toMatchObject({ unknown: 1 })
  })

  test.each<[string, object]>([
    ['of no serial', { serial: undefined }],
    ['at no moment', { at: 'yesterday' }],
  ])('is a shown record %s, too', async (_what, change) => {
    const record = { ...shownRecord('01'), ...change } as LedgerRecord
    expect(await state([record], '2030-01-01T12:00:00Z')).toMatchObject({ unknown: 1 })
  })
})
