import { describe, expect, test } from 'vitest'
import { type Clock, earlier, later, loop, plus, systemClock, wholeSecond } from '../../src/core/clock.ts'
import { FakeClock } from '../_support/fake-clock.ts'

describe('loop', () => {
  test('pauses before each step, also the first', async () => {
    const { clock, steps } = aLoop({ pauseMs: () => 1000 })
    await clock.advance(999)
    expect(steps).toEqual([])
    await clock.advance(1)
    expect(steps).toEqual([1000])
    await clock.advance(2000)
    expect(steps).toEqual([1000, 2000, 3000])
  })

  test('asks anew before each pause how long it is', async () => {
    const pauses = [10, 20, 30, 1e6]
    const { clock, steps } = aLoop({ pauseMs: () => pauses.shift() as number })
    await clock.advance(100)
    expect(steps).toEqual([10, 30, 60])
  })

  test('never runs two steps at once: the pause begins when a step has ended', async () => {
    let running = 0
    let most = 0
    const { clock, steps } = aLoop({
      pauseMs: () => 10,
      step: async (inner) => {
        most = Math.max(most, ++running)
        await inner.sleep(100, new AbortController().signal)
        running--
      },
    })
    await clock.advance(330)
    expect(most).toBe(1)
    expect(steps).toEqual([10, 120, 230])
  })

  test('ends when it is aborted in a pause', async () => {
    const { ended, abort, clock, steps } = aLoop({ pauseMs: () => 1000 })
    await clock.advance(500)
    abort()
    await expect(ended).resolves.toBeUndefined()
    expect(steps).toEqual([])
  })

  test('lets a step that runs come to its end when it is aborted, and takes no other', async () => {
    const done: string[] = []
    const { ended, abort, clock } = aLoop({
      pauseMs: () => 10,
      step: async (inner) => {
        await inner.sleep(100, new AbortController().signal)
        done.push('one step')
      },
    })
    await clock.advance(20)
    abort()
    await clock.advance(1000)
    await ended
    expect(done).toEqual(['one step'])
  })

  test('never begins when it was aborted before', async () => {
    const clock = new FakeClock()
    await loop(clock, AbortSignal.abort(), () => 0, never)
  })

  test('fails with what a step throws', async () => {
    const { ended, clock } = aLoop({ pauseMs: () => 10, step: () => Promise.reject(new Error('the disk is gone')) })
    const outcome = expect(ended).rejects.toThrow('the disk is gone')
    await clock.advance(10)
    await outcome
  })
})

describe('the system’s clock', () => {
  test('measures a time that only grows', () => {
    const before = systemClock.elapsed()
    expect(systemClock.elapsed()).toBeGreaterThanOrEqual(before)
  })

  test('knows what time it is', () => {
    expect(Math.abs(systemClock.now().getTime() - Date.now())).toBeLessThan(5000)
  })

  test('sleeps as long as it is told', async () => {
    const before = systemClock.elapsed()
    await systemClock.sleep(20, new AbortController().signal)
    // Timers may fire a fraction of a millisecond early.
    expect(systemClock.elapsed() - before).toBeGreaterThan(18)
  })

  test('wakes with the reason for which it is aborted', async () => {
    const abort = new AbortController()
    const sleeping = systemClock.sleep(60_000, abort.signal)
    abort.abort(new Error('shutting down'))
    await expect(sleeping).rejects.toThrow('shutting down')
  })

  test('does not fall asleep when it was aborted before', async () => {
    await expect(systemClock.sleep(60_000, AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late')
  })

  test('runs an action once, later', async () => {
    let runs = 0
    systemClock.after(1, () => runs++)
    expect(runs).toBe(0)
    await systemClock.sleep(20, new AbortController().signal)
    expect(runs).toBe(1)
  })

  test('does not run what was cancelled', async () => {
    let runs = 0
    systemClock.after(1, () => runs++)()
    await systemClock.sleep(20, new AbortController().signal)
    expect(runs).toBe(0)
  })
})

describe('moments', () => {
  const a = new Date('2030-01-01T00:00:00.000Z')
  const b = new Date('2030-01-01T00:00:00.001Z')

  test('the earlier and the later of two, in either order', () => {
    expect([earlier(a, b), earlier(b, a), later(a, b), later(b, a)]).toEqual([a, a, b, b])
  })

  test('a moment and some milliseconds', () => {
    expect(plus(a, 1)).toEqual(b)
    expect(plus(b, -1)).toEqual(a)
  })

  test.each([
    ['2030-01-01T00:00:00.999Z', '2030-01-01T00:00:00Z'],
    ['2030-01-01T00:00:00.000Z', '2030-01-01T00:00:00Z'],
    ['1969-12-31T23:59:59.999Z', '1969-12-31T23:59:59Z'],
  ])('the last whole second up to %s is %s', (moment, second) => {
    expect(wholeSecond(new Date(moment))).toEqual(new Date(second))
  })
})

const never = () => Promise.reject(new Error('no step was due'))

/** A loop on a clock that stands still; `steps` are the milliseconds at which each began. */
function aLoop({ pauseMs, step }: { pauseMs: () => number; step?: (clock: Clock) => Promise<void> }) {
  const clock = new FakeClock()
  const abort = new AbortController()
  const steps: number[] = []
  const ended = loop(clock, abort.signal, pauseMs, async () => {
    steps.push(clock.elapsed())
    await step?.(clock)
  })
  return { clock, steps, ended, abort: () => abort.abort() }
}
