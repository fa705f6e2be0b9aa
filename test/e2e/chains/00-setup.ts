import { crossedChains, writeChains } from '../../_support/crossed-chains.ts'
import type { World } from './world.ts'

export const title = 'a root is replaced, twice, and every chain and bundle of those days is written down'

export default async function (world: World): Promise<void> {
  await writeChains(world.folder, await crossedChains())
}
