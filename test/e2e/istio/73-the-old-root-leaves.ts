import assert from 'node:assert/strict'
import type { World } from './world.ts'

export const title = 'the old root leaves when nothing stands on it; all this time no request between the Envoys failed'

export default async function (world: World): Promise<void> {
  const { traffic } = world
  await world.plugIn(world.rootB, [world.rootB])
  await world.rootsAre('active', 'revoked')
  await world.everyAgent('the new root alone', (held) => held.trusts(world.b) && held.isUnder(world.b))
  world.publishRoots()

  await traffic.end()
  assert.deepEqual(traffic.failures, [])
  assert.ok(traffic.answered > 50, `${traffic.answered} requests were answered`)
}
