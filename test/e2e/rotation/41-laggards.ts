import type { World } from './world.ts'

export const title =
  'one workload that never renews holds a rotation up, by name, until it is gone, forgotten, or its certificate has ended'

export default (world: World): Promise<void> => world.end('laggards')
