import assert from 'node:assert/strict'
import type { World } from './world.ts'

export const title = 'Envoy refuses a peer of the same mesh with another identity, as server and as client'

export default async function (world: World): Promise<void> {
  const server = world.sidecar('shop')
  const workload = await world.addWorkload('stranger')
  const calls = [
    { port: server.inbound, expects: world.workload('shop').spiffeId },
    { port: server.inbound, expects: workload.spiffeId },
  ]
  const stranger = await world.startSidecar({ name: 'stranger', workload, key: 'ECDSA', calls })

  assert.equal((await stranger.call(0)).status, 503)
  assert.equal(await server.counter('ssl.fail_verify_san'), 1)
  assert.equal(await stranger.counter('ssl.fail_verify_san'), 0)

  assert.equal((await stranger.call(1)).status, 503)
  assert.equal(await stranger.counter('ssl.fail_verify_san'), 1)
  await stranger.agent.end()
}
