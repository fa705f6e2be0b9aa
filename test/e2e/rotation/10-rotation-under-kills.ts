import { rotateUnderKills } from './rotation-run.ts'
import type { World } from './world.ts'

export const title =
  'a whole rotation, the server killed (-9) twelve times on the way: no handshake among workloads fails'

export default async function ({ stage, sealed, seed }: World): Promise<void> {
  await rotateUnderKills({ stage, mesh: sealed, seed, kills: 12 })
}
