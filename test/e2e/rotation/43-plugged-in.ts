import type { World } from './world.ts'

export const title =
  'a plugged-in CA is taken over while workloads talk, then a compromise (its key stolen from its file) and a rotation'

export default (world: World): Promise<void> => world.end('plugged-in')
