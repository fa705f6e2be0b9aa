import assert from 'node:assert/strict'
import type { RefusedRecord } from '../../../src/ledger/ledger.ts'
import { until } from '../_support/until.ts'
import type { World } from './world.ts'

export const title = 'a deleted pod gets no further certificate, by token or by certificate, and the ledger says why'

export default async function (world: World): Promise<void> {
  const { alcazar } = world
  const workload = await world.addWorkload('gone')
  const byToken = await world.startAgent({ name: 'gone', workload, key: 'ECDSA', ttlSeconds: 10 })
  await byToken.certificate('a first certificate')
  const byCertificate = world.agent('batch-later')
  const since = new Date().toISOString()

  await workload.deletePod()
  await world.workload('batch').deletePod()
  const refused = /code = Unauthenticated desc = request authenticate failure/
  const written = byCertificate.log.length
  await until('the agent with a token is refused', 20, () => refused.test(byToken.log))
  await until('the agent with a certificate is refused', 20, () => refused.test(byCertificate.log.slice(written)))
  for (const agent of [byToken, byCertificate]) await agent.end()

  const all = (await alcazar.cli('ledger', 'list', '--refused')) as RefusedRecord[]
  const details = (reason: string) =>
    all.filter((one) => one.at > since && one.reason === reason).map((one) => one.detail)
  assert.match(details('token_review')[0] ?? 'none', /service account token has been invalidated/)
  assert.match(details('pod_gone')[0] ?? 'none', new RegExp(`pod ${world.namespace}/batch-0 with UID .* is gone`))
}
