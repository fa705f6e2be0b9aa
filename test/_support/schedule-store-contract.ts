import { describe, expect, test } from 'vitest'
import type { JobRecord, ScheduleStore } from '../../src/service/ports.ts'

const at = (text: string) => new Date(`2030-01-01T${text}Z`)

/** A job that has run, one that was begun, and one that never was. */
export const someRecords: readonly JobRecord[] = [
  {
    job: 'checkAuthorities',
    expression: '*/5 * * * *',
    timeZone: 'Europe/Berlin',
    settled: at('12:05:00'),
    skipped: [{ after: new Date(0), before: at('00:00:00.123') }],
    last: { due: at('12:05:00'), begunAt: at('12:05:00.007'), outcome: { kind: 'done', text: '“fine”\n', tookMs: 3 } },
  },
  {
    job: 'rotateRoot',
    expression: '0 3 1 1 *',
    timeZone: 'UTC',
    settled: at('00:00:00'),
    skipped: [],
    last: { due: at('03:00:00'), begunAt: at('03:00:01') },
  },
  { job: 'prune', expression: '17 * * * *', timeZone: 'UTC', settled: at('00:00:00'), skipped: [] },
]

/** What every ScheduleStore does, the fake of the tests included. */
export function scheduleStoreContract(open: () => ScheduleStore): void {
  describe('contract of a schedule store', () => {
    test('has nothing before anything was written', async () => {
      expect(await open().read()).toBeUndefined()
    })

    test('gives back what was written last, all of it', async () => {
      const store = open()
      await store.write(someRecords.slice(1))
      await store.write(someRecords)
      expect(await store.read()).toEqual(someRecords)
      await store.write([])
      expect(await store.read()).toEqual([])
    })
  })
}
