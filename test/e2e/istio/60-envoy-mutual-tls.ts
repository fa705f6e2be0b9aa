import assert from 'node:assert/strict'
import type { IssuedRecord } from '../../../src/ledger/ledger.ts'
import type { World } from './world.ts'

export const title = 'two Envoys, fed by SDS from their agents, talk mutual TLS with certificates that the ledger knows'

export default async function (world: World): Promise<void> {
  const shop = await world.addWorkload('shop')
  const front = await world.addWorkload('front')
  const server = await world.startSidecar({ name: 'shop', workload: shop, key: 'ECDSA', admits: front.spiffeId })
  const calls = [{ port: server.inbound, expects: shop.spiffeId }]
  const client = await world.startSidecar({ name: 'front', workload: front, key: 'RSA', calls })

  assert.deepEqual(await client.call(), { status: 200, body: 'from shop', peer: front.spiffeId })
  for (const [sidecar, { spiffeId }] of [
    [server, shop],
    [client, front],
  ] as const) {
    const records = (await world.alcazar.cli('ledger', 'show', await sidecar.serial())) as IssuedRecord[]
    assert.equal(records.find((record) => record.kind === 'issued')?.id, spiffeId)
  }
}
