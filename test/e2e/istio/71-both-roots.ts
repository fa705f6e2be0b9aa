import assert from 'node:assert/strict'
import { until } from '../_support/until.ts'
import type { World } from './world.ts'

export const title = 'files in which the new root signs at once: A signs on, and both roots reach every agent first'

export default async function (world: World): Promise<void> {
  await world.plugIn(world.rootB, [world.rootA, world.rootB])
  await until('the log says that the new CA waits', 15, () =>
    world.alcazar.log().find(({ message }) => /the plugged-in CA does not sign yet/.test(message)),
  )
  const next = await world.agent('cart').renewed()
  assert.ok(next.isUnder(world.a) && next.trusts(world.a, world.b))
  await world.everyAgent('both roots', (held) => held.trusts(world.a, world.b))
}
