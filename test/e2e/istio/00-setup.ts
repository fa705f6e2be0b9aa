import type { World } from './world.ts'

export const title = 'Kubernetes answers, and Alcazar serves with a plugged-in CA'

export default async function (world: World): Promise<void> {
  await world.setUp()
}
