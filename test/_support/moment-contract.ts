import { describe, expect, test } from 'vitest'
import type { MomentStore } from '../../src/service/ports.ts'

/** What every MomentStore does, the fake of the tests included. */
export function momentContract(open: () => MomentStore): void {
  describe('contract of a store of one moment', () => {
    test('has none at first', async () => {
      expect(await open().read()).toBeUndefined()
    })

    test('has the one that was written last, to the millisecond', async () => {
      const store = open()
      for (const moment of ['2031-01-01T00:00:00.001Z', '2030-06-01T12:00:00.999Z']) {
        await store.write(new Date(moment))
        expect(await store.read()).toEqual(new Date(moment))
      }
    })
  })
}
