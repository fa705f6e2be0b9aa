import { describe, expect, test } from 'vitest'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import { RefusingClients } from '../../src/service/refusing-clients.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { recordedEvents } from '../_support/recorded-events.ts'

function aTable() {
  const clock = new FakeClock()
  const events = recordedEvents()
  const table = new RefusingClients({ clock, events })
  const logged = () => events.told.flatMap(({ args }) => (args[1] ? [args[1]] : []))
  return { clock, events, table, logged }
}

describe('clients that refused our certificate', () => {
  test('are listed with how often and when last, the last one first', async () => {
    const { clock, table } = aTable()
    table.note('10.0.0.7', 'unknown CA')
    await clock.advance(MINUTE)
    table.note('10.0.0.8', 'bad certificate')
    await clock.advance(MINUTE)
    table.note('10.0.0.7', 'certificate expired')
    expect(table.list()).toEqual([
      { address: '10.0.0.7', alert: 'certificate expired', times: 2, last: '2030-01-01T00:02:00.000Z' },
      { address: '10.0.0.8', alert: 'bad certificate', times: 1, last: '2030-01-01T00:01:00.000Z' },
    ])
  })

  test('are listed for a day', async () => {
    const { clock, table } = aTable()
    table.note('10.0.0.7', 'unknown CA')
    await clock.advance(DAY - 1)
    expect(table.list()).toHaveLength(1)
    await clock.advance(1)
    expect(table.list()).toEqual([])
  })

  test('are 256 at most: the one heard of longest ago goes', () => {
    const { table } = aTable()
    for (let n = 0; n < 256; n++) table.note(`10.0.1.${n}`, 'unknown CA')
    table.note('10.0.1.0', 'unknown CA')
    table.note('10.0.2.1', 'unknown CA')
    const addresses = table.list().map(({ address }) => address)
    expect(addresses).toHaveLength(256)
    expect(addresses).toContain('10.0.1.0')
    expect(addresses).not.toContain('10.0.1.1')
  })

  test('are counted each time, and in the log once an hour each', async () => {
    const { clock, events, table, logged } = aTable()
    for (let minute = 0; minute < 60; minute++) {
      table.note('10.0.0.7', 'unknown CA')
      await clock.advance(MINUTE)
    }
    expect([events.told.length, logged()]).toEqual([60, [{ address: '10.0.0.7', times: 1 }]])
    table.note('10.0.0.7', 'unknown CA')
    expect(logged()).toEqual([
      { address: '10.0.0.7', times: 1 },
      { address: '10.0.0.7', times: 61 },
    ])
    await clock.advance(HOUR)
  })

  test('do not flood the log: one line a second, whoever else there is', async () => {
    const { clock, table, logged } = aTable()
    for (let n = 0; n < 100; n++) table.note(`10.0.1.${n}`, 'unknown CA')
    expect(logged()).toHaveLength(1)
    await clock.advance(SECOND)
    table.note('10.0.1.50', 'unknown CA')
    expect(logged()).toEqual([
      { address: '10.0.1.0', times: 1 },
      { address: '10.0.1.50', times: 2 },
    ])
  })
})
