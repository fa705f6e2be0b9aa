import { describe, expect, test } from 'vitest'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, YEAR } from '../../src/core/duration.ts'
import { ClockJumps } from '../../src/service/clock-jumps.ts'
import { World } from '../_support/a-world.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { MemoryMoment } from '../_support/memory-moment.ts'
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

function watched(last?: (now: Date) => Date) {
  const events = recordedEvents()
  const time = aClock()
  const moments = new MemoryMoment()
  const jumps = new ClockJumps(moments, last?.(time.clock.now()), { clock: time.clock, events })
  return { ...time, jumps, moments, told: () => events.told.map(({ args }) => args) }
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

test('one that is set back holds things up for as long', async () => {
  const { jumps, passes, isSet, told } = watched()
  isSet(-YEAR)
  expect(jumps.unsettled()).toBe(true)
  await passes(HOUR)
  expect(jumps.unsettled()).toBe(false)
  expect(told()).toEqual([[-YEAR]])
})

test.each([DAY - MINUTE, -(DAY - MINUTE)])('a clock that is set by %i ms is none', (ms) => {
  const { jumps, isSet, told } = watched()
  isSet(ms)
  expect(jumps.unsettled()).toBe(false)
  expect(told()).toEqual([])
})

describe('at a start', () => {
  test.each([DAY, YEAR, -YEAR])(
    'a clock that is %i ms past the last moment known is in doubt for an hour',
    async (ms) => {
      const { jumps, passes, told } = watched((now) => plus(now, -ms))
      expect(jumps.unsettled()).toBe(true)
      await passes(HOUR - MINUTE)
      expect(jumps.unsettled()).toBe(true)
      await passes(MINUTE)
      expect(jumps.unsettled()).toBe(false)
      expect(told()).toEqual([[ms]])
    },
  )

  test.each([DAY - MINUTE, -(DAY - MINUTE)])('one that is %i ms past it is believed', (ms) => {
    const { jumps, told } = watched((now) => plus(now, -ms))
    expect(jumps.unsettled()).toBe(false)
    expect(told()).toEqual([])
  })

  test('one that is set right is believed at once', () => {
    const { jumps, isSet } = watched((now) => plus(now, -YEAR))
    expect(jumps.unsettled()).toBe(true)
    isSet(-YEAR)
    expect(jumps.unsettled()).toBe(false)
  })

  test('the moment is the stored one, or where that is lost the youngest of the journal; without a journal none is known', async () => {
    const world = new World()
    const { set } = await world.start()
    const unsettled = async (stored: Date | undefined, journal: typeof set | undefined, now: Date) => {
      const clock = new FakeClock(now.toISOString())
      const jumps = await ClockJumps.open(new MemoryMoment(stored), journal, { clock, events: recordedEvents() })
      return jumps.unsettled()
    }
    const now = world.clock.now()
    expect(await unsettled(plus(now, 9 * DAY), set, plus(now, 9 * DAY))).toBe(false)
    expect(await unsettled(plus(now, 9 * DAY), set, now)).toBe(true)
    expect(await unsettled(undefined, set, now)).toBe(false)
    expect(await unsettled(undefined, set, plus(now, DAY))).toBe(true)
    expect(await unsettled(undefined, undefined, plus(now, DAY))).toBe(false)
    expect(await unsettled(now, undefined, plus(now, DAY))).toBe(false)
  })
})

describe('for the next start', () => {
  test('it is noted every five minutes that the clock is believed', async () => {
    const { jumps, moments, passes, clock } = watched()
    await jumps.note()
    expect(moments.moment).toEqual(clock.now())
    await passes(5 * MINUTE - 1)
    await jumps.note()
    expect(moments.writes).toBe(1)
    await passes(1)
    await jumps.note()
    expect([moments.writes, moments.moment]).toEqual([2, clock.now()])
  })

  test('nothing is noted while the clock is in doubt: a restart begins the hour anew', async () => {
    const { jumps, moments, passes, isSet, clock } = watched()
    isSet(YEAR)
    await jumps.note()
    await passes(HOUR - MINUTE)
    await jumps.note()
    expect(moments.moment).toBeUndefined()
    await passes(MINUTE)
    await jumps.note()
    expect(moments.moment).toEqual(clock.now())
  })

  test('a full disk is no reason to end', async () => {
    const { jumps, moments, passes } = watched()
    const write = moments.write.bind(moments)
    moments.write = () => Promise.reject(new Error('ENOSPC'))
    await jumps.note()
    moments.write = write
    await passes(5 * MINUTE)
    await jumps.note()
    expect(moments.writes).toBe(1)
  })
})
