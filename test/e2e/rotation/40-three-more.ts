import { inAToken, startInAToken } from './in-a-token.ts'
import { laggards } from './laggards.ts'
import { pluggedIn, startPluggedIn } from './plugged-in.ts'
import type { World } from './world.ts'

export const title = 'three more begin, beside each other: keys in a PKCS#11 token, a plugged-in CA, laggards'

export default async function (world: World): Promise<void> {
  world.begin('token', inAToken(world, await startInAToken(world)))
  world.begin('plugged-in', pluggedIn(world, await startPluggedIn(world)))
  world.begin('laggards', laggards(world))
}
