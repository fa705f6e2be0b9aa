import { expect, test } from 'vitest'
import type { Authority } from '../../src/authority/authority.ts'
import { HOUR, SECOND } from '../../src/core/duration.ts'
import { DeadlineAlerts } from '../../src/service/deadline-alerts.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { recordedEvents } from '../_support/recorded-events.ts'

function alerts() {
  const [clock, events] = [new FakeClock(), recordedEvents()]
  const deadline = new DeadlineAlerts({ clock, events })
  const look = async (incomplete: string | undefined, ms: number) => {
    const gate = { open: false, incomplete, live: 0, inTheWay: 0, until: undefined, longest: [], namespaces: new Map() }
    deadline.note({ root: {} as Authority, gate })
    await clock.advance(ms)
    return events.told.length
  }
  return { deadline, look }
}

test('who has just started and knows of nobody waits a minute before it says so', async () => {
  const { look } = alerts()
  expect(await look('this server is starting', 59 * SECOND)).toBe(0)
  expect(await look('this server is starting', SECOND)).toBe(0)
  expect(await look('this server is starting', SECOND)).toBe(1)
})

test('what is known is told at once, then hourly', async () => {
  const { look } = alerts()
  expect(await look(undefined, HOUR - SECOND)).toBe(1)
  expect(await look(undefined, SECOND)).toBe(1)
  expect(await look(undefined, SECOND)).toBe(2)
})

test('the minute begins again where nothing was overdue in between, and the hour does not', async () => {
  const { deadline, look } = alerts()
  await look('being read', 50 * SECOND)
  deadline.note(undefined)
  expect(await look('being read', 50 * SECOND)).toBe(0)
  expect(await look('being read', 0)).toBe(0)
  expect(await look(undefined, SECOND)).toBe(1)
  deadline.note(undefined)
  expect(await look(undefined, SECOND)).toBe(1)
})
