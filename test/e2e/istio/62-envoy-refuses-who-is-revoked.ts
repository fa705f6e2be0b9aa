import assert from 'node:assert/strict'
import { until } from '../_support/until.ts'
import type { World } from './world.ts'

export const title =
  'Envoys that istio’s agent gives the set of CRLs take each other, and within seconds no more who is revoked'

export default async function (world: World): Promise<void> {
  const front = world.workload('front')
  const workload = await world.addWorkload('till')
  // Its token would bring it back with its next certificate: that comes after this step.
  const till = await world.startSidecar({
    name: 'till',
    workload,
    key: 'ECDSA',
    ttlSeconds: 600,
    admits: front.spiffeId,
    crls: world.crls,
  })
  const calls = [
    { port: till.inbound, expects: workload.spiffeId },
    { port: world.sidecar('shop').inbound, expects: world.workload('shop').spiffeId },
  ]
  const checks = await world.startSidecar({ name: 'checks', workload: front, key: 'ECDSA', calls, crls: world.crls })
  const believes = await world.startSidecar({ name: 'believes', workload: front, key: 'ECDSA', calls })
  for (const at of [0, 1]) assert.equal((await checks.call(at)).status, 200)

  await world.alcazar.cli('revoke', '--serial', await till.serial(), '--because', 'the till was stolen')
  await until('its peer is refused', 20, async () => (await checks.call(0)).status === 503)
  assert.ok((await checks.counter('ssl.fail_verify_error')) > 0)
  assert.equal((await checks.call(1)).status, 200)
  // Nothing but the CRLs tells these two apart.
  assert.equal((await believes.call(0)).status, 200)
  for (const sidecar of [checks, believes, till]) await sidecar.agent.end()
}
