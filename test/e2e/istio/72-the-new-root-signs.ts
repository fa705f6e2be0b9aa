import type { World } from './world.ts'

export const title = 'the new root signs, and every agent renews under it'

export default async function (world: World): Promise<void> {
  await world.plugIn(world.rootB, [world.rootA, world.rootB])
  await world.everyAgent('a certificate under B', (held) => held.trusts(world.a, world.b) && held.isUnder(world.b))
}
