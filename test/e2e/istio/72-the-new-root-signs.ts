import type { World } from './world.ts'

export const title = 'the new root signs when all have it, and agents whose file has only the old one still renew'

export default async function (world: World): Promise<void> {
  await world.rootsAre('active', 'old')
  await world.everyAgent('a certificate under B', (held) => held.trusts(world.a, world.b) && held.isUnder(world.b))
  world.publishRoots()
}
