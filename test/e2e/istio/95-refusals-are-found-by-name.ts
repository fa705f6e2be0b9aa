import assert from 'node:assert/strict'
import type { RefusedRecord } from '../../../src/ledger/ledger.ts'
import type { World } from './world.ts'

export const title = 'an admin who asks why a pod was refused finds it by namespace and service account'

export default async function ({ alcazar, namespace }: World): Promise<void> {
  for (const [account, reason] of [
    ['gone', 'token_review'],
    ['batch', 'pod_gone'],
  ] as const) {
    const filter = ['--refused', '--namespace', namespace, '--service-account', account]
    const found = (await alcazar.cli('ledger', 'list', ...filter)) as RefusedRecord[]
    assert.ok(
      found.some((record) => record.reason === reason),
      `no refusal of ${account} is found`,
    )
  }
}
