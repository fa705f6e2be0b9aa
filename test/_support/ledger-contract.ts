import { describe, expect, test } from 'vitest'
import type { IntentRecord, Ledger, LedgerRecord, OutcomeRecord } from '../../src/ledger/ledger.ts'
import { anAuthorityRecord, anIntent, anIssued, aRefused, aShown } from './ledger-records.ts'

/** A ledger together with what a test needs to see and to break of it. */
export type LedgerUnderTest = {
  readonly ledger: Ledger
  readonly records: () => Promise<readonly LedgerRecord[]>
  /** From now on there is room for a record, or not. */
  readonly setFull: (full: boolean) => void
}

const FULL = {
  code: 'dependency_unavailable',
  message: 'the ledger can’t be written, so nothing is issued; try again later',
}

/** What every Ledger does, the fake of the tests included. */
export function ledgerContract(open: () => LedgerUnderTest): void {
  describe('contract of a ledger', () => {
    test('has nothing at first', async () => {
      expect(await open().records()).toEqual([])
    })

    test('gives back every kind of record as it was given, in the order it happened', async () => {
      const { ledger, records } = open()
      const outcomes: readonly OutcomeRecord[] = [
        anIssued('1'),
        aRefused('2'),
        aShown('3'),
        anAuthorityRecord('ends 2040'),
      ]
      await ledger.intend(anIntent('1'))
      for (const outcome of outcomes) await ledger.record(outcome)
      expect(await records()).toEqual([anIntent('1'), ...outcomes])
    })

    test('has an intent as soon as it says so', async () => {
      const { ledger, records } = open()
      await ledger.intend(anIntent('1'))
      expect(await records()).toEqual([anIntent('1')])
    })

    test('has all that were recorded at once', async () => {
      const { ledger, records } = open()
      const ids = Array.from({ length: 50 }, (_, index) => String(index))
      await Promise.all(ids.map((id) => ledger.record(anIssued(id))))
      expect(await records()).toEqual(ids.map(anIssued))
    })

    const attempts: readonly { what: string; attempt: (ledger: Ledger) => Promise<void> }[] = [
      { what: 'an intent', attempt: (ledger) => ledger.intend(anIntent('2') satisfies IntentRecord) },
      { what: 'an outcome', attempt: (ledger) => ledger.record(anIssued('2')) },
    ]
    test.each(attempts)('refuses $what that it can’t write, and does not have it', async ({ attempt }) => {
      const { ledger, records, setFull } = open()
      await ledger.record(anIssued('1'))
      setFull(true)
      await expect(attempt(ledger)).rejects.toMatchObject(FULL)
      expect(await records()).toEqual([anIssued('1')])
    })

    test.each(attempts)('takes $what again when it can', async ({ attempt }) => {
      const { ledger, records, setFull } = open()
      setFull(true)
      await attempt(ledger).catch(() => undefined)
      await attempt(ledger).catch(() => undefined)
      setFull(false)
      await attempt(ledger)
      expect(await records()).toHaveLength(1)
    })
  })
}
