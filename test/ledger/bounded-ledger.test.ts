import { describe, expect, test } from 'vitest'
import { SECOND } from '../../src/core/duration.ts'
import { BoundedLedger } from '../../src/ledger/bounded-ledger.ts'
import { FakeClock, settle } from '../_support/fake-clock.ts'
import { anAuthorityRecord, anIntent, anIssued, aRefused } from '../_support/ledger-records.ts'
import { MemoryLedger } from '../_support/memory-ledger.ts'

/** Refusals that get lines of their own when they come all at once, and each second after that. */
const BURST = 200
const PER_SECOND = 5

function aBoundedLedger() {
  const clock = new FakeClock()
  const inner = new MemoryLedger()
  const ledger = new BoundedLedger(inner, clock)
  /** So many refusals at once; tells how many of their answers may leave. */
  const flood = (count: number, reason = 'expired') => {
    const answers = { free: 0, failed: 0 }
    for (let index = 0; index < count; index++)
      ledger.record(aRefused(String(index), reason)).then(
        () => void answers.free++,
        () => void answers.failed++,
      )
    return answers
  }
  return { clock, inner, ledger, flood }
}

describe('a flood of refusals', () => {
  test('below the bound gets a line each, and every answer leaves at once', async () => {
    const { inner, flood } = aBoundedLedger()
    const answers = flood(BURST)
    await settle()
    expect(inner.of('refused')).toHaveLength(BURST)
    expect(answers.free).toBe(BURST)
  })

  test('above it shares one line a second', async () => {
    const { inner, flood, clock } = aBoundedLedger()
    flood(BURST + 10_000)
    await clock.advance(SECOND)
    expect(inner.of('refused')).toHaveLength(BURST)
    expect(inner.of('refusals')).toEqual([
      { kind: 'refusals', at: '2030-01-01T00:00:01.000Z', count: 10_000, byReason: { expired: 10_000 } },
    ])
  })

  test('waits for that line: no answer leaves before it is in the ledger', async () => {
    const { flood, clock } = aBoundedLedger()
    flood(BURST)
    const late = flood(3)
    await clock.advance(SECOND - 1)
    expect(late.free).toBe(0)
    await clock.advance(1)
    expect(late.free).toBe(3)
  })

  test('is counted by reason, and where there is none by code', async () => {
    const { ledger, inner, flood, clock } = aBoundedLedger()
    flood(BURST)
    flood(2, 'expired')
    flood(3, 'bad_signature')
    const { reason: _none, ...withoutReason } = aRefused('x')
    void ledger.record({ ...withoutReason, code: 'bad_csr' })
    await clock.advance(SECOND)
    expect(inner.of('refusals')).toMatchObject([{ count: 6, byReason: { expired: 2, bad_signature: 3, bad_csr: 1 } }])
  })

  test('loses no refusal: lines and counts together are all that came', async () => {
    const { inner, flood, clock } = aBoundedLedger()
    let came = 0
    for (let tenth = 0; tenth < 50; tenth++) {
      came += 97
      flood(97)
      await clock.advance(SECOND / 10)
    }
    await clock.advance(SECOND)
    const summed = inner.of('refusals').reduce((total, { count }) => total + count, 0)
    expect(inner.of('refused').length + summed).toBe(came)
  })

  test('makes no more lines than the bound, however long it goes on', async () => {
    const { inner, flood, clock } = aBoundedLedger()
    for (let tenth = 0; tenth < 100; tenth++) {
      flood(100)
      await clock.advance(SECOND / 10)
    }
    expect(inner.of('refused').length).toBeLessThanOrEqual(BURST + 10 * PER_SECOND)
    expect(inner.of('refused').length, 'and not far fewer').toBeGreaterThanOrEqual(BURST + 9 * PER_SECOND)
    expect(inner.of('refusals').length).toBeLessThanOrEqual(10)
  })

  test('over, gets lines of its own again', async () => {
    const { inner, flood, clock } = aBoundedLedger()
    flood(BURST + 1)
    await clock.advance(SECOND)
    flood(PER_SECOND)
    await settle()
    expect(inner.of('refused')).toHaveLength(BURST + PER_SECOND)
  })

  test('never saves up more than one burst', async () => {
    const { inner, flood, clock } = aBoundedLedger()
    await clock.advance(3600 * SECOND)
    flood(BURST + 1)
    await settle()
    expect(inner.of('refused')).toHaveLength(BURST)
  })

  test('is measured by the time that passes, not by the time of day', async () => {
    const { inner, flood, clock } = aBoundedLedger()
    flood(BURST)
    clock.jump(3600 * SECOND)
    flood(1)
    await settle()
    expect(inner.of('refused')).toHaveLength(BURST)
  })

  test('tells each of its callers when the shared line can’t be written, and begins another', async () => {
    const { inner, flood, clock } = aBoundedLedger()
    flood(BURST)
    inner.full = true
    const answers = flood(5)
    await clock.advance(SECOND)
    expect(answers).toEqual({ free: 0, failed: 5 })
    inner.full = false
    flood(BURST)
    const next = flood(5)
    await clock.advance(SECOND)
    expect(next).toEqual({ free: 5, failed: 0 })
  })
})

describe('what is no refusal is never held up by a flood:', () => {
  test('an intent', async () => {
    const { ledger, inner, flood } = aBoundedLedger()
    flood(BURST + 100)
    await ledger.intend(anIntent('1'))
    expect(inner.of('intent')).toEqual([anIntent('1')])
  })

  test('an issued certificate', async () => {
    const { ledger, inner, flood } = aBoundedLedger()
    flood(BURST + 100)
    await ledger.record(anIssued('1'))
    expect(inner.of('issued')).toEqual([anIssued('1')])
  })

  test('what happens to the authorities', async () => {
    const { ledger, inner, flood } = aBoundedLedger()
    flood(BURST + 100)
    await ledger.record(anAuthorityRecord('ends 2040'))
    expect(inner.of('authority')).toEqual([anAuthorityRecord('ends 2040')])
  })

  test('nor do they use up the room of refusals', async () => {
    const { ledger, inner, flood } = aBoundedLedger()
    await Promise.all(Array.from({ length: BURST }, (_, index) => ledger.record(anIssued(String(index)))))
    flood(BURST)
    await settle()
    expect(inner.of('refused')).toHaveLength(BURST)
  })
})
