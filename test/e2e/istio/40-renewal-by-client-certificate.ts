import assert from 'node:assert/strict'
import type { IntentRecord, RefusedRecord } from '../../../src/ledger/ledger.ts'
import { until } from '../_support/until.ts'
import type { World } from './world.ts'

export const title = 'pilot-agent renews by client certificate (PROV_CERT), without a token'

export default async function (world: World): Promise<void> {
  const { alcazar, stage } = world
  const workload = await world.addWorkload('batch')
  const withToken = await world.startAgent({ name: 'batch', workload, key: 'ECDSA', ttlSeconds: 10 })
  const first = await withToken.certificate('a first certificate')
  await withToken.end()

  const provisioned = first.copyTo(stage.folder('provisioned'))
  const agent = await world.startAgent({ name: 'batch-later', workload, key: 'ECDSA', ttlSeconds: 10, provisioned })
  const second = await agent.renewed(first)
  const third = await agent.renewed(second)
  for (const { serial } of [second, third]) {
    const [intent] = (await alcazar.cli('ledger', 'show', serial)) as IntentRecord[]
    assert.equal(intent?.caller.method, 'client-certificate')
    assert.equal(intent?.caller.podUid, workload.uid)
  }

  // The agent keeps its connection, and so the certificate it was opened with, beyond that one's end. Refused, it connects anew with the
  // latest one from the folder.
  await until('the agent connects anew', 20, () => agent.log.includes('recreated connection'))
  assert.match(agent.log, /code = Unauthenticated desc = request authenticate failure/)
  const [refused] = (await alcazar.cli('ledger', 'list', '--refused')) as RefusedRecord[]
  assert.equal(refused?.reason, 'expired')
  const { serial } = await agent.renewed()
  const [intent] = (await alcazar.cli('ledger', 'show', serial)) as IntentRecord[]
  assert.equal(intent?.caller.method, 'client-certificate')
}
