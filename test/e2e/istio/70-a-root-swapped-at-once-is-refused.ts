import assert from 'node:assert/strict'
import { verifyWithOpenssl } from '../_support/held-certificate.ts'
import { until } from '../_support/until.ts'
import { Traffic } from './traffic.ts'
import type { World } from './world.ts'

export const title = 'Alcazar refuses files whose root nobody knows yet, says so, and goes on with the old CA'

export default async function (world: World): Promise<void> {
  world.traffic = new Traffic(world.sidecar('front'))
  await world.plugIn(world.rootB, [world.rootB])
  const line = await until('the log says that the files were not taken', 15, () =>
    world.alcazar.log().find(({ level, message }) => level === 'error' && /plugged-in CA not taken/.test(message)),
  )
  assert.match(line.detail ?? '', /root-cert\.pem shares no root with the bundle published so far/)

  const next = await world.agent('cart').renewed()
  assert.ok(next.isUnder(world.a))
  assert.ok(next.trusts(world.a))
  await verifyWithOpenssl(next.copyTo(world.stage.folder('after-refusal')))
}
