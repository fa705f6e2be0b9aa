import { expect, test } from 'vitest'
import type { AuthoritySet } from '../../src/authority/authority.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { Inventory } from '../../src/ledger/inventory.ts'
import type { LedgerRecord } from '../../src/ledger/ledger.ts'
import { keepInventory } from '../../src/service/inventory-upkeep.ts'
import { World } from '../_support/a-world.ts'
import { settle } from '../_support/fake-clock.ts'
import { aliveIn, issuedRecord } from '../_support/live-svids.ts'

/** A keeper's authorities over a ledger of a test's own; its clock begins at 2030-01-01. */
async function upkeep(records: LedgerRecord[] = [], issuingLifetimeMs = 30 * DAY) {
  const world = new World(undefined, { issuingLifetimeMs })
  const keeper = await world.start()
  const inventory = new Inventory()
  const since: Date[] = []
  const written: (readonly Date[])[] = []
  const reading: { fails?: Error } = {}
  const stop = new AbortController()
  const run = () =>
    keepInventory(
      {
        inventory,
        authorities: (): AuthoritySet => keeper.set,
        readLedger: async function* (from, moments) {
          since.push(from)
          written.push(moments)
          if (reading.fails) throw reading.fails
          yield* records
        },
        longestMs: 24 * HOUR,
        events: world.events,
        clock: world.clock,
      },
      stop.signal,
    )
  const told = () =>
    world.events.told.filter(({ event }) => event === 'inventoryRebuilt' || event === 'inventoryUnread')
  return { ...world, world, keeper, clock: world.clock, inventory, since, written, reading, stop, run, told, records }
}

test('the ledger is read at once, and what was found is told', async () => {
  const { run, inventory, clock, told, stop } = await upkeep([issuedRecord('01')])
  const ended = run()
  await settle()
  expect([inventory.state(clock.now()).complete, aliveIn(inventory, clock.now())]).toEqual([true, ['01']])
  expect(told()).toEqual([
    { event: 'inventoryRebuilt', args: [{ svids: 1, unknown: 0, closedUntil: undefined, ms: 0 }] },
  ])
  stop.abort()
  await ended
})

test('from the day on which the oldest issuing authority began', async () => {
  const { run, world, keeper, since, written, clock, stop } = await upkeep()
  const [first] = keeper.set.authorities.filter(({ role }) => role === 'issuing')
  const begun = clock.now()
  await clock.advance(26 * DAY)
  await keeper.tick()
  expect(world.journal.set.authorities.filter(({ role }) => role === 'issuing')).toHaveLength(2)
  const ended = run()
  await settle()
  expect(written, 'each is in the ledger as activated').toEqual([[begun, clock.now()]])
  expect(since).toEqual([first?.certificate.tbs.notBefore])
  expect(since[0]?.toISOString()).toBe('2029-12-31T23:58:00.000Z')
  stop.abort()
  await ended
})

test('a ledger that can’t be read is told of and read again after a minute', async () => {
  const { run, inventory, clock, told, reading, stop } = await upkeep([issuedRecord('01')])
  reading.fails = new Error('EIO')
  const ended = run()
  await settle()
  expect(told()).toEqual([{ event: 'inventoryUnread', args: [reading.fails] }])
  delete reading.fails
  await clock.advance(MINUTE)
  expect([inventory.state(clock.now()).complete, told().length]).toEqual([true, 2])
  stop.abort()
  await ended
})

test('what has ended is thrown away within five minutes', async () => {
  const { run, inventory, clock, since, stop } = await upkeep([issuedRecord('01')])
  const ended = run()
  await clock.advance(24 * HOUR)
  expect(inventory.size).toBe(1)
  await clock.advance(5 * MINUTE)
  expect([inventory.size, since.length]).toEqual([0, 1])
  stop.abort()
  await ended
})

test('after the clock was set back the ledger is read again: what was thrown away is alive', async () => {
  const { run, inventory, clock, stop } = await upkeep([issuedRecord('01')])
  const ended = run()
  await settle()
  clock.jump(365 * DAY)
  await clock.advance(5 * MINUTE)
  expect(inventory.size).toBe(0)
  clock.jump(-365 * DAY)
  expect(inventory.state(clock.now()).complete).toBe(false)
  await clock.advance(5 * MINUTE)
  expect([inventory.state(clock.now()).complete, aliveIn(inventory, clock.now())]).toEqual([true, ['01']])
  stop.abort()
  await ended
})

test('a server that ends while it reads tells of no failure', async () => {
  const { run, told, stop } = await upkeep([issuedRecord('01')])
  stop.abort()
  await run()
  expect(told()).toEqual([])
})
