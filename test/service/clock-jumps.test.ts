import { expect, test } from 'vitest'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, YEAR } from '../../src/core/duration.ts'
import { ClockJumps } from '../../src/service/clock-jumps.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { recordedEvents } from '../_support/recorded-events.ts'

/** A clock whose wall can be set apart from the time that passes. */
function aClock() {
  const clock = new FakeClock()
  let ahead = 0
  return {
    clock: {
      now: () => plus(clock.now(), ahead),
      elapsed: () => clock.elapsed(),
      sleep: clock.sleep.bind(clock),
      after: clock.after.bind(clock),
    },
    passes: (ms: number) => clock.advance(ms),
    isSet: (ms: number) => {
      ahead += ms
    },
  }
}

function watched() {
  const events = recordedEvents()
  const time = aClock()
  return { ...time, jumps: new ClockJumps(time.clock, events), told: () => events.told.map(({ args }) => args) }
}

test('time that passes is no jump, however much of it', async () => {
  const { jumps, passes, told } = watched()
  for (let day = 0; day < 400; day++) {
    await passes(DAY)
    expect(jumps.unsettled()).toBe(false)
  }
  expect(told()).toEqual([])
})

test('a clock set ahead by a year is noticed once, and holds things up for an hour', async () => {
  const { jumps, passes, isSet, told } = watched()
  isSet(YEAR)
  expect(jumps.unsettled()).toBe(true)
  await passes(HOUR - MINUTE)
  expect(jumps.unsettled()).toBe(true)
  await passes(MINUTE)
  expect(jumps.unsettled()).toBe(false)
  expect(jumps.unsettled()).toBe(false)
  expect(told()).toEqual([[YEAR]])
})

test('one that is set back again holds up nothing', () => {
  const { jumps, isSet } = watched()
  isSet(YEAR)
  expect(jumps.unsettled()).toBe(true)
  isSet(-YEAR)
  expect(jumps.unsettled()).toBe(false)
  isSet(DAY)
  expect(jumps.unsettled()).toBe(true)
})

test.each([DAY - MINUTE, -YEAR])('a clock that is set by %i ms is none', (ms) => {
  const { jumps, isSet, told } = watched()
  isSet(ms)
  expect(jumps.unsettled()).toBe(false)
  expect(told()).toEqual([])
})
