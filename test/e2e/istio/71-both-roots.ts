import type { World } from './world.ts'

export const title = 'the old root and the new one together reach every agent, and A still signs'

export default async function (world: World): Promise<void> {
  await world.plugIn(world.rootA, [world.rootA, world.rootB])
  world.publishRoots()
  await world.everyAgent('both roots', (held) => held.trusts(world.a, world.b) && held.isUnder(world.a))
}
